//! What the operator writes.

use portcullis_core::config::TimeSpan;
use portcullis_core::routes::Selector;
use portcullis_core::verdict::{Mode, OnError};
use portcullis_jose::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use crate::defaults;

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The issuers whose tokens are accepted; at least one.
    pub providers: Vec<ProviderConfig>,
    /// What requests need; the most specific rule decides. A request that no rule selects needs a token.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
    /// `realm` of the challenge (RFC 9110 section 11.5): visible ASCII and spaces, without `"` and `\`.
    #[serde(default = "defaults::realm")]
    pub realm: String,
    /// What happens to a request that can't be judged, as its issuer's keys are not to be had or the proxy has no
    /// clock. `allow` lets it through without identity.
    #[serde(default)]
    pub on_error: OnError,
}

/// One issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// For logs and metrics: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Compared byte for byte with the `iss` claim.
    pub issuer: String,
    /// One of them must be in the `aud` claim, byte for byte; at least one.
    pub audiences: Vec<String>,
    /// The only algorithms that are accepted. A key without `alg` serves the first one that fits its type.
    #[serde(default = "defaults::algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub jwks: JwksConfig,
    /// Tolerance on `exp`, `nbf` and `iat`: whole seconds, at most 300 s.
    #[serde(default = "defaults::leeway")]
    pub leeway: TimeSpan,
    /// Longest time from `iat` (without it: from now) to `exp`: whole seconds, at most 366 days.
    #[serde(default = "defaults::max_lifetime")]
    pub max_lifetime: TimeSpan,
    /// The claim with the roles: its name, or a path as in `realm_access.roles`.
    #[serde(default = "defaults::roles_claim")]
    pub roles_claim: String,
    /// Claims that the upstream gets as request fields.
    #[serde(default)]
    pub claims_to_headers: Vec<ClaimToHeader>,
    /// Whether the upstream gets the token itself.
    #[serde(default = "defaults::forward")]
    pub forward: bool,
}

/// Where a provider's keys are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JwksConfig {
    /// A JWK set in the configuration.
    Inline(Value),
    /// A JWK set to fetch.
    Remote(RemoteConfig),
}

/// Fetching a JWK set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Its address. Host and path go into the request; the connection is the cluster's, TLS included.
    pub url: String,
    /// The cluster that serves it.
    pub cluster: String,
    /// Deadline of a fetch, 10 ms to 30 s.
    #[serde(default = "defaults::timeout")]
    pub timeout: TimeSpan,
    /// How often the set is fetched, 1 s to 1 day.
    #[serde(default = "defaults::refresh")]
    pub refresh: TimeSpan,
    /// Shortest time between two fetches that tokens with an unknown `kid` cause, 1 s to 1 day.
    #[serde(default = "defaults::min_refetch")]
    pub min_refetch: TimeSpan,
    /// How long a set is used if no fetch succeeds, from `refresh` to 7 days.
    #[serde(default = "defaults::max_stale")]
    pub max_stale: TimeSpan,
}

/// A claim as a request field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimToHeader {
    /// The claim's name, or a path as in `realm_access.tenant`.
    pub claim: String,
    /// The field's name. A client's fields of this name are removed from every request.
    pub header: String,
}

/// What the requests that it selects need.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Unique, for audit.
    pub id: String,
    /// Which requests; absent: all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
    /// What they need.
    #[serde(default)]
    pub require: Requirement,
    /// `report` lets refused requests through and notes it; a rule that is `off` is as if it were not there.
    #[serde(default)]
    pub mode: Mode,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Nothing; a token that is there is not looked at.
    None,
    /// A valid token of any provider.
    #[default]
    Token,
}
