//! SPIFFE IDs (SPIFFE-ID standard, sections 2.1 to 2.4), read strictly, and patterns of them.

/// Longest ID, in bytes (section 2.3).
const MAX_ID: usize = 2048;

/// Longest trust domain, in bytes (section 2.1).
const MAX_TRUST_DOMAIN: usize = 255;

/// A SPIFFE ID in its only accepted spelling, so that equal bytes are equal IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiffeId<'a> {
    trust_domain: &'a str,
    path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Reads an ID. None for anything but `spiffe://`, a trust domain of lower-case letters, digits, `.`, `-` and
    /// `_`, and nothing or a path of segments of letters, digits, `.`, `-` and `_`: no port, user information, query,
    /// fragment, percent-encoding, empty or dot segment, trailing slash, or more than 2,048 bytes.
    #[must_use]
    pub fn parse(id: &'a str) -> Option<Self> {
        let rest = id.strip_prefix("spiffe://").filter(|_| id.len() <= MAX_ID)?;
        let (trust_domain, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let segments = path.strip_prefix('/');
        let is_good =
            is_trust_domain(trust_domain) && segments.is_none_or(|path| path.split('/').all(is_segment));
        is_good.then_some(Self { trust_domain, path })
    }

    /// The trust domain, to be compared byte for byte.
    #[must_use]
    pub const fn trust_domain(&self) -> &'a str {
        self.trust_domain
    }
}

/// Whether this can be the trust domain of an ID.
#[must_use]
pub fn is_trust_domain(name: &str) -> bool {
    (1..=MAX_TRUST_DOMAIN).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// An ID, of which whole segments of the path may be `*`, which stands for exactly one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffePattern(String);

impl SpiffePattern {
    /// Reads a pattern; none if it is not an ID with `w` in place of each `*` segment.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        let sample: Vec<&str> =
            pattern.split('/').map(|segment| if segment == "*" { "w" } else { segment }).collect();
        let domain = pattern.strip_prefix("spiffe://")?.split('/').next()?;
        // Trust domains are never matched by a pattern: each is another authority.
        (domain != "*" && SpiffeId::parse(&sample.join("/")).is_some()).then(|| Self(pattern.to_owned()))
    }

    /// Whether the ID matches, segment by segment.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId<'_>) -> bool {
        let Some(pattern) =
            self.0.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(id.trust_domain))
        else {
            return false;
        };
        let (mut wanted, mut found) = (pattern.split('/'), id.path.split('/'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-POP-08
    #[test]
    fn an_id_has_one_spelling() {
        let longest = format!("spiffe://prod/{}", "a".repeat(MAX_ID - "spiffe://prod/".len()));
        let longer = format!("{longest}a");
        let longest_domain = format!("spiffe://{}", "a".repeat(MAX_TRUST_DOMAIN));
        let longer_domain = format!("{longest_domain}a");
        for (name, id, expected) in [
            ("a workload", "spiffe://prod/ns/orders", Some("prod")),
            ("a trust domain alone", "spiffe://prod.example-1_x", Some("prod.example-1_x")),
            ("case in the path", "spiffe://prod/Ns/A.b_c-1", Some("prod")),
            ("dots in a segment", "spiffe://prod/...", Some("prod")),
            ("2,048 bytes", &longest, Some("prod")),
            ("2,049 bytes", &longer, None),
            ("longest trust domain", &longest_domain, longest_domain.strip_prefix("spiffe://")),
            ("longer trust domain", &longer_domain, None),
            ("upper case", "spiffe://PROD/ns", None),
            ("a port", "spiffe://prod:443/ns", None),
            ("user information", "spiffe://u@prod/ns", None),
            ("parent segment", "spiffe://prod/ns/../admin", None),
            ("dot segment", "spiffe://prod/./ns", None),
            ("empty segment", "spiffe://prod//ns", None),
            ("trailing slash", "spiffe://prod/ns/", None),
            ("trust domain and slash", "spiffe://prod/", None),
            ("percent-encoding", "spiffe://prod/%61", None),
            ("query", "spiffe://prod/ns?a", None),
            ("fragment", "spiffe://prod/ns#a", None),
            ("NUL", "spiffe://prod/ns\0", None),
            ("a letter outside of ASCII", "spiffe://prod/é", None),
            ("no trust domain", "spiffe:///ns", None),
            ("another scheme", "https://prod/ns", None),
            ("case of the scheme", "SPIFFE://prod/ns", None),
            ("white space", " spiffe://prod/ns", None),
        ] {
            assert_eq!(SpiffeId::parse(id).map(|id| id.trust_domain()), expected, "{name}");
        }
    }

    // covers: JWT-POP-07
    #[test]
    fn a_wildcard_is_one_segment() {
        for (pattern, id, expected) in [
            ("spiffe://prod/ns/orders", "spiffe://prod/ns/orders", true),
            ("spiffe://prod/ns/*", "spiffe://prod/ns/orders", true),
            ("spiffe://prod/ns/*/sa/web", "spiffe://prod/ns/a/sa/web", true),
            ("spiffe://prod", "spiffe://prod", true),
            ("spiffe://prod/ns/*", "spiffe://prod/ns/a/b", false),
            ("spiffe://prod/ns/*", "spiffe://prod/ns", false),
            ("spiffe://prod/ns/*", "spiffe://production/ns/a", false),
            ("spiffe://production/ns/*", "spiffe://prod/ns/a", false),
            ("spiffe://prod/ns/orders", "spiffe://prod/ns/Orders", false),
            ("spiffe://prod", "spiffe://prod/ns", false),
        ] {
            let id = SpiffeId::parse(id).unwrap();
            assert_eq!(SpiffePattern::parse(pattern).unwrap().matches(&id), expected, "{pattern} {id:?}");
        }
        for pattern in [
            "spiffe://*/ns",
            "spiffe://prod/n*",
            "spiffe://prod/**",
            "spiffe://prod/*/",
            "*",
            "https://prod/*",
            "",
        ] {
            assert_eq!(SpiffePattern::parse(pattern), None, "{pattern}");
        }
    }
}
