//! Why a token is refused.

/// The one reason for which a token is refused. It holds nothing from the token: it goes to logs and metrics, and
/// clients see the same answer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Not a compact JWS with a JSON object as header and as payload, or a header member that changes what the
    /// signature means (`crit`, `b64`, `zip`).
    #[error("token is not a well-formed signed JWT")]
    Malformed,
    /// A JWE: encrypted, where a signed token is required (RFC 8725 section 2.7).
    #[error("token is encrypted")]
    Encrypted,
    /// `alg` is missing or not one of those configured for the issuer.
    #[error("signature algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// No provider is configured for `iss`, or there is no such claim.
    #[error("issuer is unknown")]
    UnknownIssuer,
    /// No key of the issuer has this `kid` and algorithm, or there are too many to try without a `kid`.
    #[error("no key for this token")]
    UnknownKey,
    /// The signature does not verify.
    #[error("signature is invalid")]
    SignatureInvalid,
    /// `aud` is missing or names none of the configured audiences.
    #[error("audience does not match")]
    AudienceMismatch,
    /// `typ` names another kind of token than the provider's.
    #[error("type of token is not accepted")]
    TypeNotAccepted,
    /// `sub` is none of the configured subjects.
    #[error("subject is not accepted")]
    SubjectNotAccepted,
    /// `exp` and the leeway have passed.
    #[error("token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future by more than the leeway.
    #[error("token is not valid yet")]
    NotYetValid,
    /// A claim is missing, has the wrong type or an impossible value, or the token lives for too long.
    #[error("claims are invalid")]
    ClaimsInvalid,
}
