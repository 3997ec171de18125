//! DPoP proofs (RFC 9449): a client shows that it has the key which its access token is bound to.
//!
//! The only place where a key from a header is used. It proves nothing by itself: whoever calls compares its
//! thumbprint with the token's `cnf.jkt`, and remembers `jti` so that a proof serves once.

use portcullis_core::control::has_control;
use portcullis_core::{UnixTime, constant_time};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::compact::Compact;
use crate::header::JoseHeader;
use crate::target_uri::{self, Origin};
use crate::token::object;
use crate::verifier::SignatureVerifier;
use crate::{Algorithm, VerificationKey, base64url, claims, thumbprint};

/// Longest proof, in bytes: one with an RSA key of 4096 bits and a URI of 1 KiB fits.
pub const MAX_PROOF: usize = 4 * 1024;

/// Longest `jti`, in bytes. RFC 9449 section 11.1 wants its length bounded; clients use UUIDs.
pub const MAX_JTI: usize = 256;

/// Members of a private or symmetric key (RFC 7518 sections 6.2.2, 6.3.2, 6.4; RFC 8037 section 2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a proof is refused. It holds nothing of the proof; clients learn `invalid_dpop_proof` or `use_dpop_nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProofRejection {
    /// Not a compact JWS with JSON objects, too long, or a header member that changes its meaning.
    #[error("proof is not a well-formed signed JWT")]
    Malformed,
    /// `typ` is not `dpop+jwt`.
    #[error("proof is of another type")]
    WrongType,
    /// `alg` is not configured.
    #[error("signature algorithm of the proof is not allowed")]
    AlgorithmNotAllowed,
    /// `jwk` is missing, holds private members, or is no key that could be trusted with this algorithm.
    #[error("key of the proof is not acceptable")]
    KeyInvalid,
    /// The signature does not verify with the proof's key.
    #[error("signature of the proof is invalid")]
    SignatureInvalid,
    /// `jti` is missing, empty, too long, or has control characters.
    #[error("identifier of the proof is invalid")]
    JtiInvalid,
    /// `htm` is not the method of the request.
    #[error("proof is for another method")]
    MethodMismatch,
    /// `htu` is not the URI of the request.
    #[error("proof is for another URI")]
    UriMismatch,
    /// `iat` is missing or not a date.
    #[error("date of the proof is invalid")]
    DateInvalid,
    /// `iat` is too long ago.
    #[error("proof is too old")]
    Expired,
    /// `iat` is in the future.
    #[error("proof is not valid yet")]
    NotYetValid,
    /// `ath` is not the hash of the access token.
    #[error("proof is for another access token")]
    TokenMismatch,
    /// A nonce is required, and there is none or it is not a current one of ours.
    #[error("proof has no current nonce")]
    NonceInvalid,
}

/// What proofs must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofPolicy {
    /// The only algorithms that are accepted. Symmetric ones never are, as `jwk` is a public key.
    pub algorithms: Vec<Algorithm>,
    /// Longest time since `iat`, in seconds.
    pub max_age: u64,
    /// How far `iat` may be in the future, in seconds.
    pub leeway: u64,
}

/// The request that a proof must be for.
#[derive(Clone, Copy)]
pub struct ProvenRequest<'a> {
    /// Its method, as it is sent.
    pub method: &'a str,
    /// Scheme and authority as the client sees them.
    pub origin: &'a Origin,
    /// Its path, without query.
    pub path: &'a str,
    /// The access token that came with it.
    pub access_token: &'a [u8],
    /// Whether a nonce is a current one of ours; none if proofs need no nonce.
    pub is_current_nonce: Option<&'a dyn Fn(&str) -> bool>,
}

/// A proof that was verified for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProof {
    /// SHA-256 thumbprint of its key (RFC 7638).
    pub thumbprint: [u8; 32],
    /// Its identifier, unique for its key.
    pub jti: String,
    /// The first second in which it is not accepted any more, since the epoch: so long it must be remembered.
    pub accepted_until: u64,
}

/// Verifies the value of a `dpop` field by RFC 9449 section 4.3. That there is one such field, that the thumbprint is
/// the token's, and that the proof is used for the first time, is left to the caller. At most one signature
/// verification, and only for a proof whose claims are acceptable.
///
/// # Errors
/// The first [`ProofRejection`] found.
pub fn verify(
    proof: &[u8],
    policy: &ProofPolicy,
    request: &ProvenRequest<'_>,
    now: UnixTime,
    verifier: &dyn SignatureVerifier,
) -> Result<VerifiedProof, ProofRejection> {
    if proof.len() > MAX_PROOF {
        return Err(ProofRejection::Malformed);
    }
    let malformed = |_| ProofRejection::Malformed;
    let parts = Compact::split(proof).map_err(malformed)?;
    let decode = |part| base64url::decode(part).ok_or(ProofRejection::Malformed);
    let (header, payload, signature) =
        (decode(parts.header)?, decode(parts.payload)?, decode(parts.signature)?);
    let mut header = object(&header).map_err(malformed)?;
    let claims = object(&payload).map_err(malformed)?;
    let jwk = header.remove("jwk");
    let header = JoseHeader::from_members(header).map_err(|rejection| match rejection {
        crate::Rejection::AlgorithmNotAllowed => ProofRejection::AlgorithmNotAllowed,
        _ => ProofRejection::Malformed,
    })?;
    if !header.media_type.as_deref().is_some_and(is_proof_type) {
        return Err(ProofRejection::WrongType);
    }
    if !policy.algorithms.contains(&header.algorithm) {
        return Err(ProofRejection::AlgorithmNotAllowed);
    }
    let (jti, accepted_until) = check_claims(&claims, policy, request, now)?;
    let (key, thumbprint) =
        jwk.and_then(|jwk| public_key(&jwk, header.algorithm)).ok_or(ProofRejection::KeyInvalid)?;
    if signature.len() != key.signature_len() || !verifier.is_valid(&key, parts.signing_input, &signature) {
        return Err(ProofRejection::SignatureInvalid);
    }
    // Behind the signature: only a client that has a key is told to come again with a nonce.
    if let Some(is_current) = request.is_current_nonce {
        let nonce = claims.get("nonce").and_then(Value::as_str);
        if !nonce.is_some_and(is_current) {
            return Err(ProofRejection::NonceInvalid);
        }
    }
    Ok(VerifiedProof { thumbprint, jti: jti.to_owned(), accepted_until })
}

/// A media type without `application/` (RFC 7515 section 4.1.9), whose case means nothing (RFC 2045 section 5.1).
fn is_proof_type(media_type: &str) -> bool {
    media_type.eq_ignore_ascii_case("dpop+jwt") || media_type.eq_ignore_ascii_case("application/dpop+jwt")
}

/// RFC 9449 section 4.3 rule 7: a private key in a header is a key that is no longer private.
fn public_key(jwk: &Value, algorithm: Algorithm) -> Option<(VerificationKey, [u8; 32])> {
    let members = jwk.as_object()?;
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    let key = VerificationKey::from_jwk(jwk, &[algorithm]).ok()?;
    Some((key, thumbprint::sha256(members)?))
}

/// The claims but the nonce; `jti` and when the proof stops to be accepted.
fn check_claims<'a>(
    claims: &'a Map<String, Value>,
    policy: &ProofPolicy,
    request: &ProvenRequest<'_>,
    now: UnixTime,
) -> Result<(&'a str, u64), ProofRejection> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let jti = text("jti").filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI);
    let jti = jti.filter(|jti| !has_control(jti)).ok_or(ProofRejection::JtiInvalid)?;
    if text("htm") != Some(request.method) {
        return Err(ProofRejection::MethodMismatch);
    }
    if !text("htu").is_some_and(|htu| target_uri::matches(htu, request.origin, request.path)) {
        return Err(ProofRejection::UriMismatch);
    }
    let issued_at =
        claims.get("iat").and_then(|date| claims::seconds(date).ok()).ok_or(ProofRejection::DateInvalid)?;
    let accepted_until = issued_at.saturating_add(policy.max_age).saturating_add(1);
    if now.as_secs() >= accepted_until {
        return Err(ProofRejection::Expired);
    }
    if issued_at > now.as_secs().saturating_add(policy.leeway) {
        return Err(ProofRejection::NotYetValid);
    }
    let hash = base64url::encode(&Sha256::digest(request.access_token));
    if !text("ath").is_some_and(|found| constant_time::equal(found.as_bytes(), hash.as_bytes())) {
        return Err(ProofRejection::TokenMismatch);
    }
    Ok((jti, accepted_until))
}

#[cfg(test)]
mod tests;
