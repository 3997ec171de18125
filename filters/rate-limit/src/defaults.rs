//! Every default, with its reason.

use std::time::Duration;

use portcullis_core::config::{ByteSize, TimeSpan};

use crate::config::{Count, KeyPart};

/// One bucket for each client address: the only key that needs no other filter and that a client can't choose.
#[must_use]
pub fn key() -> Vec<KeyPart> {
    vec![KeyPart::ClientAddress]
}

/// Keys that are counted at once, for each limit: 16,384 take 2,048 shared values, about 0.7 MiB of the proxy's memory
/// when all are in use.
pub const SLOTS: u32 = 16_384;

/// [`SLOTS`].
#[must_use]
pub const fn slots() -> Count {
    Count(SLOTS)
}

/// The fewest slots: less would let a handful of clients crowd each other.
pub const MIN_SLOTS: u32 = 64;

/// The most slots: about 45 MiB of the proxy's memory.
pub const MAX_SLOTS: u32 = 1_048_576;

/// The most limits in one configuration. Each that matches a request costs two calls of the proxy.
pub const MAX_LIMITS: usize = 64;

/// The most tokens in a period or a bucket. What is meant to be unlimited needs no limit.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// The longest id, in characters: it is part of the proxy's shared keys and of response fields.
pub const MAX_ID: usize = 64;

/// A login form has some hundred bytes; a body that is read for a key is held until it is whole.
#[must_use]
pub const fn max_body() -> ByteSize {
    ByteSize::new(64 * 1024)
}

/// The most that `max_body` may be: what Envoy holds of a request by default.
pub const MAX_BODY: usize = 1024 * 1024;

/// RFC 6585 section 4.
#[must_use]
pub const fn status() -> Count {
    Count(429)
}

/// How long a request counts as under way: longer than a proxy waits for an answer, so that none counts as ended that has
/// not.
pub const AT_MOST: Duration = Duration::from_secs(300);

/// Answers that say that a credential was wrong, or not good enough.
#[must_use]
pub fn failure_statuses() -> Vec<Count> {
    vec![Count(401), Count(403)]
}

/// Long enough to make guessing slow, short enough for whoever mistypes.
#[must_use]
pub const fn lock() -> TimeSpan {
    TimeSpan::from_secs(30)
}

/// After seven doublings: 24 guesses a day are left.
#[must_use]
pub const fn max_lock() -> TimeSpan {
    TimeSpan::from_secs(3600)
}

/// A day.
#[must_use]
pub const fn forget() -> TimeSpan {
    TimeSpan::from_secs(86_400)
}

/// Whoever proves to know the password has not been guessing it.
#[must_use]
pub const fn reset() -> bool {
    true
}

/// A name of our own, so that a service can serve others as well.
#[must_use]
pub fn domain() -> String {
    "portcullis".to_owned()
}

/// A service in the same network answers in a few milliseconds; a request must not wait long for one that does not.
#[must_use]
pub const fn service_timeout() -> TimeSpan {
    TimeSpan::new(Duration::from_millis(100))
}

/// The longest that a request may wait.
pub const MAX_SERVICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Nine of ten requests of a busy client need no call. No more than come in the time in which they may be used: what a quiet
/// client does not use is lost to it.
#[must_use]
pub fn lease(requests: u32, per: Duration, lease_for: Duration) -> u32 {
    let coming =
        u64::from(requests).saturating_mul(lease_for.as_secs()).checked_div(per.as_secs()).unwrap_or(1);
    u32::try_from(coming.clamp(1, 10)).unwrap_or(1)
}

/// Tokens that are not used go stale soon: they belong to the period in which they were granted.
#[must_use]
pub const fn lease_for() -> TimeSpan {
    TimeSpan::from_secs(1)
}
