//! The checked configuration, and the decision: which limits a request has, and whether each has a token for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_core::client::ClientAddressConfig;
use portcullis_core::routes::{RouteTable, Selector};
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Mode, Reason, Request};

use crate::config::{Config, Count, Fields, LimitConfig};
use crate::defaults;
use crate::hash::{KeyHash, Seed};
use crate::key::{Facts, Key};
use crate::rate::Rate;
use crate::table::{Bucket, Reading, Store, Table, Take, Unavailable};

/// A limit has no token left.
pub const EXCEEDED: Reason = Reason("rate.exceeded");
/// Other workers changed a bucket in every try to take a token.
pub const CONTENDED: Reason = Reason("rate.contended");
/// The proxy failed: no clock, no shared data, no randomness.
pub const UNAVAILABLE: Reason = Reason("rate.unavailable");

/// A checked configuration.
#[derive(Debug)]
pub struct Policy {
    on_error: OnError,
    fields: Fields,
    client_address: ClientAddressConfig,
    limits: Vec<Limit>,
    /// Positions in `limits`; none when every limit is for every request, whose path then does not matter.
    routes: Option<RouteTable<usize>>,
}

/// One limit, ready to count.
#[derive(Debug)]
pub struct Limit {
    id: String,
    mode: Mode,
    key: Key,
    /// The identity of its state: buckets of a limit with other parameters are other buckets.
    fingerprint: u64,
    per: Duration,
    requests: u32,
    /// None for a limit that refuses everything.
    rate: Option<Rate>,
    table: Table,
}

/// What is to be done with a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The refusal of the strictest limit; none to let the request pass.
    pub refusal: Option<Denial>,
    /// What limits in mode `report` found, and what failed under `on_error: allow`.
    pub reports: Vec<Denial>,
    /// `RateLimit-Policy` and `RateLimit` for the response, if the configuration asks for them.
    pub fields: Option<(String, String)>,
}

/// Why a limit objects to a request; later ones are more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Objection {
    /// No token for as long as this.
    Exceeded(Duration),
    Contended,
    Unavailable,
}

/// A limit that has a token, before it is taken.
struct Pending<'a, V> {
    limit: &'a Limit,
    rate: &'a Rate,
    bucket: Bucket<'a>,
    reading: Reading<V>,
}

impl Policy {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let found = config.limits.len();
        if found == 0 || found > defaults::MAX_LIMITS {
            let problem = format!("expected 1 to {} limits, found {found}", defaults::MAX_LIMITS);
            return Err(ConfigError::new("limits", problem));
        }
        let slots = slots(config.slots)?;
        let mut ids = BTreeSet::new();
        let mut selectors = Vec::with_capacity(found);
        let mut limits = Vec::with_capacity(found);
        for (i, mut limit) in config.limits.into_iter().enumerate() {
            let at = format!("limits[{i}]");
            if !ids.insert(limit.id.clone()) {
                let problem = format!("expected an id of its own, found `{}` twice", limit.id);
                return Err(ConfigError::new("id", problem).under(&at));
            }
            selectors.push(limit.selector.take());
            limits.push(Limit::new(limit, config.client_address, slots).map_err(|error| error.under(&at))?);
        }
        let routes = if selectors.iter().all(Option::is_none) {
            None
        } else {
            let rules = selectors.into_iter().map(Option::<Selector>::unwrap_or_default).zip(0..).collect();
            Some(RouteTable::build(rules).map_err(|error| error.under("limits"))?)
        };
        Ok(Self {
            on_error: config.on_error,
            fields: config.headers,
            client_address: config.client_address,
            limits,
            routes,
        })
    }

    /// All limits.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// What happens when the proxy fails.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Whether responses of requests that passed are changed.
    #[must_use]
    pub fn changes_responses(&self) -> bool {
        self.fields == Fields::Always
    }

    /// How the client's address is found.
    #[must_use]
    pub const fn client_address(&self) -> &ClientAddressConfig {
        &self.client_address
    }

    /// The limits that apply to a request.
    ///
    /// # Errors
    /// When limits are selected by path and the path has more than one reading.
    pub fn select(&self, request: &Request) -> Result<Vec<&Limit>, Denial> {
        let is_on = |limit: &&Limit| limit.mode != Mode::Off;
        match &self.routes {
            None => Ok(self.limits.iter().filter(is_on).collect()),
            Some(routes) => {
                let matches = routes.all(request)?;
                Ok(matches.iter().filter_map(|found| self.limits.get(*found.value)).filter(is_on).collect())
            }
        }
    }

    /// Takes a token of each of `limits`, or of none.
    ///
    /// First all buckets are read. If an enforcing limit has no token, the request is refused and nothing is
    /// written. Else the tokens are taken one by one; if meanwhile another worker took the last one of a bucket, what
    /// was taken from the buckets before goes back.
    pub fn decide<S: Store>(&self, limits: &[&Limit], seed: &Seed, facts: &Facts<'_>, store: &S) -> Decision {
        let mut decision = Decision::default();
        let mut strictest: Option<(Objection, &Limit)> = None;
        let mut pending = Vec::with_capacity(limits.len());
        for limit in limits {
            let Some(hash) = limit.key.hash(seed, limit.fingerprint, facts) else {
                continue;
            };
            match limit.look(hash, store) {
                Ok(found) => pending.push(found),
                Err(objection) if self.refuses(limit, objection) => {
                    if strictest.is_none_or(|(most, _)| objection > most) {
                        strictest = Some((objection, *limit));
                    }
                }
                Err(objection) => decision.reports.push(self.denial(limit, objection)),
            }
        }
        if let Some((objection, limit)) = strictest {
            decision.refusal = Some(self.denial(limit, objection));
            return decision;
        }
        // Enforcing limits first: a report-only one then never has to give back.
        pending.sort_by_key(|found| found.limit.mode == Mode::Report);
        let mut taken = Vec::with_capacity(pending.len());
        for Pending { limit, rate, bucket, reading } in pending {
            let objection = match bucket.take(store, reading) {
                Ok(Take::Taken { taken: token, now }) => {
                    if self.fields == Fields::Always && limit.mode == Mode::Enforce {
                        let reset = rate.until_full(token.after, now);
                        limit.describe(&mut decision, rate.remaining(token.after, now), reset);
                    }
                    taken.push((bucket, token));
                    continue;
                }
                Ok(Take::Exceeded(wait)) => Objection::Exceeded(wait),
                Ok(Take::Contended) => Objection::Contended,
                Err(Unavailable) => Objection::Unavailable,
            };
            let denial = self.denial(limit, objection);
            if self.refuses(limit, objection) {
                for (bucket, token) in taken.iter().rev() {
                    bucket.give_back(store, token);
                }
                decision.fields = None;
                decision.refusal = Some(denial);
                return decision;
            }
            decision.reports.push(denial);
        }
        decision
    }

    /// The decision when nothing can be counted at all.
    #[must_use]
    pub fn undecided(&self, limits: &[&Limit]) -> Decision {
        let mut decision = Decision::default();
        for limit in limits {
            let denial = self.denial(limit, Objection::Unavailable);
            if self.refuses(limit, Objection::Unavailable) {
                decision.refusal.get_or_insert(denial);
            } else {
                decision.reports.push(denial);
            }
        }
        decision
    }

    fn refuses(&self, limit: &Limit, objection: Objection) -> bool {
        match limit.mode {
            Mode::Enforce => objection != Objection::Unavailable || self.on_error == OnError::Deny,
            Mode::Report | Mode::Off => false,
        }
    }

    fn denial(&self, limit: &Limit, objection: Objection) -> Denial {
        let denial = match objection {
            Objection::Exceeded(wait) => {
                let wait = seconds(wait).max(1);
                let denial = Denial::new(429, EXCEEDED, "Too Many Requests")
                    .with_header("retry-after", wait.to_string());
                if self.fields == Fields::Off {
                    denial
                } else {
                    denial
                        .with_header("ratelimit-policy", limit.policy_field())
                        .with_header("ratelimit", limit.status_field(0, wait))
                }
            }
            // Not the client's doing, and over in a moment.
            Objection::Contended => Denial::unavailable(CONTENDED).with_header("retry-after", "1"),
            Objection::Unavailable => Denial::unavailable(UNAVAILABLE),
        };
        denial.by_rule(limit.id.as_str())
    }
}

impl Limit {
    fn new(
        config: LimitConfig,
        client_address: ClientAddressConfig,
        slots: u32,
    ) -> Result<Self, ConfigError> {
        check_id(&config.id)?;
        let per = config.per.get();
        if per.is_zero() || per.subsec_nanos() != 0 || per > Rate::MAX_FILL {
            let problem = format!("expected whole seconds from 1s to 365d, found {}", config.per);
            return Err(ConfigError::new("per", problem));
        }
        let burst = config.burst.unwrap_or(config.requests).0;
        let rate = match (NonZeroU32::new(config.requests.0), NonZeroU32::new(burst)) {
            (None, _) if config.burst.is_some() => {
                return Err(ConfigError::new(
                    "burst",
                    "expected none beside `requests: 0`, which refuses everything",
                ));
            }
            (None, _) => None,
            (Some(_), None) => {
                return Err(ConfigError::new(
                    "burst",
                    format!("expected 1 to {}, found 0", defaults::MAX_COUNT),
                ));
            }
            (Some(requests), Some(burst)) => {
                let problem = "expected a bucket that is full again within 365d";
                Some(Rate::new(requests, per, burst).ok_or_else(|| ConfigError::new("burst", problem))?)
            }
        };
        let key = Key::new(config.key, config.missing, client_address).map_err(|error| error.under("key"))?;
        let mut fingerprint = KeyHash::fixed();
        fingerprint.part(config.id.as_bytes());
        fingerprint.number(config.requests.0.into());
        fingerprint.number(per.as_secs());
        fingerprint.number(burst.into());
        key.describe(&mut fingerprint);
        Ok(Self {
            table: Table::new(&config.id, slots),
            id: config.id,
            mode: config.mode,
            key,
            fingerprint: fingerprint.finish(),
            per,
            requests: config.requests.0,
            rate,
        })
    }

    /// Names it in events and in the `RateLimit` fields.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What has a bucket of its own.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    fn look<S: Store>(&self, hash: u64, store: &S) -> Result<Pending<'_, S::Version>, Objection> {
        let Some(rate) = &self.rate else {
            return Err(Objection::Exceeded(self.per));
        };
        let bucket = self.table.bucket(hash, rate);
        let reading = bucket.read(store).map_err(|Unavailable| Objection::Unavailable)?;
        match reading.wait() {
            Some(wait) => Err(Objection::Exceeded(wait)),
            None => Ok(Pending { limit: self, rate, bucket, reading }),
        }
    }

    /// Adds this limit to the fields of a response that passed.
    fn describe(&self, decision: &mut Decision, remaining: u32, reset: Duration) {
        let (policy, status) = decision.fields.get_or_insert_default();
        for (list, item) in
            [(policy, self.policy_field()), (status, self.status_field(remaining, seconds(reset)))]
        {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(&item);
        }
    }

    /// `"id";q=100;w=60`, an item of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 section 3).
    fn policy_field(&self) -> String {
        format!("\"{}\";q={};w={}", self.id, self.requests, self.per.as_secs())
    }

    /// `"id";r=0;t=12`, an item of `RateLimit` (section 4 there).
    fn status_field(&self, remaining: u32, reset: u64) -> String {
        let mut item = String::with_capacity(self.id.len().saturating_add(24));
        // Writing into memory does not fail.
        let _ = write!(item, "\"{}\";r={remaining};t={reset}", self.id);
        item
    }
}

/// Whole seconds, rounded up: a client that comes back then is not too early.
const fn seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(if span.subsec_nanos() == 0 { 0 } else { 1 })
}

fn slots(count: Count) -> Result<u32, ConfigError> {
    let (min, max) = (defaults::MIN_SLOTS, defaults::MAX_SLOTS);
    if (min..=max).contains(&count.0) && count.0.is_multiple_of(8) {
        return Ok(count.0);
    }
    Err(ConfigError::new("slots", format!("expected a multiple of 8 from {min} to {max}, found {}", count.0)))
}

/// An id stands in a string of RFC 8941 section 3.3.3 without escapes, in shared keys and in events.
fn check_id(id: &str) -> Result<(), ConfigError> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if (1..=defaults::MAX_ID).contains(&id.len()) && id.bytes().all(is_safe) {
        return Ok(());
    }
    let max = defaults::MAX_ID;
    Err(ConfigError::new(
        "id",
        format!("expected 1 to {max} letters, digits or any of `-_.:/`, found `{id}`"),
    ))
}

#[cfg(test)]
mod tests;
