//! The rate-limit service, as an operator describes it.

use portcullis_core::config::TimeSpan;
use serde::Deserialize;

use super::Count;
use crate::defaults;

/// A service that speaks Envoy's `RateLimitService` protocol (gRPC, v3), for limits that several Envoys share.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// Envoy's cluster of the service, which must speak HTTP/2.
    pub cluster: String,
    /// The domain that the service knows these limits by.
    #[serde(default = "defaults::domain")]
    pub domain: String,
    /// How long a request waits for an answer at most, `1ms` to `10s`.
    #[serde(default = "defaults::service_timeout")]
    pub timeout: TimeSpan,
    /// What happens while the service does not answer.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What happens to requests of global limits while the service does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Each limit's `requests`, `per` and `burst` hold in this Envoy alone.
    #[default]
    Local,
    /// They are refused.
    Deny,
    /// They pass, and are reported.
    Allow,
}

/// That a limit is counted by the rate-limit service.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GlobalConfig {
    /// Tokens that are asked for at once, so that the next requests need no call, 1 to 10000 and at most `requests`. 1: each
    /// request asks. Absent: as many as come in `lease_for`, at most 10.
    pub lease: Option<Count>,
    /// How long they may be used, `1s` to `1m`.
    #[serde(default = "defaults::lease_for")]
    pub lease_for: TimeSpan,
}
