//! `header-guard`: nothing spoofed gets in, nothing that helps an attacker gets out.
//!
//! Requests: what only a proxy may say about a client (identity, addresses, certificates, overrides) is removed,
//! ambiguous and malformed fields are refused. Responses: security fields are set on every final reply, fields that
//! tell about the software are removed. `{}` is a full configuration:
//!
//! ```json
//! {"request": {"keep": ["x-user-id"]}, "response": {"set": {"server": "api"}}}
//! ```
//!
//! It does not judge bodies, or who the client is; it does not see the responses to requests that the proxy's codec
//! refused.

pub mod bytes;
pub mod checks;
pub mod config;
pub mod cors;
pub mod cross_site;
pub mod data;
pub mod defaults;
pub mod denials;
pub mod limits;
pub mod meters;
pub mod names;
pub mod origin;
pub mod outgoing;
pub mod plugin;
pub mod policy;
pub mod request;
pub mod response;
pub mod syntax;
pub mod zone;

pub use config::Config;
pub use policy::Policy;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure);
