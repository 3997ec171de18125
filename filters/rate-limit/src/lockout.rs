//! Who fails too often is locked out for a while, and for longer with each further failure.
//!
//! A limit on attempts would hold off those who succeed as well; this one counts failures. Since a failure is known only
//! from the answer, a request that is under way counts too: no more attempts may be under way than failures are left,
//! so that a thousand guesses at once are no way around. After a lock one attempt at a time is let through; if it fails,
//! the next lock is twice as long.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::meter::{Ending, Level};

/// Counts failures of one key and locks it out.
///
/// The instant of a [`Level`] is that at which the last failure is forgotten. The detail holds, from the lowest bit: the
/// failures (a number of 24 bits, or with `distinct` a set of 40), the attempts under way in what is left of 48 bits, and 16
/// bits of the minute in which the last of them began.
#[derive(Debug)]
pub struct Lockout {
    /// Failures without consequence.
    allowed: NonZeroU32,
    /// How long the first lock is.
    lock: u64,
    /// How long a lock is at most.
    max_lock: u64,
    /// How long a failure counts; at least `max_lock`.
    forget: u64,
    /// Whether failures count only once for each thing that was tried.
    distinct: bool,
}

/// What a [`Level`] says of a lock-out.
#[derive(Clone, Copy, Default)]
struct State {
    failures: u64,
    under_way: u64,
    minute: u64,
}

/// Bits of a set of failures, and of a number.
const SET_BITS: u32 = 40;
const NUMBER_BITS: u32 = 24;
const MINUTE_PLACE: u32 = 48;
const MINUTE_MASK: u64 = 0xffff;

/// The most failures without consequence with `distinct`: a set of 40 bits tells about this many apart.
pub const MAX_DISTINCT: u32 = 16;

/// An attempt that has not ended after so many minutes counts no longer as under way.
const GIVEN_UP_AFTER: u64 = 5;

const MINUTE: u64 = 60_000_000_000;

/// What a client is told to wait when other attempts are under way.
const RETRY: Duration = Duration::from_secs(1);

impl Lockout {
    /// Locks out after more than `allowed` failures; `forget` must be at least `max_lock`, and that at least `lock`.
    #[must_use]
    pub fn new(
        allowed: NonZeroU32,
        lock: Duration,
        max_lock: Duration,
        forget: Duration,
        distinct: bool,
    ) -> Self {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self { allowed, lock: nanos(lock), max_lock: nanos(max_lock), forget: nanos(forget), distinct }
    }

    /// One more attempt.
    ///
    /// # Errors
    /// How long the key is locked out; a second when as many attempts as may be are under way.
    pub fn take(&self, level: Level, now: u64) -> Result<Level, Duration> {
        let state = self.read(level, now);
        let (failures, allowed) = (self.count(state.failures), u64::from(self.allowed.get()));
        if failures >= allowed {
            let last = level.until.saturating_sub(self.forget);
            let open = last.saturating_add(self.lock_after(failures));
            if open > now {
                return Err(Duration::from_nanos(open.saturating_sub(now)));
            }
        }
        let room = allowed.saturating_sub(failures).max(1).min(low(MINUTE_PLACE.saturating_sub(self.bits())));
        if state.under_way >= room {
            return Err(RETRY);
        }
        let state = State {
            under_way: state.under_way.saturating_add(1),
            minute: minute(now),
            failures: state.failures,
        };
        let until = if failures == 0 { now.saturating_add(self.forget) } else { level.until };
        Ok(self.write(state, until))
    }

    /// What an attempt leaves behind; none if nothing is known of it any more and it has nothing to say.
    #[must_use]
    pub fn settle(&self, level: Level, ending: Ending, now: u64) -> Option<Level> {
        let mut state = self.read(level, now);
        let is_known = state.under_way > 0 || state.failures > 0;
        state.under_way = state.under_way.saturating_sub(1);
        let mut until = level.until;
        match ending {
            Ending::Over if !is_known => return None,
            Ending::Over => {}
            Ending::Succeeded => state.failures = 0,
            Ending::Failed(tried) => {
                state.failures = self.with_failure(state.failures, tried);
                until = now.saturating_add(self.forget);
            }
        }
        let is_empty = state.failures == 0 && state.under_way == 0;
        Some(if is_empty { Level::default() } else { self.write(state, until) })
    }

    /// Where a key without an entry starts after `level` was pushed out: with one attempt before it is locked out. To lock
    /// out everybody who was never seen would be what an attacker wants; to begin anew would be as well.
    #[must_use]
    pub fn floor(&self, level: Level) -> Level {
        let allowed = u64::from(self.allowed.get());
        let failures = self.count(level.detail & low(self.bits())).min(allowed.saturating_sub(1));
        Level { until: level.until, detail: self.of_count(failures) }
    }

    /// How long a failure counts.
    #[must_use]
    pub const fn forget(&self) -> Duration {
        Duration::from_nanos(self.forget)
    }

    /// How long the lock is after so many failures: twice as long with each.
    fn lock_after(&self, failures: u64) -> u64 {
        let doublings = failures.saturating_sub(self.allowed.get().into());
        let factor = u32::try_from(doublings)
            .ok()
            .and_then(|doublings| 1_u64.checked_shl(doublings))
            .unwrap_or(u64::MAX);
        self.lock.saturating_mul(factor).min(self.max_lock)
    }

    /// How many bits the failures take.
    const fn bits(&self) -> u32 {
        if self.distinct { SET_BITS } else { NUMBER_BITS }
    }

    fn read(&self, level: Level, now: u64) -> State {
        let detail = level.as_of(now).detail;
        let then = (detail >> MINUTE_PLACE) & MINUTE_MASK;
        // Minutes are counted around: an attempt that is 45 days old would count again, if it were not for its end.
        let age = minute(now).wrapping_sub(then) & MINUTE_MASK;
        let under_way = (detail & low(MINUTE_PLACE)).checked_shr(self.bits()).unwrap_or(0);
        State {
            failures: detail & low(self.bits()),
            under_way: if age > GIVEN_UP_AFTER { 0 } else { under_way },
            minute: then,
        }
    }

    fn write(&self, state: State, until: u64) -> Level {
        let under_way = state.under_way.checked_shl(self.bits()).unwrap_or(0);
        Level { until, detail: state.failures | under_way | (state.minute << MINUTE_PLACE) }
    }

    /// How many failures the bits stand for.
    fn count(&self, failures: u64) -> u64 {
        if self.distinct { failures.count_ones().into() } else { failures }
    }

    /// The bits for so many failures; as a set the lowest ones, so that the larger of two such sets holds the other.
    fn of_count(&self, failures: u64) -> u64 {
        if !self.distinct {
            return failures.min(low(NUMBER_BITS));
        }
        low(u32::try_from(failures).unwrap_or(SET_BITS).min(SET_BITS))
    }

    fn with_failure(&self, failures: u64, tried: u64) -> u64 {
        if self.distinct {
            let bit = tried.checked_rem(SET_BITS.into()).unwrap_or(0);
            let bit = u32::try_from(bit).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0);
            return failures | bit;
        }
        failures.saturating_add(1).min(low(NUMBER_BITS))
    }
}

/// The lowest bits of a number, so many.
const fn low(bits: u32) -> u64 {
    match 1_u64.checked_shl(bits) {
        Some(next) => next.saturating_sub(1),
        None => u64::MAX,
    }
}

fn minute(now: u64) -> u64 {
    now.checked_div(MINUTE).unwrap_or(0) & MINUTE_MASK
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    fn lockout(allowed: u32, distinct: bool) -> Lockout {
        let secs = Duration::from_secs;
        Lockout::new(NonZeroU32::new(allowed).unwrap(), secs(30), secs(3600), secs(86_400), distinct)
    }

    fn attempt(lockout: &Lockout, level: &mut Level, now: u64, ending: Ending) -> Result<(), Duration> {
        *level = lockout.take(*level, now)?;
        if let Some(after) = lockout.settle(*level, ending, now) {
            *level = after;
        }
        Ok(())
    }

    #[test]
    fn each_failure_after_the_allowed_ones_locks_twice_as_long_up_to_a_bound() {
        let lockout = lockout(3, false);
        let (mut level, mut now) = (Level::default(), NOW);
        for _ in 0..3 {
            attempt(&lockout, &mut level, now, Ending::Failed(1)).unwrap();
        }
        for expected in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] {
            let wait = attempt(&lockout, &mut level, now, Ending::Failed(1)).unwrap_err();
            assert_eq!(wait, Duration::from_secs(expected));
            now += expected * SECOND - 1;
            assert!(attempt(&lockout, &mut level, now, Ending::Failed(1)).is_err());
            now += 1;
            attempt(&lockout, &mut level, now, Ending::Failed(1)).unwrap();
        }
    }

    #[test]
    fn a_success_forgets_failures_and_other_answers_do_not() {
        let lockout = lockout(2, false);
        let mut level = Level::default();
        attempt(&lockout, &mut level, NOW, Ending::Failed(1)).unwrap();
        attempt(&lockout, &mut level, NOW, Ending::Over).unwrap();
        assert_eq!(lockout.count(lockout.read(level, NOW).failures), 1);
        attempt(&lockout, &mut level, NOW, Ending::Succeeded).unwrap();
        assert_eq!(level, Level::default(), "nothing is left to keep");
    }

    #[test]
    fn failures_are_forgotten_in_time() {
        let lockout = lockout(1, false);
        let mut level = Level::default();
        attempt(&lockout, &mut level, NOW, Ending::Failed(1)).unwrap();
        attempt(&lockout, &mut level, NOW + 30 * SECOND, Ending::Failed(1)).unwrap();
        let later = NOW + (30 + 86_400) * SECOND;
        attempt(&lockout, &mut level, later, Ending::Failed(1)).unwrap();
        assert_eq!(lockout.take(level, later), Err(Duration::from_secs(30)), "a first lock again");
    }

    #[test]
    fn guesses_at_the_same_time_are_no_way_around() {
        let lockout = lockout(5, false);
        let mut level = Level::default();
        let mut under_way = 0;
        while let Ok(after) = lockout.take(level, NOW) {
            level = after;
            under_way += 1;
        }
        assert_eq!((under_way, lockout.take(level, NOW)), (5, Err(RETRY)));
        for _ in 0..5 {
            level = lockout.settle(level, Ending::Failed(1), NOW).unwrap();
        }
        assert_eq!(lockout.take(level, NOW), Err(Duration::from_secs(30)));
        // After the lock one guess at a time.
        let open = NOW + 30 * SECOND;
        let probe = lockout.take(level, open).unwrap();
        assert_eq!(lockout.take(probe, open), Err(RETRY));
    }

    #[test]
    fn many_attempts_at_the_same_time_are_fine_where_many_failures_are() {
        let lockout = lockout(1000, false);
        let mut level = Level::default();
        for under_way in 0..1000 {
            level = lockout.take(level, NOW).unwrap();
            assert_eq!(lockout.read(level, NOW).under_way, under_way + 1);
        }
        assert_eq!(lockout.take(level, NOW), Err(RETRY));
        for left in (0..1000).rev() {
            level = lockout.settle(level, Ending::Failed(0), NOW).unwrap();
            assert_eq!(lockout.read(level, NOW).under_way, left);
        }
        assert_eq!(lockout.count(lockout.read(level, NOW).failures), 1000);
        assert!(lockout.take(level, NOW).is_err());
    }

    #[test]
    fn an_attempt_that_never_ends_is_given_up() {
        let lockout = lockout(1, false);
        let level = lockout.take(Level::default(), NOW).unwrap();
        assert!(lockout.take(level, NOW + 4 * MINUTE).is_err());
        assert!(lockout.take(level, NOW + 6 * MINUTE).is_ok());
    }

    #[test]
    fn with_distinct_the_same_guess_counts_once() {
        let lockout = lockout(3, true);
        let mut level = Level::default();
        for _ in 0..100 {
            attempt(&lockout, &mut level, NOW, Ending::Failed(7)).unwrap();
        }
        attempt(&lockout, &mut level, NOW, Ending::Failed(8)).unwrap();
        attempt(&lockout, &mut level, NOW, Ending::Failed(9)).unwrap();
        assert_eq!(attempt(&lockout, &mut level, NOW, Ending::Failed(9)), Err(Duration::from_secs(30)));
    }

    #[test]
    fn who_was_pushed_out_has_one_attempt_left() {
        for distinct in [false, true] {
            let lockout = lockout(3, distinct);
            let mut level = Level::default();
            for tried in 0..3 {
                attempt(&lockout, &mut level, NOW, Ending::Failed(tried)).unwrap();
            }
            let mut floor = lockout.floor(level);
            attempt(&lockout, &mut floor, NOW, Ending::Failed(39)).unwrap();
            assert_eq!(lockout.take(floor, NOW), Err(Duration::from_secs(30)), "distinct: {distinct}");
        }
    }

    proptest! {
        /// Within any time the failures that get through are at most those allowed and one for each lock that ended.
        #[test]
        fn guesses_are_bounded(allowed in 1_u32..6, gaps in prop::collection::vec(0_u64..20 * SECOND, 1..400)) {
            let lockout = lockout(allowed, false);
            let (mut level, mut now, mut failed) = (Level::default(), NOW, 0_u64);
            for gap in gaps {
                now += gap;
                if attempt(&lockout, &mut level, now, Ending::Failed(1)).is_ok() {
                    failed += 1;
                }
                // Locks of 30, 60, 120 ... seconds: 2^n - 1 times 30 seconds for n of them.
                let locks = ((now - NOW) / (30 * SECOND) + 1).ilog2();
                prop_assert!(failed <= u64::from(allowed) + u64::from(locks));
            }
        }

        /// No value of shared data makes it do anything but count.
        #[test]
        fn any_level_is_read(until in any::<u64>(), detail in any::<u64>(), now in any::<u64>(), tried in any::<u64>(), distinct: bool) {
            let lockout = lockout(3, distinct);
            let level = Level { until, detail };
            let _ = lockout.take(level, now);
            let _ = lockout.floor(level);
            for ending in [Ending::Over, Ending::Failed(tried), Ending::Succeeded] {
                let _ = lockout.settle(level, ending, now);
            }
        }
    }
}
