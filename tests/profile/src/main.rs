//! Writes the profiles of the modules: `make profile`.
//!
//! Each module is instrumented so that it reports its conditional branches ([`instrument`]), and answers ordinary
//! requests in the fault-injecting host ([`training`]). What it saw becomes hints in the next `make build`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

mod instrument;
mod training;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use portcullis_module_check::Result;
use portcullis_module_check::branches::{Key, Profile, Way, functions};

const USAGE: &str = "usage: portcullis-profile FOLDER MODULE=NAMED...

Writes FOLDER/MODULE.txt for each module, from the build NAMED, which has the names of its functions.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, pairs @ ..] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    for pair in pairs {
        if let Err(error) = profile(Path::new(folder), pair) {
            eprintln!("{pair}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn profile(folder: &Path, pair: &str) -> Result<()> {
    let (module, path) = pair.split_once('=').ok_or(USAGE)?;
    let named = fs::read(path).map_err(|error| format!("{error}: run `make build`"))?;
    let counts = training::run(module, &instrument::instrument(&named)?)?;
    let profile = seen(&named, &counts)?;
    let known: usize = profile.0.values().flatten().filter(|way| **way != Way::Unknown).count();
    println!("  {module:<14} {:>5} functions, {known:>6} branches", profile.0.len());
    Ok(fs::write(folder.join(module).with_extension("txt"), profile.to_text())?)
}

/// The profile of the functions that ran. Branches are numbered through the module, as [`instrument`] does.
fn seen(named: &[u8], counts: &BTreeMap<u32, (u64, u64)>) -> Result<Profile> {
    let mut merged: BTreeMap<Key, Vec<(u64, u64)>> = BTreeMap::new();
    let mut numbers = 0_u32..;
    for function in functions(named)? {
        let own: Vec<_> = numbers
            .by_ref()
            .take(function.branches.len())
            .map(|number| counts.get(&number).copied().unwrap_or_default())
            .collect();
        // Instances of one generic function have one name, and seldom the same size: then they count together.
        let sums = merged.entry(function.key).or_insert_with(|| vec![(0, 0); own.len()]);
        for (sum, (taken, not_taken)) in sums.iter_mut().zip(own) {
            *sum = (sum.0.saturating_add(taken), sum.1.saturating_add(not_taken));
        }
    }
    let ways = |counts: Vec<(u64, u64)>| -> Vec<Way> {
        counts.into_iter().map(|(taken, not_taken)| Way::seen(taken, not_taken)).collect()
    };
    let ran = merged.into_iter().map(|(key, counts)| (key, ways(counts)));
    Ok(Profile(ran.filter(|(_, ways)| ways.iter().any(|way| *way != Way::Unknown)).collect()))
}

#[cfg(test)]
mod tests {
    use proxy_wasm_fault_host::{Callback, Module, Proxy, Vm};
    use wasmparser::{KnownCustom, Parser, Payload, Validator};

    use super::*;

    /// `f` is called for each number below its argument; every 25th is another matter.
    const TEXT: &str = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $f (param i32) (result i32)
            (if (result i32) (i32.rem_u (local.get 0) (i32.const 25)) (then (i32.const 1)) (else (i32.const 2))))
        (func $never (param i32) (if (local.get 0) (then nop)))
        (func (export "proxy_on_log") (param i32)
            (loop $again
                (drop (call $f (local.get 0)))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

    fn text() -> Vec<u8> {
        // The host reads text and binary modules; the tools read binary ones.
        wat::parse_str(TEXT).unwrap()
    }

    #[test]
    fn a_module_is_hinted_by_what_it_did() {
        let named = text();
        let instrumented = instrument::instrument(&named).unwrap();
        Validator::new().validate_all(&instrumented).unwrap();
        let mut vm = Vm::start(&Module::new(&instrumented).unwrap(), Proxy::at(0)).unwrap();
        vm.call(&Callback::log(100)).unwrap();
        assert_eq!(vm.proxy().branches, BTreeMap::from([(0, (96, 4)), (2, (99, 1))]));

        let profile = seen(&named, &vm.proxy().branches).unwrap();
        assert_eq!(Profile::parse(&profile.to_text()).unwrap(), profile);
        assert_eq!(profile.0.len(), 2);

        let hints = profile.hints(&named).unwrap();
        assert_eq!((hints.found, hints.functions), (2, 2));
        let hinted = hints.put_into(&named).unwrap();
        Validator::new().validate_all(&hinted).unwrap();
        let sections = Parser::new(0).parse_all(&hinted).filter_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::BranchHints(functions) => Some(functions),
                _ => None,
            },
            _ => None,
        });
        let read: Vec<(u32, Vec<(u32, bool)>)> = sections
            .flatten()
            .map(|function| function.unwrap())
            .map(|function| {
                let hints = function.hints.into_iter().map(|hint| hint.unwrap());
                (function.func, hints.map(|hint| (hint.func_offset, hint.taken)).collect())
            })
            .collect();
        let known = functions(&named).unwrap();
        let hint = |function: &portcullis_module_check::branches::Function, taken| {
            (function.index, vec![(function.branches[0], taken)])
        };
        assert_eq!(read, [hint(&known[0], true), hint(&known[2], true)]);
    }

    #[test]
    fn a_function_that_was_changed_gets_no_hints() {
        let named = text();
        let branches = BTreeMap::from([(0, (96, 4)), (2, (99, 1))]);
        let mut profile = seen(&named, &branches).unwrap();
        let (mut key, ways) = profile.0.pop_first().unwrap();
        key.instructions += 1;
        profile.0.insert(key, ways);
        let hints = profile.hints(&named).unwrap();
        assert_eq!((hints.found, hints.functions), (1, 2));
    }
}
