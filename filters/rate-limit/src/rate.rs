//! The token bucket as arithmetic: GCRA in whole nanoseconds with the remainder kept, so that the rate is exact.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::meter::Level;

/// `requests` tokens in every `per`, in a bucket that holds `burst` of them.
///
/// A full bucket admits exactly `burst` requests at once. Within any time t it admits at most
/// `burst + t * requests / per`.
///
/// The instant of a [`Level`] is when the bucket is full again ("theoretical arrival time" in ITU-T I.371): later is
/// emptier, one that has passed is a full bucket. Its detail is what is left over, in 1/`requests` of a nanosecond, and
/// is less than `requests` of the rate that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    per: Duration,
    burst: NonZeroU32,
    /// The time of one token, which most requests cost.
    token: Level,
    /// The time of all tokens: how far ahead of now a bucket may be.
    capacity: Level,
}

impl Rate {
    /// Neither a token nor a full bucket may take longer: every instant fits its 64 bits until the year 2553.
    pub const MAX_FILL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// None when a full bucket would take more than [`Rate::MAX_FILL`] to fill.
    #[must_use]
    pub fn new(requests: NonZeroU32, per: Duration, burst: NonZeroU32) -> Option<Self> {
        let capacity = time_of(burst.get(), requests, per)?;
        if Duration::from_nanos(capacity.until.checked_add(u64::from(capacity.detail > 0))?) > Self::MAX_FILL
        {
            return None;
        }
        Some(Self { requests, per, burst, token: time_of(1, requests, per)?, capacity })
    }

    /// Tokens that are added in every [`Rate::per`].
    #[must_use]
    pub const fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    /// The time in which [`Rate::requests`] tokens are added.
    #[must_use]
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// Tokens in a full bucket.
    #[must_use]
    pub const fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Takes `cost` tokens at `now`, in nanoseconds since the epoch; the bucket as it is afterwards. A request costs a token
    /// at least and a full bucket at most: one that could never pass would be told to wait for nothing.
    ///
    /// # Errors
    /// How long until they are there, rounded up to a nanosecond. The bucket stays as it was.
    pub fn take(&self, bucket: Level, cost: u32, now: u64) -> Result<Level, Duration> {
        // A full bucket gains nothing by waiting: never more than a burst.
        let start = bucket.max(Level::at(now));
        // Beyond the year 2553 there is no instant to write down: refuse.
        let latest = self.add(Level::at(now), self.capacity).ok_or(Self::MAX_FILL)?;
        let span = match cost {
            0 | 1 => self.token,
            cost => time_of(cost.min(self.burst.get()), self.requests, self.per).ok_or(Self::MAX_FILL)?,
        };
        let after = self.add(start, span).ok_or(Self::MAX_FILL)?;
        if after > latest {
            let borrowed = u64::from(after.detail > latest.detail);
            let nanos = after.until.saturating_sub(latest.until).saturating_add(borrowed);
            return Err(Duration::from_nanos(nanos));
        }
        Ok(after)
    }

    /// How long an empty bucket takes to fill, rounded up to a nanosecond.
    #[must_use]
    pub fn fill(&self) -> Duration {
        Duration::from_nanos(self.capacity.until.saturating_add(u64::from(self.capacity.detail > 0)))
    }

    /// Whole tokens in the bucket at `now`.
    #[must_use]
    pub fn remaining(&self, bucket: Level, now: u64) -> u32 {
        let scale = |span: Level| {
            u128::from(span.until)
                .saturating_mul(self.requests.get().into())
                .saturating_add(span.detail.into())
        };
        let debt = scale(bucket).saturating_sub(scale(Level::at(now)));
        let capacity = u128::from(self.burst.get()).saturating_mul(self.per.as_nanos());
        let tokens = capacity.saturating_sub(debt).checked_div(self.per.as_nanos()).unwrap_or(0);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// How long until the bucket is full, rounded up to a nanosecond.
    #[must_use]
    pub const fn until_full(&self, bucket: Level, now: u64) -> Duration {
        let up = if bucket.detail > 0 { 1 } else { 0 };
        Duration::from_nanos(bucket.until.saturating_add(up).saturating_sub(now))
    }

    fn add(&self, instant: Level, span: Level) -> Option<Level> {
        let until = instant.until.checked_add(span.until)?;
        let detail = instant.detail.checked_add(span.detail)?;
        // Each of the two is less than a whole nanosecond, so there is one to carry at most.
        match detail.checked_sub(self.requests.get().into()) {
            Some(detail) => Some(Level { until: until.checked_add(1)?, detail }),
            None => Some(Level { until, detail }),
        }
    }
}

/// How long so many tokens take to come.
fn time_of(tokens: u32, requests: NonZeroU32, per: Duration) -> Option<Level> {
    let total = u128::from(tokens).checked_mul(per.as_nanos())?;
    let until = total.checked_div(requests.get().into())?;
    let detail = total.checked_rem(requests.get().into())?;
    Some(Level { until: u64::try_from(until).ok()?, detail: u64::try_from(detail).ok()? })
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    fn rate(requests: u32, per_secs: u64, burst: u32) -> Rate {
        let count = |n| NonZeroU32::new(n).unwrap();
        Rate::new(count(requests), Duration::from_secs(per_secs), count(burst)).unwrap()
    }

    /// How many of `attempts` at `now` a bucket admits.
    fn admitted(rate: &Rate, bucket: &mut Level, now: u64, attempts: u32) -> u32 {
        u32::try_from(
            (0..attempts).filter(|_| rate.take(*bucket, 1, now).map(|after| *bucket = after).is_ok()).count(),
        )
        .unwrap()
    }

    #[test]
    fn a_full_bucket_admits_its_burst_and_then_refills_continuously() {
        let rate = rate(3, 1, 5);
        let mut bucket = Level::default();
        assert_eq!(admitted(&rate, &mut bucket, NOW, 10), 5);
        for (name, after, expected) in [
            ("a nanosecond before a third of a second", 333_333_333, 0),
            ("a third of a second, rounded up", 333_333_334, 1),
            ("two thirds", 666_666_667, 1),
            ("exactly one second: three thirds are a whole", SECOND, 1),
            ("an hour later it is full, not more", 3_600 * SECOND, 5),
        ] {
            assert_eq!(admitted(&rate, &mut bucket, NOW + after, 10), expected, "{name}");
        }
    }

    #[test]
    fn a_refusal_says_when_the_next_token_is_there() {
        let rate = rate(3, 1, 1);
        let bucket = rate.take(Level::default(), 1, NOW).unwrap();
        let wait = rate.take(bucket, 1, NOW).unwrap_err();
        assert_eq!(wait, Duration::from_nanos(333_333_334));
        assert!(rate.take(bucket, 1, NOW + 333_333_333).is_err());
        assert!(rate.take(bucket, 1, NOW + 333_333_334).is_ok());
    }

    // covers: ENV-RL-06
    #[test]
    fn no_clock_makes_more_than_a_burst() {
        let rate = rate(10, 1, 10);
        let mut bucket = Level::default();
        assert_eq!(admitted(&rate, &mut bucket, NOW, 20), 10);
        for (name, now, expected) in [
            ("a step back of an hour", NOW - 3_600 * SECOND, 0),
            ("a step forward of a year", NOW + 31_536_000 * SECOND, 10),
            ("zero", 0, 0),
            ("the last nanosecond of 64 bits", u64::MAX, 0),
        ] {
            assert_eq!(admitted(&rate, &mut bucket, now, 20), expected, "{name}");
        }
    }

    #[test]
    fn remaining_and_until_full_describe_the_bucket() {
        let rate = rate(3, 1, 5);
        let mut bucket = Level::default();
        assert_eq!((rate.remaining(bucket, NOW), rate.until_full(bucket, NOW)), (5, Duration::ZERO));
        admitted(&rate, &mut bucket, NOW, 4);
        assert_eq!(rate.remaining(bucket, NOW), 1);
        assert_eq!(rate.until_full(bucket, NOW), Duration::from_nanos(1_333_333_334));
        admitted(&rate, &mut bucket, NOW, 1);
        assert_eq!(rate.remaining(bucket, NOW), 0);
    }

    // covers: HOST-TRAP-08
    #[test]
    fn at_the_limits_of_its_numbers_a_bucket_never_gives_more_than_its_burst() {
        let year = Rate::MAX_FILL.as_secs();
        for (name, requests, per_secs, burst) in [
            ("all at once", u32::MAX, 1, u32::MAX),
            ("one in the longest time", 1, year, 1),
            ("as many as can be in the longest time", u32::MAX, year, u32::MAX),
            ("a burst that takes the longest time", 365, year, 365),
        ] {
            let rate = rate(requests, per_secs, burst);
            for now in [0, 1, NOW, u64::MAX - 1, u64::MAX] {
                for until in [0, 1, NOW, u64::MAX - 1, u64::MAX] {
                    for detail in [0, u64::from(requests - 1), u64::from(u32::MAX), u64::MAX] {
                        let mut bucket = Level { until, detail };
                        let given = admitted(&rate, &mut bucket, now, 500);
                        assert!(given <= burst, "{name}: {given} at {now} of {until}, {detail}");
                        assert!(rate.remaining(bucket, now) <= burst, "{name}");
                        let _ = rate.until_full(bucket, now);
                    }
                }
            }
        }
    }

    #[test]
    fn a_bucket_that_takes_over_a_year_to_fill_is_refused() {
        let count = |n| NonZeroU32::new(n).unwrap();
        let day = Duration::from_secs(86_400);
        assert!(Rate::new(count(1), day, count(365)).is_some());
        assert!(Rate::new(count(1), day, count(366)).is_none());
        assert!(Rate::new(count(1), day, count(u32::MAX)).is_none());
    }

    proptest! {
        /// The reference is the textbook bucket in exact rationals: tokens scaled by the period, so nothing is rounded.
        #[test]
        fn it_equals_a_bucket_of_exact_fractions(
            requests in 1_u32..1_000_000_000, per in 1_u64..100_000, burst in 1_u32..50,
            gaps in prop::collection::vec((0_u64..3, 0_u64..2_000_000_000), 1..200),
        ) {
            let counts = (NonZeroU32::new(requests).unwrap(), NonZeroU32::new(burst).unwrap());
            let rate = Rate::new(counts.0, Duration::from_secs(per), counts.1);
            prop_assume!(rate.is_some());
            let rate = rate.unwrap();
            let token = u128::from(per) * u128::from(SECOND);
            let full = u128::from(burst) * token;
            let (mut bucket, mut level, mut now) = (Level::default(), full, NOW);
            for (intervals, gap) in gaps {
                // Gaps around multiples of the interval: where rounding would show.
                let gap = u64::try_from(token * u128::from(intervals) / u128::from(requests)).unwrap() + gap % 3;
                now += gap;
                level = full.min(level + u128::from(gap) * u128::from(requests));
                prop_assert_eq!(u128::from(rate.remaining(bucket, now)), level / token);
                let expected = level >= token;
                match rate.take(bucket, 1, now) {
                    Ok(after) => {
                        prop_assert!(expected);
                        level -= token;
                        bucket = after;
                    }
                    Err(wait) => {
                        prop_assert!(!expected);
                        let nanos = u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(rate.take(bucket, 1, now + nanos).is_ok());
                        prop_assert!(rate.take(bucket, 1, now + nanos - 1).is_err());
                    }
                }
            }
        }

        #[test]
        fn no_window_holds_more_than_the_burst_and_the_rate(
            requests in 1_u32..500, per in 1_u64..60, burst in 1_u32..40,
            gaps in prop::collection::vec(0_u64..500_000_000, 1..300),
        ) {
            let rate = rate(requests, per, burst);
            let (mut bucket, mut now, mut admitted) = (Level::default(), NOW, Vec::new());
            for gap in gaps {
                now += gap;
                if let Ok(after) = rate.take(bucket, 1, now) {
                    bucket = after;
                    admitted.push(now);
                }
            }
            for (first, start) in admitted.iter().enumerate() {
                for (last, end) in admitted.iter().enumerate().skip(first) {
                    let count = u128::try_from(last - first + 1).unwrap();
                    let refill = u128::from(end - start) * u128::from(requests) / u128::from(per * SECOND);
                    prop_assert!(count <= u128::from(burst) + refill);
                }
            }
        }
    }
}
