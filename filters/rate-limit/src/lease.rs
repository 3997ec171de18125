//! Tokens that a rate-limit service has granted in advance, so that most requests need no call.

use std::time::Duration;

use crate::meter::{Level, Taken};

/// Hands out what was granted. The instant of a [`Level`] is the end of the grant, its detail the tokens that are left, or
/// one of two marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease;

/// The service grants nothing: refuse until then.
const OVER: u64 = 1 << 63;

/// The service has not so many tokens left as a whole lease: ask for single ones until then.
const SMALL: u64 = 1 << 62;

const MARKS: u64 = OVER | SMALL;

impl Lease {
    /// How long a grant or a mark lasts at most.
    pub const LONGEST: Duration = Duration::from_secs(60);

    /// Takes `cost` of the tokens that were granted.
    ///
    /// # Errors
    /// How long nothing will be granted; zero if the service must be asked.
    pub fn take(level: Level, cost: u32, now: u64) -> Result<Level, Duration> {
        let level = level.as_of(now);
        if level.detail & OVER != 0 {
            return Err(Duration::from_nanos(level.until.saturating_sub(now)));
        }
        let left = (level.detail & !MARKS).checked_sub(cost.into()).ok_or(Duration::ZERO)?;
        Ok(Level { detail: left | (level.detail & SMALL), ..level })
    }

    /// Puts tokens back for a request that did not go on; none if the grant is another one now.
    #[must_use]
    pub fn give_back(level: Level, taken: &Taken) -> Option<Level> {
        let before = taken.before?;
        let cost = before.detail.checked_sub(taken.after.detail)?;
        let is_same = level.until == taken.after.until && level.detail & OVER == 0;
        is_same.then(|| Level { detail: level.detail.saturating_add(cost), ..level })
    }

    /// Adds a grant. Tokens that are left of an earlier one stay, and end with the one that ends first.
    #[must_use]
    pub fn granted(level: Level, tokens: u32, now: u64, span: Duration) -> Level {
        let level = level.as_of(now);
        let left = level.detail & !MARKS;
        let end = end(now, span);
        let until = if left == 0 { end } else { level.until.min(end) };
        Level { until, detail: left.saturating_add(tokens.into()).min(!MARKS) | (level.detail & SMALL) }
    }

    /// Notes that the service grants nothing for so long.
    #[must_use]
    pub fn refused(now: u64, span: Duration) -> Level {
        Level { until: end(now, span), detail: OVER }
    }

    /// Notes that the service has less than a whole lease for so long.
    #[must_use]
    pub fn shrunk(now: u64, span: Duration) -> Level {
        Level { until: end(now, span), detail: SMALL }
    }

    /// Whether to ask for single tokens.
    #[must_use]
    pub fn is_small(level: Level, now: u64) -> bool {
        level.as_of(now).detail & SMALL != 0
    }
}

fn end(now: u64, span: Duration) -> u64 {
    now.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: u64 = 1_800_000_000_000_000_000;

    fn takes(mut level: Level, cost: u32, now: u64) -> usize {
        std::iter::from_fn(|| {
            level = Lease::take(level, cost, now).ok()?;
            Some(())
        })
        .count()
    }

    #[test]
    fn a_lease_gives_what_was_granted_until_it_ends() {
        assert_eq!(Lease::take(Level::default(), 1, NOW), Err(Duration::ZERO));
        let lease = Lease::granted(Level::default(), 9, NOW, SECOND);
        assert_eq!((takes(lease, 1, NOW), takes(lease, 4, NOW)), (9, 2));
        assert_eq!(Lease::take(lease, 1, NOW + 1_000_000_000), Err(Duration::ZERO), "too late");
        let more = Lease::granted(lease, 5, NOW + 1, SECOND);
        assert_eq!((takes(more, 1, NOW + 1), more.until), (14, lease.until), "the end of the first stays");
    }

    #[test]
    fn marks_hold_for_their_time() {
        let refused = Lease::refused(NOW, SECOND);
        assert_eq!(Lease::take(refused, 1, NOW), Err(SECOND));
        assert_eq!(Lease::take(refused, 1, NOW + 1_000_000_000), Err(Duration::ZERO));
        let small = Lease::shrunk(NOW, SECOND);
        assert!(Lease::is_small(small, NOW) && !Lease::is_small(small, NOW + 1_000_000_000));
        assert_eq!(Lease::take(small, 1, NOW), Err(Duration::ZERO));
        let granted = Lease::granted(small, 1, NOW, SECOND);
        assert_eq!((takes(granted, 1, NOW), Lease::is_small(granted, NOW)), (1, true));
    }

    #[test]
    fn tokens_go_back_into_the_same_grant_only() {
        let lease = Lease::granted(Level::default(), 3, NOW, SECOND);
        let after = Lease::take(lease, 2, NOW).unwrap();
        let taken = Taken { before: Some(lease), after };
        assert_eq!(Lease::give_back(after, &taken), Some(lease));
        assert_eq!(Lease::give_back(Lease::granted(Level::default(), 1, NOW + 5, SECOND), &taken), None);
        assert_eq!(Lease::give_back(Lease::refused(NOW, SECOND), &taken), None);
    }
}
