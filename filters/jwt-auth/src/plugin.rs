//! The filter on its host.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::config::{self, ConfigError};
use portcullis_core::verdict::{Mode, OnError};
use portcullis_core::{Flow, Request, UnixTime};
use portcullis_host::{CallId, Ctx, Filter, Host, HttpAnswer, Level, Plugin};
use portcullis_jose::{Rejection, SignatureVerifier, SoftwareVerifier, UnverifiedToken};

use crate::cache::TokenCache;
use crate::config::{Config, Requirement};
use crate::key_source::{KeySource, Wanted};
use crate::native::{FUNCTION, NativeVerifier};
use crate::policy::{Accepted, Policy, Rule};
use crate::refusal::Refusal;
use crate::schedule::Need;
use crate::{bearer, defaults, output};

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::try_from(config::load::<Config>(configuration)?)?;
    let mut seed = [0; 16];
    // Without a secret seed many tokens could be made to fall into one place: then only the last two are remembered.
    let entries = host.random(&mut seed).map_or(0, |()| defaults::CACHE_ENTRIES);
    Ok(Rc::new(JwtAuth {
        sources: policy.providers().iter().map(KeySource::new).collect(),
        policy,
        cache: RefCell::new(TokenCache::new(entries, defaults::CACHE_BYTES, seed)),
        native: Cell::new(false),
        waiting: Cell::new(0),
    }))
}

/// One configuration on one worker.
struct JwtAuth {
    policy: Policy,
    /// In the order of the providers.
    sources: Vec<KeySource>,
    cache: RefCell<TokenCache<(u64, Rc<Accepted>)>>,
    /// Whether the proxy verifies signatures.
    native: Cell<bool>,
    waiting: Cell<u32>,
}

/// What came of a request's token.
enum Judgement {
    Accept(Rc<Accepted>),
    Refuse(Refusal),
    /// Keys of this provider are on their way; the refusal is for who does not wait for them.
    Wait {
        provider: usize,
        otherwise: Refusal,
    },
}

/// Why a token is not verified.
enum Failure {
    Refused(Refusal),
    /// Newer keys of this provider could change that.
    Keys {
        provider: usize,
        need: Need,
    },
}

impl Plugin for JwtAuth {
    fn name(&self) -> &'static str {
        "jwt-auth"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn start(&self, host: &dyn Host) {
        let native =
            NativeVerifier::new(|argument| host.call_foreign_function(FUNCTION, argument).ok()).works();
        self.native.set(native);
        if !native {
            host.log(
                Level::Info,
                "the proxy has no usable verify_signature; signatures are verified in wasm",
            );
        }
        self.sources.iter().for_each(|source| source.start(host));
    }

    fn tick_period(&self) -> Option<Duration> {
        self.sources.iter().any(KeySource::is_remote).then_some(defaults::TICK)
    }

    fn on_tick(&self, host: &dyn Host) {
        if let Ok(now) = host.now() {
            self.sources.iter().for_each(|source| source.tick(host, now));
        }
    }

    fn answer_limit(&self) -> usize {
        portcullis_jose::key_set::MAX_KEY_SET
    }

    fn on_http_call(&self, id: CallId, answer: &HttpAnswer, host: &dyn Host) {
        match host.now() {
            Ok(now) => self.sources.iter().for_each(|source| source.answered(id, answer, host, now)),
            Err(error) => host.log(Level::Error, &format!("key set not taken: {error}")),
        }
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(JwtFilter { plugin: self, waiting: None })
    }
}

impl JwtAuth {
    fn judge(&self, request: &Request, host: &dyn Host) -> Judgement {
        let Ok(now) = host.now() else {
            return Judgement::Refuse(Refusal::NoClock);
        };
        let token = match bearer::token(request.headers()) {
            Ok(token) => token,
            Err(refusal) => return Judgement::Refuse(refusal),
        };
        match self.recall(token, now) {
            Some(Ok(accepted)) => return Judgement::Accept(accepted),
            Some(Err(rejection)) => return Judgement::Refuse(rejection.into()),
            None => {}
        }
        match self.verify(token, host, now) {
            Ok(accepted) => Judgement::Accept(accepted),
            Err(Failure::Refused(refusal)) => Judgement::Refuse(refusal),
            Err(Failure::Keys { provider, need }) => self.want(token, provider, need, host, now),
        }
    }

    /// A token that was verified before, judged by the clock and the keys of now.
    fn recall(&self, token: &[u8], now: UnixTime) -> Option<Result<Rc<Accepted>, Rejection>> {
        let mut cache = self.cache.try_borrow_mut().ok()?;
        let (generation, accepted) = cache.get(token)?;
        if self.sources.get(accepted.provider)?.generation(now) != Some(generation) {
            cache.remove(token);
            return None;
        }
        Some(accepted.validity.check(now).map(|()| accepted))
    }

    fn verify(&self, token: &[u8], host: &dyn Host, now: UnixTime) -> Result<Rc<Accepted>, Failure> {
        let refused = |rejection: Rejection| Failure::Refused(rejection.into());
        let unverified = UnverifiedToken::parse(token).map_err(refused)?;
        let (provider, rules) =
            self.policy.provider(unverified.issuer()).ok_or_else(|| refused(Rejection::UnknownIssuer))?;
        let checked = unverified.check(&rules.tokens, now).map_err(refused)?;
        let source = self.sources.get(provider).ok_or_else(|| refused(Rejection::UnknownIssuer))?;
        let (keys, generation) =
            source.current(now).ok_or(Failure::Keys { provider, need: Need::Refresh })?;
        let native = NativeVerifier::new(|argument| host.call_foreign_function(FUNCTION, argument).ok());
        let verifier: &dyn SignatureVerifier = if self.native.get() { &native } else { &SoftwareVerifier };
        let verified = checked.verify(&keys, verifier).map_err(|rejection| match rejection {
            Rejection::UnknownKey => Failure::Keys { provider, need: Need::UnknownKey },
            rejection => refused(rejection),
        })?;
        let accepted = Rc::new(self.policy.accept(provider, verified).map_err(refused)?);
        if let Ok(mut cache) = self.cache.try_borrow_mut() {
            cache.insert(token, (generation, Rc::clone(&accepted)));
        }
        Ok(accepted)
    }

    /// Asks for newer keys, and tries again if another worker has fetched them already.
    fn want(&self, token: &[u8], provider: usize, need: Need, host: &dyn Host, now: UnixTime) -> Judgement {
        let refusal = |need, retry_after| match need {
            Need::Refresh => Refusal::KeysUnavailable { retry_after },
            Need::UnknownKey => Rejection::UnknownKey.into(),
        };
        let source = self.sources.get(provider);
        match source.map(|source| source.want(need, host, now)) {
            Some(Wanted::Pending) => Judgement::Wait { provider, otherwise: refusal(need, 1) },
            Some(Wanted::NotNow { retry_after }) => Judgement::Refuse(refusal(need, retry_after)),
            Some(Wanted::Changed) => match self.verify(token, host, now) {
                Ok(accepted) => Judgement::Accept(accepted),
                Err(Failure::Refused(refusal)) => Judgement::Refuse(refusal),
                // Keys there are now; whether this token names one of them is another question than before.
                Err(Failure::Keys { need, .. }) => Judgement::Refuse(refusal(need, 1)),
            },
            None => Judgement::Refuse(refusal(need, 1)),
        }
    }
}

/// One request.
struct JwtFilter {
    plugin: Rc<JwtAuth>,
    waiting: Option<Place>,
}

/// A place among the requests that wait for keys; free again when it is dropped.
struct Place {
    plugin: Rc<JwtAuth>,
    provider: usize,
    /// When the fetch that it waits for began.
    fetch: UnixTime,
}

impl Place {
    fn take(plugin: &Rc<JwtAuth>, provider: usize, fetch: UnixTime) -> Option<Self> {
        let taken = plugin.waiting.get();
        if taken >= defaults::MAX_WAITING {
            return None;
        }
        plugin.waiting.set(taken.saturating_add(1));
        Some(Self { plugin: Rc::clone(plugin), provider, fetch })
    }

    /// Whether that fetch is still in flight. Another one that followed it at once is not waited for: each has its
    /// deadline, and a provider that hangs would hold a request for all of them.
    fn may_hope(&self, now: UnixTime) -> bool {
        let source = self.plugin.sources.get(self.provider);
        source.and_then(|source| source.fetching_since(now)) == Some(self.fetch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.plugin.waiting.set(self.plugin.waiting.get().saturating_sub(1));
    }
}

impl Filter for JwtFilter {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        // Before any decision: nobody may bring these fields along, wherever the request goes.
        for name in output::copies(request.headers(), self.plugin.policy.outputs()) {
            ctx.remove_header(name);
        }
        self.decide(request, ctx)
    }

    fn on_resume(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        if let (Some(place), Ok(now)) = (&self.waiting, ctx.host().now()) {
            // Another provider's answer, or a tick: the token need not be read again.
            if place.may_hope(now) {
                return Flow::Wait;
            }
        }
        self.decide(request, ctx)
    }
}

impl JwtFilter {
    fn decide(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let plugin = Rc::clone(&self.plugin);
        let rule = match plugin.policy.rule(request) {
            Ok(rule) => rule,
            Err(denial) => return denial.into(),
        };
        match rule.require {
            Requirement::None => return Flow::Continue,
            Requirement::Token => {}
        }
        match plugin.judge(request, ctx.host()) {
            Judgement::Accept(accepted) => {
                self.waiting = None;
                plugin.admit(&accepted, ctx);
                Flow::Continue
            }
            Judgement::Wait { provider, .. }
                if rule.mode == Mode::Enforce && self.may_wait(provider, ctx) =>
            {
                Flow::Wait
            }
            Judgement::Refuse(refusal) | Judgement::Wait { otherwise: refusal, .. } => {
                self.waiting = None;
                plugin.refuse(refusal, rule, ctx)
            }
        }
    }

    fn may_wait(&mut self, provider: usize, ctx: &Ctx<'_>) -> bool {
        // Once: who has waited for a fetch does not wait for the next one.
        if self.waiting.is_some() {
            return false;
        }
        let source = self.plugin.sources.get(provider);
        let fetch = ctx.host().now().ok().zip(source).and_then(|(now, source)| source.fetching_since(now));
        self.waiting = fetch.and_then(|fetch| Place::take(&self.plugin, provider, fetch));
        self.waiting.is_some()
    }
}

impl JwtAuth {
    fn admit(&self, accepted: &Accepted, ctx: &mut Ctx<'_>) {
        for (name, value) in &accepted.fields {
            ctx.set_header(name.as_bytes(), value.as_bytes());
        }
        if self.policy.providers().get(accepted.provider).is_some_and(|provider| !provider.forward) {
            ctx.remove_header("authorization");
        }
        ctx.set_identity(Rc::clone(&accepted.identity));
    }

    fn refuse(&self, refusal: Refusal, rule: &Rule, ctx: &mut Ctx<'_>) -> Flow {
        let lenient = refusal.is_unavailable() && self.policy.on_error() == OnError::Allow;
        let mode = if lenient { Mode::Report } else { rule.mode };
        ctx.decide(mode, self.policy.denial(refusal, rule))
    }
}

#[cfg(test)]
mod tests;
