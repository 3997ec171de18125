//! What the operator writes. The parts that fetch and that bind tokens to a client have their own files.

use portcullis_core::routes::Selector;
use portcullis_core::verdict::{Mode, OnError};
use serde::Deserialize;
use serde_json::Value;

pub use crate::binding::config::{BindingConfig, ClientCertificatesConfig};
use crate::defaults;

mod api_keys;
mod introspection;
mod provider;
mod remote;

pub use api_keys::{ApiKeyConfig, ApiKeysConfig};
pub use introspection::IntrospectionConfig;
pub use provider::{
    ClaimToFilterState, ClaimToHeader, JwksConfig, Profile, ProviderConfig, RevocationConfig,
    SharedSecretConfig,
};
pub use remote::{DiscoveryConfig, RemoteConfig, TimingConfig};

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The issuers whose tokens are accepted.
    #[serde(default)]
    pub providers: Vec<ProviderConfig>,
    /// Keys that programs were given, stored as hashes.
    #[serde(default)]
    pub api_keys: Vec<ApiKeysConfig>,
    /// Client certificates as credentials of their own.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificatesConfig>,
    /// How tokens are judged that their issuer bound to a key or a certificate.
    #[serde(default)]
    pub binding: BindingConfig,
    /// What requests need; the most specific rule decides. A request that no rule selects needs one credential of
    /// any provider.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
    /// `realm` of the challenge (RFC 9110 section 11.5): visible ASCII and spaces, without `"` and `\`.
    #[serde(default = "defaults::realm")]
    pub realm: String,
    /// `resource_metadata` of the challenge (RFC 9728 section 5.1): the https address of this API's metadata, by which
    /// clients find its authorization server.
    #[serde(default)]
    pub resource_metadata: Option<String>,
    /// What of an identity goes to filter state.
    #[serde(default = "defaults::filter_state")]
    pub filter_state: Vec<portcullis_core::identity::Property>,
    /// What happens to preflight requests, which never carry credentials (Fetch section 3.3.5).
    #[serde(default)]
    pub cors_preflight: Preflight,
    /// What happens to a request that can't be judged, as its issuer's keys are not to be had or the proxy has no
    /// clock. `allow` lets it through without identity.
    #[serde(default)]
    pub on_error: OnError,
}

/// What happens to a CORS preflight request: OPTIONS with one `origin` and one `access-control-request-method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Preflight {
    /// It is a request like any other.
    #[default]
    Check,
    /// It needs no credential: a browser can't send one with it, so an API for other sites' pages needs this.
    Pass,
}

/// Where a credential is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LocationConfig {
    /// A request field. `authorization` is read with the schemes Bearer and DPoP, any other as a whole.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query: it ends up in the logs of everything on the way (RFC 9700 section 4.3.2).
    Query(String),
}

/// What the requests that it selects need.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Unique, for audit.
    pub id: String,
    /// Which requests; absent: all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
    /// Which credentials they need.
    #[serde(default)]
    pub require: RequireConfig,
    /// Scopes that the token must have, all of them, byte for byte (RFC 6749 section 3.3).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Claims with the values that they must have, all of them.
    #[serde(default)]
    pub claims: Vec<ClaimRuleConfig>,
    /// How and when the user must have authenticated (RFC 9470).
    #[serde(default)]
    pub authentication: Option<AuthenticationConfig>,
    /// `report` lets refused requests through and notes it; a rule that is `off` is as if it were not there.
    #[serde(default)]
    pub mode: Mode,
}

/// Which credentials a request needs. Names are those of `providers`, `api_keys` and `client_certificates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequireConfig {
    /// None; one that is there is not looked at.
    None,
    /// One of any provider.
    #[default]
    Token,
    /// One of any provider, or none at all. One that is there and not valid is refused: it never becomes an anonymous
    /// request.
    Optional,
    /// One of these.
    AnyOf(Vec<String>),
    /// One of each of these, which must be in different places of the request.
    AllOf(Vec<String>),
    /// One of these, or none at all, as with `optional`.
    OptionalOf(Vec<String>),
}

/// A condition on a claim. Types are compared strictly: the text `"true"` is not `true`, and `7.0` is not `7`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimRuleConfig {
    /// The claim's name, or a path as in `realm_access.tenant`.
    pub claim: String,
    /// The values that it may have: texts, whole numbers or booleans. Of a list one member is enough.
    pub one_of: Vec<Value>,
}

/// How and when the user must have authenticated (RFC 9470 section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AuthenticationConfig {
    /// `acr` must be one of these; empty: any.
    pub acr_values: Vec<String>,
    /// `amr` must hold all of these methods (RFC 8176).
    pub methods: Vec<String>,
    /// Longest time since `auth_time`, in whole seconds.
    pub max_age: Option<portcullis_core::config::TimeSpan>,
}
