//! The checked configuration, and the decision: which limits a request has, and whether each has room for it.

use std::collections::BTreeSet;
use std::rc::Rc;

use portcullis_core::client::ClientAddressConfig;
use portcullis_core::config::unique;
use portcullis_core::routes::{RouteTable, Selector};
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Mode, Request};

use crate::answer::{Answers, Objection, Standing};
use crate::config::{Config, Count, Fields, OnFailure};
use crate::defaults;
use crate::exemption::Exemptions;
use crate::hash::Seed;
use crate::key::{Facts, Property, Variables};
use crate::lease::Lease;
use crate::limit::{Limit, error_status};
use crate::meter::{Meter, Taken};
use crate::service::{Answer, Question, Service};
use crate::table::{Bucket, Reading, Store, TRIES, Take, Unavailable};

/// A checked configuration.
#[derive(Debug)]
pub struct Policy {
    on_error: OnError,
    answers: Answers,
    client_address: ClientAddressConfig,
    max_body: usize,
    exemptions: Exemptions,
    service: Option<Service>,
    limits: Vec<Rc<Limit>>,
    /// Whether any limit asks for a property.
    has_properties: bool,
    /// None when every limit is for every request, whose path then does not matter.
    routes: Option<RouteTable<Rc<Limit>>>,
}

/// A limit that applies to a request.
#[derive(Debug)]
pub struct Selected<'a> {
    /// The limit.
    pub limit: &'a Rc<Limit>,
    /// What its path template found.
    variables: Vec<(&'a str, String)>,
}

/// What was counted for a request: what it holds, until it has ended or is refused after all.
#[derive(Debug, Default)]
pub struct Admission {
    held: Vec<Held>,
    /// What limits in mode `report` found, what failed under `on_error: allow`, and what is nearly used up.
    pub reports: Vec<Denial>,
    /// What the response is to say about the limits, if the configuration asks for it.
    pub standing: Option<Standing>,
}

/// What is to be done with a request that no limit refuses.
#[derive(Debug)]
pub enum Step {
    /// Let it go on.
    Admit,
    /// Ask the rate-limit service first. Nothing was counted yet.
    Ask(Vec<Question>),
}

/// What the rate-limit service has said of a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// By the limit's id; empty before it was asked.
    pub answers: &'a [(String, Answer)],
    /// Whether it may be asked: once for each request.
    pub may_ask: bool,
}

/// What one limit has counted.
#[derive(Debug)]
struct Held {
    limit: Rc<Limit>,
    is_leased: bool,
    bucket: Bucket,
    taken: Taken,
    /// The hash of what the request tries.
    tried: u64,
}

/// A limit that has room, before anything is taken.
struct Pending<'a, V> {
    limit: &'a Rc<Limit>,
    is_leased: bool,
    meter: &'a Meter,
    bucket: Bucket,
    cost: u32,
    tried: u64,
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
        let mut limits = Vec::with_capacity(found);
        let mut routes = RouteTable::new();
        let mut is_selective = false;
        for (i, limit) in config.limits.into_iter().enumerate() {
            let at = format!("limits[{i}]");
            unique(&mut ids, "id", &limit.id).map_err(|error| error.under(&at))?;
            let matches = limit.matches.0.clone();
            let limit = Limit::new(limit, config.client_address, slots).map_err(|error| error.under(&at))?;
            let limit = Rc::new(limit);
            is_selective |= !matches.is_empty();
            add_routes(&mut routes, matches, &limit).map_err(|error| error.under(&at))?;
            limits.push(limit);
        }
        let answers = Answers {
            status: error_status("status", config.status)?,
            fields: config.headers,
            legacy: config.legacy_headers,
        };
        if answers.legacy && answers.fields == Fields::Off {
            return Err(ConfigError::new("legacy_headers", "expected `false` beside `headers: off`"));
        }
        let max_body = config.max_body.get();
        if max_body == 0 || max_body > defaults::MAX_BODY {
            return Err(ConfigError::new("max_body", "expected `1B` to `1MiB`"));
        }
        let service = config.rate_limit_service.map(Service::new).transpose();
        let service = service.map_err(|error| error.under("rate_limit_service"))?;
        check_service(service.is_some(), &limits)?;
        Ok(Self {
            on_error: config.on_error,
            service,
            answers,
            client_address: config.client_address,
            max_body,
            exemptions: Exemptions::new(config.exempt).map_err(|error| error.under("exempt"))?,
            has_properties: limits.iter().any(|limit| limit.properties().next().is_some()),
            limits,
            routes: is_selective.then_some(routes),
        })
    }

    /// All limits.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().map(Rc::as_ref)
    }

    /// What happens when the proxy fails.
    #[must_use]
    pub const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// How clients are told.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether a request's header fields make a difference.
    #[must_use]
    pub fn reads_requests(&self) -> bool {
        self.routes.is_some()
            || self.exemptions.go_by_request()
            || self.client_address.trusted_hops > 0
            || self.limits().any(Limit::reads_requests)
    }

    /// Whether responses of requests that passed are changed.
    #[must_use]
    pub fn changes_responses(&self) -> bool {
        self.answers.fields == Fields::Always
    }

    /// Whether the end of a request matters.
    #[must_use]
    pub fn settles(&self) -> bool {
        self.limits().filter_map(Limit::meter).any(Meter::settles)
    }

    /// How the client's address is found.
    #[must_use]
    pub const fn client_address(&self) -> &ClientAddressConfig {
        &self.client_address
    }

    /// The longest body that is read, in bytes.
    #[must_use]
    pub const fn max_body(&self) -> usize {
        self.max_body
    }

    /// The service that counts global limits.
    #[must_use]
    pub const fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// Which requests no limit applies to.
    #[must_use]
    pub const fn exemptions(&self) -> &Exemptions {
        &self.exemptions
    }

    /// The limits that apply to a request, each once.
    ///
    /// # Errors
    /// When limits are selected by path and the path has more than one reading.
    pub fn select(&self, request: &Request) -> Result<Vec<Selected<'_>>, Denial> {
        let is_on = |selected: &Selected<'_>| selected.limit.mode() != Mode::Off;
        let Some(routes) = &self.routes else {
            let all = self.limits.iter().map(|limit| Selected { limit, variables: Vec::new() });
            return Ok(all.filter(is_on).collect());
        };
        let mut selected: Vec<Selected<'_>> = Vec::new();
        for found in routes.all(request)? {
            // The most specific condition of a limit comes first.
            if !selected.iter().any(|known| Rc::ptr_eq(known.limit, found.value)) {
                selected.push(Selected { limit: found.value, variables: found.variables });
            }
        }
        selected.retain(is_on);
        Ok(selected)
    }

    /// The properties that keys and costs of these limits ask for, each once.
    #[must_use]
    pub fn properties(&self, selected: &[Selected<'_>]) -> Vec<Property> {
        let mut properties: Vec<Property> = Vec::new();
        if !self.has_properties {
            return properties;
        }
        for path in selected.iter().flat_map(|selected| selected.limit.properties()) {
            if !properties.iter().any(|known| known.path == path) {
                properties.push(Property { path: path.to_vec(), value: None });
            }
        }
        properties
    }

    /// Counts a request in each of `selected`, or in none, and adds what it then holds to `admission`.
    ///
    /// First all buckets are read. If an enforcing limit has no room, the request is refused and nothing is
    /// written. Else it is counted in one after the other; if meanwhile another worker took the last of a bucket, all that
    /// the request holds goes back.
    ///
    /// Limits that the rate-limit service counts are asked for when all others have room and what it granted before is used
    /// up: then the decision is made again, with the answers. That goes for a grant that another worker used up meanwhile too:
    /// what is left of the limit, only the service knows.
    ///
    /// # Errors
    /// The refusal of the strictest limit.
    pub fn decide<S: Store>(
        &self,
        selected: &[Selected<'_>],
        seed: &Seed,
        facts: &Facts<'_>,
        store: &S,
        asked: Asked<'_>,
        admission: &mut Admission,
    ) -> Result<Step, Denial> {
        let look = Look { policy: self, seed, facts, store, asked };
        let mut decision = self.attempt(selected, &look, admission);
        for _ in 1..TRIES {
            if !matches!(decision, Err((Objection::UsedUp, _))) {
                break;
            }
            decision = self.attempt(selected, &look, admission);
        }
        decision.map_err(|(objection, limit)| {
            admission.give_back(store);
            self.answers.denial(limit, objection)
        })
    }

    /// One look at all buckets, and one take from each. After [`Objection::UsedUp`] the request holds what it held before.
    fn attempt<'a, S: Store>(
        &self,
        selected: &'a [Selected<'_>],
        look: &Look<'_, S>,
        admission: &mut Admission,
    ) -> Result<Step, (Objection, &'a Limit)> {
        let mut strictest: Option<(Objection, &Limit)> = None;
        // Grants first: if one is used up, nothing else was taken yet. Report-only limits last: they never have to give back.
        let (mut granted, mut enforcing, mut reporting) =
            (Vec::new(), Vec::with_capacity(selected.len()), Vec::new());
        let mut questions = Vec::new();
        let mut reports = Vec::new();
        for Selected { limit, variables } in selected {
            let Some(hash) = limit.hash(look.seed, look.facts, variables) else {
                continue;
            };
            match look.at(limit, hash, variables) {
                Ok(Found::Room(found)) if found.is_leased => granted.push(found),
                Ok(Found::Room(found)) if limit.mode() == Mode::Report => reporting.push(found),
                Ok(Found::Room(found)) => enforcing.push(found),
                Ok(Found::Unknown(question)) => questions.push(question),
                Ok(Found::Granted) => {}
                Ok(Found::Unchecked) => {
                    reports.push(self.answers.denial(limit, Objection::ServiceUnavailable));
                }
                Err(objection) if self.refuses(limit, objection) => {
                    if strictest.is_none_or(|(most, _)| objection > most) {
                        strictest = Some((objection, limit));
                    }
                }
                Err(objection) => reports.push(self.answers.denial(limit, objection)),
            }
        }
        if let Some(strictest) = strictest {
            admission.reports.append(&mut reports);
            return Err(strictest);
        }
        if !questions.is_empty() {
            return Ok(Step::Ask(questions));
        }
        let held = admission.held.len();
        for found in granted.into_iter().chain(enforcing).chain(reporting) {
            let limit: &'a Limit = found.limit;
            match self.take(found, look.store, admission) {
                Ok(()) => {}
                Err(Objection::UsedUp) => {
                    admission.give_back_from(held, look.store);
                    return Err((Objection::UsedUp, limit));
                }
                Err(objection) if self.refuses(limit, objection) => {
                    admission.reports.append(&mut reports);
                    return Err((objection, limit));
                }
                Err(objection) => reports.push(self.answers.denial(limit, objection)),
            }
        }
        admission.reports.append(&mut reports);
        Ok(Step::Admit)
    }

    fn take<S: Store>(
        &self,
        found: Pending<'_, S::Version>,
        store: &S,
        admission: &mut Admission,
    ) -> Result<(), Objection> {
        let Pending { limit, is_leased, meter, bucket, cost, tried, reading } = found;
        let (taken, now) = match bucket.take(store, meter, cost, reading) {
            Ok(Take::Taken { taken, now }) => (taken, now),
            Ok(Take::Exceeded(wait)) if is_leased && wait.is_zero() => return Err(Objection::UsedUp),
            Ok(Take::Exceeded(wait)) => return Err(Objection::Exceeded(wait)),
            Ok(Take::Contended) => return Err(Objection::Contended),
            Err(Unavailable) => return Err(Objection::Unavailable),
        };
        admission.held.push(Held { limit: Rc::clone(limit), is_leased, bucket, taken, tried });
        if let Meter::Rate(rate) = meter {
            let remaining = rate.remaining(taken.after, now);
            if limit.is_near(remaining) {
                admission.reports.push(self.answers.near(limit));
            }
            if self.changes_responses() && limit.mode() == Mode::Enforce {
                let until_full = rate.until_full(taken.after, now);
                admission.standing.get_or_insert_default().add(limit, remaining, until_full);
            }
        }
        Ok(())
    }

    /// What follows when nothing can be counted at all.
    ///
    /// # Errors
    /// The refusal, unless `on_error` allows it.
    pub fn undecided(&self, selected: &[Selected<'_>], admission: &mut Admission) -> Result<(), Denial> {
        let mut refusal = None;
        for Selected { limit, .. } in selected {
            let denial = self.answers.denial(limit, Objection::Unavailable);
            if self.refuses(limit, Objection::Unavailable) {
                refusal.get_or_insert(denial);
            } else {
                admission.reports.push(denial);
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    fn refuses(&self, limit: &Limit, objection: Objection) -> bool {
        match limit.mode() {
            Mode::Enforce => objection != Objection::Unavailable || self.on_error == OnError::Deny,
            Mode::Report | Mode::Off => false,
        }
    }
}

impl Admission {
    /// Takes back all that the request holds: it does not go on.
    pub fn give_back<S: Store>(&mut self, store: &S) {
        self.standing = None;
        self.give_back_from(0, store);
    }

    fn give_back_from<S: Store>(&mut self, first: usize, store: &S) {
        let kept = first.min(self.held.len());
        for held in self.held.drain(kept..).rev() {
            if let Some(meter) = held.meter() {
                held.bucket.give_back(store, meter, &held.taken);
            }
        }
    }

    /// Whether something is left to do at its end.
    #[must_use]
    pub fn settles(&self) -> bool {
        self.held.iter().filter_map(Held::meter).any(Meter::settles)
    }

    /// Notes how the request ended: with an answer of this status, or with none.
    pub fn settle<S: Store>(&mut self, store: &S, status: Option<u16>) {
        for held in self.held.drain(..) {
            if let Some(meter) = held.meter().filter(|meter| meter.settles()) {
                held.bucket.settle(store, meter, held.limit.ending(status, held.tried));
            }
        }
    }
}

/// What has been granted is the same to all limits.
static LEASE: Meter = Meter::Lease(Lease);

impl Held {
    fn meter(&self) -> Option<&Meter> {
        if self.is_leased { Some(&LEASE) } else { self.limit.meter() }
    }
}

/// What a limit has for a request.
enum Found<'a, V> {
    /// Room.
    Room(Pending<'a, V>),
    /// What only the rate-limit service knows.
    Unknown(Question),
    /// The service has counted it.
    Granted,
    /// Nobody counts it: the service does not answer, and requests pass then.
    Unchecked,
}

/// Looks at limits, and takes nothing.
struct Look<'a, S> {
    policy: &'a Policy,
    seed: &'a Seed,
    facts: &'a Facts<'a>,
    store: &'a S,
    asked: Asked<'a>,
}

impl<S: Store> Look<'_, S> {
    fn at<'l>(
        &self,
        limit: &'l Rc<Limit>,
        hash: u64,
        variables: &Variables<'_>,
    ) -> Result<Found<'l, S::Version>, Objection> {
        let Some(meter) = limit.meter() else {
            let per = limit.quota().map(|(_, per)| per);
            return Err(Objection::Exceeded(per.unwrap_or_default()));
        };
        let (Some(service), Some(lease)) = (&self.policy.service, limit.lease(hash)) else {
            return self.here(limit, meter, limit.bucket(hash), variables);
        };
        match self.asked.answers.iter().find(|(id, _)| id == limit.id()) {
            Some((_, Answer::Granted)) => return Ok(Found::Granted),
            Some((_, Answer::Refused(wait))) => return Err(Objection::Exceeded(*wait)),
            Some((_, Answer::Failed)) => {}
            None => {
                let cost = limit.tokens(self.facts);
                let reading =
                    lease.read(self.store, &LEASE, cost).map_err(|Unavailable| Objection::Unavailable)?;
                match reading.wait() {
                    None => {
                        let (meter, bucket, is_leased, tried) = (&LEASE, lease, true, 0);
                        return Ok(Found::Room(Pending {
                            limit,
                            is_leased,
                            meter,
                            bucket,
                            cost,
                            tried,
                            reading,
                        }));
                    }
                    Some(wait) if !wait.is_zero() => return Err(Objection::Exceeded(wait)),
                    Some(_) if self.asked.may_ask && service.is_available(reading.now()) => {
                        let is_small = Lease::is_small(lease.level(&reading), reading.now());
                        let question = limit.question(hash, self.facts, variables, is_small);
                        return question.map(Found::Unknown).ok_or(Objection::Unavailable);
                    }
                    Some(_) => {}
                }
            }
        }
        match service.on_failure() {
            OnFailure::Local => self.here(limit, meter, limit.bucket(hash), variables),
            OnFailure::Deny => Err(Objection::ServiceUnavailable),
            OnFailure::Allow => Ok(Found::Unchecked),
        }
    }

    fn here<'l>(
        &self,
        limit: &'l Rc<Limit>,
        meter: &'l Meter,
        bucket: Bucket,
        variables: &Variables<'_>,
    ) -> Result<Found<'l, S::Version>, Objection> {
        let cost = limit.tokens(self.facts);
        let reading = bucket.read(self.store, meter, cost).map_err(|Unavailable| Objection::Unavailable)?;
        if let Some(wait) = reading.wait() {
            return Err(Objection::Exceeded(wait));
        }
        let tried = limit.tried(self.seed, self.facts, variables);
        Ok(Found::Room(Pending { limit, is_leased: false, meter, bucket, cost, tried, reading }))
    }
}

fn check_service(is_there: bool, limits: &[Rc<Limit>]) -> Result<(), ConfigError> {
    match (is_there, limits.iter().position(|limit| limit.is_global())) {
        (false, Some(i)) => Err(ConfigError::new(
            format!("limits[{i}].global"),
            "expected `rate_limit_service` for the whole configuration, found none",
        )),
        (true, None) => {
            Err(ConfigError::new("rate_limit_service", "expected a limit with `global`, found none"))
        }
        _ => Ok(()),
    }
}

fn add_routes(
    routes: &mut RouteTable<Rc<Limit>>,
    matches: Vec<Selector>,
    limit: &Rc<Limit>,
) -> Result<(), ConfigError> {
    if matches.is_empty() {
        return routes.insert(Selector::default(), Rc::clone(limit));
    }
    if matches.len() > MAX_MATCHES {
        let problem = format!("expected at most {MAX_MATCHES} conditions, found {}", matches.len());
        return Err(ConfigError::new("match", problem));
    }
    let is_alone = matches.len() == 1;
    for (i, selector) in matches.into_iter().enumerate() {
        let at = if is_alone { "match".to_owned() } else { format!("match[{i}]") };
        routes.insert(selector, Rc::clone(limit)).map_err(|error| error.under(&at))?;
    }
    Ok(())
}

/// The most conditions of one limit.
const MAX_MATCHES: usize = 64;

fn slots(count: Count) -> Result<u32, ConfigError> {
    let (min, max) = (defaults::MIN_SLOTS, defaults::MAX_SLOTS);
    if (min..=max).contains(&count.0) && count.0.is_multiple_of(8) {
        return Ok(count.0);
    }
    Err(ConfigError::new("slots", format!("expected a multiple of 8 from {min} to {max}, found {}", count.0)))
}

#[cfg(test)]
mod tests;
