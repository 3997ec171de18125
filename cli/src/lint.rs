//! `portcullis lint FILE`: what an OpenAPI document lets requests be too large in.

use std::fmt::Write as _;
use std::path::Path;

use portcullis_schema_guard::bounds::{self, MissingBound};
use serde_json::Value;

use crate::input;

/// More than the largest public documents have.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A line for each missing bound; empty when there is none.
///
/// # Errors
/// A file that can't be read, and one that is no OpenAPI document as JSON text.
pub fn lint(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(input::read(path, MAX_BYTES)?).map_err(|error| error.to_string())?;
    let missing = bounds::missing(Value::String(text)).map_err(|error| error.to_string())?;
    Ok(lines(&missing))
}

fn lines(missing: &[MissingBound]) -> String {
    let mut output = String::new();
    for MissingBound { pointer, of, keywords } in missing {
        // INVARIANT: writing to a string does not fail.
        let _ = writeln!(output, "missing_bounds  {of:<7}  {:<27}  #{pointer}", keywords.join(" or "));
    }
    output
}
