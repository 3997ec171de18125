//! Why a request is refused, and what its client is told.

use portcullis_core::{Denial, Reason};
use portcullis_jose::Rejection;

use crate::binding::{BindingRefusal, ClientError};
use crate::credentials::Several;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential.
    Missing,
    /// More than one where one is allowed.
    MultipleCredentials,
    /// A token that is not accepted.
    Token(Rejection),
    /// A token of another provider than those that the rule takes.
    ProviderNotAccepted,
    /// A token of a client that the provider's configuration does not list.
    ClientNotAllowed,
    /// No key of the set.
    ApiKeyUnknown,
    /// A key that was valid once.
    ApiKeyExpired,
    /// The token lacks a scope that the rule demands.
    InsufficientScope,
    /// A claim has none of the values that the rule demands.
    ClaimNotAccepted,
    /// The user did not authenticate as the rule demands, or too long ago.
    InsufficientAuthentication,
    /// The request does not prove that its sender may use the token, or its certificate is nobody's.
    Binding(BindingRefusal),
    /// A token that its issuer took back.
    Revoked,
    /// A token without `jti`, where tokens can be taken back.
    NotRevocable,
    /// The list of tokens that were taken back is not to be had.
    RevocationUnavailable,
    /// The issuer says that the token is not active.
    Inactive,
    /// The issuer can't be asked about the token.
    IntrospectionUnavailable {
        /// When it may be asked again, in seconds; at least 1.
        retry_after: u64,
    },
    /// The issuer's keys are not to be had.
    KeysUnavailable {
        /// When the next fetch is due, in seconds; at least 1.
        retry_after: u64,
    },
    /// The proxy has no clock, so no token can be judged.
    NoClock,
    /// The proxy's clock can't be right: by it every token would be valid for ever, so nothing passes, whatever the mode.
    WrongClock,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Token(rejection)
    }
}

impl From<Several> for Refusal {
    fn from(_: Several) -> Self {
        Self::MultipleCredentials
    }
}

/// What clients see instead of the reason why a credential is not accepted: who guesses learns nothing from the answer.
static INVALID_TOKEN: Reason = Reason("jwt.invalid_token");

/// The same for proofs of possession.
static INVALID_PROOF: Reason = Reason("jwt.invalid_dpop_proof");

/// What an answer is about, by RFC 6750 section 3.1 and RFC 9470 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 401 without error: nothing was presented.
    Challenge,
    /// 400.
    InvalidRequest,
    /// 401.
    InvalidToken,
    /// 401: prove the possession of the key (RFC 9449 section 7.1), with a nonce of ours (section 9) or without.
    InvalidProof { error: &'static str },
    /// 401: authenticate in another way.
    InsufficientAuthentication,
    /// 403, with the scopes that are needed.
    InsufficientScope,
    /// 403: another token of the same kind would not help.
    Forbidden,
    /// 503.
    Unavailable,
}

impl Refusal {
    /// The stable reason code, for audit and metrics.
    #[must_use]
    pub const fn reason(self) -> Reason {
        Reason(match self {
            Self::Binding(refusal) => return refusal.reason(),
            Self::Missing => "jwt.missing",
            Self::MultipleCredentials => "jwt.multiple_credentials",
            Self::ProviderNotAccepted => "jwt.provider_not_accepted",
            Self::ClientNotAllowed => "jwt.client_not_allowed",
            Self::ApiKeyUnknown => "jwt.api_key_unknown",
            Self::ApiKeyExpired => "jwt.api_key_expired",
            Self::InsufficientScope => "jwt.insufficient_scope",
            Self::ClaimNotAccepted => "jwt.claim_not_accepted",
            Self::InsufficientAuthentication => "jwt.insufficient_user_authentication",
            Self::KeysUnavailable { .. } => "jwt.keys_unavailable",
            Self::Revoked => "jwt.revoked",
            Self::NotRevocable => "jwt.not_revocable",
            Self::RevocationUnavailable => "jwt.revocation_unavailable",
            Self::Inactive => "jwt.inactive",
            Self::IntrospectionUnavailable { .. } => "jwt.introspection_unavailable",
            Self::NoClock => "jwt.clock_unavailable",
            Self::WrongClock => "jwt.clock_wrong",
            Self::Token(Rejection::Malformed) => "jwt.malformed",
            Self::Token(Rejection::Encrypted) => "jwt.encrypted",
            Self::Token(Rejection::AlgorithmNotAllowed) => "jwt.algorithm_not_allowed",
            Self::Token(Rejection::UnknownIssuer) => "jwt.issuer_unknown",
            Self::Token(Rejection::UnknownKey) => "jwt.unknown_key",
            Self::Token(Rejection::SignatureInvalid) => "jwt.signature_invalid",
            Self::Token(Rejection::AudienceMismatch) => "jwt.audience_mismatch",
            Self::Token(Rejection::TypeNotAccepted) => "jwt.type_not_accepted",
            Self::Token(Rejection::SubjectNotAccepted) => "jwt.subject_not_accepted",
            Self::Token(Rejection::Expired) => "jwt.expired",
            Self::Token(Rejection::NotYetValid) => "jwt.not_yet_valid",
            Self::Token(Rejection::ClaimsInvalid) => "jwt.claims_invalid",
        })
    }

    /// Whether it says nothing about the request, but that it can't be judged.
    #[must_use]
    pub const fn is_unavailable(self) -> bool {
        matches!(self.kind(), Kind::Unavailable) && !matches!(self, Self::WrongClock)
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Missing => Kind::Challenge,
            Self::MultipleCredentials => Kind::InvalidRequest,
            Self::Token(_)
            | Self::ProviderNotAccepted
            | Self::ApiKeyUnknown
            | Self::ApiKeyExpired
            | Self::Revoked
            | Self::Inactive
            | Self::NotRevocable => Kind::InvalidToken,
            Self::Binding(refusal) => match refusal.client_error() {
                ClientError::InvalidToken => Kind::InvalidToken,
                ClientError::InvalidDpopProof => Kind::InvalidProof { error: "invalid_dpop_proof" },
                ClientError::UseDpopNonce => Kind::InvalidProof { error: "use_dpop_nonce" },
                ClientError::Unavailable => Kind::Unavailable,
            },
            Self::InsufficientAuthentication => Kind::InsufficientAuthentication,
            Self::InsufficientScope => Kind::InsufficientScope,
            Self::ClientNotAllowed | Self::ClaimNotAccepted => Kind::Forbidden,
            Self::KeysUnavailable { .. }
            | Self::IntrospectionUnavailable { .. }
            | Self::RevocationUnavailable
            | Self::NoClock
            | Self::WrongClock => Kind::Unavailable,
        }
    }

    /// What the client gets. "If the request lacks any authentication information, the resource server SHOULD NOT
    /// include an error code" (RFC 6750 section 3.1).
    #[must_use]
    pub fn denial(self, challenge: &Challenge) -> Denial {
        let reason = self.reason();
        match self.kind() {
            Kind::Unavailable => match self {
                Self::KeysUnavailable { retry_after } | Self::IntrospectionUnavailable { retry_after } => {
                    Denial::unavailable(reason).with_header("retry-after", retry_after.to_string())
                }
                Self::RevocationUnavailable => Denial::unavailable(reason).with_header("retry-after", "1"),
                _ => Denial::unavailable(reason),
            },
            Kind::Challenge => {
                let denial = challenge.put(Denial::new(401, reason, "Unauthorized"), "");
                if challenge.algorithms.is_empty() { denial } else { challenge.put_dpop(denial, "") }
            }
            Kind::InvalidRequest => {
                challenge.put(Denial::new(400, reason, "Bad Request"), r#", error="invalid_request""#)
            }
            Kind::InvalidToken => {
                let denial = Denial::new(401, reason, "Unauthorized").shown_as(&INVALID_TOKEN);
                challenge.put(denial, r#", error="invalid_token""#)
            }
            Kind::InvalidProof { error } => {
                let denial = Denial::new(401, reason, "Unauthorized").shown_as(&INVALID_PROOF);
                challenge.put_dpop(denial, &format!(r#", error="{error}""#))
            }
            Kind::InsufficientAuthentication => {
                let error = r#", error="insufficient_user_authentication""#;
                let parameters = format!("{error}{}", challenge.authentication);
                challenge.put(Denial::new(401, reason, "Unauthorized"), &parameters)
            }
            Kind::InsufficientScope => {
                let parameters = format!(r#", error="insufficient_scope", scope="{}""#, challenge.scope);
                challenge.put(Denial::new(403, reason, "Forbidden"), &parameters)
            }
            Kind::Forbidden => Denial::new(403, reason, "Forbidden"),
        }
    }
}

/// The challenge of one rule (RFC 9110 section 11.6.1), whose texts can stand in quoted strings as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `Bearer`, or what else the rule takes.
    pub scheme: &'static str,
    /// `realm="..."` and what else every challenge has.
    pub parameters: String,
    /// `algs` of a DPoP challenge; empty where no proof is accepted.
    pub algorithms: String,
    /// The scopes that the rule demands.
    pub scope: String,
    /// `acr_values` and `max_age` of RFC 9470, with a comma before each.
    pub authentication: String,
}

impl Challenge {
    fn put(&self, denial: Denial, error: &str) -> Denial {
        denial.with_header("www-authenticate", format!("{} {}{error}", self.scheme, self.parameters))
    }

    fn put_dpop(&self, denial: Denial, error: &str) -> Denial {
        let (parameters, algorithms) = (&self.parameters, &self.algorithms);
        denial.with_header("www-authenticate", format!(r#"DPoP {parameters}{error}, algs="{algorithms}""#))
    }
}

#[cfg(test)]
mod tests {
    use portcullis_jose::dpop::ProofRejection;

    use super::*;

    // covers: JWT-LOC-13
    #[test]
    fn clients_get_the_status_and_challenge_of_the_standard() {
        let challenge = Challenge {
            scheme: "Bearer",
            parameters: r#"realm="orders", resource_metadata="https://api.test/m""#.into(),
            algorithms: String::new(),
            scope: "orders:read".into(),
            authentication: r#", acr_values="gold""#.into(),
        };
        let base = r#"Bearer realm="orders", resource_metadata="https://api.test/m""#;
        for (refusal, status, error) in [
            (Refusal::Missing, 401, ""),
            (Refusal::MultipleCredentials, 400, r#", error="invalid_request""#),
            (Refusal::Token(Rejection::Expired), 401, r#", error="invalid_token""#),
            (Refusal::Token(Rejection::SignatureInvalid), 401, r#", error="invalid_token""#),
            (Refusal::ApiKeyUnknown, 401, r#", error="invalid_token""#),
            (Refusal::InsufficientScope, 403, r#", error="insufficient_scope", scope="orders:read""#),
            (
                Refusal::InsufficientAuthentication,
                401,
                r#", error="insufficient_user_authentication", acr_values="gold""#,
            ),
        ] {
            let denial = refusal.denial(&challenge);
            let expected = vec![("www-authenticate", format!("{base}{error}"))];
            assert_eq!((denial.status, &denial.headers), (status, &expected), "{refusal:?}");
        }
        let bodies: Vec<_> = [Rejection::Expired, Rejection::SignatureInvalid, Rejection::UnknownKey]
            .into_iter()
            .map(|rejection| Refusal::Token(rejection).denial(&challenge).render(None).body)
            .collect();
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "one body for all");
        let retry = Refusal::KeysUnavailable { retry_after: 7 }.denial(&challenge);
        assert_eq!((retry.status, retry.headers), (503, vec![("retry-after", "7".to_owned())]));
        let dpop = Challenge { algorithms: "ES256".into(), ..challenge.clone() };
        let missing = Refusal::Missing.denial(&dpop);
        assert_eq!(missing.headers.len(), 2, "both schemes");
        let nonce = Refusal::Binding(BindingRefusal::Proof(ProofRejection::NonceInvalid)).denial(&dpop);
        let expected = format!(r#"DPoP {}, error="use_dpop_nonce", algs="ES256""#, dpop.parameters);
        assert_eq!((nonce.status, nonce.headers), (401, vec![("www-authenticate", expected)]));
        let forbidden = Refusal::ClientNotAllowed.denial(&challenge);
        assert_eq!((forbidden.status, forbidden.headers), (403, vec![]));
    }
}
