//! Tokens that their issuer took back, by `jti` (RFC 7519 section 4.1.7): in the configuration, and in a list to fetch.
//!
//! By `jti`, never by the token's bytes: an ECDSA signature has a second valid form. A list belongs to one provider, so
//! that issuers do not revoke each other's tokens.

use std::collections::BTreeSet;

use portcullis_core::json::{self, Limits};
use portcullis_core::{ConfigError, Identity, UnixTime};
use portcullis_host::Host;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::RevocationConfig;
use crate::fetched::{Document, Fetched, Wanted};
use crate::meters::Meters;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::schedule::Need;

/// Most tokens of a list: about 2.5 MB in each worker.
pub const MAX_REVOKED: usize = 100_000;

/// Longest list, in bytes: ids of 60 characters each. The text is in shared data once more.
pub const MAX_LIST: usize = 8 * 1024 * 1024;

/// Half of the SHA-256 of a `jti`: as short as collisions allow, and equally long for all.
type Id = [u8; 16];

/// A list of revoked tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    ids: BTreeSet<Id>,
}

impl RevocationList {
    fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        // One after the other: collecting would bring 20 KiB of code for sorting.
        list.ids.extend(ids.map(id));
        list
    }

    fn contains(&self, id: &Id) -> bool {
        self.ids.contains(id)
    }
}

fn id(jti: &str) -> Id {
    let hash: [u8; 32] = Sha256::digest(jti).into();
    hash.first_chunk().copied().unwrap_or_default()
}

impl Document for RevocationList {
    type Rules = ();

    const NOUN: &'static str = "revocation list";
    const METRIC: &'static str = "revoked";
    const ACCEPT: &'static str = "application/json";

    fn parse(document: &[u8], (): &()) -> Result<Self, String> {
        let limits = Limits { depth: 2, values: MAX_REVOKED.saturating_add(16) };
        let list = json::parse(document, limits).map_err(|_| "not a revocation list")?;
        let revoked = list.get("revoked").and_then(Value::as_array).ok_or("a list without `revoked`")?;
        if revoked.len() > MAX_REVOKED || !revoked.iter().all(Value::is_string) {
            return Err(format!("`revoked` is not a list of up to {MAX_REVOKED} texts"));
        }
        Ok(Self::new(revoked.iter().filter_map(Value::as_str)))
    }

    fn variant((): &()) -> String {
        String::new()
    }

    fn size(&self) -> usize {
        self.ids.len()
    }

    fn report(&self, _: &str, _: &Meters, _: &dyn Host) {}
}

/// What a provider's configuration says of it.
#[derive(Clone, Debug)]
pub struct RevocationPolicy {
    inline: RevocationList,
    remote: Option<Remote>,
}

impl TryFrom<RevocationConfig> for RevocationPolicy {
    type Error = ConfigError;

    fn try_from(config: RevocationConfig) -> Result<Self, ConfigError> {
        if config.inline.len() > MAX_REVOKED {
            return Err(ConfigError::new("inline", format!("expected at most {MAX_REVOKED} ids")));
        }
        if config.inline.is_empty() && config.remote.is_none() {
            return Err(ConfigError::new("", "expected `inline` or `remote`, found neither"));
        }
        let remote = config.remote.map(Remote::try_from).transpose();
        Ok(Self {
            inline: RevocationList::new(config.inline.iter().map(String::as_str)),
            remote: remote.map_err(|error| error.under("remote"))?,
        })
    }
}

/// The revoked tokens of one provider on one worker.
pub struct Revocations {
    inline: RevocationList,
    /// The list that is fetched, if any.
    pub fetched: Option<Fetched<RevocationList>>,
}

impl Revocations {
    /// For a provider.
    #[must_use]
    pub fn new(name: &str, policy: &RevocationPolicy) -> Self {
        let remote = policy.remote.clone();
        Self {
            inline: policy.inline.clone(),
            fetched: remote.map(|remote| Fetched::remote(name, (), remote)),
        }
    }

    /// Judges a verified token; for every request, also of a token that is remembered.
    ///
    /// # Errors
    /// [`Refusal::Revoked`]; [`Refusal::NotRevocable`] without a `jti`; [`Refusal::RevocationUnavailable`] when there is no
    /// list that may still be used: a token that was taken back must not come back because the list did not.
    pub fn check(&self, identity: &Identity, host: &dyn Host, now: UnixTime) -> Result<(), Refusal> {
        let jti = identity.claims.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty());
        let id = id(jti.ok_or(Refusal::NotRevocable)?);
        if self.inline.contains(&id) {
            return Err(Refusal::Revoked);
        }
        let Some(fetched) = &self.fetched else {
            return Ok(());
        };
        let list = fetched.current(now).or_else(|| match fetched.want(Need::Refresh, host, now) {
            Wanted::Changed => fetched.current(now),
            Wanted::Pending | Wanted::NotNow { .. } => None,
        });
        match list {
            Some((list, _)) if list.contains(&id) => Err(Refusal::Revoked),
            Some(_) => Ok(()),
            None => Err(Refusal::RevocationUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: JWT-CPU-05
    #[test]
    fn lists_are_read_strictly_and_within_bounds() {
        for (name, text, expected) in [
            ("ids", r#"{"revoked": ["a", "b", "a"]}"#.to_owned(), Ok(2)),
            ("none", r#"{"revoked": []}"#.to_owned(), Ok(0)),
            ("other members", r#"{"revoked": ["a"], "issued": 1}"#.to_owned(), Ok(1)),
            ("twice", r#"{"revoked": [], "revoked": ["a"]}"#.to_owned(), Err(())),
            ("a number", r#"{"revoked": [1]}"#.to_owned(), Err(())),
            ("no list", r#"{"revoked": "a"}"#.to_owned(), Err(())),
            ("another document", "{}".to_owned(), Err(())),
            ("not JSON", "<html>".to_owned(), Err(())),
            ("the longest", json!({"revoked": numbers(MAX_REVOKED)}).to_string(), Ok(MAX_REVOKED)),
            ("longer", json!({"revoked": numbers(MAX_REVOKED + 1)}).to_string(), Err(())),
        ] {
            let list = RevocationList::parse(text.as_bytes(), &());
            assert_eq!(list.map(|list| list.size()).map_err(|_| ()), expected, "{name}");
        }
        let list = RevocationList::new(["a", "b"].into_iter());
        assert!(list.contains(&id("a")) && !list.contains(&id("A")) && !list.contains(&id("")));
    }

    fn numbers(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number}")).collect()
    }
}
