//! What keeps panics and silent wrap-around out of the source is in force: lints, and the profile of the modules.

use std::error::Error;

use toml::{Table, Value};

/// The lints without which a panic or a lossy cast could be written.
const DENIED: [&str; 14] = [
    "unwrap_used",
    "expect_used",
    "panic",
    "todo",
    "unimplemented",
    "unreachable",
    "indexing_slicing",
    "string_slice",
    "arithmetic_side_effects",
    "cast_possible_truncation",
    "cast_possible_wrap",
    "cast_sign_loss",
    "cast_precision_loss",
    "disallowed_methods",
];

fn manifest(folder: &str) -> Result<Table, Box<dyn Error>> {
    let path = format!("{}/../../{folder}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    Ok(std::fs::read_to_string(path)?.parse()?)
}

// covers: HOST-TRAP-08, HOST-TRAP-09
#[test]
fn arithmetic_and_casts_are_checked_in_every_crate() {
    let workspace = manifest(".").unwrap();
    let lints = &workspace["workspace"]["lints"]["clippy"];
    for lint in DENIED {
        assert_eq!(lints.get(lint).and_then(Value::as_str), Some("deny"), "{lint}");
    }
    let release = &workspace["profile"]["release"];
    assert_eq!(release["overflow-checks"].as_bool(), Some(true));
    assert_eq!(release["panic"].as_str(), Some("abort"));
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap();
        let inherited =
            manifest(folder).unwrap().get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
        assert_eq!(inherited, Some(true), "{folder}");
    }
}
