//! Secrets that an issuer shares with this verifier, for HMAC (RFC 7518 section 3.2).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Sha256, Sha384, Sha512};

use crate::algorithm::Hash;
use crate::header::MAX_KEY_ID;
use crate::{Algorithm, base64url};

/// A secret for one algorithm. It can't be compared and never shows itself:
///
/// ```compile_fail
/// let secret = |text| portcullis_jose::SharedSecret::new(None, portcullis_jose::Algorithm::Hs256, text).unwrap();
/// let _ = secret("a") == secret("b");
/// ```
#[derive(Clone)]
pub struct SharedSecret {
    key_id: Option<String>,
    algorithm: Algorithm,
    mac: Keyed,
}

/// The state of the MAC after its key: the secret itself is not kept.
#[derive(Clone)]
enum Keyed {
    Sha256(Box<Hmac<Sha256>>),
    Sha384(Box<Hmac<Sha384>>),
    Sha512(Box<Hmac<Sha512>>),
}

/// Why a secret can't be used. The messages hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// The algorithm is not HMAC.
    #[error("expected HS256, HS384 or HS512, found {}", .0.name())]
    Algorithm(Algorithm),
    /// Not base64url without padding.
    #[error("expected a secret in base64url without padding")]
    Encoding,
    /// Shorter than the hash: "A key of the same size as the hash output or larger MUST be used" (RFC 7518 section 3.2).
    #[error("expected a secret of at least {0} bytes")]
    TooShort(usize),
    /// An empty or too long `kid`.
    #[error("expected a `kid` of 1 to {MAX_KEY_ID} bytes")]
    KeyId,
}

impl SharedSecret {
    /// From base64url text, as in the `k` of a JWK.
    ///
    /// # Errors
    /// [`SecretProblem`].
    pub fn new(key_id: Option<String>, algorithm: Algorithm, text: &str) -> Result<Self, SecretProblem> {
        if !algorithm.is_symmetric() {
            return Err(SecretProblem::Algorithm(algorithm));
        }
        if key_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID) {
            return Err(SecretProblem::KeyId);
        }
        let secret = base64url::decode(text.as_bytes()).ok_or(SecretProblem::Encoding)?;
        let least = algorithm.hash().size();
        let too_short = SecretProblem::TooShort(least);
        if secret.len() < least {
            return Err(too_short);
        }
        let mac = match algorithm.hash() {
            Hash::Sha256 => Hmac::new_from_slice(&secret).map(|mac| Keyed::Sha256(Box::new(mac))),
            Hash::Sha384 => Hmac::new_from_slice(&secret).map(|mac| Keyed::Sha384(Box::new(mac))),
            Hash::Sha512 => Hmac::new_from_slice(&secret).map(|mac| Keyed::Sha512(Box::new(mac))),
        };
        // HMAC takes keys of every length.
        Ok(Self { key_id, algorithm, mac: mac.map_err(|_| too_short)? })
    }

    pub(crate) const fn key_id(&self) -> Option<&String> {
        self.key_id.as_ref()
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `tag` is the whole MAC of `message`, in constant time.
    pub(crate) fn is_valid(&self, message: &[u8], tag: &[u8]) -> bool {
        match &self.mac {
            Keyed::Sha256(mac) => mac.as_ref().clone().chain_update(message).verify_slice(tag).is_ok(),
            Keyed::Sha384(mac) => mac.as_ref().clone().chain_update(message).verify_slice(tag).is_ok(),
            Keyed::Sha512(mac) => mac.as_ref().clone().chain_update(message).verify_slice(tag).is_ok(),
        }
    }
}

impl std::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSecret").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: JWT-ALG-08
    #[test]
    fn a_secret_is_as_long_as_the_hash() {
        for (algorithm, bytes, is_accepted) in [
            (Algorithm::Hs256, 0, false),
            (Algorithm::Hs256, 1, false),
            (Algorithm::Hs256, 16, false),
            (Algorithm::Hs256, 31, false),
            (Algorithm::Hs256, 32, true),
            (Algorithm::Hs384, 47, false),
            (Algorithm::Hs384, 48, true),
            (Algorithm::Hs512, 63, false),
            (Algorithm::Hs512, 64, true),
            (Algorithm::Hs512, 500, true),
            (Algorithm::Rs256, 64, false),
        ] {
            let secret = SharedSecret::new(None, algorithm, &base64url::encode(&vec![7; bytes]));
            assert_eq!(secret.is_ok(), is_accepted, "{algorithm:?} {bytes}");
        }
        let padded = SharedSecret::new(None, Algorithm::Hs256, "AAAA=");
        assert!(matches!(padded, Err(SecretProblem::Encoding)));
        let unnamed = SharedSecret::new(Some(String::new()), Algorithm::Hs256, &base64url::encode(&[0; 32]));
        assert!(matches!(unnamed, Err(SecretProblem::KeyId)));
    }

    // covers: JWT-CPU-07
    #[test]
    fn only_the_whole_tag_is_valid() {
        // RFC 7515 appendix A.1.
        let secret = SharedSecret::new(
            None,
            Algorithm::Hs256,
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .unwrap();
        let message = b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let tag = base64url::decode(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        assert!(secret.is_valid(message, &tag));
        assert!(!secret.is_valid(b"other", &tag));
        assert!(!secret.is_valid(message, &tag[..31]) && !secret.is_valid(message, b""));
        assert!(!format!("{secret:?}").contains("Hmac"));
    }
}
