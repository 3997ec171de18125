//! Fetching a document.

use portcullis_core::config::TimeSpan;
use serde::Deserialize;

use crate::defaults;

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
