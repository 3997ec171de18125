//! The adapter between the proxy and [`event`]: gathers what is known, with as few look-ups as possible.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::verdict::{ForeignVerdict, OnError, Outcome};
use portcullis_core::{ConfigError, Flow, Request, Response, client};
use portcullis_host::host::Level;
use portcullis_host::{Ctx, Filter, Host, Needs, Plugin};

use crate::answer::FilterVerdict;
use crate::config::Field;
use crate::event::{self, Actor, Facts};
use crate::policy::Policy;

const NAME: &str = "audit";

/// The property that holds the event; filter state `wasm.portcullis.audit` for Envoy's loggers.
pub const PROPERTY: &str = "portcullis.audit";

/// The one final status below 200.
const SWITCHING_PROTOCOLS: u16 = 101;

/// The longest property that an event is made of, in bytes: names of rules and operations, addresses, Envoy's details.
const MAX_PROPERTY: usize = 4096;

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::load(configuration)?;
    Ok(Rc::new(Audit {
        policy,
        worker: Cell::default(),
        sequence: Cell::default(),
        complained: Cell::default(),
    }))
}

struct Audit {
    policy: Policy,
    worker: Cell<u64>,
    sequence: Cell<u64>,
    /// Whether a lost event was complained about; once is enough for the proxy's log.
    complained: Cell<bool>,
}

impl Plugin for Audit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error
    }

    fn needs(&self) -> Needs {
        Needs { log: true, ..Needs::default() }
    }

    fn start(&self, host: &dyn Host) {
        let mut bytes = [0; 8];
        self.worker.set(match host.random(&mut bytes) {
            Ok(()) => u64::from_ne_bytes(bytes),
            // No secret: two workers that start in the same nanosecond would share a name.
            Err(_) => host.now().map(|now| now.as_nanos()).unwrap_or_default(),
        });
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Stream(self))
    }
}

struct Stream(Rc<Audit>);

impl Filter for Stream {
    fn on_request_headers(&mut self, _request: &Request, _ctx: &mut Ctx<'_>) -> Flow {
        Flow::Continue
    }

    fn on_log(&mut self, request: Option<&Request>, response: Option<&Response>, ctx: &mut Ctx<'_>) {
        let host = ctx.host();
        let event = self.0.event(request, response, ctx);
        self.0.deliver(&event, host);
    }
}

impl Audit {
    fn event(&self, request: Option<&Request>, response: Option<&Response>, ctx: &mut Ctx<'_>) -> String {
        let host = ctx.host();
        let policy = &self.policy;
        let wants = |field| policy.fields.contains(&field);
        self.sequence.set(self.sequence.get().saturating_add(1));

        let is_own = ctx.verdicts().iter().any(|verdict| verdict.filter != NAME);
        let foreign: Vec<(&str, ForeignVerdict)> = policy
            .foreign_filters(is_own)
            .filter_map(|filter| {
                let text = text(host, &[&format!("portcullis.verdict.{filter}")])?;
                Some((filter, ForeignVerdict::from_property(&text)?))
            })
            .collect();
        let foreign_operation = if is_own { None } else { text(host, &["portcullis.operation"]) };
        let actor = ctx.identity().map(Actor::from);

        let own =
            ctx.verdicts().iter().filter(|verdict| verdict.filter != NAME).map(|verdict| FilterVerdict {
                filter: verdict.filter,
                outcome: verdict.outcome,
                reason: verdict.reason.map(|reason| reason.as_str()),
                rule: verdict.rule.as_deref(),
            });
        let verdicts: Vec<FilterVerdict<'_>> = own
            .chain(foreign.iter().map(|(filter, verdict)| FilterVerdict {
                filter,
                outcome: verdict.outcome,
                reason: verdict.reason.as_deref(),
                rule: verdict.rule.as_deref(),
            }))
            .collect();

        let status = response
            .and_then(Response::status)
            .or_else(|| number(host, &["response", "code"]).and_then(|code| u16::try_from(code).ok()))
            // 0 is Envoy's word for no answer, and an interim response is none yet.
            .filter(|status| *status >= 200 || *status == SWITCHING_PROTOCOLS);
        // A refusal is known by its verdict; only for other answers does the proxy have to say whose they are.
        let refused = verdicts.iter().any(|verdict| verdict.outcome == Outcome::Deny);
        let details =
            if refused { None } else { text(host, &["response", "code_details"]) }.unwrap_or_default();
        let flagged = wants(Field::Flags) || (!refused && details != "via_upstream");
        let peer = policy.wants_source().then(|| property(host, &["source", "address"])).flatten();
        let body = |wanted: bool, path: &[&str]| if wanted { property(host, path) } else { None };
        let upstream = body(wants(Field::Upstream), &["upstream", "address"]);
        let cluster = body(wants(Field::Upstream), &["xds", "cluster_name"]);
        let protocol = body(wants(Field::Protocol), &["request", "protocol"]);
        let tls = body(wants(Field::Tls), &["connection", "tls_version"]);
        let bytes = wants(Field::Bytes)
            .then(|| (number(host, &["request", "size"]), number(host, &["response", "size"])))
            .and_then(|(request, response)| Some((request?, response?)));

        let facts = Facts {
            worker: self.worker.get(),
            sequence: self.sequence.get(),
            time: host.now().ok(),
            request,
            status,
            details: &details,
            verdicts: &verdicts,
            operation: ctx.operation().or(foreign_operation.as_deref()),
            actor: actor.as_ref(),
            source: policy
                .source(peer.and_then(|peer| client::parse_peer(&peer)), request.map(Request::headers)),
            duration: number(host, &["request", "duration"]).map(Duration::from_nanos),
            timings: ctx.timings(),
            changes: ctx.changes(),
            bytes,
            flags: flagged.then(|| number(host, &["response", "flags"])).flatten().unwrap_or_default(),
            upstream: upstream.as_deref(),
            cluster: cluster.as_deref(),
            protocol: protocol.as_deref(),
            tls: tls.as_deref(),
        };
        event::write(&facts, &policy.fields, &policy.headers)
    }

    fn deliver(&self, event: &str, host: &dyn Host) {
        if let Err(error) = host.set_property(PROPERTY, event.as_bytes())
            && !self.complained.replace(true)
        {
            host.log(Level::Error, &format!("events are lost: {error}"));
        }
    }
}

/// A property; none if it is absent, can't be read, or is longer than any that belongs into an event.
fn property(host: &dyn Host, path: &[&str]) -> Option<Vec<u8>> {
    host.property(path).ok().flatten().filter(|bytes| bytes.len() <= MAX_PROPERTY)
}

/// A text property.
fn text(host: &dyn Host, path: &[&str]) -> Option<String> {
    let bytes = property(host, path)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An integer property: eight bytes, little endian, never negative.
fn number(host: &dyn Host, path: &[&str]) -> Option<u64> {
    let bytes = property(host, path)?;
    let number = i64::from_le_bytes(bytes.try_into().ok()?);
    u64::try_from(number).ok()
}

#[cfg(test)]
mod tests;
