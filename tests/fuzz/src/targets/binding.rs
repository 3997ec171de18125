//! Proofs of possession and client certificates.

use portcullis_core::UnixTime;
use portcullis_core::dns_pattern::DnsPattern;
use portcullis_core::spiffe::SpiffeId;
use portcullis_jose::compact::Compact;
use portcullis_jose::dpop::{self, ProofPolicy, ProvenRequest};
use portcullis_jose::target_uri::Origin;
use portcullis_jose::testing::E1;
use portcullis_jose::{Algorithm, SoftwareVerifier, base64url, thumbprint};
use portcullis_jwt_auth::binding::subject_alt_names::SubjectAltNames;
use serde_json::Value;

use super::NOW;

/// A proof that verifies is for this request: what its claims say is compared by another reader, and a proof by the
/// key of the seeds has the claims of a seed, since no input can sign.
pub(super) fn dpop(data: &[u8]) {
    let Some(origin) = Origin::parse("https://api.test") else {
        return;
    };
    let policy = ProofPolicy { algorithms: Algorithm::ALL.to_vec(), max_age: 300, leeway: 60 };
    let request = ProvenRequest {
        method: "POST",
        origin: &origin,
        path: "/orders",
        access_token: b"an.access.token",
        is_current_nonce: None,
    };
    let Ok(proof) = dpop::verify(data, &policy, &request, UnixTime::from_secs(NOW), &SoftwareVerifier) else {
        return;
    };
    let claims = Compact::split(data).ok().and_then(|parts| base64url::decode(parts.payload));
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    assert_eq!(claims.get("htm").and_then(Value::as_str), Some("POST"));
    assert_eq!(claims.get("jti").and_then(Value::as_str), Some(proof.jti.as_str()));
    assert!((1..=dpop::MAX_JTI).contains(&proof.jti.len()));
    assert!((NOW.saturating_add(1)..=NOW.saturating_add(361)).contains(&proof.accepted_until));
    let own = E1.public_jwk();
    if own.as_object().and_then(thumbprint::sha256) == Some(proof.thumbprint) {
        assert_eq!(proof.jti, "seed", "only seeds are signed");
    }
}

/// Names that are read stand in the certificate as they are, and none of them has a byte that ends it early. What is a
/// SPIFFE ID is no DNS name.
pub(super) fn certificate(data: &[u8]) {
    let Some(names) = SubjectAltNames::of(data) else {
        return;
    };
    for name in names.uris.iter().chain(&names.dns_names) {
        assert!(name.is_empty() || data.windows(name.len()).any(|part| part == name.as_bytes()));
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(SpiffeId::parse(name).is_none() || DnsPattern::parse(name).is_none());
    }
}
