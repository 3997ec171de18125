//! Strips the built modules into `dist/` and judges them: `make build` and `make check-panics`.
//!
//! The README beside it says how to read what it prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports")]

mod budget;
mod flow;
mod interface;
mod module;
mod report;
mod site;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use budget::Budget;
use module::Module;
use portcullis_module_check::Result;
use portcullis_module_check::branches::{Hints, Profile};

/// Below this share of a profile's functions a module has too few hints, in percent.
const FRESH: usize = 90;

const USAGE: &str = "usage: portcullis-module-check strip PROFILES NAMED=PLAIN...
       portcullis-module-check check [--list | --update] FOLDER PROFILES NAMED=PLAIN...

strip   writes each module NAMED without its names to PLAIN, with hints from the folder PROFILES
check   judges modules: the names come from NAMED, and PLAIN has to be what `strip` makes of it.
        FOLDER holds budget.toml, imports.txt and exports.txt.
        --list prints each panic site; --update writes the numbers of this build into budget.toml";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["strip", profiles, pairs @ ..] => strip(Path::new(profiles), pairs).map(|()| true),
        ["check", "--list", folder, profiles, pairs @ ..] => check(folder, profiles, pairs, Mode::List),
        ["check", "--update", folder, profiles, pairs @ ..] => check(folder, profiles, pairs, Mode::Update),
        ["check", folder, profiles, pairs @ ..] => check(folder, profiles, pairs, Mode::Compare),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Compare,
    List,
    Update,
}

fn strip(profiles: &Path, pairs: &[&str]) -> Result<()> {
    for pair in pairs {
        let (named, plain) = pair.split_once('=').ok_or(USAGE)?;
        let (bytes, _) = plain_form(profiles, named, plain)?;
        fs::write(plain, bytes).map_err(|error| format!("{plain}: {error}"))?;
    }
    Ok(())
}

/// What `strip` makes of a module, and its hints; none for a module that has no profile.
fn plain_form(profiles: &Path, named: &str, plain: &str) -> Result<(Vec<u8>, Option<Hints>)> {
    let wasm = read(named)?;
    let stripped = module::without_custom_sections(&wasm).map_err(|error| format!("{named}: {error}"))?;
    let path = profiles.join(name_of(plain)).with_extension("txt");
    if !path.exists() {
        return Ok((stripped, None));
    }
    let profile =
        Profile::parse(&read_text(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let hints = profile.hints(&wasm).map_err(|error| format!("{named}: {error}"))?;
    Ok((hints.put_into(&stripped)?, Some(hints)))
}

/// `rate-limit` of `dist/rate-limit.wasm`.
fn name_of(plain: &str) -> String {
    Path::new(plain).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether everything is as it has to be; what is not goes to the standard error.
fn check(folder: &str, profiles: &str, pairs: &[&str], mode: Mode) -> Result<bool> {
    let folder = Path::new(folder);
    let budget_path = folder.join("budget.toml");
    let text = read_text(&budget_path)?;
    let budget = Budget::parse(&text).map_err(|error| format!("{}: {error}", budget_path.display()))?;
    let imports = read_text(&folder.join("imports.txt"))?;
    let exports = read_text(&folder.join("exports.txt"))?;

    let mut sites = BTreeMap::new();
    let mut problems = Vec::new();
    for pair in pairs {
        let (named, plain) = pair.split_once('=').ok_or(USAGE)?;
        let (expected, hints) = plain_form(Path::new(profiles), named, plain)?;
        if expected != read(plain)? {
            return Err(format!(
                "{plain} is not {named} without its names, with its hints: run `make build`"
            )
            .into());
        }
        let name = name_of(plain);
        if let Some(Hints { functions, found, .. }) = hints
            && found.saturating_mul(100) < functions.saturating_mul(FRESH)
        {
            problems.push(format!(
                "{name}: {found} of {functions} functions are as they were profiled: run `make profile`"
            ));
        }
        let module = Module::read(&read(named)?).map_err(|error| format!("{named}: {error}"))?;
        let (imports, exports) = (interface::names(&imports, &name), interface::names(&exports, &name));
        problems.extend(
            interface::problems(&module, &imports, &exports).iter().map(|line| format!("{name}: {line}")),
        );
        sites.insert(name, site::all(&module));
    }
    match mode {
        Mode::List => report::list(&sites),
        Mode::Update => fs::write(&budget_path, budget.with_numbers(&text, &sites))?,
        Mode::Compare => {}
    }
    let budget = if mode == Mode::Update { Budget::parse(&read_text(&budget_path)?)? } else { budget };
    let differences = budget.differences(&sites);
    report::table(&sites, &budget);
    for line in problems.iter().chain(&differences) {
        eprintln!("error: {line}");
    }
    if !differences.is_empty() {
        eprintln!(
            "tests/module-check/README.md says how to remove a panic site, or how to give the reason for it"
        );
    }
    Ok(problems.is_empty() && differences.is_empty())
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{path}: {error}: run `make build`").into())
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
