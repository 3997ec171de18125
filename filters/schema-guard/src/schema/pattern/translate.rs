//! ECMA-262 syntax into that of the `regex` crates, character by character.

use std::iter::Peekable;
use std::str::Chars;

/// `\s` of ECMA-262: WhiteSpace and LineTerminator.
const SPACES: &str =
    r"\t-\r\x20\xA0\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}";

/// Translates a pattern, or says what is not supported.
pub(super) fn to_rust(pattern: &str) -> Result<String, String> {
    let mut translator = Translator { rest: pattern.chars().peekable(), out: String::new() };
    translator.pattern()?;
    Ok(translator.out)
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

/// One element of a character class.
enum Atom {
    Char(char),
    /// `\d` and the like, in the syntax of the engine.
    Set(String),
}

impl Translator<'_> {
    fn pattern(&mut self) -> Result<(), String> {
        let mut after_quantifier = false;
        while let Some(c) = self.rest.next() {
            let quantifier = match c {
                '*' | '+' | '?' => true,
                '{' => self.is_counted(),
                _ => false,
            };
            if quantifier && after_quantifier {
                // `a++` is an error in ECMA-262 and possessive elsewhere.
                return Err("expected one quantifier, found two".to_owned());
            }
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '.' => self.out.push_str(r"[^\n\r\u{2028}\u{2029}]"),
                '{' if quantifier => {
                    self.out.push('{');
                    while let Some(c) = self.rest.next_if(|c| *c != '}') {
                        self.out.push(c);
                    }
                }
                '{' | ']' => self.literal(c),
                _ => self.out.push(c),
            }
            if quantifier {
                if c == '{' {
                    self.out.extend(self.rest.next_if_eq(&'}'));
                }
                self.out.extend(self.rest.next_if_eq(&'?'));
            }
            after_quantifier = quantifier;
        }
        Ok(())
    }

    /// Whether `{` begins `{2}`, `{2,}` or `{2,3}`; else it stands for itself (annex B).
    fn is_counted(&self) -> bool {
        let mut rest = self.rest.clone();
        let digits = |rest: &mut Peekable<Chars<'_>>| {
            let mut any = false;
            while rest.next_if(char::is_ascii_digit).is_some() {
                any = true;
            }
            any
        };
        if !digits(&mut rest) {
            return false;
        }
        if rest.next_if_eq(&',').is_some() {
            digits(&mut rest);
        }
        rest.next() == Some('}')
    }

    fn group(&mut self) -> Result<(), String> {
        // Groups are never read, so none of them captures.
        self.out.push_str("(?:");
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match (self.rest.next(), self.rest.peek()) {
            (Some(':'), _) => Ok(()),
            (Some('='), _) | (Some('!'), _) | (Some('<'), Some('=' | '!')) => {
                Err("expected no look-around, which has no linear-time form, found it".to_owned())
            }
            (Some('<'), _) => {
                if self.rest.any(|c| c == '>') {
                    Ok(())
                } else {
                    Err("expected `>` behind a group's name".to_owned())
                }
            }
            _ => Err("expected `(?:` or `(?<name>` at the start of a group, found another form".to_owned()),
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.peek() {
            Some('1'..='9' | 'k') => {
                Err("expected no backreference, which has no linear-time form, found one".to_owned())
            }
            Some('b') => self.assertion(r"(?-u:\b)"),
            Some('B') => self.assertion(r"(?-u:\B)"),
            _ => {
                match self.escaped_atom()? {
                    Atom::Char(c) => self.literal(c),
                    Atom::Set(set) => self.out.push_str(&format!("[{set}]")),
                }
                Ok(())
            }
        }
    }

    fn assertion(&mut self, text: &str) -> Result<(), String> {
        self.rest.next();
        self.out.push_str(text);
        Ok(())
    }

    /// What follows a backslash, in and outside of classes.
    fn escaped_atom(&mut self) -> Result<Atom, String> {
        let Some(c) = self.rest.next() else {
            return Err(r"expected a character behind `\`, found none".to_owned());
        };
        Ok(match c {
            'd' => Atom::Set("0-9".to_owned()),
            'D' => Atom::Set("[^0-9]".to_owned()),
            'w' => Atom::Set("0-9A-Za-z_".to_owned()),
            'W' => Atom::Set("[^0-9A-Za-z_]".to_owned()),
            's' => Atom::Set(SPACES.to_owned()),
            'S' => Atom::Set(format!("[^{SPACES}]")),
            'p' | 'P' => self.property(c)?,
            't' => Atom::Char('\t'),
            'n' => Atom::Char('\n'),
            'v' => Atom::Char('\u{b}'),
            'f' => Atom::Char('\u{c}'),
            'r' => Atom::Char('\r'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Atom::Char('\0'),
            'c' => match self.rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    Atom::Char(char::from(u8::try_from(letter).unwrap_or_default() & 0x1f))
                }
                _ => return Err(r"expected a letter behind `\c`".to_owned()),
            },
            'x' => Atom::Char(
                self.hex(2).and_then(char::from_u32).ok_or(r"expected two hex digits behind `\x`")?,
            ),
            'u' => Atom::Char(self.unicode().ok_or(r"expected a Unicode character behind `\u`")?),
            c if c.is_ascii_alphanumeric() => {
                return Err(format!(r"expected an escape of ECMA-262, found `\{c}`"));
            }
            c => Atom::Char(c),
        })
    }

    /// `\p{L}`, `\p{Script=Greek}`.
    fn property(&mut self, kind: char) -> Result<Atom, String> {
        let mut name = String::new();
        let closed = self.rest.next_if_eq(&'{').is_some() && {
            name.extend(std::iter::from_fn(|| {
                self.rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '='))
            }));
            self.rest.next_if_eq(&'}').is_some()
        };
        if !closed || name.is_empty() {
            return Err(format!(r"expected a Unicode property such as `\{kind}{{L}}`"));
        }
        Ok(Atom::Set(format!(r"\{kind}{{{name}}}")))
    }

    fn unicode(&mut self) -> Option<char> {
        if self.rest.next_if_eq(&'{').is_some() {
            let digits: String =
                std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit)).take(6).collect();
            self.rest.next_if_eq(&'}')?;
            return char::from_u32(u32::from_str_radix(&digits, 16).ok()?);
        }
        let first = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest.next_if_eq(&'\\')?;
        self.rest.next_if_eq(&'u')?;
        let pair = [u16::try_from(first).ok()?, u16::try_from(self.hex(4)?).ok()?];
        char::decode_utf16(pair).next()?.ok()
    }

    fn hex(&mut self, count: usize) -> Option<u32> {
        let digits: String =
            std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit)).take(count).collect();
        if digits.len() == count { u32::from_str_radix(&digits, 16).ok() } else { None }
    }

    fn class(&mut self) -> Result<(), String> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        if self.rest.next_if_eq(&']').is_some() {
            // `[]` matches nothing, `[^]` everything.
            self.out.push_str(if negated { r"[\u{0}-\u{10FFFF}]" } else { r"[^\u{0}-\u{10FFFF}]" });
            return Ok(());
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        while let Some(first) = self.class_atom()? {
            let Atom::Char(low) = first else {
                self.class_item(first);
                continue;
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && !matches!(ahead.next(), None | Some(']'));
            if !is_range {
                self.literal(low);
                continue;
            }
            self.rest.next();
            match self.class_atom()? {
                Some(Atom::Char(high)) => {
                    self.literal(low);
                    self.out.push('-');
                    self.literal(high);
                }
                // `[a-\d]`: no range, three elements (annex B).
                other => {
                    self.literal(low);
                    self.literal('-');
                    if let Some(atom) = other {
                        self.class_item(atom);
                    }
                }
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// The next element of a class; none at its end.
    fn class_atom(&mut self) -> Result<Option<Atom>, String> {
        match self.rest.next() {
            None => Err("expected `]` at the end of a class, found none".to_owned()),
            Some(']') => Ok(None),
            Some('\\') if self.rest.next_if_eq(&'b').is_some() => Ok(Some(Atom::Char('\u{8}'))),
            Some('\\') => self.escaped_atom().map(Some),
            Some(c) => Ok(Some(Atom::Char(c))),
        }
    }

    fn class_item(&mut self, atom: Atom) {
        match atom {
            Atom::Char(c) => self.literal(c),
            Atom::Set(set) => self.out.push_str(&set),
        }
    }

    /// A character that stands for itself: ASCII punctuation may be escaped, and must be within classes. Only `\<` and
    /// `\>` are assertions of the engine.
    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_and_classes_are_rewritten() {
        for (pattern, expected) in [
            ("^a$", "^a$"),
            ("(a|b)", "(?:a|b)"),
            ("(?<n>a)", "(?:a)"),
            (r"\d", "[0-9]"),
            ("[a-z]", "[a-z]"),
            ("[a-]", r"[a\-]"),
            (r"[\d-x]", r"[0-9\-x]"),
            ("a{2,3}?", "a{2,3}?"),
            ("{", r"\{"),
        ] {
            assert_eq!(to_rust(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in r"[\\\[\](){}?*+^$.|<>=!:,a-du0-9pkx&~-]{0,24}|.{0,12}") {
            let _ = to_rust(&pattern);
            let _ = super::super::Pattern::new(&pattern);
        }
    }
}
