//! What `make build` and the profiler (`tests/profile`) both know of a compiled module.

pub mod branches;

use std::collections::BTreeMap;
use std::error::Error;

use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// Any error of these tools is a sentence for whoever runs them.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many functions a module imports; the indices of its own begin there.
///
/// # Errors
/// When it is no module.
pub fn imported_functions(wasm: &[u8]) -> Result<u32> {
    let mut count: u32 = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                count = count.saturating_add(matches!(import?.ty, TypeRef::Func(_)).into());
            }
        }
    }
    Ok(count)
}

/// The names of a module's functions by their index, as in the source; none for a module without names.
///
/// # Errors
/// When it is no module.
pub fn function_names(wasm: &[u8]) -> Result<Option<BTreeMap<u32, String>>> {
    let mut names = None;
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CustomSection(section) = payload? else {
            continue;
        };
        let KnownCustom::Name(subsections) = section.as_known() else {
            continue;
        };
        for subsection in subsections {
            if let Name::Function(map) = subsection? {
                let names: &mut BTreeMap<_, _> = names.get_or_insert_default();
                for naming in map {
                    let naming = naming?;
                    names.insert(naming.index, demangled(naming.name));
                }
            }
        }
    }
    Ok(names)
}

/// Without the hash that changes with the compiler and the machine.
fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}
