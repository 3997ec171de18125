//! Every input of the committed corpora through its target, as `make fuzz` would run it.
// There are no files in the wasm engine.
#![cfg(not(target_os = "wasi"))]
#![expect(clippy::print_stderr, reason = "says which input broke a promise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_fuzz::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}

#[test]
fn every_committed_input_keeps_the_promises_of_its_target() {
    for (name, run) in TARGETS {
        let inputs: Vec<PathBuf> = fs::read_dir(corpora().join(name))
            .unwrap_or_else(|_| panic!("{name} has no corpus: put seeds into corpora/{name}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(inputs.len() >= 3, "{name} has hardly any inputs: put seeds into corpora/{name}");
        for input in inputs {
            // Shown only when the target fails.
            eprintln!("{}", input.display());
            run(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let known: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(name.as_str()), "corpora/{name} is no target's");
    }
}
