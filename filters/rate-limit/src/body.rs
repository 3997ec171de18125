//! A field of a request's body, as part of a key: the account that somebody tries to log in to.

use portcullis_core::{Request, json};
use serde_json::Value;

use crate::form;

/// A body that was read.
#[derive(Debug)]
pub enum Body {
    /// `application/json` and `+json`.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<u8>),
    /// Of another type, compressed, or not what its type says.
    Unreadable,
}

/// A field that two readers may read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Login forms are flat; anything larger is somebody's attempt to keep us busy.
const LIMITS: json::Limits = json::Limits { depth: 16, values: 4096 };

impl Body {
    /// Reads a body as its request declares it.
    #[must_use]
    pub fn read(request: &Request, bytes: &[u8]) -> Self {
        let headers = request.headers();
        let (Ok(Some(media_type)), Ok(None)) =
            (headers.single(b"content-type"), headers.single(b"content-encoding"))
        else {
            return Self::Unreadable;
        };
        let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
        match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
            // Some services read JSON whatever the type says; as a form it would have any name that its client likes.
            b"application/x-www-form-urlencoded" if bytes.trim_ascii_start().starts_with(b"{") => {
                Self::Unreadable
            }
            b"application/x-www-form-urlencoded" => Self::Form(bytes.to_vec()),
            media_type if media_type == b"application/json" || media_type.ends_with(b"+json") => {
                json::parse(bytes, LIMITS).map_or(Self::Unreadable, Self::Json)
            }
            _ => Self::Unreadable,
        }
    }

    /// The value of a field, without white space around it and in lower case: `Alice ` and `alice` are one account to most
    /// services, and two keys would be a way around the limit. None if there is no such field.
    ///
    /// # Errors
    /// For a field that is there twice, in whatever letter case and by whatever reading of `path`, or is no text, number or
    /// boolean; and for a body that can't be read.
    pub fn field(&self, path: &str) -> Result<Option<Vec<u8>>, Ambiguous> {
        let value = match self {
            Self::Unreadable => return Err(Ambiguous),
            Self::Form(form) => {
                let mut values = form::values(form, path.as_bytes());
                let first = values.next();
                if values.next().is_some() {
                    return Err(Ambiguous);
                }
                first
            }
            Self::Json(json) => match find(json, path)? {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.as_bytes().to_vec()),
                Some(Value::Bool(flag)) => Some(flag.to_string().into_bytes()),
                Some(Value::Number(number)) => Some(number.to_string().into_bytes()),
                Some(Value::Array(_) | Value::Object(_)) => return Err(Ambiguous),
            },
        };
        Ok(value.map(|value| folded(&value)).filter(|value| !value.is_empty()))
    }
}

/// By the whole name and by the path of names: services differ in which they mean, so both together are ambiguous.
fn find<'a>(json: &'a Value, path: &str) -> Result<Option<&'a Value>, Ambiguous> {
    let whole = member(json, path)?;
    if !path.contains('.') {
        return Ok(whole);
    }
    let mut nested = Some(json);
    for name in path.split('.') {
        nested = nested.map(|value| member(value, name)).transpose()?.flatten();
    }
    match (whole, nested) {
        (Some(_), Some(_)) => Err(Ambiguous),
        (found, None) | (None, found) => Ok(found),
    }
}

/// A member by its name in any letter case, as several languages' libraries read it.
fn member<'a>(json: &'a Value, name: &str) -> Result<Option<&'a Value>, Ambiguous> {
    let Value::Object(members) = json else {
        return Ok(None);
    };
    let mut found =
        members.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let first = found.next();
    if found.next().is_some() { Err(Ambiguous) } else { Ok(first) }
}

fn folded(value: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(value) {
        Ok(text) => text.trim().chars().flat_map(char::to_lowercase).collect::<String>().into_bytes(),
        Err(_) => value.trim_ascii().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(content_type: &str, body: &str, path: &str) -> Result<Option<String>, Ambiguous> {
        let request = Request::new([("content-type", content_type)].into_iter().collect(), false);
        let value = Body::read(&request, body.as_bytes()).field(path)?;
        Ok(value.map(|value| String::from_utf8(value).unwrap()))
    }

    #[test]
    fn the_account_of_a_login_is_found() {
        let form = "application/x-www-form-urlencoded";
        for (name, content_type, body, path, expected) in [
            ("JSON", "application/json", r#"{"user": "alice"}"#, "user", Ok(Some("alice"))),
            (
                "a charset",
                "application/json; charset=utf-8",
                r#"{"user": "alice"}"#,
                "user",
                Ok(Some("alice")),
            ),
            ("a JSON type", "application/vnd.api+json", r#"{"user": "alice"}"#, "user", Ok(Some("alice"))),
            (
                "nested",
                "application/json",
                r#"{"login": {"user": "alice"}}"#,
                "login.user",
                Ok(Some("alice")),
            ),
            ("a name with a dot", "application/json", r#"{"login.user": "a"}"#, "login.user", Ok(Some("a"))),
            ("a number", "application/json", r#"{"user": 42}"#, "user", Ok(Some("42"))),
            (
                "case and white space",
                "application/json",
                r#"{"user": " AL\u00cdCE\t"}"#,
                "user",
                Ok(Some("al\u{ed}ce")),
            ),
            ("an escape", "application/json", r#"{"\u0075ser": "\u0061"}"#, "user", Ok(Some("a"))),
            ("a form", form, "user=Alice%20&password=x", "user", Ok(Some("alice"))),
            ("none", "application/json", "{}", "user", Ok(None)),
            ("null", "application/json", r#"{"user": null}"#, "user", Ok(None)),
            ("empty", form, "user=", "user", Ok(None)),
            ("twice in a form", form, "user=a&%75ser=b", "user", Err(Ambiguous)),
            ("twice in JSON", "application/json", r#"{"user": "a", "user": "b"}"#, "user", Err(Ambiguous)),
            ("a list", "application/json", r#"{"user": ["a"]}"#, "user", Err(Ambiguous)),
            ("no JSON", "application/json", "user=a", "user", Err(Ambiguous)),
            ("twice by case", "application/json", r#"{"user": "a", "User": "b"}"#, "user", Err(Ambiguous)),
            ("another case", "application/json", r#"{"USER": "a"}"#, "user", Ok(Some("a"))),
            ("twice by case in a form", form, "user=a&User=b", "user", Err(Ambiguous)),
            (
                "by both readings",
                "application/json",
                r#"{"login.user": "a", "login": {"user": "b"}}"#,
                "login.user",
                Err(Ambiguous),
            ),
            (
                "JSON that says it is a form",
                form,
                r#" {"user": "a", "x": "&user=b"}"#,
                "user",
                Err(Ambiguous),
            ),
            ("another type", "text/plain", r#"{"user": "a"}"#, "user", Err(Ambiguous)),
        ] {
            assert_eq!(
                field(content_type, body, path),
                expected.map(|value| value.map(str::to_owned)),
                "{name}"
            );
        }
    }

    #[test]
    fn what_hides_its_content_is_not_read() {
        for fields in [
            &[][..],
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            &[("content-type", "application/json"), ("content-type", "text/plain")],
        ] {
            let request = Request::new(fields.iter().copied().collect(), false);
            assert_eq!(Body::read(&request, br#"{"user": "a"}"#).field("user"), Err(Ambiguous));
        }
    }
}
