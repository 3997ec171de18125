//! Every default and bound, with its reason.

use portcullis_core::config::TimeSpan;
use portcullis_core::identity::Property;
use portcullis_jose::Algorithm;

use crate::config::LocationConfig;

/// The whole identity, for the filters behind. Texts for Envoy's own filters and loggers cost as much each.
#[must_use]
pub fn filter_state() -> Vec<Property> {
    vec![Property::Identity]
}

/// A challenge must have a parameter (RFC 9110 section 11.6.1), so there is always a realm.
#[must_use]
pub fn realm() -> String {
    "api".to_owned()
}

/// What nearly all issuers use, and what Envoy verifies natively.
#[must_use]
pub fn algorithms() -> Vec<Algorithm> {
    Algorithm::USUAL.to_vec()
}

/// The one place that nothing on the way writes into a log (RFC 6750 section 2.1).
#[must_use]
pub fn from() -> Vec<LocationConfig> {
    vec![LocationConfig::Header("authorization".to_owned())]
}

/// What most gateways call it.
#[must_use]
pub fn api_key_from() -> Vec<LocationConfig> {
    vec![LocationConfig::Header("x-api-key".to_owned())]
}

/// RFC 9068 section 2.2.3 has `scope`; others write `scp`.
#[must_use]
pub fn scope_claims() -> Vec<String> {
    vec!["scope".to_owned(), "scp".to_owned()]
}

/// Servers with NTP differ by less than a second; 30 s covers those without.
#[must_use]
pub const fn leeway() -> TimeSpan {
    TimeSpan::from_secs(30)
}

/// More leeway would be a second life for every stolen token.
pub const MAX_LEEWAY: TimeSpan = TimeSpan::from_secs(300);

/// A token can't be taken back, so one that lives longer than a day is a mistake at the issuer.
#[must_use]
pub const fn max_lifetime() -> TimeSpan {
    TimeSpan::from_secs(24 * 3600)
}

/// For issuers that can't do better.
pub const MAX_MAX_LIFETIME: TimeSpan = TimeSpan::from_secs(366 * 24 * 3600);

/// The usual name of the claim.
#[must_use]
pub fn roles_claim() -> String {
    "roles".to_owned()
}

/// The upstream may check the token itself.
#[must_use]
pub const fn forward() -> bool {
    true
}

/// Requests wait for the first fetch, so it must end soon.
#[must_use]
pub const fn timeout() -> TimeSpan {
    TimeSpan::from_secs(2)
}

/// Waiting for longer than this helps nobody.
pub const MAX_TIMEOUT: TimeSpan = TimeSpan::from_secs(30);

/// How long a key that the issuer took away is still accepted.
#[must_use]
pub const fn refresh() -> TimeSpan {
    TimeSpan::from_secs(600)
}

/// A day: providers announce new keys at least that long before they use them.
pub const MAX_REFRESH: TimeSpan = TimeSpan::from_secs(24 * 3600);

/// Anybody can send an unknown `kid`: this bounds what that costs the issuer.
#[must_use]
pub const fn min_refetch() -> TimeSpan {
    TimeSpan::from_secs(30)
}

/// How long the issuer may be down without harm, against how long its last keys are trusted.
#[must_use]
pub const fn max_stale() -> TimeSpan {
    TimeSpan::from_secs(3600)
}

/// A week: longer than any outage, shorter than a key's usual life.
pub const MAX_MAX_STALE: TimeSpan = TimeSpan::from_secs(7 * 24 * 3600);

/// Requests of one worker that may wait for keys at the same time; each holds a connection and its buffers.
pub const MAX_WAITING: u32 = 1_000;

/// How often key sets are looked after. One tick costs a read of 25 bytes per provider, and requests that wait for
/// another worker's fetch go on at a tick.
pub const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// Verified tokens that one worker remembers.
pub const CACHE_ENTRIES: usize = 1_000;

/// Memory for them, in bytes.
pub const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Longest value of a field made from a claim, in bytes.
pub const MAX_OUTPUT: usize = 4 * 1024;

/// A clock that shows an earlier time than this release can't be right: every token would be valid for ever.
/// 1 January 2026.
pub const EARLIEST: portcullis_core::UnixTime = portcullis_core::UnixTime::from_secs(1_767_225_600);

/// Most providers, API key sets and other sources of credentials: each is looked at for each request.
pub const MAX_SOURCES: usize = 64;

/// How long a token that was taken back goes on to be accepted, against how often the issuer is asked.
#[must_use]
pub const fn introspection_cache() -> TimeSpan {
    TimeSpan::from_secs(30)
}

/// Long enough for a client that repeats itself, short enough for a token that was just issued.
#[must_use]
pub const fn introspection_negative_cache() -> TimeSpan {
    TimeSpan::from_secs(5)
}
