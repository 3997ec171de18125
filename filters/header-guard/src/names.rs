//! Finds what is to be done with a field by its name: no hashing, a few comparisons.

use crate::bytes;

/// What an operator writes in a list of names: `x-user-id`, or `x-internal-*` for every name that begins so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Every name that begins with these bytes.
    Prefix(Vec<u8>),
    /// This name.
    Exact(Vec<u8>),
}

impl Pattern {
    /// Reads a name or a prefix with a final `*`; case makes no difference.
    ///
    /// # Errors
    /// What was expected, for the operator, when it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase().into_bytes();
        let (name, is_prefix) = lower.strip_suffix(b"*").map_or((&*lower, false), |prefix| (prefix, true));
        // `*` is a token byte, but a name that holds one is a mistake for a prefix.
        if !bytes::is_token(name) || name.contains(&b'*') {
            return Err(format!("expected a header name, or a prefix as in `x-internal-*`, found `{text}`"));
        }
        Ok(if is_prefix { Self::Prefix(name.to_vec()) } else { Self::Exact(name.to_vec()) })
    }

    /// Whether a lower-case name is one of this pattern.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Exact(exact) => name == exact,
        }
    }

    /// Whether every name of `other` is one of this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(prefix), Self::Prefix(name) | Self::Exact(name)) => name.starts_with(prefix),
            (Self::Exact(this), Self::Exact(other)) => this == other,
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

/// A table in the making.
#[derive(Debug)]
pub struct Builder<T>(Vec<(Pattern, T)>);

impl<T: Copy + Default> Builder<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Changes the treatment of every name of `pattern`, of those that have one already and of all others.
    pub fn change(&mut self, pattern: &Pattern, change: impl Fn(&mut T)) {
        self.apply(pattern, &change);
    }

    /// Once for all kinds of changes: each copy is a kilobyte of the module.
    #[inline(never)]
    fn apply(&mut self, pattern: &Pattern, change: &dyn Fn(&mut T)) {
        let mut is_known = false;
        for (known, treatment) in &mut self.0 {
            if pattern.covers(known) {
                change(treatment);
                is_known |= known == pattern;
            }
        }
        if !is_known {
            let mut treatment = T::default();
            change(&mut treatment);
            self.0.push((pattern.clone(), treatment));
        }
    }

    /// The finished table.
    #[must_use]
    pub fn build(self) -> NameTable<T> {
        let mut exact = Vec::new();
        let mut prefixes = Vec::new();
        for (pattern, treatment) in self.0 {
            match pattern {
                Pattern::Exact(name) => exact.push((name.into_boxed_slice(), treatment)),
                Pattern::Prefix(text) => prefixes.push((text.into_boxed_slice(), treatment)),
            }
        }
        let longest = prefixes.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        let prefixes = longest_first(prefixes, longest);
        let heads: Vec<_> = prefixes
            .iter()
            .map(|(text, _)| (first_word(text), first_word(&vec![0xff; text.len()])))
            .collect();
        // One of a single byte has a beginning of every kind.
        let beginnings = prefixes
            .iter()
            .fold(0, |all, (text, _)| all | if text.len() < 2 { u64::MAX } else { beginning(text) });
        NameTable { exact: ExactNames::new(exact), prefixes, heads, beginnings }
    }
}

/// The sorting of the standard library would be 20 KiB of the module.
fn longest_first<T>(mut entries: Vec<(Box<[u8]>, T)>, longest: usize) -> Vec<(Box<[u8]>, T)> {
    let mut ordered = Vec::with_capacity(entries.len());
    for len in (0..=longest).rev() {
        ordered.extend(entries.extract_if(.., |(text, _)| text.len() == len));
    }
    ordered
}

impl<T: Copy + Default> Default for Builder<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Names and prefixes with what is to be done with them.
///
/// Most names of a request are in no table, so the search is for finding that out fast: one look at a hash table, one at
/// the first two bytes.
#[derive(Debug)]
pub struct NameTable<T> {
    exact: ExactNames<T>,
    /// The longest first.
    prefixes: Vec<(Box<[u8]>, T)>,
    /// The [`first_word`] of each prefix, and the bits of a name's first word to compare it with.
    heads: Vec<(u64, u64)>,
    /// The [`beginning`]s of all prefixes: most names have none of them.
    beginnings: u64,
}

impl<T> NameTable<T> {
    /// The treatment of a lower-case name: that of the exact name, else that of the longest prefix.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&T> {
        self.find_exact(name).or_else(|| self.find_prefix(name))
    }

    /// The treatment of exactly this name.
    #[must_use]
    pub fn find_exact(&self, name: &[u8]) -> Option<&T> {
        self.exact.find(name)
    }

    /// The treatment of the longest prefix of a name.
    #[must_use]
    #[inline]
    pub fn find_prefix(&self, name: &[u8]) -> Option<&T> {
        if self.beginnings & beginning(name) == 0 { None } else { self.find_likely_prefix(name) }
    }

    #[inline(never)]
    fn find_likely_prefix(&self, name: &[u8]) -> Option<&T> {
        let word = first_word(name);
        let prefixes = self.heads.iter().zip(&self.prefixes);
        let mut candidates =
            prefixes.filter(|((head, mask), _)| word & mask == *head).map(|(_, entry)| entry);
        candidates.find(|(text, _)| name.starts_with(text)).map(|(_, treatment)| treatment)
    }
}

/// A hash table with open addressing. Clients choose what is searched for and never what is in it, so no hash has to be
/// secret: the most that a name can cost is known when the configuration is loaded.
#[derive(Debug)]
struct ExactNames<T> {
    entries: Vec<(Key, Box<[u8]>, T)>,
    /// Where in `entries` the name of a place is, counted from 1; 0 in a free place. A power of two of places, of which a
    /// quarter at most is taken, so that most searches end at the first.
    places: Vec<usize>,
    /// How far the upper half of a hash is shifted down to be a place.
    shift: u32,
}

impl<T> ExactNames<T> {
    fn new(names: Vec<(Box<[u8]>, T)>) -> Self {
        let entries: Vec<_> = names.into_iter().map(|(name, value)| (Key::of(&name), name, value)).collect();
        let size = entries.len().saturating_mul(4).max(4).next_power_of_two();
        let shift = 32_u32.saturating_sub(size.trailing_zeros());
        let mut table = Self { entries, places: vec![0; size], shift };
        for (index, (key, ..)) in table.entries.iter().enumerate() {
            let free = probe(*key, size, shift).find(|place| table.places.get(*place) == Some(&0));
            if let Some(place) = free.and_then(|place| table.places.get_mut(place)) {
                *place = index.saturating_add(1);
            }
        }
        table
    }

    /// Within the pass over all fields, what is looked up here of the table is looked up once.
    #[inline(always)]
    fn find(&self, name: &[u8]) -> Option<&T> {
        let key = Key::of(name);
        for place in probe(key, self.places.len(), self.shift) {
            let (known, text, value) = self.entries.get(self.places.get(place)?.checked_sub(1)?)?;
            if *known == key && (name.len() <= 16 || are_same_words(text, name)) {
                return Some(value);
            }
        }
        None
    }
}

/// The length of a name, its beginning and its end: all of a name of up to sixteen bytes, and nearly always different for
/// different names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    len: usize,
    first: u64,
    last: u64,
}

impl Key {
    fn of(name: &[u8]) -> Self {
        let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let (first, last) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (name.first_chunk(), name.last_chunk()) {
                (Some(first), Some(last)) => (half(first), half(last)),
                _ => (short_word(name), 0),
            },
        };
        Self { len: name.len(), first, last }
    }
}

/// Whether two names of one [`Key`] are the same: the key has told of what is behind the last whole word. No more than a few
/// comparisons, as those of the standard library are byte by byte in WebAssembly.
fn are_same_words(a: &[u8], b: &[u8]) -> bool {
    let words = |name| <[u8]>::as_chunks::<8>(name).0.iter().map(|word| u64::from_le_bytes(*word));
    words(a).eq(words(b))
}

/// The places of a table of `size` where a name may be, one after the other.
fn probe(key: Key, size: usize, shift: u32) -> impl Iterator<Item = usize> {
    // Fibonacci hashing (Knuth, volume 3, section 6.4): the upper bits of the product depend on all of the key.
    let len = u64::try_from(key.len).unwrap_or(u64::MAX);
    let product = (key.first ^ key.last.rotate_left(29) ^ len).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let upper = u32::try_from(product >> 32).unwrap_or(0) >> (shift & 31);
    let start = usize::try_from(upper).unwrap_or(0);
    (0..size).map(move |step| start.wrapping_add(step) & size.wrapping_sub(1))
}

/// One of 64 bits for the first two bytes; none for a shorter text, which only a prefix of one byte can begin.
fn beginning(text: &[u8]) -> u64 {
    match text {
        [first, second, ..] => 1 << (first.wrapping_mul(31).wrapping_add(*second) & 63),
        [_] => 1,
        [] => 0,
    }
}

/// The first eight bytes, zeros behind a shorter text.
fn first_word(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| short_word(text), |word| u64::from_le_bytes(*word))
}

fn short_word(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(patterns: &[&str]) -> NameTable<usize> {
        let mut builder = Builder::new();
        // Prefixes first, so that they don't overwrite what they cover.
        let mut sorted: Vec<_> =
            patterns.iter().enumerate().map(|(index, text)| (Pattern::parse(text).unwrap(), index)).collect();
        sorted.sort();
        for (pattern, index) in sorted {
            builder.change(&pattern, |treatment| *treatment = index);
        }
        builder.build()
    }

    #[test]
    fn the_exact_name_wins_then_the_longest_prefix() {
        let table = table(&["x-a-*", "x-a-b-*", "x-a-b-c", "y", "x-a-aa"]);
        for (name, expected) in [
            ("x-a-", Some(0)),
            ("x-a-z", Some(0)),
            ("x-a-b-", Some(1)),
            ("x-a-b-z", Some(1)),
            ("x-a-b-c", Some(2)),
            ("x-a-b-cc", Some(1)),
            ("x-a-bz", Some(0)),
            ("x-a-aaz", Some(0)),
            ("x-a", None),
            ("y", Some(3)),
            ("yy", None),
            ("", None),
        ] {
            assert_eq!(table.find(name.as_bytes()).copied(), expected, "{name}");
        }
    }

    #[test]
    fn a_later_prefix_changes_what_it_covers() {
        let mut builder = Builder::new();
        builder.change(&Pattern::parse("x-a-b").unwrap(), |treatment| *treatment = 1);
        builder.change(&Pattern::parse("x-a-*").unwrap(), |treatment| *treatment = 2);
        let table = builder.build();
        assert_eq!((table.find(b"x-a-b"), table.find(b"x-a-c")), (Some(&2), Some(&2)));
    }

    #[test]
    fn patterns_are_names_or_prefixes() {
        assert_eq!(Pattern::parse("X-User-*"), Ok(Pattern::Prefix(b"x-user-".to_vec())));
        for text in ["", "*", "x*y", "x y", "x:", ":path", "x\u{e9}", "**", "x\n"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn finding_agrees_with_trying_every_pattern(
            patterns in proptest::collection::btree_set("(longest-)?[ab]{1,4}\\*?", 0..12),
            name in "(longest-)?[abc]{0,6}",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let exact = patterns.iter().position(|pattern| *pattern == name);
            let longest = patterns
                .iter()
                .enumerate()
                .filter_map(|(index, pattern)| Some((pattern.strip_suffix('*')?, index)))
                .filter(|(prefix, _)| name.starts_with(prefix))
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, index)| index);
            prop_assert_eq!(table(&patterns).find(name.as_bytes()).copied(), exact.or(longest));
        }
    }
}
