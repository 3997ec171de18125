//! Finds what is to be done with a field by its name: no hashing, a few comparisons.

use std::collections::BTreeMap;

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
pub struct Builder<T>(BTreeMap<Pattern, T>);

impl<T: Copy + Default> Builder<T> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Changes the treatment of every name of `pattern`, of those that have one already and of all others.
    pub fn change(&mut self, pattern: &Pattern, change: impl Fn(&mut T)) {
        for (known, treatment) in &mut self.0 {
            if pattern.covers(known) {
                change(treatment);
            }
        }
        if !self.0.contains_key(pattern) {
            let mut treatment = T::default();
            change(&mut treatment);
            self.0.insert(pattern.clone(), treatment);
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
        let longest = exact.iter().chain(&prefixes).map(|(text, _)| text.len()).max().unwrap_or(0);
        let exact = by_length(exact, 0..=longest);
        let prefixes = by_length(prefixes, (0..=longest).rev());
        let starts = (0..=longest.saturating_add(1))
            .map(|len| exact.partition_point(|(name, _)| name.len() < len))
            .collect();
        let tails = exact.iter().map(|(name, _)| last_word(name)).collect();
        let heads: Vec<_> = prefixes
            .iter()
            .map(|(text, _)| (first_word(text), first_word(&vec![0xff; text.len()])))
            .collect();
        // One of a single byte has a beginning of every kind.
        let beginnings = prefixes
            .iter()
            .fold(0, |all, (text, _)| all | if text.len() < 2 { u64::MAX } else { beginning(text) });
        NameTable { exact, tails, starts, prefixes, heads, beginnings }
    }
}

/// The entries whose texts have these lengths, one length after the other. The sorting of the standard library would be 20 KiB of
/// the module.
fn by_length<T>(
    mut entries: Vec<(Box<[u8]>, T)>,
    lengths: impl Iterator<Item = usize>,
) -> Vec<(Box<[u8]>, T)> {
    let mut ordered = Vec::with_capacity(entries.len());
    for len in lengths {
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
/// Most names of a request are in no table, so the search is for finding that out fast: a few comparisons of eight
/// bytes at once.
#[derive(Debug)]
pub struct NameTable<T> {
    /// By length.
    exact: Vec<(Box<[u8]>, T)>,
    /// The [`last_word`] of each name in `exact`: names differ more at their ends.
    tails: Vec<u64>,
    /// Where in `exact` the names of each length begin.
    starts: Vec<usize>,
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
        let start = *self.starts.get(name.len())?;
        let end = *self.starts.get(name.len().checked_add(1)?)?;
        let tail = last_word(name);
        let same_length = self.tails.get(start..end)?.iter().zip(self.exact.get(start..end)?);
        let mut candidates = same_length.filter(|(known, _)| **known == tail).map(|(_, entry)| entry);
        candidates.find(|(known, _)| **known == *name).map(|(_, treatment)| treatment)
    }

    /// The treatment of the longest prefix of a name.
    #[must_use]
    pub fn find_prefix(&self, name: &[u8]) -> Option<&T> {
        if self.beginnings & beginning(name) == 0 {
            return None;
        }
        let word = first_word(name);
        let prefixes = self.heads.iter().zip(&self.prefixes);
        let mut candidates =
            prefixes.filter(|((head, mask), _)| word & mask == *head).map(|(_, entry)| entry);
        candidates.find(|(text, _)| name.starts_with(text)).map(|(_, treatment)| treatment)
    }
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

/// The last eight bytes, zeros behind a shorter text.
fn last_word(text: &[u8]) -> u64 {
    text.last_chunk().map_or_else(|| short_word(text), |word| u64::from_le_bytes(*word))
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
