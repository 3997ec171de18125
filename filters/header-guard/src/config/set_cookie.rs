//! What an operator says about cookies that the upstream sets.

use portcullis_core::config::{ByteSize, TimeSpan};
use portcullis_core::verdict::Mode;
use serde::Deserialize;

/// How each `Set-Cookie` field is hardened. `{}` is a full configuration.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SetCookieConfig {
    /// `report`: findings only, every cookie passes as it is. Default: `enforce`.
    pub mode: Mode,
    /// Whether `Secure` is added, also to the cookies that delete another (CVE-2025-55162). What a browser refuses
    /// without it (`SameSite=None`, the name prefixes) gets it in any case. Default: true.
    pub secure: bool,
    /// Whether `secure` also means responses to a client that seems to have come without TLS: a load
    /// balancer that ends TLS and tells nobody looks just so. False is for a site that really is served without TLS:
    /// browsers refuse such a cookie there. Default: true.
    pub secure_on_plaintext: bool,
    /// Whether `HttpOnly` is added. Default: true.
    pub http_only: bool,
    /// Cookies that scripts must read, as in a CSRF token: `HttpOnly` is not added. Names, or prefixes with a final
    /// `*`, in their exact case; at most 256. Default: none.
    pub script_readable: Vec<String>,
    /// What is added where there is no `SameSite`, or none that a browser knows. Default: `lax`.
    pub same_site: SameSite,
    /// The longest life of a cookie, `"1s"` to `"400d"` (no browser goes beyond, RFC 6265bis section 5.5); a fraction
    /// of a second is cut off. Cookies of a session stay such. Default: no limit but the browser's.
    pub max_lifetime: Option<TimeSpan>,
    /// Name and value together, `"256B"` to `"64KiB"`; more is a finding, the cookie is hardened and stays. Default:
    /// `"4096B"`, above which browsers drop it (RFC 6265bis section 5.6).
    pub max_size: ByteSize,
    /// What `Domain` may say, at most 256 names with at least two labels and no dot in front. With none, anything but
    /// a single label such as `.com`. Any other `Domain` is removed: then only the host that set the cookie gets it
    /// back. Default: none.
    pub allowed_domains: Vec<String>,
}

impl Default for SetCookieConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            secure: true,
            secure_on_plaintext: true,
            http_only: true,
            script_readable: Vec::new(),
            same_site: SameSite::Lax,
            max_lifetime: None,
            max_size: ByteSize::new(4096),
            allowed_domains: Vec::new(),
        }
    }
}

/// The `SameSite` that a cookie gets if it has none (RFC 6265bis section 5.6.7).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Other sites can't send it along, but links from them do.
    #[default]
    Lax,
    /// Only requests of the site itself send it.
    Strict,
    /// Every site sends it; such a cookie gets `Secure` too.
    None,
    /// Nothing is added.
    Keep,
}
