//! What the operator writes.

use portcullis_core::Mode;
use portcullis_core::config::ByteSize;
use portcullis_core::routes::Selector;
use portcullis_core::verdict::OnError;
use serde::Deserialize;
use serde_json::Value;

use crate::defaults;

/// The whole configuration. Example: `docs/schema-guard.md`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// An OpenAPI 3.0 or 3.1 document, as an object or as its JSON text.
    pub document: Value,
    /// Put before each path of the document, as in `/v1`. The document's `servers` are not looked at. Default: empty.
    #[serde(default)]
    pub base_path: String,
    /// Largest body, 1B to 16MiB. Default: 1MiB.
    #[serde(default = "defaults::max_body")]
    pub max_body: ByteSize,
    /// What happens to requests that break the document. Default: enforce.
    #[serde(default)]
    pub mode: Mode,
    /// Other modes for some requests; the most specific `match` decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Query parameters that are not documented. Default: deny.
    #[serde(default)]
    pub unknown_query: UnknownQuery,
    /// Members of objects that the document does not name. Default: deny.
    #[serde(default)]
    pub unknown_properties: UnknownProperties,
    /// Whether HEAD is answered as the documented GET (RFC 9110 section 9.3.2). Default: false, only as documented.
    #[serde(default)]
    pub head_as_get: bool,
    /// What happens to a request that can't be judged because the proxy failed. Default: deny.
    #[serde(default)]
    pub on_error: OnError,
}

/// A mode for some of the requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in events.
    pub id: String,
    /// Which requests; absent: all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
    /// Their mode.
    pub mode: Mode,
}

/// What to do with query parameters that are not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownQuery {
    /// Refuse the request.
    #[default]
    Deny,
    /// Let them pass unseen.
    Allow,
}

/// What to do with members of objects that no schema names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownProperties {
    /// An object whose schema names properties may have no others, unless it says `additionalProperties` itself.
    #[default]
    Deny,
    /// Exactly as the document says: without `additionalProperties`, anything.
    Schema,
}
