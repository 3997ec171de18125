//! Runs `portcullis lint` as a user does.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a failed unwrap is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

fn portcullis(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"))
        .output()
        .unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

// covers: OWASP-API-09
#[test]
fn a_document_without_bounds_fails() {
    let (status, output, _) = portcullis(&["lint", "orders.json"]);
    let expected = "\
missing_bounds  integer  maximum or exclusiveMaximum  #/paths/~1orders/get/parameters/0/schema
missing_bounds  string   maxLength                    #/paths/~1orders/post/requestBody/content/application~1json/schema/properties/note
missing_bounds  array    maxItems                     #/paths/~1orders/post/requestBody/content/application~1json/schema/properties/tags
";
    assert_eq!((status, output.as_str()), (1, expected));
    let page = include_str!("../../docs/cli.md");
    assert!(page.contains(expected), "docs/cli.md shows another output");
}

#[test]
fn a_document_with_bounds_passes_in_silence() {
    assert_eq!(portcullis(&["lint", "bounded.json"]), (0, String::new(), String::new()));
}

#[test]
fn what_is_no_document_is_said() {
    for (file, said) in
        [("none.json", "none.json"), ("shop.txt", "document"), ("../../Cargo.toml", "document")]
    {
        let (status, output, error) = portcullis(&["lint", file]);
        assert_eq!((status, output.as_str()), (2, ""), "{file}");
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(portcullis(&["lint"]).0, 2);
    assert_eq!(portcullis(&["lint", "a", "b"]).0, 2);
    let (status, output, _) = portcullis(&["lint", "--help"]);
    assert_eq!(status, 0);
    assert!(include_str!("../../docs/cli.md").contains(&output));
}
