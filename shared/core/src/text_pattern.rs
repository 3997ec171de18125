//! Texts with wildcards, as operators write them for subjects and names.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// A text that is compared byte for byte, where each `*` stands for any characters, none included. No other character
/// is special; there is no escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    /// What stands between the wildcards; one part without any.
    parts: Vec<String>,
}

/// Most wildcards of a pattern: each costs one pass over the text at most.
const MAX_WILDCARDS: usize = 8;

impl TextPattern {
    /// Reads a pattern; none for an empty one and one with more than 8 wildcards.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('*').map(str::to_owned).collect();
        (!text.is_empty() && parts.len() <= MAX_WILDCARDS.saturating_add(1)).then_some(Self { parts })
    }

    /// Whether it stands for `text`. The cost is linear in the text for each wildcard: taking the first place where a
    /// part fits is enough, so nothing is tried twice.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.iter().all(|whole| whole == text);
        };
        let ends = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        ends.and_then(|rest| {
            middle
                .iter()
                .try_fold(rest, |rest, part| rest.split_once(part.as_str()).map(|(_, behind)| behind))
        })
        .is_some()
    }
}

impl<'de> Deserialize<'de> for TextPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = format!("a text that is not empty, with at most {MAX_WILDCARDS} `*`");
        Self::new(&text)
            .ok_or_else(|| D::Error::invalid_value(serde::de::Unexpected::Str(&text), &expected.as_str()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TextPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextPattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1, "description": "A text; each `*` stands for any characters."})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // covers: JWT-CPU-06
    #[test]
    fn only_the_star_is_special() {
        for (pattern, text, expected) in [
            ("alice", "alice", true),
            ("alice", "alice2", false),
            ("alice", "Alice", false),
            ("svc.a", "svcXa", false),
            ("^(a+)+$", "aaaa", false),
            ("svc-*", "svc-orders", true),
            ("svc-*", "svc-", true),
            ("svc-*", "xsvc-a", false),
            ("*@corp.test", "a@corp.test", true),
            ("*@corp.test", "a@corp.test.evil.test", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ace", true),
            ("a*c*e", "aec", false),
            ("ab*ba", "aba", false),
            ("*a*a*", "xaxa", true),
            ("*a*a*", "xax", false),
            ("*", "", true),
        ] {
            assert_eq!(TextPattern::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
        assert_eq!(TextPattern::new(""), None);
        assert_eq!(TextPattern::new("*********"), None);
        assert!(TextPattern::new("********").is_some());
    }

    #[test]
    fn a_hostile_text_costs_one_pass_a_wildcard() {
        let pattern = TextPattern::new("*a*a*a*a*a*a*a*b").unwrap();
        assert!(!pattern.matches(&"a".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn a_text_stands_for_itself_and_for_what_it_is_cut_from(text in "[a-c]{1,12}", at in 0_usize..12, to in 0_usize..12) {
            let (at, to) = (at.min(text.len()), to.min(text.len()));
            prop_assert!(TextPattern::new(&text).unwrap().matches(&text));
            let (head, tail) = (text.get(..at.min(to)).unwrap(), text.get(at.max(to)..).unwrap());
            let pattern = format!("{head}*{tail}");
            prop_assert!(TextPattern::new(&pattern).unwrap().matches(&text), "{}", pattern);
        }
    }
}
