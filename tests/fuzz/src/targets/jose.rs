//! Tokens and key sets.

use std::sync::LazyLock;

use portcullis_core::UnixTime;
use portcullis_jose::testing::{E1, OTHER, R1, jwks as set_of};
use portcullis_jose::{
    Algorithm, KeySet, SoftwareVerifier, TokenPolicy, UnverifiedToken, base64url, compact::Compact,
};
use serde_json::Value;

use super::NOW;

static KEYS: LazyLock<Option<KeySet>> =
    LazyLock::new(|| KeySet::from_value(&set_of(&[&R1, &E1]), &Algorithm::USUAL).ok());

/// A token of the issuer that the targets trust, valid for the whole run.
pub(super) static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let (issuer, audience) = ("https://issuer.test/", "api://orders");
    E1.token(
        &serde_json::json!({"iss": issuer, "aud": audience, "sub": "alice", "exp": NOW.saturating_add(600)}),
    )
});

/// The same of somebody who has no key of the issuer.
pub(super) static FORGED: LazyLock<String> = LazyLock::new(|| {
    let (issuer, audience) = ("https://issuer.test/", "api://orders");
    OTHER.token(
        &serde_json::json!({"iss": issuer, "aud": audience, "sub": "root", "exp": NOW.saturating_add(600)}),
    )
});

/// A token that parses has three parts, each the only spelling of its bytes, and JSON objects in front. Nothing is
/// verified but the token that the key has signed: no input can forge one.
pub(super) fn jwt(data: &[u8]) {
    let Ok(token) = UnverifiedToken::parse(data) else {
        return;
    };
    let parts: Vec<&[u8]> = data.split(|byte| *byte == b'.').collect();
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let decoded = base64url::decode(part);
        assert_eq!(decoded.map(|bytes| base64url::encode(&bytes)).as_deref().map(str::as_bytes), Some(*part));
    }
    for part in parts.iter().take(2) {
        let text = base64url::decode(part).unwrap_or_default();
        assert!(matches!(serde_json::from_slice(&text), Ok(Value::Object(_))));
    }
    assert!(
        Compact::split(data).is_ok_and(|split| [split.signing_input, split.signature].join(&b'.') == data)
    );
    let issuer = token.issuer().unwrap_or_default().to_owned();
    let policy = TokenPolicy::new(&issuer, &["api://orders"], &Algorithm::USUAL);
    let Ok(checked) = token.check(&policy, UnixTime::from_secs(NOW)) else {
        return;
    };
    let Some(keys) = KEYS.as_ref() else {
        return;
    };
    if let Ok(verified) = checked.verify(keys, &SoftwareVerifier) {
        assert_eq!(verified.claims().get("iss").and_then(Value::as_str), Some(issuer.as_str()));
        // Anything else would be a forged signature. The signature of ES256 can be mirrored, so only what is signed
        // is compared.
        let signed = |token: &[u8]| Compact::split(token).map(|parts| parts.signing_input.to_vec());
        assert_eq!(signed(data), signed(TOKEN.as_bytes()), "only the seed is signed");
    }
}

/// Keys of a set are of an allowed algorithm, distinguishable, and every entry is either used or said to be skipped.
pub(super) fn jwks(data: &[u8]) {
    let set = match KeySet::parse(data, &[Algorithm::Rs256, Algorithm::Es256]) {
        Ok(set) => set,
        Err(error) => return super::assert_one_line(&error.to_string()),
    };
    let value: Value = serde_json::from_slice(data).unwrap_or_default();
    let listed = value.get("keys").and_then(Value::as_array).map(Vec::len);
    assert_eq!(set.keys().len().checked_add(set.skipped().len()), listed);
    assert!(!set.keys().is_empty());
    let name = |index: usize| set.keys().get(index).map(|key| (key.key_id(), key.algorithm()));
    for (index, key) in set.keys().iter().enumerate() {
        // Keys without a `kid` are all tried; those with one must not be confused.
        let named = key.key_id().is_some();
        assert!(!named || (0..index).all(|other| name(other) != name(index)), "two keys of one name");
        assert!(!key.spki().is_empty() && key.signature_len() >= 64);
    }
    let es256 = KeySet::parse(data, &[Algorithm::Es256]);
    assert!(
        es256.is_ok_and(|set| set.keys().iter().all(|key| key.algorithm() == Algorithm::Es256))
            || set.keys().iter().all(|key| key.algorithm() != Algorithm::Es256)
    );
}
