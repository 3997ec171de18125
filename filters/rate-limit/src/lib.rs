//! Portcullis filter `rate-limit`: token buckets by client address, verified claim or header field, exact across
//! Envoy's workers and in bounded memory.
//!
//! Guards against floods, brute force and unfair use (OWASP API4:2023). It does *not* verify who a client is
//! (`jwt-auth` before it does), count across several Envoys, or look into bodies.
//!
//! ```yaml
//! limits:
//! - {id: per-client, key: [client_address], requests: 100, per: "1m", burst: 20}
//! - {id: login, match: {methods: [POST], path: /login}, key: [client_address], requests: 5, per: "1m"}
//! - {id: per-user, key: [{claim: sub}], missing: skip, requests: 1000, per: "1h"}
//! ```
//!
//! ```text
//! request -> policy (which limits) -> key (whose bucket) -> table (read, compare-and-swap) -> set -> rate (GCRA)
//! ```

pub mod config;
pub mod defaults;
pub mod hash;
pub mod key;
pub mod plugin;
pub mod policy;
pub mod rate;
pub mod set;
pub mod table;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure);
