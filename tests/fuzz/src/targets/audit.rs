//! The audit event's writer.

use std::time::Duration;

use portcullis_audit::answer::FilterVerdict;
use portcullis_audit::config::Field;
use portcullis_audit::event::{self, Actor, Facts};
use portcullis_audit::line::LIMIT;
use portcullis_core::redact::is_sensitive_name;
use portcullis_core::verdict::Outcome;
use portcullis_core::{Request, UnixTime};
use portcullis_host::Change;
use serde_json::Value;

use super::{NOW, split_line};

/// What stands in every secret of a request, and never in an event.
const SECRET: &str = "hunter2-s3cr3t";

/// The first line is text of other parties (details, rule, subject, upstream), all others are header fields, `name value`. Whatever they
/// hold, the event is one JSON object on one short line without control characters, and no value of a field whose
/// name stands for a secret is in it.
pub(super) fn event(data: &[u8]) {
    let (foreign, mut rest) = split_line(data);
    let foreign = String::from_utf8_lossy(foreign).into_owned();
    let mut names: Vec<String> = Vec::new();
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while !rest.is_empty() && fields.len() < 64 {
        let (line, tail) = split_line(rest);
        rest = tail;
        let space =
            line.iter().skip(1).position(|byte| *byte == b' ').map_or(line.len(), |at| at.saturating_add(1));
        let (name, value) = line.split_at(space);
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let value =
            if is_sensitive_name(&name) { SECRET.as_bytes() } else { value.get(1..).unwrap_or_default() };
        fields.push((name.as_bytes().to_vec(), value.to_vec()));
        names.push(name);
    }
    // A client that writes the secret itself into another field proves nothing.
    let has_secret = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    if has_secret(data) {
        return;
    }
    let request = Request::new(fields.into_iter().collect(), true);
    let actor = Actor {
        issuer: foreign.clone(),
        subject: foreign.clone(),
        client_id: foreign.clone(),
        token_id: foreign.clone(),
    };
    let verdict = FilterVerdict {
        filter: "jwt-auth",
        outcome: Outcome::Deny,
        reason: Some(&foreign),
        rule: Some(&foreign),
    };
    let facts = Facts {
        worker: 1,
        sequence: 1,
        time: Some(UnixTime::from_secs(NOW)),
        request: Some(&request),
        status: Some(403),
        details: &foreign,
        verdicts: &[verdict; 3],
        operation: Some(&foreign),
        actor: Some(&actor),
        source: None,
        duration: Some(Duration::from_micros(3)),
        timings: &[("jwt-auth", Duration::from_micros(2))],
        changes: &[Change { filter: "header-guard", what: foreign.clone().into_bytes() }],
        bytes: Some((1, 2)),
        flags: u64::MAX,
        upstream: Some(foreign.as_bytes()),
        cluster: Some(foreign.as_bytes()),
        protocol: Some(foreign.as_bytes()),
        tls: Some(foreign.as_bytes()),
    };
    // As a configuration may have them: names of fields, each once.
    names.retain(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    names.sort();
    names.dedup();
    names.truncate(16);
    let all = [Field::Bytes, Field::Flags, Field::Path, Field::Protocol, Field::Tls, Field::Upstream];
    let fields = if foreign.len().is_multiple_of(2) { &all[..] } else { &[] };
    assert_event(&event::write(&facts, fields, &names), SECRET);
}

/// What every event is, and that `secret` is not in it.
pub(super) fn assert_event(line: &str, secret: &str) {
    assert!(line.len() <= LIMIT, "{} bytes", line.len());
    super::assert_one_line(line);
    let event: Option<Value> =
        portcullis_core::json::parse(line.as_bytes(), portcullis_core::json::Limits::default()).ok();
    let schema = event.as_ref().and_then(|event| event.get("schema")).and_then(Value::as_str);
    assert_eq!(schema, Some(event::SCHEMA), "{line}");
    assert!(!line.contains(secret), "{line}");
}
