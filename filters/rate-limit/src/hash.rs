//! The keyed hash that names buckets.
//!
//! Without a secret a client could choose keys that fall into another client's set and crowd it out. SipHash with a
//! random key per process leaves it to chance.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::set::VERSION;

/// The secret of the hash: 128 random bits that all workers of a process share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 16]);

/// Length of a seed's shared value, in bytes.
pub const SEED_LEN: usize = 17;

impl Seed {
    /// From random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Reads a shared value; none when it is of another version or not a seed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let seed = bytes.strip_prefix(&[VERSION])?;
        seed.try_into().ok().map(Self)
    }

    /// Writes what [`Seed::decode`] reads.
    #[must_use]
    pub fn encode(&self) -> [u8; SEED_LEN] {
        let mut bytes = [VERSION; SEED_LEN];
        for (byte, random) in bytes.iter_mut().skip(1).zip(self.0) {
            *byte = random;
        }
        bytes
    }
}

/// The seed is a secret.
impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(***)")
    }
}

/// A hash over a list of byte strings, each written with its length: `a|b` + `c` is not `a` + `b|c`.
#[derive(Clone, Debug)]
pub struct KeyHash(SipHasher24);

impl KeyHash {
    /// Begins a hash that clients can't predict.
    #[must_use]
    pub fn keyed(seed: &Seed) -> Self {
        Self(SipHasher24::new_with_key(&seed.0))
    }

    /// Begins a hash that is the same in every process, for what only the operator writes.
    #[must_use]
    pub fn fixed() -> Self {
        Self(SipHasher24::new())
    }

    /// Adds a byte string.
    pub fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    /// Adds a number; as 8 bytes it has one length.
    pub fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    /// The hash.
    #[must_use]
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u8, parts: &[&str]) -> u64 {
        let mut hash = KeyHash::keyed(&Seed::new([seed; 16]));
        parts.iter().for_each(|part| hash.part(part.as_bytes()));
        hash.finish()
    }

    // covers: ENV-HDR-16
    #[test]
    fn parts_do_not_run_into_each_other() {
        let lists: [&[&str]; 6] =
            [&["a|b", "c"], &["a", "b|c"], &["a|b|c"], &["ab", "c"], &["", "abc"], &["abc", ""]];
        for (i, first) in lists.iter().enumerate() {
            for (j, second) in lists.iter().enumerate() {
                assert_eq!(hash(1, first) == hash(1, second), i == j, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn the_hash_depends_on_the_seed() {
        assert_ne!(hash(1, &["a"]), hash(2, &["a"]));
        assert_eq!(hash(1, &["a"]), hash(1, &["a"]));
    }

    #[test]
    fn it_is_siphash() {
        // The first vector of the SipHash paper's reference code: key 00..0f, empty input; then one byte.
        let seed = Seed::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(KeyHash::keyed(&seed).finish(), 0x726f_db47_dd0e_0e31);
    }

    // covers: HOST-SHR-04
    #[test]
    fn a_seed_reads_back_and_nothing_else_does() {
        let seed = Seed::new([9; 16]);
        assert_eq!(Seed::decode(&seed.encode()), Some(seed));
        for bytes in [&[][..], &[VERSION], &[VERSION + 1; 17], &[VERSION; 18], &[VERSION; 16]] {
            assert_eq!(Seed::decode(bytes), None);
        }
        assert_eq!(format!("{seed:?}"), "Seed(***)");
    }
}
