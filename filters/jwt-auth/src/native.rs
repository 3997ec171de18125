//! Signatures verified by the proxy itself, by Envoy's foreign function `verify_signature`: about 20 times as fast as
//! in wasm.
//!
//! The argument is a protobuf message (1: name of the hash, 2: DER SubjectPublicKeyInfo, 3: signature, 4: signed bytes),
//! and so is the answer (1: whether it is valid).

use portcullis_core::json::{self, Limits};
use portcullis_core::protobuf::Message;
use portcullis_jose::algorithm::{Hash, KeyType};
use portcullis_jose::{Algorithm, SignatureVerifier, SoftwareVerifier, VerificationKey, base64url, der};
use serde_json::Value;

/// The function's name.
pub const FUNCTION: &str = "verify_signature";

/// The one answer that means yes: field 1, true. Everything else means no.
const VALID: [u8; 2] = [0x08, 0x01];

/// The algorithms that the proxy verifies rightly, as bits in the order of the vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Supported(u8);

/// What Envoy's function can do: there is no PSS, no Ed25519 and no HMAC. In the order of the vectors.
const NATIVE: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Es384];

impl Supported {
    /// Whether it verifies this one.
    #[must_use]
    pub fn contains(self, algorithm: Algorithm) -> bool {
        NATIVE.iter().zip(bits()).any(|(native, bit)| *native == algorithm && self.0 & bit != 0)
    }

    /// Whether it is of no use.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bits() -> impl Iterator<Item = u8> {
    (0_u32..8).map(|place| 1_u8.wrapping_shl(place))
}

/// A verifier that asks `call`, which gives the answer of [`FUNCTION`] to an argument, none if it failed.
#[derive(Clone, Copy, Debug)]
pub struct NativeVerifier<F> {
    call: F,
    supported: Supported,
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> NativeVerifier<F> {
    /// By this function, for what it was found to support.
    pub const fn new(call: F, supported: Supported) -> Self {
        Self { call, supported }
    }

    /// The algorithms for which the function is there and tells valid signatures from invalid ones. A proxy may lack it,
    /// and one that says yes to everything must not be believed.
    #[must_use]
    pub fn probe(call: F) -> Supported {
        let vectors =
            json::parse(include_bytes!("native_vectors.json"), Limits::default()).unwrap_or_default();
        let verifier = Self::new(call, Supported::default());
        let mut supported = 0;
        for ((algorithm, vector), bit) in
            NATIVE.iter().zip(vectors.as_array().into_iter().flatten()).zip(bits())
        {
            if verifier.knows(*algorithm, vector).unwrap_or(false) {
                supported |= bit;
            }
        }
        Supported(supported)
    }

    fn knows(&self, algorithm: Algorithm, vector: &Value) -> Option<bool> {
        let key = VerificationKey::from_jwk(vector.get("jwk")?, &[algorithm]).ok()?;
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
    fn ask(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> Option<bool> {
        let encoded;
        let signature = match key.algorithm().key_type() {
            KeyType::P256 | KeyType::P384 => {
                encoded = der::ecdsa_signature(signature);
                &encoded
            }
            KeyType::Rsa | KeyType::Ed25519 | KeyType::Symmetric => signature,
        };
        let hash: &[u8] = match key.algorithm().hash() {
            Hash::Sha256 => b"sha256",
            Hash::Sha384 => b"sha384",
            Hash::Sha512 => b"sha512",
        };
        let fields = [hash, key.spki(), signature, message];
        let len = fields.iter().map(|field| field.len().saturating_add(6)).fold(0, usize::saturating_add);
        let empty = Message::with_capacity(len);
        let argument = (1..).zip(fields).fold(empty, |message, (number, field)| message.bytes(number, field));
        Some((self.call)(argument.as_ref())? == VALID)
    }
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> SignatureVerifier for NativeVerifier<F> {
    fn is_valid(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool {
        // In DER a number has one length whatever it had here: the proxy would take r and s with more zeros before them.
        if signature.len() != key.signature_len() {
            return false;
        }
        let native = self.supported.contains(key.algorithm());
        // A proxy that fails has not judged the signature; wasm can, at its own speed.
        let asked = if native { self.ask(key, message, signature) } else { None };
        asked.unwrap_or_else(|| SoftwareVerifier.is_valid(key, message, signature))
    }
}

/// What the function does, by a verifier in software; for tests.
#[cfg(test)]
pub mod tests {
    use portcullis_jose::testing::{E1, E384, ED1, OTHER, R1, SigningKey, verify_signature};
    use proptest::prelude::*;

    use super::*;

    /// Envoy's `verify_signature`, which knows the keys of the tests and of the vectors.
    pub fn function(argument: &[u8]) -> Vec<u8> {
        let vectors: Value = serde_json::from_str(include_str!("native_vectors.json")).unwrap();
        let tested = [&R1, &E1, &OTHER, &E384].map(|key| key.public_jwk());
        let jwks: Vec<_> = tested
            .into_iter()
            .chain(vectors.as_array().unwrap().iter().map(|vector| vector["jwk"].clone()))
            .collect();
        verify_signature::answer(argument, &jwks).expect("the message of Envoy")
    }

    fn public(key: &SigningKey) -> VerificationKey {
        VerificationKey::from_jwk(&key.public_jwk(), &Algorithm::ALL).unwrap()
    }

    const ALL: Supported = Supported(0b1_1111);

    fn native() -> NativeVerifier<impl Fn(&[u8]) -> Option<Vec<u8>>> {
        NativeVerifier::new(|argument| Some(function(argument)), ALL)
    }

    #[test]
    fn only_a_function_that_tells_right_from_wrong_is_used() {
        assert_eq!(NativeVerifier::probe(|argument| Some(function(argument))), ALL);
        for (name, answer) in [
            ("not there", None),
            ("says yes to all", Some(&VALID[..])),
            ("says no to all", Some(&[])),
            ("says false to all", Some(&[8, 0])),
            ("says yes and more", Some(&[8, 1, 0x12, 0])),
        ] {
            assert!(NativeVerifier::probe(|_| answer.map(<[u8]>::to_vec)).is_empty(), "{name}");
        }
        let without_sha384 =
            |argument: &[u8]| (!argument.starts_with(b"\x0a\x06sha384")).then(|| function(argument));
        let supported = NativeVerifier::probe(without_sha384);
        let expected = [true, true, false, true, false];
        assert_eq!(NATIVE.map(|algorithm| supported.contains(algorithm)), expected);
        assert!(!supported.contains(Algorithm::Ps256) && !supported.contains(Algorithm::EdDsa));
    }

    // covers: HOST-CALL-07
    #[test]
    fn every_unexpected_answer_refuses() {
        let signature = R1.signature(b"message");
        for answer in [&[][..], &[8], &[8, 0], &[8, 1, 0], &[8, 2], b"true"] {
            let verifier = NativeVerifier::new(|_| Some(answer.to_vec()), ALL);
            assert!(!verifier.is_valid(&public(&R1), b"message", &signature), "{answer:?}");
        }
    }

    // covers: JWT-ALG-15
    #[test]
    fn zeros_before_r_and_s_are_refused_by_both() {
        for key in [&R1, &E1, &E384] {
            let signature = key.signature(b"message");
            let (r, s) = signature.split_at(signature.len() / 2);
            let padded = [&[0], r, &[0], s].concat();
            for verifier in [&native() as &dyn SignatureVerifier, &SoftwareVerifier] {
                assert!(verifier.is_valid(&public(key), b"message", &signature));
                assert!(!verifier.is_valid(&public(key), b"message", &padded));
            }
        }
    }

    #[test]
    fn a_signature_that_the_proxy_failed_to_judge_is_judged_in_wasm() {
        let verifier = NativeVerifier::new(|_| None, ALL);
        for key in [&R1, &E1] {
            assert!(verifier.is_valid(&public(key), b"message", &key.signature(b"message")));
            assert!(!verifier.is_valid(&public(key), b"other", &key.signature(b"message")));
        }
    }

    #[test]
    fn what_the_proxy_can_not_do_is_done_in_wasm() {
        let verifier = NativeVerifier::new(|_| Some(VALID.to_vec()), ALL);
        for key in [&*ED1, &R1.under(Algorithm::Ps256), &R1.under(Algorithm::Ps512)] {
            assert!(verifier.is_valid(&public(key), b"message", &key.signature(b"message")));
            assert!(!verifier.is_valid(&public(key), b"other", &key.signature(b"message")));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn both_verifiers_agree(
            message in proptest::collection::vec(any::<u8>(), 0..300),
            change in proptest::option::of((any::<prop::sample::Index>(), 1_u8..)),
            which in 0_usize..6,
        ) {
            let (sha384, sha512) = (R1.under(Algorithm::Rs384), R1.under(Algorithm::Rs512));
            let signer: &SigningKey = [&*R1, &*E1, &*OTHER, &sha384, &sha512, &*E384][which];
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
