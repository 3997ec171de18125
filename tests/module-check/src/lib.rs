//! What `make build` and the profiler (`tests/profile`) both know of a compiled module.

pub mod branches;

use std::error::Error;

/// Any error of these tools is a sentence for whoever runs them.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A name as in the source, without the hash that changes with the compiler and the machine.
#[must_use]
pub fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}
