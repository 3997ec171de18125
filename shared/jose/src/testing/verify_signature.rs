//! What Envoy's foreign function `verify_signature` does, in software: for hosts that stand in for Envoy.

use serde_json::Value;

use crate::algorithm::{Hash, KeyType};
use crate::{Algorithm, SignatureVerifier as _, SoftwareVerifier, VerificationKey};

/// The answer to `argument`, the protobuf message (1: name of the hash, 2: DER SubjectPublicKeyInfo, 3: signature,
/// 4: signed bytes), by a proxy that knows these keys; none if it is another message.
#[must_use]
pub fn answer(argument: &[u8], jwks: &[Value]) -> Option<Vec<u8>> {
    let mut rest = argument;
    let mut fields = Vec::new();
    while let Some((tag, behind)) = rest.split_first() {
        rest = behind;
        let length = varint(&mut rest)?;
        let (field, behind) = rest.split_at_checked(length)?;
        rest = behind;
        fields.push((*tag, field));
    }
    let [(0x0a, hash), (0x12, spki), (0x1a, signature), (0x22, message)] = fields.as_slice() else {
        return None;
    };
    let of_hash = |algorithm: &Algorithm| match algorithm.hash() {
        Hash::Sha256 => *hash == b"sha256",
        Hash::Sha384 => *hash == b"sha384",
        Hash::Sha512 => *hash == b"sha512",
    };
    let known = [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Es256, Algorithm::Es384];
    let allowed: Vec<_> = known.into_iter().filter(of_hash).collect();
    let without_algorithm = jwks.iter().filter_map(|jwk| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut()?.remove("alg");
        VerificationKey::from_jwk(&jwk, &allowed).ok()
    });
    let Some(key) = { without_algorithm }.find(|key| key.spki() == *spki) else {
        return Some(b"\x12\x0bunknown key".to_vec());
    };
    let raw = match key.algorithm().key_type() {
        KeyType::Rsa => Some(signature.to_vec()),
        _ => undo_der(signature, key.signature_len() / 2),
    };
    let valid = raw.is_some_and(|raw| SoftwareVerifier.is_valid(&key, message, &raw));
    Some(if valid { b"\x08\x01".to_vec() } else { b"\x12\x09not valid".to_vec() })
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The bytes of JWS from the two integers of DER.
fn undo_der(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut rest = signature.strip_prefix(&[0x30, u8::try_from(signature.len().checked_sub(2)?).ok()?])?;
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(*rest.strip_prefix(&[2])?.first()?);
        let (number, behind) = rest.get(2..)?.split_at_checked(length)?;
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        out.extend(std::iter::repeat_n(0, size.checked_sub(digits.len())?).chain(digits.iter().copied()));
        rest = behind;
    }
    rest.is_empty().then_some(out)
}
