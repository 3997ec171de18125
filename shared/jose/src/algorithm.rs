//! The signature algorithms that a provider may be configured with.

use serde::Deserialize;

/// A signature algorithm by its registered name (RFC 7518 section 3.1).
///
/// There is no `none` and no HMAC: a key that a provider publishes is never a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3).
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// All algorithms, the ones to prefer first.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of exactly this name: case, spaces and all (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The `kty` of its keys (RFC 7518 section 6.1).
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::Rs256 => "RSA",
            Self::Es256 => "EC",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_byte_for_byte() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for name in [
            "", "none", "None", "NONE", "nOnE", "none ", "rs256", "RS256 ", " RS256", "HS256", "ES256K",
            "RS1",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name:?}");
        }
    }
}
