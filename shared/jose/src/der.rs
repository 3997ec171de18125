//! The little of DER (ITU-T X.690) that native verifiers want: public keys and ECDSA signatures.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }` (RFC 8017 appendix A.1).
const RSA_ALGORITHM: [u8; 15] =
    [SEQUENCE, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// `SEQUENCE { OBJECT IDENTIFIER id-ecPublicKey, OBJECT IDENTIFIER secp256r1 }` (RFC 5480 section 2.1.1).
const P256_ALGORITHM: [u8; 21] = [
    SEQUENCE, 19, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];

/// `SEQUENCE { OBJECT IDENTIFIER id-ecPublicKey, OBJECT IDENTIFIER secp384r1 }`.
const P384_ALGORITHM: [u8; 18] =
    [SEQUENCE, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 5, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) of an RSA key; both numbers big-endian.
#[must_use]
pub fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = element(SEQUENCE, &[&integer(modulus), &integer(exponent)]);
    element(SEQUENCE, &[&RSA_ALGORITHM, &bit_string(&key)])
}

/// SubjectPublicKeyInfo of a P-256 key; `point` is its uncompressed form, 65 bytes (RFC 5480 section 2.2).
#[must_use]
pub fn p256_public_key(point: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&P256_ALGORITHM, &bit_string(point)])
}

/// SubjectPublicKeyInfo of a P-384 key; `point` is its uncompressed form, 97 bytes.
#[must_use]
pub fn p384_public_key(point: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&P384_ALGORITHM, &bit_string(point)])
}

/// ECDSA-Sig-Value (RFC 3279 section 2.2.3) of a signature in the form of JWS: r and s, each half of the bytes
/// (RFC 7518 section 3.4).
#[must_use]
pub fn ecdsa_signature(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at_checked(signature.len() / 2).unwrap_or_default();
    element(SEQUENCE, &[&integer(r), &integer(s)])
}

fn bit_string(content: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], content])
}

/// An unsigned number: no leading zero bytes, but one where the first bit would make it negative.
fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let digits = big_endian.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, digits])
}

fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let len = content.iter().map(|part| part.len()).fold(0, usize::saturating_add);
    let mut out = Vec::with_capacity(len.saturating_add(4));
    out.push(tag);
    let [.., high, low] = len.to_be_bytes();
    // Longer than 64 KiB does not occur: keys and signatures are bounded.
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    content.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_minimal_and_never_negative() {
        for (name, number, expected) in [
            ("zero", &[0, 0][..], &[2, 1, 0][..]),
            ("nothing", &[], &[2, 1, 0]),
            ("small", &[0, 0, 5], &[2, 1, 5]),
            ("first bit set", &[0x80, 1], &[2, 3, 0, 0x80, 1]),
        ] {
            assert_eq!(integer(number), expected, "{name}");
        }
    }

    #[test]
    fn lengths_have_one_two_or_three_bytes() {
        for (len, start) in [
            (0x7f, &[0x30, 0x7f][..]),
            (0x80, &[0x30, 0x81, 0x80]),
            (0xff, &[0x30, 0x81, 0xff]),
            (0x1234, &[0x30, 0x82, 0x12, 0x34]),
        ] {
            let out = element(SEQUENCE, &[&vec![0; len]]);
            assert_eq!((&out[..start.len()], out.len()), (start, start.len() + len), "{len}");
        }
    }

    #[test]
    fn a_signature_is_two_numbers() {
        let mut signature = [0; 64];
        signature[31] = 1;
        signature[32] = 0xff;
        let der = ecdsa_signature(&signature);
        assert_eq!(der[..6], [0x30, 38, 2, 1, 1, 2]);
        assert_eq!(der[6..9], [33, 0, 0xff]);
    }
}
