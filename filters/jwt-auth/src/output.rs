//! Claims as request fields for the upstream: none of a client's, and none that reads as something else.

use portcullis_core::control::has_control;
use portcullis_core::{ConfigError, Headers};
use portcullis_jose::Rejection;
use serde_json::{Map, Value};

use crate::config::{ClaimToFilterState, ClaimToHeader};
use crate::{defaults, identity};

/// Names that would change the request's meaning to the proxy or the upstream.
const RESERVED: [&str; 9] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A claim and the field that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    claim: String,
    /// Lower-case.
    header: String,
}

impl Output {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`ConfigError`] when the name is no field name (RFC 9110 section 5.1) or a reserved one.
    pub fn new(config: ClaimToHeader) -> Result<Self, ConfigError> {
        if config.claim.is_empty() {
            return Err(ConfigError::new("claim", "expected the name of a claim, found nothing"));
        }
        let header = config.header.to_ascii_lowercase();
        let is_name = !header.is_empty()
            && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_name {
            let problem =
                format!("expected a field name of letters, digits, `-` and `_`, found `{}`", config.header);
            return Err(ConfigError::new("header", problem));
        }
        if RESERVED.contains(&header.as_str()) {
            return Err(ConfigError::new("header", format!("`{header}` can't carry a claim")));
        }
        Ok(Self { claim: config.claim, header })
    }

    /// The field's name.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The field's value: text as it is, numbers and booleans as in JSON, a list of texts joined with `,`. Bytes
    /// outside of visible ASCII and spaces are percent-encoded, as are `%`, a space at either end, and a `,` within
    /// a list, so that it reads back. None when the claim is missing, an object, null or another list.
    ///
    /// # Errors
    /// [`Rejection::ClaimsInvalid`] for control characters, which no identity has a use for, and for a value over 4 KiB.
    pub fn value(&self, claims: &Map<String, Value>) -> Result<Option<String>, Rejection> {
        value(claims, &self.claim)
    }
}

/// A claim as filter state, in the same form as a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateOutput {
    claim: String,
    property: String,
}

impl StateOutput {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`ConfigError`] when the claim or the key is no name.
    pub fn new(config: ClaimToFilterState) -> Result<Self, ConfigError> {
        if config.claim.is_empty() {
            return Err(ConfigError::new("claim", "expected the name of a claim, found nothing"));
        }
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if config.key.is_empty() || !config.key.bytes().all(is_key) {
            let problem = format!("expected letters, digits, `-` and `_`, found `{}`", config.key);
            return Err(ConfigError::new("key", problem));
        }
        Ok(Self { claim: config.claim, property: format!("portcullis.claim.{}", config.key) })
    }

    /// The property's name.
    #[must_use]
    pub fn property(&self) -> &str {
        &self.property
    }

    /// The property's value, as [`Output::value`].
    ///
    /// # Errors
    /// As [`Output::value`].
    pub fn value(&self, claims: &Map<String, Value>) -> Result<Option<String>, Rejection> {
        value(claims, &self.claim)
    }
}

fn value(claims: &Map<String, Value>, claim: &str) -> Result<Option<String>, Rejection> {
    let value = match identity::find(claims, claim) {
        Some(Value::String(text)) => encode(text, false)?,
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
            let texts: Result<Vec<_>, _> =
                values.iter().filter_map(Value::as_str).map(|text| encode(text, true)).collect();
            texts?.join(",")
        }
        _ => return Ok(None),
    };
    if value.len() > defaults::MAX_OUTPUT {
        return Err(Rejection::ClaimsInvalid);
    }
    Ok(Some(value).filter(|value| !value.is_empty()))
}

fn encode(text: &str, in_list: bool) -> Result<String, Rejection> {
    if has_control(text) {
        return Err(Rejection::ClaimsInvalid);
    }
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b' ' if at != 0 && at != last => out.push(' '),
            b',' if in_list => out.push_str("%2C"),
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

/// The fields of a request that carry, or could be taken for, one of the outputs: servers behind CGI read `x_user_id`
/// and `x.user.id` as `x-user-id` (CVE-2025-64484).
pub fn copies<'a>(headers: &'a Headers, outputs: &'a [String]) -> impl Iterator<Item = &'a [u8]> {
    let is_copy = |name: &[u8]| outputs.iter().any(|output| folds_to(name, output.as_bytes()));
    headers.names().filter(move |name| !outputs.is_empty() && is_copy(name))
}

fn folds_to(name: &[u8], output: &[u8]) -> bool {
    let fold = |byte: &u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == output.len() && name.iter().map(fold).eq(output.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn output(claim: &str, header: &str) -> Result<Output, ConfigError> {
        Output::new(ClaimToHeader { claim: claim.into(), header: header.into() })
    }

    // covers: JWT-LOC-08
    #[test]
    fn values_are_visible_ascii() {
        let long = "a".repeat(defaults::MAX_OUTPUT);
        for (name, claim, expected) in [
            ("text", json!("u1"), Ok(Some("u1"))),
            ("spaces inside", json!("a b"), Ok(Some("a b"))),
            ("spaces around", json!(" a "), Ok(Some("%20a%20"))),
            ("percent sign", json!("100%"), Ok(Some("100%25"))),
            ("other scripts", json!("Zoë"), Ok(Some("Zo%C3%AB"))),
            ("comma in a text", json!("a,b"), Ok(Some("a,b"))),
            ("number", json!(42), Ok(Some("42"))),
            ("boolean", json!(true), Ok(Some("true"))),
            ("list", json!(["a", "b,c"]), Ok(Some("a,b%2Cc"))),
            ("longest", json!(long), Ok(Some(long.as_str()))),
            ("longer", json!(format!("{long}a")), Err(Rejection::ClaimsInvalid)),
            ("64 KiB", json!("a".repeat(65_536)), Err(Rejection::ClaimsInvalid)),
            ("empty text", json!(""), Ok(None)),
            ("empty list", json!([]), Ok(None)),
            ("mixed list", json!(["a", 1]), Ok(None)),
            ("object", json!({"a": 1}), Ok(None)),
            ("null", json!(null), Ok(None)),
            ("line break", json!("u1\r\nX-Admin: 1"), Err(Rejection::ClaimsInvalid)),
            ("NUL", json!("u\0"), Err(Rejection::ClaimsInvalid)),
            ("line feed in a list", json!(["a", "b\n"]), Err(Rejection::ClaimsInvalid)),
        ] {
            let claims = json!({ "c": claim });
            let value = output("c", "x-c").unwrap().value(claims.as_object().unwrap());
            assert_eq!(value.as_ref().map(Option::as_deref), expected.as_ref().map(|text| *text), "{name}");
        }
        assert_eq!(output("c", "x-c").unwrap().value(&Map::new()), Ok(None), "missing");
    }

    // covers: JWT-LOC-07
    #[test]
    fn look_alikes_are_copies() {
        let outputs = ["x-user-id".to_owned()];
        for (name, expected) in [
            ("x-user-id", true),
            ("x_user_id", true),
            ("x-user_id", true),
            ("x.user.id", true),
            ("X-User-Id", true),
            ("x-user-ids", false),
            ("x-user", false),
            ("xuserid", false),
        ] {
            let headers: Headers = [(name, "admin")].into_iter().collect();
            assert_eq!(copies(&headers, &outputs).count() == 1, expected, "{name}");
        }
    }

    #[test]
    fn names_that_steer_the_request_are_refused() {
        assert_eq!(output("sub", "X-User-Id").unwrap().header(), "x-user-id");
        for header in ["", ":path", "x user", "x\r\ny", "Host", "authorization", "Content-Length"] {
            assert_eq!(output("sub", header).unwrap_err().path, "header", "{header:?}");
        }
        assert_eq!(output("", "x-user-id").unwrap_err().path, "claim");
    }

    proptest! {
        #[test]
        fn no_value_can_break_out_of_its_field(text in any::<String>(), list in any::<Vec<String>>()) {
            let claims = json!({"c": text, "l": list});
            for claim in ["c", "l"] {
                if let Ok(Some(value)) = output(claim, "x-c").unwrap().value(claims.as_object().unwrap()) {
                    prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                    prop_assert_eq!(value.trim(), &value);
                }
            }
        }
    }
}
