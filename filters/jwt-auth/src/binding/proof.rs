//! DPoP on a request: the proof in its field, the token's key, the nonce, and that it is the first use.

use std::cell::OnceCell;

use portcullis_core::config::Secret;
use portcullis_core::{Request, UnixTime};
use portcullis_host::Host;
use portcullis_jose::dpop::{self, ProofPolicy, ProvenRequest};
use portcullis_jose::target_uri::Origin;
use portcullis_jose::{Algorithm, SignatureVerifier};

use super::BindingRefusal;
use super::nonce::Nonces;
use super::replay::ReplayMemory;
use super::secret::MarkingSecret;

/// How proofs are judged. Made from [`DpopConfig`](super::config::DpopConfig).
#[derive(Debug)]
pub struct DpopPolicy {
    policy: ProofPolicy,
    origins: Vec<Origin>,
    memory: ReplayMemory,
    /// Seconds; none if proofs need no nonce.
    nonce_lifetime: Option<u64>,
    nonce_secret: Option<MarkingSecret>,
    /// Shared data is written by what serves requests only, not by a configuration that may yet be refused.
    secret: OnceCell<MarkingSecret>,
}

impl DpopPolicy {
    pub(super) fn new(
        policy: ProofPolicy,
        origins: Vec<Origin>,
        memory: ReplayMemory,
        nonce_lifetime: Option<u64>,
        nonce_secret: Option<Secret>,
    ) -> Self {
        let nonce_secret = nonce_secret.as_ref().and_then(MarkingSecret::of_fleet);
        Self { policy, origins, memory, nonce_lifetime, nonce_secret, secret: OnceCell::new() }
    }

    /// The algorithms of proofs, for `algs` of the challenge (RFC 9449 section 7.1).
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.policy.algorithms
    }

    /// The nonce for a `dpop-nonce` field; none if proofs need none or there is no secret.
    #[must_use]
    pub fn nonce(&self, host: &dyn Host, now: UnixTime) -> Option<String> {
        Some(self.nonces(host).ok()??.current(now))
    }

    /// Judges the proof of a request whose token is valid and bound to `key`; last of all, as the proof is used up.
    pub(super) fn judge(
        &self,
        key: &[u8; 32],
        access_token: &[u8],
        request: &Request,
        host: &dyn Host,
        now: UnixTime,
        verifier: &dyn SignatureVerifier,
    ) -> Result<(), BindingRefusal> {
        let field = request.headers().single(b"dpop").map_err(|_| BindingRefusal::MultipleProofs)?;
        let proof = field.ok_or(BindingRefusal::ProofMissing)?;
        let mismatch = BindingRefusal::Proof(dpop::ProofRejection::UriMismatch);
        let origin = self.origin(request).ok_or(mismatch)?;
        let path = request.target().split(|byte| *byte == b'?').next().unwrap_or_default();
        let nonces = self.nonces(host)?;
        let is_current = nonces.as_ref().map(|nonces| |nonce: &str| nonces.is_current(nonce, now));
        let proven = ProvenRequest {
            method: str::from_utf8(request.method())
                .map_err(|_| BindingRefusal::Proof(dpop::ProofRejection::MethodMismatch))?,
            origin: &origin,
            path: str::from_utf8(path).map_err(|_| mismatch)?,
            access_token,
            is_current_nonce: is_current.as_ref().map(|is_current| is_current as &dyn Fn(&str) -> bool),
        };
        let proof =
            dpop::verify(proof, &self.policy, &proven, now, verifier).map_err(BindingRefusal::Proof)?;
        if !portcullis_core::constant_time::equal(&proof.thumbprint, key) {
            return Err(BindingRefusal::KeyMismatch);
        }
        self.memory.remember(&proof, host, self.secret(host)?, now)
    }

    /// Scheme and authority as the client sees them.
    fn origin(&self, request: &Request) -> Option<Origin> {
        let authority = str::from_utf8(request.authority()).ok()?;
        match self.origins.as_slice() {
            [] => Origin::new(str::from_utf8(request.scheme()).ok()?, authority),
            [only] => Some(only.clone()),
            origins => origins
                .iter()
                .find(|origin| origin.with_authority(authority).as_ref() == Some(*origin))
                .cloned(),
        }
    }

    fn nonces(&self, host: &dyn Host) -> Result<Option<Nonces>, BindingRefusal> {
        let Some(lifetime) = self.nonce_lifetime else {
            return Ok(None);
        };
        let secret = match &self.nonce_secret {
            Some(secret) => secret,
            None => self.secret(host)?,
        };
        Ok(Some(Nonces::new(secret.clone(), lifetime)))
    }

    fn secret(&self, host: &dyn Host) -> Result<&MarkingSecret, BindingRefusal> {
        match self.secret.get() {
            Some(secret) => Ok(secret),
            None => {
                let secret = MarkingSecret::of_process(host)?;
                Ok(self.secret.get_or_init(|| secret))
            }
        }
    }
}
