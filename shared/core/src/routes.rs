//! The one matcher of all filters: which rule is for this request.
//!
//! A selector names methods, a path template, hosts and headers; what it does not name does not matter. Templates
//! are matched against the canonical path ([`crate::path`]), so an encoding can't lead around a rule.

mod selector;
mod table;
mod template;

pub use selector::{HeaderSelector, Selector};
pub use table::{Match, RouteTable};
