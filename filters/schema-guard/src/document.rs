//! The OpenAPI document as a tree whose places have names: JSON pointers, for errors and for `$ref`.

use std::collections::BTreeMap;

use portcullis_core::{ConfigError, json};
use serde_json::{Map, Value};

/// Which dialect the document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// OpenAPI 3.0.x.
    V30,
    /// OpenAPI 3.1.x; schemas are JSON Schema 2020-12.
    V31,
}

/// A whole OpenAPI document.
#[derive(Debug)]
pub struct Document {
    root: Value,
    version: Version,
    /// Pointers by `$anchor`.
    anchors: BTreeMap<String, String>,
}

/// One value of the document with its place.
#[derive(Clone, Debug)]
pub struct Located<'a> {
    /// The value.
    pub value: &'a Value,
    /// Its JSON pointer; empty for the root.
    pub pointer: String,
}

/// `$ref` to `$ref`: more than this is a cycle or a mistake.
const MAX_HOPS: usize = 16;

impl Document {
    /// Takes a document as an object, or as a string that holds its JSON text.
    ///
    /// # Errors
    /// Text that is not strict JSON, a value that is not an object, an OpenAPI version that is not supported.
    pub fn new(document: Value) -> Result<Self, ConfigError> {
        let root = match document {
            Value::String(text) => {
                let limits = json::Limits { depth: json::Limits::MAX_DEPTH, values: usize::MAX };
                json::parse(text.as_bytes(), limits)
                    .map_err(|error| ConfigError::new("document", error.to_string()))?
            }
            other => other,
        };
        let version = match root.get("openapi").and_then(Value::as_str) {
            Some(text) if text.starts_with("3.0.") => Version::V30,
            Some(text) if text.starts_with("3.1.") => Version::V31,
            Some(text) => {
                let problem = format!("expected OpenAPI 3.0.x or 3.1.x, found `{text}`");
                return Err(ConfigError::new("document#/openapi", problem));
            }
            None => {
                let problem = "expected an OpenAPI 3.0 or 3.1 document with a field `openapi`, found none";
                return Err(ConfigError::new("document", problem));
            }
        };
        Self::of(root, version)
    }

    /// Takes any JSON value whose schemas are of `version`.
    ///
    /// # Errors
    /// Two equal `$anchor`s.
    pub fn of(root: Value, version: Version) -> Result<Self, ConfigError> {
        let mut anchors = BTreeMap::new();
        find_anchors(&root, "", &mut anchors)?;
        Ok(Self { root, version, anchors })
    }

    /// The dialect.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The whole document.
    #[must_use]
    pub const fn root(&self) -> Located<'_> {
        Located { value: &self.root, pointer: String::new() }
    }

    /// The value at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<Located<'_>> {
        Some(Located { value: self.root.pointer(pointer)?, pointer: pointer.to_owned() })
    }

    /// What a `$ref` names. Only this document: nothing is ever fetched.
    ///
    /// # Errors
    /// A reference to another document, or to a place that does not exist.
    pub fn target(&self, reference: &Located<'_>) -> Result<Located<'_>, ConfigError> {
        let Some(text) = reference.value.as_str() else {
            return Err(reference.expected("a string"));
        };
        let fragment = text.strip_prefix('#').and_then(percent_decode);
        let Some(fragment) = fragment else {
            return Err(
                reference.error(format!("expected a reference into this document (`#/...`), found `{text}`"))
            );
        };
        let pointer = if fragment.is_empty() || fragment.starts_with('/') {
            Some(fragment)
        } else {
            self.anchors.get(&fragment).cloned()
        };
        pointer.and_then(|pointer| self.at(&pointer)).ok_or_else(|| {
            reference.error(format!("expected a reference to something in this document, found `{text}`"))
        })
    }

    /// Follows `$ref` in places that are not schemas (parameters, request bodies, path items).
    ///
    /// # Errors
    /// As [`Document::target`]; a cycle.
    pub fn resolve<'a>(&'a self, located: Located<'a>) -> Result<Located<'a>, ConfigError> {
        let mut current = located;
        for _ in 0..MAX_HOPS {
            match current.member("$ref") {
                Some(reference) => current = self.target(&reference)?,
                None => return Ok(current),
            }
        }
        Err(current.error("expected a reference that ends, found a cycle"))
    }
}

impl<'a> Located<'a> {
    /// A member of an object; none if it is absent or this is no object.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name)?;
        Some(Self { value, pointer: format!("{}/{}", self.pointer, escape(name)) })
    }

    /// All members of an object.
    ///
    /// # Errors
    /// When this is not an object.
    pub fn members(&self) -> Result<impl Iterator<Item = (&'a str, Self)> + use<'a>, ConfigError> {
        let pointer = self.pointer.clone();
        Ok(self.object()?.iter().map(move |(name, value)| {
            (name.as_str(), Located { value, pointer: format!("{pointer}/{}", escape(name)) })
        }))
    }

    /// All elements of an array.
    ///
    /// # Errors
    /// When this is not an array.
    pub fn items(&self) -> Result<impl Iterator<Item = Self> + use<'a>, ConfigError> {
        let Value::Array(items) = self.value else {
            return Err(self.expected("a list"));
        };
        let pointer = self.pointer.clone();
        let located = move |(index, value)| Located { value, pointer: format!("{pointer}/{index}") };
        Ok(items.iter().enumerate().map(located))
    }

    /// The object.
    ///
    /// # Errors
    /// When this is not an object.
    pub fn object(&self) -> Result<&'a Map<String, Value>, ConfigError> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    /// The text.
    ///
    /// # Errors
    /// When this is not a string.
    pub fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// The flag.
    ///
    /// # Errors
    /// When this is not a boolean.
    pub fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.expected("`true` or `false`"))
    }

    /// Refuses members that are neither `known` nor extensions (`x-`): a misspelt one would be a check that is not
    /// made.
    ///
    /// # Errors
    /// The first unknown member; not an object.
    pub fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let unknown =
            self.object()?.keys().find(|name| !name.starts_with("x-") && !known.contains(&name.as_str()));
        match unknown {
            Some(name) => {
                Err(self.error(format!("expected one of `{}`, found `{name}`", known.join("`, `"))))
            }
            None => Ok(()),
        }
    }

    /// A mistake at this place.
    #[must_use]
    pub fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(format!("document#{}", self.pointer), problem)
    }

    /// A mistake at this place: another kind of value than `what`.
    #[must_use]
    pub fn expected(&self, what: &str) -> ConfigError {
        let found = match self.value {
            Value::Null => "`null`".to_owned(),
            Value::Bool(flag) => format!("`{flag}`"),
            Value::Number(number) => format!("`{number}`"),
            Value::String(text) => format!("`{}`", portcullis_core::redact::truncate(text, 60)),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        self.error(format!("expected {what}, found {found}"))
    }
}

/// A name as part of a JSON pointer (RFC 6901 section 3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Decodes the fragment of a URI reference; none if it does not decode to UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        if *byte != b'%' {
            bytes.push(*byte);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

/// Recursion is bounded by the depth of a configuration document.
fn find_anchors(
    value: &Value,
    pointer: &str,
    anchors: &mut BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_anchors(item, &format!("{pointer}/{index}"), anchors)?;
            }
        }
        Value::Object(members) => {
            if let Some(Value::String(name)) = members.get("$anchor")
                && anchors.insert(name.clone(), pointer.to_owned()).is_some()
            {
                let problem = format!("expected each `$anchor` once, found `{name}` twice");
                return Err(ConfigError::new(format!("document#{pointer}"), problem));
            }
            for (name, member) in members {
                // What stands there is data, not schemas.
                if matches!(name.as_str(), "example" | "examples" | "default" | "enum" | "const") {
                    continue;
                }
                find_anchors(member, &format!("{pointer}/{}", escape(name)), anchors)?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_openapi_3_0_and_3_1_are_taken() {
        for (document, expected) in [
            (json!({"openapi": "3.0.3"}), Ok(Version::V30)),
            (json!({"openapi": "3.1.0"}), Ok(Version::V31)),
            (json!(r#"{"openapi": "3.1.1"}"#), Ok(Version::V31)),
            (
                json!({"openapi": "3.2.0"}),
                Err("document#/openapi: expected OpenAPI 3.0.x or 3.1.x, found `3.2.0`"),
            ),
            (
                json!({"swagger": "2.0"}),
                Err("document: expected an OpenAPI 3.0 or 3.1 document with a field `openapi`, found none"),
            ),
            (
                json!("{\"openapi\": \"3.0.0\", \"openapi\": 1}"),
                Err("document: duplicate member name in JSON at byte 21"),
            ),
            (json!("openapi: 3.0.0"), Err("document: not valid JSON at byte 0")),
        ] {
            let found =
                Document::new(document).map(|document| document.version()).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned));
        }
    }

    // covers: ENV-BODY-19
    #[test]
    fn references_stay_in_the_document() {
        let document = Document::of(
            json!({
                "a/b": {"c~d": 1}, "p%q": 2, "anchored": {"$anchor": "here"},
                "good": ["#/a~1b/c~0d", "#/p%25q", "#here", "#"],
                "bad": ["http://evil.test/x.json", "file:///etc/passwd", "other.json#/a", "#/missing", "#nowhere", "#/%zz", 5],
                "loop": {"$ref": "#/loop"}
            }),
            Version::V31,
        )
        .unwrap();
        let places = |name: &str| document.root().member(name).unwrap().items().unwrap().collect::<Vec<_>>();
        for reference in places("good") {
            assert!(document.target(&reference).is_ok(), "{reference:?}");
        }
        for reference in places("bad") {
            let error = document.target(&reference).unwrap_err().to_string();
            assert!(error.starts_with(&format!("document#{}: expected ", reference.pointer)), "{error}");
        }
        let looped = document.root().member("loop").unwrap();
        assert_eq!(
            document.resolve(looped).unwrap_err().to_string(),
            "document#/loop: expected a reference that ends, found a cycle"
        );
    }

    #[test]
    fn an_anchor_has_one_place() {
        let twice = json!([{"$anchor": "a"}, {"x": {"$anchor": "a"}}]);
        assert_eq!(
            Document::of(twice, Version::V31).unwrap_err().to_string(),
            "document#/1/x: expected each `$anchor` once, found `a` twice"
        );
        assert!(Document::of(json!([{"$anchor": "a"}, {"enum": [{"$anchor": "a"}]}]), Version::V31).is_ok());
    }
}
