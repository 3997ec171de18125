//! DNS names of certificates, and patterns of them (RFC 9525 section 6.3).

/// Longest name, in bytes (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// Longest label, in bytes.
const MAX_LABEL: usize = 63;

/// Whether this is a host name in full: labels of letters, digits, `-` and `_`, none of them empty.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A name, of which the first label may be `*`, which stands for exactly one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsPattern {
    is_wildcard: bool,
    /// The name, or what follows `*.`; lower case.
    name: String,
}

impl DnsPattern {
    /// Reads a pattern. None for what is not a name, a `*` anywhere else, and a `*` over fewer than two labels:
    /// `*.test` would be everybody.
    #[must_use]
    pub fn parse(pattern: &str) -> Option<Self> {
        let parent = pattern.strip_prefix("*.");
        let name = parent.unwrap_or(pattern);
        let is_good = is_name(name) && (parent.is_none() || name.contains('.'));
        is_good.then(|| Self { is_wildcard: parent.is_some(), name: name.to_ascii_lowercase() })
    }

    /// Whether the name of a certificate matches; names that are none, wildcards included, never do. Case means
    /// nothing in DNS.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if !is_name(name) {
            return false;
        }
        if !self.is_wildcard {
            return name.eq_ignore_ascii_case(&self.name);
        }
        name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-POP-05, JWT-POP-07
    #[test]
    fn a_wildcard_is_one_label() {
        for (pattern, name, expected) in [
            ("api.corp.test", "api.corp.test", true),
            ("api.corp.test", "API.Corp.test", true),
            ("*.corp.test", "a.corp.test", true),
            ("*.corp.test", "a.b.corp.test", false),
            ("*.corp.test", ".corp.test", false),
            ("*.corp.test", "corp.test", false),
            ("*.corp.test", "*.corp.test", false),
            ("*.corp.test", "a.corp.test.", false),
            ("*.corp.test", "a.corp.test.evil.test", false),
            ("*.corp.test", "acorp.test", false),
            ("*.corp.test", "a\0.corp.test", false),
            ("admin.test", "admin.test\0.evil.test", false),
            ("admin.test", "admin.test\0", false),
            ("admin.test", "", false),
            ("admin.test", "admin.test ", false),
        ] {
            assert_eq!(DnsPattern::parse(pattern).unwrap().matches(name), expected, "{pattern} {name:?}");
        }
        for pattern in
            ["", "*", "*.", "*.test", "a.*.test", "a*.corp.test", "**.corp.test", "corp.test.", "é.test"]
        {
            assert_eq!(DnsPattern::parse(pattern), None, "{pattern}");
        }
    }
}
