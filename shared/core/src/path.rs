//! The path of a request in one spelling, or a refusal.
//!
//! Everything that two readers (this filter, Envoy's router, the upstream) could take for different paths is
//! refused, not guessed: a rule for `/admin` must hold for every path that an upstream serves as `/admin`.

mod authority;

use std::borrow::Cow;

use crate::{Denial, Reason};

pub use authority::{Authority, AuthorityError};

/// The longest path, query not counted, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;

/// The largest number of segments in a path.
pub const MAX_SEGMENTS: usize = 256;

/// An absolute path in canonical form: exactly one spelling for each sequence of decoded segments.
///
/// Characters that RFC 3986 allows in a segment (`pchar`: unreserved, sub-delimiters, `:`, `@`) stand for
/// themselves, all others are escaped with upper-case hex. That decodes more than the unreserved characters of RFC
/// 3986 section 6.2.2.2: servers decode `%21` and `%3A` before they route, so `/a%3Ab` must meet the rule for
/// `/a:b`. `;` never occurs. Case is kept; Unicode is not normalized.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: String,
}

/// Why a request target has no canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No target, or an empty one (CONNECT has none).
    #[error("no path")]
    Missing,
    /// Neither a path from the root nor `*`; an absolute-form target that the proxy did not take apart.
    #[error("path does not start with `/`")]
    NotAbsolute,
    /// More than [`MAX_LENGTH`] bytes.
    #[error("path is too long")]
    TooLong,
    /// More than [`MAX_SEGMENTS`] segments.
    #[error("path has too many segments")]
    TooManySegments,
    /// `#` in the target: a fragment is never sent (RFC 9112 section 3.2), some readers cut it off, some keep it.
    #[error("fragment in the request target")]
    Fragment,
    /// `\` or `%5C`: a separator for some servers.
    #[error("backslash in the path")]
    Backslash,
    /// `%2F`: a separator for some servers, a character for others.
    #[error("encoded slash in the path")]
    EncodedSlash,
    /// `;` or `%3B`: some servers cut matrix parameters off before they route.
    #[error("semicolon in the path")]
    Semicolon,
    /// `%25` before two hex digits: decoding twice gives another path.
    #[error("double encoding in the path")]
    DoubleEncoding,
    /// `%` without two hex digits behind it.
    #[error("malformed percent-encoding in the path")]
    BadPercent,
    /// A control character (C0, DEL, C1) or a raw space.
    #[error("control character in the path")]
    Control,
    /// A raw byte outside of ASCII (RFC 3986 allows none).
    #[error("raw non-ASCII byte in the path")]
    NonAscii,
    /// Escapes that do not decode to UTF-8, overlong forms included.
    #[error("path is not UTF-8")]
    InvalidUtf8,
    /// A segment that is `.` or `..`, encoded or not.
    #[error("dot segment in the path")]
    DotSegment,
    /// `//`: some servers merge slashes, some read a host name.
    #[error("empty segment in the path")]
    EmptySegment,
    /// A segment that ends in a dot or a space: some file systems and servers cut them off.
    #[error("segment with a trailing dot or space in the path")]
    TrailingDotOrSpace,
}

impl PathError {
    /// The answer to such a request: 414 `path.too_long`, 400 `path.missing` or `path.ambiguous`.
    #[must_use]
    pub fn denial(&self) -> Denial {
        match self {
            Self::TooLong | Self::TooManySegments => {
                Denial::new(414, Reason("path.too_long"), "URI Too Long")
            }
            Self::Missing => Denial::new(400, Reason("path.missing"), "Bad Request"),
            Self::NotAbsolute
            | Self::Fragment
            | Self::Backslash
            | Self::EncodedSlash
            | Self::Semicolon
            | Self::DoubleEncoding
            | Self::BadPercent
            | Self::Control
            | Self::NonAscii
            | Self::InvalidUtf8
            | Self::DotSegment
            | Self::EmptySegment
            | Self::TrailingDotOrSpace => Denial::new(400, Reason("path.ambiguous"), "Bad Request"),
        }
    }
}

impl CanonicalPath {
    /// Reads the path of a request target (`:path`). The query, behind the first `?`, does not belong to it.
    ///
    /// The target `*` (of OPTIONS) is kept as it is: a path without segments that only selectors without a path
    /// match. Linear time, one allocation.
    ///
    /// # Errors
    /// [`PathError`] when the path has more than one reading or is over a limit.
    pub fn parse(target: &[u8]) -> Result<Self, PathError> {
        if target == b"*" {
            return Ok(Self { text: "*".to_owned() });
        }
        if target.contains(&b'#') {
            return Err(PathError::Fragment);
        }
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        match path.first() {
            _ if target.is_empty() => return Err(PathError::Missing),
            Some(b'/') => {}
            _ => return Err(PathError::NotAbsolute),
        }
        if path.len() > MAX_LENGTH {
            return Err(PathError::TooLong);
        }
        let text = canonical_text(path)?;
        check_segments(&text)?;
        Ok(Self { text })
    }

    /// The canonical text. A trailing slash is kept, as upstreams may see a difference; rules see none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this is the `*` of an OPTIONS request for the server as a whole (RFC 9110 section 9.3.7).
    #[must_use]
    pub fn is_asterisk(&self) -> bool {
        self.text == "*"
    }

    /// The segments in canonical form, never empty; none for `/` and `*`. See [`decode_segment`].
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1).filter(|segment| !segment.is_empty())
    }
}

/// The characters of a canonical segment, or of a part of one, with its escapes decoded.
#[must_use]
pub fn decode_segment(canonical: &str) -> Cow<'_, str> {
    if !canonical.contains('%') {
        return Cow::Borrowed(canonical);
    }
    let mut text = String::with_capacity(canonical.len());
    let mut rest = canonical.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        // Canonical text has only escapes that decode and is ASCII otherwise.
        let (decoded, tail) = unescape(rest).unwrap_or((char::from(*byte), tail));
        text.push(decoded);
        rest = tail;
    }
    Cow::Owned(text)
}

/// Percent-decodes and encodes again, so that one spelling is left. Slashes stay where they are; the result may
/// still hold segments that [`check_segments`] refuses.
pub(crate) fn canonical_text(path: &[u8]) -> Result<String, PathError> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            b'%' => {
                let (decoded, tail) = unescape(rest)?;
                if decoded == '/' {
                    return Err(PathError::EncodedSlash);
                }
                push(&mut text, decoded)?;
                rest = tail;
            }
            b' ' => return Err(PathError::Control),
            0x80.. => return Err(PathError::NonAscii),
            _ => {
                push(&mut text, char::from(*byte))?;
                rest = tail;
            }
        }
        // Where no double encoding can follow, what is plain is copied as it is.
        if !ends_in_percent(&text) {
            let plain = rest.iter().position(|byte| *byte != b'/' && !is_pchar(char::from(*byte)));
            let (run, tail) = rest.split_at_checked(plain.unwrap_or(rest.len())).unwrap_or_default();
            text.push_str(std::str::from_utf8(run).unwrap_or_default());
            rest = tail;
        }
    }
    Ok(text)
}

/// Adds a decoded character in its canonical form.
fn push(text: &mut String, decoded: char) -> Result<(), PathError> {
    match decoded {
        '\\' => return Err(PathError::Backslash),
        ';' => return Err(PathError::Semicolon),
        c if c.is_control() => return Err(PathError::Control),
        // Looked at after decoding, so that `%25%32%66` is caught as well.
        c if c.is_ascii_hexdigit() && ends_in_percent_and_hex(text) => return Err(PathError::DoubleEncoding),
        c if c == '/' || is_pchar(c) => text.push(c),
        c => {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                text.push('%');
                text.extend([byte >> 4, byte & 0xf].map(hex_digit));
            }
        }
    }
    Ok(())
}

/// Whether canonical text ends in an encoded `%` and one hex digit.
fn ends_in_percent_and_hex(text: &str) -> bool {
    matches!(text.as_bytes(), [.., b'%', b'2', b'5', digit] if digit.is_ascii_hexdigit())
}

/// Whether hex digits behind canonical text could make a double encoding.
fn ends_in_percent(text: &str) -> bool {
    text.ends_with("%25") || ends_in_percent_and_hex(text)
}

/// The upper-case hex digit of a number below 16.
fn hex_digit(number: u8) -> char {
    char::from_digit(number.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

/// What may stand for itself in a segment (RFC 3986 section 3.3), without `;`.
pub(crate) const fn is_pchar(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            '-' | '.' | '_' | '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | '=' | ':' | '@'
        )
}

/// Decodes the character whose escapes `bytes` starts with; also the bytes behind it.
fn unescape(bytes: &[u8]) -> Result<(char, &[u8]), PathError> {
    let (first, mut rest) = unescape_byte(bytes).ok_or(PathError::BadPercent)?;
    // The length by the lead byte; `from_utf8` below refuses what is overlong, a surrogate or too large.
    let len = match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        _ => 1,
    };
    let mut buffer = [first, 0, 0, 0];
    for slot in buffer.iter_mut().take(len).skip(1) {
        (*slot, rest) = unescape_byte(rest).ok_or(PathError::InvalidUtf8)?;
    }
    let decoded = buffer.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let decoded = decoded.and_then(|text| text.chars().next()).ok_or(PathError::InvalidUtf8)?;
    Ok((decoded, rest))
}

/// Decodes one `%XX`; also the bytes behind it.
fn unescape_byte(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let ([b'%', high, low], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

/// Refuses segments that some readers remove or change. `text` starts with `/`.
fn check_segments(text: &str) -> Result<(), PathError> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let mut count = 0_usize;
    for segment in path.split('/').skip(1) {
        check_segment(segment)?;
        count = count.saturating_add(1);
    }
    if count > MAX_SEGMENTS { Err(PathError::TooManySegments) } else { Ok(()) }
}

/// Refuses one canonical segment that is empty, a dot segment, or ends in a dot or a space.
pub(crate) fn check_segment(segment: &str) -> Result<(), PathError> {
    match segment {
        "" => Err(PathError::EmptySegment),
        "." | ".." => Err(PathError::DotSegment),
        _ if segment.ends_with('.') || segment.ends_with("%20") => Err(PathError::TrailingDotOrSpace),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
