use portcullis_host::fake::FakeHost;
use portcullis_jose::dpop::ProofRejection;
use portcullis_jose::testing::{E1, E2, SigningKey, ath};
use portcullis_jose::{SoftwareVerifier, base64url};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
const TOKEN: &[u8] = b"an.access.token";

/// A proof for POST https://api.test/orders, with some claims replaced.
fn proof(key: &SigningKey, changes: &Value) -> String {
    let mut claims =
        json!({"jti": "p1", "htm": "POST", "htu": "https://api.test/orders", "iat": NOW, "ath": ath(TOKEN)});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.proof(&claims)
}

fn request(fields: &[(&str, &str)]) -> Request {
    let pseudo =
        [(":method", "POST"), (":scheme", "https"), (":authority", "api.test"), (":path", "/orders?page=2")];
    Request::new(pseudo.into_iter().chain(fields.iter().copied()).collect(), true)
}

fn binding(config: &Value) -> Binding {
    let config = portcullis_core::config::load(config.to_string().as_bytes()).unwrap();
    Binding::new(config, |_| None).unwrap()
}

fn judge(
    binding: &Binding,
    host: &FakeHost,
    claims: &Value,
    scheme: Scheme,
    request: &Request,
) -> Result<(), BindingRefusal> {
    let presented = Presented { scheme, token: TOKEN, request };
    binding.judge(claims.as_object().unwrap(), &presented, host, UnixTime::from_secs(NOW), &SoftwareVerifier)
}

// covers: JWT-POP-03, JWT-POP-11
#[test]
fn a_token_comes_with_the_scheme_of_its_binding() {
    let strict = binding(&json!({"dpop": {}}));
    let without_dpop = binding(&json!({}));
    let lax = binding(&json!({"honor_cnf": false, "dpop": {}}));
    let (bound, unbound) = (json!({"cnf": {"jkt": E1.jkt()}}), json!({}));
    let by_certificate = json!({"cnf": {"x5t#S256": E1.jkt()}});
    let proven = request(&[("dpop", &proof(&E1, &json!({})))]);
    for (name, binding, claims, scheme, expected) in [
        ("unbound as Bearer", &strict, &unbound, Scheme::Bearer, Ok(())),
        ("bound as DPoP", &strict, &bound, Scheme::Dpop, Ok(())),
        ("bound as Bearer", &strict, &bound, Scheme::Bearer, Err(BindingRefusal::SchemeMismatch)),
        ("unbound as DPoP", &strict, &unbound, Scheme::Dpop, Err(BindingRefusal::NotBound)),
        ("by default as Bearer", &without_dpop, &bound, Scheme::Bearer, Err(BindingRefusal::SchemeMismatch)),
        ("by default as DPoP", &without_dpop, &bound, Scheme::Dpop, Err(BindingRefusal::ProofsNotAccepted)),
        (
            "to a certificate",
            &without_dpop,
            &by_certificate,
            Scheme::Bearer,
            Err(BindingRefusal::CertificateMissing),
        ),
        ("bound as Bearer where cnf is not honored", &lax, &bound, Scheme::Bearer, Ok(())),
        ("unbound as DPoP there", &lax, &unbound, Scheme::Dpop, Err(BindingRefusal::NotBound)),
    ] {
        assert_eq!(judge(binding, &FakeHost::at(NOW), claims, scheme, &proven), expected, "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn the_proof_is_one_by_the_tokens_key_for_this_request() {
    let binding = binding(&json!({"dpop": {}}));
    let claims = json!({"cnf": {"jkt": E1.jkt()}});
    let good = proof(&E1, &json!({}));
    let other_key = proof(&E2, &json!({}));
    let other_path = proof(&E1, &json!({"htu": "https://api.test/admin"}));
    let with_query = proof(&E1, &json!({"htu": "https://api.test/orders?page=2"}));
    let uri = Err(BindingRefusal::Proof(ProofRejection::UriMismatch));
    for (name, fields, expected) in [
        ("one proof", &[("dpop", good.as_str())][..], Ok(())),
        ("none", &[], Err(BindingRefusal::ProofMissing)),
        ("two fields", &[("dpop", &good), ("dpop", &good)], Err(BindingRefusal::MultipleProofs)),
        ("an empty field", &[("dpop", "")], Err(BindingRefusal::Proof(ProofRejection::Malformed))),
        ("by another key", &[("dpop", &other_key)], Err(BindingRefusal::KeyMismatch)),
        ("for another path", &[("dpop", &other_path)], uri),
        ("with the query", &[("dpop", &with_query)], uri),
    ] {
        let found = judge(&binding, &FakeHost::at(NOW), &claims, Scheme::Dpop, &request(fields));
        assert_eq!(found, expected, "{name}");
        let error = found.err().map(BindingRefusal::client_error);
        assert!(error.is_none_or(|error| error == ClientError::InvalidDpopProof), "{name}");
    }
}

// covers: JWT-POP-12
#[test]
fn a_proof_serves_once_whichever_worker_it_reaches() {
    let host = FakeHost::at(NOW);
    let workers = [binding(&json!({"dpop": {}})), binding(&json!({"dpop": {}}))];
    let claims = json!({"cnf": {"jkt": E1.jkt()}});
    let proven = request(&[("dpop", &proof(&E1, &json!({})))]);
    // A proof that is refused for another reason is not used up.
    let refused = judge(&workers[0], &host, &json!({"cnf": {"jkt": E2.jkt()}}), Scheme::Dpop, &proven);
    assert_eq!(refused, Err(BindingRefusal::KeyMismatch));
    assert_eq!(judge(&workers[0], &host, &claims, Scheme::Dpop, &proven), Ok(()));
    for worker in &workers {
        assert_eq!(judge(worker, &host, &claims, Scheme::Dpop, &proven), Err(BindingRefusal::Replayed));
    }
}

// covers: JWT-POP-10
#[test]
fn behind_tls_the_client_sees_another_origin() {
    let claims = json!({"cnf": {"jkt": E1.jkt()}});
    for (name, origins, authority, expected) in [
        ("what the proxy sees", json!([]), "api.test", false),
        ("the only origin", json!(["https://api.test"]), "internal:8080", true),
        ("the origin of the authority", json!(["https://other.test", "https://api.test"]), "API.test", true),
        ("with its port", json!(["https://other.test", "https://api.test"]), "api.test:443", true),
        ("an unknown authority", json!(["https://other.test", "https://api.test"]), "internal", false),
        ("the other origin", json!(["https://other.test", "https://api.test"]), "other.test", false),
    ] {
        let binding = binding(&json!({"dpop": {"external_origins": origins}}));
        let proof = proof(&E1, &json!({}));
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", authority),
            (":path", "/orders"),
            ("dpop", &proof),
        ];
        let request = Request::new(fields.into_iter().collect(), true);
        let found = judge(&binding, &FakeHost::at(NOW), &claims, Scheme::Dpop, &request);
        let uri = Err(BindingRefusal::Proof(ProofRejection::UriMismatch));
        assert_eq!(found, if expected { Ok(()) } else { uri }, "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn a_client_is_given_the_nonce_that_it_needs() {
    let host = FakeHost::at(NOW);
    let binding = binding(&json!({"dpop": {"nonce": {}}}));
    let claims = json!({"cnf": {"jkt": E1.jkt()}});
    let without = request(&[("dpop", &proof(&E1, &json!({})))]);
    let refusal = judge(&binding, &host, &claims, Scheme::Dpop, &without).unwrap_err();
    assert_eq!(refusal, BindingRefusal::Proof(ProofRejection::NonceInvalid));
    assert_eq!(refusal.client_error(), ClientError::UseDpopNonce);
    let nonce = binding.dpop().unwrap().nonce(&host, UnixTime::from_secs(NOW)).unwrap();
    let with = request(&[("dpop", &proof(&E1, &json!({ "nonce": nonce })))]);
    assert_eq!(judge(&binding, &host, &claims, Scheme::Dpop, &with), Ok(()));
}

// covers: JWT-POP-01, JWT-POP-02
#[test]
fn a_certificate_is_the_connections_own() {
    let binding = binding(&json!({}));
    let digest = base64url::encode(&[0xab; 32]);
    let claims = json!({"cnf": {"x5t#S256": digest}});
    let (own, other) = ("ab".repeat(32), "cd".repeat(32));
    let forged = format!("Hash={own}");
    for (name, mtls, property, expected) in [
        ("the certificate", 1, Some(&own), Ok(())),
        ("another certificate", 1, Some(&other), Err(BindingRefusal::CertificateMismatch)),
        ("no certificate, but a field that says so", 0, None, Err(BindingRefusal::CertificateMissing)),
    ] {
        let host = FakeHost::at(NOW);
        host.set("connection.mtls", [mtls]);
        if let Some(property) = property {
            host.set("connection.sha256_peer_certificate_digest", property.as_str());
        }
        let request = request(&[("x-forwarded-client-cert", &forged)]);
        assert_eq!(judge(&binding, &host, &claims, Scheme::Bearer, &request), expected, "{name}");
    }
}

// covers: JWT-POP-10
#[test]
fn a_proxy_that_fails_lets_no_proof_through() {
    let claims = json!({"cnf": {"jkt": E1.jkt()}});
    let proven = request(&[("dpop", &proof(&E1, &json!({})))]);
    for call in ["proxy_get_shared_data", "proxy_set_shared_data", "random_get"] {
        let host = FakeHost::at(NOW);
        host.fail(call, 10);
        let found = judge(&binding(&json!({"dpop": {}})), &host, &claims, Scheme::Dpop, &proven);
        assert_eq!(found, Err(BindingRefusal::Unavailable), "{call}");
    }
}
