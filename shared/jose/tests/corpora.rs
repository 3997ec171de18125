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
use portcullis_jose::{Algorithm, KeySet, PublicKey, SignatureVerifier, SoftwareVerifier, base64url};
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

/// A signed text by the same steps as a token, but for its claims: the vectors sign texts that are no JSON.
fn accepts(keys: &Value, jws: &str) -> bool {
    let Ok(parts) = Compact::split(jws.as_bytes()) else { return false };
    let decode = |part| base64url::decode(part);
    let Some(Ok(Value::Object(members))) = decode(parts.header)
        .map(|text| portcullis_core::json::parse(&text, portcullis_core::json::Limits::default()))
    else {
        return false;
    };
    let (Some(_), Some(signature)) = (decode(parts.payload), decode(parts.signature)) else { return false };
    let Ok(header) = JoseHeader::from_members(members) else { return false };
    let Ok(keys) = KeySet::from_value(keys, &Algorithm::ALL) else { return false };
    let Ok(mut candidates) = keys.candidates(&header) else { return false };
    candidates.any(|key| {
        signature.len() == key.signature_len()
            && SoftwareVerifier.is_valid(key, parts.signing_input, &signature)
    })
}

/// Why a valid case may be refused: what this verifier leaves out on purpose.
fn refused_on_purpose(case: &Value) -> Option<&'static str> {
    if text(case, "serialization") == "json" {
        return Some("JSON serialization");
    }
    if case["disputed"] == json!(true) {
        return Some("disputed");
    }
    let keys =
        if case["key_is_set"] == json!(true) { case["key"]["keys"].clone() } else { json!([case["key"]]) };
    let header = text(case, "jws").split('.').next().and_then(|part| base64url::decode(part.as_bytes()));
    let header: Value = header.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let algorithm = text(&header, "alg");
    if Algorithm::from_name(algorithm).is_none() {
        return Some("algorithm is not supported");
    }
    if text(case, "jws").contains("..") {
        return Some("empty payload");
    }
    if header.get("kid").is_some() && keys.as_array()?.iter().all(|key| key.get("kid").is_none()) {
        return Some("kid in the token, none in the set");
    }
    None
}

#[test]
fn no_invalid_token_is_accepted() {
    let Some(cases) = cases("jws.jsonl") else { return };
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut accepted = 0;
    for case in &cases {
        let keys = if case["key_is_set"] == json!(true) {
            case["key"].clone()
        } else {
            json!({"keys": [case["key"]]})
        };
        let jws = case["jws"].as_str().map_or_else(|| case["jws"].to_string(), str::to_owned);
        let result = accepts(&keys, &jws);
        match text(case, "result") {
            "invalid" => assert!(!result, "{}: {}", text(case, "id"), text(case, "comment")),
            "valid" if !result => {
                let reason = refused_on_purpose(case);
                *refused.entry(reason.unwrap_or_else(|| panic!("refused: {case}"))).or_default() += 1;
            }
            _ => accepted += usize::from(result),
        }
    }
    assert!(accepted > 0);
    eprintln!("{} cases, {accepted} accepted, valid ones refused on purpose: {refused:?}", cases.len());
}

#[test]
fn no_invalid_signature_is_accepted() {
    let Some(cases) = cases("signatures.jsonl") else { return };
    let (mut valid, mut invalid, mut other, mut weak) = (0, 0, 0, 0);
    for case in &cases {
        let Some(algorithm) = Algorithm::from_name(text(case, "alg")) else {
            other += 1;
            continue;
        };
        let Ok(key) = PublicKey::from_jwk(&case["jwk"], &[algorithm]) else {
            let flags = case["flags"].to_string();
            assert!(flags.contains("SmallPublicKey") || text(case, "result") != "valid", "{case}");
            weak += 1;
            continue;
        };
        let (message, signature) = (hex(text(case, "msg_hex")), hex(text(case, "sig_hex")));
        let result =
            signature.len() == key.signature_len() && SoftwareVerifier.is_valid(&key, &message, &signature);
        match text(case, "result") {
            "valid" => assert!(result, "{}: {}", text(case, "id"), text(case, "comment")),
            "invalid" => assert!(!result, "{}: {}", text(case, "id"), text(case, "comment")),
            _ => {}
        }
        if result { valid += 1 } else { invalid += 1 }
    }
    assert!(valid > 0 && invalid > 0);
    eprintln!(
        "{valid} accepted, {invalid} refused, {weak} of weak keys, {other} of algorithms that are not supported"
    );
}
