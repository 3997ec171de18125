//! Instants of the wall clock, which a filter gets from its host and never reads itself.

use std::time::Duration;

/// Nanoseconds since the Unix epoch, as proxy-wasm's `proxy_get_current_time_nanoseconds` gives them.
///
/// The clock may step back or jump (NTP, a suspended host), so every difference saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

impl UnixTime {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch; saturates in the year 2554.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// Whole seconds since the epoch (RFC 7519 NumericDate without its fraction).
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    /// How long ago `earlier` was; zero if the clock stepped back since.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved into the future; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: HOST-TRAP-08, HOST-CTX-10
    #[test]
    fn differences_never_underflow_and_sums_never_overflow() {
        let (early, late) = (UnixTime::from_secs(10), UnixTime::from_secs(12));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        let (first, last) = (UnixTime::default(), UnixTime::from_nanos(u64::MAX));
        for (name, found, expected) in [
            ("the longest sum", last.plus(Duration::MAX), last),
            ("seconds that do not fit", UnixTime::from_secs(u64::MAX), last),
            ("the first second that does not fit", UnixTime::from_secs(18_446_744_074), last),
            ("a sum of one nanosecond too many", last.plus(Duration::from_nanos(1)), last),
        ] {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!((first.since(last), last.since(first)), (Duration::ZERO, Duration::from_nanos(u64::MAX)));
    }
}
