//! A provider's keys: a JWK set (RFC 7517 section 5), each key judged alone.

use portcullis_core::json::{self, Limits};
use serde_json::Value;

use crate::header::JoseHeader;
use crate::jwk::{KeyProblem, VerificationKey};
use crate::{Algorithm, Rejection, SharedSecret};

/// Longest JWK set, in bytes. Real ones have a few KiB.
pub const MAX_KEY_SET: usize = 256 * 1024;

/// Most keys in a set, counted before they are judged.
pub const MAX_KEYS: usize = 100;

/// Most signatures that are verified for a token without `kid`: an attacker chooses how many keys may fit.
const MAX_TRIES: usize = 2;

/// Members that only a private key has (RFC 7518 sections 6.2.2 and 6.3.2).
const PRIVATE: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

/// Why a whole document is not a usable JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More than [`MAX_KEY_SET`] bytes.
    #[error("JWK set is larger than {} KiB", MAX_KEY_SET / 1024)]
    TooLarge,
    /// Not JSON with an array `keys`.
    #[error("not a JWK set")]
    Malformed,
    /// More than [`MAX_KEYS`] keys.
    #[error("JWK set has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// `keys` is empty.
    #[error("JWK set is empty")]
    Empty,
    /// No key can verify anything; the problem of the first one.
    #[error("JWK set has no usable key, the first is: {0}")]
    NoUsableKey(KeyProblem),
}

/// The usable keys of one issuer. There is no table of keys over issuers (RFC 8725 section 3.8).
#[derive(Clone, Debug, PartialEq)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    skipped: Vec<(usize, KeyProblem)>,
    private_keys: usize,
}

impl KeySet {
    /// Reads a JWK set. A key that is unknown, weak or broken is left out and the others are kept, since providers
    /// publish keys for other purposes too.
    ///
    /// # Errors
    /// [`KeySetError`] when no key would be left or the document is out of bounds.
    pub fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        if document.len() > MAX_KEY_SET {
            return Err(KeySetError::TooLarge);
        }
        let value = json::parse(document, Limits::default()).map_err(|_| KeySetError::Malformed)?;
        Self::from_value(&value, allowed)
    }

    /// The same from JSON that is parsed already, as in a configuration.
    ///
    /// # Errors
    /// As [`KeySet::parse`].
    pub fn from_value(set: &Value, allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let jwks = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let judged = jwks.iter().map(|jwk| VerificationKey::from_jwk(jwk, allowed)).collect();
        let (keys, skipped) = without_duplicates(judged);
        if keys.is_empty() {
            return Err(skipped
                .first()
                .map_or(KeySetError::Empty, |(_, problem)| KeySetError::NoUsableKey(*problem)));
        }
        let is_private = |jwk: &&Value| PRIVATE.iter().any(|name| jwk.get(name).is_some());
        Ok(Self { keys, skipped, private_keys: jwks.iter().filter(is_private).count() })
    }

    /// A set of secrets.
    ///
    /// # Errors
    /// [`KeySetError::Empty`], [`KeySetError::TooManyKeys`], or [`KeyProblem::Duplicate`] for two with the same `kid` and
    /// algorithm.
    pub fn from_secrets(secrets: Vec<SharedSecret>) -> Result<Self, KeySetError> {
        if secrets.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let judged = secrets.into_iter().map(|secret| Ok(VerificationKey::from_secret(secret))).collect();
        let (keys, duplicates) = without_duplicates(judged);
        if !duplicates.is_empty() {
            return Err(KeySetError::NoUsableKey(KeyProblem::Duplicate));
        }
        if keys.is_empty() {
            Err(KeySetError::Empty)
        } else {
            Ok(Self { keys, skipped: vec![], private_keys: 0 })
        }
    }

    /// The usable keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }

    /// The keys that are not used: index in the set, and why. For the operator's log.
    #[must_use]
    pub fn skipped(&self) -> &[(usize, KeyProblem)] {
        &self.skipped
    }

    /// How many keys were published with their private part: the provider must replace them.
    #[must_use]
    pub const fn private_keys(&self) -> usize {
        self.private_keys
    }

    /// The keys to try for a token: the one that has its `kid` and algorithm, or without `kid` all of its algorithm.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] when there is none, or there are more than two to try.
    pub fn candidates(
        &self,
        header: &JoseHeader,
    ) -> Result<impl Iterator<Item = &VerificationKey>, Rejection> {
        let fits = move |key: &&VerificationKey| {
            let named = header.key_id.as_deref().is_none_or(|id| key.key_id() == Some(id));
            named && key.algorithm() == header.algorithm
        };
        match self.keys.iter().filter(fits).count() {
            1..=MAX_TRIES => Ok(self.keys.iter().filter(fits)),
            _ => Err(Rejection::UnknownKey),
        }
    }
}

/// Leaves out every key whose id and algorithm another one has too: which of them is meant can't be known, and the
/// first may be the attacker's. Also what is left out, by its place in the set.
fn without_duplicates(
    judged: Vec<Result<VerificationKey, KeyProblem>>,
) -> (Vec<VerificationKey>, Vec<(usize, KeyProblem)>) {
    let name = |key: &VerificationKey| (key.key_id().map(str::to_owned), key.algorithm());
    let names: Vec<_> = judged.iter().flatten().map(name).collect();
    let mut unique = Vec::new();
    let mut skipped = Vec::new();
    for (index, judged) in judged.into_iter().enumerate() {
        match judged {
            Ok(key) => {
                let own = name(&key);
                if own.0.is_some() && names.iter().filter(|other| **other == own).count() > 1 {
                    skipped.push((index, KeyProblem::Duplicate));
                } else {
                    unique.push(key);
                }
            }
            Err(problem) => skipped.push((index, problem)),
        }
    }
    (unique, skipped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::{E1, R1, R2};

    fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::from_value(&json!({ "keys": keys }), &Algorithm::USUAL)
    }

    fn named(key: &crate::testing::SigningKey, id: &str) -> Value {
        let mut jwk = key.public_jwk();
        jwk["kid"] = json!(id);
        jwk
    }

    fn candidates(set: &KeySet, algorithm: Algorithm, key_id: Option<&str>) -> Result<usize, Rejection> {
        let header = JoseHeader {
            algorithm,
            key_id: key_id.map(str::to_owned),
            media_type: None,
            has_key_members: false,
        };
        set.candidates(&header).map(Iterator::count)
    }

    // covers: JWT-ALG-30
    #[test]
    fn one_bad_key_does_not_spoil_the_set() {
        let mut numeric_id = R2.public_jwk();
        numeric_id["kid"] = json!(7);
        let odd = [
            json!({"kty": "AKP"}),
            json!(5),
            json!(null),
            json!({"kty": "OKP", "crv": "X25519"}),
            numeric_id,
        ];
        let set = set(&[&odd[..], &[R1.public_jwk()]].concat()).unwrap();
        assert_eq!(set.keys().len(), 1);
        assert_eq!(set.skipped().iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(candidates(&set, Algorithm::Rs256, Some("r1")), Ok(1));
    }

    // covers: JWT-ALG-27
    #[test]
    fn keys_of_the_same_name_are_dropped_together() {
        let set = set(&[named(&R1, "k"), named(&R2, "k"), named(&E1, "k")]).unwrap();
        assert_eq!(set.skipped(), [(0, KeyProblem::Duplicate), (1, KeyProblem::Duplicate)]);
        assert_eq!(candidates(&set, Algorithm::Rs256, Some("k")), Err(Rejection::UnknownKey));
        assert_eq!(candidates(&set, Algorithm::Es256, Some("k")), Ok(1), "another algorithm is another name");
    }

    // covers: JWT-ALG-24, JWT-ALG-26
    #[test]
    fn a_key_is_found_by_its_exact_id_and_algorithm() {
        let set = set(&[R1.public_jwk(), R2.public_jwk(), E1.public_jwk()]).unwrap();
        for (name, algorithm, key_id, expected) in [
            ("id and algorithm", Algorithm::Rs256, Some("r1"), Ok(1)),
            ("no id, one key", Algorithm::Es256, None, Ok(1)),
            ("no id, two keys", Algorithm::Rs256, None, Ok(2)),
            ("id of the other algorithm", Algorithm::Es256, Some("r1"), Err(Rejection::UnknownKey)),
            ("other case", Algorithm::Rs256, Some("R1"), Err(Rejection::UnknownKey)),
            ("trailing space", Algorithm::Rs256, Some("r1 "), Err(Rejection::UnknownKey)),
            ("trailing NUL", Algorithm::Rs256, Some("r1\0"), Err(Rejection::UnknownKey)),
            ("a path", Algorithm::Rs256, Some("../../../../dev/null"), Err(Rejection::UnknownKey)),
            ("SQL", Algorithm::Rs256, Some("r1' OR '1'='1"), Err(Rejection::UnknownKey)),
            ("empty", Algorithm::Rs256, Some(""), Err(Rejection::UnknownKey)),
        ] {
            assert_eq!(candidates(&set, algorithm, key_id), expected, "{name}");
        }
        let without_ids: Vec<Value> = (0..3)
            .map(|_| {
                let mut jwk = R1.public_jwk();
                jwk.as_object_mut().unwrap().remove("kid");
                jwk
            })
            .collect();
        let set = self::set(&without_ids).unwrap();
        assert_eq!(candidates(&set, Algorithm::Rs256, None), Err(Rejection::UnknownKey), "three to try");
        assert_eq!(
            candidates(&set, Algorithm::Rs256, Some("r1")),
            Err(Rejection::UnknownKey),
            "keys without id"
        );
    }

    #[test]
    fn what_is_no_usable_set_is_refused() {
        let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
        let many = json!({"keys": vec![R1.public_jwk(); MAX_KEYS + 1]}).to_string();
        for (name, document, expected) in [
            ("empty", "", KeySetError::Malformed),
            ("HTML", "<html>", KeySetError::Malformed),
            ("truncated", r#"{"keys":[{"#, KeySetError::Malformed),
            ("no keys", "{}", KeySetError::Malformed),
            ("keys is an object", r#"{"keys":{}}"#, KeySetError::Malformed),
            ("two members keys", r#"{"keys":[],"keys":[]}"#, KeySetError::Malformed),
            ("no key", r#"{"keys":[]}"#, KeySetError::Empty),
            ("symmetric only", &symmetric, KeySetError::NoUsableKey(KeyProblem::Symmetric)),
            ("too many", &many, KeySetError::TooManyKeys),
            ("too large", &" ".repeat(MAX_KEY_SET + 1), KeySetError::TooLarge),
        ] {
            assert_eq!(KeySet::parse(document.as_bytes(), &Algorithm::USUAL), Err(expected), "{name}");
        }
    }

    #[test]
    fn a_published_private_key_is_counted() {
        assert_eq!(set(&[R1.private_jwk(), E1.public_jwk()]).unwrap().private_keys(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_an_error(document in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeySet::parse(&document, &Algorithm::USUAL);
        }

        #[test]
        fn any_member_values_are_a_key_or_an_error(n in "[A-Za-z0-9_-]{0,400}", e in "[A-Za-z0-9_-]{0,8}", ec in any::<bool>()) {
            let jwk = if ec {
                json!({"kty": "EC", "crv": "P-256", "x": n, "y": e})
            } else {
                json!({"kty": "RSA", "n": n, "e": e})
            };
            let _ = set(&[jwk]);
        }
    }
}
