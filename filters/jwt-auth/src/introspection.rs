//! Opaque tokens, judged by their issuer (RFC 7662), and what it said remembered for a while.
//!
//! ```text
//! token -> remembered? -> said no lately? -> asked already? -> issuer failing? -> ask, and wait
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_core::config::TimeSpan;
use portcullis_core::json::{self, Limits};
use portcullis_core::{ConfigError, UnixTime};
use portcullis_host::host::{MetricId, MetricKind};
use portcullis_host::{CallId, Host, HttpAnswer, HttpCall, Level};
use portcullis_jose::Rejection;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::cache::TokenCache;
use crate::config::IntrospectionConfig;
use crate::refusal::Refusal;
use crate::remote::Address;
use crate::source::Accepted;
use crate::{defaults, range};

/// Longest opaque token, in bytes.
const MAX_TOKEN: usize = 4 * 1024;

/// Calls of one worker that may be in flight at the same time.
const MAX_IN_FLIGHT: usize = 100;

/// Tokens that are not active, remembered by one worker. Their own memory: a flood of them must not push out good ones.
const MAX_INACTIVE: usize = 512;

/// Memory for each of the two, in bytes.
const MEMORY: usize = 4 * 1024 * 1024;

/// Longest wait after failures; they begin with a second and double.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// A call whose answer never came back is given up this long after its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// The SHA-256 of a token: what is asked about is not kept.
type TokenHash = [u8; 32];

/// How an issuer is asked.
#[derive(Clone)]
pub struct IntrospectionPolicy {
    address: Address,
    timeout: Duration,
    /// The `authorization` field: a secret.
    authorization: String,
    cache: Duration,
    negative_cache: Duration,
}

impl std::fmt::Debug for IntrospectionPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntrospectionPolicy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl IntrospectionPolicy {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: IntrospectionConfig, host: &dyn Host) -> Result<Self, ConfigError> {
        if config.client_id.is_empty() {
            return Err(ConfigError::new("client_id", "expected a text, found nothing"));
        }
        let secret = config.client_secret.resolve(|name| host.env(name));
        let secret = secret.map_err(|error| error.under("client_secret"))?;
        // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        let credentials = format!(
            "{}:{}",
            form_encoded(config.client_id.as_bytes()),
            form_encoded(secret.expose().as_bytes())
        );
        // Shorter, and an answer could be out of date before the request that waited for it goes on.
        let (second, longest) = (TimeSpan::from_secs(1), TimeSpan::from_secs(3600));
        let least = TimeSpan::new(Duration::from_millis(10));
        Ok(Self {
            address: Address::new(config.cluster, &config.url)?,
            timeout: range::span("timeout", config.timeout, least, defaults::MAX_TIMEOUT)?,
            authorization: format!("Basic {}", STANDARD.encode(credentials)),
            cache: range::span("cache", config.cache, second, longest)?,
            negative_cache: range::span("negative_cache", config.negative_cache, second, longest)?,
        })
    }
}

/// What is known of a token.
#[derive(Debug)]
pub enum Introspected {
    /// It is active.
    Known(Rc<Accepted>),
    /// Its issuer is being asked.
    Pending(CallId),
    /// It is not accepted, or can't be judged now.
    Refused(Refusal),
}

/// The tokens of one issuer on one worker.
pub struct Introspector {
    policy: IntrospectionPolicy,
    /// Active ones, and until when that is believed.
    active: RefCell<TokenCache<(UnixTime, Rc<Accepted>)>>,
    /// Others, and until when that is believed.
    inactive: RefCell<TokenCache<(UnixTime, Refusal)>>,
    in_flight: RefCell<BTreeMap<CallId, Question>>,
    /// Rounds of questions that failed, one after another.
    failures: Cell<u32>,
    /// When the last of them failed.
    failed_at: Cell<UnixTime>,
    /// Until when nothing is asked, after failures.
    pause: Cell<UnixTime>,
    asked: Cell<Option<MetricId>>,
    failed: Cell<Option<MetricId>>,
}

#[derive(Clone, Copy)]
struct Question {
    token: TokenHash,
    asked: UnixTime,
    /// When it is given up.
    until: UnixTime,
}

impl Introspector {
    /// For an issuer. The seed has to be secret.
    #[must_use]
    pub fn new(policy: IntrospectionPolicy, entries: usize, seed: [u8; 16]) -> Self {
        Self {
            policy,
            active: RefCell::new(TokenCache::new(entries, MEMORY, seed)),
            inactive: RefCell::new(TokenCache::new(entries.min(MAX_INACTIVE), MEMORY, seed)),
            in_flight: RefCell::default(),
            failures: Cell::new(0),
            failed_at: Cell::default(),
            pause: Cell::default(),
            asked: Cell::default(),
            failed: Cell::default(),
        }
    }

    /// Defines the metrics.
    pub fn start(&self, host: &dyn Host) {
        let define =
            |name: &str| host.define_metric(MetricKind::Counter, &format!("portcullis.jwt_auth.{name}")).ok();
        self.asked.set(define("introspected"));
        self.failed.set(define("introspection_failed"));
    }

    /// Whether a call is in flight.
    #[must_use]
    pub fn is_pending(&self, id: CallId, now: UnixTime) -> bool {
        let calls = self.in_flight.try_borrow().ok();
        calls.is_some_and(|calls| calls.get(&id).is_some_and(|question| now < question.until))
    }

    /// What is known of a token; asks the issuer if nothing is.
    pub fn judge(&self, token: &[u8], host: &dyn Host, now: UnixTime) -> Introspected {
        if token.is_empty() || token.len() > MAX_TOKEN || !token.iter().all(|byte| is_token68(*byte)) {
            return Introspected::Refused(Rejection::Malformed.into());
        }
        let hash: TokenHash = Sha256::digest(token).into();
        if let Some(judged) = self.recall(&hash, now) {
            return judged;
        }
        let Ok(mut calls) = self.in_flight.try_borrow_mut() else {
            return Introspected::Refused(unavailable(1));
        };
        calls.retain(|_, question| now < question.until);
        if let Some((id, _)) = calls.iter().find(|(_, question)| question.token == hash) {
            return Introspected::Pending(*id);
        }
        if now < self.pause.get() {
            return Introspected::Refused(unavailable(self.pause.get().since(now).as_secs()));
        }
        if calls.len() >= MAX_IN_FLIGHT {
            return Introspected::Refused(unavailable(1));
        }
        match self.ask(token, host) {
            Ok(id) => {
                let until = now.plus(self.policy.timeout.saturating_add(GRACE));
                calls.insert(id, Question { token: hash, asked: now, until });
                count(&self.asked, host);
                Introspected::Pending(id)
            }
            Err(error) => {
                drop(calls);
                host.log(Level::Warn, &format!("introspection: {error}"));
                self.fail(now, host, now);
                Introspected::Refused(unavailable(1))
            }
        }
    }

    fn recall(&self, hash: &TokenHash, now: UnixTime) -> Option<Introspected> {
        if let Some((until, accepted)) = self.active.try_borrow_mut().ok()?.get(hash)
            && now < until
        {
            let valid = accepted.validity.map_or(Ok(()), |validity| validity.check(now));
            return Some(match valid {
                Ok(()) => Introspected::Known(accepted),
                Err(rejection) => Introspected::Refused(rejection.into()),
            });
        }
        let (until, refusal) = self.inactive.try_borrow_mut().ok()?.get(hash)?;
        (now < until).then_some(Introspected::Refused(refusal))
    }

    fn ask(&self, token: &[u8], host: &dyn Host) -> Result<CallId, portcullis_host::HostError> {
        let Address { cluster, scheme, authority, path } = &self.policy.address;
        let headers = [
            (":method", "POST"),
            (":scheme", scheme),
            (":authority", authority.as_str()),
            (":path", path.as_str()),
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", self.policy.authorization.as_str()),
        ];
        let body = format!("token={}&token_type_hint=access_token", form_encoded(token));
        host.http_call(&HttpCall {
            cluster,
            headers: &headers,
            body: body.as_bytes(),
            timeout: self.policy.timeout,
        })
    }

    /// The answer to a call of ours; others are not looked at. `accept` judges the claims of an active token.
    pub fn answered(
        &self,
        id: CallId,
        answer: &HttpAnswer,
        host: &dyn Host,
        now: UnixTime,
        accept: impl FnOnce(Map<String, Value>) -> Result<Accepted, Refusal>,
    ) {
        let question = self.in_flight.try_borrow_mut().ok().and_then(|mut calls| calls.remove(&id));
        let Some(Question { token, asked, .. }) = question else { return };
        let claims = match claims(answer) {
            Ok(claims) => claims,
            Err(problem) => {
                host.log(Level::Warn, &format!("introspection: {problem}"));
                return self.fail(asked, host, now);
            }
        };
        self.failures.set(0);
        match claims.ok_or(Refusal::Inactive).and_then(accept) {
            Ok(accepted) => {
                if let Ok(mut active) = self.active.try_borrow_mut() {
                    active.insert(&token, (now.plus(self.policy.cache), Rc::new(accepted)));
                }
            }
            Err(refusal) => {
                if let Ok(mut inactive) = self.inactive.try_borrow_mut() {
                    inactive.insert(&token, (now.plus(self.policy.negative_cache), refusal));
                }
            }
        }
    }

    fn fail(&self, asked: UnixTime, host: &dyn Host, now: UnixTime) {
        count(&self.failed, host);
        let failures = self.failures.get();
        // Asked before the last failure was known: the same round. Else a burst of questions would count as an outage of
        // minutes.
        if failures > 0 && asked <= self.failed_at.get() {
            return;
        }
        self.failures.set(failures.saturating_add(1));
        self.failed_at.set(now);
        let wait = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures)).min(MAX_BACKOFF);
        self.pause.set(now.plus(wait));
    }
}

fn unavailable(retry_after: u64) -> Refusal {
    Refusal::IntrospectionUnavailable { retry_after: retry_after.max(1) }
}

fn count(metric: &Cell<Option<MetricId>>, host: &dyn Host) {
    if let Some(id) = metric.get() {
        let _ = host.increment_metric(id, 1);
    }
}

/// What the issuer says of the token; none for one that is not active (RFC 7662 section 2.2).
fn claims(answer: &HttpAnswer) -> Result<Option<Map<String, Value>>, String> {
    match answer.status() {
        Some(200) => {}
        Some(status) => return Err(format!("status {status}")),
        None => return Err("no answer".to_owned()),
    }
    let text = answer.body.as_deref().ok_or("the answer is too large")?;
    let Ok(Value::Object(mut claims)) = json::parse(text, Limits::default()) else {
        return Err("the answer is not a JSON object".to_owned());
    };
    match claims.remove("active") {
        Some(Value::Bool(true)) => Ok(Some(claims)),
        Some(Value::Bool(false)) => Ok(None),
        _ => Err("the answer does not say whether the token is active".to_owned()),
    }
}

/// A character of a token in `authorization` (RFC 9110 section 11.2).
const fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// `application/x-www-form-urlencoded`: everything but unreserved characters (RFC 3986 section 2.3) is escaped.
fn form_encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
