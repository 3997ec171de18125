//! The filter on its host: one configuration on one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_core::config::{self, ConfigError};
use portcullis_core::verdict::OnError;
use portcullis_host::{CallId, Filter, Host, HttpAnswer, Level, Plugin};
use portcullis_jose::header::LastHeader;

use crate::cache::{Doorkeeper, TokenCache};
use crate::config::Config;
use crate::defaults;
use crate::fetched::Fetched;
use crate::filter::JwtFilter;
use crate::introspection::Introspector;
use crate::keys::{self, KeySource};
use crate::native::{FUNCTION, NativeVerifier, Supported};
use crate::policy::Policy;
use crate::provider::Keys;
use crate::revocation::{self, RevocationList, Revocations};
use crate::source::{Accepted, Source};

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let mut seed = [0; 16];
    // Without a secret seed many tokens could be made to fall into one place: then only the last two are remembered.
    let entries = host.random(&mut seed).map_or(0, |()| defaults::CACHE_ENTRIES);
    let policy = Policy::new(config::load::<Config>(configuration)?, seed, host)?;
    Ok(Rc::new(JwtAuth {
        keys: policy.sources().iter().map(keys::of).collect(),
        introspectors: policy.sources().iter().map(|source| introspector(source, entries, seed)).collect(),
        revocations: policy.sources().iter().map(revocations).collect(),
        policy,
        last_header: LastHeader::default(),
        doorkeeper: RefCell::new(Doorkeeper::new(seed)),
        cache: RefCell::new(TokenCache::new(entries, defaults::CACHE_BYTES, seed)),
        native: Cell::default(),
        waiting: Cell::new(0),
    }))
}

/// One configuration on one worker.
pub struct JwtAuth {
    /// What is decided.
    pub(crate) policy: Policy,
    /// Keys in the order of the sources; none for a source without.
    pub(crate) keys: Vec<Option<KeySource>>,
    /// Who asks about opaque tokens, in the order of the sources.
    introspectors: Vec<Option<Introspector>>,
    /// Tokens that were taken back, in the order of the sources.
    pub(crate) revocations: Vec<Option<Revocations>>,
    /// The header of the token that was read last.
    pub(crate) last_header: LastHeader,
    /// Which tokens were verified before.
    pub(crate) doorkeeper: RefCell<Doorkeeper>,
    /// Tokens that were verified more than once, with the generation of the keys that did.
    pub(crate) cache: RefCell<TokenCache<(u64, Rc<Accepted>)>>,
    /// Which signatures the proxy verifies.
    pub(crate) native: Cell<Supported>,
    /// How many requests wait.
    pub(crate) waiting: Cell<u32>,
}

fn revocations(source: &Source) -> Option<Revocations> {
    let policy = source.provider()?.revocation.as_ref()?;
    Some(Revocations::new(&source.name, policy))
}

fn introspector(source: &Source, entries: usize, seed: [u8; 16]) -> Option<Introspector> {
    match &source.provider()?.keys {
        Keys::Introspection(policy) => Some(Introspector::new(policy.clone(), entries, seed)),
        Keys::Inline(_) | Keys::Remote(_) => None,
    }
}

impl JwtAuth {
    /// When the fetch of a source's keys began that is in flight.
    pub(crate) fn fetching_since(&self, source: usize, now: UnixTime) -> Option<UnixTime> {
        self.keys.get(source)?.as_ref()?.fetching_since(now)
    }

    /// Who asks about the opaque tokens of a source.
    pub(crate) fn introspector(&self, source: usize) -> Option<&Introspector> {
        self.introspectors.get(source)?.as_ref()
    }

    fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        self.keys.iter().flatten()
    }

    fn lists(&self) -> impl Iterator<Item = &Fetched<RevocationList>> {
        self.revocations.iter().flatten().filter_map(|revocations| revocations.fetched.as_ref())
    }
}

impl Plugin for JwtAuth {
    fn name(&self) -> &'static str {
        "jwt-auth"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn start(&self, host: &dyn Host) {
        let native = NativeVerifier::probe(|argument| host.call_foreign_function(FUNCTION, argument).ok());
        self.native.set(native);
        if native.is_empty() {
            host.log(
                Level::Info,
                "the proxy has no usable verify_signature; signatures are verified in wasm",
            );
        }
        self.key_sources().for_each(|source| source.start(host));
        self.lists().for_each(|list| list.start(host));
        self.introspectors.iter().flatten().for_each(|introspector| introspector.start(host));
    }

    fn tick_period(&self) -> Option<Duration> {
        // Requests that wait for an answer that never comes go on at a tick.
        let fetches = self.key_sources().any(KeySource::is_remote)
            || self.lists().next().is_some()
            || self.introspectors.iter().any(Option::is_some);
        fetches.then_some(defaults::TICK)
    }

    fn on_tick(&self, host: &dyn Host) {
        if let Ok(now) = host.now() {
            self.key_sources().for_each(|source| source.tick(host, now));
            self.lists().for_each(|list| list.tick(host, now));
        }
    }

    fn answer_limit(&self) -> usize {
        if self.lists().next().is_some() {
            revocation::MAX_LIST
        } else {
            portcullis_jose::key_set::MAX_KEY_SET
        }
    }

    fn on_http_call(&self, id: CallId, answer: &HttpAnswer, host: &dyn Host) {
        match host.now() {
            Ok(now) => {
                self.key_sources().for_each(|source| source.answered(id, answer, host, now));
                self.lists().for_each(|list| list.answered(id, answer, host, now));
                for (index, introspector) in self.introspectors.iter().enumerate() {
                    if let Some(introspector) = introspector {
                        introspector
                            .answered(id, answer, host, now, |claims| self.accept_claims(index, claims, now));
                    }
                }
            }
            Err(error) => host.log(Level::Error, &format!("answer not taken: {error}")),
        }
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(JwtFilter::new(self))
    }
}

#[cfg(test)]
mod tests;
