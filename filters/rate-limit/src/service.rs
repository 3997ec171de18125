//! The rate-limit service: what is asked, what is in flight, and what to do while it does not answer.

pub mod breaker;
pub mod protocol;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::ConfigError;
use portcullis_host::{CallId, GrpcAnswer, GrpcCall, Host, Level};

use self::breaker::Breaker;
use self::protocol::{Descriptor, Status};
use crate::config::{OnFailure, ServiceConfig};
use crate::defaults;
use crate::lease::Lease;
use crate::table::{Bucket, Store};

/// The service of one configuration, in one worker.
#[derive(Debug)]
pub struct Service {
    cluster: String,
    domain: String,
    timeout: Duration,
    on_failure: OnFailure,
    breaker: RefCell<Breaker>,
    calls: RefCell<BTreeMap<CallId, Call>>,
}

/// A question about one limit.
#[derive(Debug)]
pub struct Question {
    /// The limit's id.
    pub limit: String,
    /// What the service knows the key by.
    pub descriptor: Descriptor,
    /// Where what is granted goes.
    pub lease: Bucket,
    /// Tokens of a whole lease, or of none if the service has no whole one left.
    pub lease_size: u32,
    /// How long a grant may be used.
    pub lease_for: Duration,
    /// Tokens that the request itself needs.
    pub cost: u32,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request has its tokens.
    Granted,
    /// It has not, and will not for so long.
    Refused(Duration),
    /// The service did not say.
    Failed,
}

/// Where a request finds the answers, by [`Question::limit`]; none until they are there.
pub type Slot = Rc<RefCell<Option<Vec<(String, Answer)>>>>;

/// A call in flight.
#[derive(Debug)]
struct Call {
    questions: Vec<Question>,
    hits: u32,
    slot: Slot,
}

/// How long a client is told to wait when the service does not say.
const RETRY: Duration = Duration::from_secs(1);

impl Service {
    /// Checks the description of a service.
    ///
    /// # Errors
    /// [`ConfigError`] for a cluster or domain without a name, and a time out of its bounds.
    pub fn new(config: ServiceConfig) -> Result<Self, ConfigError> {
        for (member, text) in [("cluster", &config.cluster), ("domain", &config.domain)] {
            if text.is_empty() || text.len() > 256 {
                let problem = format!("expected a name of 1 to 256 characters, found {}", text.len());
                return Err(ConfigError::new(member, problem));
            }
        }
        let timeout = config.timeout.get();
        if timeout.is_zero() || timeout > defaults::MAX_SERVICE_TIMEOUT {
            let problem = format!("expected `1ms` to `10s`, found {}", config.timeout);
            return Err(ConfigError::new("timeout", problem));
        }
        Ok(Self {
            cluster: config.cluster,
            domain: config.domain,
            timeout,
            on_failure: config.on_failure,
            breaker: RefCell::default(),
            calls: RefCell::default(),
        })
    }

    /// What happens while it does not answer.
    #[must_use]
    pub const fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// After this time without an answer, which the proxy should have given at the deadline, nobody waits any longer.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.timeout.saturating_add(Duration::from_secs(1))
    }

    /// Whether it may be asked now.
    pub fn is_available(&self, now: u64) -> bool {
        self.breaker.try_borrow_mut().is_ok_and(|mut breaker| breaker.permits(now, self.timeout))
    }

    /// Whether somebody has asked about one of these keys already: the answer will serve both.
    #[must_use]
    pub fn is_asked(&self, questions: &[Question]) -> bool {
        self.calls.try_borrow().is_ok_and(|calls| {
            let mut asked = calls.values().flat_map(|call| &call.questions);
            asked.any(|asked| questions.iter().any(|question| question.lease == asked.lease))
        })
    }

    /// Asks all questions with one call. None if the proxy can't ask; that is a failure of the service.
    pub fn ask(&self, questions: Vec<Question>, host: &dyn Host, now: u64) -> Option<Slot> {
        // One number for all: every Envoy and every service has that. The smallest lease, but enough for the request.
        let lease = questions.iter().map(|question| question.lease_size).min().unwrap_or(1);
        let cost = questions.iter().map(|question| question.cost).max().unwrap_or(1);
        let hits = lease.max(cost);
        let descriptors: Vec<_> = questions.iter().map(|question| question.descriptor.clone()).collect();
        let message = protocol::request(&self.domain, &descriptors, hits);
        let call = host.grpc_call(&GrpcCall {
            cluster: &self.cluster,
            service: protocol::SERVICE,
            method: protocol::METHOD,
            message: message.as_ref(),
            timeout: self.timeout,
        });
        let Ok(id) = call else {
            self.failed(host, now);
            return None;
        };
        let slot = Slot::default();
        let call = Call { questions, hits, slot: Rc::clone(&slot) };
        self.calls.try_borrow_mut().ok()?.insert(id, call);
        Some(slot)
    }

    /// An answer has come: what is granted goes to the lease, and the request that asked is told; whether the service said
    /// what was asked.
    pub fn on_answer<S: Store>(&self, id: CallId, answer: &GrpcAnswer, store: &S, host: &dyn Host) -> bool {
        let Some(Call { questions, hits, slot }) =
            self.calls.try_borrow_mut().ok().and_then(|mut calls| calls.remove(&id))
        else {
            return true;
        };
        let statuses = answer.as_ref().ok().and_then(|message| protocol::response(message, questions.len()));
        let now = store.now().unwrap_or_default();
        let answers = match &statuses {
            None => {
                self.failed(host, now);
                questions.iter().map(|question| (question.limit.clone(), Answer::Failed)).collect()
            }
            Some(statuses) => {
                if let Ok(mut breaker) = self.breaker.try_borrow_mut() {
                    breaker.succeed();
                }
                let is_alone = questions.len() == 1;
                let answers = questions.iter().zip(statuses);
                answers
                    .map(|(question, status)| {
                        (question.limit.clone(), settle(question, *status, hits, is_alone, store))
                    })
                    .collect()
            }
        };
        if let Ok(mut slot) = slot.try_borrow_mut() {
            *slot = Some(answers);
        }
        statuses.is_some()
    }

    /// Forgets calls whose requests are gone: a proxy that never answers must not fill the memory.
    pub fn forget_abandoned(&self) {
        if let Ok(mut calls) = self.calls.try_borrow_mut() {
            calls.retain(|_, call| Rc::strong_count(&call.slot) > 1);
        }
    }

    /// It did not answer.
    pub fn failed(&self, host: &dyn Host, now: u64) {
        let mut random = [0; 8];
        // Without randomness all try again at once, which is no reason not to.
        let _ = host.random(&mut random);
        if let Ok(mut breaker) = self.breaker.try_borrow_mut() {
            breaker.fail(now, u64::from_le_bytes(random));
        }
        let line =
            format!("the rate-limit service `{}` does not answer: {:?}", self.cluster, self.on_failure);
        host.log(Level::Warn, &line);
    }
}

/// Notes what the service said of one key, for this request and the next.
fn settle<S: Store>(question: &Question, status: Status, hits: u32, is_alone: bool, store: &S) -> Answer {
    match status {
        Status::Ok { reset } => {
            let spare = hits.saturating_sub(question.cost);
            let span = reset.filter(|reset| !reset.is_zero()).unwrap_or(question.lease_for);
            if spare > 0 {
                question.lease.grant(store, spare, span.min(question.lease_for));
            }
            Answer::Granted
        }
        Status::OverLimit { reset } => {
            let wait = reset.unwrap_or(RETRY).max(RETRY);
            // Not remembered for longer: the operator may have raised the limit meanwhile.
            if hits > question.cost {
                // Less than a whole lease may be left: the next requests ask for their own tokens alone.
                question.lease.shrink(
                    store,
                    reset.unwrap_or(Lease::LONGEST).max(question.lease_for).min(Lease::LONGEST),
                );
                return Answer::Refused(RETRY);
            }
            // Of several questions without an answer each, any may be meant; and a request that costs more may be refused where
            // others would not be. Then only this request is.
            if question.cost <= 1 && (is_alone || reset.is_some()) {
                question.lease.refuse(store, wait.min(Lease::LONGEST));
            }
            Answer::Refused(wait)
        }
    }
}
