//! A host in memory, for tests of filters: what it answers is set, what was asked of it is recorded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::rc::Rc;

use portcullis_core::denial::LocalReply;
use portcullis_core::headers::Headers;
use portcullis_core::{UnixTime, Verdict};

use crate::chain::Chain;
use crate::ctx::{Edits, HeaderEdit};
use crate::filter::Plugin;
use crate::grpc::{GrpcAnswer, GrpcCall};
use crate::host::{
    CallId, Expected, Host, HostError, HttpAnswer, HttpCall, Level, MetricId, MetricKind, SharedDataError,
    SharedValue, Version,
};
use crate::stream::{Action, Stream};
use crate::stream_host::{Direction, StreamHost};

/// The fenced blocks of `language` in a Markdown page: documented examples, which tests load.
#[must_use]
pub fn fenced_blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.by_ref().any(|line| line.trim() == opening) {
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(block.collect::<Vec<_>>().join("\n"));
    }
    blocks
}

/// What answers a foreign function.
pub type ForeignFunction = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, HostError>>;

/// A callout as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// Its id.
    pub id: CallId,
    /// The cluster.
    pub cluster: String,
    /// `:path`; for a gRPC call what it would be, `/service/method`.
    pub path: String,
    /// The body, or the message of a gRPC call.
    pub body: Vec<u8>,
    /// The plugin that asked.
    pub plugin: usize,
}

/// A proxy that exists only in memory. All fields are open for tests to set and to read.
#[derive(Default)]
pub struct FakeHost {
    /// The clock; none for a host without one.
    pub time: Cell<Option<UnixTime>>,
    /// How far it moves whenever it is read, in nanoseconds; backwards, too.
    pub time_step: Cell<i64>,
    /// Properties by their path joined with `.`; filter state lands here too.
    pub properties: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Shared data with versions.
    pub shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    /// Environment variables.
    pub environment: RefCell<BTreeMap<String, String>>,
    /// Foreign functions by name.
    pub functions: RefCell<BTreeMap<String, ForeignFunction>>,
    /// Header maps of the current stream.
    pub request_headers: RefCell<Headers>,
    /// The request's trailers.
    pub request_trailers: RefCell<Headers>,
    /// The response's header map.
    pub response_headers: RefCell<Headers>,
    /// The request's body so far.
    pub body: RefCell<Vec<u8>>,
    /// Clusters that exist.
    pub clusters: RefCell<Vec<String>>,
    /// Callouts that were begun.
    pub calls: RefCell<Vec<RecordedCall>>,
    /// Local replies that were sent.
    pub replies: RefCell<Vec<LocalReply>>,
    /// Log lines.
    pub logs: RefCell<Vec<String>>,
    /// Metric values by name.
    pub metrics: RefCell<BTreeMap<String, i64>>,
    /// Names of the metrics in the order of their ids.
    metric_names: RefCell<Vec<String>>,
    /// Makes the named ABI function fail with the status.
    pub failures: RefCell<BTreeMap<&'static str, u32>>,
    /// How often the stream was closed for want of an answer.
    pub closed: Cell<u32>,
    plugin: Cell<usize>,
}

impl FakeHost {
    /// A host with the clock at `seconds` since the epoch.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        let host = Self::default();
        host.time.set(Some(UnixTime::from_secs(seconds)));
        host
    }

    /// Sets a property.
    pub fn set(&self, path: &str, value: impl Into<Vec<u8>>) {
        self.properties.borrow_mut().insert(path.to_owned(), value.into());
    }

    /// Makes the ABI function `call` fail from now on.
    pub fn fail(&self, call: &'static str, status: u32) {
        self.failures.borrow_mut().insert(call, status);
    }

    fn check(&self, call: &'static str) -> Result<(), HostError> {
        match self.failures.borrow().get(call) {
            Some(status) => Err(HostError { call, status: *status }),
            None => Ok(()),
        }
    }

    fn with_metric(&self, id: MetricId, change: impl FnOnce(&mut i64)) {
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        if let Some(name) = self.metric_names.borrow().get(index)
            && let Some(value) = self.metrics.borrow_mut().get_mut(name)
        {
            change(value);
        }
    }

    /// Begins a callout; none when there is no such cluster.
    fn record(&self, cluster: &str, path: &str, body: &[u8]) -> Option<CallId> {
        self.clusters.borrow().iter().find(|known| *known == cluster)?;
        let mut calls = self.calls.borrow_mut();
        let id = CallId(u32::try_from(calls.len()).unwrap_or(u32::MAX).saturating_add(1));
        calls.push(RecordedCall {
            id,
            cluster: cluster.to_owned(),
            path: path.to_owned(),
            body: body.to_vec(),
            plugin: self.plugin.get(),
        });
        Some(id)
    }

    fn map(&self, direction: Direction) -> &RefCell<Headers> {
        match direction {
            Direction::Request => &self.request_headers,
            Direction::RequestTrailers => &self.request_trailers,
            Direction::Response => &self.response_headers,
        }
    }
}

impl Host for FakeHost {
    fn now(&self) -> Result<UnixTime, HostError> {
        const CALL: &str = "proxy_get_current_time_nanoseconds";
        self.check(CALL)?;
        let now = self.time.get().ok_or(HostError { call: CALL, status: 10 })?;
        let next = now.as_nanos().saturating_add_signed(self.time_step.get());
        self.time.set(Some(UnixTime::from_nanos(next)));
        Ok(now)
    }

    fn log(&self, _level: Level, message: &str) {
        self.logs.borrow_mut().push(message.to_owned());
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        self.check("proxy_get_property")?;
        Ok(self.properties.borrow().get(&path.join(".")).cloned())
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.check("proxy_set_property")?;
        self.set(name, value);
        Ok(())
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        self.check("proxy_get_shared_data")?;
        let value = self.shared.borrow().get(key).cloned();
        Ok(value.and_then(|(bytes, version)| {
            Some(SharedValue { bytes, version: Version(NonZeroU32::new(version)?) })
        }))
    }

    fn set_shared_data(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), SharedDataError> {
        self.check("proxy_set_shared_data")?;
        let mut shared = self.shared.borrow_mut();
        let version = shared.get(key).map(|(_, version)| *version);
        let matches = match expected {
            Expected::Absent => version.is_none(),
            Expected::Unchanged(Version(expected)) => version.is_none_or(|version| version == expected.get()),
        };
        if !matches {
            return Err(SharedDataError::Conflict);
        }
        shared.insert(key.to_owned(), (value.to_vec(), version.unwrap_or(0).saturating_add(1)));
        Ok(())
    }

    fn http_call(&self, call: &HttpCall<'_>) -> Result<CallId, HostError> {
        const CALL: &str = "proxy_http_call";
        self.check(CALL)?;
        let path = call.headers.iter().find(|(name, _)| *name == ":path").map(|(_, value)| *value);
        self.record(call.cluster, path.unwrap_or_default(), call.body)
            .ok_or(HostError { call: CALL, status: 2 })
    }

    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
        const CALL: &str = "proxy_grpc_call";
        self.check(CALL)?;
        let path = format!("/{}/{}", call.service, call.method);
        self.record(call.cluster, &path, call.message).ok_or(HostError { call: CALL, status: 10 })
    }

    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
        const CALL: &str = "proxy_call_foreign_function";
        self.check(CALL)?;
        match self.functions.borrow().get(name) {
            Some(function) => function(argument),
            None => Err(HostError { call: CALL, status: 1 }),
        }
    }

    fn define_metric(&self, _kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        self.check("proxy_define_metric")?;
        self.metrics.borrow_mut().entry(name.to_owned()).or_insert(0);
        let mut names = self.metric_names.borrow_mut();
        let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len().saturating_sub(1)
        });
        Ok(MetricId(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    fn increment_metric(&self, id: MetricId, offset: i64) -> Result<(), HostError> {
        self.check("proxy_increment_metric")?;
        self.with_metric(id, |value| *value = value.saturating_add(offset));
        Ok(())
    }

    fn record_metric(&self, id: MetricId, value: u64) -> Result<(), HostError> {
        self.check("proxy_record_metric")?;
        self.with_metric(id, |metric| *metric = i64::try_from(value).unwrap_or(i64::MAX));
        Ok(())
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), HostError> {
        self.check("random_get")?;
        buffer.fill(7);
        Ok(())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.environment.borrow().get(name).cloned()
    }
}

impl StreamHost for FakeHost {
    fn headers(&self, direction: Direction) -> Result<Headers, HostError> {
        self.check("proxy_get_header_map_pairs")?;
        Ok(self.map(direction).borrow().clone())
    }

    fn edit_headers(&self, direction: Direction, edits: &Edits) -> Result<(), HostError> {
        let done = edits.iter().map(|edit| {
            match edit {
                HeaderEdit::Set(..) | HeaderEdit::Append(..) => self.check("proxy_add_header_map_value")?,
                HeaderEdit::Remove(_) => self.check("proxy_remove_header_map_value")?,
            }
            edit.apply(&mut self.map(direction).borrow_mut());
            Ok(())
        });
        done.fold(Ok(()), Result::and)
    }

    fn request_body(&self, len: usize) -> Result<Vec<u8>, HostError> {
        self.check("proxy_get_buffer_bytes")?;
        let body = self.body.borrow();
        Ok(body.get(..len).unwrap_or(&body).to_vec())
    }

    fn send_local_reply(&self, reply: &LocalReply, _details: &str) -> Result<(), HostError> {
        self.check("proxy_send_local_response")?;
        self.replies.borrow_mut().push(reply.clone());
        Ok(())
    }

    fn continue_request(&self) -> Result<(), HostError> {
        self.check("proxy_continue_stream")
    }

    fn close(&self) {
        self.closed.set(self.closed.get().saturating_add(1));
    }

    fn enter(&self, plugin: usize) {
        self.plugin.set(plugin);
    }
}

/// How a request through a [`FakeProxy`] ended.
#[derive(Debug)]
pub enum Ended {
    /// It reached the upstream with these header fields.
    Passed(Headers),
    /// It was answered by a filter.
    Replied(LocalReply),
    /// It waits for a callout: answer it with [`FakeProxy::answer`] or [`FakeProxy::answer_grpc`], then [`FakeProxy::resume`].
    Waits(Box<Stream>),
}

impl Ended {
    /// The reply's status, 200 for a request that passed, 0 for one that waits.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Passed(_) => 200,
            Self::Replied(reply) => reply.status,
            Self::Waits(_) => 0,
        }
    }

    /// The `reason` member of the reply's problem details; empty when there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self::Replied(reply) = self else {
            return String::new();
        };
        let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        problem.get("reason").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }
}

/// A chain of plugins on a [`FakeHost`], driven as a proxy drives it.
pub struct FakeProxy {
    /// The host.
    pub host: FakeHost,
    chain: Rc<Chain>,
    verdicts: RefCell<Vec<Verdict>>,
}

impl FakeProxy {
    /// Starts one plugin.
    #[must_use]
    pub fn start(host: FakeHost, plugin: Rc<dyn Plugin>) -> Self {
        Self::start_chain(host, Chain::single(plugin))
    }

    /// Starts a chain.
    #[must_use]
    pub fn start_chain(host: FakeHost, chain: Chain) -> Self {
        chain.start(&host, |plugin| host.enter(plugin));
        Self { host, chain: Rc::new(chain), verdicts: RefCell::default() }
    }

    /// A stream before its first callback, for tests that choose the callbacks themselves.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(Rc::clone(&self.chain))
    }

    /// Sends a request without a body.
    pub fn get(&self, fields: &[(&str, &str)]) -> Ended {
        self.request(fields.iter().copied().collect(), b"")
    }

    /// Sends a request; its body arrives in two parts.
    pub fn request(&self, fields: Headers, body: &[u8]) -> Ended {
        let mut stream = self.stream();
        *self.host.request_headers.borrow_mut() = fields;
        self.host.replies.borrow_mut().clear();
        let mut action = stream.on_request_headers(&self.host, body.is_empty());
        if !body.is_empty() {
            *self.host.body.borrow_mut() = body.to_vec();
            if stream.waits_for().is_none() && self.host.replies.borrow().is_empty() {
                let half = body.len() / 2;
                stream.on_request_body(&self.host, half, false);
            }
            if self.host.replies.borrow().is_empty() {
                action = stream.on_request_body(&self.host, body.len(), true);
            }
        }
        self.ended(stream, action)
    }

    /// Gives the plugin the answer to an HTTP call.
    pub fn answer(&self, call: &RecordedCall, answer: &HttpAnswer) {
        if let Some(plugin) = self.chain.plugin(call.plugin) {
            plugin.on_http_call(call.id, answer, &self.host);
        }
    }

    /// Gives the plugin the answer to a gRPC call.
    pub fn answer_grpc(&self, call: &RecordedCall, answer: &GrpcAnswer) {
        if let Some(plugin) = self.chain.plugin(call.plugin) {
            plugin.on_grpc_call(call.id, answer, &self.host);
        }
    }

    /// Lets a stream go on after an answer.
    pub fn resume(&self, mut stream: Box<Stream>) -> Ended {
        let action = stream.on_resume(&self.host);
        self.ended(*stream, action)
    }

    /// Lets the plugins do their periodic work.
    pub fn tick(&self) {
        self.chain.tick(&self.host, |plugin| self.host.enter(plugin));
    }

    /// Sends a request, then a response to it (or the local reply); the response's fields as the client gets them.
    pub fn exchange(&self, request: Headers, response: Headers) -> Headers {
        let mut stream = self.stream();
        *self.host.request_headers.borrow_mut() = request;
        self.host.replies.borrow_mut().clear();
        stream.on_request_headers(&self.host, true);
        let reply = self.host.replies.borrow().last().cloned();
        *self.host.response_headers.borrow_mut() = match reply {
            Some(reply) => {
                let mut fields = reply.headers;
                fields.set(b":status", reply.status.to_string().as_bytes());
                fields
            }
            None => response,
        };
        stream.on_response_headers(&self.host, true);
        stream.on_log(&self.host);
        self.verdicts.replace(stream.verdicts().to_vec());
        self.host.response_headers.borrow().clone()
    }

    /// Only the end of a stream that no other callback saw.
    pub fn log_alone(&self) {
        self.stream().on_log(&self.host);
    }

    /// The verdicts of the last request that ended.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.verdicts.borrow().clone()
    }

    fn ended(&self, mut stream: Stream, action: Action) -> Ended {
        if stream.waits_for().is_some() {
            return Ended::Waits(Box::new(stream));
        }
        let reply = self.host.replies.borrow().last().cloned();
        stream.on_log(&self.host);
        self.verdicts.replace(stream.verdicts().to_vec());
        match (action, reply) {
            (Action::Continue, None) => Ended::Passed(self.host.request_headers.borrow().clone()),
            (_, Some(reply)) => Ended::Replied(reply),
            // Neither passed nor answered: the stream was closed, or hangs, which a test must see.
            (Action::Pause, None) => Ended::Replied(LocalReply {
                status: 0,
                headers: Headers::default(),
                body: Vec::new(),
                grpc_status: None,
            }),
        }
    }
}
