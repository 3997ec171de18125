//! Outside test suites, run as they are: the corpora in the directory that `PORTCULLIS_CORPORA` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use portcullis_core::{ConfigError, Headers, Request};
use serde_json::{Value, json};

use crate::document::{Document, Version};
use crate::policy::{Next, Policy};
use crate::schema::{Compiler, Outcome};

/// The file of a corpus; none, with a note on what is skipped, when there are no corpora.
fn file(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("PORTCULLIS_CORPORA").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("skipped: corpus {name} (PORTCULLIS_CORPORA is not set)");
    }
    directory.map(|directory| directory.join(name))
}

/// The text of a file, unpacked if it is packed.
fn read(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
        assert!(output.status.success(), "{}", path.display());
        return String::from_utf8(output.stdout).unwrap();
    }
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(path: &Path) -> Vec<Value> {
    read(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a case is known to get wrong, by the id's beginning: `<id or beginning of ids>*  <reason>`.
struct KnownMisses(Vec<(String, String)>);

impl KnownMisses {
    fn read(text: &str) -> Self {
        let line =
            |line: &str| line.split_once("  ").map(|(id, reason)| (id.to_owned(), reason.trim().to_owned()));
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        Self(lines.map(|text| line(text).unwrap_or_else(|| panic!("no reason: {text}"))).collect())
    }

    /// Fails on a miss that is not listed, and on a listed one that is none any more.
    fn compare(&self, misses: &BTreeMap<String, String>, total: usize) {
        let is_for = |pattern: &str, id: &str| match pattern.strip_suffix('*') {
            Some(start) => id.starts_with(start),
            None => id == pattern,
        };
        let unknown: Vec<_> =
            misses.iter().filter(|(id, _)| !self.0.iter().any(|(pattern, _)| is_for(pattern, id))).collect();
        let stale: Vec<_> =
            self.0.iter().filter(|(pattern, _)| !misses.keys().any(|id| is_for(pattern, id))).collect();
        eprintln!("{} of {total} cases as expected, {} known misses", total - misses.len(), misses.len());
        assert!(
            unknown.is_empty() && stale.is_empty(),
            "new misses: {unknown:#?}\nlisted, but no miss: {stale:#?}"
        );
    }
}

fn outcome(schema: &Value, instance: &Value) -> Result<Outcome, ConfigError> {
    let document = Document::of(schema.clone(), Version::V31)?;
    let mut compiler = Compiler::new(&document, false);
    let id = compiler.schema(&document.root())?;
    Ok(compiler.finish().0.validate(id, instance, instance.to_string().len()))
}

#[test]
fn json_schema_test_suite() {
    let Some(path) = file("json-schema/cases.jsonl") else {
        return;
    };
    let cases = lines(&path);
    let (mut misses, mut total) = (BTreeMap::new(), 0);
    for case in cases.iter().filter(|case| case["draft"] == "draft2020-12") {
        total += 1;
        let found = match outcome(&case["schema"], &case["data"]) {
            Err(error) => format!("refused at load: {error}"),
            Ok(Outcome::Valid) => "valid".to_owned(),
            Ok(Outcome::Invalid(violations)) => {
                assert!(!violations.is_empty());
                "invalid".to_owned()
            }
            Ok(Outcome::TooComplex) => "too complex".to_owned(),
        };
        let expected = if case["valid"] == true { "valid" } else { "invalid" };
        if found != expected {
            let id = case["id"].as_str().unwrap().to_owned();
            misses.insert(id, format!("{}: expected {expected}, {found}", case["test"]));
        }
    }
    KnownMisses::read(include_str!("../tests/json-schema-misses.txt")).compare(&misses, total);
}

#[test]
fn real_documents_compile() {
    let Some(index) = file("openapi-docs/index.jsonl") else {
        return;
    };
    for entry in lines(&index) {
        let text = read(&index.with_file_name(entry["file"].as_str().unwrap()));
        let start = Instant::now();
        let document = Document::new(Value::String(text)).unwrap();
        let parsed = start.elapsed();
        for close in [true, false] {
            let reading = crate::openapi::Reading { base_path: "", close };
            let (api, warnings) =
                crate::openapi::Api::new(&document, &reading).unwrap_or_else(|error| panic!("{error}"));
            eprintln!(
                "{}: parsed in {parsed:?}, compiled after {:?}, {} nodes, {} warnings",
                entry["id"],
                start.elapsed(),
                api.schemas().node_count(),
                warnings.len()
            );
        }
    }
}

/// The policy's answer to a case, and what it says about it.
fn answer(case: &Value) -> Result<(), String> {
    let config = json!({
        "document": case["document"], "unknown_query": "allow", "unknown_properties": "schema", "base_path": base_path(case),
    });
    let config = portcullis_core::config::load(config.to_string().as_bytes())
        .map_err(|error| format!("load: {error}"))?;
    let policy = Policy::new(config).map_err(|error| format!("load: {error}"))?;
    let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let mut target = escaped(&text("path"));
    if !text("query").is_empty() {
        target = format!("{target}?{}", escaped(&text("query")));
    }
    let mut headers = Headers::default();
    headers.append(b":method", text("method").as_bytes());
    headers.append(b":path", target.as_bytes());
    for pair in case["headers"].as_array().unwrap() {
        let name = pair[0].as_str().unwrap().to_ascii_lowercase();
        headers.append(name.as_bytes(), pair[1].as_str().unwrap().as_bytes());
    }
    if let (Some(content_type), false) = (case["content_type"].as_str(), headers.contains(b"content-type")) {
        headers.append(b"content-type", content_type.as_bytes());
    }
    let cookies: Vec<_> = case["cookies"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    if !cookies.is_empty() {
        headers.append(b"cookie", cookies.join("; ").as_bytes());
    }
    let body = case["body"].as_str();
    let request = Request::new(headers, body.is_none_or(str::is_empty));
    let checked = policy.check_head(&request).next.and_then(|next| match next {
        Next::Pass => Ok(()),
        Next::Body(check) => policy.check_body(check, body.unwrap_or_default().as_bytes()),
    });
    checked.map_err(|denial| format!("{} {:?}", denial.reason.as_str(), denial.errors))
}

/// The path of the document's first server: the paths of the cases have it.
fn base_path(case: &Value) -> String {
    let server = case["document"]["servers"][0]["url"].as_str().unwrap_or_default();
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.find('/').map_or_else(String::new, |at| rest.split_at(at).1.trim_end_matches('/').to_owned())
}

/// Characters that a test suite may hold, but that no client sends as they are.
fn escaped(text: &str) -> String {
    text.replace(' ', "%20").replace('"', "%22").replace('|', "%7C").replace('{', "%7B").replace('}', "%7D")
}

#[test]
fn requests_against_documents() {
    let Some(path) = file("openapi-requests/cases.jsonl") else {
        return;
    };
    let (mut misses, mut disputed, mut total) = (BTreeMap::new(), 0, 0);
    for case in lines(&path) {
        let answer = answer(&case);
        let found = if answer.is_ok() { "accept" } else { "reject" };
        let load_failed = answer.as_ref().is_err_and(|error| error.starts_with("load: "));
        let as_expected = case["expect"] == found && !load_failed;
        if case["disputed"] == true {
            disputed += usize::from(!as_expected);
            continue;
        }
        total += 1;
        if !as_expected {
            let id = case["id"].as_str().unwrap().to_owned();
            misses.insert(id, format!("{}: expected {}, {answer:?}", case["reason"], case["expect"]));
        }
    }
    eprintln!("disputed cases with the other verdict: {disputed}");
    KnownMisses::read(include_str!("../tests/openapi-requests-misses.txt")).compare(&misses, total);
}

// covers: ENV-BODY-12
#[test]
fn bodies_are_read_as_rfc_8259_has_it() {
    let Some(path) = file("json-parsing/cases.jsonl") else {
        return;
    };
    let document = json!({"openapi": "3.1.0", "paths": {"/": {"post": {"requestBody": {"content": {"application/json": {}}}}}}});
    let config = portcullis_core::config::load(json!({"document": document}).to_string().as_bytes()).unwrap();
    let policy = Policy::new(config).unwrap();
    let head = [(":method", "POST"), (":path", "/"), ("content-type", "application/json")];
    let Ok(Next::Body(check)) = policy.check_head(&Request::new(head.into_iter().collect(), false)).next
    else {
        panic!("a body is needed");
    };
    let (mut misses, mut total) = (BTreeMap::new(), 0);
    // The empty text is no body at all.
    for case in lines(&path).iter().filter(|case| case["bytes_base64"] != "") {
        let found = policy.check_body(check, &base64(case["bytes_base64"].as_str().unwrap()));
        total += 1;
        if case["expect"] == if found.is_ok() { "reject" } else { "accept" } {
            misses.insert(
                case["id"].as_str().unwrap().to_owned(),
                format!("{:?}", found.err().map(|denial| denial.errors)),
            );
        }
    }
    KnownMisses::read(include_str!("../tests/json-parsing-misses.txt")).compare(&misses, total);
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            .iter()
            .position(|one| *one == byte)
    };
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let digits: Vec<usize> = group.iter().filter_map(|byte| digit(*byte)).collect();
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - digits.len()));
        bytes.extend((0..digits.len() - 1).map(|at| u8::try_from(bits >> (16 - 8 * at) & 0xff).unwrap()));
    }
    bytes
}
