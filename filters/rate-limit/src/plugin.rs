//! The adapter: host events in, the policy's decision out.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Flow, Request, Response, client, config};
use portcullis_host::host::{MetricId, MetricKind, Version};
use portcullis_host::{
    CallId, Ctx, Expected, Filter, GrpcAnswer, Host, HostError, Level, Needs, Plugin, SharedDataError,
};

use crate::answer::{CONTENDED, LOCKED_OUT, NEAR_LIMIT};
use crate::body::Body;
use crate::hash::Seed;
use crate::key::{Facts, Key};
use crate::limit::Limit;
use crate::policy::{Admission, Asked, Policy, Selected, Step};
use crate::service::{Answer, Question, Slot};
use crate::table::{PREFIX, Store, TRIES, Unavailable};

/// Reads a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::new(config::load(configuration)?)?;
    Ok(Rc::new(RateLimit {
        policy,
        seed: Cell::default(),
        contended: Cell::default(),
        reset: Cell::default(),
        near: Cell::default(),
        locked_out: Cell::default(),
        service_failed: Cell::default(),
    }))
}

struct RateLimit {
    policy: Policy,
    /// None until the workers' common seed was read.
    seed: Cell<Option<Seed>>,
    /// Counts requests that lost every try.
    contended: Cell<Option<MetricId>>,
    /// Counts shared values that were not ours and were begun anew.
    reset: Cell<Option<MetricId>>,
    /// Counts requests that left a bucket nearly empty.
    near: Cell<Option<MetricId>>,
    /// Counts requests of keys that are locked out.
    locked_out: Cell<Option<MetricId>>,
    /// Counts questions that the rate-limit service did not answer.
    service_failed: Cell<Option<MetricId>>,
}

/// Longest answer of the rate-limit service that is read, in bytes: a status for each of 64 limits has some thousand.
const MAX_ANSWER: usize = 16 * 1024;

impl Plugin for RateLimit {
    fn name(&self) -> &'static str {
        "rate-limit"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn needs(&self) -> Needs {
        Needs {
            request_headers: self.policy.reads_requests(),
            response_headers: self.policy.changes_responses(),
            log: self.policy.settles(),
            ..Needs::default()
        }
    }

    fn start(&self, host: &dyn Host) {
        for limit in self.policy.limits().filter(|limit| limit.can_be_left()) {
            let id = limit.id();
            let line = format!(
                "limit `{id}`: its key is only what clients choose, so each value that a client makes up is a new bucket; \
                 add `client_address` unless a filter before this one checks the value"
            );
            host.log(Level::Warn, &line);
        }
        let counter = |name| host.define_metric(MetricKind::Counter, name).ok();
        self.contended.set(counter("portcullis.rate_limit.contended"));
        self.reset.set(counter("portcullis.rate_limit.state_reset"));
        self.near.set(counter("portcullis.rate_limit.near_limit"));
        self.locked_out.set(counter("portcullis.rate_limit.locked_out"));
        self.service_failed.set(counter("portcullis.rate_limit.service_failed"));
        // Not ready yet is not fatal: each request tries again.
        self.seed(&HostStore { host, plugin: self });
    }

    fn tick_period(&self) -> Option<Duration> {
        // Only to give up on a proxy that does not say how a call ended.
        self.policy.service().map(|_| Duration::from_secs(1))
    }

    fn on_tick(&self, _host: &dyn Host) {
        if let Some(service) = self.policy.service() {
            service.forget_abandoned();
        }
    }

    fn answer_limit(&self) -> usize {
        MAX_ANSWER
    }

    fn on_grpc_call(&self, id: CallId, answer: &GrpcAnswer, host: &dyn Host) {
        let Some(service) = self.policy.service() else { return };
        if !service.on_answer(id, answer, &HostStore { host, plugin: self }, host) {
            Self::count(host, &self.service_failed);
        }
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(RateLimitFilter {
            plugin: self,
            admission: Admission::default(),
            body: None,
            asking: Asking::default(),
        })
    }
}

impl RateLimit {
    /// The seed that all workers share; whoever comes first makes it.
    fn seed(&self, store: &HostStore<'_>) -> Option<Seed> {
        if self.seed.get().is_none() {
            self.seed.set(shared_seed(store).ok());
        }
        self.seed.get()
    }

    /// Counts a request in the limits that are `selected`.
    fn decide(
        &self,
        selected: &[Selected<'_>],
        request: &Request,
        body: Option<&Body>,
        asked: Asked<'_>,
        ctx: &mut Ctx<'_>,
        admission: &mut Admission,
    ) -> Result<Step, Denial> {
        let (policy, host) = (&self.policy, ctx.host());
        let store = HostStore { host, plugin: self };
        let needs = |need: fn(&Key) -> bool| selected.iter().flat_map(|found| found.limit.keys()).any(need);
        let Some(seed) = self.seed(&store) else {
            return policy.undecided(selected, admission).map(|()| Step::Admit);
        };
        let mut address = None;
        if needs(Key::needs_address) || policy.exemptions().need_address() {
            // An address that the host can't tell is no reason to skip a limit; only "there is none" may be.
            let Ok(peer) = host.property(&["source", "address"]) else {
                return policy.undecided(selected, admission).map(|()| Step::Admit);
            };
            let peer = peer.as_deref().and_then(client::parse_peer);
            address = client::client_address(peer, request.headers(), policy.client_address());
        }
        let mut properties = policy.properties(selected);
        for property in &mut properties {
            let path: Vec<&str> = property.path.iter().map(String::as_str).collect();
            let Ok(value) = host.property(&path) else {
                return policy.undecided(selected, admission).map(|()| Step::Admit);
            };
            property.value = value;
        }
        let needs_identity = needs(Key::needs_identity) || policy.exemptions().need_identity();
        let identity = if needs_identity { ctx.identity() } else { None };
        let facts = Facts { request, address, identity, body, properties: &properties };
        if policy.exemptions().apply(&facts)? {
            return Ok(Step::Admit);
        }
        policy.decide(selected, &seed, &facts, &store, asked, admission)
    }

    /// Tells of a decision what is not in the answer.
    fn report(&self, refusal: Option<&Denial>, admission: &mut Admission, ctx: &mut Ctx<'_>) {
        for denial in admission.reports.iter().chain(refusal) {
            let counter = match denial.reason {
                CONTENDED => &self.contended,
                NEAR_LIMIT => &self.near,
                LOCKED_OUT => &self.locked_out,
                _ => continue,
            };
            Self::count(ctx.host(), counter);
        }
        for report in admission.reports.drain(..) {
            ctx.report(report);
        }
    }

    fn count(host: &dyn Host, metric: &Cell<Option<MetricId>>) {
        if let Some(metric) = metric.get() {
            // A metric that can't be counted must not change the decision.
            let _ = host.increment_metric(metric, 1);
        }
    }
}

struct RateLimitFilter {
    plugin: Rc<RateLimit>,
    admission: Admission,
    /// The body, once it is there: then the limits that need it are decided.
    body: Option<Body>,
    /// What the request has asked the rate-limit service.
    asking: Asking,
}

/// Where a request stands with the rate-limit service.
#[derive(Default)]
enum Asking {
    /// It has not asked.
    #[default]
    No,
    /// It waits for the answer that another request has asked for, for the so-manieth time.
    WithAnother(u8),
    /// It has asked, at this time in nanoseconds since the epoch.
    Since(u64, Slot),
    /// It has asked, and that is all it may.
    Done,
}

/// After so many answers to others without a token a request asks for itself.
const MAX_ROUNDS: u8 = 4;

impl RateLimitFilter {
    /// Counts the request in the limits whose turn it is: those that need its body when that is there, the others before.
    fn decide(&mut self, request: &Request, answers: &[(String, Answer)], ctx: &mut Ctx<'_>) -> Flow {
        let plugin = Rc::clone(&self.plugin);
        let mut selected = match plugin.policy.select(request) {
            Ok(selected) => selected,
            Err(denial) => return denial.into(),
        };
        // The rate-limit service is asked once: with the body if it needs that for one of its limits.
        let asks_later = selected.iter().any(|found| found.limit.is_global() && found.limit.needs_body());
        let needs_body = |limit: &Limit| limit.needs_body() || (limit.is_global() && asks_later);
        let comes_later = |found: &Selected<'_>| !request.end_of_stream() && needs_body(found.limit);
        let mut flow = Flow::Continue;
        match &self.body {
            None if selected.iter().any(comes_later) => {
                selected.retain(|found| !comes_later(found));
                flow = Flow::NeedBody { limit: plugin.policy.max_body() };
            }
            None => {}
            Some(_) => selected.retain(comes_later),
        }
        if selected.is_empty() {
            return flow;
        }
        let may_ask = matches!(self.asking, Asking::No | Asking::WithAnother(_));
        let asked = Asked { answers, may_ask };
        let decision = plugin.decide(&selected, request, self.body.as_ref(), asked, ctx, &mut self.admission);
        plugin.report(decision.as_ref().err(), &mut self.admission, ctx);
        match decision {
            Ok(Step::Admit) => flow,
            Ok(Step::Ask(questions)) => self.ask(questions, request, ctx),
            Err(denial) => denial.into(),
        }
    }

    /// Asks the rate-limit service, or waits for the answer to somebody who has asked the same.
    fn ask(&mut self, questions: Vec<Question>, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let host = ctx.host();
        let rounds = if let Asking::WithAnother(rounds) = self.asking { rounds } else { 0 };
        if let (Some(service), Ok(now)) = (self.plugin.policy.service(), host.now()) {
            if rounds < MAX_ROUNDS && service.is_asked(&questions) {
                self.asking = Asking::WithAnother(rounds.saturating_add(1));
                return Flow::Wait;
            }
            if let Some(slot) = service.ask(questions, host, now.as_nanos()) {
                self.asking = Asking::Since(now.as_nanos(), slot);
                return Flow::Wait;
            }
            RateLimit::count(host, &self.plugin.service_failed);
        }
        self.asking = Asking::Done;
        self.decide(request, &[], ctx)
    }
}

impl Filter for RateLimitFilter {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        self.decide(request, &[], ctx)
    }

    fn on_request_body(&mut self, request: &Request, body: &[u8], ctx: &mut Ctx<'_>) -> Flow {
        self.body = Some(Body::read(request, body));
        self.decide(request, &[], ctx)
    }

    fn on_resume(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let Asking::Since(since, slot) = &self.asking else {
            return self.decide(request, &[], ctx);
        };
        let answers = slot.try_borrow_mut().ok().and_then(|mut slot| slot.take());
        if answers.is_none()
            && let Some(service) = self.plugin.policy.service()
        {
            let now = ctx.host().now().map(|now| now.as_nanos()).unwrap_or(u64::MAX);
            let patience = u64::try_from(service.patience().as_nanos()).unwrap_or(u64::MAX);
            if now.saturating_sub(*since) < patience {
                // The answer was to somebody else.
                return Flow::Wait;
            }
            service.failed(ctx.host(), now);
            RateLimit::count(ctx.host(), &self.plugin.service_failed);
        }
        self.asking = Asking::Done;
        self.decide(request, &answers.unwrap_or_default(), ctx)
    }

    fn on_response_headers(&mut self, _request: Option<&Request>, response: &Response, ctx: &mut Ctx<'_>) {
        if response.is_interim() {
            return;
        }
        if let Some(standing) = self.admission.standing.take() {
            for (name, value) in standing.fields(self.plugin.policy.answers()) {
                ctx.append_header(name, value);
            }
        }
    }

    fn on_log(&mut self, request: Option<&Request>, _response: Option<&Response>, ctx: &mut Ctx<'_>) {
        if !self.admission.settles() {
            return;
        }
        let host = ctx.host();
        let status = answered(host, request.is_some_and(Request::is_grpc));
        self.admission.settle(&HostStore { host, plugin: &self.plugin }, status);
    }
}

/// The status of the answer; that of a gRPC answer as the HTTP status it stands for. None if there was none.
fn answered(host: &dyn Host, is_grpc: bool) -> Option<u16> {
    // Integers are eight bytes, little-endian.
    let number = |name| {
        let bytes = host.property(&["response", name]).ok()??;
        u16::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    // 0 when the client went before there was one.
    let status = number("code").filter(|code| *code > 0)?;
    match number("grpc_status").filter(|_| is_grpc && status == 200) {
        Some(5) => Some(404),
        Some(7) => Some(403),
        Some(8) => Some(429),
        Some(16) => Some(401),
        Some(1..) => Some(500),
        Some(0) | None => Some(status),
    }
}

/// Reads the workers' common seed, or makes it if there is none.
fn shared_seed(store: &HostStore<'_>) -> Result<Seed, Unavailable> {
    let key = format!("{PREFIX}seed");
    for _ in 0..TRIES {
        let found = store.read(&key)?;
        let version = match found {
            Some((bytes, version)) => match Seed::decode(&bytes) {
                Some(seed) => return Ok(seed),
                None => {
                    store.on_damaged(&key);
                    Some(version)
                }
            },
            None => None,
        };
        let mut random = [0; 16];
        store.host.random(&mut random).map_err(|error| store.unavailable(error))?;
        let seed = Seed::new(random);
        if store.write(&key, &seed.encode(), version)? {
            return Ok(seed);
        }
    }
    Err(Unavailable)
}

/// The proxy as a store of buckets.
struct HostStore<'a> {
    host: &'a dyn Host,
    plugin: &'a RateLimit,
}

impl HostStore<'_> {
    fn unavailable(&self, error: HostError) -> Unavailable {
        self.host.log(Level::Error, &format!("requests can't be counted: {error}"));
        Unavailable
    }
}

impl Store for HostStore<'_> {
    type Version = Version;

    fn read(&self, key: &str) -> Result<Option<(Vec<u8>, Version)>, Unavailable> {
        let value = self.host.shared_data(key).map_err(|error| self.unavailable(error))?;
        Ok(value.map(|value| (value.bytes, value.version)))
    }

    fn write(&self, key: &str, value: &[u8], expected: Option<Version>) -> Result<bool, Unavailable> {
        let expected = expected.map_or(Expected::Absent, Expected::Unchanged);
        match self.host.set_shared_data(key, value, expected) {
            Ok(()) => Ok(true),
            Err(SharedDataError::Conflict) => Ok(false),
            Err(SharedDataError::Host(error)) => Err(self.unavailable(error)),
        }
    }

    fn now(&self) -> Result<u64, Unavailable> {
        self.host.now().map(|now| now.as_nanos()).map_err(|error| self.unavailable(error))
    }

    fn on_damaged(&self, key: &str) {
        self.host
            .log(Level::Warn, &format!("shared value `{key}` was not written by this version: begun anew"));
        RateLimit::count(self.host, &self.plugin.reset);
    }
}

#[cfg(test)]
mod tests;
