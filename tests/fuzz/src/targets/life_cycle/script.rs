//! Scripts of callbacks, a line each, so that an input is read and written by hand:
//!
//! ```text
//! :method POST             a header field of the next request; ${token} in `authorization` is a valid token
//! <content-type text/html  a header field of its response
//! ={"item": "a"}           its body
//! >headers | headers end   callbacks; `end` ends the stream in them
//! >body 14 end             so many bytes are buffered
//! >trailers >resume >response >log >tick
//! >answer 200 TEXT         an answer to the last callout; TEXT `jwks` is the issuer's key set
//! >fail N | heal           the Nth host call of the list fails from now on; none does
//! >time N                  seconds to wait
//! >property NAME VALUE     a property of the proxy
//! >new                     the next request
//! ```

use std::time::Duration;

use portcullis_core::headers::Headers;
use portcullis_host::fake::{FakeHost, FakeProxy};
use portcullis_host::stream::{Action, Stream};
use portcullis_host::{Chain, HttpAnswer};
use portcullis_jose::testing::{E1, R1, jwks};

use crate::targets::audit::assert_event;
use crate::targets::jose::{FORGED, TOKEN};
use crate::targets::split_line;

/// Host calls that a script can make fail.
const CALLS: [&str; 14] = [
    "proxy_get_header_map_pairs",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_buffer_bytes",
    "proxy_send_local_response",
    "proxy_continue_stream",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_http_call",
    "proxy_get_current_time_nanoseconds",
    "proxy_increment_metric",
    "random_get",
];

/// Steps of one script: it must end.
const MAX_LINES: usize = 400;

/// What a configuration promises besides what the runner does.
#[derive(Clone, Copy, Default)]
pub(super) struct Promises {
    /// Of a request that has passed.
    pub(super) passed: Option<fn(&Run)>,
    /// Of the response of a request that was judged.
    pub(super) responded: Option<fn(&Run)>,
    /// That the end of a request has an event.
    pub(super) events: bool,
}

/// A chain, and what has happened to the current request.
pub(super) struct Run {
    pub(super) proxy: FakeProxy,
    /// The request as the client sent it.
    pub(super) sent: Headers,
    /// What of the body the filters could see.
    pub(super) judged_body: Vec<u8>,
    /// Requests that passed so far.
    pub(super) passed: usize,
    pub(super) clock_moved: bool,
    /// Whether any host call fails.
    pub(super) failing: bool,
    promises: Promises,
    stream: Stream,
    began: bool,
    has_passed: bool,
}

impl Run {
    pub(super) fn start(host: FakeHost, chain: Chain, promises: Promises) -> Self {
        host.clusters.borrow_mut().push("idp".to_owned());
        host.set("source.address", "192.0.2.1:1234");
        let proxy = FakeProxy::start_chain(host, chain);
        let stream = proxy.stream();
        Self {
            proxy,
            sent: Headers::default(),
            judged_body: Vec::new(),
            passed: 0,
            clock_moved: false,
            failing: false,
            promises,
            stream,
            began: false,
            has_passed: false,
        }
    }

    pub(super) fn play(mut self, script: &[u8]) {
        let mut rest = script;
        for _ in 0..MAX_LINES {
            if rest.is_empty() {
                break;
            }
            let (line, tail) = split_line(rest);
            rest = tail;
            match line.split_first() {
                Some((b'>', callback)) => self.callback(callback),
                Some((b'=', body)) => self.proxy.host.body.replace(body.to_vec()).clear(),
                Some((b'<', field)) => append(&mut self.proxy.host.response_headers.borrow_mut(), field),
                Some(_) if !self.began => append(&mut self.proxy.host.request_headers.borrow_mut(), line),
                _ => {}
            }
        }
    }

    fn callback(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut words = text.splitn(3, ' ');
        let (name, first, second) = (words.next(), words.next(), words.next().unwrap_or_default());
        let first = first.unwrap_or_default();
        let number = first.parse::<u32>().unwrap_or_default();
        let host = &self.proxy.host;
        match name.unwrap_or_default() {
            "headers" => {
                if !self.began {
                    self.sent = host.request_headers.borrow().clone();
                }
                self.began = true;
                self.step(|stream, host| stream.on_request_headers(host, first == "end"));
            }
            "body" => {
                let len = usize::try_from(number).unwrap_or_default();
                let body = host.body.borrow().get(..len).unwrap_or(&host.body.borrow()).to_vec();
                self.judged_body = body;
                self.step(|stream, host| stream.on_request_body(host, len, second == "end"));
            }
            "trailers" => {
                let seen = self.judged_body.len();
                let body = host.body.borrow().get(..seen).unwrap_or(&host.body.borrow()).to_vec();
                self.judged_body = body;
                self.step(|stream, host| stream.on_request_trailers(host));
            }
            "resume" => self.step(|stream, host| stream.on_resume(host)),
            "response" => self.response(first == "end"),
            "log" => self.log(),
            "tick" => self.proxy.tick(),
            "answer" => self.answer(first, second),
            "fail" => {
                let index = usize::try_from(number).unwrap_or_default().checked_rem(CALLS.len());
                if let Some(call) = index.and_then(|index| CALLS.get(index)) {
                    host.fail(call, 2);
                    self.failing = true;
                }
            }
            "heal" => {
                host.failures.borrow_mut().clear();
                self.failing = false;
            }
            "time" => {
                host.time.set(host.time.get().map(|now| now.plus(Duration::from_secs(number.into()))));
                self.clock_moved = true;
            }
            "property" => host.set(first, second),
            "new" => self.next(),
            _ => {}
        }
    }

    /// A callback of the request's way to the upstream, and what must hold after any of them.
    fn step(&mut self, callback: impl FnOnce(&mut Stream, &FakeHost) -> Action) {
        let host = &self.proxy.host;
        let had_ended = !host.replies.borrow().is_empty() || host.closed.get() > 0;
        let action = callback(&mut self.stream, host);
        assert!(host.replies.borrow().len() <= 1, "one reply at most");
        let replied = !host.replies.borrow().is_empty();
        for reply in host.replies.borrow().iter() {
            assert!((400..600).contains(&reply.status), "{}", reply.status);
            let secret = TOKEN.as_bytes();
            assert!(!reply.body.windows(secret.len()).any(|window| window == secret), "a token in a reply");
        }
        if action == Action::Continue {
            assert!(self.began, "nothing passes unjudged");
            assert!(!had_ended && !replied, "nothing passes after a reply");
            if !self.has_passed {
                self.has_passed = true;
                self.passed = self.passed.saturating_add(1);
                if let Some(holds) = self.promises.passed {
                    holds(self);
                }
            }
        }
    }

    fn response(&mut self, end: bool) {
        let host = &self.proxy.host;
        if let Some(reply) = host.replies.borrow().last() {
            let mut fields = reply.headers.clone();
            fields.set(b":status", reply.status.to_string().as_bytes());
            *host.response_headers.borrow_mut() = fields;
        }
        self.stream.on_response_headers(host, end);
        if self.began
            && let Some(holds) = self.promises.responded
        {
            holds(self);
        }
    }

    fn log(&mut self) {
        const EVENT: &str = "portcullis.audit";
        let host = &self.proxy.host;
        host.properties.borrow_mut().remove(EVENT);
        self.stream.on_log(host);
        let event = host.properties.borrow().get(EVENT).cloned();
        if let Some(event) = &event {
            let signature = TOKEN.rsplit('.').next().unwrap_or_default();
            assert_event(&String::from_utf8_lossy(event), signature);
        }
        assert!(event.is_some() || self.failing || !self.promises.events, "a request without an event");
    }

    fn answer(&self, status: &str, body: &str) {
        let Some(call) = self.proxy.host.calls.borrow().last().cloned() else {
            return;
        };
        let body = if body == "jwks" { jwks(&[&R1, &E1]).to_string() } else { body.to_owned() };
        let headers = [(":status", status)].into_iter().collect();
        self.proxy.answer(&call, &HttpAnswer { headers, body: Some(body.into_bytes()) });
    }

    fn next(&mut self) {
        let host = &self.proxy.host;
        host.replies.borrow_mut().clear();
        host.closed.set(0);
        *host.request_headers.borrow_mut() = Headers::default();
        *host.response_headers.borrow_mut() = Headers::default();
        host.body.borrow_mut().clear();
        self.stream = self.proxy.stream();
        self.judged_body.clear();
        self.sent = Headers::default();
        self.began = false;
        self.has_passed = false;
    }
}

/// Adds `name value`; a pseudo-header has no second field of its name, as no codec lets one through.
fn append(headers: &mut Headers, field: &[u8]) {
    let space = field.iter().position(|byte| *byte == b' ').unwrap_or(field.len());
    let (name, value) = field.split_at(space);
    let name = name.to_ascii_lowercase();
    let value = value.get(1..).unwrap_or_default();
    if name == b"authorization" {
        let text = String::from_utf8_lossy(value);
        if text.contains("${") {
            let filled = text.replacen("${token}", &TOKEN, 1).replacen("${forged}", &FORGED, 1);
            return headers.append(&name, filled.as_bytes());
        }
    }
    if name.starts_with(b":") { headers.set(&name, value) } else { headers.append(&name, value) }
}
