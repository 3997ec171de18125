//! Every default, with its reason.

use portcullis_core::verdict::OnError;

use crate::config::Source;

/// An address is what an incident is traced by; where law asks for less there is an option.
pub const SOURCE: Source = Source::Full;

/// This filter decides nothing, so its own trouble is no reason to refuse a request. The event is written anyway.
pub const ON_ERROR: OnError = OnError::Allow;

/// Header fields in one event.
pub const MAX_HEADERS: usize = 16;

/// Filters whose published verdicts are read.
pub const MAX_FILTERS: usize = 16;

/// The filters that publish verdicts.
pub const FILTERS: [&str; 6] =
    ["header-guard", "jwt-auth", "access-control", "rate-limit", "schema-guard", "threat-guard"];
