//! `jwt-auth`: lets only requests with a valid bearer token through (RFC 6750, 7519, 8725).
//!
//! It finds the token in the `authorization` field, checks it with the keys of its issuer, hands the identity to the
//! filters after it and, as configured, to the upstream in request fields that no client can write. Keys are in the
//! configuration or fetched from the issuer's JWK set address and refreshed, once for all workers.
//!
//! It does not issue or refresh tokens, log users in, or decide what an identity may do; it does not open encrypted
//! tokens or take shared secrets.
//!
//! ```json
//! {
//!   "providers": [{
//!     "name": "main",
//!     "issuer": "https://idp.example",
//!     "audiences": ["orders"],
//!     "jwks": {"remote": {"url": "https://idp.example/jwks", "cluster": "idp"}}
//!   }],
//!   "rules": [{"id": "health", "match": {"path": "/health"}, "require": "none"}]
//! }
//! ```

pub mod api_keys;
pub mod binding;
pub mod cache;
pub mod cache_control;
pub mod conditions;
pub mod config;
pub mod credentials;
pub mod defaults;
pub mod discovery;
pub mod fetched;
pub mod filter;
pub mod identity;
pub mod introspection;
pub mod judge;
pub mod keys;
pub mod meters;
pub mod native;
pub mod output;
pub mod plugin;
pub mod policy;
pub mod provider;
pub mod range;
pub mod refusal;
pub mod remote;
pub mod requirement;
pub mod revocation;
pub mod schedule;
pub mod source;
pub mod waiting;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure);
