//! What the value of a known field must look like. A value that two servers could read differently is refused.

use portcullis_core::path::Authority;

use crate::bytes::{self, is_token};

/// The form of a known field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Anything but control characters; may hold text in any language.
    Free,
    /// ASCII.
    Ascii,
    /// ASCII without a comma: a comma is where the proxy has joined two fields of this name into one.
    NoComma,
    /// A date (RFC 9110 section 5.6.7), which has one comma.
    Date,
    /// Digits.
    Digits,
    /// `Content-Length` (RFC 9110 section 8.6).
    Length,
    /// `Transfer-Encoding` (RFC 9112 section 6.1).
    Chunked,
    /// `Content-Type` (RFC 9110 section 8.3).
    MediaType,
    /// `Authorization` (RFC 9110 section 11.6.2).
    Credentials,
    /// `Host` and `:authority` (RFC 9110 section 7.2).
    Host,
    /// `:scheme`.
    Scheme,
    /// `:method`.
    Token,
    /// `Expect` (RFC 9110 section 10.1.1).
    Expect,
    /// `grpc-timeout` (gRPC over HTTP/2).
    GrpcTimeout,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The value is two, joined by the proxy.
    Duplicate,
    /// The value is none of this field.
    Invalid,
}

/// Authentication schemes whose credentials have no comma (RFC 6750, RFC 7617, RFC 9449, RFC 4559), so that a comma
/// begins a second one.
const SCHEMES_WITHOUT_COMMA: [&[u8]; 4] = [b"bearer", b"basic", b"dpop", b"negotiate"];

/// Longest media type that is not an attempt at something; RFC 6838 section 4.2 ends both names at 127 characters.
const MAX_MEDIA_TYPE: usize = 256;

/// Longest host name with a port (RFC 1035 section 2.3.4: 255 octets).
const MAX_HOST: usize = 255;

impl Syntax {
    /// Judges a value.
    ///
    /// # Errors
    /// [`Fault`], which says no more than the field's name may.
    pub fn check(self, value: &[u8]) -> Result<(), Fault> {
        // The others allow single bytes only, or any.
        let is_of_ascii =
            matches!(self, Self::Ascii | Self::NoComma | Self::Date | Self::MediaType | Self::Credentials);
        if is_of_ascii && !value.is_ascii() { Err(Fault::Invalid) } else { self.check_ascii(value) }
    }

    /// Judges a value that is known to be ASCII, as all of a request mostly are.
    ///
    /// # Errors
    /// [`Fault`], which says no more than the field's name may.
    #[inline]
    pub fn check_ascii(self, value: &[u8]) -> Result<(), Fault> {
        // Most fields that are known.
        if matches!(self, Self::Free | Self::Ascii) { Ok(()) } else { self.check_form(value) }
    }

    #[inline(never)]
    fn check_form(self, value: &[u8]) -> Result<(), Fault> {
        let well_formed = match self {
            Self::Free | Self::Ascii => true,
            Self::NoComma => return no_comma(value),
            Self::Date if bytes::count(value, b',') > 1 => return Err(Fault::Duplicate),
            Self::Date => true,
            Self::Digits => is_digits(value, 15),
            Self::Length => return content_length(value),
            Self::Chunked => value.eq_ignore_ascii_case(b"chunked"),
            Self::MediaType => return media_type(value),
            Self::Credentials => return credentials(value),
            Self::Host => is_host(value),
            Self::Scheme => value == b"http" || value == b"https",
            Self::Token => is_token(value),
            Self::Expect => value.eq_ignore_ascii_case(b"100-continue"),
            Self::GrpcTimeout => is_grpc_timeout(value),
        };
        if well_formed { Ok(()) } else { Err(Fault::Invalid) }
    }
}

fn no_comma(value: &[u8]) -> Result<(), Fault> {
    if bytes::has(value, b',') { Err(Fault::Duplicate) } else { Ok(()) }
}

fn is_digits(value: &[u8], max: usize) -> bool {
    !value.is_empty() && value.len() <= max && value.iter().all(u8::is_ascii_digit)
}

/// No sign, no list, no leading zero, no more digits than every server can count with.
fn content_length(value: &[u8]) -> Result<(), Fault> {
    if value.contains(&b',') {
        return Err(Fault::Duplicate);
    }
    let leading_zero = value.len() > 1 && value.first() == Some(&b'0');
    if is_digits(value, 15) && !leading_zero { Ok(()) } else { Err(Fault::Invalid) }
}

/// `type/subtype` of tokens without wildcards, then parameters; a comma outside of quotes begins a second value.
fn media_type(value: &[u8]) -> Result<(), Fault> {
    if value.len() > MAX_MEDIA_TYPE {
        return Err(Fault::Invalid);
    }
    let mut quoted = false;
    let mut escaped = false;
    for byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Err(Fault::Duplicate),
            _ => {}
        }
    }
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let mut names = essence.splitn(2, |byte| *byte == b'/');
    let mut is_name = || names.next().is_some_and(|name| is_token(name) && !name.contains(&b'*'));
    if !quoted && is_name() && is_name() { Ok(()) } else { Err(Fault::Invalid) }
}

fn credentials(value: &[u8]) -> Result<(), Fault> {
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    let without_comma = SCHEMES_WITHOUT_COMMA.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    if without_comma { no_comma(value) } else { Ok(()) }
}

/// As the routes of all filters read it, and with a port that exists.
fn is_host(value: &[u8]) -> bool {
    value.len() <= MAX_HOST && Authority::parse_port(value).is_ok_and(|port| port != Some(0))
}

/// One to eight digits and a unit: more overflowed proxies that compute with nanoseconds.
fn is_grpc_timeout(value: &[u8]) -> bool {
    let Some((unit, digits)) = value.split_last() else {
        return false;
    };
    is_digits(digits, 8) && matches!(unit, b'H' | b'M' | b'S' | b'm' | b'u' | b'n')
}

/// Whether a request id can be logged, sent in a header and put in a URL as it is: 1 to 128 letters, digits and
/// `-._~`.
#[must_use]
pub fn is_request_id(value: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~');
    // To its end whatever comes, so that the compiler looks at sixteen bytes at a time.
    (1..=128).contains(&value.len()) && value.iter().fold(true, |legal, byte| legal & is_legal(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid() -> Result<(), Fault> {
        Err(Fault::Invalid)
    }

    fn duplicate() -> Result<(), Fault> {
        Err(Fault::Duplicate)
    }

    // covers: HG-SYN-07
    #[test]
    fn content_length_is_one_plain_number() {
        for (value, expected) in [
            ("0", Ok(())),
            ("5", Ok(())),
            ("100000000000000", Ok(())),
            ("1,1", duplicate()),
            ("1, 2", duplicate()),
            ("01", invalid()),
            ("00", invalid()),
            ("1.0", invalid()),
            ("1e3", invalid()),
            ("", invalid()),
            (" 1", invalid()),
            ("+5", invalid()),
            ("-1", invalid()),
            ("0x5", invalid()),
            ("5 5", invalid()),
            ("1000000000000000", invalid()),
            ("18446744073709551616", invalid()),
        ] {
            assert_eq!(Syntax::Length.check(value.as_bytes()), expected, "{value}");
        }
    }

    // covers: HG-SYN-09
    #[test]
    fn the_only_transfer_coding_is_chunked() {
        for (value, expected) in [
            (&b"chunked"[..], Ok(())),
            (b"Chunked", Ok(())),
            (b"chunked\x0b", invalid()),
            (b"\x00chunked", invalid()),
            (b" chunked", invalid()),
            (b"chunked;q=1", invalid()),
            (b"chunked, chunked", invalid()),
            (b"xchunked", invalid()),
            (b"identity", invalid()),
            (b"gzip, chunked", invalid()),
            (b"", invalid()),
        ] {
            assert_eq!(Syntax::Chunked.check(value), expected, "{}", value.escape_ascii());
        }
    }

    // covers: HG-SYN-08
    #[test]
    fn a_content_type_is_one_media_type() {
        let (longest, too_long) = (format!("a/{}", "b".repeat(254)), format!("a/{}", "b".repeat(255)));
        for (value, expected) in [
            ("application/json", Ok(())),
            ("application/json; charset=utf-8", Ok(())),
            ("application/vnd.api+json", Ok(())),
            ("multipart/form-data; boundary=\"a,b\\\",c\"", Ok(())),
            (&longest, Ok(())),
            (&too_long, invalid()),
            ("", invalid()),
            (";", invalid()),
            ("json", invalid()),
            ("a/b/c", invalid()),
            ("*/*", invalid()),
            ("text/*", invalid()),
            ("text/ plain", invalid()),
            ("text/pl\u{e4}in", invalid()),
            ("a/b; x=\"", invalid()),
            ("application/json,text/html", duplicate()),
            ("application/json; a=b, text/html", duplicate()),
        ] {
            assert_eq!(Syntax::MediaType.check(value.as_bytes()), expected, "{value}");
        }
    }

    // covers: HG-SYN-13
    #[test]
    fn a_host_has_one_reading() {
        let long = "a".repeat(256);
        for (value, expected) in [
            ("api.example.test", true),
            ("API.example.test.", true),
            ("my_service", true),
            ("127.0.0.1:8080", true),
            ("[::1]", true),
            ("[2001:db8::1]:65535", true),
            ("a:1", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a@b", false),
            ("a#b", false),
            ("a?b", false),
            ("a\\b", false),
            ("a%00", false),
            ("a,b", false),
            ("\u{e4}.test", false),
            ("[fe80::1%eth0]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[127.0.0.1]", false),
            ("::1", false),
            ("a:", false),
            ("a:0", false),
            ("a:65536", false),
            ("a:+80", false),
            ("a:80x", false),
            ("a:80:80", false),
            (":80", false),
            (&long, false),
        ] {
            assert_eq!(Syntax::Host.check(value.as_bytes()).is_ok(), expected, "{value}");
        }
    }

    #[test]
    fn credentials_joined_by_the_proxy_are_two() {
        for (value, expected) in [
            (&b"Bearer abc.def.ghi"[..], Ok(())),
            (b"Basic dTpw", Ok(())),
            (b"Digest username=\"a\", realm=\"b\"", Ok(())),
            (b"Bearer a,Bearer b", duplicate()),
            (b"bearer a, Basic b", duplicate()),
            (b"DPoP a,b", duplicate()),
            (b"Bearer \xc3\xa4", invalid()),
        ] {
            assert_eq!(Syntax::Credentials.check(value), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn other_values() {
        for (syntax, value, expected) in [
            (Syntax::Date, "Sun, 06 Nov 1994 08:49:37 GMT", Ok(())),
            (Syntax::Date, "Sun, 06 Nov 1994 08:49:37 GMT,Sun, 06 Nov 1994 08:49:37 GMT", duplicate()),
            (Syntax::NoComma, "https://a.test", Ok(())),
            (Syntax::NoComma, "https://a.test,https://b.test", duplicate()),
            (Syntax::NoComma, "https://\u{e4}.test", invalid()),
            (Syntax::Digits, "10", Ok(())),
            (Syntax::Digits, "1,0", invalid()),
            (Syntax::Scheme, "https", Ok(())),
            (Syntax::Scheme, "HTTPS", invalid()),
            (Syntax::Scheme, "file", invalid()),
            (Syntax::Token, "PATCH", Ok(())),
            (Syntax::Token, "GET /", invalid()),
            (Syntax::GrpcTimeout, "99999999S", Ok(())),
            (Syntax::GrpcTimeout, "99999999999H", invalid()),
            (Syntax::GrpcTimeout, "-1S", invalid()),
            (Syntax::GrpcTimeout, "1", invalid()),
            (Syntax::GrpcTimeout, "", invalid()),
            (Syntax::Ascii, "gzip, br", Ok(())),
            (Syntax::Ascii, "\u{e4}", invalid()),
            (Syntax::Free, "\u{e4}", Ok(())),
        ] {
            assert_eq!(syntax.check(value.as_bytes()), expected, "{syntax:?} {value}");
        }
    }

    // covers: HG-SYN-10
    #[test]
    fn the_only_expectation_is_100_continue() {
        for (value, expected) in [
            ("100-continue", Ok(())),
            ("100-Continue", Ok(())),
            ("100-continue, x", invalid()),
            ("y 100-continue", invalid()),
            ("", invalid()),
        ] {
            assert_eq!(Syntax::Expect.check(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_request_id_can_stand_anywhere() {
        for (value, expected) in [
            ("d83b8a92-1f6b-4f5e-9c57-1b8b1bb2d0f1", true),
            ("trace.7_a", true),
            ("", false),
            ("../../x", false),
            ("a b", false),
            ("a,b", false),
            ("\u{e4}", false),
        ] {
            assert_eq!(is_request_id(value.as_bytes()), expected, "{value}");
        }
        assert!(!is_request_id(&[b'a'; 129]));
    }
}
