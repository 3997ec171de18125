//! Every default, with its reason.

use portcullis_core::config::{ByteSize, TimeSpan};
use portcullis_core::verdict::Mode;

use crate::config::{Profile, Zone};

/// The peer is a stranger: trusting one by default is how spoofed headers get in (CVE-2024-45806).
pub const ZONE: Zone = Zone::Edge;

/// The only profile there is yet.
pub const PROFILE: Profile = Profile::Api2026;

/// Envoy's own default; browsers send about 20.
pub const MAX_HEADERS: usize = 100;

/// Query parameters; forms that are longer belong into a body.
pub const MAX_QUERY_PARAMETERS: usize = 200;

/// A browser keeps up to 180 for a site; more than half of that is more than any server has set.
pub const MAX_COOKIES: usize = 100;

/// Fields with a bound of their own, in bytes. Browsers cut `Referer` down to its origin where it is longer than 4,096
/// characters (Referrer Policy, "Determine request's Referrer"). Their `User-Agent` has 100 to 300 bytes, that of a browser within an
/// application up to 600.
pub const MAX_VALUES: [(&str, usize); 2] = [("referer", 4096), ("user-agent", 1024)];

/// What browsers send to another origin without asking (Fetch standard, "CORS-safelisted method"): leaving them out
/// would stop nothing.
pub const CORS_METHODS: [&str; 3] = ["GET", "HEAD", "POST"];

/// Long enough to spare a page most preflights, short enough that a stricter policy holds soon.
pub const CORS_MAX_AGE: TimeSpan = TimeSpan::from_secs(600);

/// What other sites may call is the operator's to know; refusing it by default would break public APIs.
pub const CROSS_SITE_MODE: Mode = Mode::Off;

/// Half of Envoy's default of 60 KiB, and what most servers behind it take.
#[must_use]
pub fn max_header_bytes() -> ByteSize {
    kib(32)
}

/// A token with many roles is about 4 KiB; application servers begin to fail at 8 KiB.
#[must_use]
pub fn max_value() -> ByteSize {
    kib(8)
}

/// The longest registered field name has 40 bytes.
#[must_use]
pub fn max_name() -> ByteSize {
    ByteSize::new(256)
}

/// RFC 9110 section 4.1 asks servers for at least 8,000 octets.
#[must_use]
pub fn max_path() -> ByteSize {
    kib(8)
}

fn kib(count: usize) -> ByteSize {
    ByteSize::new(count.saturating_mul(1024))
}
