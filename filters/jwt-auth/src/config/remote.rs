//! Fetching documents.

use portcullis_core::config::TimeSpan;
use serde::Deserialize;

use crate::defaults;

/// Fetching a document from its address.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// Fetching a JWK set from where the issuer's metadata say that it is (OpenID Connect Discovery 1.0).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Address of the metadata; absent: `/.well-known/openid-configuration` behind the provider's issuer. For OAuth
    /// servers without OpenID see RFC 8414 section 3.1.
    #[serde(default)]
    pub url: Option<String>,
    /// The cluster that serves the metadata.
    pub cluster: String,
    /// The cluster that serves the keys; absent: the same.
    #[serde(default)]
    pub jwks_cluster: Option<String>,
    /// Hosts, with port where it is not the scheme's own, that the keys may be fetched from; absent: the host of `url`.
    #[serde(default)]
    pub jwks_hosts: Vec<String>,
    /// When to fetch.
    #[serde(default)]
    pub timing: TimingConfig,
}

/// When to fetch.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TimingConfig {
    /// Deadline of each of the two calls, 10 ms to 30 s.
    pub timeout: TimeSpan,
    /// How often, 1 s to 1 day.
    pub refresh: TimeSpan,
    /// Shortest time between two fetches that tokens with an unknown `kid` cause, 1 s to 1 day.
    pub min_refetch: TimeSpan,
    /// How long a set is used if no fetch succeeds, from `refresh` to 7 days.
    pub max_stale: TimeSpan,
}

impl Default for TimingConfig {
    fn default() -> Self {
        Self {
            timeout: defaults::timeout(),
            refresh: defaults::refresh(),
            min_refetch: defaults::min_refetch(),
            max_stale: defaults::max_stale(),
        }
    }
}
