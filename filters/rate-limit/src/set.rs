//! One shared value: a set of levels, with the rule for which of them makes room.
//!
//! The proxy's shared data never shrinks, so a client has no value of its own. Its level is one of the
//! [`WAYS`] entries of the set that the hash of its key selects. When all entries are taken, the one that is nearest to
//! its end makes room. A level whose time is over is forgotten without a trace. If it is not, the newcomer takes over what
//! is left in it, and the set remembers in `floor` what it was: whoever has no entry starts from there. So forgetting
//! a level can make its owner's next one stricter, never more lenient, and a set never admits more than [`WAYS`] buckets
//! would.

use std::time::Duration;

use crate::meter::{Ending, Level, Meter, Taken};

/// Levels in one set.
pub const WAYS: usize = 8;

/// Layout version; the first byte of every shared value of this filter.
pub const VERSION: u8 = 2;

/// Little-endian words. The first row of a value is [`VERSION`], `written` and a word that is not used, the second the
/// floor; then there is one for each entry: tag, instant, detail.
type Row = [[u8; 8]; 3];

/// Length of a set's value, in bytes.
pub const LEN: usize = size_of::<Row>() * (2 + WAYS);

/// The level of one key. Tag 0 is no key: such an entry is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    tag: u64,
    level: Level,
}

impl Entry {
    fn read(&[tag, until, detail]: &Row) -> Self {
        let level = Level { until: u64::from_le_bytes(until), detail: u64::from_le_bytes(detail) };
        Self { tag: u64::from_le_bytes(tag), level }
    }

    fn write(self) -> Row {
        [self.tag, self.level.until, self.level.detail].map(u64::to_le_bytes)
    }
}

/// The latest clock that any writer saw, in nanoseconds since the epoch.
fn written(&[_, written, _]: &Row) -> u64 {
    u64::from_le_bytes(written)
}

/// The first row.
fn head(written: u64) -> Row {
    [VERSION.into(), written, 0].map(u64::to_le_bytes)
}

/// A set of levels that are read and written together. It is kept as its value: a request changes three rows of it, and
/// what the proxy gave is what it gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(Vec<u8>);

/// A set in which nothing is counted.
impl Default for Set {
    fn default() -> Self {
        let mut value = vec![0; LEN];
        if let Some((first, ..)) = rows(&mut value) {
            *first = head(0);
        }
        Self(value)
    }
}

/// The head of a value, its floor, and its entries. The floor is at least as strict as every level that was forgotten before
/// its time was over.
fn rows(value: &mut [u8]) -> Option<(&mut Row, &mut Row, &mut [Row])> {
    let (head, rest) = value.as_chunks_mut::<8>().0.as_chunks_mut::<3>().0.split_first_mut()?;
    let (floor, entries) = rest.split_first_mut()?;
    Some((head, floor, entries))
}

impl Set {
    /// Reads a value; none when it is not a set: written by another version or another module.
    #[must_use]
    pub fn decode(value: Vec<u8>) -> Option<Self> {
        let version = value.first_chunk::<8>()?;
        let is_set = value.len() == LEN && u64::from_le_bytes(*version) == u64::from(VERSION);
        is_set.then_some(Self(value))
    }

    /// Its value, which [`Set::decode`] reads.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Moves all levels back by as much as the clock has stepped back since the last write; whether it has.
    ///
    /// A writer reads the clock after the set, so `now` is before `written` only when the host's clock went
    /// backwards. Without this a step of an hour would refuse everybody for an hour; and with it no level is any
    /// more lenient than it was.
    pub fn follow_clock(&mut self, now: u64) -> bool {
        let Some((first, floor, entries)) = rows(&mut self.0) else {
            return false;
        };
        let step = written(first).saturating_sub(now);
        if step == 0 {
            return false;
        }
        *first = head(now);
        for row in std::iter::once(floor).chain(entries) {
            let mut entry = Entry::read(row);
            entry.level.until = entry.level.until.saturating_sub(step);
            *row = entry.write();
        }
        true
    }

    /// Takes a request of this cost from the level of `tag`, which must not be 0.
    ///
    /// # Errors
    /// How long until there is room. The set stays as it was.
    pub fn take(&mut self, tag: u64, meter: &Meter, cost: u32, now: u64) -> Result<Taken, Duration> {
        // A set has entries; without any, nothing can be counted.
        let Some((first, floor_row, entries)) = rows(&mut self.0) else {
            return Err(Duration::from_secs(1));
        };
        let known = entries.iter().position(|row| Entry::read(row).tag == tag);
        let Some(row) = place(entries, known, meter.horizon(now)) else {
            return Err(Duration::from_secs(1));
        };
        let (found, floor) = (Entry::read(row).level, Entry::read(floor_row).level);
        let (before, floor) = match known {
            Some(_) => (Some(found), floor),
            None => (None, meter.floor(floor, now).joined(meter.floor(found, now))),
        };
        let after = meter.take(before.unwrap_or(floor), cost, now)?;
        *row = Entry { tag, level: after }.write();
        *floor_row = Entry { tag: 0, level: floor }.write();
        *first = head(now);
        Ok(Taken { before, after })
    }

    /// Takes back what was taken for a request that did not go on, as far as the meter allows; whether it did.
    pub fn give_back(&mut self, tag: u64, meter: &Meter, taken: &Taken, now: u64) -> bool {
        self.change(tag, |level| meter.give_back(level, taken, now))
    }

    /// Notes how a request ended; whether that changed anything.
    pub fn settle(&mut self, tag: u64, meter: &Meter, ending: Ending, now: u64) -> bool {
        if matches!(ending, Ending::Failed(_)) && self.level(tag).is_none() {
            // Pushed out meanwhile: the failure makes room for itself as the attempt did.
            let _ = self.take(tag, meter, 1, now);
        }
        self.change(tag, |level| meter.settle(level, ending, now))
    }

    /// The level of `tag`; none for a key without an entry.
    #[must_use]
    pub fn level(&self, tag: u64) -> Option<Level> {
        let entries = self.0.as_chunks::<8>().0.as_chunks::<3>().0.iter().skip(2);
        entries.map(Entry::read).find(|entry| entry.tag == tag).map(|entry| entry.level)
    }

    /// Writes a level of `tag`, made of the one that is there; the one nearest to its end makes room.
    pub fn put(&mut self, tag: u64, now: u64, level: impl FnOnce(Level) -> Level) {
        let before = self.level(tag);
        let Some((first, _, entries)) = rows(&mut self.0) else { return };
        let known = entries.iter().position(|row| Entry::read(row).tag == tag);
        if let Some(row) = place(entries, known, u64::MAX) {
            *row = Entry { tag, level: level(before.unwrap_or_default()) }.write();
            *first = head(now);
        }
    }

    fn change(&mut self, tag: u64, change: impl FnOnce(Level) -> Option<Level>) -> bool {
        let Some((_, _, entries)) = rows(&mut self.0) else {
            return false;
        };
        let Some(row) = entries.iter_mut().find(|row| Entry::read(row).tag == tag) else {
            return false;
        };
        let Some(level) = change(Entry::read(row).level) else {
            return false;
        };
        *row = if level == Level::default() { Entry::default() } else { Entry { tag, level } }.write();
        true
    }
}

/// The row of a known key, or the one that makes room. A free entry was over in 1970, so it goes first, as does what no level
/// of this meter can be; then one that is over by now: nothing is lost.
fn place(entries: &mut [Row], known: Option<usize>, horizon: u64) -> Option<&mut Row> {
    match known {
        Some(index) => entries.get_mut(index),
        None => entries.iter_mut().min_by_key(|row| Entry::read(row).level.up_to(horizon).until),
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::lockout::Lockout;
    use crate::rate::Rate;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    fn rate(requests: u32, per_secs: u64, burst: u32) -> Meter {
        let count = |n| NonZeroU32::new(n).unwrap();
        Meter::Rate(Rate::new(count(requests), Duration::from_secs(per_secs), count(burst)).unwrap())
    }

    #[test]
    fn a_set_reads_back_what_was_written() {
        let mut set = Set::default();
        for tag in 1..=12 {
            set.take(tag, &rate(7, 3, 9), 1, NOW + tag).unwrap();
        }
        assert_eq!(Set::decode(set.as_bytes().to_vec()), Some(set));
    }

    // covers: HOST-SHR-04
    #[test]
    fn what_is_not_a_set_is_not_read() {
        let good = Set::default().0;
        let mut other_version = good.clone();
        other_version[0] = VERSION + 1;
        for (name, bytes) in [
            ("nothing", &[][..]),
            ("one byte", &[VERSION]),
            ("one byte short", &good[..LEN - 1]),
            ("one byte more", &[&good[..], &[0]].concat()),
            ("another version", &other_version),
            ("text", b"garbage"),
        ] {
            assert_eq!(Set::decode(bytes.to_vec()), None, "{name}");
        }
    }

    #[test]
    fn a_value_of_noise_gives_no_more_than_a_burst() {
        let rate = rate(1, 1, 3);
        let noise = |byte: u8| {
            let mut noise = [byte; LEN];
            noise[..8].copy_from_slice(&u64::from(VERSION).to_le_bytes());
            for fraction in noise.as_chunks_mut::<24>().0.iter_mut().skip(1) {
                fraction[20..].fill(0);
            }
            noise
        };
        for bytes in [noise(0xff), noise(1)] {
            let mut set = Set::decode(bytes.to_vec()).unwrap();
            set.follow_clock(NOW);
            assert!((0..10).filter(|_| set.take(42, &rate, 1, NOW).is_ok()).count() <= 3);
        }
    }

    #[test]
    fn full_buckets_make_room_without_a_trace() {
        let rate = rate(1, 1, 2);
        let mut set = Set::default();
        for tag in 1..=100 {
            // One second apart, so at most one bucket is not full.
            assert!(set.take(tag, &rate, 1, NOW + tag * SECOND).is_ok());
        }
        let (_, floor, _) = rows(&mut set.0).unwrap();
        assert!(Entry::read(floor).level.until <= NOW + 93 * SECOND);
        assert!(set.take(7, &rate, 1, NOW + 200 * SECOND).is_ok());
        assert!(set.take(7, &rate, 1, NOW + 200 * SECOND).is_ok());
        assert!(set.take(7, &rate, 1, NOW + 200 * SECOND).is_err());
    }

    #[test]
    fn a_forgotten_bucket_is_not_a_new_one() {
        let rate = rate(1, 60, 2);
        let mut set = Set::default();
        assert!(set.take(1, &rate, 1, NOW).is_ok());
        assert!(set.take(1, &rate, 1, NOW).is_ok());
        // A flood of other keys, each of them twice, pushes key 1 out; then it has to wait like before.
        for tag in 2..1_000 {
            let _ = set.take(tag, &rate, 1, NOW);
            let _ = set.take(tag, &rate, 1, NOW);
        }
        assert!(set.take(1, &rate, 1, NOW).is_err());
        assert!(set.take(1, &rate, 1, NOW + 59 * SECOND).is_err());
    }

    #[test]
    fn unlisted_keys_share_what_a_set_can_count() {
        let rate = rate(1, 60, 3);
        let mut set = Set::default();
        let admitted = (1..10_000).filter(|tag| set.take(*tag, &rate, 1, NOW).is_ok()).count();
        assert_eq!(admitted, 3 * WAYS, "eight buckets' worth, not one for each of the keys");
    }

    // covers: ENV-RL-06
    #[test]
    fn a_step_back_of_the_clock_keeps_every_level() {
        let rate = rate(1, 60, 2);
        let mut set = Set::default();
        set.take(1, &rate, 1, NOW).unwrap();
        set.take(1, &rate, 1, NOW).unwrap();
        let earlier = NOW - 3_600 * SECOND;
        assert!(set.follow_clock(earlier));
        assert_eq!(
            set.take(1, &rate, 1, earlier),
            Err(Duration::from_secs(60)),
            "neither fuller nor an hour to wait"
        );
        assert!(set.take(1, &rate, 1, earlier + 60 * SECOND).is_ok());
        assert!(!set.follow_clock(earlier + 60 * SECOND));
    }

    #[test]
    fn a_token_goes_back_only_into_an_untouched_bucket() {
        let rate = rate(1, 1, 5);
        let mut set = Set::default();
        let empty = set.clone();
        let first = set.take(1, &rate, 1, NOW).unwrap();
        assert!(set.give_back(1, &rate, &first, NOW));
        // The clock of the write is all that is left.
        assert_eq!(set.as_bytes()[24..], empty.as_bytes()[24..]);
        let first = set.take(1, &rate, 1, NOW).unwrap();
        let second = set.take(1, &rate, 1, NOW).unwrap();
        assert!(!set.give_back(1, &rate, &first, NOW));
        assert!(set.give_back(1, &rate, &second, NOW));
        assert!(!set.give_back(2, &rate, &second, NOW));
    }

    #[test]
    fn what_is_left_of_another_limit_holds_nobody_off() {
        let (slow, fast) = (rate(7, 86_400, 7), rate(10, 1, 10));
        let mut set = Set::default();
        for tag in 1..=100 {
            while set.take(tag, &slow, 1, NOW).is_ok() {}
        }
        for tag in 201..=208 {
            assert!(set.take(tag, &fast, 1, NOW).is_ok(), "{tag}");
        }
        // What fits a meter is taken for its own, and is over soon.
        let hourly = rate(7, 3600, 7);
        let mut set = Set::default();
        for tag in 1..=100 {
            while set.take(tag, &fast, 1, NOW).is_ok() {}
        }
        assert!(set.take(200, &hourly, 1, NOW + SECOND).is_ok());
    }

    #[test]
    fn keys_that_are_pushed_out_have_one_attempt_left_and_nobody_else_is_locked_out() {
        let secs = Duration::from_secs;
        let allowed = NonZeroU32::new(3).unwrap();
        let lockout = Meter::Lockout(Lockout::new(allowed, secs(60), secs(600), secs(3600), false));
        let mut set = Set::default();
        let fail = |set: &mut Set, tag: u64, now: u64| {
            let taken = set.take(tag, &lockout, 1, now);
            taken.map(|_| set.settle(tag, &lockout, Ending::Failed(0), now))
        };
        // Nine keys are locked out in a set of eight.
        for tag in 1..=9 {
            let failed = (0..9).take_while(|_| fail(&mut set, tag, NOW).is_ok()).count();
            assert!(failed <= 3);
        }
        // The first one was pushed out; it has one attempt, as every unknown key has, and is locked out again.
        assert!(fail(&mut set, 1, NOW).is_ok());
        assert!(fail(&mut set, 1, NOW).is_err());
        assert!(fail(&mut set, 77, NOW).is_ok());
        // In time everything is forgotten.
        let later = NOW + 3_601 * SECOND;
        assert_eq!((0..9).take_while(|_| fail(&mut set, 1, later).is_ok()).count(), 3);
    }

    #[test]
    fn a_failure_of_a_key_that_was_pushed_out_meanwhile_is_counted() {
        let secs = Duration::from_secs;
        let lockout = Meter::Lockout(Lockout::new(NonZeroU32::MIN, secs(60), secs(600), secs(3600), false));
        let mut set = Set::default();
        set.take(1, &lockout, 1, NOW).unwrap();
        set = Set::default();
        assert!(set.settle(1, &lockout, Ending::Failed(0), NOW));
        assert_eq!(set.take(1, &lockout, 1, NOW), Err(secs(60)));
    }

    proptest! {
        // covers: ENV-RL-04
        /// However keys collide in one set, none is admitted more often than by a bucket of its own.
        #[test]
        fn no_key_gets_more_than_its_own_bucket_would_give(
            burst in 1_u32..6, requests in 1_u32..5,
            steps in prop::collection::vec((1_u64..24, 0_u64..100_000_000, any::<bool>()), 1..400),
        ) {
            let rate = rate(requests, 1, burst);
            let (mut set, mut own, mut now) = (Set::default(), BTreeMap::<u64, Level>::new(), NOW);
            for (tag, gap, undo) in steps {
                now += gap;
                let bucket = own.entry(tag).or_default();
                let expected = rate.take(*bucket, 1, now);
                if let Ok(taken) = set.take(tag, &rate, 1, now) {
                    prop_assert!(expected.is_ok(), "the set admitted what the key's own bucket refuses");
                    if !(undo && set.give_back(tag, &rate, &taken, now)) {
                        *bucket = expected.unwrap();
                    }
                }
            }
        }

        /// With no more keys than entries nothing is shared and nothing is lost.
        #[test]
        fn keys_that_fit_are_counted_exactly(
            burst in 1_u32..6,
            steps in prop::collection::vec((1_u64..=8, 0_u64..700_000_000), 1..300),
        ) {
            let rate = rate(3, 1, burst);
            let (mut set, mut own, mut now) = (Set::default(), BTreeMap::<u64, Level>::new(), NOW);
            for (tag, gap) in steps {
                now += gap;
                let bucket = own.entry(tag).or_default();
                let expected = rate.take(*bucket, 1, now);
                let found = set.take(tag, &rate, 1, now);
                prop_assert_eq!(found.map(|taken| taken.after), expected);
                if let Ok(after) = expected { *bucket = after; }
            }
        }
    }
}
