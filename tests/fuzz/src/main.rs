//! The engine: libFuzzer over the target that the environment variable `FUZZ_TARGET` names. libFuzzer has the
//! arguments for itself.
#![no_main]
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a tool on the developer's machine, not a filter"
)]

use std::sync::LazyLock;

use portcullis_fuzz::targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    found.map_or_else(
        || panic!("set FUZZ_TARGET to a name in src/targets.rs, found `{wanted}`"),
        |(_, run)| *run,
    )
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
