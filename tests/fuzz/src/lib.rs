//! Fuzz targets: each takes any bytes and asserts what must hold of them. The engine (`main.rs`, libFuzzer) and the
//! test that replays the committed corpora call the same functions. README.md says what each target promises.
#![expect(clippy::panic, reason = "a target that finds something fails, as a test does")]

pub mod targets;

pub use targets::TARGETS;
