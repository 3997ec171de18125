//! Why a request is refused, and what its client is told.

use portcullis_core::{Denial, Reason};
use portcullis_jose::Rejection;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No bearer token.
    Missing,
    /// More than one `authorization` field.
    MultipleCredentials,
    /// A token that is not accepted.
    Token(Rejection),
    /// The issuer's keys are not to be had.
    KeysUnavailable {
        /// When the next fetch is due, in seconds; at least 1.
        retry_after: u64,
    },
    /// The proxy has no clock, so no token can be judged.
    NoClock,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Token(rejection)
    }
}

/// The challenges (RFC 6750 section 3), made once from the realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenges {
    plain: String,
    invalid_request: String,
    invalid_token: String,
}

impl Challenges {
    /// For a realm that can stand in a quoted string as it is.
    #[must_use]
    pub fn new(realm: &str) -> Self {
        let with_error = |error: &str| format!(r#"Bearer realm="{realm}", error="{error}""#);
        Self {
            plain: format!(r#"Bearer realm="{realm}""#),
            invalid_request: with_error("invalid_request"),
            invalid_token: with_error("invalid_token"),
        }
    }
}

impl Refusal {
    /// The stable reason code.
    #[must_use]
    pub const fn reason(self) -> Reason {
        Reason(match self {
            Self::Missing => "jwt.missing",
            Self::MultipleCredentials => "jwt.multiple_credentials",
            Self::KeysUnavailable { .. } => "jwt.keys_unavailable",
            Self::NoClock => "jwt.clock_unavailable",
            Self::Token(Rejection::Malformed) => "jwt.malformed",
            Self::Token(Rejection::Encrypted) => "jwt.encrypted",
            Self::Token(Rejection::AlgorithmNotAllowed) => "jwt.algorithm_not_allowed",
            Self::Token(Rejection::UnknownIssuer) => "jwt.issuer_unknown",
            Self::Token(Rejection::UnknownKey) => "jwt.unknown_key",
            Self::Token(Rejection::SignatureInvalid) => "jwt.signature_invalid",
            Self::Token(Rejection::AudienceMismatch) => "jwt.audience_mismatch",
            Self::Token(Rejection::Expired) => "jwt.expired",
            Self::Token(Rejection::NotYetValid) => "jwt.not_yet_valid",
            Self::Token(Rejection::ClaimsInvalid) => "jwt.claims_invalid",
        })
    }

    /// Whether it says nothing about the request, but that it can't be judged.
    #[must_use]
    pub const fn is_unavailable(self) -> bool {
        matches!(self, Self::KeysUnavailable { .. } | Self::NoClock)
    }

    /// What the client gets. "If the request lacks any authentication information, the resource server SHOULD NOT
    /// include an error code" (RFC 6750 section 3.1).
    #[must_use]
    pub fn denial(self, challenges: &Challenges) -> Denial {
        let (status, title, challenge) = match self {
            Self::KeysUnavailable { retry_after } => {
                return Denial::unavailable(self.reason())
                    .with_header("retry-after", retry_after.to_string());
            }
            Self::NoClock => return Denial::unavailable(self.reason()),
            Self::Missing => (401, "Unauthorized", &challenges.plain),
            Self::MultipleCredentials => (400, "Bad Request", &challenges.invalid_request),
            Self::Token(_) => (401, "Unauthorized", &challenges.invalid_token),
        };
        Denial::new(status, self.reason(), title).with_header("www-authenticate", challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_the_status_and_challenge_of_the_standard() {
        let challenges = Challenges::new("orders");
        let retry = Refusal::KeysUnavailable { retry_after: 7 };
        for (refusal, status, field) in [
            (Refusal::Missing, 401, ("www-authenticate", r#"Bearer realm="orders""#)),
            (
                Refusal::MultipleCredentials,
                400,
                ("www-authenticate", r#"Bearer realm="orders", error="invalid_request""#),
            ),
            (
                Refusal::Token(Rejection::Expired),
                401,
                ("www-authenticate", r#"Bearer realm="orders", error="invalid_token""#),
            ),
            (retry, 503, ("retry-after", "7")),
        ] {
            let denial = refusal.denial(&challenges);
            assert_eq!((denial.status, denial.headers), (status, vec![(field.0, field.1.to_owned())]));
        }
    }
}
