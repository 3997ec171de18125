//! From serialized text to a typed value: the styles of OpenAPI 3.1.1 section 4.8.12.

use portcullis_core::json;
use serde_json::{Map, Number, Value};

use super::{TooComplex, violations};
use crate::schema::{NodeId, Schemas, Shape};

/// How a parameter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Simple,
    Label,
    Form,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
}

impl Style {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "simple" => Self::Simple,
            "label" => Self::Label,
            "form" => Self::Form,
            "spaceDelimited" => Self::SpaceDelimited,
            "pipeDelimited" => Self::PipeDelimited,
            "deepObject" => Self::DeepObject,
            _ => return None,
        })
    }
}

/// A text with the schema that it is for: every typed reading that the schema admits, the most specific first.
///
/// `5` is a number for a schema that admits numbers, and a string for one that admits strings; where both are
/// admitted, the caller takes the first that is valid.
pub(super) fn scalar(text: &str, shape: Shape) -> Vec<Value> {
    let mut readings = Vec::new();
    if shape.admits_number()
        && let Some(number) = number(text)
    {
        readings.push(Value::Number(number));
    }
    if shape.admits_boolean() && matches!(text, "true" | "false") {
        readings.push(Value::Bool(text == "true"));
    }
    if shape.admits_null() && text == "null" {
        readings.push(Value::Null);
    }
    if shape.admits_text() || readings.is_empty() {
        readings.push(Value::String(text.to_owned()));
    }
    readings
}

/// A number by the grammar of JSON: no `+1`, `0x1`, `01`, ` 1`, nothing that would be rounded.
fn number(text: &str) -> Option<Number> {
    if text.trim() != text {
        return None;
    }
    match json::parse(text.as_bytes(), json::Limits { depth: 1, values: 1 }) {
        Ok(Value::Number(number)) => Some(number),
        _ => None,
    }
}

/// An array of texts.
pub(super) fn array(
    pieces: &[String],
    items: Option<NodeId>,
    schemas: &Schemas,
) -> Result<Value, TooComplex> {
    let typed: Result<_, _> = pieces.iter().map(|piece| element(piece, items, schemas)).collect();
    typed.map(Value::Array)
}

/// An object of texts; none when a name comes twice.
pub(super) fn object(
    members: &[(String, String)],
    schema: NodeId,
    schemas: &Schemas,
) -> Result<Option<Value>, TooComplex> {
    let mut object = Map::new();
    for (name, text) in members {
        let member = schemas.property(schema, name).or_else(|| schemas.additional(schema));
        if object.insert(name.clone(), element(text, member, schemas)?).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(Value::Object(object)))
}

/// The first reading that its schema takes, else the first.
fn element(text: &str, schema: Option<NodeId>, schemas: &Schemas) -> Result<Value, TooComplex> {
    let Some(schema) = schema else {
        return Ok(Value::String(text.to_owned()));
    };
    let mut first = None;
    for reading in scalar(text, schemas.shape(schema)) {
        if violations(schemas, schema, &reading, text.len())?.is_empty() {
            return Ok(reading);
        }
        first.get_or_insert(reading);
    }
    Ok(first.unwrap_or(Value::Null))
}

/// `a,1,b,2` as members; none for an odd number of pieces.
pub(super) fn alternating(pieces: Vec<String>) -> Option<Vec<(String, String)>> {
    let mut members = Vec::new();
    let mut pieces = pieces.into_iter();
    while let Some(name) = pieces.next() {
        members.push((name, pieces.next()?));
    }
    Some(members)
}

/// `a=1`, `b=2` as members; none when a piece has no `=`.
pub(super) fn assignments(pieces: Vec<String>) -> Option<Vec<(String, String)>> {
    let member =
        |piece: String| piece.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pieces.into_iter().map(member).collect()
}

/// The pieces of a text between delimiters; none at all for an empty text.
pub(super) fn pieces(text: &str, delimiter: char) -> Vec<String> {
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(delimiter).map(|piece| piece.trim().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: OWASP-API-02, HOST-ALGO-05
    #[test]
    fn numbers_are_those_of_json() {
        let long = "1".repeat(1_000_000);
        for (text, accepted) in [
            ("0", true),
            ("-1.5e3", true),
            ("18446744073709551615", true),
            ("+1", false),
            ("01", false),
            ("0x1f", false),
            ("1 OR 1=1", false),
            (" 1", false),
            ("1\n", false),
            ("1_000", false),
            ("٣", false),
            ("NaN", false),
            ("Infinity", false),
            ("1e400", false),
            ("9999999999999999999999", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(number(text).is_some(), accepted, "{}", text.chars().take(30).collect::<String>());
        }
    }

    #[test]
    fn objects_are_pairs() {
        let texts = |pieces: &[&str]| pieces.iter().map(|piece| piece.to_string()).collect::<Vec<_>>();
        let pairs = Some(vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        assert_eq!(alternating(texts(&["a", "1", "b", "2"])), pairs);
        assert_eq!(alternating(texts(&["a", "1", "b"])), None);
        assert_eq!(assignments(texts(&["a=1", "b=2"])), pairs);
        assert_eq!(assignments(texts(&["a=1", "b"])), None);
    }
}
