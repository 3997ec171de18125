//! A bearer token on its way from bytes to a verified one; each step is a type that only the step before makes.

use std::rc::Rc;

use portcullis_core::UnixTime;
use portcullis_core::json::{self, Limits};
use serde_json::{Map, Value};

use crate::claims::{TokenPolicy, Validity};
use crate::compact::Compact;
use crate::header::{JoseHeader, LastHeader};
use crate::key_set::KeySet;
use crate::verifier::SignatureVerifier;
use crate::{Rejection, base64url};

/// A token of the right form. Nothing in it can be believed yet; its issuer only says whose rules to apply.
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    signing_input: &'a [u8],
    signature: Vec<u8>,
    header: Rc<JoseHeader>,
    payload: Vec<u8>,
    claims: Map<String, Value>,
}

/// A token whose claims are acceptable, if its signature is.
#[derive(Debug)]
pub struct CheckedToken<'a> {
    token: UnverifiedToken<'a>,
    validity: Validity,
}

/// A token that its issuer has signed and whose claims were accepted when it was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    payload: Vec<u8>,
    claims: Map<String, Value>,
    validity: Validity,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a compact JWS whose header and payload are JSON objects without duplicate names at any level. Cost is
    /// linear in the token, which is bounded.
    ///
    /// # Errors
    /// [`Rejection::Malformed`], [`Rejection::Encrypted`] or [`Rejection::AlgorithmNotAllowed`].
    pub fn parse(token: &'a [u8]) -> Result<Self, Rejection> {
        Self::parse_after(token, &LastHeader::default())
    }

    /// The same, after a token that may have had the same header.
    ///
    /// # Errors
    /// As [`UnverifiedToken::parse`].
    pub fn parse_after(token: &'a [u8], last: &LastHeader) -> Result<Self, Rejection> {
        let parts = Compact::split(token)?;
        // Before any JSON is read: this is also what keeps foreign bytes out.
        let decode = |part| base64url::decode(part).ok_or(Rejection::Malformed);
        let (payload, signature) = (decode(parts.payload)?, decode(parts.signature)?);
        let header = last.read(parts.header)?;
        let claims = object(&payload)?;
        Ok(Self { signing_input: parts.signing_input, signature, header, payload, claims })
    }

    /// `iss`, if it is a string: to choose the rules and keys, by which this very claim is then proved.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Everything that needs no key, so that a token that can't be accepted costs no signature verification.
    ///
    /// # Errors
    /// The first [`Rejection`] found.
    pub fn check(self, policy: &TokenPolicy, now: UnixTime) -> Result<CheckedToken<'a>, Rejection> {
        if self.issuer() != Some(policy.issuer.as_str()) {
            return Err(Rejection::UnknownIssuer);
        }
        if !policy.algorithms.contains(&self.header.algorithm) {
            return Err(Rejection::AlgorithmNotAllowed);
        }
        if policy.strict_header && self.header.has_key_members {
            return Err(Rejection::Malformed);
        }
        if !policy.media_types.accept(self.header.media_type.as_deref()) {
            return Err(Rejection::TypeNotAccepted);
        }
        let validity = policy.check(&self.claims, now)?;
        Ok(CheckedToken { token: self, validity })
    }
}

impl CheckedToken<'_> {
    /// Verifies the signature with the issuer's keys; at most two verifications.
    ///
    /// # Errors
    /// [`Rejection::UnknownKey`] when no key fits, [`Rejection::SignatureInvalid`] when none verifies.
    pub fn verify(self, keys: &KeySet, verifier: &dyn SignatureVerifier) -> Result<VerifiedToken, Rejection> {
        let Self { token, validity } = self;
        let is_signed = keys.candidates(&token.header)?.any(|key| {
            token.signature.len() == key.signature_len()
                && verifier.is_valid(key, token.signing_input, &token.signature)
        });
        if !is_signed {
            return Err(Rejection::SignatureInvalid);
        }
        Ok(VerifiedToken { payload: token.payload, claims: token.claims, validity })
    }
}

impl VerifiedToken {
    /// All claims.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// When the token is valid, to judge a later use.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The claims and the JSON that they were read from, without a copy.
    #[must_use]
    pub fn into_parts(self) -> (Map<String, Value>, Vec<u8>) {
        (self.claims, self.payload)
    }
}

pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, Rejection> {
    match json::parse(text, Limits::default()) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Rejection::Malformed),
    }
}

#[cfg(test)]
mod tests;
