//! `portcullis`: what the filters know, on the command line. docs/cli.md is its page.
//!
//! `portcullis headers URL|FILE` grades the header fields of a response against the profile that `header-guard` sets.
//! It sees one response as one client gets it; it neither follows redirects nor looks at bodies.
//! `portcullis lint FILE` finds what an OpenAPI document for `schema-guard` leaves unbounded.

mod arguments;
mod content_security_policy;
mod cookies;
mod fetch;
mod grade;
mod input;
mod lint;
mod profile;
mod report;
mod response_head;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use arguments::{Command, Headers, Source};

/// The grade is lower than the operator asked for, or a document misses bounds.
const TOO_LOW: u8 = 1;
/// Wrong usage, or an input that is no response.
const NO_ANSWER: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (output, status) = match arguments::parse(&arguments) {
        Ok(Command::Help(text)) => (text.to_owned(), 0),
        Ok(Command::Headers(headers)) => match judge(&headers) {
            Ok(answer) => answer,
            Err(problem) => return fail(&problem),
        },
        Ok(Command::Lint(path)) => match lint::lint(&path) {
            Ok(lines) => {
                let status = if lines.is_empty() { 0 } else { TOO_LOW };
                (lines, status)
            }
            Err(problem) => return fail(&format!("{}: {problem}", path.display())),
        },
        Err(problem) => return fail(&format!("{problem}\nsee `portcullis --help`")),
    };
    match io::stdout().write_all(output.as_bytes()) {
        Ok(()) => ExitCode::from(status),
        Err(error) => fail(&format!("standard output: {error}")),
    }
}

/// What to print and the exit status.
fn judge(headers: &Headers) -> Result<(String, u8), String> {
    let (response, secure) = match &headers.source {
        Source::Url { url, secure } => {
            (fetch::fetch(url).map_err(|problem| format!("{url}: {problem}"))?, *secure)
        }
        Source::File(path) => (
            response_head::read(path).map_err(|problem| format!("{}: {problem}", path.display()))?,
            !headers.plaintext,
        ),
    };
    let report = grade::grade(&response, secure);
    let output = if headers.json { report::json(&report) } else { report::table(&report) };
    let too_low = headers.min_grade.is_some_and(|least| report.grade < least);
    Ok((output, if too_low { TOO_LOW } else { 0 }))
}

fn fail(problem: &str) -> ExitCode {
    // Nobody is left to tell when this fails too.
    let _ = writeln!(io::stderr(), "portcullis: {problem}");
    ExitCode::from(NO_ANSWER)
}
