//! Project Wycheproof's JOSE vectors. `PORTCULLIS_CORPORA` names the folder that holds `jose/jws.jsonl` and
//! `jose/signatures.jsonl`; without it these tests say that they were skipped.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::string_slice,
    reason = "a test that reads its environment and reports"
)]

use std::collections::BTreeMap;

use portcullis_jose::compact::Compact;
use portcullis_jose::header::JoseHeader;
use portcullis_jose::{
    Algorithm, KeySet, SharedSecret, SignatureVerifier, SoftwareVerifier, VerificationKey, base64url,
};
use serde_json::{Value, json};

fn cases(file: &str) -> Option<Vec<Value>> {
    let Ok(folder) = std::env::var("PORTCULLIS_CORPORA") else {
        eprintln!("skipped {file}: PORTCULLIS_CORPORA is not set");
        return None;
    };
    let path = std::path::Path::new(&folder).join("jose").join(file);
    let text = std::fs::read_to_string(&path).expect("readable corpus");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect())
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// The keys of a case, as a provider's configuration would have them: a set or a public key goes through [`KeySet`], a
/// secret is one of the configuration. None when there is no usable key.
fn keys(case: &Value) -> Option<KeySet> {
    let key = &case["key"];
    if case["key_is_set"] == json!(true) {
        return KeySet::from_value(key, &Algorithm::ALL).ok();
    }
    if key["kty"] == "oct" {
        secret(key)
    } else {
        KeySet::from_value(&json!({"keys": [key]}), &Algorithm::ALL).ok()
    }
}

/// A secret that its owner configured: one for another use or without algorithm is not.
fn secret(jwk: &Value) -> Option<KeySet> {
    let is_for = |name: &str, wanted: &[Value]| jwk.get(name).is_none_or(|value| wanted.contains(value));
    if !is_for("use", &[json!("sig")]) || !is_for("key_ops", &[json!(["verify"]), json!(["sign", "verify"])])
    {
        return None;
    }
    let key_id = jwk["kid"].as_str().map(str::to_owned);
    let algorithm = Algorithm::from_name(text(jwk, "alg"))?;
    let secret = SharedSecret::new(key_id, algorithm, text(jwk, "k")).ok()?;
    KeySet::from_secrets(vec![secret]).ok()
}

/// A signed text by the same steps as a token, but for its claims: the vectors sign texts that are no JSON.
fn accepts(keys: &KeySet, jws: &str) -> bool {
    let Ok(parts) = Compact::split(jws.as_bytes()) else { return false };
    let decode = |part| base64url::decode(part);
    let Some(Ok(Value::Object(members))) = decode(parts.header)
        .map(|text| portcullis_core::json::parse(&text, portcullis_core::json::Limits::default()))
    else {
        return false;
    };
    let (Some(_), Some(signature)) = (decode(parts.payload), decode(parts.signature)) else { return false };
    let Ok(header) = JoseHeader::from_members(members) else { return false };
    let Ok(mut candidates) = keys.candidates(&header) else { return false };
    candidates.any(|key| {
        signature.len() == key.signature_len()
            && SoftwareVerifier.is_valid(key, parts.signing_input, &signature)
    })
}

/// Why a valid case is refused: what this verifier leaves out on purpose.
fn refused_on_purpose(case: &Value) -> Option<&'static str> {
    if text(case, "serialization") == "json" {
        return Some("JSON serialization");
    }
    if case["disputed"] == json!(true) {
        return Some("disputed by the corpus itself");
    }
    let keys =
        if case["key_is_set"] == json!(true) { case["key"]["keys"].clone() } else { json!([case["key"]]) };
    let header = text(case, "jws").split('.').next().and_then(|part| base64url::decode(part.as_bytes()));
    let header: Value = header.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    if Algorithm::from_name(text(&header, "alg")).is_none() {
        return Some("algorithm that is not supported");
    }
    if text(case, "jws").contains("..") {
        return Some("empty payload");
    }
    if keys.as_array()?.iter().any(|key| key["kty"] == "oct") && case["key_is_set"] == json!(true) {
        return Some("secret in a key set");
    }
    if header.get("kid").is_some() && keys.as_array()?.iter().all(|key| key.get("kid").is_none()) {
        return Some("kid in the token, none at the key");
    }
    None
}

/// Cases of each kind; `docs/jose-vectors.md` explains them, and names the same numbers.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn count(&mut self, kind: impl Into<String>) {
        *self.0.entry(kind.into()).or_default() += 1;
    }

    /// Every line of the table must be in the document: a number that changed wants an explanation.
    fn must_be_documented(&self, file: &str) {
        let document = include_str!("../../../docs/jose-vectors.md");
        for (kind, number) in &self.0 {
            eprintln!("{file}: {number:5} {kind}");
            let line = format!("| `{file}` | {kind} | {number} |");
            assert!(document.contains(&line), "docs/jose-vectors.md lacks the line {line}");
        }
    }
}

// covers: JWT-CPU-08
#[test]
fn no_invalid_token_is_accepted() {
    let Some(cases) = cases("jws.jsonl") else { return };
    let mut tally = Tally::default();
    for case in &cases {
        let jws = case["jws"].as_str().map_or_else(|| case["jws"].to_string(), str::to_owned);
        let result = keys(case).is_some_and(|keys| accepts(&keys, &jws));
        match (text(case, "result"), result) {
            ("invalid", true) => panic!("accepted: {}: {}", text(case, "id"), text(case, "comment")),
            ("valid", false) => {
                let reason = refused_on_purpose(case);
                tally.count(format!(
                    "valid, refused: {}",
                    reason.unwrap_or_else(|| panic!("refused: {case}"))
                ));
            }
            (kind, true) => tally.count(format!("{kind}, accepted")),
            (kind, false) => tally.count(format!("{kind}, refused")),
        }
    }
    tally.must_be_documented("jws.jsonl");
}

// covers: JWT-CPU-08
#[test]
fn no_invalid_signature_is_accepted() {
    let Some(cases) = cases("signatures.jsonl") else { return };
    let mut tally = Tally::default();
    for case in &cases {
        let kind = text(case, "result");
        let Some(algorithm) = Algorithm::from_name(text(case, "alg")) else {
            tally.count(format!("{kind}, refused: algorithm that is not supported"));
            continue;
        };
        let Some(key) = key_for(&case["jwk"], algorithm) else {
            let flags = case["flags"].to_string();
            let is_weak = flags.contains("SmallPublicKey") || flags.contains("KeyBelowJwaMinimum");
            assert!(is_weak || kind != "valid", "{case}");
            tally.count(format!("{kind}, refused: weak key"));
            continue;
        };
        let (message, signature) = (hex(text(case, "msg_hex")), hex(text(case, "sig_hex")));
        let result =
            signature.len() == key.signature_len() && SoftwareVerifier.is_valid(&key, &message, &signature);
        match (kind, result) {
            ("valid", false) => panic!("refused: {}: {}", text(case, "id"), text(case, "comment")),
            ("invalid", true) => panic!("accepted: {}: {}", text(case, "id"), text(case, "comment")),
            (kind, true) => tally.count(format!("{kind}, accepted")),
            (kind, false) => tally.count(format!("{kind}, refused")),
        }
    }
    tally.must_be_documented("signatures.jsonl");
}

fn key_for(jwk: &Value, algorithm: Algorithm) -> Option<VerificationKey> {
    if jwk["kty"] == "oct" {
        return SharedSecret::new(None, algorithm, text(jwk, "k")).map(VerificationKey::from_secret).ok();
    }
    VerificationKey::from_jwk(jwk, &[algorithm]).ok()
}
