//! `audit`: one event for each request, whoever answered it.
//!
//! The event is one line of JSON in the filter-state property `portcullis.audit`, written when the stream ends;
//! Envoy's own access loggers deliver it with `%FILTER_STATE(wasm.portcullis.audit:PLAIN)%`. It never holds a query,
//! a body, a token or a header that was not asked for, and whatever a client sends it stays one line. `{}` is a full
//! configuration:
//!
//! ```json
//! {"fields": ["bytes", "upstream"], "headers": ["user-agent"]}
//! ```
//!
//! It decides nothing. It does not see what ends before a request begins: failed TLS handshakes, idle connections.

pub mod answer;
pub mod config;
pub mod defaults;
pub mod event;
pub mod line;
pub mod plugin;
pub mod policy;
pub mod redaction;
pub mod time;
pub mod trace;

pub use config::Config;
pub use policy::Policy;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure, log);
