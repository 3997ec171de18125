//! The event: what is known about a request, as one line.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::verdict::Outcome as VerdictOutcome;
use portcullis_core::{Identity, Request, UnixTime};
use portcullis_host::Change;

use crate::answer::{FilterVerdict, answer};
use crate::config::Field;
use crate::line::Line;
use crate::{redaction, time, trace};

/// The version of the event's members; a member that goes or changes its meaning makes a new one.
pub const SCHEMA: &str = "portcullis.audit/1";

/// All that is known about a request at its end. Whatever is none or empty is left out, but for the members that
/// every event has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Names this worker since its configuration was loaded.
    pub worker: u64,
    /// Counts the events of this worker from 1, so that order and gaps show.
    pub sequence: u64,
    /// The end of the request.
    pub time: Option<UnixTime>,
    /// The request's head.
    pub request: Option<&'a Request>,
    /// The response's status.
    pub status: Option<u16>,
    /// Envoy's response code details.
    pub details: &'a str,
    /// Verdicts in the order of the filters.
    pub verdicts: &'a [FilterVerdict<'a>],
    /// The operation.
    pub operation: Option<&'a str>,
    /// Who sent the request.
    pub actor: Option<&'a Actor>,
    /// The client's address, as far as it is to be written.
    pub source: Option<IpAddr>,
    /// From the first byte of the request to the last of the response.
    pub duration: Option<Duration>,
    /// How long each filter took.
    pub timings: &'a [(&'static str, Duration)],
    /// What filters changed of the message, by name.
    pub changes: &'a [Change],
    /// Bytes of the bodies of request and response.
    pub bytes: Option<(u64, u64)>,
    /// Envoy's response flags, a bit set.
    pub flags: u64,
    /// The upstream's address.
    pub upstream: Option<&'a [u8]>,
    /// The upstream's cluster.
    pub cluster: Option<&'a [u8]>,
    /// The protocol's name.
    pub protocol: Option<&'a [u8]>,
    /// The TLS version.
    pub tls: Option<&'a [u8]>,
}

/// The part of an identity that is written: enough to find the account and the token, and no claim besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The issuer.
    pub issuer: String,
    /// The subject, unique together with the issuer.
    pub subject: String,
    /// The OAuth client.
    pub client_id: String,
    /// The token's id (`jti`), which is no secret.
    pub token_id: String,
}

impl From<&Identity> for Actor {
    fn from(identity: &Identity) -> Self {
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            client_id: identity.client_id.clone(),
            token_id: identity.claim("jti").unwrap_or_default(),
        }
    }
}

/// Envoy's response flags in the order of their bits (`CoreResponseFlag`).
const FLAGS: [&str; 29] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
];

/// Writes the event: one line of JSON, at most [`crate::line::LIMIT`] bytes.
#[must_use]
pub fn write(facts: &Facts<'_>, fields: &[Field], headers: &[String]) -> String {
    let found = answer(facts.verdicts, facts.status, facts.details);
    let mut line = Line::new();
    line.text("schema", SCHEMA.as_bytes(), 32);
    let worker = format!("{:016x}", facts.worker);
    line.text("id", format!("{worker}-{}", facts.sequence).as_bytes(), 40);
    if let Some(time) = facts.time {
        line.text("time", time::rfc3339(time).as_bytes(), 32);
        line.number("time_ms", time.as_millis());
    }
    line.text("worker", worker.as_bytes(), 16);
    line.number("sequence", facts.sequence);
    line.text("type", found.event.as_str().as_bytes(), 32);
    line.text("severity", found.event.severity().as_bytes(), 8);
    line.text("outcome", found.outcome.as_str().as_bytes(), 8);
    line.text("answered_by", found.answered_by.as_bytes(), 32);
    line.optional_text("reason", found.reason, 64);
    line.optional_text("rule", found.rule, 96);
    if facts.details != "via_upstream" && !facts.details.is_empty() {
        line.text("details", facts.details.as_bytes(), 192);
    }
    if let Some(status) = facts.status {
        line.number("status", status.into());
    }
    request(&mut line, facts, fields.contains(&Field::Path));
    line.optional_text("source", facts.source.map(|address| address.to_string()), 48);
    if let Some(actor) = facts.actor {
        line.object("identity", |line| identity(line, actor));
    }
    durations(&mut line, facts);
    line.list("verdicts", facts.verdicts, |line, verdict| {
        line.text("filter", verdict.filter.as_bytes(), 32);
        line.text("outcome", outcome(verdict.outcome).as_bytes(), 8);
        line.optional_text("reason", verdict.reason, 64);
        line.optional_text("rule", verdict.rule, 96);
    });
    connection(&mut line, facts);
    if !facts.changes.is_empty() {
        line.list("changes", facts.changes, |line, change| {
            line.text("filter", change.filter.as_bytes(), 32);
            line.text("name", &change.what, 64);
        });
    }
    listed_headers(&mut line, facts.request, headers);
    line.finish()
}

fn request(line: &mut Line, facts: &Facts<'_>, with_path: bool) {
    let head =
        facts.request.map(|request| (request, request.method())).filter(|(_, method)| !method.is_empty());
    let Some((request, method)) = head else {
        // Refused by the codec: nothing was read of it.
        line.text("method", UNKNOWN, 8);
        return line.text("path", UNKNOWN, 8);
    };
    line.text("method", method, 32);
    line.optional_text("operation", facts.operation, 192);
    if with_path || facts.operation.is_none() {
        let canonical = request.path();
        let path = canonical.map_or_else(
            |_| redaction::without_query(request.target()),
            |canonical| canonical.as_str().as_bytes(),
        );
        line.redacted_text("path", &redaction::path(path, MAX_PATH), path.len(), MAX_PATH);
    }
    line.optional_text("authority", Some(request.authority()).filter(|authority| !authority.is_empty()), 192);
    line.optional_text("trace_id", trace::trace_id(request.headers()), 32);
    line.optional_text("request_id", request.headers().first(b"x-request-id"), 64);
}

fn identity(line: &mut Line, actor: &Actor) {
    let facts = [
        ("iss", &actor.issuer),
        ("sub", &actor.subject),
        ("client_id", &actor.client_id),
        ("jti", &actor.token_id),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        line.text(name, value.as_bytes(), 192);
    }
}

fn durations(line: &mut Line, facts: &Facts<'_>) {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if let Some(duration) = facts.duration {
        line.number("duration_us", micros(duration));
    }
    if !facts.timings.is_empty() {
        line.object("filters_us", |line| {
            for (filter, duration) in facts.timings {
                line.number(filter, micros(*duration));
            }
        });
    }
}

fn connection(line: &mut Line, facts: &Facts<'_>) {
    if let Some((bytes_in, bytes_out)) = facts.bytes {
        line.number("bytes_in", bytes_in);
        line.number("bytes_out", bytes_out);
    }
    if facts.flags != 0 {
        line.text("flags", flags(facts.flags).as_bytes(), 64);
    }
    line.optional_text("upstream", facts.upstream, 64);
    line.optional_text("cluster", facts.cluster, 96);
    line.optional_text("protocol", facts.protocol, 16);
    line.optional_text("tls", facts.tls, 16);
}

fn listed_headers(line: &mut Line, request: Option<&Request>, names: &[String]) {
    let Some(headers) = request.map(Request::headers) else {
        return;
    };
    let present: Vec<&String> = names.iter().filter(|name| headers.contains(name.as_bytes())).collect();
    if present.is_empty() {
        return;
    }
    line.object("headers", |line| {
        for name in present {
            let (mut text, mut len) = (Vec::new(), 0_usize);
            for (place, value) in headers.all(name.as_bytes()).enumerate() {
                let separator: &[u8] = if place == 0 { b"" } else { b", " };
                len = len.saturating_add(separator.len()).saturating_add(value.len());
                if text.len() <= MAX_HEADER {
                    text.extend_from_slice(separator);
                    text.extend(redaction::value(name, value, MAX_HEADER));
                }
            }
            line.named_text("headers", name, &text, len, MAX_HEADER);
        }
    });
}

/// The names of the flags as Envoy's `%RESPONSE_FLAGS%` writes them; the number of a bit that has none here.
fn flags(bits: u64) -> String {
    let set = (0..u64::BITS).filter(|bit| bits.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1));
    let names = set.map(|bit| {
        let name = usize::try_from(bit).ok().and_then(|bit| FLAGS.get(bit));
        name.map_or_else(|| bit.to_string(), |name| (*name).to_owned())
    });
    names.collect::<Vec<_>>().join(",")
}

const fn outcome(outcome: VerdictOutcome) -> &'static str {
    match outcome {
        VerdictOutcome::Allow => "allow",
        VerdictOutcome::Deny => "deny",
        VerdictOutcome::Report => "report",
    }
}

/// How much of a path is written, in bytes.
const MAX_PATH: usize = 512;

/// How much of a header field is written, in bytes: all values of one name together.
const MAX_HEADER: usize = 256;

/// What stands for a fact that the proxy never learned.
const UNKNOWN: &[u8] = b"unknown";

#[cfg(test)]
mod tests;
