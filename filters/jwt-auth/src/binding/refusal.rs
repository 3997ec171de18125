//! Why a request's proof of possession is refused.

use portcullis_core::Reason;
use portcullis_jose::dpop::ProofRejection;

/// The one reason for which a token that is valid in itself is refused, or a client certificate is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingRefusal {
    /// `cnf` is not one that can be checked.
    ConfirmationInvalid,
    /// A token bound to a key, sent as `Bearer` (RFC 9449 section 7.2).
    SchemeMismatch,
    /// A token that is not bound to a key, sent as `DPoP` (RFC 9449 section 7.1).
    NotBound,
    /// DPoP is not configured, so that no proof can be checked.
    ProofsNotAccepted,
    /// There is no `dpop` field.
    ProofMissing,
    /// There is more than one.
    MultipleProofs,
    /// The proof itself.
    Proof(ProofRejection),
    /// The proof's key is not the one that the token is bound to.
    KeyMismatch,
    /// The proof was used before.
    Replayed,
    /// All places of the replay memory are taken by proofs that are still acceptable, or contended for.
    ReplayMemoryFull,
    /// The connection has no client certificate.
    CertificateMissing,
    /// The connection's certificate is not the one that the token is bound to.
    CertificateMismatch,
    /// The certificate's names can't be read with certainty.
    CertificateInvalid,
    /// The certificate names nobody who is configured.
    CertificateUnknown,
    /// The proxy failed at something without which this can't be judged.
    Unavailable,
}

/// What the client is told, which is less than the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// `invalid_token` (RFC 6750 section 3.1).
    InvalidToken,
    /// `invalid_dpop_proof` (RFC 9449 section 7.1).
    InvalidDpopProof,
    /// `use_dpop_nonce`, with a nonce in the `dpop-nonce` field (RFC 9449 section 9).
    UseDpopNonce,
    /// The request can't be judged: `on_error`.
    Unavailable,
}

impl BindingRefusal {
    /// For audit and metrics.
    #[must_use]
    pub const fn reason(self) -> Reason {
        use ProofRejection as P;
        Reason(match self {
            Self::ConfirmationInvalid => "jwt.confirmation_invalid",
            Self::SchemeMismatch => "jwt.dpop_scheme_mismatch",
            Self::NotBound => "jwt.dpop_token_not_bound",
            Self::ProofsNotAccepted => "jwt.dpop_not_configured",
            Self::ProofMissing => "jwt.dpop_missing",
            Self::MultipleProofs => "jwt.dpop_multiple_proofs",
            Self::Proof(P::Malformed) => "jwt.dpop_malformed",
            Self::Proof(P::WrongType) => "jwt.dpop_wrong_type",
            Self::Proof(P::AlgorithmNotAllowed) => "jwt.dpop_algorithm_not_allowed",
            Self::Proof(P::KeyInvalid) => "jwt.dpop_key_invalid",
            Self::Proof(P::SignatureInvalid) => "jwt.dpop_signature_invalid",
            Self::Proof(P::JtiInvalid) => "jwt.dpop_jti_invalid",
            Self::Proof(P::MethodMismatch) => "jwt.dpop_method_mismatch",
            Self::Proof(P::UriMismatch) => "jwt.dpop_uri_mismatch",
            Self::Proof(P::DateInvalid) => "jwt.dpop_date_invalid",
            Self::Proof(P::Expired) => "jwt.dpop_expired",
            Self::Proof(P::NotYetValid) => "jwt.dpop_not_yet_valid",
            Self::Proof(P::TokenMismatch) => "jwt.dpop_token_mismatch",
            Self::Proof(P::NonceInvalid) => "jwt.dpop_nonce_invalid",
            Self::KeyMismatch => "jwt.dpop_key_mismatch",
            Self::Replayed => "jwt.dpop_replayed",
            Self::ReplayMemoryFull => "jwt.dpop_replay_memory_full",
            Self::CertificateMissing => "jwt.certificate_missing",
            Self::CertificateMismatch => "jwt.certificate_mismatch",
            Self::CertificateInvalid => "jwt.certificate_invalid",
            Self::CertificateUnknown => "jwt.certificate_unknown",
            Self::Unavailable => "jwt.binding_unavailable",
        })
    }

    /// What the client is told.
    #[must_use]
    pub const fn client_error(self) -> ClientError {
        match self {
            Self::ProofMissing
            | Self::MultipleProofs
            | Self::KeyMismatch
            | Self::Replayed
            | Self::ReplayMemoryFull => ClientError::InvalidDpopProof,
            Self::Proof(ProofRejection::NonceInvalid) => ClientError::UseDpopNonce,
            Self::Proof(_) => ClientError::InvalidDpopProof,
            Self::ConfirmationInvalid
            | Self::SchemeMismatch
            | Self::NotBound
            | Self::ProofsNotAccepted
            | Self::CertificateMissing
            | Self::CertificateMismatch
            | Self::CertificateInvalid
            | Self::CertificateUnknown => ClientError::InvalidToken,
            Self::Unavailable => ClientError::Unavailable,
        }
    }
}
