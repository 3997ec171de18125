//! Keys and tokens for tests: the feature `testing`, in no module. The keys were made for these tests and are used
//! nowhere else.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a fixture that can't be read is a failed test")]

pub mod verify_signature;

use std::sync::LazyLock;

use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::BoxedUint;
use rsa::rand_core::{TryCryptoRng, TryRng};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::Hash;
use crate::{Algorithm, base64url, thumbprint};

/// A private key with its `kid`.
#[derive(Clone, Debug)]
pub struct SigningKey {
    jwk: Value,
    algorithm: Algorithm,
    secret: Secret,
}

#[derive(Clone, Debug)]
enum Secret {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

/// RSA, `kid` r1, RS256.
pub static R1: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("r1"));
/// RSA, `kid` r2, RS256.
pub static R2: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("r2"));
/// RSA, for whoever is not the issuer.
pub static OTHER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("other"));
/// P-256, `kid` e1, ES256.
pub static E1: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("e1"));
/// P-256, `kid` e2, ES256.
pub static E2: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("e2"));
/// P-384, `kid` e384, ES384.
pub static E384: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("e384"));
/// Ed25519, `kid` ed1, EdDSA.
pub static ED1: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::load("ed1"));

impl SigningKey {
    fn load(name: &str) -> Self {
        let keys: Value = serde_json::from_str(include_str!("testing_keys.json")).expect("fixture is JSON");
        let jwk = keys.get(name).expect("key of the fixture").clone();
        let number = |name: &str| {
            let text = jwk.get(name).and_then(Value::as_str).expect("member of a private key");
            base64url::decode(text.as_bytes()).expect("base64url")
        };
        let algorithm = jwk.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name).expect("alg");
        let secret = match algorithm {
            Algorithm::Es256 => Secret::P256(p256::ecdsa::SigningKey::from_slice(&number("d")).unwrap()),
            Algorithm::Es384 => Secret::P384(p384::ecdsa::SigningKey::from_slice(&number("d")).unwrap()),
            Algorithm::EdDsa => {
                Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(&number("d").try_into().unwrap()))
            }
            _ => {
                let uint = |name| BoxedUint::from_be_slice_vartime(&number(name));
                let primes = vec![uint("p"), uint("q")];
                let key = rsa::PrivateKey::from_components(uint("n"), uint("e"), uint("d"), primes).unwrap();
                Secret::Rsa(Box::new(key))
            }
        };
        Self { jwk, algorithm, secret }
    }

    /// The same key under another algorithm of its type.
    #[must_use]
    pub fn under(&self, algorithm: Algorithm) -> Self {
        let mut other = self.clone();
        other.jwk.as_object_mut().expect("object").insert("alg".to_owned(), algorithm.name().into());
        other.algorithm = algorithm;
        other
    }

    /// The JWK with its private members.
    #[must_use]
    pub fn private_jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The JWK that a provider publishes.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.jwk.clone();
        let members = jwk.as_object_mut().expect("object");
        for private in ["d", "p", "q"] {
            members.remove(private);
        }
        jwk
    }

    /// The header that a token of this key has: `alg`, `kid`, `typ`.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({"alg": self.jwk.get("alg"), "kid": self.jwk.get("kid"), "typ": "JWT"})
    }

    /// A signature in the form of JWS.
    #[must_use]
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Rsa(key) => self.rsa_signature(key, message),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Secret::Ed25519(key) => key.sign(message).to_vec(),
        }
    }

    fn rsa_signature(&self, key: &rsa::PrivateKey, message: &[u8]) -> Vec<u8> {
        let is_pss = matches!(self.algorithm, Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512);
        let signature = match (is_pss, self.algorithm.hash()) {
            (false, Hash::Sha256) => key.pkcs1v15_sign_with_rng::<Sha256, _>(&mut Salt, message),
            (false, Hash::Sha384) => key.pkcs1v15_sign_with_rng::<Sha384, _>(&mut Salt, message),
            (false, Hash::Sha512) => key.pkcs1v15_sign_with_rng::<Sha512, _>(&mut Salt, message),
            (true, Hash::Sha256) => key.pss_sign_with_rng::<Sha256, _>(&mut Salt, message),
            (true, Hash::Sha384) => key.pss_sign_with_rng::<Sha384, _>(&mut Salt, message),
            (true, Hash::Sha512) => key.pss_sign_with_rng::<Sha512, _>(&mut Salt, message),
        };
        signature.expect("a key that signs")
    }

    /// A signature by RSASSA-PSS with SHA-256 and a salt of this length; only for RSA keys.
    #[must_use]
    pub fn pss_signature(&self, message: &[u8], salt: usize) -> Vec<u8> {
        let Secret::Rsa(key) = &self.secret else { return Vec::new() };
        let scheme = rsa::Pss::<Sha256>::new_with_salt(salt);
        let hash = <Sha256 as sha2::Digest>::digest(message);
        key.sign_with_rng(&mut Salt, scheme, &hash).expect("a key that signs")
    }

    /// A token over exactly these bytes, which need not be JSON.
    #[must_use]
    pub fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> String {
        self.sign_parts(&base64url::encode(header), &base64url::encode(payload))
    }

    /// A token over exactly these encoded parts.
    #[must_use]
    pub fn sign_parts(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = base64url::encode(&self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// An ordinary token.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        self.sign_bytes(self.header().to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A DPoP proof by this key (RFC 9449 section 4.2).
    #[must_use]
    pub fn proof(&self, claims: &Value) -> String {
        let jwk = self.public_jwk();
        let header = json!({"typ": "dpop+jwt", "alg": jwk.get("alg"), "jwk": jwk});
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// What `cnf.jkt` says of this key (RFC 9449 section 6.1).
    #[must_use]
    pub fn jkt(&self) -> String {
        let jwk = self.public_jwk();
        base64url::encode(&thumbprint::sha256(jwk.as_object().expect("object")).expect("a public key"))
    }
}

/// What `ath` says of a token (RFC 9449 section 4.2).
#[must_use]
pub fn ath(token: &[u8]) -> String {
    base64url::encode(&<Sha256 as sha2::Digest>::digest(token))
}

/// A JWK set of the public halves.
#[must_use]
pub fn jwks(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()})
}

/// No randomness at all: the salt of PSS may be anything, and a test that fails must fail again.
struct Salt;

impl TryRng for Salt {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0x5a17_5a17)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0x5a17_5a17_5a17_5a17)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0x5a);
        Ok(())
    }
}

impl TryCryptoRng for Salt {}
