//! Turns serde's messages into ours: expected first, then found, no Rust type names.

use serde::de::{Expected, Unexpected};
use serde_json::Number;

use crate::redact;

/// The longest part of a message that quotes the document, in bytes.
const MAX_QUOTE: usize = 120;

/// ``missing field `name` `` becomes ``expected a field `name`, found none``. What is not one of serde's own messages
/// stays as it is: our types speak for themselves.
pub(super) fn for_operator(message: &str) -> String {
    if let Some(found) = message.strip_prefix("missing field ") {
        return format!("expected a field {found}, found none");
    }
    if message.starts_with("data did not match any variant") {
        return "expected one of the documented forms, found another".to_owned();
    }
    for (start, what) in [("unknown field ", "unknown field "), ("unknown variant ", "")] {
        if let Some(rest) = message.strip_prefix(start) {
            let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "no field"));
            return format!("expected {expected}, found {what}{}", quoted(found));
        }
    }
    if message.starts_with("invalid length ") {
        return "expected an object, found a list".to_owned();
    }
    message.to_owned()
}

/// For a value of another type than its field, or one that the field does not take. Not serde's own words, which would
/// bring 18 KiB of code for floating point into each module.
pub(super) fn wrong_value(found: Unexpected<'_>, expected: &dyn Expected) -> String {
    format!("expected {}, found {}", expected_text(&expected.to_string()), found_text(found))
}

/// The kind of value in words of JSON.
fn expected_text(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "an object",
        "map with a single key" => "an object with one field",
        "string or map" => "a string or an object",
        _ if expected.starts_with("tuple") || expected.starts_with("a tuple") => "a list",
        _ if expected.starts_with("enum ") || expected.starts_with("unit ") => "a string",
        _ if ["struct ", "internally tagged ", "adjacently tagged ", "newtype "]
            .iter()
            .any(|kind| expected.starts_with(kind)) =>
        {
            "an object"
        }
        _ => expected,
    }
}

/// The value in backticks, or what it is.
fn found_text(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(flag) => format!("`{flag}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => {
            Number::from_f64(number).map_or_else(|| "a number".to_owned(), |number| format!("`{number}`"))
        }
        Unexpected::Char(character) => quoted(character.encode_utf8(&mut [0; 4])),
        Unexpected::Str(text) => quoted(format!("{text:?}").trim_matches('"')),
        Unexpected::Unit | Unexpected::Option => "`null`".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "a name alone".to_owned(),
        Unexpected::Bytes(_) | Unexpected::NewtypeStruct => "another value".to_owned(),
        Unexpected::Other(text) => text.to_owned(),
    }
}

/// Text in backticks, cut where it is long.
fn quoted(text: &str) -> String {
    let inner = text.trim_matches('`');
    format!("`{}`", redact::truncate(inner, MAX_QUOTE))
}
