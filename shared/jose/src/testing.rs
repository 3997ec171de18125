//! Keys and tokens for tests: the feature `testing`, in no module. The keys were made for these tests and are used
//! nowhere else.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a fixture that can't be read is a failed test")]

pub mod verify_signature;

use std::sync::LazyLock;

use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::BoxedUint;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::base64url;

/// A private key with its `kid`.
#[derive(Debug)]
pub struct SigningKey {
    jwk: Value,
    secret: Secret,
}

#[derive(Debug)]
enum Secret {
    Rsa(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    P256(p256::ecdsa::SigningKey),
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

impl SigningKey {
    fn load(name: &str) -> Self {
        let keys: Value = serde_json::from_str(include_str!("testing_keys.json")).expect("fixture is JSON");
        let jwk = keys.get(name).expect("key of the fixture").clone();
        let number = |name: &str| {
            let text = jwk.get(name).and_then(Value::as_str).expect("member of a private key");
            base64url::decode(text.as_bytes()).expect("base64url")
        };
        let secret = if jwk.get("kty") == Some(&json!("RSA")) {
            let uint = |name| BoxedUint::from_be_slice_vartime(&number(name));
            let primes = vec![uint("p"), uint("q")];
            let key = rsa::PrivateKey::from_components(uint("n"), uint("e"), uint("d"), primes).unwrap();
            Secret::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key)))
        } else {
            Secret::P256(p256::ecdsa::SigningKey::from_slice(&number("d")).unwrap())
        };
        Self { jwk, secret }
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
            Secret::Rsa(key) => key.sign(message).to_vec(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
        }
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
}

/// A JWK set of the public halves.
#[must_use]
pub fn jwks(keys: &[&SigningKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>()})
}
