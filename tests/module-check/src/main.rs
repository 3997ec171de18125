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
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use budget::Budget;
use module::Module;

/// Any error of this tool is a sentence for whoever runs it.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: portcullis-module-check strip NAMED=PLAIN...
       portcullis-module-check check [--list | --update] FOLDER NAMED=PLAIN...

strip   writes each module NAMED without its names to PLAIN
check   judges modules: the names come from NAMED, and PLAIN has to be NAMED without them.
        FOLDER holds budget.toml, imports.txt and exports.txt.
        --list prints each panic site; --update writes the numbers of this build into budget.toml";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["strip", pairs @ ..] => strip(pairs).map(|()| true),
        ["check", "--list", folder, pairs @ ..] => check(Path::new(folder), pairs, Mode::List),
        ["check", "--update", folder, pairs @ ..] => check(Path::new(folder), pairs, Mode::Update),
        ["check", folder, pairs @ ..] => check(Path::new(folder), pairs, Mode::Compare),
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

fn strip(pairs: &[&str]) -> Result<()> {
    for pair in pairs {
        let (named, plain) = pair.split_once('=').ok_or(USAGE)?;
        fs::write(plain, plain_form(named)?).map_err(|error| format!("{plain}: {error}"))?;
    }
    Ok(())
}

/// What `strip` makes of a module.
fn plain_form(named: &str) -> Result<Vec<u8>> {
    module::without_custom_sections(&read(named)?).map_err(|error| format!("{named}: {error}").into())
}

/// Whether everything is as it has to be; what is not goes to the standard error.
fn check(folder: &Path, pairs: &[&str], mode: Mode) -> Result<bool> {
    let budget_path = folder.join("budget.toml");
    let text = read_text(&budget_path)?;
    let budget = Budget::parse(&text).map_err(|error| format!("{}: {error}", budget_path.display()))?;
    let imports = read_text(&folder.join("imports.txt"))?;
    let exports = read_text(&folder.join("exports.txt"))?;

    let mut sites = BTreeMap::new();
    let mut problems = Vec::new();
    for pair in pairs {
        let (named, plain) = pair.split_once('=').ok_or(USAGE)?;
        if plain_form(named)? != read(plain)? {
            return Err(format!("{plain} is not {named} without its names: run `make build`").into());
        }
        let module = Module::read(&read(named)?).map_err(|error| format!("{named}: {error}"))?;
        let name = Path::new(plain).file_stem().unwrap_or_default().to_string_lossy().into_owned();
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
