//! Who does the arithmetic of a signature: this crate in software, or the proxy natively.

use p256::ecdsa::signature::Verifier as _;
use sha2::{Sha256, Sha384, Sha512};

use crate::Algorithm;
use crate::algorithm::Hash;
use crate::jwk::{Material, VerificationKey};

/// Verifies one signature. The form of key and token is checked before; nothing here reads a token.
pub trait SignatureVerifier {
    /// Whether `signature` is `key`'s over `message`, by the key's own algorithm. ECDSA signatures are in the form
    /// of JWS, r and s of full length (RFC 7518 section 3.4). Whatever goes wrong means `false`.
    fn is_valid(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool;
}

/// Pure Rust. About 0.7 ms a signature in wasm; works in every proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftwareVerifier;

impl SignatureVerifier for SoftwareVerifier {
    // Cold, as are the readers of keys: most proxies verify natively, and what is cold is built small.
    #[cold]
    #[inline(never)]
    fn is_valid(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool {
        match key.material() {
            Material::Rsa(rsa) => is_valid_rsa(rsa, key.algorithm(), message, signature),
            Material::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Material::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            // Strict: no key and no R of small order (RFC 8032 section 5.1.7 leaves that open).
            Material::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Material::Secret(secret) => secret.is_valid(message, signature),
        }
    }
}

#[cold]
#[inline(never)]
fn is_valid_rsa(key: &rsa::PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let is_pss = matches!(algorithm, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512);
    let verified = match (is_pss, algorithm.hash()) {
        (false, Hash::Sha256) => key.pkcs1v15_verify::<Sha256>(message, signature),
        (false, Hash::Sha384) => key.pkcs1v15_verify::<Sha384>(message, signature),
        (false, Hash::Sha512) => key.pkcs1v15_verify::<Sha512>(message, signature),
        (true, Hash::Sha256) => key.pss_verify::<Sha256>(message, signature),
        (true, Hash::Sha384) => key.pss_verify::<Sha384>(message, signature),
        (true, Hash::Sha512) => key.pss_verify::<Sha512>(message, signature),
    };
    verified.is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{E1, E384, ED1, R1, R2};
    use crate::{Algorithm, base64url};

    fn public(key: &crate::testing::SigningKey) -> VerificationKey {
        VerificationKey::from_jwk(&key.public_jwk(), &Algorithm::ALL).unwrap()
    }

    #[test]
    fn only_the_key_that_signed_verifies() {
        let rsa = [
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
        ];
        let others = [E1.clone(), E384.clone(), ED1.clone(), ED1.under(Algorithm::Ed25519)];
        for key in rsa.map(|algorithm| R1.under(algorithm)).iter().chain(&others) {
            let signature = key.signature(b"message");
            assert!(SoftwareVerifier.is_valid(&public(key), b"message", &signature), "{key:?}");
            assert!(!SoftwareVerifier.is_valid(&public(key), b"massage", &signature));
            assert!(!SoftwareVerifier.is_valid(&public(&R2), b"message", &signature));
            let other = if key.public_jwk()["alg"] == "RS256" { Algorithm::Rs384 } else { Algorithm::Rs256 };
            assert!(!SoftwareVerifier.is_valid(&public(&R1.under(other)), b"message", &signature));
        }
    }

    // covers: JWT-ALG-18
    #[test]
    fn the_salt_is_as_long_as_the_hash() {
        let key = public(&R1.under(Algorithm::Ps256));
        for (salt, expected) in [(32, true), (0, false), (20, false), (31, false), (64, false)] {
            let signature = R1.pss_signature(b"message", salt);
            assert_eq!(SoftwareVerifier.is_valid(&key, b"message", &signature), expected, "{salt}");
        }
    }

    // covers: JWT-ALG-20
    #[test]
    fn a_signature_of_ed25519_has_one_form() {
        // The order of the group, little endian (RFC 8032 section 5.1).
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut signature = ED1.signature(b"message");
        assert!(SoftwareVerifier.is_valid(&public(&ED1), b"message", &signature));
        let mut carry = 0;
        for (byte, addend) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(addend) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!SoftwareVerifier.is_valid(&public(&ED1), b"message", &signature), "S + L");
    }

    // covers: JWT-ALG-16
    #[test]
    fn both_forms_of_an_ecdsa_signature_verify() {
        // n - s in place of s: so nothing may be remembered of a token by its bytes alone.
        let signature = p256::ecdsa::Signature::from_slice(&E1.signature(b"message")).unwrap();
        let (r, s) = signature.split_scalars();
        let twin = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
        assert_ne!(twin, signature);
        for form in [signature, twin] {
            assert!(SoftwareVerifier.is_valid(&public(&E1), b"message", &form.to_bytes()));
        }
    }

    // covers: JWT-ALG-17
    #[test]
    fn forged_padding_is_refused() {
        let cases: Value = serde_json::from_str(include_str!("pkcs1_forgeries.json")).unwrap();
        for case in cases["signatures"].as_array().unwrap() {
            let signature = base64url::decode(case["signature"].as_str().unwrap().as_bytes()).unwrap();
            let expected = case["name"] == "correct padding";
            assert_eq!(SoftwareVerifier.is_valid(&public(&R1), b"message", &signature), expected, "{case}");
        }
    }
}
