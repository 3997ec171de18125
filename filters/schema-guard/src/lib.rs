//! Lets only those requests pass that an OpenAPI 3.0 or 3.1 document describes: path and method, path, query, header
//! and cookie parameters, media type and JSON body.
//!
//! It does not check responses, forms and multipart bodies (these are refused with 415 where a schema would have to be
//! checked), nor the document's `security`: that is the business of `jwt-auth`. It changes nothing about a request.
//!
//! ```json
//! {"document": {"openapi": "3.1.0", "paths": {"/health": {"get": {}}}}, "max_body": "64KiB"}
//! ```

pub mod bounds;
pub mod config;
// They read and unpack files, which takes a process that WASI has not.
#[cfg(not(target_os = "wasi"))]
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "tests read files and say what they skip"
)]
mod corpora;
mod defaults;
mod document;
mod openapi;
pub mod plugin;
pub mod policy;
mod schema;

#[cfg(feature = "module")]
portcullis_host::module!(plugin::configure);
