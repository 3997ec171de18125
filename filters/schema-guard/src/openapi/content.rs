//! Request bodies: media types, and what can be read of them.

use portcullis_core::ConfigError;
use portcullis_core::control::has_control;

use crate::document::{Document, Located};
use crate::schema::{Compiler, NodeId};

/// Longest `content-type` that is looked at, in bytes.
const MAX_CONTENT_TYPE: usize = 256;

/// What the document says about the body of an operation.
#[derive(Debug)]
pub struct Body {
    required: bool,
    /// Most specific first.
    contents: Vec<(MediaType, Content)>,
}

/// How a body of one media type is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Every body of this size is valid: no schema, or one that admits any text.
    Opaque,
    /// JSON that must meet this schema.
    Schema(NodeId),
}

/// A media type or range (RFC 9110 sections 8.3.1 and 12.5.1), names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    kind: String,
    subtype: String,
    /// Sorted; without `charset=utf-8`, which says nothing new.
    parameters: Vec<(String, String)>,
    /// A `charset` other than UTF-8.
    is_recoded: bool,
}

/// Reads a request body object.
pub(super) fn read_body<'d>(
    document: &'d Document,
    at: &Located<'d>,
    compiler: &mut Compiler<'d>,
    warnings: &mut Vec<String>,
) -> Result<Body, ConfigError> {
    at.only(&["description", "content", "required"])?;
    let required = match at.member("required") {
        Some(flag) => flag.flag()?,
        None => false,
    };
    let content = at.member("content").ok_or_else(|| at.error("expected a field `content`, found none"))?;
    let mut contents: Vec<(MediaType, Content)> = Vec::new();
    for (name, entry) in content.members()? {
        let entry = document.resolve(entry)?;
        entry.only(&["schema", "example", "examples", "encoding"])?;
        let Some(media_type) = MediaType::parse(name.as_bytes()) else {
            return Err(entry.error(format!("expected a media type or range, found `{name}`")));
        };
        if contents.iter().any(|(other, _)| *other == media_type) {
            return Err(entry.error(format!("expected each media type once, found `{name}` twice")));
        }
        let found = match entry.member("schema") {
            Some(schema) => {
                let schema = compiler.schema(&schema)?;
                // A text that may be anything is what `format: binary` means.
                let opaque = compiler.schemas().is_unconstrained(schema)
                    || (!media_type.is_json() && compiler.schemas().is_any_text(schema));
                if opaque { Content::Opaque } else { Content::Schema(schema) }
            }
            None => Content::Opaque,
        };
        if found != Content::Opaque && !media_type.may_be_json() {
            warnings.push(format!(
                "document#{}: bodies of type `{name}` can't be checked, requests with one are answered 415",
                entry.pointer
            ));
        }
        contents.push((media_type, found));
    }
    contents.sort_by_key(|(media_type, _)| media_type.wildcards());
    Ok(Body { required, contents })
}

impl Body {
    /// Whether a request without a body is refused.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// How to check a body of this `content-type`; none when the operation does not take it, or nobody could read it.
    #[must_use]
    pub fn content(&self, sent: &MediaType) -> Option<Content> {
        let (_, content) = self.contents.iter().find(|(documented, _)| documented.includes(sent))?;
        let readable = *content == Content::Opaque || sent.is_json();
        // JSON is UTF-8 (RFC 8259 section 8.1); another charset is another reading of the same bytes.
        (readable && !(sent.is_json() && sent.is_recoded)).then_some(*content)
    }
}

impl MediaType {
    /// Reads a `content-type` strictly: one type, each parameter once, nothing before, between or behind.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_CONTENT_TYPE)?;
        let mut parts = text.trim_matches([' ', '\t']).split(';');
        let (kind, subtype) = parts.next()?.trim_end_matches([' ', '\t']).split_once('/')?;
        let mut media_type =
            Self { kind: token(kind)?, subtype: token(subtype)?, parameters: Vec::new(), is_recoded: false };
        for part in parts {
            let (name, value) = part.trim_matches([' ', '\t']).split_once('=')?;
            let (name, value) = (token(name)?, parameter_value(value)?);
            if media_type.parameters.iter().any(|(other, _)| *other == name) {
                return None;
            }
            media_type.parameters.push((name, value));
        }
        let charset = media_type.parameters.iter().find(|(name, _)| name == "charset");
        media_type.is_recoded = charset.is_some_and(|(_, value)| !value.eq_ignore_ascii_case("utf-8"));
        media_type.parameters.retain(|(name, _)| name != "charset");
        media_type.parameters.sort();
        Some(media_type)
    }

    /// Whether bodies of this type are JSON (RFC 8259, RFC 6839 section 3.1).
    #[must_use]
    pub fn is_json(&self) -> bool {
        is_json_subtype(&self.subtype)
    }

    fn may_be_json(&self) -> bool {
        self.is_json() || self.subtype == "*"
    }

    /// `*/*` is less specific than `text/*`, and that less than `text/plain`.
    fn wildcards(&self) -> usize {
        [&self.kind, &self.subtype].iter().filter(|part| part.as_str() == "*").count()
    }

    /// Whether this documented type or range includes a sent type. Parameters must be those of the document; a range
    /// and a type that is not JSON may have any.
    fn includes(&self, sent: &Self) -> bool {
        let part = |documented: &str, sent: &str| documented == "*" || documented == sent;
        part(&self.kind, &sent.kind)
            && part(&self.subtype, &sent.subtype)
            && (!sent.is_json() || self.subtype == "*" || self.parameters == sent.parameters)
    }
}

/// Whether the name of a media type is that of JSON.
pub(super) fn is_json(name: &str) -> bool {
    MediaType::parse(name.as_bytes()).is_some_and(|media_type| media_type.is_json())
}

fn is_json_subtype(subtype: &str) -> bool {
    subtype == "json" || subtype.ends_with("+json")
}

/// A token (RFC 9110 section 5.6.2) in lower case.
fn token(text: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_token)).then(|| text.to_ascii_lowercase())
}

/// A token, or a quoted string without escapes.
fn parameter_value(text: &str) -> Option<String> {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => (!inner.contains(['"', '\\']) && !has_control(inner)).then(|| inner.to_owned()),
        None => token(text).map(|_| text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::document::Version;

    fn body(content: serde_json::Value) -> Body {
        let document = Document::of(json!({"content": content}), Version::V31).unwrap();
        let mut compiler = Compiler::new(&document, false);
        read_body(&document, &document.root(), &mut compiler, &mut Vec::new()).unwrap()
    }

    // covers: ENV-BODY-07
    #[test]
    fn only_documented_media_types_are_taken() {
        let json_body = body(json!({"application/json": {"schema": {"type": "object"}}}));
        let long = format!("application/json; x={}", "a".repeat(8_192));
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json ; charset=utf-8", true),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=utf-8; charset=utf-8", false),
            ("application/json; charset=utf-8; charset=utf-16", false),
            ("application/json;", false),
            ("application/json; x=1", false),
            ("application/json,text/plain", false),
            ("application/json text/plain", false),
            ("application/json+x", false),
            ("application/vnd.api+json", false),
            ("text/plain", false),
            ("multipart/form-data; boundary=x", false),
            ("application/grpc", false),
            ("*/*", false),
            ("application/*", false),
            ("json", false),
            ("", false),
            (long.as_str(), false),
        ] {
            let found = MediaType::parse(content_type.as_bytes()).and_then(|sent| json_body.content(&sent));
            assert_eq!(found.is_some(), expected, "{}", content_type.chars().take(60).collect::<String>());
        }
        assert_eq!(MediaType::parse(b"application/json\xff"), None);
    }

    #[test]
    fn the_most_specific_range_decides() {
        let body = body(json!({
            "*/*": {},
            "application/*": {"schema": {"type": "object"}},
            "application/json": {"schema": {"type": "array"}},
            "application/vnd.x+json;v=2": {"schema": {"type": "array"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        }));
        let found = |text: &str| body.content(&MediaType::parse(text.as_bytes()).unwrap());
        assert!(matches!(found("application/json"), Some(Content::Schema(_))));
        assert!(matches!(found("application/problem+json"), Some(Content::Schema(_))));
        assert_ne!(found("application/json"), found("application/problem+json"));
        assert_eq!(found("application/octet-stream"), Some(Content::Opaque));
        assert_eq!(found("application/xml"), None, "documented with a schema, but not readable");
        assert_eq!(found("image/png"), Some(Content::Opaque));
        assert_eq!(
            found("application/vnd.x+json; v=2"),
            body.contents.iter().find(|(t, _)| t.subtype == "vnd.x+json").map(|(_, c)| *c)
        );
    }

    proptest! {
        #[test]
        fn no_content_type_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = MediaType::parse(&text);
        }
    }
}
