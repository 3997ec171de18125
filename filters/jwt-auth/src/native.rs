//! Signatures verified by the proxy itself, by Envoy's foreign function `verify_signature`: about 20 times as fast as
//! in wasm.
//!
//! The argument is a protobuf message (1: name of the hash, 2: DER SubjectPublicKeyInfo, 3: signature, 4: signed bytes),
//! and so is the answer (1: whether it is valid).

use portcullis_jose::{Algorithm, PublicKey, SignatureVerifier, SoftwareVerifier, base64url, der};
use serde_json::Value;

/// The function's name.
pub const FUNCTION: &str = "verify_signature";

/// The one answer that means yes: field 1, true. Everything else means no.
const VALID: [u8; 2] = [0x08, 0x01];

/// A verifier that asks `call`, which gives the answer of [`FUNCTION`] to an argument, none if it failed.
#[derive(Clone, Copy, Debug)]
pub struct NativeVerifier<F> {
    call: F,
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> NativeVerifier<F> {
    /// By this function.
    pub const fn new(call: F) -> Self {
        Self { call }
    }

    /// Whether the function is there and tells valid signatures from invalid ones, for both key types. A proxy may
    /// lack it, and one that says yes to everything must not be believed.
    #[must_use]
    pub fn works(&self) -> bool {
        let vectors: Value = serde_json::from_str(include_str!("native_vectors.json")).unwrap_or_default();
        let vectors = vectors.as_array().map(Vec::as_slice).unwrap_or_default();
        vectors.len() == Algorithm::ALL.len()
            && vectors.iter().all(|vector| self.knows(vector).unwrap_or(false))
    }

    fn knows(&self, vector: &Value) -> Option<bool> {
        let key = PublicKey::from_jwk(vector.get("jwk")?, &Algorithm::ALL).ok()?;
        let message = vector.get("message")?.as_str()?.as_bytes();
        let good = base64url::decode(vector.get("signature")?.as_str()?.as_bytes())?;
        let mut bad = good.clone();
        *bad.last_mut()? ^= 1;
        Some(
            self.ask(&key, message, &good)?
                && !self.ask(&key, message, &bad)?
                && !self.ask(&key, b"", &good)?,
        )
    }

    /// What the proxy says of a signature; none if the call failed, which is no answer.
    fn ask(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Option<bool> {
        let encoded;
        let signature = match key.algorithm() {
            Algorithm::Rs256 => signature,
            Algorithm::Es256 => {
                encoded = der::ecdsa_signature(signature);
                &encoded
            }
        };
        let fields = [&b"sha256"[..], key.spki(), signature, message];
        let len = fields.iter().map(|field| field.len().saturating_add(6)).fold(0, usize::saturating_add);
        let mut argument = Vec::with_capacity(len);
        for (number, field) in (1_u8..).zip(fields) {
            push_field(&mut argument, number, field);
        }
        Some((self.call)(&argument)? == VALID)
    }
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> SignatureVerifier for NativeVerifier<F> {
    fn is_valid(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        // A proxy that fails has not judged the signature; wasm can, at its own speed.
        self.ask(key, message, signature)
            .unwrap_or_else(|| SoftwareVerifier.is_valid(key, message, signature))
    }
}

/// A length-delimited field: its tag (number, wire type 2), its length as a varint, its bytes.
fn push_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push((number << 3) | 2);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len.to_le_bytes().first().copied().unwrap_or_default() | 0x80);
        len >>= 7;
    }
    out.push(len.to_le_bytes().first().copied().unwrap_or_default());
    out.extend_from_slice(bytes);
}

/// What the function does, by a verifier in software; for tests.
#[cfg(test)]
pub mod tests {
    use portcullis_jose::testing::{E1, OTHER, R1, SigningKey, verify_signature};
    use proptest::prelude::*;

    use super::*;

    /// Envoy's `verify_signature`, which knows the keys of the tests and of the vectors.
    pub fn function(argument: &[u8]) -> Vec<u8> {
        let vectors: Value = serde_json::from_str(include_str!("native_vectors.json")).unwrap();
        let tested = [&R1, &E1, &OTHER].map(|key| key.public_jwk());
        let jwks: Vec<_> = tested
            .into_iter()
            .chain(vectors.as_array().unwrap().iter().map(|vector| vector["jwk"].clone()))
            .collect();
        verify_signature::answer(argument, &jwks).expect("the message of Envoy")
    }

    fn public(key: &SigningKey) -> PublicKey {
        PublicKey::from_jwk(&key.public_jwk(), &Algorithm::ALL).unwrap()
    }

    fn native() -> NativeVerifier<impl Fn(&[u8]) -> Option<Vec<u8>>> {
        NativeVerifier::new(|argument| Some(function(argument)))
    }

    #[test]
    fn only_a_function_that_tells_right_from_wrong_is_used() {
        assert!(native().works());
        for (name, answer) in [
            ("not there", None),
            ("says yes to all", Some(&VALID[..])),
            ("says no to all", Some(&[])),
            ("says false to all", Some(&[8, 0])),
            ("says yes and more", Some(&[8, 1, 0x12, 0])),
        ] {
            assert!(!NativeVerifier::new(|_| answer.map(<[u8]>::to_vec)).works(), "{name}");
        }
    }

    // covers: HOST-CALL-07
    #[test]
    fn every_unexpected_answer_refuses() {
        let signature = R1.signature(b"message");
        for answer in [&[][..], &[8], &[8, 0], &[8, 1, 0], &[8, 2], b"true"] {
            let verifier = NativeVerifier::new(|_| Some(answer.to_vec()));
            assert!(!verifier.is_valid(&public(&R1), b"message", &signature), "{answer:?}");
        }
    }

    #[test]
    fn a_signature_that_the_proxy_failed_to_judge_is_judged_in_wasm() {
        let verifier = NativeVerifier::new(|_| None);
        for key in [&R1, &E1] {
            assert!(verifier.is_valid(&public(key), b"message", &key.signature(b"message")));
            assert!(!verifier.is_valid(&public(key), b"other", &key.signature(b"message")));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn both_verifiers_agree(
            message in proptest::collection::vec(any::<u8>(), 0..300),
            change in proptest::option::of((any::<prop::sample::Index>(), 1_u8..)),
            which in 0_usize..3,
        ) {
            let signer: &SigningKey = [&*R1, &*E1, &*OTHER][which];
            let key = public(if which == 2 { &R1 } else { signer });
            let mut signature = signer.signature(&message);
            if let Some((at, bits)) = change {
                let at = at.index(signature.len());
                signature[at] ^= bits;
            }
            let expected = change.is_none() && which != 2;
            prop_assert_eq!(SoftwareVerifier.is_valid(&key, &message, &signature), expected);
            prop_assert_eq!(native().is_valid(&key, &message, &signature), expected);
        }
    }
}
