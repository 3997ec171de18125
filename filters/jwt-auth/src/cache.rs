//! Verified tokens that were seen before, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::mem;

/// A map from whole tokens to what they proved.
///
/// The key is every byte of the token: a shorter key or a plain hash let one token stand for another
/// (CVE-2026-35039). Only verified tokens get in, so a flood needs an issuer's signatures.
///
/// Two halves make eviction cheap: when the young half is full it becomes the old one, and what was old is
/// forgotten. A hit in the old half moves the token to the young one.
pub struct TokenCache<V> {
    young: HashMap<Box<[u8]>, V, TailState>,
    old: HashMap<Box<[u8]>, V, TailState>,
    young_bytes: usize,
    half_entries: usize,
    half_bytes: usize,
}

impl<V: Clone> TokenCache<V> {
    /// A cache of at most so many entries (with fewer than two the last two) and bytes (see [`cost`]). The seed has to
    /// be secret.
    #[must_use]
    pub fn new(entries: usize, bytes: usize, seed: [u8; 16]) -> Self {
        Self {
            young: HashMap::with_hasher(TailState::new(seed)),
            old: HashMap::with_hasher(TailState::new(seed)),
            young_bytes: 0,
            half_entries: entries / 2,
            half_bytes: bytes / 2,
        }
    }

    /// What this token proved. The caller judges whether it still holds.
    pub fn get(&mut self, token: &[u8]) -> Option<V> {
        if let Some(value) = self.young.get(token) {
            return Some(value.clone());
        }
        let (token, value) = self.old.remove_entry(token)?;
        self.insert_boxed(token, value.clone());
        Some(value)
    }

    /// Remembers a token. What an old half may still hold for it is never seen again.
    pub fn insert(&mut self, token: &[u8], value: V) {
        self.insert_boxed(token.into(), value);
    }

    /// Forgets a token.
    pub fn remove(&mut self, token: &[u8]) {
        // The bytes stay counted until the halves change places: the bound holds all the more.
        if self.young.remove(token).is_none() {
            self.old.remove(token);
        }
    }

    /// Number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Whether there is no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert_boxed(&mut self, token: Box<[u8]>, value: V) {
        let bytes = self.young_bytes.saturating_add(cost(&token));
        if self.young.len() >= self.half_entries || bytes > self.half_bytes {
            mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.young_bytes = 0;
        }
        self.young_bytes = self.young_bytes.saturating_add(cost(&token));
        self.young.insert(token, value);
    }
}

/// Who came before, so that only a token that comes again is remembered: one that is used once costs no copy, and can't
/// drive out those that are in use. The doorkeeper of TinyLFU (Einziger, Friedman and Manes, 2017).
pub struct Doorkeeper {
    /// A part of the hash of the last token at each place.
    seen: [u32; Self::PLACES],
    state: TailState,
}

impl Doorkeeper {
    /// How many tokens may come between two uses of one: 16 KiB of memory.
    const PLACES: usize = 4096;

    /// Nobody came yet. The seed has to be secret.
    #[must_use]
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seen: [0; Self::PLACES], state: TailState::new(seed) }
    }

    /// Whether this token came before, as far as is known; another one counts as it once in 2^32 times. From now on it
    /// did.
    pub fn knows(&mut self, token: &[u8]) -> bool {
        let [low, high] = halves(self.state.hash_one(token));
        let place = usize::try_from(low).unwrap_or_default() % Self::PLACES;
        self.seen.get_mut(place).is_some_and(|seen| mem::replace(seen, high) == high)
    }
}

/// The lower and the upper half of a number.
const fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// About the memory that a token takes, in bytes: its text, and its claims as a tree, which take several times the text.
#[must_use]
pub const fn cost(token: &[u8]) -> usize {
    token.len().saturating_mul(6).saturating_add(512)
}

/// Hashes only the end of a token, which saves most of the time of a look-up: signatures are as good as random
/// there, and the bytes before are compared anyway. Seeded, so that nobody can choose where tokens fall; not by
/// `RandomState`, which traps where the proxy has no randomness.
#[derive(Clone)]
struct TailState(DefaultHasher);

/// See [`TailState`].
struct TailHasher(DefaultHasher);

/// Bytes of a token's end that are hashed: 48 bytes of its signature.
const TAIL: usize = 64;

impl TailState {
    fn new(seed: [u8; 16]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&seed);
        Self(hasher)
    }
}

impl BuildHasher for TailState {
    type Hasher = TailHasher;

    fn build_hasher(&self) -> TailHasher {
        TailHasher(self.0.clone())
    }
}

impl Hasher for TailHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes.last_chunk::<TAIL>().map_or(bytes, |tail| tail));
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_the_second_time() {
        let mut doorkeeper = Doorkeeper::new([7; 16]);
        let tokens: Vec<_> =
            (0..1_000_u32).map(|number| [&[b'x'; TAIL][4..], &number.to_be_bytes()].concat()).collect();
        assert!(!tokens.iter().any(|token| doorkeeper.knows(token)));
        let again = tokens.iter().filter(|token| doorkeeper.knows(token)).count();
        assert!(again > 700, "{again} of 1000: a quarter has lost its place");
    }

    // covers: JWT-CPU-02
    #[test]
    fn only_the_same_bytes_are_the_same_token() {
        let mut cache = TokenCache::new(10, usize::MAX, [7; 16]);
        cache.insert(b"head.aaaa.tail", 1);
        for other in [&b"head.aaab.tail"[..], b"head.aaaa.tail ", b"head.aaaa.tai", b""] {
            assert_eq!(cache.get(other), None);
        }
        // Tokens that fall into the same place.
        let [one, two] = [b"1", b"2"].map(|head| [&head[..], &[b'x'; TAIL]].concat());
        cache.insert(&one, 1);
        assert_eq!((cache.get(&one), cache.get(&two)), (Some(1), None));
        assert_eq!(cache.get(b"head.aaaa.tail"), Some(1));
        cache.remove(b"head.aaaa.tail");
        assert_eq!(cache.get(b"head.aaaa.tail"), None);
    }

    // covers: HOST-CTX-08
    #[test]
    fn nobody_knows_where_a_token_falls() {
        let places: std::collections::BTreeSet<u64> =
            (0..8).map(|seed| TailState::new([seed; 16]).hash_one(b"a token")).collect();
        assert!(places.len() > 1, "a hash without a seed");
    }

    // covers: JWT-CPU-04
    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut cache = TokenCache::new(100, 60_000, [7; 16]);
        cache.insert(b"often", 0);
        for number in 0..100_000_u32 {
            cache.insert(&number.to_be_bytes(), number);
            assert!(cache.len() <= 101, "{number}");
            if number % 20 == 0 {
                assert_eq!(cache.get(b"often"), Some(0), "{number}");
            }
        }
        let long = vec![0; 2_000];
        for number in 0..100 {
            cache.insert(&[&long[..], &[number]].concat(), 0);
            assert!(cache.len() * 2_000 * 6 <= 72_000 || number < 6, "{number}: {}", cache.len());
        }
    }
}
