//! Path templates: `/orders/{id}`, `/files/{name}.json`, `/admin/**`.

use std::cmp::{Ordering, Reverse};

use crate::path::{self, decode_segment};

/// A checked path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Exactly this segment, in canonical form.
    Literal(String),
    /// Text around a variable, in canonical form; at least one of the two is not empty.
    Affixed { affix: Affix, name: String },
    /// Any one segment.
    Variable(String),
    /// Any rest of the path, including none; only at the end.
    Rest,
}

/// Literal text before and behind a variable in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Affix {
    pub(super) prefix: String,
    pub(super) suffix: String,
}

/// More literal text is more specific, so it comes first.
impl Ord for Affix {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |affix: &Self| {
            Reverse((affix.prefix.len().saturating_add(affix.suffix.len()), affix.prefix.len()))
        };
        key(self)
            .cmp(&key(other))
            .then_with(|| (&self.prefix, &self.suffix).cmp(&(&other.prefix, &other.suffix)))
    }
}

impl PartialOrd for Affix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Affix {
    /// The part of a canonical segment that the variable stands for; none if the text around it differs or
    /// nothing is left.
    pub(super) fn strip<'a>(&self, segment: &'a str) -> Option<&'a str> {
        let variable = segment.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        // The suffix `41` must not take the end of `%41`.
        let tail = variable.len().saturating_sub(2);
        let cuts_escape = variable.bytes().skip(tail).any(|byte| byte == b'%');
        (!variable.is_empty() && !cuts_escape).then_some(variable)
    }
}

impl Template {
    /// Checks a template. The message is for the operator and does not name the place in the configuration.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("expected a path template that starts with `/`, found `{text}`"));
        };
        let rest = rest.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(rest);
        let mut parts = Vec::new();
        let mut segments = rest.split('/').filter(|_| !rest.is_empty()).peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" && segments.peek().is_some() {
                return Err(format!("expected `**` at the end only, found `{text}`"));
            }
            let part = Part::parse(segment).map_err(|problem| format!("{problem} in `{text}`"))?;
            if let Some(name) = part.name()
                && parts.iter().any(|other: &Part| other.name() == Some(name))
            {
                return Err(format!("expected each variable once, found `{{{name}}}` twice in `{text}`"));
            }
            parts.push(part);
        }
        if parts.len() > path::MAX_SEGMENTS {
            return Err(format!("expected at most {} segments, found {}", path::MAX_SEGMENTS, parts.len()));
        }
        Ok(Self { parts })
    }

    /// The variables of a path that this template matches, decoded, in the order of the template.
    pub(super) fn variables<'t>(&'t self, path: &path::CanonicalPath) -> Vec<(&'t str, String)> {
        let bind = |(part, segment): (&'t Part, &str)| match part {
            Part::Variable(name) => Some((name.as_str(), decode_segment(segment).into_owned())),
            Part::Affixed { affix, name } => {
                affix.strip(segment).map(|value| (name.as_str(), decode_segment(value).into_owned()))
            }
            Part::Literal(_) | Part::Rest => None,
        };
        self.parts.iter().zip(path.segments()).filter_map(bind).collect()
    }
}

impl Part {
    fn parse(segment: &str) -> Result<Self, String> {
        if segment == "**" {
            return Ok(Self::Rest);
        }
        let Some((prefix, rest)) = segment.split_once('{') else {
            let literal = literal(segment)?;
            path::check_segment(&literal).map_err(|error| error.to_string())?;
            return Ok(Self::Literal(literal));
        };
        let (name, suffix) = rest.split_once('}').ok_or("expected `}` behind `{`")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        {
            return Err(format!(
                "expected a variable name of letters, digits, `_`, `-` and `.`, found `{{{name}}}`"
            ));
        }
        if suffix.contains('{') {
            return Err("expected one variable in a segment, found more".to_owned());
        }
        let name = name.to_owned();
        if prefix.is_empty() && suffix.is_empty() {
            return Ok(Self::Variable(name));
        }
        let affix = Affix { prefix: literal(prefix)?, suffix: literal(suffix)? };
        if !affix.suffix.is_empty() {
            // No path has such an end, so the template would never match.
            path::check_segment(&affix.suffix).map_err(|error| error.to_string())?;
        }
        Ok(Self::Affixed { affix, name })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Variable(name) | Self::Affixed { name, .. } => Some(name),
            Self::Literal(_) | Self::Rest => None,
        }
    }
}

/// Literal text in the spelling that canonical paths have. What is not a path character must be escaped, and so
/// must `*`: it looks like a wildcard.
fn literal(text: &str) -> Result<String, String> {
    if let Some(stray) =
        text.chars().find(|c| !matches!(c, '%' | ';' | '\\') && (*c == '*' || !path::is_pchar(*c)))
    {
        let hint =
            if stray == '*' { "`{name}`, a final `**` or `%2A`" } else { "a path character or its escape" };
        return Err(format!("expected {hint}, found `{}`", stray.escape_default()));
    }
    path::canonical_text(text.as_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_checked_when_it_is_built() {
        for (text, expected) in [
            ("", "expected a path template that starts with `/`, found ``"),
            ("orders", "expected a path template that starts with `/`, found `orders`"),
            ("**", "expected a path template that starts with `/`, found `**`"),
            ("/a/**/b", "expected `**` at the end only, found `/a/**/b`"),
            ("/a//b", "empty segment in the path in `/a//b`"),
            ("//", "empty segment in the path in `//`"),
            ("/a/../b", "dot segment in the path in `/a/../b`"),
            ("/a/%2e%2E", "dot segment in the path in `/a/%2e%2E`"),
            ("/a.", "segment with a trailing dot or space in the path in `/a.`"),
            ("/{x}.", "dot segment in the path in `/{x}.`"),
            ("/a%2Fb", "encoded slash in the path in `/a%2Fb`"),
            ("/a;b", "semicolon in the path in `/a;b`"),
            ("/a\\b", "backslash in the path in `/a\\b`"),
            ("/a%zz", "malformed percent-encoding in the path in `/a%zz`"),
            ("/a%00", "control character in the path in `/a%00`"),
            ("/a%252f", "double encoding in the path in `/a%252f`"),
            ("/a?b", "expected a path character or its escape, found `?` in `/a?b`"),
            ("/a b", "expected a path character or its escape, found ` ` in `/a b`"),
            ("/a#b", "expected a path character or its escape, found `#` in `/a#b`"),
            ("/a\nb", "expected a path character or its escape, found `\\n` in `/a\nb`"),
            ("/caf\u{e9}", "expected a path character or its escape, found `\\u{e9}` in `/caf\u{e9}`"),
            ("/a/*", "expected `{name}`, a final `**` or `%2A`, found `*` in `/a/*`"),
            ("/a/b**", "expected `{name}`, a final `**` or `%2A`, found `*` in `/a/b**`"),
            ("/{}", "expected a variable name of letters, digits, `_`, `-` and `.`, found `{}` in `/{}`"),
            (
                "/{a b}",
                "expected a variable name of letters, digits, `_`, `-` and `.`, found `{a b}` in `/{a b}`",
            ),
            (
                "/{id:[0-9]+}",
                "expected a variable name of letters, digits, `_`, `-` and `.`, found `{id:[0-9]+}` in `/{id:[0-9]+}`",
            ),
            ("/{a}/{a}", "expected each variable once, found `{a}` twice in `/{a}/{a}`"),
            ("/{a}/x{a}", "expected each variable once, found `{a}` twice in `/{a}/x{a}`"),
            ("/{a}-{b}", "expected one variable in a segment, found more in `/{a}-{b}`"),
            ("/{a", "expected `}` behind `{` in `/{a`"),
            ("/a}", "expected a path character or its escape, found `}` in `/a}`"),
            ("/{a}}", "expected a path character or its escape, found `}` in `/{a}}`"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err(), expected);
        }
        assert_eq!(
            Template::parse(&"/a".repeat(257)).unwrap_err(),
            "expected at most 256 segments, found 257"
        );
    }

    #[test]
    fn literals_are_spelled_as_in_canonical_paths() {
        let literal = |text: &str| Part::Literal(text.to_owned());
        for (text, expected) in [
            ("/", vec![]),
            ("/a", vec![literal("a")]),
            ("/a/", vec![literal("a")]),
            ("/%61%3a/caf%c3%a9", vec![literal("a:"), literal("caf%C3%A9")]),
            ("/%2A/**/", vec![literal("*"), Part::Rest]),
            ("/{order-id}", vec![Part::Variable("order-id".to_owned())]),
        ] {
            assert_eq!(Template::parse(text).unwrap().parts, expected, "{text}");
        }
    }

    #[test]
    fn text_around_a_variable_never_cuts_an_escape() {
        for (prefix, suffix, segment, expected) in [
            ("", ".json", "7.json", Some("7")),
            ("", ".json", ".json", None),
            ("", ":cancel", "7:cancel", Some("7")),
            ("v", "", "v7", Some("7")),
            ("v", "", "v", None),
            ("ab", "bc", "abc", None),
            ("", "41", "x%41", None),
            ("", "1", "x%41", None),
            ("", "1", "%411", Some("%41")),
            ("", "%41", "x%41", Some("x")),
        ] {
            let affix = Affix { prefix: prefix.to_owned(), suffix: suffix.to_owned() };
            assert_eq!(affix.strip(segment), expected, "{prefix}{{}}{suffix} {segment}");
        }
    }
}
