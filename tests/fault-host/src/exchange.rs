//! One request through a module, in the order in which Envoy calls it, from its first byte to the end of its context.

use crate::callback::Callback;
use crate::grpc::GrpcAnswer;
use crate::proxy::Answer;
use crate::stream::{Message, Open, Reply, Stream};
use crate::vm::{Trap, Vm};

/// Ticks and answers that a request may wait for; a longer wait is taken for one without end.
const MAX_ROUNDS: usize = 400;
/// The proxy's word for "keep it".
const PAUSE: u32 = 1;

/// A request, how its body arrives, and what the upstream would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the client sends.
    pub request: Message,
    /// The body arrives in parts of this many bytes.
    pub part: usize,
    /// What the upstream answers.
    pub response: Message,
    /// Properties of this stream, as in `source.address`.
    pub properties: Vec<(String, Vec<u8>)>,
}

impl Exchange {
    /// A request, answered 200 without a body.
    #[must_use]
    pub fn new(request: Message) -> Self {
        Self { request, part: 1024, response: Message::new(&[(":status", "200")]), properties: Vec::new() }
    }
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The upstream got the request.
    Passed,
    /// The module answered it.
    Replied,
    /// Without an answer of the module: it closed the stream, or the proxy gave it up.
    Closed,
    /// It would never end: paused, and nothing is in flight that could change that.
    Hung,
    /// The module trapped.
    Trapped(Trap),
}

/// What came of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The request as the upstream got it.
    pub upstream: Option<Message>,
    /// The module's first local reply.
    pub reply: Option<Reply>,
    /// The response's head as the client gets it; empty when there is none.
    pub client: Message,
    /// The stream when its context was deleted.
    pub stream: Stream,
    /// Instructions of all callbacks, by wasmtime's count.
    pub cost: u64,
}

impl Outcome {
    /// The status that the client gets; none for a stream without an answer.
    #[must_use]
    pub fn status(&self) -> Option<u32> {
        std::str::from_utf8(self.client.header(":status")?).ok()?.parse().ok()
    }
}

impl Exchange {
    /// Sends it through `vm` as stream `context` of `root`.
    pub fn run(&self, vm: &mut Vm, root: u32, context: u32) -> Outcome {
        let properties =
            self.properties.iter().map(|(path, value)| (path.replace('.', "\0").into_bytes(), value.clone()));
        let stream = Stream { root, properties: properties.collect(), ..Stream::default() };
        vm.proxy_mut().streams.insert(context, stream);
        let mut run = Run { vm, root, context, upstream: None, cost: 0 };
        let ended = run.whole(self).unwrap_or_else(Ended::Trapped);
        let (upstream, cost) = (run.upstream, run.cost);
        let stream = vm.proxy_mut().streams.remove(&context).unwrap_or_default();
        let reply = stream.replies.first().cloned();
        let client =
            if stream.closed || stream.abandoned { Message::default() } else { stream.response.clone() };
        Outcome { ended, upstream, reply, client, stream, cost }
    }
}

struct Run<'a> {
    vm: &'a mut Vm,
    root: u32,
    context: u32,
    /// The request when it was let go on.
    upstream: Option<Message>,
    cost: u64,
}

impl Run<'_> {
    fn whole(&mut self, exchange: &Exchange) -> Result<Ended, Trap> {
        self.call(&Callback::context_create(self.context, self.root))?;
        self.request(exchange)?;
        let passed = self.upstream.is_some();
        let mut ended = match self.stream() {
            Some(stream) if stream.closed || stream.abandoned => Ended::Closed,
            Some(stream) if !stream.replies.is_empty() => Ended::Replied,
            _ if passed => Ended::Passed,
            _ => Ended::Hung,
        };
        if matches!(ended, Ended::Passed | Ended::Replied) && !self.response(exchange)? {
            ended = Ended::Hung;
        }
        self.open(Open {
            request_headers: true,
            request_trailers: true,
            response_headers: true,
            response_trailers: true,
        });
        self.call(&Callback::log(self.context))?;
        self.call(&Callback::done(self.context))?;
        self.call(&Callback::delete(self.context))?;
        Ok(ended)
    }

    /// The request's side: until it was let go on, was answered, or nothing more can happen.
    fn request(&mut self, exchange: &Exchange) -> Result<(), Trap> {
        let Message { headers, body, trailers } = &exchange.request;
        let whole = body.is_empty() && trailers.is_none();
        if let Some(stream) = self.stream() {
            stream.request.headers.clone_from(headers);
            stream.open.request_headers = true;
        }
        let callback = Callback::request_headers(self.context, count(headers.len()), whole);
        self.request_callback(&callback)?;
        let mut parts = body.chunks(exchange.part.max(1)).peekable();
        while let Some(part) = parts.next() {
            if self.is_ended() {
                return Ok(());
            }
            let end = parts.peek().is_none() && trailers.is_none();
            let held = self.upstream.is_none();
            if let Some(stream) = self.stream() {
                if !held {
                    // What was let go on is gone.
                    stream.request.body.clear();
                }
                stream.request.body.extend(part);
            }
            let size = self.stream().map_or(0, |stream| stream.request.body.len());
            self.request_callback(&Callback::request_body(self.context, count(size), end))?;
        }
        if let (Some(trailers), false) = (trailers, self.is_ended()) {
            if let Some(stream) = self.stream() {
                stream.request.trailers = Some(trailers.clone());
                stream.open.request_trailers = true;
            }
            self.request_callback(&Callback::request_trailers(self.context, count(trailers.len())))?;
        }
        self.wait()
    }

    /// Lets time pass until the request is no longer held.
    fn wait(&mut self) -> Result<(), Trap> {
        for _ in 0..MAX_ROUNDS {
            self.note_progress(false);
            if self.upstream.is_some() || self.is_ended() {
                return Ok(());
            }
            if !self.answer_call()? && !self.tick()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers the callout that is due first; whether there was one.
    fn answer_call(&mut self) -> Result<bool, Trap> {
        let proxy = self.vm.proxy();
        let http = due(proxy.calls.iter().map(|call| call.deadline));
        let grpc = due(proxy.grpc_calls.iter().map(|call| call.deadline));
        match (http, grpc) {
            (Some((deadline, _)), Some((sooner, place))) if sooner < deadline => self.answer_grpc(place)?,
            (Some((_, place)), _) => self.answer_http(place)?,
            (None, Some((_, place))) => self.answer_grpc(place)?,
            (None, None) => return Ok(false),
        }
        Ok(true)
    }

    fn answer_grpc(&mut self, place: usize) -> Result<(), Trap> {
        let proxy = self.vm.proxy_mut();
        let call = proxy.grpc_calls.remove(place);
        let answer = proxy.grpc_clusters.get(&call.cluster).cloned().unwrap_or(GrpcAnswer::Silence);
        self.vm.answer_grpc(&call, answer)?;
        self.cost = self.cost.saturating_add(self.vm.last_cost());
        Ok(())
    }

    fn answer_http(&mut self, place: usize) -> Result<(), Trap> {
        let proxy = self.vm.proxy_mut();
        let call = proxy.calls.remove(place);
        let answer = proxy.clusters.get(&call.cluster).cloned().unwrap_or(Answer::Silence);
        let (fields, body) = match answer {
            Answer::With(fields, body) => {
                let sizes = (count(fields.len()), count(body.len()));
                proxy.answer = Some((fields, body));
                sizes
            }
            Answer::Silence => {
                proxy.now = proxy.now.max(call.deadline);
                (0, 0)
            }
        };
        self.call(&Callback::http_call_response(call.context, call.token, fields, body))?;
        self.vm.proxy_mut().answer = None;
        Ok(())
    }

    fn tick(&mut self) -> Result<bool, Trap> {
        let proxy = self.vm.proxy_mut();
        if proxy.tick_period == 0 {
            return Ok(false);
        }
        proxy.now = proxy.now.saturating_add(u64::from(proxy.tick_period).saturating_mul(1_000_000));
        self.call(&Callback::tick(self.root))?;
        Ok(true)
    }

    /// The response's side; whether it reached the client.
    fn response(&mut self, exchange: &Exchange) -> Result<bool, Trap> {
        self.open(Open { response_headers: true, ..Open::default() });
        let mut response = exchange.response.clone();
        if let Some(stream) = self.stream() {
            if let Some(reply) = stream.replies.first() {
                response =
                    Message { headers: reply.headers.clone(), body: reply.body.clone(), trailers: None };
                response.headers.insert(0, (b":status".to_vec(), reply.status.to_string().into_bytes()));
            }
            stream.response = Message { body: Vec::new(), ..response.clone() };
        }
        let whole = response.body.is_empty() && response.trailers.is_none();
        let fields = count(response.headers.len());
        let mut action = self.call(&Callback::response_headers(self.context, fields, whole))?;
        if !response.body.is_empty() {
            let (size, end) = (count(response.body.len()), response.trailers.is_none());
            if let Some(stream) = self.stream() {
                stream.response.body = response.body;
            }
            action = self.call(&Callback::response_body(self.context, size, end))?;
        }
        if let Some(trailers) = response.trailers {
            self.open(Open { response_trailers: true, ..Open::default() });
            action = self.call(&Callback::response_trailers(self.context, count(trailers.len())))?;
        }
        Ok(action != PAUSE)
    }

    /// A callback of the request's side.
    fn request_callback(&mut self, callback: &Callback) -> Result<(), Trap> {
        let action = self.call(callback)?;
        self.note_progress(action != PAUSE);
        Ok(())
    }

    /// Whether the request goes on from here: by a callback's answer, or by `proxy_continue_stream`.
    fn note_progress(&mut self, goes_on: bool) {
        if self.upstream.is_some() {
            return;
        }
        if let Some(stream) = self.stream()
            && (goes_on || stream.continued)
            && !stream.is_ended()
        {
            stream.open.request_headers = false;
            self.upstream = self.stream().map(|stream| stream.request.clone());
        }
    }

    fn call(&mut self, callback: &Callback) -> Result<u32, Trap> {
        let result = self.vm.call(callback)?;
        self.cost = self.cost.saturating_add(self.vm.last_cost());
        Ok(result)
    }

    fn open(&mut self, open: Open) {
        if let Some(stream) = self.stream() {
            stream.open = open;
        }
    }

    fn is_ended(&mut self) -> bool {
        self.stream().is_some_and(|stream| stream.is_ended())
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        let context = self.context;
        self.vm.proxy_mut().streams.get_mut(&context)
    }
}

/// The earliest deadline and its place.
fn due(deadlines: impl Iterator<Item = u64>) -> Option<(u64, usize)> {
    deadlines.enumerate().map(|(place, deadline)| (deadline, place)).min()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
