//! Portcullis filter `rate-limit`: token buckets, limits on concurrency and lock-outs by client address, verified claim,
//! account or header field, exact across Envoy's workers and in bounded memory.
//!
//! Guards against floods, brute force and unfair use (OWASP API4:2023, API6:2023, API2:2023). It does *not* verify who a
//! client is (`jwt-auth` before it does).
//!
//! ```yaml
//! limits:
//! - {id: per-client, key: [client_address], requests: 100, per: "1m", burst: 20}
//! - {id: uploads, match: {methods: [PUT]}, key: [{claim: sub}], missing: skip, concurrent: 4}
//! - {id: login, match: {methods: [POST], path: /login}, key: [{body: user}], failures: {allowed: 5}}
//! ```
//!
//! ```text
//! request -> policy (which limits) -> key (whose) -> table (read, compare-and-swap) -> set -> meter (rate, concurrency, lockout)
//! ```

pub mod answer;
pub mod body;
pub mod concurrency;
pub mod config;
pub mod cost;
pub mod defaults;
pub mod exemption;
pub mod form;
pub mod hash;
pub mod key;
pub mod lease;
pub mod limit;
pub mod lockout;
pub mod meter;
pub mod plugin;
pub mod policy;
pub mod rate;
pub mod service;
pub mod set;
pub mod table;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure, log);
