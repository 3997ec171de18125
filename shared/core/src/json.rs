//! Strict JSON (RFC 8259): one reading of every text that is accepted.
//!
//! Two parsers that disagree about a text are a hole: the filter judges one document and the upstream acts on
//! another. So what RFC 8259 leaves open (duplicate names, huge numbers, depth) is refused here.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

/// How large a JSON document may grow in memory. The length of its text is the caller's to bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Levels of arrays and objects, the outermost counted as 1; at most [`Limits::MAX_DEPTH`] has an effect.
    pub depth: usize,
    /// Values of any type, members and elements included. A one-byte value takes 32 bytes or more in memory.
    pub values: usize,
}

impl Limits {
    /// The deepest nesting that any document may have: reading, comparing and freeing a value recurse.
    pub const MAX_DEPTH: usize = 64;
}

/// For tokens and bodies: 32 levels, 100,000 values.
impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, values: 100_000 }
    }
}

/// Why a text is not accepted as JSON. The messages are constant: they never quote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub problem: JsonProblem,
    /// Where it was noticed, in bytes from the start of the text; for a duplicate name shortly behind it.
    pub offset: usize,
}

/// The kinds of [`JsonError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// Not the grammar of RFC 8259: trailing comma, comment, byte order mark, lone surrogate, data behind the value.
    #[error("not valid JSON")]
    Syntax,
    /// The text ends inside the value, or is empty.
    #[error("JSON ends too early")]
    Truncated,
    /// Not UTF-8 (RFC 8259 section 8.1).
    #[error("JSON is not UTF-8")]
    NotUtf8,
    /// Two members of one object have the same name, compared after unescaping: parsers keep the first, the last
    /// or both (RFC 8259 section 4).
    #[error("duplicate member name in JSON")]
    DuplicateName,
    /// More levels than [`Limits::depth`].
    #[error("JSON is nested too deeply")]
    TooDeep,
    /// More values than [`Limits::values`].
    #[error("JSON has too many values")]
    TooManyValues,
    /// An integer outside of -2^63 to 2^64-1, or a number outside of the range of a double: readers would round it
    /// differently (RFC 8259 section 6).
    #[error("JSON number out of range")]
    NumberRange,
}

/// Reads one JSON value that fills the whole `text`, white space around it allowed.
///
/// Linear time. Two passes: a scan that bounds depth, values and integers before anything is built, then
/// `serde_json` for the grammar.
///
/// # Errors
/// [`JsonError`] with the first problem found; see [`JsonProblem`].
pub fn parse(text: &[u8], limits: Limits) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| JsonError { problem: JsonProblem::NotUtf8, offset: error.valid_up_to() })?;
    scan(text.as_bytes(), limits)?;
    let duplicate = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { duplicate: &duplicate }.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        let found = offset(text, error.line(), error.column());
        let (problem, offset) = match error.classify() {
            _ if duplicate.get() => (JsonProblem::DuplicateName, found),
            Category::Eof => (JsonProblem::Truncated, text.len()),
            // `serde_json` says this of 1e400 in its text alone.
            _ if error.to_string().starts_with("number out of range") => (JsonProblem::NumberRange, found),
            Category::Syntax | Category::Data | Category::Io => (JsonProblem::Syntax, found),
        };
        JsonError { problem, offset }
    })
}

/// Bounds what parsing will build. Sees enough structure to be right for valid JSON; what is not valid it may
/// misread, but the parser refuses that afterwards.
fn scan(text: &[u8], limits: Limits) -> Result<(), JsonError> {
    let max_depth = limits.depth.min(Limits::MAX_DEPTH);
    let mut depth = 0_usize;
    let mut values = 1_usize;
    let mut bytes = text.iter().enumerate();
    let fail = |problem, offset| Err(JsonError { problem, offset });
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > max_depth {
                    return fail(JsonProblem::TooDeep, at);
                }
                // The first element; an empty array is counted as if it had one.
                values = values.saturating_add(1);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values = values.saturating_add(1),
            b'-' | b'0'..=b'9' => {
                let number = text.get(at..).unwrap_or_default();
                let len = number.iter().position(|byte| !is_number_byte(*byte)).unwrap_or(number.len());
                let number = number.get(..len).unwrap_or_default();
                if !is_exact(number) {
                    return fail(JsonProblem::NumberRange, at);
                }
                for _ in 1..len {
                    bytes.next();
                }
            }
            _ => {}
        }
        if values > limits.values {
            return fail(JsonProblem::TooManyValues, at);
        }
    }
    Ok(())
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Whether a number, if it is written as an integer, fits `i64` or `u64`. `serde_json` would make it a double.
fn is_exact(number: &[u8]) -> bool {
    // The largest `u64` has 20 digits: shorter ones need no look.
    if number.len() < 19 || number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return true;
    }
    let Ok(number) = std::str::from_utf8(number) else {
        return false;
    };
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
}

/// The byte offset of `serde_json`'s line and column, both counted from 1; line 0 means no position.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    start.saturating_add(column.saturating_sub(1)).min(text.len())
}

/// Builds a [`Value`] as `serde_json` does, but refuses duplicate names.
#[derive(Clone, Copy)]
struct Strict<'a> {
    duplicate: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                self.duplicate.set(true);
                return Err(A::Error::custom("duplicate member name"));
            }
            let value = members.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests;
