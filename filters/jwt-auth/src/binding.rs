//! Proof of possession: a token that its issuer bound to a key (RFC 9449) or to a client certificate (RFC 8705) is worth
//! nothing to a thief, and a client certificate can be a credential of its own.
//!
//! Judged on every request, for remembered tokens too: it is the request that has to prove something.

pub mod certificate;
pub mod config;
pub mod confirmation;
pub mod connection;
pub mod nonce;
pub mod proof;
pub mod refusal;
pub mod replay;
pub mod secret;
pub mod subject_alt_names;

use portcullis_core::config::ConfigError;
use portcullis_core::{Request, UnixTime, constant_time};
use portcullis_host::Host;
use portcullis_jose::SignatureVerifier;
use serde_json::{Map, Value};

use config::BindingConfig;
use confirmation::Confirmation;
use proof::DpopPolicy;
pub use refusal::{BindingRefusal, ClientError};

/// The authentication scheme that a token came with; one from a cookie or another field counts as `Bearer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

/// A token as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// How.
    pub scheme: Scheme,
    /// Its bytes.
    pub token: &'a [u8],
    /// With which request.
    pub request: &'a Request,
}

/// How sender-constrained tokens are judged.
#[derive(Debug)]
pub struct Binding {
    honor_cnf: bool,
    dpop: Option<DpopPolicy>,
}

impl Binding {
    /// From the configuration; `env` looks up an environment variable.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: BindingConfig, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let dpop = config.dpop.map(|dpop| dpop.check(env)).transpose();
        Ok(Self { honor_cnf: config.honor_cnf, dpop: dpop.map_err(|error| error.under("dpop"))? })
    }

    /// DPoP, if it is configured: for challenges and nonces.
    #[must_use]
    pub const fn dpop(&self) -> Option<&DpopPolicy> {
        self.dpop.as_ref()
    }

    /// Judges a request whose token is verified and accepted in every other way.
    ///
    /// # Errors
    /// The first [`BindingRefusal`] found.
    pub fn judge(
        &self,
        claims: &Map<String, Value>,
        presented: &Presented<'_>,
        host: &dyn Host,
        now: UnixTime,
        verifier: &dyn SignatureVerifier,
    ) -> Result<(), BindingRefusal> {
        if presented.scheme == Scheme::Bearer && !self.honor_cnf {
            return Ok(());
        }
        let confirmation = Confirmation::of(claims)?;
        if let Some(expected) = confirmation.certificate
            && !constant_time::equal(&connection::certificate_digest(host)?, &expected)
        {
            return Err(BindingRefusal::CertificateMismatch);
        }
        match (presented.scheme, confirmation.key) {
            (Scheme::Bearer, None) => Ok(()),
            (Scheme::Bearer, Some(_)) => Err(BindingRefusal::SchemeMismatch),
            (Scheme::Dpop, None) => Err(BindingRefusal::NotBound),
            (Scheme::Dpop, Some(key)) => {
                let dpop = self.dpop.as_ref().ok_or(BindingRefusal::ProofsNotAccepted)?;
                dpop.judge(&key, presented.token, presented.request, host, now, verifier)
            }
        }
    }
}

#[cfg(test)]
mod tests;
