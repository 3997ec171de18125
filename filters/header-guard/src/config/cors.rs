//! Who may read responses from a page of another origin.

use portcullis_core::config::TimeSpan;
use portcullis_core::verdict::Mode;
use serde::Deserialize;

use crate::defaults;

/// The CORS policy (Fetch standard, "CORS protocol"). It says who may *read*; it is no access control.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// `enforce`: preflights are answered here, and responses say what the policy says. `report`: refusals become
    /// verdicts, preflights and responses pass as they are. `off`: the policy is not evaluated. Default: `enforce`.
    pub mode: Mode,
    /// Origins that may read responses, at most 256: `https://app.example.com`; `https://*.example.com` for any one
    /// label in place of the `*`; `null` for sandboxed documents, which is everybody; or the single entry `*`.
    /// Default: nobody.
    pub origins: Vec<String>,
    /// Methods that a preflight may ask for; case matters. Browsers send GET, HEAD and POST without asking.
    /// Default: GET, HEAD, POST.
    pub methods: Vec<String>,
    /// Header fields that a preflight may ask for, as in `content-type` (needed for JSON) or `authorization`.
    pub request_headers: Vec<String>,
    /// Response fields that scripts may read besides those that they always may.
    pub exposed_headers: Vec<String>,
    /// Whether responses to requests with cookies may be read. Not with `*` or `null`. Default: false.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight, up to `"24h"`, in whole seconds. Default: `"10m"`.
    pub max_age: TimeSpan,
    /// Whether pages of public networks may call into this private one. Default: false.
    pub private_network: bool,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            origins: Vec::new(),
            methods: defaults::CORS_METHODS.map(str::to_owned).to_vec(),
            request_headers: Vec::new(),
            exposed_headers: Vec::new(),
            credentials: false,
            max_age: defaults::CORS_MAX_AGE,
            private_network: false,
        }
    }
}
