//! Lengths of time within their bounds.

use std::time::Duration;

use portcullis_core::ConfigError;
use portcullis_core::config::TimeSpan;

/// A time from `min` to `max`.
///
/// # Errors
/// [`ConfigError`] at `member`.
pub fn span(member: &str, value: TimeSpan, min: TimeSpan, max: TimeSpan) -> Result<Duration, ConfigError> {
    if value < min || value > max {
        return Err(ConfigError::new(member, format!("expected {min} to {max}, found {value}")));
    }
    Ok(value.get())
}

/// Whole seconds from `min` to `max`: NumericDates have whole seconds here, and so do their tolerances.
///
/// # Errors
/// [`ConfigError`] at `member`.
pub fn seconds(member: &str, value: TimeSpan, min: TimeSpan, max: TimeSpan) -> Result<u64, ConfigError> {
    let duration = span(member, value, min, max)?;
    if duration.subsec_nanos() != 0 {
        return Err(ConfigError::new(member, format!("expected whole seconds, found {value}")));
    }
    Ok(duration.as_secs())
}
