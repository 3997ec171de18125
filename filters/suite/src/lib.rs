//! `suite`: several Portcullis filters in one module and one VM, in the order of the configuration.
//!
//! It decides nothing itself. One snapshot of the header fields serves all filters, and identity and verdicts pass
//! from one to the next in memory, which costs less than a filter per VM.
//!
//! ```json
//! {"filters": [{"filter": "header-guard"}, {"filter": "audit", "config": {}}]}
//! ```

mod config;
pub mod plugin;

#[cfg(feature = "module")]
portcullis_host::module!(chain: plugin::configure);
