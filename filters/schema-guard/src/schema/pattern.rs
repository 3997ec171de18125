//! `pattern`: an ECMA-262 regular expression, translated and run in linear time.
//!
//! The engine has no backtracking. Look-around and backreferences do not exist in it, so a document that uses them
//! is refused at load.

mod translate;

use std::fmt::Display;

use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

/// Longest pattern, in bytes.
const MAX_LENGTH: usize = 4 * 1024;

/// Largest automaton, in bytes. `[a-z]{1,1000}` needs 60 KiB; a search may cost its states times the text.
const MAX_SIZE: usize = 128 * 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    states: usize,
}

impl Pattern {
    /// Compiles a pattern; the message is for the operator.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > MAX_LENGTH {
            return Err(format!("expected a pattern of at most {MAX_LENGTH} bytes, found {}", pattern.len()));
        }
        let translated =
            translate::to_rust(pattern).map_err(|problem| format!("{problem} in pattern `{pattern}`"))?;
        let hir =
            syntax::parse_with(&translated, &syntax_config()).map_err(|error| refused(pattern, &error))?;
        let nfa = thompson::Config::new()
            .nfa_size_limit(Some(MAX_SIZE))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(nfa).build_from_hir(&hir);
        let states = nfa.map_err(|error| refused(pattern, &error))?.states().len();
        // Matches are never located, and whether there is one needs no captures: small caches, one pass if possible.
        let config = Config::new()
            .nfa_size_limit(Some(MAX_SIZE))
            .onepass_size_limit(Some(MAX_SIZE))
            .which_captures(thompson::WhichCaptures::None);
        let regex = Regex::builder().configure(config).build_from_hir(&hir);
        Ok(Self { regex: regex.map_err(|error| refused(pattern, &error))?, states })
    }

    /// Whether the pattern occurs in `text`; JSON Schema patterns are not anchored by themselves.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Upper bound of the work for `text`, in steps of the evaluator.
    pub(super) const fn cost(&self, text: &str) -> usize {
        text.len().saturating_mul(self.states) / 64
    }
}

/// Bounded nesting, as parsing and compiling recurse.
fn syntax_config() -> syntax::Config {
    syntax::Config::new().nest_limit(64)
}

/// The engine's messages span lines and say how to raise its limits; one line is enough here.
fn refused(pattern: &str, error: &dyn Display) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("can't use pattern `{pattern}`: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn a_pattern_has_the_meaning_of_ecma_262() {
        for (pattern, text, expected) in [
            ("b", "abc", true),
            ("^b", "abc", false),
            ("^abc$", "abc\n", false),
            (r"^\d+$", "42", true),
            (r"^\d+$", "\u{9ea}", false),
            (r"^\w+$", "é", false),
            (r"^\s$", "\u{feff}", true),
            (r"^\S$", "\u{a0}", false),
            ("^.$", "\u{2028}", false),
            ("^.$", "🐲", true),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[\w-.]+$", "a.b-c", true),
            ("^[a[]+$", "[a", true),
            ("^[a&&b]+$", "&", true),
            ("^[^]$", "\n", true),
            ("[]", "a", false),
            (r"^\cJ$", "\n", true),
            (r"^\u0041\x42\u{43}$", "ABC", true),
            (r"^\uD83D\uDC32$", "🐲", true),
            (r"^[^\d]$", "a", true),
            (r"^[\D]$", "1", false),
            (r"^\/\-\_\@$", "/-_@", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{2}$", "aa", true),
            ("^(?<year>[0-9]{4})$", "2024", true),
            (r"\bfoo\b", "a foo b", true),
            (r"\bfoo\b", "afoo", false),
            (r"^\p{Lu}$", "É", true),
            (r"^\p{Letter}$", "é", true),
            ("^#$", "#", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text:?}");
        }
    }

    // covers: HOST-ALGO-02
    #[test]
    fn what_can_not_be_run_in_linear_time_is_refused_with_a_reason() {
        for (pattern, expected) in [
            ("(?=a)", "expected no look-around"),
            ("a(?!b)", "expected no look-around"),
            ("(?<=a)b", "expected no look-around"),
            (r"(a)\1", "expected no backreference"),
            (r"(?<x>a)\k<x>", "expected no backreference"),
            ("(a", "unclosed group"),
            ("[a", "expected `]`"),
            ("(?i)a", "expected `(?:` or `(?<name>`"),
            (r"\a", r"expected an escape of ECMA-262, found `\a`"),
            (r"\Z", r"expected an escape of ECMA-262, found `\Z`"),
            ("a++", "expected one quantifier"),
            ("^.{0,404600}$", "exceeded limit"),
            ("(a{100}){100}{100}", "expected one quantifier"),
            ("((a{100}){100}){100}", "exceeded limit"),
            (r"\p{Nonsense}", "not found"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(expected), "{pattern}: {error}");
            assert!(!error.contains('\n'), "{pattern}: {error}");
        }
        assert!(Pattern::new(&"a".repeat(5_000)).unwrap_err().contains("at most 4096 bytes"));
        assert!(Pattern::new(&"(".repeat(200)).is_err());
    }

    // covers: HOST-ALGO-01, HOST-ALGO-03
    #[test]
    fn no_pattern_is_exponential() {
        for pattern in ["(a+)+$", "(.*a){25}", "^(([a-z])+.)+[A-Z]([a-z])+$", "[a-z]{1,200}[0-9]{1,200}"] {
            let pattern = Pattern::new(pattern).unwrap();
            let text = "a".repeat(10_000);
            assert!(pattern.cost(&text) > 0);
            // Ends at once, or the test suite does not end at all.
            pattern.matches(&format!("{text}!"));
        }
    }
}
