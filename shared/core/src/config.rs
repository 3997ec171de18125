//! Loading what an operator writes: one strict JSON document, mistakes named by their path.

mod deserializer;
mod protobuf_struct;
mod text;
mod units;

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use serde::de::DeserializeOwned;

use crate::{json, redact};

pub(crate) use deserializer::Reader;
pub use units::{ByteSize, Secret, SecretRef, TimeSpan};

/// A mistake in a configuration, for the operator: `providers[0].leeway: expected 0s to 300s, found 900s`.
///
/// One line, lower case, input in backticks, never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where: member names joined with `.`, list positions in brackets; empty for the whole document.
    pub path: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl ConfigError {
    /// A mistake at `path`; an empty path stands for the whole document.
    #[must_use]
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The same mistake seen from further out: `issuer` under `providers[0]` is `providers[0].issuer`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        let separator =
            if prefix.is_empty() || self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{prefix}{separator}{}", self.path);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        // A document holds any characters; the error must stay one line of Envoy's log.
        for c in path.chars().chain(": ".chars()).chain(self.problem.chars()) {
            if redact::is_unsafe(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// An API description may be part of a configuration, so only the depth is bounded: an operator wrote it.
const LIMITS: json::Limits = json::Limits { depth: json::Limits::MAX_DEPTH, values: usize::MAX };

/// Reads a configuration document, then the fields of `T`, which should `deny_unknown_fields`. An empty document
/// stands for `{}`.
///
/// The document is strict JSON (see [`json::parse`]), as a `google.protobuf.StringValue` carries it, or a serialized
/// `google.protobuf.Struct`, which is what an operator's YAML becomes. One can't be mistaken for the other: a
/// `Struct` holds control characters where JSON allows none.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake: not JSON, a duplicate or unknown field, a wrong type, a
/// value that a field's own type refuses.
pub fn load<T: DeserializeOwned>(document: &[u8]) -> Result<T, ConfigError> {
    let document = if document.trim_ascii().is_empty() { b"{}" } else { document };
    let value = match json::parse(document, LIMITS) {
        Ok(value) => value,
        Err(error) => {
            protobuf_struct::parse(document).ok_or_else(|| ConfigError::new("", error.to_string()))?
        }
    };
    T::deserialize(Reader(&value))
        .map_err(|mistake| ConfigError::new(mistake.path(), text::for_operator(mistake.problem())))
}

/// Takes note of a value that must not come twice.
///
/// # Errors
/// [`ConfigError`] at `member` for nothing, or a value that was there before.
// In the caller's crate, whose sets of texts it shares: its own would be 3 KiB of each module.
#[inline]
pub fn unique(seen: &mut BTreeSet<String>, member: &str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() {
        return Err(ConfigError::new(member, "expected a text, found nothing"));
    }
    if !seen.insert(value.to_owned()) {
        let problem = format!("expected a value of its own, found `{value}` a second time");
        return Err(ConfigError::new(member, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        count: usize,
        flag: bool,
        names: Vec<String>,
        timeout: TimeSpan,
        limit: ByteSize,
        mode: crate::Mode,
        inner: Option<Inner>,
        list: Vec<Inner>,
        secret: Option<SecretRef>,
        client: crate::client::ClientAddressConfig,
        choice: Option<Choice>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        Inline(Inner),
        Remote { url: String },
    }

    fn sample(document: &str) -> Result<Sample, String> {
        load(document.as_bytes()).map_err(|error: ConfigError| error.to_string())
    }

    #[test]
    fn a_correct_document_is_read() {
        for document in ["", " \n", "{}"] {
            assert_eq!(sample(document), Ok(Sample::default()), "{document}");
        }
        let read =
            sample(r#"{"count": 5, "timeout": "2s", "limit": "64KiB", "list": [{"id": "a"}]}"#).unwrap();
        assert_eq!(
            (read.count, read.timeout, read.limit),
            (5, TimeSpan::from_secs(2), ByteSize::new(65_536))
        );
        assert_eq!(read.list, [Inner { id: "a".into() }]);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let long = format!(r#"{{"flag": "{}"}}"#, "x".repeat(1_000));
        for (name, document, expected) in [
            ("not JSON", "{", "configuration: JSON ends too early at byte 1"),
            ("data behind the document", "{} x", "configuration: not valid JSON at byte 3"),
            ("not an object", "5", "configuration: expected an object, found `5`"),
            (
                "an unknown field at the top",
                r#"{"list": [], "cuont": 5}"#,
                "cuont: expected one of `count`, `flag`, `names`, `timeout`, `limit`, `mode`, `inner`, `list`, \
                 `secret`, `client`, `choice`, found unknown field `cuont`",
            ),
            (
                "an unknown field in a list",
                r#"{"list": [{"id": "a"}, {"di": "a"}]}"#,
                "list[1].di: expected `id`, found unknown field `di`",
            ),
            (
                "a missing field",
                r#"{"list": [{"id": "a"}, {}]}"#,
                "list[1]: expected a field `id`, found none",
            ),
            (
                "a duplicate field",
                r#"{"count": 1, "count": 2}"#,
                "configuration: duplicate member name in JSON at byte 13",
            ),
            (
                "a duplicate that no field would show",
                r#"{"x": {"y": 1, "\u0079": 2}}"#,
                "configuration: duplicate member name in JSON at byte 15",
            ),
            (
                "a string for a number",
                r#"{"count": "5"}"#,
                "count: expected a whole number from 0, found `5`",
            ),
            ("a fraction", r#"{"count": 5.5}"#, "count: expected a whole number from 0, found `5.5`"),
            ("a whole double", r#"{"count": 5.0}"#, "count: expected a whole number from 0, found `5.0`"),
            ("a negative number", r#"{"count": -1}"#, "count: expected a whole number from 0, found `-1`"),
            ("a number for a flag", r#"{"flag": 1}"#, "flag: expected `true` or `false`, found `1`"),
            ("a string for a list", r#"{"names": "a"}"#, "names: expected a list, found `a`"),
            ("null in a list", r#"{"names": [null]}"#, "names[0]: expected a string, found `null`"),
            ("a list for an object", r#"{"list": [[]]}"#, "list[0]: expected an object, found a list"),
            (
                "a long value",
                &long,
                &format!("flag: expected `true` or `false`, found `{}…`", "x".repeat(117)),
            ),
            (
                "an object for a string",
                r#"{"inner": {"id": {}}}"#,
                "inner.id: expected a string, found an object",
            ),
            (
                "an unknown variant",
                r#"{"mode": "enfore"}"#,
                "mode: expected one of `enforce`, `report`, `off`, found `enfore`",
            ),
            (
                "no unit",
                r#"{"timeout": 30}"#,
                "timeout: expected a duration with its unit (ms, s, m, h, d) such as `30s`, found `30`",
            ),
            (
                "a wrong unit",
                r#"{"limit": "64kb"}"#,
                "limit: expected a size with its unit (B, KiB, MiB, GiB) such as `64KiB`, found `64kb`",
            ),
            ("a secret in the file", r#"{"secret": "s3cret"}"#, "secret: expected an object, found `s3cret`"),
            (
                "out of range",
                r#"{"client": {"trusted_hops": 32}}"#,
                "client.trusted_hops: expected 0 to 31, found `32`",
            ),
            (
                "an unknown choice",
                r#"{"choice": {"inlin": {}}}"#,
                "choice: expected `inline` or `remote`, found `inlin`",
            ),
            (
                "a choice without its value",
                r#"{"choice": "inline"}"#,
                "choice.inline: expected an object, found a name alone",
            ),
            (
                "two choices",
                r#"{"choice": {"inline": {"id": "a"}, "remote": {"url": "b"}}}"#,
                "choice: expected an object with one field, found an object",
            ),
            (
                "words of a message in a value",
                r#"{"flag": "invalid type: x, expected usize"}"#,
                "flag: expected `true` or `false`, found `invalid type: x, expected usize`",
            ),
            (
                "a line end in a value",
                r#"{"flag": "a\nb"}"#,
                "flag: expected `true` or `false`, found `a\\nb`",
            ),
        ] {
            assert_eq!(sample(document), Err(expected.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_prefix_joins_paths() {
        for (path, prefix, expected) in [
            ("issuer", "providers[0]", "providers[0].issuer"),
            ("[3].match.path", "rules", "rules[3].match.path"),
            ("", "rules[0]", "rules[0]"),
            ("issuer", "", "issuer"),
        ] {
            assert_eq!(ConfigError::new(path, "x").under(prefix).path, expected);
        }
    }

    #[test]
    fn a_document_as_deep_as_hostile_input_is_refused() {
        let document = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(sample(&document), Err("configuration: JSON is nested too deeply at byte 64".to_owned()));
    }
}
