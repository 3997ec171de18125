//! What every Portcullis filter shares and no proxy is needed for: the request model, routes, configuration
//! loading, verdicts, denials and redaction. Pure: bytes and configuration in, values out; no ABI, no I/O, no clock.
//!
//! Words have one meaning everywhere: an *operation* is a method with a path template, an *identity* is always
//! verified, a *rule* selects operations and has a mode, a *verdict* is what one filter decided and why, a
//! *denial* is what the client gets.

pub mod client;
pub mod config;
pub mod constant_time;
pub mod control;
pub mod denial;
pub mod dns_pattern;
pub mod flow;
pub mod headers;
pub mod identity;
pub mod json;
pub mod networks;
pub mod path;
pub mod protobuf;
pub mod redact;
pub mod request;
pub mod response;
pub mod routes;
pub mod spiffe;
pub mod text_pattern;
pub mod time;
pub mod verdict;

pub use config::ConfigError;
pub use denial::Denial;
pub use flow::{Answer, Flow};
pub use headers::Headers;
pub use identity::Identity;
pub use request::Request;
pub use response::Response;
pub use text_pattern::TextPattern;
pub use time::UnixTime;
pub use verdict::{Mode, Reason, Verdict};
