//! One shared value: a set of buckets, with the rule for which of them makes room.
//!
//! The proxy's shared data never shrinks, so a client has no value of its own. Its bucket is one of the
//! [`WAYS`] entries of the set that the hash of its key selects. When all entries are taken, the one that is
//! nearest to full makes room. A full bucket is forgotten without a trace. If it is not full, the newcomer takes over
//! what is left in it, and the set remembers in `floor` how empty it was: whoever has no entry starts from there. So
//! forgetting a bucket can make its owner's next bucket emptier, never fuller, and a set never admits more than
//! [`WAYS`] buckets would.

use std::time::Duration;

use crate::rate::{FullAt, Rate};

/// Buckets in one set.
pub const WAYS: usize = 8;

/// Layout version; the first byte of every shared value of this filter.
pub const VERSION: u8 = 1;

/// A value is little-endian words: [`VERSION`], `written`, `floor`, then for each entry tag, nanoseconds, fraction.
const WORDS: usize = 3 + 3 * WAYS;

/// Length of a set's value, in bytes.
pub const LEN: usize = 8 * WORDS;

/// The bucket of one key. Tag 0 is no key: such an entry is free, and its bucket full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    tag: u64,
    full_at: FullAt,
}

/// A set of buckets that are read and written together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The latest clock that any writer saw, in nanoseconds since the epoch.
    written: u64,
    /// No bucket that was forgotten is full later than this.
    floor: u64,
    entries: [Entry; WAYS],
}

/// A token that was taken: what a [`Set::give_back`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The bucket before; none when the key had no entry.
    before: Option<FullAt>,
    /// The bucket after.
    pub after: FullAt,
}

impl Set {
    /// Reads a value; none when it is not a set: written by another version or another module.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let (&[version, written, floor], words) = words.split_first_chunk::<3>()?;
        if u64::from_le_bytes(version) != u64::from(VERSION) {
            return None;
        }
        let mut set = Self {
            written: u64::from_le_bytes(written),
            floor: u64::from_le_bytes(floor),
            ..Self::default()
        };
        for (entry, &[tag, nanos, fraction]) in set.entries.iter_mut().zip(words.as_chunks::<3>().0) {
            entry.tag = u64::from_le_bytes(tag);
            entry.full_at.nanos = u64::from_le_bytes(nanos);
            entry.full_at.fraction = u32::try_from(u64::from_le_bytes(fraction)).ok()?;
        }
        Some(set)
    }

    /// Writes what [`Set::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let (words, _) = bytes.as_chunks_mut::<8>();
        if let Some((header, words)) = words.split_first_chunk_mut::<3>() {
            *header = [VERSION.into(), self.written, self.floor].map(u64::to_le_bytes);
            for (words, Entry { tag, full_at }) in words.as_chunks_mut::<3>().0.iter_mut().zip(self.entries) {
                *words = [tag, full_at.nanos, full_at.fraction.into()].map(u64::to_le_bytes);
            }
        }
        bytes
    }

    /// Moves all buckets back by as much as the clock has stepped back since the last write; whether it has.
    ///
    /// A writer reads the clock after the set, so `now` is before `written` only when the host's clock went
    /// backwards. Without this a step of an hour would refuse everybody for an hour; and with it no bucket is any
    /// fuller than it was.
    pub fn follow_clock(&mut self, now: u64) -> bool {
        let step = self.written.saturating_sub(now);
        if step == 0 {
            return false;
        }
        self.written = now;
        self.floor = self.floor.saturating_sub(step);
        for entry in &mut self.entries {
            entry.full_at.nanos = entry.full_at.nanos.saturating_sub(step);
        }
        true
    }

    /// Takes one token from the bucket of `tag`, which must not be 0.
    ///
    /// # Errors
    /// How long until there is one. The set stays as it was.
    pub fn take(&mut self, tag: u64, rate: &Rate, now: u64) -> Result<Taken, Duration> {
        let mut floor = self.floor;
        let known = self.entries.iter().position(|entry| entry.tag == tag);
        let entry = match known {
            Some(index) => self.entries.get_mut(index),
            // A free entry is full since 1970, so it goes first; then one that is full by now: nothing is lost.
            None => self.entries.iter_mut().min_by_key(|entry| entry.full_at),
        };
        let Some(entry) = entry else {
            return Err(rate.per());
        };
        if known.is_none() {
            // INVARIANT: the bucket of a key without an entry would be full at `floor` or earlier.
            floor = floor.max(entry.full_at.nanos_up());
        }
        let before = known.map(|_| entry.full_at);
        let after = rate.take(before.unwrap_or(FullAt::at(floor)), now)?;
        *entry = Entry { tag, full_at: after };
        self.floor = floor;
        self.written = now;
        Ok(Taken { before, after })
    }

    /// Puts a token back, if nobody has touched the bucket since; whether it did.
    ///
    /// After another request has taken from the bucket, adding a token could make it fuller than it would have been
    /// (the refill in between may have been lost to a full bucket): then the token stays taken.
    pub fn give_back(&mut self, tag: u64, taken: &Taken) -> bool {
        let entry = self.entries.iter_mut().find(|entry| entry.tag == tag && entry.full_at == taken.after);
        let Some(entry) = entry else {
            return false;
        };
        *entry = taken.before.map_or_else(Entry::default, |full_at| Entry { tag, full_at });
        true
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "in tests an overflow is a failed test")]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_800_000_000 * SECOND;

    fn rate(requests: u32, per_secs: u64, burst: u32) -> Rate {
        let count = |n| NonZeroU32::new(n).unwrap();
        Rate::new(count(requests), Duration::from_secs(per_secs), count(burst)).unwrap()
    }

    #[test]
    fn a_set_reads_back_what_was_written() {
        let mut set = Set::default();
        for tag in 1..=12 {
            set.take(tag, &rate(7, 3, 9), NOW + tag).unwrap();
        }
        let bytes = set.encode();
        assert_eq!(Set::decode(&bytes), Some(set));
    }

    // covers: HOST-SHR-04
    #[test]
    fn what_is_not_a_set_is_not_read() {
        let good = Set::default().encode();
        let mut other_version = good;
        other_version[0] = VERSION + 1;
        for (name, bytes) in [
            ("nothing", &[][..]),
            ("one byte", &[VERSION]),
            ("one byte short", &good[..LEN - 1]),
            ("one byte more", &[&good[..], &[0]].concat()),
            ("another version", &other_version),
            ("text", b"garbage"),
        ] {
            assert_eq!(Set::decode(bytes), None, "{name}");
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
            let mut set = Set::decode(&bytes).unwrap();
            set.follow_clock(NOW);
            assert!((0..10).filter(|_| set.take(42, &rate, NOW).is_ok()).count() <= 3);
        }
    }

    #[test]
    fn full_buckets_make_room_without_a_trace() {
        let rate = rate(1, 1, 2);
        let mut set = Set::default();
        for tag in 1..=100 {
            // One second apart, so at most one bucket is not full.
            assert!(set.take(tag, &rate, NOW + tag * SECOND).is_ok());
        }
        assert!(set.floor <= NOW + 93 * SECOND);
        assert!(set.take(7, &rate, NOW + 200 * SECOND).is_ok());
        assert!(set.take(7, &rate, NOW + 200 * SECOND).is_ok());
        assert!(set.take(7, &rate, NOW + 200 * SECOND).is_err());
    }

    #[test]
    fn a_forgotten_bucket_is_not_a_new_one() {
        let rate = rate(1, 60, 2);
        let mut set = Set::default();
        assert!(set.take(1, &rate, NOW).is_ok());
        assert!(set.take(1, &rate, NOW).is_ok());
        // A flood of other keys, each of them twice, pushes key 1 out; then it has to wait like before.
        for tag in 2..1_000 {
            let _ = set.take(tag, &rate, NOW);
            let _ = set.take(tag, &rate, NOW);
        }
        assert!(set.take(1, &rate, NOW).is_err());
        assert!(set.take(1, &rate, NOW + 59 * SECOND).is_err());
    }

    #[test]
    fn unlisted_keys_share_what_a_set_can_count() {
        let rate = rate(1, 60, 3);
        let mut set = Set::default();
        let admitted = (1..10_000).filter(|tag| set.take(*tag, &rate, NOW).is_ok()).count();
        assert_eq!(admitted, 3 * WAYS, "eight buckets' worth, not one for each of the keys");
    }

    // covers: ENV-RL-06
    #[test]
    fn a_step_back_of_the_clock_keeps_every_level() {
        let rate = rate(1, 60, 2);
        let mut set = Set::default();
        set.take(1, &rate, NOW).unwrap();
        set.take(1, &rate, NOW).unwrap();
        let earlier = NOW - 3_600 * SECOND;
        assert!(set.follow_clock(earlier));
        assert_eq!(
            set.take(1, &rate, earlier),
            Err(Duration::from_secs(60)),
            "neither fuller nor an hour to wait"
        );
        assert!(set.take(1, &rate, earlier + 60 * SECOND).is_ok());
        assert!(!set.follow_clock(earlier + 60 * SECOND));
    }

    #[test]
    fn a_token_goes_back_only_into_an_untouched_bucket() {
        let rate = rate(1, 1, 5);
        let mut set = Set::default();
        let empty = set.clone();
        let first = set.take(1, &rate, NOW).unwrap();
        assert!(set.give_back(1, &first));
        assert_eq!(set.entries, empty.entries);
        let first = set.take(1, &rate, NOW).unwrap();
        let second = set.take(1, &rate, NOW).unwrap();
        assert!(!set.give_back(1, &first));
        assert!(set.give_back(1, &second));
        assert!(!set.give_back(2, &second));
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
            let (mut set, mut own, mut now) = (Set::default(), BTreeMap::<u64, FullAt>::new(), NOW);
            for (tag, gap, undo) in steps {
                now += gap;
                let bucket = own.entry(tag).or_default();
                let expected = rate.take(*bucket, now);
                if let Ok(taken) = set.take(tag, &rate, now) {
                    prop_assert!(expected.is_ok(), "the set admitted what the key's own bucket refuses");
                    if !(undo && set.give_back(tag, &taken)) {
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
            let (mut set, mut own, mut now) = (Set::default(), BTreeMap::<u64, FullAt>::new(), NOW);
            for (tag, gap) in steps {
                now += gap;
                let bucket = own.entry(tag).or_default();
                let expected = rate.take(*bucket, now);
                let found = set.take(tag, &rate, now);
                prop_assert_eq!(found.map(|taken| taken.after), expected);
                if let Ok(after) = expected { *bucket = after; }
            }
        }
    }
}
