//! Origins (HTML standard, section "Origin"), compared part by part: never by suffix, prefix or pattern of their text.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use portcullis_core::dns_pattern::{self, DnsPattern};
use portcullis_core::{ConfigError, Request};

/// Longest serialized origin, in bytes: a host has 254 at most, and no registered scheme comes near the rest.
const MAX_LEN: usize = 512;

/// Origins in one list. The list is searched from its beginning, so this bounds the work for each request.
pub const MAX_ORIGINS: usize = 256;

/// Who asks, as a browser says it in `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// `null`: sandboxed frames, `data:` documents, some redirects. Everybody can make one.
    Opaque,
    /// Scheme, host and port.
    Tuple(TupleOrigin<'a>),
}

/// An origin that has a name. Equal if all three parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TupleOrigin<'a> {
    /// Lower case.
    scheme: Cow<'a, str>,
    /// Lower case; an IPv6 address in brackets and in its canonical text. A final dot makes another host, as it does
    /// for browsers.
    host: Cow<'a, str>,
    /// The scheme's default if none is written; none for a scheme without one.
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Reads a serialized origin: `null` or `scheme://host[:port]`. Case makes no difference, nor does a default port
    /// that is written. Allocates only for upper case and for IPv6 addresses.
    ///
    /// None for everything else: a path or a final `/`, a user, a list, space, a host that is no DNS name and no
    /// address, a port with leading zeros, more than 512 bytes.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        if text == b"null" {
            return Some(Self::Opaque);
        }
        let (scheme, authority) = std::str::from_utf8(text).ok()?.split_once("://")?;
        TupleOrigin::new(scheme, authority).map(Self::Tuple)
    }

    /// The origin of an absolute URL, as `Referer` has it; none for any other text.
    #[must_use]
    pub fn of_url(url: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = std::str::from_utf8(url).ok()?.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        TupleOrigin::new(scheme, authority).map(Self::Tuple)
    }

    /// The origin that a request is for; `secure` says whether the client came over TLS, which `:scheme` doesn't know
    /// behind a proxy that ends TLS (see [`crate::policy::is_secure`]). None without a single, valid `:authority`.
    #[must_use]
    pub fn of_target(request: &'a Request, secure: bool) -> Option<Self> {
        let headers = request.headers();
        let authority = match headers.single(b":authority").ok()? {
            Some(authority) => authority,
            None => headers.single(b"host").ok()??,
        };
        let scheme = if secure { "https" } else { "http" };
        TupleOrigin::new(scheme, std::str::from_utf8(authority).ok()?).map(Self::Tuple)
    }

    fn into_owned(self) -> Origin<'static> {
        match self {
            Self::Opaque => Origin::Opaque,
            Self::Tuple(TupleOrigin { scheme, host, port }) => Origin::Tuple(TupleOrigin {
                scheme: Cow::Owned(scheme.into_owned()),
                host: Cow::Owned(host.into_owned()),
                port,
            }),
        }
    }
}

/// The serialization that browsers write and compare byte for byte.
impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Tuple(TupleOrigin { scheme, host, port }) = self else {
            return f.write_str("null");
        };
        write!(f, "{scheme}://{host}")?;
        match port {
            Some(port) if default_port(scheme) != Some(*port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl<'a> TupleOrigin<'a> {
    fn new(scheme: &'a str, authority: &'a str) -> Option<Self> {
        if !is_scheme(scheme) {
            return None;
        }
        let scheme = lower(scheme);
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (Cow::Owned(format!("[{address}]")), port)
        } else {
            let (host, port) = authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?;
            if !dns_pattern::is_name(host.strip_suffix('.').unwrap_or(host)) {
                return None;
            }
            (lower(host), port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(parse_port(digits)?),
            None if port.is_empty() => default_port(&scheme),
            None => return None,
        };
        Some(Self { scheme, host, port })
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Digits as a browser writes them: no sign, no leading zero.
fn parse_port(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = digits.starts_with('0') && digits != "0";
    if is_plain && !has_zeros { digits.parse().ok() } else { None }
}

/// `scheme` is lower-case.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// What an operator writes in a list of origins.
#[derive(Debug)]
enum Entry {
    /// `https://app.example.com` or `null`, with its serialization.
    Exact(Origin<'static>, String),
    /// `https://*.example.com`: one label in place of the `*`.
    Subdomains { scheme: String, host: DnsPattern, port: Option<u16> },
}

/// Origins that are allowed something.
#[derive(Debug, Default)]
pub struct OriginList {
    any: bool,
    entries: Vec<Entry>,
}

impl OriginList {
    /// Reads origins, patterns as in `https://*.example.com`, and `*`, which must stand alone. The `*` of a pattern is
    /// exactly one DNS label, as in a certificate: a name further down is often somebody else's.
    ///
    /// # Errors
    /// [`ConfigError`] at the entry that is none of these, and at the list with more than [`MAX_ORIGINS`].
    pub fn parse(texts: &[String]) -> Result<Self, ConfigError> {
        if texts.len() > MAX_ORIGINS {
            let problem = format!("expected at most {MAX_ORIGINS} origins, found {}", texts.len());
            return Err(ConfigError::new("", problem));
        }
        let mut list = Self::default();
        for (index, text) in texts.iter().enumerate() {
            let error = |problem: String| ConfigError::new(format!("[{index}]"), problem);
            if text == "*" {
                if texts.len() > 1 {
                    return Err(error("expected `*` to be the only entry".to_owned()));
                }
                list.any = true;
                continue;
            }
            let entry = Entry::parse(text).ok_or_else(|| {
                error(format!(
                    "expected an origin without path as in `https://app.example.com` or \
                     `https://*.example.com`, found `{text}`"
                ))
            })?;
            list.entries.push(entry);
        }
        Ok(list)
    }

    /// Whether the list is `*`.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.any
    }

    /// Whether somebody can be on the list without owning a name: it is `*`, or names `null`.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.any || self.find(&Origin::Opaque).is_some()
    }

    /// Whether `origin` is on the list.
    #[must_use]
    pub fn contains(&self, origin: &Origin<'_>) -> bool {
        self.find(origin).is_some()
    }

    /// The serialization of `origin` if it is on the list; `*` for a list of `*`. Never the client's own bytes.
    #[must_use]
    pub fn find(&self, origin: &Origin<'_>) -> Option<Cow<'_, str>> {
        if self.any {
            return Some(Cow::Borrowed("*"));
        }
        self.entries.iter().find_map(|entry| match entry {
            Entry::Exact(exact, text) => (exact == origin).then_some(Cow::Borrowed(text.as_str())),
            Entry::Subdomains { scheme, host, port } => match origin {
                Origin::Tuple(tuple)
                    if tuple.scheme == *scheme && tuple.port == *port && host.matches(&tuple.host) =>
                {
                    Some(Cow::Owned(origin.to_string()))
                }
                Origin::Tuple(_) | Origin::Opaque => None,
            },
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let Some((scheme, parent)) = text.split_once("://*.") else {
            let origin = Origin::parse(text.as_bytes())?.into_owned();
            let text = origin.to_string();
            return Some(Self::Exact(origin, text));
        };
        let TupleOrigin { scheme, host, port } = TupleOrigin::new(scheme, parent)?;
        // An address has no subdomains: `*.0.0.1` is no name.
        let is_address = host.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit());
        let host = DnsPattern::parse(&format!("*.{host}")).filter(|_| !is_address)?;
        Some(Self::Subdomains { scheme: scheme.into_owned(), host, port })
    }
}

#[cfg(test)]
mod tests;
