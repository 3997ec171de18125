//! When to fetch a key set: one fetch for all workers, seldom, and not all at the same moment.

use std::time::Duration;

use portcullis_core::UnixTime;

/// First wait after a failed fetch; each further failure doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest wait between attempts while a provider is down.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// A fetch whose answer never came back is given up this long after its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// The times of one provider, checked: timeout <= 30 s, refresh <= max_stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Deadline of a call.
    pub timeout: Duration,
    /// Calls of a fetch, one after the other.
    pub steps: u32,
    /// Age of a set at which it is fetched again.
    pub refresh: Duration,
    /// Shortest time between fetches for an unknown `kid`.
    pub min_refetch: Duration,
    /// Age from which a set is not used any more.
    pub max_stale: Duration,
}

/// Why keys are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There are none, or it is time to look for changes.
    Refresh,
    /// A token names a key that the set does not have.
    UnknownKey,
}

/// What all workers know about a provider's fetches. Kept in shared data, so that a fleet of workers acts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// When the last fetch began.
    attempted: UnixTime,
    /// Until when whoever began it has the right to it.
    lease: UnixTime,
    /// When the last set was stored; zero for never.
    stored: UnixTime,
    /// For how long its answer is fresh, in seconds; 0 where it does not say.
    fresh: u32,
    /// Fetches that failed since then.
    failures: u8,
}

/// Format of the shared value; another one is as good as none.
const FORMAT: u8 = 2;

impl Schedule {
    /// Reads the shared value; none for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[FORMAT, failures], times) = bytes.split_first_chunk()? else {
            return None;
        };
        let (attempted, times) = times.split_first_chunk()?;
        let (lease, times) = times.split_first_chunk()?;
        let (stored, fresh) = times.split_first_chunk()?;
        let fresh = u32::from_le_bytes(fresh.try_into().ok()?);
        let time = |bytes: &[u8; 8]| UnixTime::from_nanos(u64::from_le_bytes(*bytes));
        Some(Self { attempted: time(attempted), lease: time(lease), stored: time(stored), fresh, failures })
    }

    /// The shared value: format, failures, then three times in nanoseconds and the freshness in seconds, little endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let times = [self.attempted, self.lease, self.stored].map(|time| time.as_nanos().to_le_bytes());
        [&[FORMAT, self.failures], times.as_flattened(), &self.fresh.to_le_bytes()].concat()
    }

    /// When the last fetch began.
    #[must_use]
    pub const fn attempted(&self) -> UnixTime {
        self.attempted
    }

    /// When the last set was stored; zero for never.
    #[must_use]
    pub const fn stored(&self) -> UnixTime {
        self.stored
    }

    /// Whether a fetch is in flight somewhere. Never for longer than its deadline and a second, also if the clock
    /// steps back.
    #[must_use]
    pub fn is_pending(&self, now: UnixTime, timing: &Timing) -> bool {
        now < self.lease && self.lease.since(now) <= lease(timing)
    }

    /// Whether to begin a fetch now. `jitter` (0 to 255) brings this worker's next attempt forward by up to a quarter
    /// of the wait, so that many proxies do not ask a provider in step.
    #[must_use]
    pub fn is_due(&self, need: Need, now: UnixTime, timing: &Timing, jitter: u8) -> bool {
        if self.is_pending(now, timing) {
            return false;
        }
        // A time in the future is from before the clock stepped back.
        let long_ago = |time: UnixTime, wait: Duration| time > now || now >= time.plus(wait);
        match need {
            Need::Refresh => {
                let (time, wait) = self.next(timing);
                let part = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX) / 1024;
                let earlier = Duration::from_nanos(part.saturating_mul(jitter.into()));
                long_ago(time, wait.saturating_sub(earlier))
            }
            Need::UnknownKey => long_ago(self.attempted, timing.min_refetch),
        }
    }

    /// How long until the next regular attempt, in whole seconds, at least 1.
    #[must_use]
    pub fn retry_after(&self, now: UnixTime, timing: &Timing) -> u64 {
        let (time, wait) = self.next(timing);
        time.plus(wait).since(now).as_secs().saturating_add(1).min(MAX_RETRY.as_secs())
    }

    /// A fetch begins.
    #[must_use]
    pub fn begun(self, now: UnixTime, timing: &Timing) -> Self {
        Self { attempted: now, lease: now.plus(lease(timing)), ..self }
    }

    /// A document arrived, with what its answer says of how long it is fresh.
    #[must_use]
    pub fn succeeded(self, now: UnixTime, fresh: Option<Duration>) -> Self {
        let fresh = fresh.map_or(0, |fresh| u32::try_from(fresh.as_secs()).unwrap_or(u32::MAX));
        Self { lease: UnixTime::default(), stored: now, failures: 0, fresh, ..self }
    }

    /// No usable set arrived.
    #[must_use]
    pub fn failed(self) -> Self {
        Self { lease: UnixTime::default(), failures: self.failures.saturating_add(1), ..self }
    }

    /// From when and how long the next regular attempt waits.
    fn next(&self, timing: &Timing) -> (UnixTime, Duration) {
        if self.failures > 0 {
            let doublings = u32::from(self.failures.saturating_sub(1));
            let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_RETRY);
            return (self.attempted, wait.min(timing.refresh));
        }
        let fresh = (self.fresh > 0).then(|| Duration::from_secs(self.fresh.into()));
        (self.stored, fresh.map_or(timing.refresh, |fresh| fresh.min(timing.refresh)))
    }
}

const fn lease(timing: &Timing) -> Duration {
    timing.timeout.saturating_mul(timing.steps).saturating_add(GRACE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMING: Timing = Timing {
        timeout: Duration::from_secs(2),
        steps: 1,
        refresh: Duration::from_secs(600),
        min_refetch: Duration::from_secs(30),
        max_stale: Duration::from_secs(3600),
    };

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_set_is_fetched_at_once_and_then_once_a_period() {
        let first = Schedule::default();
        assert!(first.is_due(Need::Refresh, at(0), &TIMING, 0));
        let set = first.begun(at(0), &TIMING).succeeded(at(1), None);
        for (seconds, need, jitter, expected) in [
            (30, Need::Refresh, 255, false),
            (600, Need::Refresh, 0, false),
            (601, Need::Refresh, 0, true),
            (440, Need::Refresh, 255, false),
            (460, Need::Refresh, 255, true),
            (29, Need::UnknownKey, 255, false),
            (30, Need::UnknownKey, 0, true),
        ] {
            assert_eq!(set.is_due(need, at(seconds), &TIMING, jitter), expected, "{need:?} at {seconds} s");
        }
    }

    #[test]
    fn only_one_fetch_is_in_flight_and_none_for_ever() {
        let begun = Schedule::default().begun(at(0), &TIMING);
        for (seconds, pending) in [(0, true), (2, true), (3, false)] {
            assert_eq!(begun.is_pending(at(seconds), &TIMING), pending, "{seconds} s");
            assert_eq!(begun.is_due(Need::Refresh, at(seconds), &TIMING, 0), !pending, "{seconds} s");
        }
        // The clock stepped back by ten minutes: nobody waits for them.
        assert!(!begun.is_pending(UnixTime::from_secs(999_400), &TIMING));
    }

    // covers: JWT-JWKS-15
    #[test]
    fn failures_double_the_wait_up_to_a_minute() {
        let mut schedule = Schedule::default();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            schedule = schedule.begun(at(0), &TIMING).failed();
            assert!(!schedule.is_due(Need::Refresh, at(wait - 1), &TIMING, 0), "{wait} s");
            assert!(schedule.is_due(Need::Refresh, at(wait), &TIMING, 0), "{wait} s");
            assert_eq!(schedule.retry_after(at(0), &TIMING), (wait + 1).min(60));
        }
    }

    // covers: JWT-JWKS-10
    #[test]
    fn an_answer_can_only_shorten_the_wait() {
        for (fresh, wait) in [(None, 600), (Some(60), 60), (Some(599), 599), (Some(86_400), 600)] {
            let schedule = Schedule::default().succeeded(at(0), fresh.map(Duration::from_secs));
            assert!(!schedule.is_due(Need::Refresh, at(wait - 1), &TIMING, 0), "{fresh:?}");
            assert!(schedule.is_due(Need::Refresh, at(wait), &TIMING, 0), "{fresh:?}");
        }
    }

    proptest! {
        // covers: HOST-TRAP-08
        #[test]
        fn the_shared_value_reads_back(times in any::<[u64; 3]>(), failures in any::<u8>(), fresh in any::<u32>(), now in any::<u64>()) {
            let [attempted, lease, stored] = times.map(UnixTime::from_nanos);
            let schedule = Schedule { attempted, lease, stored, fresh, failures };
            prop_assert_eq!(Schedule::decode(&schedule.encode()), Some(schedule));
            let now = UnixTime::from_nanos(now);
            let begun = schedule.begun(now, &TIMING);
            for schedule in [schedule, begun, begun.failed(), begun.succeeded(now, None)] {
                prop_assert!((1..=60).contains(&schedule.retry_after(now, &TIMING)));
                let _ = (schedule.is_due(Need::Refresh, now, &TIMING, 255), schedule.is_pending(now, &TIMING));
            }
        }

        #[test]
        fn any_other_value_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(schedule) = Schedule::decode(&bytes) {
                prop_assert_eq!(schedule.encode(), bytes);
            }
        }
    }
}
