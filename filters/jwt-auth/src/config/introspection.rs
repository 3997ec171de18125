//! Asking an issuer about its tokens.

use portcullis_core::config::{SecretRef, TimeSpan};
use serde::Deserialize;

use crate::defaults;

/// Asking an issuer about opaque tokens (RFC 7662).
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// Address of the introspection endpoint.
    pub url: String,
    /// The cluster that serves it.
    pub cluster: String,
    /// Deadline of a call, 10 ms to 30 s.
    #[serde(default = "defaults::timeout")]
    pub timeout: TimeSpan,
    /// The filter's own id at the issuer, for HTTP Basic.
    pub client_id: String,
    /// The variable with its secret.
    pub client_secret: SecretRef,
    /// How long an active token is not asked about again, at most 1 h; never longer than its `exp`.
    #[serde(default = "defaults::introspection_cache")]
    pub cache: TimeSpan,
    /// The same for tokens that are not accepted.
    #[serde(default = "defaults::introspection_negative_cache")]
    pub negative_cache: TimeSpan,
}
