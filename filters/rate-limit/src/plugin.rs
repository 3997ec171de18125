//! The adapter: host events in, the policy's decision out.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Flow, Request, Response, client, config};
use portcullis_host::host::{MetricId, MetricKind, Version};
use portcullis_host::{Ctx, Expected, Filter, Host, HostError, Level, Needs, Plugin, SharedDataError};

use crate::hash::Seed;
use crate::key::Facts;
use crate::policy::{CONTENDED, Decision, Limit, Policy};
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
}

impl Plugin for RateLimit {
    fn name(&self) -> &'static str {
        "rate-limit"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn needs(&self) -> Needs {
        Needs { response_headers: self.policy.changes_responses(), ..Needs::default() }
    }

    fn start(&self, host: &dyn Host) {
        for limit in self.policy.limits().iter().filter(|limit| limit.key().is_chosen_by_client()) {
            let id = limit.id();
            let line = format!(
                "limit `{id}`: its key is header fields alone, so a client has a new bucket for each value it makes up; \
                 add `client_address` unless a filter before this one checks the value"
            );
            host.log(Level::Warn, &line);
        }
        self.contended.set(host.define_metric(MetricKind::Counter, "portcullis.rate_limit.contended").ok());
        self.reset.set(host.define_metric(MetricKind::Counter, "portcullis.rate_limit.state_reset").ok());
        // Not ready yet is not fatal: each request tries again.
        self.seed(&HostStore { host, plugin: self });
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(RateLimitFilter { plugin: self, fields: None })
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

    fn decide(&self, limits: &[&Limit], request: &Request, ctx: &mut Ctx<'_>) -> Decision {
        let store = HostStore { host: ctx.host(), plugin: self };
        let Some(seed) = self.seed(&store) else {
            return self.policy.undecided(limits);
        };
        let mut address = None;
        if limits.iter().any(|limit| limit.key().needs_address()) {
            // An address that the host can't tell is no reason to skip a limit; only "there is none" may be.
            let Ok(peer) = ctx.host().property(&["source", "address"]) else {
                return self.policy.undecided(limits);
            };
            let peer = peer.as_deref().and_then(client::parse_peer);
            address = client::client_address(peer, request.headers(), self.policy.client_address());
        }
        let identity =
            if limits.iter().any(|limit| limit.key().needs_identity()) { ctx.identity() } else { None };
        self.policy.decide(limits, &seed, &Facts { request, address, identity }, &store)
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
    /// What the response is to say about the limits.
    fields: Option<(String, String)>,
}

impl Filter for RateLimitFilter {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let limits = match self.plugin.policy.select(request) {
            Ok(limits) if limits.is_empty() => return Flow::Continue,
            Ok(limits) => limits,
            Err(denial) => return denial.into(),
        };
        let decision = self.plugin.decide(&limits, request, ctx);
        self.fields = decision.fields;
        let contended = |denial: &&Denial| denial.reason == CONTENDED;
        for _ in decision.reports.iter().chain(&decision.refusal).filter(contended) {
            RateLimit::count(ctx.host(), &self.plugin.contended);
        }
        for report in decision.reports {
            ctx.report(report);
        }
        decision.refusal.map_or(Flow::Continue, Flow::from)
    }

    fn on_response_headers(&mut self, _request: Option<&Request>, response: &Response, ctx: &mut Ctx<'_>) {
        if response.is_interim() {
            return;
        }
        // Both are lists (RFC 8941 section 3.1): those of the upstream's own limits stay.
        if let Some((policy, status)) = self.fields.take() {
            ctx.append_header("ratelimit-policy", policy);
            ctx.append_header("ratelimit", status);
        }
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
