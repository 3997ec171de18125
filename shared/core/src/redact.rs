//! What may stand in a log: names whose values are secrets, and bytes of a client on one line.

use std::borrow::Cow;
use std::fmt::Write;

/// Parts of a name that mark a secret wherever they stand; compared after [`fold`].
const MARKS: &[&str] = &[
    "accesskey",
    "apikey",
    "assertion",
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "session",
    "signature",
    "signedpayload",
    "token",
];

/// Names that are secrets only as a whole: `key` is one, `monkey` and `keyword` are not.
const NAMES: &[&str] = &[
    "auth",
    "code",
    "codeverifier",
    "devicecode",
    "dpop",
    "jwt",
    "key",
    "otp",
    "pass",
    "pin",
    "proxyauthenticate",
    "pwd",
    "samlrequest",
    "samlresponse",
    "sas",
    "sid",
    "sig",
    "ticket",
    "usercode",
    "xforwardedclientcert",
];

/// Whether a header field, cookie, query parameter or JSON member of this name holds a secret, so that its value
/// must not be logged.
///
/// Case, `-`, `_` and `.` make no difference: `X-Api-Key`, `x_api_key` and `xApiKey` are one name. A name from a
/// query must be percent-decoded first. Rather too many names than too few.
#[must_use]
pub fn is_sensitive_name(name: &str) -> bool {
    let name = fold(name);
    let holds = |mark: &str| name.windows(mark.len()).any(|part| part == mark.as_bytes());
    NAMES.iter().any(|known| name == known.as_bytes()) || MARKS.iter().any(|mark| holds(mark))
}

fn fold(name: &str) -> Vec<u8> {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b'.'));
    letters.map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Bytes of a client as text for one line of a log: nothing in it can end the line, move a terminal's cursor or
/// change the order of what is displayed.
///
/// Bytes that are not UTF-8 become `\xff`; control, line-separating, invisible and bidirectional formatting
/// characters `\u{202e}`; a backslash `\\`, so that the text can be read back without doubt. Quotes stay: where
/// the line is JSON or quoted, its writer escapes them.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if is_unsafe(c) => push(&mut out, format_args!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

/// Characters that change how the rest of a line is read or shown ("Trojan Source", CVE-2021-42574).
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `max` bytes of `text`, cut between two characters; a cut text ends in `…`, which counts as 3 of them.
///
/// With `max` below 3 a text that is too long becomes empty.
#[must_use]
pub fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    const ELLIPSIS: &str = "…";
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let Some(room) = max.checked_sub(ELLIPSIS.len()) else {
        return Cow::Borrowed("");
    };
    let mut cut = text.get(..text.floor_char_boundary(room)).unwrap_or_default().to_owned();
    cut.push_str(ELLIPSIS);
    Cow::Owned(cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_any_spelling() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "cookie",
            "Set-Cookie",
            "DPoP",
            "access_token",
            "id_token",
            "refresh-token",
            "Token",
            "api_key",
            "X-Api-Key",
            "xApiKey",
            "key",
            "password",
            "new_password",
            "code",
            "sig",
            "X-Amz-Signature",
            "x-amz-security-token",
            "X-Goog-Credential",
            "client_secret",
            "client_assertion",
            "SAMLResponse",
            "sessionid",
            "x-csrf-token",
            "x-forwarded-client-cert",
        ] {
            assert!(is_sensitive_name(name), "{name}");
        }
        for name in ["accept", "content-type", "monkey", "keyword", "zipcode", "design", "page", "", "author"]
        {
            assert!(!is_sensitive_name(name), "{name}");
        }
    }

    #[test]
    fn a_client_cannot_leave_its_line() {
        for (name, bytes, expected) in [
            ("plain text", &b"GET /a?b=c"[..], "GET /a?b=c"),
            ("line ends", b"a\r\nb", "a\\u{d}\\u{a}b"),
            ("terminal escape", b"\x1b[2J", "\\u{1b}[2J"),
            ("NUL and DEL", b"\0\x7f", "\\u{0}\\u{7f}"),
            ("C1 control", "\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("right-to-left override", "a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            ("isolate", "\u{2066}".as_bytes(), "\\u{2066}"),
            ("line separator", "\u{2028}".as_bytes(), "\\u{2028}"),
            ("zero width space", "\u{200b}".as_bytes(), "\\u{200b}"),
            ("not UTF-8", b"\xff\xfea", "\\xff\\xfea"),
            ("half a character", b"\xe2\x82", "\\xe2\\x82"),
            ("backslash", b"\\u{a}", "\\\\u{a}"),
            ("emoji and quotes stay", "😀\"".as_bytes(), "😀\""),
        ] {
            assert_eq!(escape(bytes), expected, "{name}");
        }
    }

    #[test]
    fn a_cut_is_between_characters() {
        for (text, max, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc…"),
            ("ééé", 5, "é…"),
            ("ééé", 4, "…"),
            ("abc", 2, ""),
            ("", 0, ""),
        ] {
            assert_eq!(truncate(text, max), expected, "{text} {max}");
        }
    }

    proptest! {
        #[test]
        fn escaped_bytes_are_one_safe_line(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!escape(&bytes).chars().any(is_unsafe));
        }

        #[test]
        fn a_cut_never_exceeds_its_limit(text in ".{0,20}", max in 0_usize..40) {
            prop_assert!(truncate(&text, max).len() <= max);
        }
    }
}
