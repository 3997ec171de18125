//! What a filter is: a [`Plugin`] per configuration, a [`Filter`] per request.

use std::rc::Rc;
use std::time::Duration;

use portcullis_core::headers::Headers;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Flow, Reason, Request, Response};

use crate::ctx::Ctx;
use crate::grpc::GrpcAnswer;
use crate::host::{CallId, Host, HttpAnswer};

/// Reads and checks a filter's configuration (one JSON document) completely, without side effects on the host:
/// a configuration that is refused must leave nothing behind.
///
/// # Errors
/// [`ConfigError`] with the path of the mistake; the proxy keeps its old configuration or does not start.
pub type Configure = fn(configuration: &[u8], host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError>;

/// Which callbacks a plugin needs besides `on_request_headers`, and what for that one. What is not needed costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The header fields of the request. Without them it looks as if it had none, until it is refused or over.
    pub request_headers: bool,
    /// `on_request_trailers`.
    pub request_trailers: bool,
    /// `on_response_headers`.
    pub response_headers: bool,
    /// `on_log`.
    pub log: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { request_headers: true, request_trailers: false, response_headers: false, log: false }
    }
}

/// One configured filter; lives as long as its configuration, in each worker.
pub trait Plugin {
    /// The filter's name, as in `jwt-auth`; equal for all its configurations.
    fn name(&self) -> &'static str;

    /// What happens to a request that can't be judged because the host failed.
    fn on_error(&self) -> OnError {
        OnError::Deny
    }

    /// Which callbacks its filters need.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Begins work after the configuration of the whole chain was accepted: first fetches, slots, metrics.
    /// Called on every worker, and twice on the main thread: must be idempotent and cheap.
    fn start(&self, _host: &dyn Host) {}

    /// How often `on_tick` is wanted, at least 10 ms; none for never.
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Periodic work. Every worker ticks.
    fn on_tick(&self, _host: &dyn Host) {}

    /// Upper bound of an HTTP answer's body, and of a gRPC answer's message, in bytes.
    fn answer_limit(&self) -> usize {
        64 * 1024
    }

    /// The answer to an [`Host::http_call`] of this plugin. Requests that wait on this plugin are resumed after it.
    fn on_http_call(&self, _id: CallId, _answer: &HttpAnswer, _host: &dyn Host) {}

    /// The answer to a [`Host::grpc_call`] of this plugin. Requests that wait on this plugin are resumed after it.
    fn on_grpc_call(&self, _id: CallId, _answer: &GrpcAnswer, _host: &dyn Host) {}

    /// The filter for a new request.
    fn filter(self: Rc<Self>) -> Box<dyn Filter>;
}

/// One filter on one request. The callbacks come in this order, each at most once unless said otherwise; any of
/// them may be missing, `on_log` may come alone.
pub trait Filter {
    /// The request's head.
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow;

    /// The request's whole body, after [`Flow::NeedBody`]; empty if there was none.
    fn on_request_body(&mut self, _request: &Request, _body: &[u8], _ctx: &mut Ctx<'_>) -> Flow {
        Denial::unavailable(Reason("host.unexpected_callback")).into()
    }

    /// After [`Flow::Wait`]: an answer arrived, or the time to give up. May come several times, and may wait again.
    fn on_resume(&mut self, _request: &Request, _ctx: &mut Ctx<'_>) -> Flow {
        Denial::unavailable(Reason("host.unexpected_callback")).into()
    }

    /// The fields behind the body of a request that passes; edits go through `ctx`. No decision may rest on them: most
    /// requests have none, and the head has gone on already when nobody needed the body.
    fn on_request_trailers(&mut self, _trailers: &Headers, _ctx: &mut Ctx<'_>) {}

    /// The head of a response, of the upstream or a local reply; edits go through `ctx`. Comes again after an
    /// interim response. The request is none when this filter never saw one.
    fn on_response_headers(&mut self, _request: Option<&Request>, _response: &Response, _ctx: &mut Ctx<'_>) {}

    /// The end of the stream; nothing can be changed any more but properties. Comes also for requests that no
    /// other callback ever saw (refused by the codec), then without request.
    fn on_log(&mut self, _request: Option<&Request>, _response: Option<&Response>, _ctx: &mut Ctx<'_>) {}
}
