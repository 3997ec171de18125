use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::SoftwareVerifier;
use crate::testing::{E1, E2, R1, SigningKey, ath};

const NOW: u64 = 1_800_000_000;
const TOKEN: &[u8] = b"an.access.token";

/// `value` with some members replaced; null takes a member away.
fn with(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            change => value[name] = change.clone(),
        }
    }
    value
}

fn header(key: &SigningKey) -> Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    json!({"typ": "dpop+jwt", "alg": jwk["alg"], "jwk": jwk})
}

fn claims() -> Value {
    json!({"jti": "p1", "htm": "POST", "htu": "https://api.test/orders", "iat": NOW, "ath": ath(TOKEN)})
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    key.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

fn judge_with(proof: &[u8], nonce: Option<&dyn Fn(&str) -> bool>) -> Result<VerifiedProof, ProofRejection> {
    judge_by(&[Algorithm::Es256, Algorithm::Rs256], proof, nonce)
}

fn judge_by(
    algorithms: &[Algorithm],
    proof: &[u8],
    nonce: Option<&dyn Fn(&str) -> bool>,
) -> Result<VerifiedProof, ProofRejection> {
    let policy = ProofPolicy { algorithms: algorithms.to_vec(), max_age: 300, leeway: 60 };
    let request = ProvenRequest {
        method: "POST",
        origin: &Origin::parse("https://api.test").unwrap(),
        path: "/orders",
        access_token: TOKEN,
        is_current_nonce: nonce,
    };
    verify(proof, &policy, &request, UnixTime::from_secs(NOW), &SoftwareVerifier)
}

fn judge(proof: &str) -> Result<(), ProofRejection> {
    judge_with(proof.as_bytes(), None).map(|_| ())
}

#[test]
fn a_proof_gives_its_key_its_name_and_its_end() {
    for key in [&E1, &R1] {
        let proof = sign(key, &header(key), &claims());
        let verified = judge_with(proof.as_bytes(), None).unwrap();
        let thumbprint = thumbprint::sha256(key.public_jwk().as_object().unwrap()).unwrap();
        assert_eq!(verified, VerifiedProof { thumbprint, jti: "p1".into(), accepted_until: NOW + 301 });
    }
}

// covers: JWT-POP-10
#[test]
fn headers_are_those_of_a_proof_with_a_public_key() {
    use ProofRejection::{AlgorithmNotAllowed, KeyInvalid, Malformed, WrongType};
    let private = {
        let mut jwk = header(&E1)["jwk"].clone();
        jwk["d"] = E1.private_jwk()["d"].clone();
        jwk
    };
    let point = with(header(&E1)["jwk"].clone(), &json!({"y": E2.public_jwk()["y"]}));
    for (name, changes, expected) in [
        ("as it is", json!({}), Ok(())),
        ("the whole media type, other case", json!({"typ": "application/DPoP+JWT"}), Ok(())),
        ("a kid is not needed, nor in the way", json!({"kid": "x"}), Ok(())),
        ("an ordinary token", json!({"typ": "JWT"}), Err(WrongType)),
        ("an access token", json!({"typ": "at+jwt"}), Err(WrongType)),
        ("no type", json!({"typ": null}), Err(WrongType)),
        ("a parameter", json!({"typ": "dpop+jwt; v=1"}), Err(WrongType)),
        ("a type that is a number", json!({"typ": 1}), Err(Malformed)),
        ("no signature", json!({"alg": "none"}), Err(AlgorithmNotAllowed)),
        (
            "a symmetric one",
            json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "c2VjcmV0"}}),
            Err(AlgorithmNotAllowed),
        ),
        ("no algorithm", json!({"alg": null}), Err(AlgorithmNotAllowed)),
        ("the algorithm of another key type", json!({"alg": "RS256"}), Err(KeyInvalid)),
        ("no key", json!({"jwk": null}), Err(KeyInvalid)),
        ("a private key", json!({"jwk": private}), Err(KeyInvalid)),
        ("a point that is not on the curve", json!({"jwk": point}), Err(KeyInvalid)),
        ("a secret as key", json!({"jwk": {"kty": "oct", "k": "c2VjcmV0"}}), Err(KeyInvalid)),
        ("a key as text", json!({"jwk": "x"}), Err(KeyInvalid)),
        ("the address of a key", json!({"jwk": null, "jku": "https://evil.test/jwks"}), Err(KeyInvalid)),
        ("a critical extension", json!({"crit": ["x"], "x": 1}), Err(Malformed)),
        ("an unencoded payload", json!({"b64": false}), Err(Malformed)),
        ("compression", json!({"zip": "DEF"}), Err(Malformed)),
    ] {
        assert_eq!(judge(&sign(&E1, &with(header(&E1), &changes), &claims())), expected, "{name}");
    }
    for name in PRIVATE {
        let mut with_private = header(&E1);
        with_private["jwk"][name] = json!("AA");
        assert_eq!(judge(&sign(&E1, &with_private, &claims())), Err(KeyInvalid), "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn claims_are_for_this_request_now() {
    use ProofRejection::{
        DateInvalid, Expired, JtiInvalid, MethodMismatch, NotYetValid, TokenMismatch, UriMismatch,
    };
    let other_hash = ath(b"another.access.token");
    let padded = format!("{}=", claims()["ath"].as_str().unwrap());
    for (name, changes, expected) in [
        ("GET for POST", json!({"htm": "GET"}), Err(MethodMismatch)),
        ("another case of the method", json!({"htm": "post"}), Err(MethodMismatch)),
        ("no method", json!({"htm": null}), Err(MethodMismatch)),
        ("another host", json!({"htu": "https://evil.test/orders"}), Err(UriMismatch)),
        ("another path", json!({"htu": "https://api.test/admin"}), Err(UriMismatch)),
        ("a query", json!({"htu": "https://api.test/orders?a=1"}), Err(UriMismatch)),
        ("no URI", json!({"htu": null}), Err(UriMismatch)),
        ("300 s ago", json!({"iat": NOW - 300}), Ok(())),
        ("301 s ago", json!({"iat": NOW - 301}), Err(Expired)),
        ("in 60 s", json!({"iat": NOW + 60}), Ok(())),
        ("in 61 s", json!({"iat": NOW + 61}), Err(NotYetValid)),
        ("no date", json!({"iat": null}), Err(DateInvalid)),
        ("a date as text", json!({"iat": NOW.to_string()}), Err(DateInvalid)),
        ("milliseconds", json!({"iat": NOW * 1_000}), Err(DateInvalid)),
        ("the longest identifier", json!({"jti": "j".repeat(MAX_JTI)}), Ok(())),
        ("a longer identifier", json!({"jti": "j".repeat(MAX_JTI + 1)}), Err(JtiInvalid)),
        ("no identifier", json!({"jti": null}), Err(JtiInvalid)),
        ("an empty identifier", json!({"jti": ""}), Err(JtiInvalid)),
        ("a number as identifier", json!({"jti": 1}), Err(JtiInvalid)),
        ("a control character", json!({"jti": "a\nb"}), Err(JtiInvalid)),
        ("the hash of another token", json!({"ath": other_hash}), Err(TokenMismatch)),
        ("a padded hash", json!({"ath": padded}), Err(TokenMismatch)),
        ("no hash", json!({"ath": null}), Err(TokenMismatch)),
        ("other claims", json!({"x": 1}), Ok(())),
    ] {
        assert_eq!(judge(&sign(&E1, &header(&E1), &with(claims(), &changes))), expected, "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn form_and_signature_are_strict() {
    let good = sign(&E1, &header(&E1), &claims());
    let forged = sign(&E2, &header(&E1), &claims());
    assert_eq!(judge(&forged), Err(ProofRejection::SignatureInvalid), "another key has signed");
    let twice = claims().to_string().replacen('{', "{\"jti\":\"p0\",", 1);
    let twice = E1.sign_bytes(header(&E1).to_string().as_bytes(), twice.as_bytes());
    let long = sign(&E1, &header(&E1), &with(claims(), &json!({"x": "x".repeat(MAX_PROOF)})));
    for (name, proof) in [
        ("jti twice", twice),
        ("empty", String::new()),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
        ("two proofs as a list", format!("{good}, {good}")),
        ("padded", format!("{good}=")),
        ("longer than the bound", long),
    ] {
        assert_eq!(judge(&proof), Err(ProofRejection::Malformed), "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn a_nonce_is_ours_where_one_is_required() {
    let is_current = |nonce: &str| nonce == "n1";
    for (name, nonce, expected) in [
        ("current", json!("n1"), Ok(())),
        ("another", json!("n2"), Err(ProofRejection::NonceInvalid)),
        ("none", json!(null), Err(ProofRejection::NonceInvalid)),
        ("a number", json!(1), Err(ProofRejection::NonceInvalid)),
    ] {
        let proof = sign(&E1, &header(&E1), &with(claims(), &json!({ "nonce": nonce })));
        assert_eq!(judge_with(proof.as_bytes(), Some(&is_current)).map(|_| ()), expected, "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn a_secret_is_never_the_key_of_a_proof() {
    let changes = json!({"alg": "HS256", "jwk": {"kty": "oct", "k": base64url::encode(&[7; 32])}});
    let proof = sign(&E1, &with(header(&E1), &changes), &claims());
    assert_eq!(judge_by(&Algorithm::ALL, proof.as_bytes(), None), Err(ProofRejection::KeyInvalid));
}

proptest! {
    /// The one freedom of ES256 is to mirror its signature; what was signed can't change.
    #[test]
    fn a_mutated_proof_never_verifies(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = sign(&E1, &header(&E1), &claims());
        let mut proof = good.clone().into_bytes();
        let at = at.index(proof.len());
        prop_assume!(proof[at] != byte);
        proof[at] = byte;
        prop_assert!(judge_with(&proof, None).is_err());
    }

    #[test]
    fn any_bytes_are_refused(proof in "[ -~]{0,200}") {
        prop_assert!(judge(&proof).is_err());
    }
}
