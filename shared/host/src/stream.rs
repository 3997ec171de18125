//! Runs a chain of filters on one stream: the proxy's callbacks in, host calls out.
//!
//! ```text
//! on_request_headers -> filter 0 -> filter 1 -> ... -> passed      (edits written back once)
//!                          |           |
//!                          |           +- NeedBody: paused until the body is whole
//!                          |           +- Wait:     paused until a callout of the plugin is answered
//!                          +- Deny:     one local reply, nothing else happens
//! ```
//! Whatever order the callbacks come in, a stream gets one reply at most, and one that was never judged is refused.

use std::rc::Rc;

use portcullis_core::control::has_control_but_tab;
use portcullis_core::denial::LocalReply;
use portcullis_core::headers::Headers;
use portcullis_core::verdict::{OnError, Outcome};
use portcullis_core::{Answer, Denial, Flow, Reason, Request, Response, UnixTime, Verdict};

use crate::chain::Chain;
use crate::ctx::{Ctx, Edits, Exchange};
use crate::filter::Filter;
use crate::host::{HostError, Level};
use crate::stream_host::{Direction, StreamHost};

/// What the proxy is told to do with the callback's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand it on.
    Continue,
    /// Keep it.
    Pause,
}

/// Where the request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request callback yet.
    New,
    /// The filter at this place waits for the whole body.
    Buffering { filter: usize, limit: usize },
    /// The filter at this place waits for a callout.
    Waiting { filter: usize },
    /// Every filter let it pass.
    Passed,
    /// It has been answered here.
    Replied,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Which callback of a filter comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Headers,
    Body,
    Resume,
}

/// One stream.
pub struct Stream {
    chain: Rc<Chain>,
    filters: Vec<Box<dyn Filter>>,
    exchange: Exchange,
    request: Option<Request>,
    response: Option<Response>,
    /// Edits of the request's header fields that the proxy does not have yet.
    edits: Edits,
    state: State,
    /// Bytes of the request body that the proxy holds for us.
    buffered: usize,
    /// Whether the body has ended.
    body_complete: bool,
    /// Whether the proxy holds trailers.
    has_trailers: bool,
}

impl Stream {
    /// A stream before its first callback.
    #[must_use]
    pub fn new(chain: Rc<Chain>) -> Self {
        let filters = chain.plugins().map(|plugin| Rc::clone(plugin).filter()).collect();
        Self {
            chain,
            filters,
            exchange: Exchange::default(),
            request: None,
            response: None,
            edits: Edits::default(),
            state: State::New,
            buffered: 0,
            body_complete: false,
            has_trailers: false,
        }
    }

    /// The verdicts so far; of those that let the request pass only where a filter logs.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.exchange.verdicts
    }

    /// Which plugin's callout the stream waits for.
    #[must_use]
    pub const fn waits_for(&self) -> Option<usize> {
        match self.state {
            State::Waiting { filter } => Some(filter),
            State::New | State::Buffering { .. } | State::Passed | State::Replied => None,
        }
    }

    /// The request's head has arrived.
    pub fn on_request_headers(&mut self, host: &impl StreamHost, end_of_stream: bool) -> Action {
        match self.state {
            State::New => {}
            State::Replied => return Action::Pause,
            State::Buffering { .. } | State::Waiting { .. } | State::Passed => {
                return self.out_of_order(host);
            }
        }
        if self.filters.is_empty() {
            return self.deny(host, 0, Denial::unavailable(Reason("host.not_configured")));
        }
        let read = if self.chain.needs().request_headers {
            host.headers(Direction::Request)
        } else {
            Ok(Headers::default())
        };
        let (headers, failed) = match read {
            Ok(headers) => (headers, None),
            Err(error) => (Headers::default(), Some(error)),
        };
        self.request = Some(Request::new(headers, end_of_stream));
        self.body_complete = end_of_stream;
        match failed {
            None => self.run(host, 0, Step::Headers),
            Some(error) => self.fail(host, 0, error),
        }
    }

    /// `buffered` bytes of the request's body are there; `end_of_stream` when that is all.
    pub fn on_request_body(
        &mut self,
        host: &impl StreamHost,
        buffered: usize,
        end_of_stream: bool,
    ) -> Action {
        match self.state {
            State::Passed => Action::Continue,
            State::Replied => Action::Pause,
            // Without a request-phase verdict nothing may pass (a capability list can hide that callback).
            State::New => self.out_of_order(host),
            State::Buffering { filter, limit } => {
                self.buffered = buffered;
                if buffered > limit {
                    return self.deny(host, filter, body_too_large());
                }
                if end_of_stream { self.body_is_whole(host) } else { Action::Pause }
            }
            State::Waiting { .. } => {
                self.buffered = buffered;
                self.body_complete |= end_of_stream;
                Action::Pause
            }
        }
    }

    /// The request ends with trailers: no body callback has said so.
    pub fn on_request_trailers(&mut self, host: &impl StreamHost) -> Action {
        self.has_trailers = true;
        match self.state {
            State::Passed => self.pass_trailers(host).unwrap_or_else(|error| self.fail(host, 0, error)),
            State::Replied => Action::Pause,
            State::New => self.out_of_order(host),
            State::Buffering { .. } => self.body_is_whole(host),
            State::Waiting { .. } => {
                self.body_complete = true;
                Action::Pause
            }
        }
    }

    /// A callout of the plugin that this stream waits for was answered. The caller lets the request go on when this
    /// says so.
    pub fn on_resume(&mut self, host: &impl StreamHost) -> Action {
        match self.state {
            State::Waiting { filter } => self.run(host, filter, Step::Resume),
            State::New | State::Buffering { .. } | State::Passed | State::Replied => Action::Pause,
        }
    }

    /// It waits for a callout, and too many others do already.
    pub fn on_crowded(&mut self, host: &dyn StreamHost) -> Action {
        self.deny(host, self.waits_for().unwrap_or(0), Denial::unavailable(Reason("host.too_many_waiting")))
    }

    /// It may go on, and the proxy can't make it: whoever waits for an answer gets one.
    pub fn on_stuck(&mut self, host: &dyn StreamHost, error: HostError) {
        host.log(Level::Error, &error.to_string());
        self.deny(host, 0, Denial::unavailable(HOST_ERROR));
    }

    /// The head of a response is about to go to the client; filters see it in the reverse order.
    pub fn on_response_headers(&mut self, host: &impl StreamHost, end_of_stream: bool) -> Action {
        match self.state {
            State::Passed | State::Replied => {}
            // A response to a request that was never judged: the request phase was skipped. And one to a request
            // that we hold: the proxy itself gave up on it (a timeout), which is an ordinary answer.
            State::New => return self.out_of_order(host),
            State::Buffering { .. } | State::Waiting { .. } => self.state = State::Replied,
        }
        if !self.chain.needs().response_headers {
            return Action::Continue;
        }
        let mut response = match host.headers(Direction::Response) {
            Ok(headers) => Response::new(headers, end_of_stream),
            Err(error) => return not_hardened(host, error),
        };
        let mut edits = Edits::default();
        let mut applied = 0;
        for (index, filter) in self.filters.iter_mut().enumerate().rev() {
            let Some((name, _)) = self.chain.traits(index).filter(|(_, needs)| needs.response_headers) else {
                continue;
            };
            // What the filters behind this one have changed. What the first one changes, nobody needs to see.
            if edits.len() > applied {
                edits.apply_simplified(applied, response.headers_mut(), &mut |_| {});
                applied = edits.len();
            }
            host.enter(index);
            let mut ctx = Ctx::new(host, name, &mut self.exchange, &mut edits);
            filter.on_response_headers(self.request.as_ref(), &response, &mut ctx);
        }
        let written = host.edit_headers(Direction::Response, &edits);
        if self.chain.needs().log {
            edits.apply_simplified(applied, response.headers_mut(), &mut |_| {});
            self.response = Some(response);
        }
        match written {
            Ok(()) => Action::Continue,
            Err(error) => not_hardened(host, error),
        }
    }

    /// The stream is over, however it ended; may be the only callback of all.
    pub fn on_log(&mut self, host: &dyn StreamHost) {
        if !self.chain.needs().log {
            return;
        }
        if self.request.is_none() {
            // All header maps are open now. A stream that the codec refused has none.
            self.request = host.headers(Direction::Request).ok().map(|headers| Request::new(headers, true));
        }
        for (index, (plugin, filter)) in self.chain.plugins().zip(&mut self.filters).enumerate() {
            if !plugin.needs().log {
                continue;
            }
            host.enter(index);
            let mut ctx = Ctx::new(host, plugin.name(), &mut self.exchange, &mut self.edits);
            filter.on_log(self.request.as_ref(), self.response.as_ref(), &mut ctx);
        }
    }

    fn read_request_headers(&mut self, host: &dyn StreamHost) -> Result<(), HostError> {
        if let Some(request) = &mut self.request {
            *request.headers_mut() = host.headers(Direction::Request)?;
        }
        Ok(())
    }

    /// Calls the filters from `first` on until one of them stops the request or none is left.
    fn run(&mut self, host: &impl StreamHost, first: usize, first_step: Step) -> Action {
        let (mut index, mut step) = (first, first_step);
        let mut started = self.clock(host);
        loop {
            let Some(((name, _), filter)) = self.chain.traits(index).zip(self.filters.get_mut(index)) else {
                return self.pass(host);
            };
            let Some(request) = &mut self.request else {
                return self.out_of_order(host);
            };
            host.enter(index);
            let (edits, verdicts) = (self.edits.len(), self.exchange.verdicts.len());
            let mut ctx = Ctx::new(host, name, &mut self.exchange, &mut self.edits);
            let flow = match step {
                Step::Headers => filter.on_request_headers(request, &mut ctx),
                Step::Resume => filter.on_resume(request, &mut ctx),
                Step::Body => match whole_body(host, self.buffered) {
                    Ok(body) => filter.on_request_body(request, &body, &mut ctx),
                    Err(error) => return self.fail(host, index, error),
                },
            };
            if self.edits.len() > edits {
                self.see_edits(name, edits);
            }
            started = started.and_then(|start| self.took(host, name, start));
            for _ in verdicts..self.exchange.verdicts.len() {
                self.chain.count(host, index, Outcome::Report);
            }
            match flow {
                Flow::Continue => {
                    if self.chain.needs().log && self.exchange.verdicts.len() == verdicts {
                        self.exchange.verdicts.push(Verdict::allow(name));
                    }
                    index = index.saturating_add(1);
                    step = Step::Headers;
                }
                flow => match self.stop(host, index, step, flow) {
                    Some(action) => return action,
                    None => step = Step::Body,
                },
            }
        }
    }

    /// The request goes no further for now, unless the filter wants a body that is there.
    #[inline(never)]
    fn stop(&mut self, host: &impl StreamHost, index: usize, step: Step, flow: Flow) -> Option<Action> {
        Some(match flow {
            Flow::Deny(denial) => self.deny(host, index, *denial),
            Flow::Answer(answer) => self.answer(host, index, *answer),
            Flow::Wait => {
                self.state = State::Waiting { filter: index };
                Action::Pause
            }
            // A filter that has the body has no use for asking again; it would never end.
            Flow::NeedBody { .. } if step == Step::Body => self.out_of_order(host),
            Flow::NeedBody { limit } => {
                let declared = self.request.as_ref().and_then(declared_length);
                if self.buffered > limit || declared.is_some_and(|declared| declared > limit) {
                    self.deny(host, index, body_too_large())
                } else if self.body_complete {
                    return None;
                } else {
                    self.state = State::Buffering { filter: index, limit };
                    Action::Pause
                }
            }
            // It stops nothing: the caller's mistake.
            Flow::Continue => self.out_of_order(host),
        })
    }

    /// The time, if anybody wants to know how long filters take.
    fn clock(&self, host: &impl StreamHost) -> Option<UnixTime> {
        if self.chain.needs().log { host.now().ok() } else { None }
    }

    /// Notes how long a filter took; when the next one starts.
    #[inline(never)]
    fn took(&mut self, host: &impl StreamHost, filter: &'static str, start: UnixTime) -> Option<UnixTime> {
        let end = host.now().ok()?;
        self.exchange.took(filter, end.since(start));
        Some(end)
    }

    /// Shows the later filters what one has changed, from this edit on.
    #[inline(never)]
    fn see_edits(&mut self, filter: &'static str, from: usize) {
        let Some(request) = &mut self.request else {
            return;
        };
        let logged = self.chain.needs().log;
        self.edits.apply_simplified(from, request.headers_mut(), &mut |changed| {
            if logged {
                self.exchange.changed(filter, changed);
            }
        });
    }

    fn body_is_whole(&mut self, host: &impl StreamHost) -> Action {
        self.body_complete = true;
        match self.state {
            State::Buffering { filter, .. } => self.run(host, filter, Step::Body),
            State::New | State::Waiting { .. } | State::Passed | State::Replied => Action::Pause,
        }
    }

    /// Every filter agreed: the proxy gets the edits, other VMs what was found out.
    fn pass(&mut self, host: &impl StreamHost) -> Action {
        self.state = State::Passed;
        let written = host.edit_headers(Direction::Request, &self.edits);
        self.edits.clear();
        if let Err(error) = written {
            // A spoofed header may still be there. Only the configured mode may pass it.
            self.state = State::New;
            return self.fail(host, 0, error);
        }
        if self.has_trailers
            && let Err(error) = self.pass_trailers(host)
        {
            return self.fail(host, 0, error);
        }
        self.publish(host);
        Action::Continue
    }

    /// Lets the filters take out of the trailers what must not go on.
    fn pass_trailers(&mut self, host: &dyn StreamHost) -> Result<Action, HostError> {
        if !self.chain.needs().request_trailers {
            return Ok(Action::Continue);
        }
        let mut trailers = host.headers(Direction::RequestTrailers)?;
        let mut edits = Edits::default();
        for (index, (plugin, filter)) in self.chain.plugins().zip(&mut self.filters).enumerate() {
            if !plugin.needs().request_trailers {
                continue;
            }
            host.enter(index);
            let from = edits.len();
            let mut ctx = Ctx::new(host, plugin.name(), &mut self.exchange, &mut edits);
            filter.on_request_trailers(&trailers, &mut ctx);
            for edit in edits.iter().skip(from) {
                edit.apply(&mut trailers);
            }
        }
        host.edit_headers(Direction::RequestTrailers, &edits)?;
        Ok(Action::Continue)
    }

    /// A host call that the runner itself needs has failed.
    fn fail(&mut self, host: &dyn StreamHost, filter: usize, error: HostError) -> Action {
        host.log(Level::Error, &error.to_string());
        match self.chain.on_error() {
            OnError::Deny => self.deny(host, filter, Denial::unavailable(HOST_ERROR)),
            OnError::Allow => {
                self.state = State::Passed;
                if let Some(plugin) = self.chain.plugin(filter) {
                    let (filter_name, reason) = (plugin.name(), Some(HOST_ERROR));
                    let report =
                        Verdict { filter: filter_name, outcome: Outcome::Report, reason, rule: None };
                    self.exchange.verdicts.push(report);
                    self.chain.count(host, filter, Outcome::Report);
                }
                self.publish(host);
                Action::Continue
            }
        }
    }

    /// A callback that can't come here in any order that the ABI allows: never let it decide anything.
    fn out_of_order(&mut self, host: &dyn StreamHost) -> Action {
        self.deny(host, 0, Denial::unavailable(UNEXPECTED))
    }

    /// The one place that refuses a request.
    fn deny(&mut self, host: &dyn StreamHost, filter: usize, denial: Denial) -> Action {
        self.state = State::Replied;
        self.edits.clear();
        if !self.chain.needs().request_headers
            && let Err(error) = self.read_request_headers(host)
        {
            host.log(Level::Error, &format!("refused as if it were not gRPC: {error}"));
        }
        if let Some(plugin) = self.chain.plugin(filter) {
            self.exchange.verdicts.push(Verdict {
                filter: plugin.name(),
                outcome: Outcome::Deny,
                reason: Some(denial.reason),
                rule: denial.rule.clone(),
            });
            self.chain.count(host, filter, Outcome::Deny);
        }
        self.publish(host);
        reply(host, denial.render(self.request.as_ref()), denial.reason);
        Action::Pause
    }

    /// What a filter says itself in place of the upstream; the filters behind it are not asked.
    fn answer(&mut self, host: &dyn StreamHost, filter: usize, answer: Answer) -> Action {
        self.state = State::Replied;
        self.edits.clear();
        if let Some((name, _)) = self.chain.traits(filter).filter(|_| self.chain.needs().log) {
            self.exchange.verdicts.push(Verdict::allow(name));
        }
        self.publish(host);
        reply(host, answer.render(), answer.reason);
        Action::Pause
    }

    /// Hands identity, operation and verdicts to other VMs, Envoy's own filters and its loggers. A failure leaves
    /// them absent there, which readers must take as "not verified".
    fn publish(&self, host: &dyn StreamHost) {
        let Exchange { verdicts, operation, identity, .. } = &self.exchange;
        let is_silent = verdicts.is_empty() && operation.is_none() && identity.is_none();
        if self.chain.publishes() && !is_silent {
            self.publish_all(host);
        }
    }

    #[inline(never)]
    fn publish_all(&self, host: &dyn StreamHost) {
        // No property means no objection: writing one for every allow would cost as much as a small filter, and the
        // allow of a second instance would hide what the first one reported.
        for verdict in self.exchange.verdicts.iter().filter(|verdict| verdict.outcome != Outcome::Allow) {
            let name = format!("portcullis.verdict.{}", verdict.filter);
            let _ = host.set_property(&name, verdict.to_property().as_bytes());
        }
        if let Some(operation) = &self.exchange.operation {
            let _ = host.set_property(OPERATION, operation.as_bytes());
        }
        // An identity that came from another VM is published already.
        if let (Some(identity), false) = (&self.exchange.identity, self.exchange.identity_sought) {
            for (name, value) in &identity.properties {
                let _ = host.set_property(name, value);
            }
        }
    }
}

/// A response can't be refused any more.
#[inline(never)]
fn not_hardened(host: &dyn StreamHost, error: HostError) -> Action {
    host.log(Level::Error, &format!("response header fields are not hardened: {error}"));
    Action::Continue
}

/// The body as far as the proxy holds it back.
fn whole_body(host: &impl StreamHost, len: usize) -> Result<Vec<u8>, HostError> {
    let body = host.request_body(len)?;
    // Fewer bytes than the proxy announced: what would be judged is not what would be sent.
    if body.len() == len { Ok(body) } else { Err(HostError::incomplete("proxy_get_buffer_bytes")) }
}

/// A stream that can't be answered is closed: it must not go on.
fn reply(host: &dyn StreamHost, mut reply: LocalReply, reason: Reason) {
    // As in `Ctx::set_header`.
    reply.headers.remove_where(|_, value| has_control_but_tab(value));
    if let Err(error) = host.send_local_reply(&reply, reason.as_str()) {
        host.log(Level::Error, &format!("closing a stream that can't be answered: {error}"));
        host.close();
    }
}

/// The name of the filter-state property that carries the operation.
pub const OPERATION: &str = "portcullis.operation";

/// The reason of a callback that can't come.
pub(crate) const UNEXPECTED: Reason = Reason("host.unexpected_callback");

const HOST_ERROR: Reason = Reason("host.error");

const fn body_too_large() -> Denial {
    Denial::new(413, Reason("body.too_large"), "Content Too Large")
}

/// `content-length` as far as it is a number that fits.
fn declared_length(request: &Request) -> Option<usize> {
    let digits = request.headers().first(b"content-length")?;
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}
