//! The host that a request names (`:authority`), in one spelling.

use std::fmt;
use std::net::Ipv6Addr;

use crate::{Denial, Reason};

/// Longest authority in bytes: a name may have 255 (RFC 1035 section 2.3.4).
const MAX_LEN: usize = 255;

/// Host and port of a request in canonical form (RFC 9110 sections 4.2.3 and 7.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

/// The authority has more than one reading: userinfo, a list, an empty label, a byte that no host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authority is not a host with an optional port")]
pub struct AuthorityError;

impl AuthorityError {
    /// The answer to such a request: 400 `authority.invalid`.
    #[must_use]
    pub fn denial(&self) -> Denial {
        Denial::new(400, Reason("authority.invalid"), "Bad Request")
    }
}

impl Authority {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`: letters become lower-case, one trailing dot goes, an IPv6
    /// address gets its canonical text (RFC 5952). A name in Punycode stays as it is.
    ///
    /// # Errors
    /// [`AuthorityError`] for everything else: empty, userinfo, comma, NUL, space, escapes, non-ASCII, zone ids, more
    /// than 255 bytes.
    pub fn parse(authority: &[u8]) -> Result<Self, AuthorityError> {
        let (host, port) = split(authority)?;
        let host = match host {
            Host::Name(name) => std::str::from_utf8(name).map_err(|_| AuthorityError)?.to_ascii_lowercase(),
            Host::Address(address) => format!("[{address}]"),
        };
        Ok(Self { host, port })
    }

    /// Judges as [`Authority::parse`] does, and reads the port only. No allocation.
    ///
    /// # Errors
    /// Those of [`Authority::parse`].
    pub fn parse_port(authority: &[u8]) -> Result<Option<u16>, AuthorityError> {
        split(authority).map(|(_, port)| port)
    }

    /// The host: lower-case, without a trailing dot; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port as written; none if there is none.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that the request is for: as written, else the default of `scheme` (case makes no difference);
    /// none for an unknown scheme.
    #[must_use]
    pub fn effective_port(&self, scheme: &[u8]) -> Option<u16> {
        self.port.or_else(|| default_port(scheme))
    }

    /// The one text for this authority under `scheme`: a default port is left out.
    #[must_use]
    pub fn canonical(&self, scheme: &[u8]) -> String {
        match self.port {
            Some(port) if default_port(scheme) != Some(port) => format!("{}:{port}", self.host),
            _ => self.host.clone(),
        }
    }
}

/// As it was written, in lower case.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

const fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case(b"http") {
        Some(80)
    } else {
        None
    }
}

/// What stands before the port.
enum Host<'a> {
    /// Labels of ASCII with dots between them, as written.
    Name(&'a [u8]),
    Address(Ipv6Addr),
}

fn split(authority: &[u8]) -> Result<(Host<'_>, Option<u16>), AuthorityError> {
    if authority.len() > MAX_LEN {
        return Err(AuthorityError);
    }
    if let Some(rest) = authority.strip_prefix(b"[") {
        let rest = std::str::from_utf8(rest).map_err(|_| AuthorityError)?;
        let (address, port) = rest.split_once(']').ok_or(AuthorityError)?;
        let address = address.parse().map_err(|_| AuthorityError)?;
        return Ok((Host::Address(address), port_of(port.as_bytes())?));
    }
    let mut is_in_label = false;
    let mut end = authority.len();
    for (at, byte) in authority.iter().enumerate() {
        match byte {
            // `_` occurs in names of containers.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => is_in_label = true,
            b'.' if is_in_label => is_in_label = false,
            b':' => {
                end = at;
                break;
            }
            _ => return Err(AuthorityError),
        }
    }
    let (host, port) = authority.split_at_checked(end).ok_or(AuthorityError)?;
    let name = host.strip_suffix(b".").unwrap_or(host);
    if name.is_empty() { Err(AuthorityError) } else { Ok((Host::Name(name), port_of(port)?)) }
}

/// Nothing, or `:` with a port. Leading zeros make no difference; an empty port is refused.
fn port_of(text: &[u8]) -> Result<Option<u16>, AuthorityError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(b":").ok_or(AuthorityError)?;
    // The standard library would read a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(AuthorityError);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| AuthorityError)?;
    digits.parse().map(Some).map_err(|_| AuthorityError)
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: ENV-PATH-21
    #[test]
    fn every_spelling_of_a_host_is_one_host() {
        for (authority, expected) in [
            ("api.test", "api.test"),
            ("API.test", "api.test"),
            ("api.test.", "api.test"),
            ("api.test:443", "api.test"),
            ("api.test.:443", "api.test"),
            ("api.test:00443", "api.test"),
            ("api.test:80", "api.test:80"),
            ("api.test:8443", "api.test:8443"),
            ("my_container", "my_container"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("[::1]", "[::1]"),
            ("[0:0::1]:443", "[::1]"),
            ("[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
        ] {
            let parsed = Authority::parse(authority.as_bytes()).unwrap();
            assert_eq!(parsed.canonical(b"https"), expected, "{authority}");
            let again = Authority::parse(expected.as_bytes()).unwrap();
            assert_eq!(again.canonical(b"https"), expected, "{authority} twice");
        }
    }

    // covers: HOST-ALGO-09
    #[test]
    fn punycode_is_not_decoded_and_a_long_name_is_refused() {
        for (name, accepted) in [
            ("xn--".to_owned(), true),
            ("xn--a-".to_owned(), true),
            ("xn--0zwm56d.test".to_owned(), true),
            (format!("xn--{}", "9".repeat(251)), true),
            (format!("xn--{}", "9".repeat(252)), false),
            ("xn--a.".repeat(42), true),
            ("xn--".repeat(1_000), false),
            ("xn--a.".repeat(100_000), false),
        ] {
            let parsed = Authority::parse(name.as_bytes()).ok();
            let expected = name.strip_suffix('.').unwrap_or(&name);
            assert_eq!(
                parsed.as_ref().map(Authority::host),
                accepted.then_some(expected),
                "{} bytes",
                name.len()
            );
        }
    }

    // covers: ENV-PATH-21
    #[test]
    fn what_is_not_one_host_is_refused() {
        for authority in [
            &b""[..],
            b".",
            b"api.test..",
            b"api..test",
            b".api.test",
            b"user@api.test",
            b"api.test,evil.test",
            b"api.test%00",
            b"api.test\0",
            b"api.test ",
            b" api.test",
            b"api test",
            b"api.test:",
            b"api.test:+443",
            b"api.test:65536",
            b"api.test:443:443",
            b"api.test/admin",
            b"api.test\\",
            b"api.test#",
            b"api.test?",
            b"::1",
            b"[::1",
            b"[::1]x",
            b"[fe80::1%eth0]",
            b"[api.test]",
            b"\xc3\xa4pi.test",
            b"\xff",
        ] {
            assert_eq!(Authority::parse(authority), Err(AuthorityError), "{}", authority.escape_ascii());
        }
    }

    #[test]
    fn the_default_port_follows_the_scheme() {
        for (authority, scheme, canonical, port) in [
            ("a:80", "http", "a", Some(80)),
            ("a:443", "http", "a:443", Some(443)),
            ("a", "HTTPS", "a", Some(443)),
            ("a", "ftp", "a", None),
            ("a:443", "", "a:443", Some(443)),
        ] {
            let parsed = Authority::parse(authority.as_bytes()).unwrap();
            assert_eq!(parsed.canonical(scheme.as_bytes()), canonical, "{authority} {scheme}");
            assert_eq!(parsed.effective_port(scheme.as_bytes()), port, "{authority} {scheme}");
        }
    }
}
