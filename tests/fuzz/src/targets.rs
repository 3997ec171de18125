//! The targets, and what several of them use.

mod audit;
mod binding;
mod configuration;
mod jose;
mod json;
mod life_cycle;
mod request;
mod schema;

/// Takes any bytes; panics when a promise is broken.
pub type Target = fn(&[u8]);

/// All targets by name. A new one is a line here and a folder of seeds in `corpora/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("audit_event", audit::event),
    ("certificate", binding::certificate),
    ("client_address", request::client_address),
    ("configuration", configuration::configuration),
    ("configuration_struct", configuration::protobuf_struct),
    ("content_type", schema::content_type),
    ("cookies", schema::cookies),
    ("dpop", binding::dpop),
    ("headers", request::headers),
    ("json", json::json),
    ("jwks", jose::jwks),
    ("jwt", jose::jwt),
    ("life_cycle_audit", life_cycle::audit),
    ("life_cycle_header_guard", life_cycle::header_guard),
    ("life_cycle_jwt_auth", life_cycle::jwt_auth),
    ("life_cycle_rate_limit", life_cycle::rate_limit),
    ("life_cycle_schema_guard", life_cycle::schema_guard),
    ("life_cycle_suite", life_cycle::suite),
    ("openapi", schema::openapi),
    ("path", request::path),
    ("pattern", schema::pattern),
    ("query", schema::query),
    ("routes", request::routes),
];

/// The time at which all targets run, in seconds since the epoch; the tokens of seeds are valid then.
const NOW: u64 = 1_800_000_000;

/// Cuts a line off the front; what follows the last line is empty.
fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    (line, rest.get(1..).unwrap_or_default())
}

/// Asserts what every message to an operator must be: one line without control characters, not empty.
fn assert_one_line(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}
