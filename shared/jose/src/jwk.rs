//! One key from its JWK (RFC 7517), checked before it can verify anything.

use rsa::BoxedUint;
use serde_json::{Map, Value};

use crate::algorithm::KeyType;
use crate::header::MAX_KEY_ID;
use crate::secret::SharedSecret;
use crate::{Algorithm, base64url, der, roca};

/// RSA moduli from 2048 bits (NIST SP 800-131A) to 4096: a verification's cost grows with the square.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Smallest public exponent that is accepted (NIST FIPS 186-5 section A.1.1).
const MIN_EXPONENT: u32 = 65_537;

/// Bytes of an Ed25519 key (RFC 8032 section 5.1.5).
const ED25519_BYTES: usize = 32;

/// Why a key of a set is not loaded. The messages hold nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Not an object, or a member is missing or has the wrong type or encoding.
    #[error("not a well-formed JWK")]
    Malformed,
    /// `kty` is `oct`: a shared secret has no place in a published set (RFC 8725 section 3.5).
    #[error("symmetric key")]
    Symmetric,
    /// A key type or curve that no supported algorithm uses.
    #[error("unsupported key type or curve")]
    UnsupportedType,
    /// `use` or `key_ops` do not say that the key verifies signatures.
    #[error("key is not for verifying signatures")]
    WrongUse,
    /// `alg` is not configured for the provider, or does not fit the key type.
    #[error("algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// An RSA modulus or exponent out of bounds, a modulus with the ROCA fingerprint, or a point of small order.
    #[error("weak key")]
    Weak,
    /// The point is not on the curve.
    #[error("point is not on the curve")]
    InvalidPoint,
    /// Another key of the set has the same `kid`, type and algorithm: none of them is used.
    #[error("duplicate key id")]
    Duplicate,
}

/// A key that verifies signatures of one algorithm (RFC 8725 section 3.1), ready to use.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    key_id: Option<String>,
    algorithm: Algorithm,
    material: Material,
    /// Of its signatures, in bytes: kept, since to count the bits of a modulus in constant time takes as long as
    /// reading a token.
    signature_len: usize,
    spki: Vec<u8>,
}

/// The parsed key of the software verifier.
#[derive(Clone, Debug)]
pub(crate) enum Material {
    Rsa(Box<rsa::PublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Secret(SharedSecret),
}

impl Material {
    fn signature_len(&self) -> usize {
        match self {
            Self::Rsa(key) => rsa::traits::PublicKeyParts::size(key.as_ref()),
            Self::P256(_) | Self::Ed25519(_) => 64,
            Self::P384(_) => 96,
            Self::Secret(secret) => secret.algorithm().hash().size(),
        }
    }
}

impl VerificationKey {
    /// Reads a JWK. `allowed` are the provider's algorithms: a key without `alg` gets the first of them that fits
    /// its type, so that no key ever serves two. Members that are not needed, private ones included, are ignored.
    ///
    /// # Errors
    /// The first [`KeyProblem`] that is found.
    #[cold]
    pub fn from_jwk(jwk: &Value, allowed: &[Algorithm]) -> Result<Self, KeyProblem> {
        let members = jwk.as_object().ok_or(KeyProblem::Malformed)?;
        let key_type = text(members, "kty")?.ok_or(KeyProblem::Malformed)?;
        if key_type == "oct" {
            return Err(KeyProblem::Symmetric);
        }
        let key_id = text(members, "kid")?;
        if key_id.is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID) {
            return Err(KeyProblem::Malformed);
        }
        check_use(members)?;
        let key_type = public_key_type(key_type, members)?;
        let algorithm = match text(members, "alg")? {
            Some(name) => Algorithm::from_name(name).filter(|algorithm| allowed.contains(algorithm)),
            None => allowed.iter().copied().find(|algorithm| algorithm.key_type() == key_type),
        };
        let algorithm = algorithm
            .filter(|algorithm| algorithm.key_type() == key_type)
            .ok_or(KeyProblem::AlgorithmNotAllowed)?;
        let (material, spki) = match key_type {
            KeyType::Rsa => rsa_key(members)?,
            KeyType::P256 => p256_key(members)?,
            KeyType::P384 => p384_key(members)?,
            KeyType::Ed25519 => ed25519_key(members)?,
            KeyType::Symmetric => return Err(KeyProblem::Symmetric),
        };
        let signature_len = material.signature_len();
        Ok(Self { key_id: key_id.map(str::to_owned), algorithm, material, signature_len, spki })
    }

    /// `kid`, compared byte for byte.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The only algorithm of this key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A secret of the configuration.
    #[must_use]
    pub fn from_secret(secret: SharedSecret) -> Self {
        let (key_id, algorithm) = (secret.key_id().cloned(), secret.algorithm());
        let material = Material::Secret(secret);
        Self { key_id, algorithm, signature_len: material.signature_len(), material, spki: Vec::new() }
    }

    /// DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), for native verifiers; empty for Ed25519 and secrets.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The exact length of its signatures, in bytes (RFC 8017 section 8.2.2 step 1, RFC 7518 section 3.4).
    #[must_use]
    pub const fn signature_len(&self) -> usize {
        self.signature_len
    }

    pub(crate) const fn material(&self) -> &Material {
        &self.material
    }
}

/// The same key under the same name. The DER form of a public key says all of it; secrets are equal to nothing.
impl PartialEq for VerificationKey {
    fn eq(&self, other: &Self) -> bool {
        let is_same = match (&self.material, &other.material) {
            (Material::Secret(_), _) | (_, Material::Secret(_)) => false,
            (Material::Ed25519(own), Material::Ed25519(others)) => own == others,
            _ => self.spki == other.spki,
        };
        is_same && (&self.key_id, self.algorithm) == (&other.key_id, other.algorithm)
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyProblem> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyProblem::Malformed),
    }
}

/// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3): each may be absent, none may say something else.
fn check_use(members: &Map<String, Value>) -> Result<(), KeyProblem> {
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyProblem::WrongUse);
    }
    let operations = match members.get("key_ops") {
        None => return Ok(()),
        Some(Value::Array(operations)) => operations,
        Some(_) => return Err(KeyProblem::Malformed),
    };
    // "Duplicate key operation values MUST NOT be present in the array."
    let count =
        |wanted: &str| operations.iter().filter(|operation| operation.as_str() == Some(wanted)).count();
    let (verify, sign) = (count("verify"), count("sign"));
    if verify != 1 || sign > 1 || verify.saturating_add(sign) != operations.len() {
        return Err(KeyProblem::WrongUse);
    }
    Ok(())
}

fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let text = text(members, name)?.ok_or(KeyProblem::Malformed)?;
    base64url::decode(text.as_bytes()).ok_or(KeyProblem::Malformed)
}

/// RFC 7518 section 6.3.1. Its Base64urlUInt has no leading zero bytes.
#[cold]
#[inline(never)]
fn rsa_key(members: &Map<String, Value>) -> Result<(Material, Vec<u8>), KeyProblem> {
    let modulus = number(members, "n")?;
    let exponent = number(members, "e")?;
    let ([first, ..], [.., last]) = (modulus.as_slice(), modulus.as_slice()) else {
        return Err(KeyProblem::Malformed);
    };
    if *first == 0 || exponent.first().is_none_or(|byte| *byte == 0) {
        return Err(KeyProblem::Malformed);
    }
    // 2048 bits are 256 bytes whose first bit is set.
    let long_enough = modulus.len() > *RSA_BYTES.start() || *first >= 0x80;
    if !RSA_BYTES.contains(&modulus.len()) || !long_enough || last & 1 == 0 {
        return Err(KeyProblem::Weak);
    }
    let value =
        exponent.iter().try_fold(0_u32, |value, byte| Some(value.checked_mul(256)? | u32::from(*byte)));
    let value = value.filter(|value| *value >= MIN_EXPONENT && value & 1 == 1).ok_or(KeyProblem::Weak)?;
    if roca::is_vulnerable(&modulus) {
        return Err(KeyProblem::Weak);
    }
    let key = rsa::PublicKey::new(BoxedUint::from_be_slice_vartime(&modulus), BoxedUint::from(value))
        .map_err(|_| KeyProblem::Weak)?;
    Ok((Material::Rsa(Box::new(key)), der::rsa_public_key(&modulus, &exponent)))
}

/// `kty`, and where it has curves, `crv`.
fn public_key_type(key_type: &str, members: &Map<String, Value>) -> Result<KeyType, KeyProblem> {
    let curve = || text(members, "crv")?.ok_or(KeyProblem::Malformed);
    match key_type {
        "RSA" => Ok(KeyType::Rsa),
        "EC" => match curve()? {
            "P-256" => Ok(KeyType::P256),
            "P-384" => Ok(KeyType::P384),
            _ => Err(KeyProblem::UnsupportedType),
        },
        "OKP" => match curve()? {
            "Ed25519" => Ok(KeyType::Ed25519),
            _ => Err(KeyProblem::UnsupportedType),
        },
        _ => Err(KeyProblem::UnsupportedType),
    }
}

#[cold]
#[inline(never)]
fn p256_key(members: &Map<String, Value>) -> Result<(Material, Vec<u8>), KeyProblem> {
    let point = point(members, 32)?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyProblem::InvalidPoint)?;
    Ok((Material::P256(Box::new(key)), der::p256_public_key(&point)))
}

#[cold]
#[inline(never)]
fn p384_key(members: &Map<String, Value>) -> Result<(Material, Vec<u8>), KeyProblem> {
    let point = point(members, 48)?;
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyProblem::InvalidPoint)?;
    Ok((Material::P384(Box::new(key)), der::p384_public_key(&point)))
}

/// RFC 7518 section 6.2.1. "The length of this octet string MUST be the full size of a coordinate."
fn point(members: &Map<String, Value>, size: usize) -> Result<Vec<u8>, KeyProblem> {
    let (x, y) = (number(members, "x")?, number(members, "y")?);
    if x.len() != size || y.len() != size {
        return Err(KeyProblem::Malformed);
    }
    // SEC 1 section 2.3.3: 4 means that both coordinates follow.
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

/// RFC 8037 section 2. A point of small order would verify signatures that nobody made.
#[cold]
#[inline(never)]
fn ed25519_key(members: &Map<String, Value>) -> Result<(Material, Vec<u8>), KeyProblem> {
    let bytes: [u8; ED25519_BYTES] = number(members, "x")?.try_into().map_err(|_| KeyProblem::Malformed)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyProblem::InvalidPoint)?;
    if key.is_weak() {
        return Err(KeyProblem::Weak);
    }
    Ok((Material::Ed25519(Box::new(key)), Vec::new()))
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "texts of these tests only")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{E1, E384, ED1, R1};

    /// `jwk` with some members replaced; null takes a member away.
    fn with(jwk: &Value, changes: &Value) -> Value {
        let mut jwk = jwk.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
                value => jwk[name] = value.clone(),
            }
        }
        jwk
    }

    fn load(jwk: &Value) -> Result<Algorithm, KeyProblem> {
        VerificationKey::from_jwk(jwk, &Algorithm::ALL).map(|key| key.algorithm())
    }

    /// A number of this many bits that is no RSA modulus in earnest: nothing here depends on its factors.
    fn modulus(bits: usize, last: u8) -> String {
        let mut bytes: Vec<u8> =
            (1..=251).cycle().take(bits.div_ceil(8)).map(|byte: u8| byte.wrapping_mul(37)).collect();
        bytes[0] = if bits.is_multiple_of(8) { 0x80 } else { (1_u8 << (bits % 8)) >> 1 };
        *bytes.last_mut().unwrap() = last;
        base64url::encode(&bytes)
    }

    #[test]
    fn a_key_says_what_it_is_for() {
        let (rsa, ec) = (R1.public_jwk(), E1.public_jwk());
        for (name, jwk, expected) in [
            ("RSA", rsa.clone(), Ok(Algorithm::Rs256)),
            ("EC", ec.clone(), Ok(Algorithm::Es256)),
            ("no alg, no use", with(&rsa, &json!({"alg": null, "use": null})), Ok(Algorithm::Rs256)),
            ("key_ops verify", with(&rsa, &json!({"key_ops": ["verify"]})), Ok(Algorithm::Rs256)),
            (
                "key_ops sign and verify",
                with(&ec, &json!({"key_ops": ["sign", "verify"]})),
                Ok(Algorithm::Es256),
            ),
            ("use enc", with(&rsa, &json!({"use": "enc"})), Err(KeyProblem::WrongUse)),
            ("key_ops encrypt", with(&rsa, &json!({"key_ops": ["encrypt"]})), Err(KeyProblem::WrongUse)),
            ("key_ops sign", with(&rsa, &json!({"key_ops": ["sign"]})), Err(KeyProblem::WrongUse)),
            (
                "key_ops twice",
                with(&rsa, &json!({"key_ops": ["verify", "verify"]})),
                Err(KeyProblem::WrongUse),
            ),
            ("key_ops empty", with(&rsa, &json!({"key_ops": []})), Err(KeyProblem::WrongUse)),
            (
                "key_ops and encrypt",
                with(&rsa, &json!({"key_ops": ["verify", "encrypt"]})),
                Err(KeyProblem::WrongUse),
            ),
            ("key_ops text", with(&rsa, &json!({"key_ops": "verify"})), Err(KeyProblem::Malformed)),
            ("numeric use", with(&rsa, &json!({"use": 1})), Err(KeyProblem::Malformed)),
            ("another alg", with(&rsa, &json!({"alg": "RS1"})), Err(KeyProblem::AlgorithmNotAllowed)),
            (
                "alg of another type",
                with(&rsa, &json!({"alg": "ES256"})),
                Err(KeyProblem::AlgorithmNotAllowed),
            ),
            ("numeric kid", with(&rsa, &json!({"kid": 1})), Err(KeyProblem::Malformed)),
            ("empty kid", with(&rsa, &json!({"kid": ""})), Err(KeyProblem::Malformed)),
            ("no kty", with(&rsa, &json!({"kty": null})), Err(KeyProblem::Malformed)),
            ("symmetric", json!({"kty": "oct", "k": "c2VjcmV0", "kid": "r1"}), Err(KeyProblem::Symmetric)),
            ("post-quantum", json!({"kty": "AKP", "alg": "ML-DSA-44"}), Err(KeyProblem::UnsupportedType)),
            ("X25519", json!({"kty": "OKP", "crv": "X25519", "x": "AA"}), Err(KeyProblem::UnsupportedType)),
            ("not an object", json!(5), Err(KeyProblem::Malformed)),
            ("null", json!(null), Err(KeyProblem::Malformed)),
        ] {
            assert_eq!(load(&jwk), expected, "{name}");
        }
        assert_eq!(
            VerificationKey::from_jwk(&rsa, &[Algorithm::Es256]).map(|_| ()),
            Err(KeyProblem::AlgorithmNotAllowed)
        );
    }

    // covers: JWT-ALG-09
    #[test]
    fn weak_rsa_keys_are_not_loaded() {
        let leading_zero = base64url::encode(
            &[&[0], base64url::decode(modulus(2048, 1).as_bytes()).unwrap().as_slice()].concat(),
        );
        for (name, changes, expected) in [
            ("2048 bits", json!({"n": modulus(2048, 1)}), Ok(Algorithm::Rs256)),
            ("4096 bits", json!({"n": modulus(4096, 1)}), Ok(Algorithm::Rs256)),
            ("largest exponent", json!({"e": "_____w"}), Ok(Algorithm::Rs256)),
            ("512 bits", json!({"n": modulus(512, 1)}), Err(KeyProblem::Weak)),
            ("1024 bits", json!({"n": modulus(1024, 1)}), Err(KeyProblem::Weak)),
            ("2047 bits", json!({"n": modulus(2047, 1)}), Err(KeyProblem::Weak)),
            ("4097 bits", json!({"n": modulus(4097, 1)}), Err(KeyProblem::Weak)),
            ("16384 bits", json!({"n": modulus(16384, 1)}), Err(KeyProblem::Weak)),
            ("even modulus", json!({"n": modulus(2048, 2)}), Err(KeyProblem::Weak)),
            ("modulus zero", json!({"n": "AA"}), Err(KeyProblem::Malformed)),
            ("leading zero bytes", json!({"n": leading_zero}), Err(KeyProblem::Malformed)),
            ("empty modulus", json!({"n": ""}), Err(KeyProblem::Malformed)),
            ("no modulus", json!({"n": null}), Err(KeyProblem::Malformed)),
            ("exponent 0", json!({"e": "AA"}), Err(KeyProblem::Malformed)),
            ("exponent 1", json!({"e": "AQ"}), Err(KeyProblem::Weak)),
            ("exponent 2", json!({"e": "Ag"}), Err(KeyProblem::Weak)),
            ("exponent 3", json!({"e": "Aw"}), Err(KeyProblem::Weak)),
            ("exponent 4", json!({"e": "BA"}), Err(KeyProblem::Weak)),
            ("exponent 65538", json!({"e": "AQAC"}), Err(KeyProblem::Weak)),
            ("exponent 2^32 + 1", json!({"e": "AQAAAAE"}), Err(KeyProblem::Weak)),
            ("padded", json!({"e": "AQAB=="}), Err(KeyProblem::Malformed)),
        ] {
            assert_eq!(load(&with(&R1.public_jwk(), &changes)), expected, "{name}");
        }
    }

    // covers: JWT-ALG-10
    #[test]
    fn a_modulus_with_the_roca_fingerprint_is_not_loaded() {
        let modulus = concat!(
            "j16ty4MU2Ies80BvXKE3U4TnEoP2M2DRKa_nJ6ErPKwhoCkferbSHo2dg1Ahv68JJ3u_jU5bNJLbCWPCoOhD0KsR3DrGTeYLTuQz-d3p",
            "Ej6GXYM2l-8OfdmNVVqomoimfD7YBrNxKBbb5uXQIAKo2tqCr3TE4vxbT49mv9m69fHBodUyAUtFQ6DSiwmoOhM3m2dBHQ32SM9znxwN",
            "BJQ9rS-m4rgejK0bxbuZJaDwyppEUQDbrv-HMb6o0-smKtm-hClXQUrQ5B_UROB80rZ9wRGbXF3Kz6d-bz9tTBSYHuXXbSsJj8Dubnr9",
            "Ok_hXQupcjfxpGzsHvg_lBrCOQ9doQ",
        );
        assert_eq!(load(&with(&R1.public_jwk(), &json!({"n": modulus}))), Err(KeyProblem::Weak));
    }

    // covers: JWT-ALG-11
    #[test]
    fn bad_p256_keys_are_not_loaded() {
        let zero = base64url::encode(&[0; 32]);
        for (name, changes, expected) in [
            ("point off the curve", json!({"x": base64url::encode(&[1; 32])}), Err(KeyProblem::InvalidPoint)),
            ("point (0,0)", json!({"x": zero, "y": zero}), Err(KeyProblem::InvalidPoint)),
            (
                "coordinates over the field",
                json!({"x": base64url::encode(&[0xff; 32])}),
                Err(KeyProblem::InvalidPoint),
            ),
            ("short coordinate", json!({"x": base64url::encode(&[1; 31])}), Err(KeyProblem::Malformed)),
            ("long coordinate", json!({"x": base64url::encode(&[1; 33])}), Err(KeyProblem::Malformed)),
            ("no y", json!({"y": null}), Err(KeyProblem::Malformed)),
            ("alg of another curve", json!({"alg": "ES384"}), Err(KeyProblem::AlgorithmNotAllowed)),
            ("another curve", json!({"crv": "secp256k1"}), Err(KeyProblem::UnsupportedType)),
            ("curve in lower case", json!({"crv": "p-256"}), Err(KeyProblem::UnsupportedType)),
        ] {
            assert_eq!(load(&with(&E1.public_jwk(), &changes)), expected, "{name}");
        }
    }

    // covers: JWT-ALG-04
    #[test]
    fn a_key_without_alg_has_one_algorithm() {
        let mut jwk = R1.public_jwk();
        jwk.as_object_mut().unwrap().remove("alg");
        for (allowed, expected) in [
            (&[Algorithm::Rs256, Algorithm::Ps256][..], Ok(Algorithm::Rs256)),
            (&[Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256], Ok(Algorithm::Ps256)),
            (&[Algorithm::Es256], Err(KeyProblem::AlgorithmNotAllowed)),
        ] {
            assert_eq!(VerificationKey::from_jwk(&jwk, allowed).map(|key| key.algorithm()), expected);
        }
        let mut curve = E384.public_jwk();
        curve.as_object_mut().unwrap().remove("alg");
        let found = VerificationKey::from_jwk(&curve, &[Algorithm::Es256, Algorithm::Es384]);
        assert_eq!(found.map(|key| key.algorithm()), Ok(Algorithm::Es384), "the one of its curve");
        // One name of Ed25519 does not stand for the other.
        let found = VerificationKey::from_jwk(&ED1.public_jwk(), &[Algorithm::Ed25519]);
        assert_eq!(found.map(|_| ()), Err(KeyProblem::AlgorithmNotAllowed));
    }

    // covers: JWT-ALG-12, JWT-ALG-13
    #[test]
    fn bad_ed25519_keys_are_not_loaded() {
        let bytes = |len: usize| json!({"x": base64url::encode(&vec![1; len])});
        let hex = |text: &str| {
            let digits =
                (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
            json!({"x": base64url::encode(&digits.collect::<Vec<_>>())})
        };
        for (name, changes, expected) in [
            ("good", json!({}), Ok(Algorithm::EdDsa)),
            ("empty", bytes(0), Err(KeyProblem::Malformed)),
            ("5 bytes", bytes(5), Err(KeyProblem::Malformed)),
            ("31 bytes", bytes(31), Err(KeyProblem::Malformed)),
            ("33 bytes", bytes(33), Err(KeyProblem::Malformed)),
            ("no x", json!({"x": null}), Err(KeyProblem::Malformed)),
            ("another curve", json!({"crv": "P-256"}), Err(KeyProblem::UnsupportedType)),
            ("key agreement", json!({"crv": "X25519"}), Err(KeyProblem::UnsupportedType)),
            ("Ed448", json!({"crv": "Ed448"}), Err(KeyProblem::UnsupportedType)),
            ("no curve", json!({"crv": null}), Err(KeyProblem::Malformed)),
            ("alg of another type", json!({"alg": "ES256"}), Err(KeyProblem::AlgorithmNotAllowed)),
        ] {
            assert_eq!(load(&with(&ED1.public_jwk(), &changes)), expected, "{name}");
        }
        // The eight points whose order divides the cofactor, and two other spellings of them.
        for point in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ] {
            let problem = load(&with(&ED1.public_jwk(), &hex(point))).unwrap_err();
            assert!(matches!(problem, KeyProblem::Weak | KeyProblem::InvalidPoint), "{point}: {problem}");
        }
    }

    #[test]
    fn private_members_are_dropped() {
        let public = VerificationKey::from_jwk(&R1.public_jwk(), &Algorithm::ALL).unwrap();
        assert_eq!(VerificationKey::from_jwk(&R1.private_jwk(), &Algorithm::ALL), Ok(public));
    }
}
