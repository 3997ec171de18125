//! Reads a response head as `curl -si` prints it.

use std::path::Path;

use portcullis_core::Response;
use portcullis_core::headers::Headers;
use portcullis_header_guard::bytes;

use crate::input;

/// A head above this is none that a server would send; what follows the head is not read beyond it.
const MAX_BYTES: u64 = 256 * 1024;

const SWITCHING_PROTOCOLS: u16 = 101;

/// Reads a response head from a file, or from standard input for `-`.
///
/// # Errors
/// What the operating system says, or what [`parse`] does.
pub fn read(path: &Path) -> Result<Response, String> {
    parse(&input::read(path, MAX_BYTES)?)
}

/// Reads the first final response head of a text: a status line, fields, and an empty line or the end. Interim ones
/// (103 Early Hints) before it are passed over; lines end with LF or CRLF.
///
/// # Errors
/// What was expected, with the number of the line; never what was found, which could be somebody's cookie.
pub fn parse(text: &[u8]) -> Result<Response, String> {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .zip(1_usize..)
        .peekable();
    loop {
        let mut headers = Headers::default();
        let (line, number) = lines.next().ok_or("expected a response that is not interim")?;
        let status = status(line).ok_or_else(|| {
            format!("line {number}: expected a status line as in `HTTP/1.1 200 OK` or `HTTP/2 200`")
        })?;
        headers.append(b":status", status);
        for (line, number) in lines.by_ref() {
            if line.is_empty() {
                break;
            }
            let (name, value) = field(line).map_err(|problem| format!("line {number}: {problem}"))?;
            headers.append(&name, value);
        }
        let response = Response::new(headers, false);
        if !response.is_interim() || response.status() == Some(SWITCHING_PROTOCOLS) {
            return Ok(response);
        }
    }
}

/// The three digits of a status line.
fn status(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.strip_prefix(b"HTTP/")?.splitn(3, |byte| *byte == b' ');
    let version = parts.next()?;
    let status = parts.next()?;
    let is_version = matches!(version, [b'0'..=b'9'] | [b'0'..=b'9', b'.', b'0'..=b'9']);
    let is_status = matches!(status, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']);
    (is_version && is_status).then_some(status)
}

/// The lower-case name and the trimmed value of a field line.
fn field(line: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("expected a field as in `name: value`")?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    // A space before the colon or at the beginning of a line is refused too (RFC 9112 sections 5.1 and 5.2).
    if !bytes::is_token(name) {
        return Err("expected a field name before the colon");
    }
    let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
    if bytes::has_control(value) {
        return Err("expected a field value without control characters");
    }
    Ok((name.to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_of_responses() {
        let two = [(":status", "200"), ("server", "a b"), ("x", "")].as_slice();
        for (name, text, expected) in [
            ("HTTP/1.1 with CRLF", "HTTP/1.1 200 OK\r\nServer:  a b \r\nX:\r\n\r\n", two),
            ("HTTP/1.1 with LF and a body", "HTTP/1.1 200 OK\nserver: a b\nx: \n\nno field\n", two),
            ("HTTP/2 as curl prints it", "HTTP/2 200 \r\nserver: a b\r\nx: \r\n\r\n", two),
            ("no reason, no empty line", "HTTP/2 200\nserver: a b\nx:", two),
            (
                "behind an interim response",
                "HTTP/1.1 103 Hints\nlink: x\n\nHTTP/1.1 200\nserver:a b\nx:",
                two,
            ),
            ("no field", "HTTP/1.0 404 Not Found\r\n\r\n", &[(":status", "404")]),
            (
                "101 is final",
                "HTTP/1.1 101 S\nupgrade: websocket\n\n",
                &[(":status", "101"), ("upgrade", "websocket")],
            ),
            (
                "the first of two",
                "HTTP/1.1 301 Moved\nlocation: /\n\nHTTP/1.1 200 OK\n\n",
                &[(":status", "301"), ("location", "/")],
            ),
        ] {
            let response = parse(text.as_bytes()).unwrap();
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!(response.headers().iter().collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_head() {
        const STATUS_LINE: &str = "line 1: expected a status line as in `HTTP/1.1 200 OK` or `HTTP/2 200`";
        for (text, expected) in [
            ("", STATUS_LINE),
            ("{\"a\": 1}", STATUS_LINE),
            ("HTTP/1.1 20 OK", STATUS_LINE),
            ("HTTP/1.1 2000 OK", STATUS_LINE),
            ("HTTP/one 200 OK", STATUS_LINE),
            ("ICY 200 OK", STATUS_LINE),
            ("HTTP/2 200\nset-cookie", "line 2: expected a field as in `name: value`"),
            ("HTTP/2 200\nset cookie: a", "line 2: expected a field name before the colon"),
            ("HTTP/2 200\nserver : a", "line 2: expected a field name before the colon"),
            ("HTTP/2 200\na: b\n folded: c", "line 3: expected a field name before the colon"),
            ("HTTP/2 200\n: a", "line 2: expected a field name before the colon"),
            ("HTTP/2 200\na: b\rc", "line 2: expected a field value without control characters"),
            ("HTTP/2 200\na: \u{1b}[2J", "line 2: expected a field value without control characters"),
            (
                "HTTP/2 103\nlink: a\n\n",
                "line 4: expected a status line as in `HTTP/1.1 200 OK` or `HTTP/2 200`",
            ),
            ("HTTP/2 103\nlink: a", "expected a response that is not interim"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in "(HTTP/(1.1|2) [1-5][0-9]{2}\r?\n)?([a-z :\r\n\u{e9}]|: )*") {
            if let Ok(response) = parse(text.as_bytes()) {
                prop_assert!(response.status().is_some());
            }
        }
    }
}
