//! One issuer of tokens.

use portcullis_core::config::{SecretRef, TimeSpan};
use portcullis_jose::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::LocationConfig;
use crate::defaults;

/// One issuer.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// For rules, logs and metrics: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Compared byte for byte with the `iss` claim.
    pub issuer: String,
    /// One of them must be in the `aud` claim, byte for byte; at least one, unless `skip_audience_check`.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Takes tokens for whatever audience: for issuers that serve this API alone.
    #[serde(default)]
    pub skip_audience_check: bool,
    /// The only algorithms that are accepted. A key without `alg` serves the first one that fits its type.
    #[serde(default)]
    pub algorithms: Option<Vec<Algorithm>>,
    /// Where the keys are; or `shared_secrets`, or `introspection`: exactly one.
    #[serde(default)]
    pub jwks: Option<JwksConfig>,
    /// Secrets that this issuer shares with the filter (HS256, HS384, HS512).
    #[serde(default)]
    pub shared_secrets: Vec<SharedSecretConfig>,
    /// Asks the issuer about opaque tokens, in place of `jwks`.
    #[serde(default)]
    pub introspection: Option<super::IntrospectionConfig>,
    /// Where its tokens are: `authorization` by default.
    #[serde(default = "defaults::from")]
    pub from: Vec<LocationConfig>,
    /// Whether the upstream gets the token itself.
    #[serde(default = "defaults::forward")]
    pub forward: bool,
    /// Takes only tokens that are bound to a key (RFC 9449) or a client certificate (RFC 8705).
    #[serde(default)]
    pub sender_constrained: bool,
    /// A set of checks by a standard's name; the options below add to it.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// The only media types that `typ` may name (RFC 8725 section 3.11). Absent: `JWT`, `at+jwt` or no `typ`.
    #[serde(default)]
    pub types: Option<Vec<String>>,
    /// Refuses headers that carry keys or their addresses (`jwk`, `jku`, `x5c`, `x5u`), which are never used.
    #[serde(default)]
    pub strict_header: bool,
    /// Tolerance on `exp`, `nbf` and `iat`: whole seconds, at most 300 s.
    #[serde(default = "defaults::leeway")]
    pub leeway: TimeSpan,
    /// Longest time from `iat` (without it: from now) to `exp`: whole seconds, at most 366 days.
    #[serde(default = "defaults::max_lifetime")]
    pub max_lifetime: TimeSpan,
    /// Takes tokens without `exp`: they need `iat`, and end `max_lifetime` after it.
    #[serde(default)]
    pub allow_no_exp: bool,
    /// `sub` must be one of these texts; `*` stands for any characters. Empty: any subject.
    #[serde(default)]
    pub subjects: Vec<portcullis_core::TextPattern>,
    /// `client_id`, or without it `azp`, must be one of these. Empty: any client.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Claims that must be there, and not be null or an empty text.
    #[serde(default)]
    pub required_claims: Vec<String>,
    /// Claims that must not be there; in addition to those of other kinds of tokens, which are never accepted.
    #[serde(default)]
    pub forbidden_claims: Vec<String>,
    /// Tokens that are not accepted any more. With it every token needs a `jti`.
    #[serde(default)]
    pub revocation: Option<RevocationConfig>,
    /// Claims with scopes, in this order; the first that is there counts.
    #[serde(default = "defaults::scope_claims")]
    pub scope_claims: Vec<String>,
    /// The claim with the roles: its name, or a path as in `realm_access.roles`.
    #[serde(default = "defaults::roles_claim")]
    pub roles_claim: String,
    /// Claims that the upstream gets as request fields.
    #[serde(default)]
    pub claims_to_headers: Vec<ClaimToHeader>,
    /// Claims that Envoy's own filters and loggers get as filter state.
    #[serde(default)]
    pub claims_to_filter_state: Vec<ClaimToFilterState>,
}

/// Where a provider's keys are.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JwksConfig {
    /// A JWK set in the configuration.
    Inline(Value),
    /// A JWK set to fetch.
    Remote(super::RemoteConfig),
    /// A JWK set to find by the issuer's metadata, and to fetch.
    Discovery(super::DiscoveryConfig),
}

/// Tokens that their issuer took back, by `jti`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RevocationConfig {
    /// In the configuration.
    pub inline: Vec<String>,
    /// A list to fetch: a JSON object whose member `revoked` is a list of `jti`, at most 100,000.
    pub remote: Option<super::RemoteConfig>,
}

/// A secret for HMAC.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SharedSecretConfig {
    /// `kid` of its tokens; absent: of tokens without `kid`.
    #[serde(default)]
    pub kid: Option<String>,
    /// The only algorithm that it is for.
    pub algorithm: Algorithm,
    /// The variable with the secret, base64url without padding; as long as the algorithm's hash at least
    /// (RFC 7518 section 3.2).
    pub secret: SecretRef,
}

/// A standard's set of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// JWT access tokens (RFC 9068 section 2): `typ` is `at+jwt`; `iss`, `exp`, `aud`, `sub`, `client_id`, `iat` and
    /// `jti` are there.
    Rfc9068,
}

/// A claim as a request field.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimToHeader {
    /// The claim's name, or a path as in `realm_access.tenant`.
    pub claim: String,
    /// The field's name. A client's fields of this name are removed from every request.
    pub header: String,
}

/// A claim as filter state `wasm.portcullis.claim.KEY`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimToFilterState {
    /// The claim's name, or a path as in `realm_access.tenant`.
    pub claim: String,
    /// The last part of the key: letters, digits, `-` and `_`.
    pub key: String,
}
