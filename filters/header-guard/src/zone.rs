//! Whether a peer is one of the operator's own workloads, by the identity that its certificate proves.

use portcullis_core::ConfigError;
use portcullis_core::spiffe::{SpiffeId, SpiffePattern};

use crate::names::Pattern;

/// What peers of the operator's may say besides what every client may.
#[derive(Debug, Default)]
pub struct Trusted {
    /// Further fields.
    pub keep: Vec<Pattern>,
    /// Proxies in front of Envoy that append to `x-forwarded-for`; none if all of its entries are believed.
    pub hops: Option<usize>,
}

/// Most entries in a list: it is searched from the front for each request.
const MAX_ENTRIES: usize = 256;

/// Identities of trusted workloads.
#[derive(Debug)]
pub struct Identities(Vec<SpiffePattern>);

impl Identities {
    /// Reads a list of SPIFFE IDs and patterns of them.
    ///
    /// # Errors
    /// [`ConfigError`] with the place in the list; an empty list, and one of more than 256.
    pub fn parse(list: &[String]) -> Result<Self, ConfigError> {
        if list.is_empty() || list.len() > MAX_ENTRIES {
            let problem = format!("expected 1 to {MAX_ENTRIES} identities, found {}", list.len());
            return Err(ConfigError::new("", problem));
        }
        let identities = list.iter().enumerate().map(|(index, text)| {
            SpiffePattern::parse(text).ok_or_else(|| {
                let problem =
                    format!("expected a SPIFFE ID as in `spiffe://prod.example/gateway`, found `{text}`");
                ConfigError::new(format!("[{index}]"), problem)
            })
        });
        identities.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the URI in a certificate is one of these.
    #[must_use]
    pub fn contain(&self, uri: &[u8]) -> bool {
        let id = std::str::from_utf8(uri).ok().and_then(SpiffeId::parse);
        id.is_some_and(|id| self.0.iter().any(|pattern| pattern.matches(&id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_spiffe_id_of_the_list() {
        let identities = Identities::parse(&[
            "spiffe://prod.test/ns/edge/sa/*".to_owned(),
            "spiffe://ci.test/x".to_owned(),
        ])
        .unwrap();
        for (uri, expected) in [
            ("spiffe://prod.test/ns/edge/sa/gateway", true),
            ("spiffe://ci.test/x", true),
            ("spiffe://prod.test/ns/edge/sa/a/b", false),
            ("spiffe://prod.test/ns/edge/sa/", false),
            ("spiffe://PROD.test/ns/edge/sa/gateway", false),
            ("spiffe://evil.test/ns/edge/sa/gateway", false),
            ("", false),
        ] {
            assert_eq!(identities.contain(uri.as_bytes()), expected, "{uri}");
        }
        assert!(!identities.contain(b"spiffe://ci.test/\xff"));
        let error = Identities::parse(&["spiffe://ci.test/x".to_owned(), "ci.test".to_owned()]).unwrap_err();
        assert_eq!(error.path, "[1]");
        assert_eq!(Identities::parse(&[]).unwrap_err().problem, "expected 1 to 256 identities, found 0");
    }
}
