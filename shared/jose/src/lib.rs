//! Strict JSON Web Signatures, keys and tokens (RFC 7515, 7517, 7519, 8725): bytes in, a verified token or the reason
//! for its refusal out. Pure: no I/O, no clock.
//!
//! What may be accepted is decided here; the RustCrypto crates only verify signatures, and a proxy's native verifier
//! can take their place by [`SignatureVerifier`]. Only compact JWS with a JSON object as payload is a token; there is
//! no JWE, no `none`, no detached or unencoded payload, no key from a token's header, and no HMAC but with secrets that
//! the operator configured. A DPoP proof ([`dpop`]) brings its key along by design and is nobody's token.
//!
//! A token goes through three types, and only the last one can be believed: [`UnverifiedToken`] (form),
//! [`CheckedToken`] (claims), [`VerifiedToken`] (signature).

pub mod algorithm;
pub mod base64url;
pub mod claims;
pub mod compact;
pub mod der;
pub mod dpop;
pub mod header;
pub mod jwk;
pub mod key_set;
pub mod profile;
pub mod rejection;
mod roca;
pub mod secret;
pub mod target_uri;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod thumbprint;
pub mod token;
pub mod verifier;

pub use algorithm::Algorithm;
pub use claims::{MediaTypes, TokenPolicy, Validity};
pub use jwk::{KeyProblem, VerificationKey};
pub use key_set::{KeySet, KeySetError};
pub use rejection::Rejection;
pub use secret::SharedSecret;
pub use token::{CheckedToken, UnverifiedToken, VerifiedToken};
pub use verifier::{SignatureVerifier, SoftwareVerifier};
