//! Keeps a service that fails from being asked for each request: one failure opens it, then one request tries again after
//! a while that doubles with each further failure.

use std::time::Duration;

/// A circuit breaker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// When the next question may be asked, in nanoseconds since the epoch.
    next: u64,
}

/// How long the first pause is; half of it at least, as the rest is chance.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: a service that is back is asked within this time.
const MAX_PAUSE: Duration = Duration::from_secs(4);

impl Breaker {
    /// Whether a question may be asked at `now`. After a failure this holds for one question at a time: `patience` is how
    /// long its answer may take.
    pub fn permits(&mut self, now: u64, patience: Duration) -> bool {
        if self.failures == 0 {
            return true;
        }
        // A clock that steps back must not keep it shut.
        let is_due =
            now >= self.next || self.next.saturating_sub(now) > nanos(MAX_PAUSE.saturating_add(patience));
        if is_due {
            self.next = now.saturating_add(nanos(patience));
        }
        is_due
    }

    /// The service has answered.
    pub const fn succeed(&mut self) {
        self.failures = 0;
    }

    /// It has not. `random` spreads the workers of many proxies over time.
    pub fn fail(&mut self, now: u64, random: u64) {
        let doublings = self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        let pause = nanos(FIRST_PAUSE).checked_shl(doublings).unwrap_or(u64::MAX).min(nanos(MAX_PAUSE));
        let half = pause >> 1;
        let chance = random.checked_rem(half.max(1)).unwrap_or(0);
        self.next = now.saturating_add(half).saturating_add(chance);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;
    const NOW: u64 = 1_800_000_000_000_000_000;
    const PATIENCE: Duration = Duration::from_millis(100);

    #[test]
    fn after_a_failure_one_question_at_a_time_is_asked_in_growing_pauses() {
        let mut breaker = Breaker::default();
        assert!(breaker.permits(NOW, PATIENCE) && breaker.permits(NOW, PATIENCE));
        let mut now = NOW;
        for pause in [250, 500, 1000, 2000, 4000, 4000] {
            // The longest that chance can make it.
            breaker.fail(now, pause * MILLI / 2 - 1);
            assert!(!breaker.permits(now + pause * MILLI / 2 - 1, PATIENCE));
            now += pause * MILLI;
            assert!(breaker.permits(now, PATIENCE), "{pause}");
            assert!(!breaker.permits(now, PATIENCE), "one probe at a time");
        }
        // A probe that is never answered does not keep it shut.
        assert!(breaker.permits(now + 100 * MILLI, PATIENCE));
        breaker.succeed();
        assert!(breaker.permits(now, PATIENCE) && breaker.permits(now, PATIENCE));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_keep_it_shut() {
        let mut breaker = Breaker::default();
        breaker.fail(NOW, 0);
        assert!(!breaker.permits(NOW, PATIENCE));
        assert!(breaker.permits(NOW - 3_600_000 * MILLI, PATIENCE));
    }
}
