//! Strict JSON (RFC 8259): one reading of every text that is accepted.
//!
//! Two parsers that disagree about a text are a hole: the filter judges one document and the upstream acts on
//! another. So what RFC 8259 leaves open (duplicate names, huge numbers, depth) is refused here.

use serde_json::map::Entry;
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
    /// Where it was noticed, in bytes from the start of the text; for a duplicate name where it begins.
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

/// Reads one JSON value that fills the whole `text`, white space around it allowed. Linear time, one pass.
///
/// Our own parser, since it decides what a token or a body says: a general one has to be told to refuse duplicate names,
/// rounded integers and depth, by a second pass and generic code. This one is 40 KiB smaller in each module and takes a
/// third of the time; tests and fuzzing compare it with `serde_json`.
///
/// # Errors
/// [`JsonError`] with the first problem found; see [`JsonProblem`].
pub fn parse(text: &[u8], limits: Limits) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| JsonError { problem: JsonProblem::NotUtf8, offset: error.valid_up_to() })?;
    let mut parser = Parser {
        text,
        rest: text.as_bytes(),
        levels: limits.depth.min(Limits::MAX_DEPTH),
        values: limits.values,
    };
    let value = parser.value()?;
    match parser.token() {
        None => Ok(value),
        Some(_) => Err(parser.fail(JsonProblem::Syntax)),
    }
}

/// What is left to read, and to allow.
struct Parser<'a> {
    text: &'a str,
    rest: &'a [u8],
    /// Levels that may still be opened.
    levels: usize,
    /// Values that may still come.
    values: usize,
}

type Parsed<T> = Result<T, JsonError>;

impl<'a> Parser<'a> {
    fn offset(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    fn fail(&self, problem: JsonProblem) -> JsonError {
        JsonError { problem, offset: self.offset() }
    }

    /// What is wrong where another byte was expected.
    fn unexpected(&self) -> JsonError {
        self.fail(if self.rest.is_empty() { JsonProblem::Truncated } else { JsonProblem::Syntax })
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// The next byte that is not white space, which stays.
    fn token(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.token() != Some(byte) {
            return Err(self.unexpected());
        }
        self.skip(1);
        Ok(())
    }

    fn value(&mut self) -> Parsed<Value> {
        self.values = self.values.checked_sub(1).ok_or_else(|| self.fail(JsonProblem::TooManyValues))?;
        match self.token() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Parsed<Value> {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                Ok(value)
            }
            None if word.starts_with(self.rest) => {
                self.rest = &[];
                Err(self.unexpected())
            }
            None => Err(self.fail(JsonProblem::Syntax)),
        }
    }

    /// Opens an array or object; whether it is empty, and then closed again.
    fn open(&mut self, close: u8) -> Parsed<bool> {
        self.levels = self.levels.checked_sub(1).ok_or_else(|| self.fail(JsonProblem::TooDeep))?;
        self.skip(1);
        let is_empty = self.token() == Some(close);
        if is_empty {
            self.close();
        }
        Ok(is_empty)
    }

    fn close(&mut self) {
        self.skip(1);
        self.levels = self.levels.saturating_add(1);
    }

    /// What stands behind an element: whether another one follows.
    fn goes_on(&mut self, close: u8) -> Parsed<bool> {
        match self.token() {
            Some(b',') => {
                self.skip(1);
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.close();
                Ok(false)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn array(&mut self) -> Parsed<Value> {
        let mut list = Vec::new();
        let mut more = !self.open(b']')?;
        while more {
            list.push(self.value()?);
            more = self.goes_on(b']')?;
        }
        Ok(Value::Array(list))
    }

    fn object(&mut self) -> Parsed<Value> {
        let mut object = Map::new();
        let mut more = !self.open(b'}')?;
        while more {
            if self.token() != Some(b'"') {
                return Err(self.unexpected());
            }
            let duplicate = self.fail(JsonProblem::DuplicateName);
            let name = self.string()?;
            let Entry::Vacant(place) = object.entry(name) else {
                return Err(duplicate);
            };
            self.expect(b':')?;
            place.insert(self.value()?);
            more = self.goes_on(b'}')?;
        }
        Ok(Value::Object(object))
    }

    fn string(&mut self) -> Parsed<String> {
        self.skip(1);
        // Nearly all strings are one piece.
        let mut out = self.plain().to_owned();
        loop {
            match self.rest.first() {
                Some(b'"') => {
                    self.skip(1);
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.skip(1);
                    out.push(self.escape()?);
                    out.push_str(self.plain());
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// The part of a string that stands for itself.
    fn plain(&mut self) -> &'a str {
        let plain = plain_len(self.rest);
        let start = self.offset();
        // Both ends are ASCII, so they are no place within a character.
        let text = self.text.get(start..start.saturating_add(plain)).unwrap_or_default();
        self.skip(plain);
        text
    }

    fn escape(&mut self) -> Parsed<char> {
        let character = match self.rest.first() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.skip(1);
                return self.unicode();
            }
            _ => return Err(self.unexpected()),
        };
        self.skip(1);
        Ok(character)
    }

    /// Four hexadecimal digits, or two times four with a `\u` between for what needs a surrogate pair. One half alone is
    /// no character (RFC 8259 section 8.2: "behavior ... is unpredictable").
    fn unicode(&mut self) -> Parsed<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.fail(JsonProblem::Syntax));
        }
        match self.rest {
            [b'\\', b'u', rest @ ..] => self.rest = rest,
            [] | [b'\\'] => {
                self.rest = &[];
                return Err(self.unexpected());
            }
            _ => return Err(self.fail(JsonProblem::Syntax)),
        }
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.fail(JsonProblem::Syntax));
        }
        let code = 0x1_0000_u32.saturating_add((first & 0x3ff) << 10).saturating_add(second & 0x3ff);
        char::from_u32(code).ok_or_else(|| self.fail(JsonProblem::Syntax))
    }

    fn hex(&mut self) -> Parsed<u32> {
        let mut code = 0_u32;
        for _ in 0..4 {
            let digit = self.rest.first().and_then(|byte| char::from(*byte).to_digit(16));
            code = (code << 4) | digit.ok_or_else(|| self.unexpected())?;
            self.skip(1);
        }
        Ok(code)
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.offset();
        let is_negative = self.rest.first() == Some(&b'-');
        if is_negative {
            self.skip(1);
        }
        // No leading zeros.
        if self.rest.first() == Some(&b'0') {
            self.skip(1);
        } else {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.rest.first() == Some(&b'.') {
            is_integer = false;
            self.skip(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.rest.first() {
            is_integer = false;
            self.skip(1);
            if let Some(b'+' | b'-') = self.rest.first() {
                self.skip(1);
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.offset()).unwrap_or_default();
        let number = match (is_integer, is_negative) {
            (true, false) => text.parse::<u64>().ok().map(Number::from),
            (true, true) if text != "-0" => text.parse::<i64>().ok().map(Number::from),
            // Correctly rounded; what is too large is infinite, and no number of JSON.
            _ => text.parse::<f64>().ok().and_then(Number::from_f64),
        };
        let error = JsonError { problem: JsonProblem::NumberRange, offset: start };
        number.map(Value::Number).ok_or(error)
    }

    /// One digit or more.
    fn digits(&mut self) -> Parsed<()> {
        let count = self.rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.rest.len());
        if count == 0 {
            return Err(self.unexpected());
        }
        self.skip(count);
        Ok(())
    }
}

/// How many bytes come before the first that ends a string, begins an escape or has no place in one. Eight at a time: in each
/// word the lowest byte that meets a condition has its highest bit set (as in `strlen` of many C libraries); bytes above it can
/// be wrong, those below are not.
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, least: u64| word.wrapping_sub(ONES.wrapping_mul(least)) & !word & HIGHEST;
    let (words, rest) = text.as_chunks::<8>();
    let mut len = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ ONES.wrapping_mul(u64::from(b'"')), 1);
        let backslash = below(word ^ ONES.wrapping_mul(u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return len.saturating_add(usize::try_from(found.trailing_zeros() / 8).unwrap_or_default());
        }
        len = len.saturating_add(8);
    }
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    len.saturating_add(end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests;
