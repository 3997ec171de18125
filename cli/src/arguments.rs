//! Reads the command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::grade::Grade;

/// What `portcullis --help` prints.
pub const HELP: &str = "\
usage: portcullis COMMAND

commands:
  headers URL|FILE   grade the header fields of a response
  lint FILE          find what an OpenAPI document leaves unbounded

`portcullis COMMAND --help` tells more.
";

/// What `portcullis headers --help` prints.
pub const HEADERS_HELP: &str = "\
usage: portcullis headers [OPTIONS] URL|FILE

Grades the header fields of a response against the profile of header-guard.

  URL    http:// or https://, asked once, for at most 10 s; redirects are not followed
  FILE   a response head as `curl -si` prints it; `-` is standard input

options:
  --json              print one JSON object
  --min-grade GRADE   exit status 1 if the grade is lower: A+, A, B, C, D, E or F
  --plaintext         the response in FILE came over http; else https is assumed
  -h, --help          print this

exit status: 0, 1 as --min-grade says, 2 for wrong usage or when there is no response to grade
";

/// What `portcullis lint --help` prints.
pub const LINT_HELP: &str = "\
usage: portcullis lint FILE

Finds strings, lists and numbers of requests that an OpenAPI document lets be of any size: one line each.

  FILE   the document (OpenAPI 3.0 or 3.1) as JSON; `-` is standard input

exit status: 0 if there is none, 1 if there is one, 2 for wrong usage or when FILE is no such document
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print a text.
    Help(&'static str),
    /// Grade a response.
    Headers(Headers),
    /// Check a document.
    Lint(PathBuf),
}

/// The arguments of `portcullis headers`.
#[derive(Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where the response comes from.
    pub source: Source,
    /// Print JSON.
    pub json: bool,
    /// The least grade that is a success.
    pub min_grade: Option<Grade>,
    /// Whether the response of a file came over http.
    pub plaintext: bool,
}

/// Where a response comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// A server.
    Url {
        /// With its scheme, `http` or `https`, and without user and password.
        url: String,
        /// Whether the scheme is `https`.
        secure: bool,
    },
    /// A file, or standard input for `-`.
    File(PathBuf),
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// What was expected, one line.
pub fn parse(arguments: &[OsString]) -> Result<Command, String> {
    let (command, rest) = arguments.split_first().ok_or("expected a command")?;
    match command.to_str() {
        Some("headers") => headers(rest),
        Some("lint") => lint(rest),
        Some("-h" | "--help" | "help") => Ok(Command::Help(HELP)),
        _ => Err(format!("expected the command `headers` or `lint`, found `{}`", command.display())),
    }
}

fn headers(arguments: &[OsString]) -> Result<Command, String> {
    let (mut json, mut min_grade, mut plaintext, mut only_operands) = (false, None, false, false);
    let mut operand: Option<&OsStr> = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let option = argument.to_str().filter(|text| !only_operands && text.len() > 1);
        match option {
            Some("-h" | "--help") => return Ok(Command::Help(HEADERS_HELP)),
            Some("--json") => json = true,
            Some("--plaintext") => plaintext = true,
            Some("--min-grade") => {
                let text = arguments.next().ok_or("expected a grade behind `--min-grade`")?;
                min_grade = Some(Grade::parse(&text.to_string_lossy())?);
            }
            Some("--") => only_operands = true,
            Some(text) if text.starts_with('-') => match text.strip_prefix("--min-grade=") {
                Some(grade) => min_grade = Some(Grade::parse(grade)?),
                None => return Err(format!("unknown option `{text}`")),
            },
            _ if operand.is_none() => operand = Some(argument),
            _ => return Err(format!("expected one URL or file, found `{}` too", argument.display())),
        }
    }
    let source = source(operand.ok_or("expected a URL or a file")?)?;
    if plaintext && matches!(source, Source::Url { .. }) {
        return Err("`--plaintext` is for files: the scheme of a URL says it".to_owned());
    }
    Ok(Command::Headers(Headers { source, json, min_grade, plaintext }))
}

fn lint(arguments: &[OsString]) -> Result<Command, String> {
    match arguments {
        [help] if help == "-h" || help == "--help" => Ok(Command::Help(LINT_HELP)),
        [file] => Ok(Command::Lint(file.into())),
        [end_of_options, file] if end_of_options == "--" => Ok(Command::Lint(file.into())),
        _ => Err("expected one file".to_owned()),
    }
}

fn source(operand: &OsStr) -> Result<Source, String> {
    let Some((scheme, rest)) = operand.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(Source::File(operand.into()));
    };
    let secure = scheme.eq_ignore_ascii_case("https");
    if !secure && !scheme.eq_ignore_ascii_case("http") {
        return Err(format!("expected a URL with http:// or https://, found {scheme}://"));
    }
    // They would be in every error text, and logs of pipelines are read by many.
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err("expected a URL without user and password".to_owned());
    }
    Ok(Source::Url { url: format!("{}://{rest}", scheme.to_ascii_lowercase()), secure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn file(path: &str) -> Headers {
        Headers { source: Source::File(path.into()), json: false, min_grade: None, plaintext: false }
    }

    fn url(url: &str, secure: bool) -> Headers {
        Headers { source: Source::Url { url: url.to_owned(), secure }, ..file("") }
    }

    #[test]
    fn command_lines() {
        for (line, expected) in [
            ("headers answer.txt", file("answer.txt")),
            ("headers -", file("-")),
            ("headers -- --json", file("--json")),
            ("headers --json answer.txt", Headers { json: true, ..file("answer.txt") }),
            ("headers answer.txt --json", Headers { json: true, ..file("answer.txt") }),
            ("headers - --plaintext", Headers { plaintext: true, ..file("-") }),
            ("headers - --min-grade b", Headers { min_grade: Some(Grade::B), ..file("-") }),
            ("headers - --min-grade=A+", Headers { min_grade: Some(Grade::APlus), ..file("-") }),
            ("headers http://a.test/x?y", url("http://a.test/x?y", false)),
            ("headers HTTPS://a.test/@x", url("https://a.test/@x", true)),
        ] {
            assert_eq!(parsed(line), Ok(Command::Headers(expected)), "{line}");
        }
        for (line, text) in [
            ("--help", HELP),
            ("-h", HELP),
            ("headers --help", HEADERS_HELP),
            ("headers x --json -h", HEADERS_HELP),
        ] {
            assert_eq!(parsed(line), Ok(Command::Help(text)), "{line}");
        }
    }

    #[test]
    fn wrong_command_lines() {
        for (line, expected) in [
            ("", "expected a command"),
            ("header x", "expected the command `headers` or `lint`, found `header`"),
            ("headers", "expected a URL or a file"),
            ("headers --jsn x", "unknown option `--jsn`"),
            ("headers a b", "expected one URL or file, found `b` too"),
            ("headers a --min-grade", "expected a grade behind `--min-grade`"),
            ("headers a --min-grade G", "expected a grade, one of A+, A, B, C, D, E, F, found `G`"),
            ("headers ftp://a.test", "expected a URL with http:// or https://, found ftp://"),
            ("headers https://u:p@a.test/", "expected a URL without user and password"),
            (
                "headers https://a.test/ --plaintext",
                "`--plaintext` is for files: the scheme of a URL says it",
            ),
        ] {
            assert_eq!(parsed(line), Err(expected.to_owned()), "{line}");
        }
    }
}
