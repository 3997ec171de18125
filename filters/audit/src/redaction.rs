//! What of a path or a header value may be written: secrets and personal data are replaced where they can be
//! recognized. Rather too much than too little: an operation's template loses nothing.

use std::borrow::Cow;

use portcullis_core::redact::is_sensitive_name;

/// Letters and digits in a row, both kinds, that nobody writes by hand; a UUID has 12 at most.
const MIN_RANDOM_RUN: usize = 20;

/// The same for base64url, where `-` and `_` break the runs.
const MIN_BASE64: usize = 32;

/// The path of a request without its query, with segments that look like secrets replaced by `{jwt}`, `{token}`,
/// `{email}`, `{secret}` and `{parameter}`.
///
/// Of a longer text than `max` bytes the end may be missing, but never so that it fits: what is never written need not
/// be looked at, and a client decides how much that is.
#[must_use]
pub fn path(target: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous = None;
    for segment in without_query(target).split(|byte| *byte == b'/') {
        if out.len() > max {
            break;
        }
        if previous.is_some() {
            out.push(b'/');
        }
        // What is not UTF-8 is none of the secrets below.
        let text = std::str::from_utf8(segment).unwrap_or_default();
        let masked = mask(previous.unwrap_or_default(), text);
        out.extend_from_slice(masked.map_or(segment, str::as_bytes));
        previous = Some(text);
    }
    out
}

/// What stands before the query and the fragment.
#[must_use]
pub fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

/// What to write instead of a path segment, if anything.
fn mask(previous: &str, segment: &str) -> Option<&'static str> {
    let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
    if find_jwt(segment).is_some() {
        Some("{jwt}")
    } else if segment.contains(['=', ';']) {
        Some("{parameter}")
    } else if segment.contains('@') || segment.contains("%40") {
        Some("{email}")
    } else if is_random(segment) {
        Some("{token}")
    } else if has_digit && is_sensitive_name(previous) {
        // `/password-reset/48151623`
        Some("{secret}")
    } else {
        None
    }
}

/// A header's value with JWTs, credentials, and what stands behind the path of a URL replaced. `max` as in [`path`].
#[must_use]
pub fn value(name: &str, bytes: &[u8], max: usize) -> Vec<u8> {
    if is_sensitive_name(name) {
        return b"{secret}".to_vec();
    }
    let mut out = Vec::new();
    let mut after_scheme = false;
    for word in bytes.split_inclusive(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'"' | b'\'')) {
        if out.len() > max {
            break;
        }
        let (text, end) = match word.split_last() {
            Some((last, text)) if matches!(last, b' ' | b'\t' | b',' | b';' | b'"' | b'\'') => {
                (text, Some(*last))
            }
            _ => (word, None),
        };
        match std::str::from_utf8(text) {
            Ok(text) if after_scheme && !text.is_empty() => {
                out.extend_from_slice(b"{secret}");
                after_scheme = false;
            }
            Ok(text) => {
                after_scheme |=
                    ["bearer", "basic", "dpop"].iter().any(|scheme| scheme.eq_ignore_ascii_case(text));
                out.extend_from_slice(word_without_secrets(text, max).as_bytes());
            }
            // No token and no URL has such bytes.
            Err(_) => out.extend_from_slice(text),
        }
        // Behind a word that was cut nothing may follow: it would stand in the wrong place.
        if out.len() <= max {
            out.extend(end);
        }
    }
    out
}

fn word_without_secrets(word: &str, max: usize) -> Cow<'_, str> {
    if let Some((scheme, rest)) = word.split_once("://") {
        // `https://user:password@host/path?query#fragment`
        let (authority, target) =
            rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        return format!("{scheme}://{host}{}", lossy(&path(target.as_bytes(), max))).into();
    }
    if word.starts_with('/') {
        return lossy(&path(word.as_bytes(), max)).into_owned().into();
    }
    match find_jwt(word).and_then(|start| word.get(..start)) {
        Some(before) => format!("{before}{{jwt}}").into(),
        None if is_random(word) => Cow::Borrowed("{token}"),
        None => Cow::Borrowed(word),
    }
}

/// The path of text is text.
fn lossy(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

/// Where a JWT begins: `eyJ` is `{"` in base64url, and a dot follows the header.
fn find_jwt(text: &str) -> Option<usize> {
    let start = text.find("eyJ")?;
    let rest = text.get(start..)?;
    rest.bytes().find(|byte| !is_base64url(*byte)).is_some_and(|end| end == b'.').then_some(start)
}

/// Whether a word is made by a machine to be hard to guess.
fn is_random(word: &str) -> bool {
    let bytes = word.as_bytes();
    let mixed =
        |bytes: &[u8]| bytes.iter().any(u8::is_ascii_digit) && bytes.iter().any(u8::is_ascii_alphabetic);
    let long_run = bytes
        .split(|byte| !byte.is_ascii_alphanumeric())
        .any(|run| run.len() >= MIN_RANDOM_RUN && mixed(run));
    let both_cases = bytes.iter().any(u8::is_ascii_lowercase) && bytes.iter().any(u8::is_ascii_uppercase);
    let base64 = bytes.len() >= MIN_BASE64
        && both_cases
        && mixed(bytes)
        && bytes.iter().all(|byte| is_base64url(*byte));
    long_run || base64
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: usize = usize::MAX;
    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

    // covers: AUD-RED-01, AUD-RED-04
    #[test]
    fn paths_lose_their_secrets() {
        for (target, expected) in [
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("/orders/7", "/orders/7"),
            ("/orders/7/", "/orders/7/"),
            ("/orders?access_token=s3cret", "/orders"),
            ("/orders#s3cret", "/orders"),
            ("/orders/123e4567-e89b-12d3-a456-426614174000", "/orders/123e4567-e89b-12d3-a456-426614174000"),
            (
                "/posts/how-to-write-a-very-long-title-in-2026",
                "/posts/how-to-write-a-very-long-title-in-2026",
            ),
            (&format!("/verify/{JWT}"), "/verify/{jwt}"),
            (&format!("/verify/token={JWT}/x"), "/verify/{jwt}/x"),
            ("/users/alice@corp.test", "/users/{email}"),
            ("/users/alice%40corp.test", "/users/{email}"),
            ("/reset/5f2d8a1b9c3e4d6f7a8b", "/reset/{token}"),
            ("/s/Zm9vYmFyYmF6-cXV4_cXV1eDEyMzQ1Njc4", "/s/{token}"),
            ("/a;jsessionid=123/b", "/{parameter}/b"),
            ("/api-key=123/b", "/{parameter}/b"),
            ("/password-reset/48151623", "/password-reset/{secret}"),
            ("/oauth/token/revoke", "/oauth/token/revoke"),
            ("//host/path", "//host/path"),
            ("/a/\u{e4}?b", "/a/\u{e4}"),
        ] {
            assert_eq!(String::from_utf8(path(target.as_bytes(), ALL)).unwrap(), expected, "{target}");
        }
        assert_eq!(path(b"/\xff/b?c", ALL), b"/\xff/b");
    }

    // covers: AUD-RED-01, AUD-RED-05
    #[test]
    fn values_lose_their_secrets() {
        for (name, sent, expected) in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("accept", "a/b;q=0.5, */*", "a/b;q=0.5, */*"),
            ("Access_Token", "s3cret", "{secret}"),
            ("ACCESS-TOKEN", "s3cret", "{secret}"),
            ("x-api-key", "s3cret", "{secret}"),
            ("cookie", "a=s3cret", "{secret}"),
            ("x-note", "Bearer s3cret rest", "Bearer {secret} rest"),
            ("x-note", "basic s3cret", "basic {secret}"),
            ("referer", "https://u:s3cret@a.test/p?code=s3cret#s3cret", "https://a.test/p"),
            ("referer", "/p?access_token=s3cret", "/p"),
            ("x-note", &format!("a={JWT}, b"), "a={jwt}, b"),
            ("x-note", "5f2d8a1b9c3e4d6f7a8b", "{token}"),
        ] {
            assert_eq!(
                String::from_utf8(value(name, sent.as_bytes(), ALL)).unwrap(),
                expected,
                "{name}: {sent}"
            );
        }
        assert_eq!(value("x-note", b"\xff \xfe", ALL), b"\xff \xfe");
    }

    // Once all 30,000 words of a header field were looked at, although 256 bytes of it are written.
    #[test]
    fn what_is_never_written_costs_nothing() {
        assert_eq!(path("/1".repeat(30_000).as_bytes(), 512).len(), 514);
        assert_eq!(value("x-note", "/a ".repeat(30_000).as_bytes(), 256).len(), 257);
        // A separator once followed a path that had been cut, as if the path ended there.
        assert_eq!(value("x-note", b"/=/ ", 0), b"/{parameter}");
    }

    proptest! {
        #[test]
        fn what_is_written_does_not_depend_on_the_bound(text in "[a-z0-9/=@?. ]{0,60}", max in 0_usize..40) {
            for (all, cut) in [
                (path(text.as_bytes(), ALL), path(text.as_bytes(), max)),
                (value("x-note", text.as_bytes(), ALL), value("x-note", text.as_bytes(), max)),
            ] {
                prop_assert!(all.starts_with(&cut));
                prop_assert!(cut.len() > max || cut == all);
            }
        }

        #[test]
        fn a_jwt_never_survives(before in "[a-z/=?&. ]{0,10}", after in "[a-z/?&. ]{0,10}") {
            let text = format!("{before}{JWT}{after}");
            let signature = "c2lnbmF0dXJl";
            for redacted in [path(text.as_bytes(), ALL), value("x-note", text.as_bytes(), ALL)] {
                prop_assert!(!String::from_utf8(redacted).unwrap().contains(signature));
            }
        }
    }
}
