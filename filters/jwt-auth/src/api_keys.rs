//! Keys that programs were given: found by their hash, in a time that tells nothing about those that are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use portcullis_core::{ConfigError, Identity, UnixTime, constant_time};
use portcullis_jose::Rejection;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{ApiKeyConfig, ApiKeysConfig};
use crate::refusal::Refusal;
use crate::source::Accepted;

/// Most keys of a set: about 200 bytes each, in every worker.
const MAX_KEYS: usize = 10_000;

/// Longest key that is looked at, in bytes.
const MAX_LENGTH: usize = 1024;

/// A set of keys. Nothing in it is a key.
#[derive(Debug)]
pub struct ApiKeys {
    seed: [u8; 16],
    keys: BTreeMap<Tag, Key>,
}

/// SHA-256 of a secret seed and a key's hash: where a look-up ends early depends on the seed, not on stored hashes.
type Tag = [u8; 32];

#[derive(Debug)]
struct Key {
    hash: [u8; 32],
    accepted: Rc<Accepted>,
    expires: Option<u64>,
}

impl ApiKeys {
    /// Checks what the operator wrote. The seed has to be secret; `accept` says what an owner's identity comes to.
    ///
    /// # Errors
    /// [`ConfigError`] for a hash that is none, the same id or hash twice, or too many keys.
    pub fn new(
        config: ApiKeysConfig,
        seed: [u8; 16],
        accept: impl Fn(Identity) -> Result<Accepted, Rejection>,
    ) -> Result<Self, ConfigError> {
        if config.keys.is_empty() || config.keys.len() > MAX_KEYS {
            let problem = format!("expected 1 to {MAX_KEYS} keys, found {}", config.keys.len());
            return Err(ConfigError::new("keys", problem));
        }
        let issuer = format!("api-keys:{}", config.name);
        let mut ids = BTreeSet::new();
        let mut keys = BTreeMap::new();
        for (i, key) in config.keys.into_iter().enumerate() {
            let path = |member: &str| format!("keys[{i}].{member}");
            if key.id.is_empty() || !ids.insert(key.id.clone()) {
                let problem = format!("expected a text of its own, found `{}`", key.id);
                return Err(ConfigError::new(path("id"), problem));
            }
            let hash = hash(&key.sha256).ok_or_else(|| {
                ConfigError::new(path("sha256"), "expected the SHA-256 of a key, 64 hexadecimal digits")
            })?;
            let expires = key.expires;
            let accepted = accept(identity(&issuer, key))
                .map_err(|rejection| ConfigError::new(format!("keys[{i}].claims"), rejection.to_string()))?;
            let key = Key { hash, expires, accepted: Rc::new(accepted) };
            if keys.insert(tag(seed, hash), key).is_some() {
                return Err(ConfigError::new(
                    path("sha256"),
                    "expected a hash of its own, found it a second time",
                ));
            }
        }
        Ok(Self { seed, keys })
    }

    /// What a key's owner comes to.
    ///
    /// # Errors
    /// [`Refusal::ApiKeyUnknown`] or [`Refusal::ApiKeyExpired`]; the client can't tell one from the other.
    pub fn judge(&self, key: &[u8], now: UnixTime) -> Result<Rc<Accepted>, Refusal> {
        if key.is_empty() || key.len() > MAX_LENGTH {
            return Err(Refusal::ApiKeyUnknown);
        }
        let hash: [u8; 32] = Sha256::digest(key).into();
        let known = self.keys.get(&tag(self.seed, hash)).ok_or(Refusal::ApiKeyUnknown)?;
        if !constant_time::equal(&known.hash, &hash) {
            return Err(Refusal::ApiKeyUnknown);
        }
        if known.expires.is_some_and(|expires| now.as_secs() > expires) {
            return Err(Refusal::ApiKeyExpired);
        }
        Ok(Rc::clone(&known.accepted))
    }
}

fn tag(seed: [u8; 16], hash: [u8; 32]) -> Tag {
    Sha256::new().chain_update(seed).chain_update(hash).finalize().into()
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let byte = |[high, low]: &[u8; 2]| {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        u8::try_from(digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?).ok()
    };
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn identity(issuer: &str, key: ApiKeyConfig) -> Identity {
    let mut claims = key.claims;
    claims.insert("iss".to_owned(), Value::from(issuer));
    claims.insert("sub".to_owned(), Value::from(key.id.as_str()));
    Identity {
        issuer: issuer.to_owned(),
        subject: key.id,
        client_id: key.client_id,
        scopes: key.scopes,
        roles: key.roles,
        claims,
        ..Identity::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: &str = "pk_1f0c6b1a2d3e4f5061728394a5b6c7d8";
    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn hex(key: &str) -> String {
        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn keys(keys: Value) -> Result<ApiKeys, ConfigError> {
        let config = json!({"name": "partners", "keys": keys});
        ApiKeys::new(serde_json::from_value(config).unwrap(), [7; 16], |identity| {
            Ok(Accepted { identity: Rc::new(identity), validity: None, source: 0, fields: vec![] })
        })
    }

    #[test]
    fn a_key_is_its_owners() {
        let keys = keys(json!([
            {"id": "alice", "sha256": hex(ALICE), "client_id": "c1", "scopes": ["orders:read"], "claims": {"plan": "gold"}},
            {"id": "old", "sha256": hex("old key"), "expires": 1_700_000_000},
            {"id": "older", "sha256": hex("older key").to_uppercase(), "expires": 1_699_999_999}
        ]))
        .unwrap();
        let alice = Rc::clone(&keys.judge(ALICE.as_bytes(), NOW).unwrap().identity);
        assert_eq!((alice.issuer.as_str(), alice.subject.as_str()), ("api-keys:partners", "alice"));
        assert_eq!((alice.client_id.as_str(), alice.claim("plan").as_deref()), ("c1", Some("gold")));
        assert!(keys.judge(b"old key", NOW).is_ok());
        assert_eq!(keys.judge(b"older key", NOW).unwrap_err(), Refusal::ApiKeyExpired);
        let long = "k".repeat(MAX_LENGTH + 1);
        for wrong in [
            "",
            "pk_1f0c6b1a2d3e4f5061728394a5b6c7d9",
            ALICE.trim_start_matches('p'),
            &hex(ALICE),
            " ",
            &long,
        ] {
            assert_eq!(keys.judge(wrong.as_bytes(), NOW).unwrap_err(), Refusal::ApiKeyUnknown, "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (name, list, path) in [
            ("no key", json!([]), "keys"),
            ("no hash", json!([{"id": "a", "sha256": ALICE}]), "keys[0].sha256"),
            ("short hash", json!([{"id": "a", "sha256": hex(ALICE).get(2..)}]), "keys[0].sha256"),
            ("no digits", json!([{"id": "a", "sha256": "zz".repeat(32)}]), "keys[0].sha256"),
            ("no id", json!([{"id": "", "sha256": hex(ALICE)}]), "keys[0].id"),
            (
                "id twice",
                json!([{"id": "a", "sha256": hex("1")}, {"id": "a", "sha256": hex("2")}]),
                "keys[1].id",
            ),
            (
                "key twice",
                json!([{"id": "a", "sha256": hex("1")}, {"id": "b", "sha256": hex("1")}]),
                "keys[1].sha256",
            ),
        ] {
            assert_eq!(keys(list).unwrap_err().path, path, "{name}");
        }
    }

    // covers: JWT-CPU-07
    #[test]
    fn where_a_look_up_ends_depends_on_the_seed() {
        assert_ne!(tag([1; 16], [0; 32]), tag([2; 16], [0; 32]));
        assert_ne!(tag([1; 16], [0; 32]), tag([1; 16], [1; 32]));
    }
}
