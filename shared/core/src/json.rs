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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn problem(text: &[u8]) -> Option<JsonProblem> {
        parse(text, Limits::default()).err().map(|error| error.problem)
    }

    // covers: ENV-BODY-10, ENV-BODY-12
    #[test]
    fn what_readers_could_take_differently_is_refused() {
        use JsonProblem::{DuplicateName, NotUtf8, NumberRange, Syntax, Truncated};
        for (name, text, expected) in [
            ("duplicate name", &br#"{"amount":1,"amount":1000000}"#[..], Some(DuplicateName)),
            ("duplicate by escape", br#"{"scope":"a","\u0073cope":"b"}"#, Some(DuplicateName)),
            ("duplicate one level down", br#"{"a":{"b":1,"b":2}}"#, Some(DuplicateName)),
            ("duplicate in an array of objects", br#"[{"b":1},{"b":1,"b":2}]"#, Some(DuplicateName)),
            ("duplicate empty name", br#"{"":1,"":2}"#, Some(DuplicateName)),
            ("names that differ in case", br#"{"a":1,"A":2}"#, None),
            ("equal names in different objects", br#"[{"b":1},{"b":2}]"#, None),
            ("byte order mark", b"\xef\xbb\xbf{}", Some(Syntax)),
            ("UTF-16", b"{\0}\0", Some(Syntax)),
            ("UTF-16 with its mark", b"\xff\xfe{\0}\0", Some(NotUtf8)),
            ("trailing comma in an array", b"[1,]", Some(Syntax)),
            ("trailing comma in an object", br#"{"a":1,}"#, Some(Syntax)),
            ("comment", b"[1/* */]", Some(Syntax)),
            ("NaN", b"NaN", Some(Syntax)),
            ("minus infinity", b"-Infinity", Some(Syntax)),
            ("single quotes", b"{'a':1}", Some(Syntax)),
            ("NUL in a name by escape", br#"{"\u0000":1}"#, None),
            ("lone high surrogate", br#""\ud800""#, Some(Syntax)),
            ("lone low surrogate", br#""\udc00""#, Some(Syntax)),
            ("surrogate pair", br#""\ud83d\ude00""#, None),
            ("two bytes that are not UTF-8", b"\"\xc3\x28\"", Some(NotUtf8)),
            ("overlong", b"\"\xc0\xaf\"", Some(NotUtf8)),
            ("half a character at the end", b"\"\xe2\x82", Some(NotUtf8)),
            ("two documents", b"{}{}", Some(Syntax)),
            ("empty", b"", Some(Truncated)),
            ("white space only", b" \n", Some(Truncated)),
            ("white space around", b" \t\r\n1 ", None),
            ("other white space", b"\x0c1", Some(Syntax)),
            ("1e400", b"1e400", Some(NumberRange)),
            ("-1e400", b"-1e400", Some(NumberRange)),
            ("1e308", b"1e308", None),
            ("minus zero", b"-0", None),
            ("20 digits that fit", b"18446744073709551615", None),
            ("20 digits that do not fit", b"18446744073709551616", Some(NumberRange)),
            ("the smallest integer", b"-9223372036854775808", None),
            ("one below it", b"-9223372036854775809", Some(NumberRange)),
            ("a large integer in a list", b"[1,100000000000000000000]", Some(NumberRange)),
            ("digits in a string", b"\"100000000000000000000\"", None),
            ("digits behind an escaped quote", br#""\"100000000000000000000""#, None),
            ("long fraction", b"0.1000000000000000055511151231257827", None),
            ("leading zero", b"01", Some(Syntax)),
            ("leading plus", b"+1", Some(Syntax)),
            ("bare fraction", b".5", Some(Syntax)),
            ("raw control character", b"\"\n\"", Some(Syntax)),
            ("raw NUL", b"\"\0\"", Some(Syntax)),
            ("name without quotes", b"{a:1}", Some(Syntax)),
            ("object cut off", br#"{"a":"#, Some(Truncated)),
        ] {
            assert_eq!(problem(text), expected, "{name}");
        }
    }

    // covers: ENV-BODY-11
    #[test]
    fn depth_is_bounded_before_anything_is_built() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        let objects =
            |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)).into_bytes();
        for (name, text, expected) in [
            ("32 arrays", nested(32), None),
            ("33 arrays", nested(33), Some(JsonProblem::TooDeep)),
            ("32 objects", objects(32), None),
            ("33 objects", objects(33), Some(JsonProblem::TooDeep)),
            ("100,000 arrays", nested(100_000), Some(JsonProblem::TooDeep)),
            ("1 MiB of [", vec![b'['; 1 << 20], Some(JsonProblem::TooDeep)),
            ("brackets in a string", [b"\"", &[b'['; 100][..], b"\""].concat(), None),
            ("many arrays beside each other", format!("[{}[]]", "[],".repeat(100)).into_bytes(), None),
        ] {
            assert_eq!(problem(&text), expected, "{name}");
        }
        let unlimited = Limits { depth: usize::MAX, values: usize::MAX };
        assert!(parse(&nested(64), unlimited).is_ok());
        assert_eq!(parse(&nested(65), unlimited).unwrap_err().problem, JsonProblem::TooDeep);
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let limits = Limits { depth: 4, values: 4 };
        for (text, accepted) in [
            ("[1,2,3]", true),
            ("[1,2,3,4]", false),
            (r#"{"a":1,"b":[]}"#, true),
            (r#"{"a":1,"b":[1]}"#, true),
            (r#"{"a":1,"b":[1,2]}"#, false),
            (r#""1,2,3,4,5""#, true),
        ] {
            assert_eq!(parse(text.as_bytes(), limits).is_ok(), accepted, "{text}");
        }
    }

    #[test]
    fn an_error_says_where_and_quotes_nothing() {
        for (text, expected) in [
            (&b"{\"secret\": x}"[..], "not valid JSON at byte 11"),
            (b"{\n  \"a\": 1,\n  x}", "not valid JSON at byte 14"),
            (b"{\"a\"", "JSON ends too early at byte 4"),
            (b"\"ab\xff\"", "JSON is not UTF-8 at byte 3"),
            (b"[[1],[99999999999999999999]]", "JSON number out of range at byte 6"),
        ] {
            assert_eq!(parse(text, Limits::default()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn integers_keep_every_digit() {
        for (text, expected) in [
            ("9007199254740993", json!(9_007_199_254_740_993_i64)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.0", json!(1.0)),
            ("1e2", json!(100.0)),
        ] {
            assert_eq!(parse(text.as_bytes(), Limits::default()), Ok(expected), "{text}");
        }
    }

    /// A JSON value with unique names.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_back(value in value()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(parse(&text, Limits::default()), Ok(value));
        }

        #[test]
        fn nothing_is_accepted_that_serde_json_refuses(text in r#"[\[\]{}:,"\\u0-9a-e.+ -]{0,24}"#) {
            let strict = parse(text.as_bytes(), Limits::default());
            let lenient = serde_json::from_str::<Value>(&text);
            if let Ok(value) = strict {
                prop_assert_eq!(lenient.ok(), Some(value));
            }
        }
    }
}
