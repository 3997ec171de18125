//! URIs and IRIs: RFC 3986, RFC 3987.

use std::net::Ipv6Addr;

use super::all_digits;

/// RFC 3987 `IRI`, or RFC 3986 `URI` if the text is ASCII: a scheme, and what a reference may have.
pub(super) fn iri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) && iri_reference(text)
}

/// RFC 3987 `IRI-reference`: allowed characters, escapes, and an authority that is one.
pub(super) fn iri_reference(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').map_or((text, ""), |(rest, fragment)| (rest, fragment));
    let (text, query) = text.split_once('?').map_or((text, ""), |(rest, query)| (rest, query));
    let (scheme, rest) = text.split_once(':').map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let rest = match scheme {
        Some(scheme) if scheme.contains('/') => text,
        // A colon in the first segment of a relative path would be a scheme's.
        Some(scheme) if !is_scheme(scheme) => return false,
        Some(_) | None => rest,
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            rest.split_at_checked(end).map_or((Some(rest), ""), |(authority, path)| (Some(authority), path))
        }
        None => (None, rest),
    };
    authority.is_none_or(is_authority)
        && has_only(path, "/:@")
        && has_only(query, "/:@?")
        && has_only(fragment, "/:@?")
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_authority(text: &str) -> bool {
    let (user, place) = text.rsplit_once('@').map_or(("", text), |(user, place)| (user, place));
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<Ipv6Addr>().is_err() && !address.starts_with(['v', 'V']) {
                return false;
            }
            ("", port)
        }
        None => place.find(':').and_then(|at| place.split_at_checked(at)).unwrap_or((place, "")),
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(all_digits);
    has_only(user, ":") && has_only(host, "") && port_fits
}

/// Unreserved characters, sub-delimiters, escapes, all beyond ASCII, and `more`.
fn has_only(text: &str, more: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ if !byte.is_ascii() => true,
            _ => {
                byte.is_ascii_alphanumeric()
                    || b"-._~!$&'()*+,;=".contains(&byte)
                    || more.as_bytes().contains(&byte)
            }
        };
        if !fits {
            return false;
        }
    }
    true
}
