//! Turns serde's messages into ours: expected first, then found, no Rust type names.

use crate::redact;

/// The longest part of a message that quotes the document, in bytes.
const MAX_QUOTE: usize = 120;

/// ``invalid type: integer `5`, expected a string`` becomes ``expected a string, found `5` ``. What is not one of
/// serde's own messages stays as it is: our types speak for themselves.
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
    // From the right, as the found text may hold any words.
    let value = message.rsplit_once(", expected ").and_then(|(found, expected)| {
        if found.starts_with("invalid length ") {
            return Some("expected an object, found a list".to_owned());
        }
        let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "))?;
        Some(format!("expected {}, found {}", expected_text(expected), found_text(found)))
    });
    value.unwrap_or_else(|| message.to_owned())
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
fn found_text(found: &str) -> String {
    match found {
        "map" => return "an object".to_owned(),
        "unit variant" => return "a name alone".to_owned(),
        "sequence" => return "a list".to_owned(),
        "null" | "unit value" => return "`null`".to_owned(),
        _ => {}
    }
    if let Some(text) = found.strip_prefix("string \"").and_then(|text| text.strip_suffix('"')) {
        return quoted(&format!("`{text}`"));
    }
    // A number or a boolean: serde puts backticks around the value and its kind before them.
    found.find('`').and_then(|at| found.get(at..)).map_or_else(|| found.to_owned(), quoted)
}

/// Text in backticks, cut where it is long.
fn quoted(text: &str) -> String {
    let inner = text.trim_matches('`');
    format!("`{}`", redact::truncate(inner, MAX_QUOTE))
}
