//! Which requests that another site's page causes are refused.

use portcullis_core::verdict::Mode;
use serde::Deserialize;

use crate::defaults;

/// The resource isolation policy (W3C Fetch Metadata), against CSRF, cross-site leaks and WebSocket hijacking.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CrossSiteConfig {
    /// Default: `off`, as an API that pages of other sites are meant to call would break.
    pub mode: Mode,
    /// Names of the cookies that log a user in, at most 16: only requests with one of them are judged. WebSocket
    /// handshakes are judged always. Default: any request with a `cookie` field.
    pub cookies: Vec<String>,
    /// Origins that may do what this origin may, at most 256, written as in `cors.origins`; not `*` and not `null`.
    pub allow_origins: Vec<String>,
    /// Whether links from other sites work: GET navigations of a whole window. Default: true.
    pub allow_navigation: bool,
    /// Whether other hosts of the same registrable domain are trusted. Default: true, as in the published policy;
    /// false where somebody else's content is on a subdomain.
    pub allow_same_site: bool,
}

impl Default for CrossSiteConfig {
    fn default() -> Self {
        Self {
            mode: defaults::CROSS_SITE_MODE,
            cookies: Vec::new(),
            allow_origins: Vec::new(),
            allow_navigation: true,
            allow_same_site: true,
        }
    }
}
