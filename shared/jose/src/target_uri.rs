//! The `htu` of a DPoP proof (RFC 9449 section 4.2): the URI of a request without query and fragment.

/// Scheme and authority of a URI, normalized (RFC 3986 sections 6.2.2.1 and 6.2.3): lower case, the port always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn parse(scheme: &str) -> Option<Self> {
        match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => Some(Self::Http),
            scheme if scheme.eq_ignore_ascii_case("https") => Some(Self::Https),
            _ => None,
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// From a scheme and an authority, as in `:scheme` and `:authority`. None for another scheme than `http` and
    /// `https`, user information, a percent-encoded host, or a port that is not 1 to 65535.
    #[must_use]
    pub fn new(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = Scheme::parse(scheme)?;
        // The colons of an IPv6 address are inside of its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => scheme.default_port(),
            // `parse` alone would take a sign.
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0)?
            }
            Some(_) => return None,
        };
        is_host(host).then(|| Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// From text such as `https://api.example:8443`, with nothing behind the authority.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::new(scheme, authority)
    }

    /// The same scheme with another authority.
    #[must_use]
    pub fn with_authority(&self, authority: &str) -> Option<Self> {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        Self::new(scheme, authority)
    }
}

/// A registered name or an IPv4 address without percent-encoding, or an IPv6 address in brackets. An address has many
/// spellings, and only the client's own is accepted.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(address) => address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    }
}

/// Whether `htu` names `path` at `origin`. A query or fragment in it refuses, and the path is compared byte for byte:
/// what the proxy made of a path with dot segments or needless escapes is not what the client has signed.
#[must_use]
pub fn matches(htu: &str, origin: &Origin, path: &str) -> bool {
    let Some((scheme, rest)) = htu.split_once("://") else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, found) = rest.split_at_checked(end).unwrap_or((rest, ""));
    // RFC 3986 section 6.2.3: an empty path is `/`.
    let found = if found.is_empty() { "/" } else { found };
    !found.contains(['?', '#'])
        && Origin::new(scheme, authority).is_some_and(|named| named == *origin)
        && found == path
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-POP-10
    #[test]
    fn only_the_uri_of_the_request_matches() {
        let origin = Origin::new("https", "api.test").unwrap();
        for (name, htu, path, expected) in [
            ("the same", "https://api.test/orders/7", "/orders/7", true),
            ("case of scheme and host", "HTTPS://API.Test/orders/7", "/orders/7", true),
            ("the default port", "https://api.test:443/orders/7", "/orders/7", true),
            ("no path", "https://api.test", "/", true),
            ("another scheme", "http://api.test/orders/7", "/orders/7", false),
            ("the port of another scheme", "https://api.test:80/orders/7", "/orders/7", false),
            ("another host", "https://evil.test/orders/7", "/orders/7", false),
            ("a longer host", "https://api.test.evil.test/orders/7", "/orders/7", false),
            ("user information", "https://api.test@evil.test/orders/7", "/orders/7", false),
            ("the host as user", "https://u@api.test/orders/7", "/orders/7", false),
            ("another path", "https://api.test/orders/8", "/orders/7", false),
            ("case of the path", "https://api.test/Orders/7", "/orders/7", false),
            ("a longer path", "https://api.test/orders/7/", "/orders/7", false),
            ("an escape in the path", "https://api.test/%6frders/7", "/orders/7", false),
            ("dot segments", "https://api.test/x/../orders/7", "/orders/7", false),
            ("a query", "https://api.test/orders/7?a=1", "/orders/7", false),
            ("an empty query", "https://api.test/orders/7?", "/orders/7", false),
            ("a fragment", "https://api.test/orders/7#a", "/orders/7", false),
            ("a fragment that the request has, too", "https://api.test/orders#a", "/orders#a", false),
            ("a query behind the host", "https://api.test?/orders/7", "/", false),
            ("a backslash behind the host", "https://api.test\\/orders/7", "/orders/7", false),
            ("a path alone", "/orders/7", "/orders/7", false),
            ("no scheme", "//api.test/orders/7", "/orders/7", false),
            ("white space", " https://api.test/orders/7", "/orders/7", false),
            ("a signed port", "https://api.test:+443/orders/7", "/orders/7", false),
            ("an empty port", "https://api.test:/orders/7", "/orders/7", false),
            ("empty", "", "/", false),
        ] {
            assert_eq!(matches(htu, &origin, path), expected, "{name}");
        }
    }

    #[test]
    fn origins_are_normalized() {
        for (name, text, same_as) in [
            ("another port", "http://a.test:8080", Some(("http", "A.test:8080"))),
            ("IPv6", "https://[::1]", Some(("https", "[::1]:443"))),
            ("another scheme", "ftp://a.test", None),
            ("a path", "https://a.test/", None),
            ("no host", "https://", None),
            ("port zero", "https://a.test:0", None),
            ("a port too large", "https://a.test:65536", None),
            ("an escaped host", "https://%61.test", None),
            ("open bracket", "https://[::1", None),
            ("not an address", "https://[x]", None),
        ] {
            let expected = same_as.map(|(scheme, authority)| Origin::new(scheme, authority).unwrap());
            assert_eq!(Origin::parse(text), expected, "{name}");
        }
    }
}
