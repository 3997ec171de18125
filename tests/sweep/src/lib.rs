//! Every filter, as it ships in `dist/`, on a proxy-wasm host that misbehaves.
//!
//! [`subject::all`] is the one place where a filter joins: the matrix of faults, the random callbacks and the tests of
//! limits take their subjects from there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests: a surprise is a failed test"
)]

pub mod faults;
pub mod matrix;
pub mod random;
pub mod subject;
