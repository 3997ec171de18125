//! How many requests of one key may be under way at one time.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::meter::Level;

/// At most `limit` requests at one time.
///
/// The detail of a [`Level`] is how many are under way, its instant the one at which the latest of them is given up:
/// then a worker that never reported an end holds nobody off any longer.
#[derive(Debug)]
pub struct Concurrency {
    limit: NonZeroU32,
    at_most: Duration,
}

/// What a refused client is told to wait: nobody knows when another request ends.
const RETRY: Duration = Duration::from_secs(1);

impl Concurrency {
    /// At most `limit` requests at one time, each of which counts for `at_most`.
    #[must_use]
    pub const fn new(limit: NonZeroU32, at_most: Duration) -> Self {
        Self { limit, at_most }
    }

    /// One more request.
    ///
    /// # Errors
    /// A second, if as many as may be are under way.
    pub fn take(&self, level: Level, now: u64) -> Result<Level, Duration> {
        let under_way = level.as_of(now).detail;
        if under_way >= self.limit.get().into() {
            return Err(RETRY);
        }
        let at_most = u64::try_from(self.at_most.as_nanos()).unwrap_or(u64::MAX);
        let until = now.saturating_add(at_most).max(level.as_of(now).until);
        Ok(Level { until, detail: under_way.saturating_add(1) })
    }

    /// How long a request counts.
    #[must_use]
    pub const fn at_most(&self) -> Duration {
        self.at_most
    }

    /// One less; none if nothing is left to take from.
    #[must_use]
    pub fn release(level: Level) -> Option<Level> {
        match level.detail.checked_sub(1)? {
            // As good as never seen: its entry is free for another key.
            0 => Some(Level::default()),
            detail => Some(Level { detail, ..level }),
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    fn concurrency(limit: u32) -> Concurrency {
        Concurrency::new(NonZeroU32::new(limit).unwrap(), Duration::from_secs(60))
    }

    #[test]
    fn as_many_as_the_limit_are_under_way_at_one_time() {
        let two = concurrency(2);
        let first = two.take(Level::default(), NOW).unwrap();
        let second = two.take(first, NOW + 1).unwrap();
        assert_eq!(two.take(second, NOW + 2), Err(RETRY));
        let released = Concurrency::release(second).unwrap();
        assert!(two.take(released, NOW + 3).is_ok());
        assert_eq!(
            Concurrency::release(released),
            Some(Level::default()),
            "the last one leaves nothing behind"
        );
        assert_eq!(Concurrency::release(Level::default()), None);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let one = concurrency(1);
        let level = one.take(Level::default(), NOW).unwrap();
        assert!(one.take(level, NOW + 60 * SECOND - 1).is_err());
        assert_eq!(one.take(level, NOW + 60 * SECOND).unwrap().detail, 1);
    }

    proptest! {
        /// However requests begin and end, never more than the limit are under way.
        #[test]
        fn never_more_than_the_limit(limit in 1_u32..6, steps in prop::collection::vec((any::<bool>(), 0_u64..SECOND / 100), 1..300)) {
            let concurrency = concurrency(limit);
            let (mut level, mut now, mut under_way) = (Level::default(), NOW, 0);
            for (begins, gap) in steps {
                now += gap;
                if begins {
                    let taken = concurrency.take(level, now);
                    prop_assert_eq!(taken.is_ok(), under_way < limit);
                    if let Ok(after) = taken { level = after; under_way += 1; }
                } else if under_way > 0 {
                    level = Concurrency::release(level).unwrap();
                    under_way -= 1;
                }
            }
        }
    }
}
