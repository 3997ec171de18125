//! Keys that programs were given.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ClaimToHeader, LocationConfig};
use crate::defaults;

/// A set of API keys.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKeysConfig {
    /// For rules and logs, and the issuer of the identities: `api-keys:NAME`.
    pub name: String,
    /// Where the key is: the field `x-api-key` by default.
    #[serde(default = "defaults::api_key_from")]
    pub from: Vec<LocationConfig>,
    /// Whether the upstream gets the key itself.
    #[serde(default)]
    pub forward: bool,
    /// The keys, 1 to 10,000.
    pub keys: Vec<ApiKeyConfig>,
    /// Members of `claims` that the upstream gets as request fields, and `sub`, which is the key's `id`.
    #[serde(default)]
    pub claims_to_headers: Vec<ClaimToHeader>,
}

/// One key. The key itself is in no configuration.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// The subject of its identity; unique in the set.
    pub id: String,
    /// SHA-256 of the key, 64 hexadecimal digits. That is enough for keys of 128 random bits; it protects no password.
    pub sha256: String,
    /// Whose key it is.
    #[serde(default)]
    pub client_id: String,
    /// What it may do.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Roles of the identity.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Further claims of the identity.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Last second in which it is accepted, since the epoch.
    #[serde(default)]
    pub expires: Option<u64>,
}
