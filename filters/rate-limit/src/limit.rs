//! One limit, ready to count.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_core::ConfigError;
use portcullis_core::client::ClientAddressConfig;
use portcullis_core::config::TimeSpan;
use portcullis_core::routes::Selector;
use portcullis_core::verdict::Mode;

use crate::concurrency::Concurrency;
use crate::config::{Count, FailuresConfig, LimitConfig, Matches, Missing};
use crate::cost::CostRule;
use crate::defaults;
use crate::hash::{KeyHash, Seed};
use crate::key::{Facts, Key, Variables};
use crate::lockout::{Lockout, MAX_DISTINCT};
use crate::meter::{Ending, Meter};
use crate::rate::Rate;
use crate::service::Question;
use crate::table::{Bucket, Table};

/// One limit.
#[derive(Debug)]
pub struct Limit {
    id: String,
    mode: Mode,
    key: Key,
    cost: CostRule,
    /// The share of the bucket in percent that must be used to report it.
    near: Option<u32>,
    /// None for a limit that refuses everything.
    meter: Option<Meter>,
    /// Tokens in a period, where tokens are counted.
    quota: Option<(u32, Duration)>,
    /// What a lock-out counts, and how it tells attempts apart.
    failures: Option<Failures>,
    /// The identity of its state: what a limit with other parameters has counted is something else.
    fingerprint: u64,
    table: Table,
    /// How the rate-limit service counts it; none if it is counted here.
    global: Option<Global>,
}

/// How the rate-limit service counts a limit.
#[derive(Debug)]
struct Global {
    lease: u32,
    lease_for: Duration,
    /// Where the leases are.
    table: Table,
}

/// Which answers are failures.
#[derive(Debug)]
struct Failures {
    statuses: Vec<u16>,
    reset_on_success: bool,
    distinct: Option<Key>,
}

/// The most statuses of one limit.
const MAX_STATUSES: usize = 16;

/// The most tokens of a lease.
const MAX_LEASE: u32 = 10_000;

/// The longest that failures are remembered.
const MAX_FORGET: Duration = Duration::from_secs(30 * 86_400);

impl Limit {
    /// Checks a limit.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn new(
        config: LimitConfig,
        client_address: ClientAddressConfig,
        slots: u32,
    ) -> Result<Self, ConfigError> {
        check_id(&config.id)?;
        let mut fingerprint = KeyHash::fixed();
        fingerprint.part(config.id.as_bytes());
        let parts = config.key.clone().unwrap_or_else(defaults::key);
        let key = Key::new(parts, config.missing, client_address).map_err(|error| error.under("key"))?;
        let mut failures = None;
        let (meter, quota) = match (config.requests, config.concurrent, &config.failures) {
            (Some(requests), None, None) => {
                let (rate, per) = rate(&config, requests, &mut fingerprint)?;
                (rate.map(Meter::Rate), Some((requests.0, per)))
            }
            (None, Some(limit), None) => (Some(Meter::Concurrency(concurrency(&config, limit)?)), None),
            (None, None, Some(config)) => {
                let (lockout, checked) = lockout(config, client_address, &mut fingerprint)
                    .map_err(|error| error.under("failures"))?;
                failures = Some(checked);
                (Some(Meter::Lockout(lockout)), None)
            }
            _ => {
                let problem = "expected one of `requests`, `concurrent` and `failures`";
                return Err(ConfigError::new("", problem));
            }
        };
        check_company(&config)?;
        check_variables(&key, &config.matches)?;
        key.describe(&mut fingerprint);
        Ok(Self {
            table: Table::new(&config.id, slots),
            global: global(&config, slots).map_err(|error| error.under("global"))?,
            mode: config.mode,
            key,
            cost: CostRule::new(config.cost).map_err(|error| error.under("cost"))?,
            near: near(config.near)?,
            meter,
            quota,
            failures,
            fingerprint: fingerprint.finish(),
            id: config.id,
        })
    }

    /// Names it in events and in the `RateLimit` fields.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it refuses, reports, or does nothing.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The rule; none for a limit that refuses everything.
    #[must_use]
    pub const fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }

    /// Tokens in a period, where tokens are counted.
    #[must_use]
    pub const fn quota(&self) -> Option<(u32, Duration)> {
        self.quota
    }

    /// The tokens that a request takes: at least one, and at most all that there are.
    #[must_use]
    pub fn tokens(&self, facts: &Facts<'_>) -> u32 {
        let most = if let Some(Meter::Rate(rate)) = &self.meter { rate.burst().get() } else { u32::MAX };
        self.cost.of(facts).clamp(1, most)
    }

    /// All keys that it makes of a request.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let distinct = self.failures.as_ref().and_then(|failures| failures.distinct.as_ref());
        std::iter::once(&self.key).chain(distinct)
    }

    /// Whether a request's header fields make a difference to it; those of a lock-out say which answers are gRPC's.
    #[must_use]
    pub fn reads_requests(&self) -> bool {
        self.failures.is_some() || self.cost.reads_requests() || self.keys().any(Key::reads_requests)
    }

    /// The properties that its keys and its cost ask for.
    pub fn properties(&self) -> impl Iterator<Item = &[String]> {
        self.keys().flat_map(Key::properties).chain(self.cost.property())
    }

    /// Whether the body is part of a key.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.keys().any(Key::needs_body)
    }

    /// Whether a client can leave it by making up another key for each request. A lock-out is meant to go by the account,
    /// which whoever tries names.
    #[must_use]
    pub fn can_be_left(&self) -> bool {
        self.failures.is_none() && self.key.is_chosen_by_client()
    }

    /// Whether the rate-limit service counts it.
    #[must_use]
    pub const fn is_global(&self) -> bool {
        self.global.is_some()
    }

    /// The hash of a request's key; none if the limit does not apply because a part of the key is missing.
    #[must_use]
    pub fn hash(&self, seed: &Seed, facts: &Facts<'_>, variables: &Variables<'_>) -> Option<u64> {
        self.key.hash(seed, self.fingerprint, facts, variables)
    }

    /// What counts the key with this hash here.
    #[must_use]
    pub fn bucket(&self, hash: u64) -> Bucket {
        self.table.bucket(hash)
    }

    /// What the rate-limit service has granted the key with this hash; none for a limit that it does not count.
    #[must_use]
    pub fn lease(&self, hash: u64) -> Option<Bucket> {
        self.global.as_ref().map(|global| global.table.bucket(hash))
    }

    /// What to ask the rate-limit service; none if it does not count this limit. `is_small`: for a request's own tokens alone.
    #[must_use]
    pub fn question(
        &self,
        hash: u64,
        facts: &Facts<'_>,
        variables: &Variables<'_>,
        is_small: bool,
    ) -> Option<Question> {
        let global = self.global.as_ref()?;
        let cost = self.tokens(facts);
        Some(Question {
            limit: self.id.clone(),
            descriptor: self.key.descriptor(&self.id, facts, variables)?,
            lease: global.table.bucket(hash),
            lease_size: if is_small { cost } else { global.lease },
            lease_for: global.lease_for,
            cost,
        })
    }

    /// The hash of what a request tries.
    #[must_use]
    pub fn tried(&self, seed: &Seed, facts: &Facts<'_>, variables: &Variables<'_>) -> u64 {
        let distinct = self.failures.as_ref().and_then(|failures| failures.distinct.as_ref());
        distinct.and_then(|key| key.hash(seed, self.fingerprint, facts, variables)).unwrap_or(0)
    }

    /// What an answer with this status says; none for a request that was never answered, which counts as a failed attempt: a
    /// client that hangs up must not guess for nothing.
    #[must_use]
    pub fn ending(&self, status: Option<u16>, tried: u64) -> Ending {
        match (status, &self.failures) {
            (None, Some(_)) => Ending::Failed(tried),
            (Some(status), Some(failures)) if failures.statuses.contains(&status) => Ending::Failed(tried),
            (Some(200..400), Some(failures)) if failures.reset_on_success => Ending::Succeeded,
            _ => Ending::Over,
        }
    }

    /// Whether so many tokens left are worth an event.
    #[must_use]
    pub fn is_near(&self, remaining: u32) -> bool {
        let (Some(near), Some(Meter::Rate(rate))) = (self.near, &self.meter) else {
            return false;
        };
        let burst = u64::from(rate.burst().get());
        let used = burst.saturating_sub(remaining.into());
        used.saturating_mul(100) >= burst.saturating_mul(near.into())
    }
}

/// Tokens that refill, and their period; none for a limit that refuses everything.
fn rate(
    config: &LimitConfig,
    requests: Count,
    fingerprint: &mut KeyHash,
) -> Result<(Option<Rate>, Duration), ConfigError> {
    let span = config.per.ok_or_else(|| ConfigError::new("", "expected a field `per`, found none"))?;
    let per = whole_seconds("per", span, Rate::MAX_FILL, "365d")?;
    let burst = config.burst.unwrap_or(requests).0;
    fingerprint.number(requests.0.into());
    fingerprint.number(per.as_secs());
    fingerprint.number(burst.into());
    let at_burst = |problem: String| ConfigError::new("burst", problem);
    let rate = match (NonZeroU32::new(requests.0), NonZeroU32::new(burst)) {
        (None, _) if config.burst.is_some() => {
            return Err(at_burst("expected none beside `requests: 0`, which refuses everything".to_owned()));
        }
        (None, _) => None,
        (Some(_), None) => return Err(at_burst(format!("expected 1 to {}, found 0", defaults::MAX_COUNT))),
        (Some(requests), Some(burst)) => {
            let problem = || at_burst("expected a bucket that is full again within 365d".to_owned());
            Some(Rate::new(requests, per, burst).ok_or_else(problem)?)
        }
    };
    Ok((rate, per))
}

fn global(config: &LimitConfig, slots: u32) -> Result<Option<Global>, ConfigError> {
    let Some(global) = config.global else {
        return Ok(None);
    };
    let minute = Duration::from_secs(60);
    let lease_for = whole_seconds("lease_for", global.lease_for, minute, "1m")?;
    let requests = config.requests.unwrap_or(Count(1)).0;
    let lease = match global.lease {
        Some(lease) => positive("lease", lease, MAX_LEASE.min(requests.max(1)))?.get(),
        None => defaults::lease(requests, config.per.map(TimeSpan::get).unwrap_or_default(), lease_for),
    };
    Ok(Some(Global {
        lease,
        lease_for,
        // No id has this character: no other limit has these keys.
        table: Table::new(&format!("{}~", config.id), slots),
    }))
}

fn concurrency(config: &LimitConfig, limit: Count) -> Result<Concurrency, ConfigError> {
    let limit = positive("concurrent", limit, defaults::MAX_COUNT)?;
    let day = Duration::from_secs(86_400);
    let at_most = config.at_most.unwrap_or(TimeSpan::new(defaults::AT_MOST));
    Ok(Concurrency::new(limit, whole_seconds("at_most", at_most, day, "1d")?))
}

fn lockout(
    config: &FailuresConfig,
    client_address: ClientAddressConfig,
    fingerprint: &mut KeyHash,
) -> Result<(Lockout, Failures), ConfigError> {
    let most = if config.distinct.is_some() { MAX_DISTINCT } else { 1_000_000 };
    let allowed = positive("allowed", config.allowed, most)?;
    let forget = whole_seconds("forget", config.forget, MAX_FORGET, "30d")?;
    let max_lock = whole_seconds("max_lock", config.max_lock, forget, "`forget`")?;
    let lock = whole_seconds("lock", config.lock, max_lock, "`max_lock`")?;
    let found = config.statuses.len();
    if found == 0 || found > MAX_STATUSES {
        let problem = format!("expected 1 to {MAX_STATUSES} statuses, found {found}");
        return Err(ConfigError::new("statuses", problem));
    }
    let statuses = config.statuses.iter().enumerate();
    let statuses = statuses.map(|(i, status)| error_status(&format!("statuses[{i}]"), *status));
    let statuses = statuses.collect::<Result<_, _>>()?;
    let distinct = config.distinct.clone().map(|parts| {
        if parts.is_empty() {
            return Err(ConfigError::new("distinct", "expected what was tried, found nothing"));
        }
        Key::new(parts, Missing::LimitTogether, client_address).map_err(|error| error.under("distinct"))
    });
    let distinct = distinct.transpose()?;
    fingerprint.number(allowed.get().into());
    [lock, max_lock, forget].into_iter().for_each(|span| fingerprint.number(span.as_secs()));
    if let Some(distinct) = &distinct {
        distinct.describe(fingerprint);
    }
    Ok((
        Lockout::new(allowed, lock, max_lock, forget, distinct.is_some()),
        Failures { statuses, reset_on_success: config.reset_on_success, distinct },
    ))
}

/// A variable that no path template has would always be missing.
fn check_variables(key: &Key, matches: &Matches) -> Result<(), ConfigError> {
    for name in key.path_variables() {
        let variable = format!("{{{name}}}");
        let has = |selector: &Selector| selector.path.as_ref().is_some_and(|path| path.contains(&variable));
        if matches.is_empty() || !matches.0.iter().all(has) {
            let problem = format!("expected `{variable}` in the path of each condition under `match`");
            return Err(ConfigError::new("key", problem));
        }
    }
    Ok(())
}

/// What goes with one kind of limit only.
fn check_company(config: &LimitConfig) -> Result<(), ConfigError> {
    let counts_tokens = config.requests.is_some();
    for (member, is_there, fits, company) in [
        ("per", config.per.is_some(), counts_tokens, "requests"),
        ("burst", config.burst.is_some(), counts_tokens, "requests"),
        ("cost", config.cost.is_some(), counts_tokens, "requests"),
        ("near", config.near.is_some(), counts_tokens, "requests"),
        ("global", config.global.is_some(), counts_tokens, "requests"),
        ("at_most", config.at_most.is_some(), config.concurrent.is_some(), "concurrent"),
    ] {
        if is_there && !fits {
            return Err(ConfigError::new(member, format!("expected only beside `{company}`")));
        }
    }
    Ok(())
}

fn near(config: Option<Count>) -> Result<Option<u32>, ConfigError> {
    match config {
        Some(Count(percent)) if !(1..100).contains(&percent) => {
            Err(ConfigError::new("near", format!("expected 1 to 99, found {percent}")))
        }
        near => Ok(near.map(|Count(percent)| percent)),
    }
}

/// A status that says that a request was refused or has failed.
pub(crate) fn error_status(member: &str, count: Count) -> Result<u16, ConfigError> {
    let status = u16::try_from(count.0).ok().filter(|status| (400..600).contains(status));
    status.ok_or_else(|| ConfigError::new(member, format!("expected 400 to 599, found {}", count.0)))
}

fn positive(member: &str, count: Count, most: u32) -> Result<NonZeroU32, ConfigError> {
    NonZeroU32::new(count.0)
        .filter(|count| count.get() <= most)
        .ok_or_else(|| ConfigError::new(member, format!("expected 1 to {most}, found {}", count.0)))
}

fn whole_seconds(
    member: &str,
    span: TimeSpan,
    most: Duration,
    most_text: &str,
) -> Result<Duration, ConfigError> {
    let duration = span.get();
    if duration.is_zero() || duration.subsec_nanos() != 0 || duration > most {
        let problem = format!("expected whole seconds from 1s to {most_text}, found {span}");
        return Err(ConfigError::new(member, problem));
    }
    Ok(duration)
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
