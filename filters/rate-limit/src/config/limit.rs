//! One limit, as an operator writes it.

use portcullis_core::config::{ByteSize, TimeSpan};
use portcullis_core::verdict::Mode;
use serde::Deserialize;

use super::{Count, GlobalConfig, Matches};
use crate::defaults;

/// One limit. What it counts: requests in a period (`requests`, `per`), requests at one time (`concurrent`), or failed
/// attempts (`failures`).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// Names the limit in events, in the `RateLimit` fields and in the shared state; unique.
    pub id: String,
    /// Which requests it is for: one condition or a list, of which one must be met. Absent: all.
    #[serde(default, rename = "match")]
    pub matches: Matches,
    /// What is counted apart: all parts together. An empty list is one count for all. Absent: `[client_address]`.
    pub key: Option<Vec<KeyPart>>,
    /// What happens to a request that lacks a part of the key.
    #[serde(default)]
    pub missing: Missing,
    /// Tokens that are added in every period, 0 to 1000000000. 0 refuses every request.
    pub requests: Option<Count>,
    /// The period, whole seconds from `1s` to `365d`.
    pub per: Option<TimeSpan>,
    /// Tokens in a full bucket, 1 to 1000000000. Absent: `requests`.
    pub burst: Option<Count>,
    /// Tokens that a request costs. Absent: one.
    pub cost: Option<Cost>,
    /// The share of the bucket in percent, 1 to 99, that must be used for an event to say so. Absent: no such events.
    pub near: Option<Count>,
    /// Counted by the rate-limit service, for several Envoys; only with `requests`. Absent: in this Envoy.
    pub global: Option<GlobalConfig>,
    /// Requests at one time, 1 to 1000000000.
    pub concurrent: Option<Count>,
    /// How long a request counts as under way at most, `1s` to `1d`; only with `concurrent`. Absent: `5m`.
    pub at_most: Option<TimeSpan>,
    /// Failed attempts, and how long who fails is locked out.
    pub failures: Option<FailuresConfig>,
    /// Whether the limit refuses, only reports, or does nothing.
    #[serde(default)]
    pub mode: Mode,
}

/// Counts answers that say that an attempt has failed, and locks out for longer with each further one.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FailuresConfig {
    /// Failures without consequence, 1 to 1000000; with `distinct` at most 16.
    pub allowed: Count,
    /// Statuses that count as failure, 400 to 599, at most 16. gRPC answers count by their status: 16 is 401, 7 is 403, 5 is
    /// 404, 8 is 429.
    #[serde(default = "defaults::failure_statuses")]
    pub statuses: Vec<Count>,
    /// The first lock, whole seconds from `1s`. Each further failure doubles it.
    #[serde(default = "defaults::lock")]
    pub lock: TimeSpan,
    /// The longest lock.
    #[serde(default = "defaults::max_lock")]
    pub max_lock: TimeSpan,
    /// How long after the last failure all are forgotten; at least `max_lock`, at most `30d`.
    #[serde(default = "defaults::forget")]
    pub forget: TimeSpan,
    /// Whether an answer with a status below 400 forgets the failures.
    #[serde(default = "defaults::reset")]
    pub reset_on_success: bool,
    /// What was tried: failures with the same value count once, as many passwords of one account. Absent: each failure
    /// counts.
    pub distinct: Option<Vec<KeyPart>>,
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The client's address; see `client_address` of the whole configuration.
    ClientAddress,
    /// A claim of the verified identity, by name or by a path joined with `.`; always together with its issuer.
    Claim(String),
    /// The OAuth client of the verified identity, with its issuer.
    ClientId,
    /// The value of a request header field. Like all that follow a client can choose it, unless something before this
    /// filter checks it.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// What a variable of the matching path template stands for, as in `{tenant}`.
    PathVariable(String),
    /// The method.
    Method,
    /// The host, without a port.
    Host,
    /// A field of a JSON or form body, by name, in JSON also by a path joined with `.`. Letter case and white space around
    /// it make no difference.
    Body(String),
    /// An attribute of Envoy, as the names of its path: `[connection, sha256_peer_certificate_digest]`.
    Property(Vec<String>),
}

/// How many tokens a request costs; at least one, and at most a full bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// As many for each request, 1 to 1000000000.
    Fixed(Count),
    /// The whole number in a request header field; one token without it, a full bucket if it is no number.
    Header(String),
    /// One for each of these many bytes of the body that have begun; a full bucket for a body of unknown length.
    Body(ByteSize),
    /// The whole number in an attribute that an earlier filter has set, by its path; one token without it.
    Property(Vec<String>),
}

/// What happens to a request that lacks a part of a limit's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// All requests that lack the part share a bucket; the other parts still count.
    #[default]
    LimitTogether,
    /// The limit does not apply.
    Skip,
}
