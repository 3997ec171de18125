//! What the operator writes. `{}` is a full configuration.

pub mod cors;
pub mod cross_site;
pub mod outgoing;
pub mod set_cookie;

use std::collections::BTreeMap;

use portcullis_core::config::ByteSize;
use portcullis_core::routes::Selector;
use portcullis_core::verdict::{Mode, OnError};
use serde::Deserialize;

use crate::defaults;

pub use cors::CorsConfig;
pub use cross_site::CrossSiteConfig;
pub use outgoing::OutgoingConfig;
pub use set_cookie::SetCookieConfig;

/// The filter's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the peer is. Default: `edge`.
    pub zone: Zone,
    /// What happens to a request whose header fields the proxy does not hand out. Default: `deny`.
    pub on_error: OnError,
    /// What clients may send.
    pub request: RequestConfig,
    /// What clients get.
    pub response: ResponseConfig,
    /// Which pages of other origins may read responses. Default: none says, and the upstream's own fields are only mended.
    pub cors: Option<CorsConfig>,
    /// Which requests that pages of other sites cause are refused. Default: none.
    pub cross_site: CrossSiteConfig,
    /// What happens to credentials in requests to servers of somebody else. Default: they pass.
    pub outgoing: Option<OutgoingConfig>,
    /// Other sections for some requests. Of the rules that select a request the most specific decides, as in all filters.
    pub rules: Vec<RuleConfig>,
}

/// Sections for the requests that a rule selects. One that is there replaces the whole section above; none of its options
/// is inherited.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A name of its own, for audit.
    pub id: String,
    /// Which requests.
    #[serde(rename = "match", default)]
    pub selector: Selector,
    /// What clients may send.
    #[serde(default)]
    pub request: Option<RequestConfig>,
    /// What clients get.
    #[serde(default)]
    pub response: Option<ResponseConfig>,
    /// Which pages of other origins may read responses.
    #[serde(default)]
    pub cors: Option<CorsConfig>,
    /// Which requests that pages of other sites cause are refused.
    #[serde(default)]
    pub cross_site: Option<CrossSiteConfig>,
    /// What happens to credentials in requests to servers of somebody else.
    #[serde(default)]
    pub outgoing: Option<OutgoingConfig>,
}

/// Who the peer is, and so what it may say about the client.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// A stranger: nothing that it says about itself is believed.
    Edge,
    /// A proxy of ours, if its address is on the list; else a stranger.
    TrustedProxy(TrustedProxy),
    /// A workload of ours, if its client certificate names one on the list; else a stranger.
    Mesh(Mesh),
}

impl Default for Zone {
    fn default() -> Self {
        defaults::ZONE
    }
}

/// Proxies whose forwarding fields are believed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustedProxy {
    /// Networks (`10.1.2.0/24`, `2001:db8::/32`) or single addresses, 1 to 256 of them. No default: private
    /// addresses are no proof of anything (CVE-2024-45806).
    pub addresses: Vec<String>,
    /// Further fields that such a peer may send, as in `cf-connecting-ip` or `x-ssl-client-*`.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Proxies between the client and Envoy that append their peer to `x-forwarded-for`, 1 to 31: as many of its entries
    /// and Envoy's own stay, and `forwarded` goes. Default: both are believed as they come.
    #[serde(default)]
    pub hops: Option<usize>,
    /// Whether all clients of these proxies come over TLS. Default: false, and `x-forwarded-proto` says it, which Envoy
    /// writes by its own connection.
    #[serde(default)]
    pub tls: bool,
}

/// Workloads whose forwarding fields are believed, by the identity that the connection's certificate proves.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// SPIFFE IDs (`spiffe://prod.example/ns/edge/sa/gateway`), 1 to 256 of them; a whole segment may be `*`. Envoy must
    /// demand and verify client certificates.
    pub identities: Vec<String>,
    /// Further fields that such a peer may send, as in `x-user-id`.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// What clients may send.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestConfig {
    /// What happens to a malformed or ambiguous request. Limits are enforced in every mode: they bound the filter's
    /// own work. Default: `enforce`.
    pub mode: Mode,
    /// Names, or prefixes with a final `*`, that are removed besides the filter's own lists.
    pub remove: Vec<String>,
    /// Names, or prefixes with a final `*`, that any client may send although the lists name them.
    pub keep: Vec<String>,
    /// If there is one, every field goes that is not on this list of names and prefixes: only pseudo-headers stay, what frames
    /// the request, and what the proxy itself writes. Default: none, and unknown fields pass.
    pub allow: Vec<String>,
    /// Hosts that may be asked for, with a port for that port only. Default: any.
    pub hosts: Vec<String>,
    /// Methods that may be used, upper-case. Default: any but TRACE and TRACK.
    pub methods: Vec<String>,
    /// Header fields, 1 to 1000. Default: 100.
    pub max_headers: usize,
    /// All names and values together, `"1KiB"` to `"1MiB"`. Default: `"32KiB"`.
    pub max_header_bytes: ByteSize,
    /// One value, `"256B"` to `"1MiB"`. Default: `"8KiB"`.
    pub max_value: ByteSize,
    /// Values of single fields by their names, `"1B"` to `max_value`, at most 64. Default: `"4KiB"`
    /// for `referer` and `"1KiB"` for `user-agent`, which stay where their names are not given.
    pub max_values: BTreeMap<String, ByteSize>,
    /// One name, `"32B"` to `"8KiB"`. Default: `"256B"`.
    pub max_name: ByteSize,
    /// The request target with its query, `"256B"` to `"1MiB"`. Default: `"8KiB"`.
    pub max_path: ByteSize,
    /// Parameters of the query, 0 to 10000. Default: 200.
    pub max_query_parameters: usize,
    /// Cookies in all `Cookie` fields together, 0 to 1000. Default: 100. Follows the `mode`: the filter's work doesn't
    /// grow with their number.
    pub max_cookies: usize,
    /// Names of cookies, or prefixes with a final `*`, of which a request may have one each, at most 64; case makes no
    /// difference. Besides `__Host-*`, `__Secure-*` and `__Http-*`, which always count as such.
    pub session_cookies: Vec<String>,
}

impl Default for RequestConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            remove: Vec::new(),
            keep: Vec::new(),
            allow: Vec::new(),
            hosts: Vec::new(),
            methods: Vec::new(),
            max_headers: defaults::MAX_HEADERS,
            max_header_bytes: defaults::max_header_bytes(),
            max_value: defaults::max_value(),
            max_values: BTreeMap::new(),
            max_name: defaults::max_name(),
            max_path: defaults::max_path(),
            max_query_parameters: defaults::MAX_QUERY_PARAMETERS,
            max_cookies: defaults::MAX_COOKIES,
            session_cookies: Vec::new(),
        }
    }
}

/// What clients get.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResponseConfig {
    /// The set of security fields to begin with. Default: `api-2026`.
    pub profile: Profile,
    /// Fields that every response gets, whatever the upstream said. Replaces the profile's field of that name.
    pub set: BTreeMap<String, String>,
    /// Fields that a response gets if it has none of that name. Replaces the profile's field of that name.
    pub add: BTreeMap<String, String>,
    /// Names, or prefixes with a final `*`, that are removed besides the filter's own lists.
    pub remove: Vec<String>,
    /// Names, or prefixes with a final `*`, that stay as the upstream sent them: neither removed nor set.
    pub keep: Vec<String>,
    /// What is missing at the cookies that are set.
    pub set_cookie: SetCookieConfig,
    /// Where responses may send clients.
    pub redirects: RedirectConfig,
    /// What happens to a response for one client that a shared cache could keep. Default: `enforce`.
    pub caching: Mode,
}

/// Where responses may send clients.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RedirectConfig {
    /// What happens to a `location` that leads elsewhere: `enforce` removes it. Default: `enforce`.
    pub mode: Mode,
    /// Hosts, and schemes with a final `:` (`myapp:`), besides the host that was asked; at most 256. Default: none, and then
    /// a redirect to another host is only noted.
    pub hosts: Vec<String>,
}

/// A set of security response fields.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For JSON and gRPC.
    #[serde(rename = "api-2026", alias = "api")]
    #[cfg_attr(feature = "schema", schemars(transform = or("api")))]
    Api2026,
    /// For pages.
    #[serde(rename = "web-2026", alias = "web")]
    #[cfg_attr(feature = "schema", schemars(transform = or("web")))]
    Web2026,
    /// Nothing but what `set` and `add` say.
    None,
}

/// For JSON Schema, which the derive tells nothing of `alias`: the value of a variant, or this name.
#[cfg(feature = "schema")]
fn or(alias: &'static str) -> impl FnMut(&mut schemars::Schema) {
    move |schema| {
        if let Some(name) = schema.remove("const") {
            schema.insert("enum".to_owned(), vec![name, alias.into()].into());
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        defaults::PROFILE
    }
}
