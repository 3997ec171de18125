//! The runner on a host in memory: order of callbacks, waiting, bodies, and what happens when the host fails.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::headers::Headers;
use portcullis_core::identity::Property;
use portcullis_core::verdict::{OnError, Outcome};
use portcullis_core::{Answer, Denial, Flow, Identity, Reason, Request, Response, UnixTime};
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use portcullis_host::host::{HttpAnswer, HttpCall};
use portcullis_host::stream::{Action, Stream};
use portcullis_host::{CallId, Chain, Ctx, Filter, GrpcAnswer, GrpcCall, GrpcError, Host, Needs, Plugin};
use proptest::prelude::*;

/// A filter whose behaviour a test writes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Pass,
    Deny,
    DenyBody,
    NeedBody(usize),
    Fetch,
    AskByGrpc,
    FetchThenNeedBody(usize),
    SetHeader,
    Identify,
    Answer,
}

struct Scripted {
    name: &'static str,
    does: Does,
    on_error: OnError,
    answered: Cell<bool>,
    log: Rc<RefCell<Vec<String>>>,
}

struct ScriptedFilter(Rc<Scripted>);

impl Scripted {
    fn new(name: &'static str, does: Does) -> Rc<Self> {
        Rc::new(Self { name, does, on_error: OnError::Deny, answered: Cell::new(false), log: Rc::default() })
    }

    fn note(&self, what: &str) {
        self.log.borrow_mut().push(format!("{} {what}", self.name));
    }
}

impl Plugin for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }

    fn needs(&self) -> Needs {
        Needs { request_trailers: true, response_headers: true, log: true, ..Needs::default() }
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&self, _host: &dyn Host) {
        self.note("tick");
    }

    fn on_http_call(&self, _id: CallId, answer: &HttpAnswer, _host: &dyn Host) {
        self.answered.set(answer.status() == Some(200));
    }

    fn on_grpc_call(&self, _id: CallId, answer: &GrpcAnswer, _host: &dyn Host) {
        self.answered.set(answer.as_deref() == Ok(b"yes"));
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(ScriptedFilter(self))
    }
}

impl Filter for ScriptedFilter {
    fn on_request_headers(&mut self, _request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        self.0.note("request");
        match self.0.does {
            Does::Pass => Flow::Continue,
            Does::Deny => Denial::new(403, Reason("test.denied"), "Forbidden").by_rule("r").into(),
            Does::DenyBody => Flow::NeedBody { limit: 100 },
            Does::NeedBody(limit) => Flow::NeedBody { limit },
            Does::Fetch | Does::FetchThenNeedBody(_) => {
                let call = HttpCall {
                    cluster: "idp",
                    headers: &[(":method", "GET"), (":path", "/k"), (":authority", "idp")],
                    body: b"",
                    timeout: Duration::from_secs(1),
                };
                match ctx.host().http_call(&call) {
                    Ok(_) => Flow::Wait,
                    Err(_) => Denial::unavailable(Reason("test.no_cluster")).into(),
                }
            }
            Does::AskByGrpc => {
                let call = GrpcCall {
                    cluster: "idp",
                    service: "test.v1.Oracle",
                    method: "Ask",
                    message: b"question",
                    timeout: Duration::from_secs(1),
                };
                match ctx.host().grpc_call(&call) {
                    Ok(_) => Flow::Wait,
                    Err(_) => Denial::unavailable(Reason("test.no_cluster")).into(),
                }
            }
            Does::SetHeader => {
                ctx.set_header("x-set", self.0.name);
                ctx.remove_header("x-spoofed");
                Flow::Continue
            }
            Does::Answer => {
                let headers = vec![("x-answer", "yes".to_owned())];
                Answer { status: 204, reason: Reason("test.answered"), headers }.into()
            }
            Does::Identify => {
                let mut identity = Identity { subject: "alice".into(), ..Identity::default() };
                identity.publish(&[Property::Identity, Property::Sub], None);
                ctx.set_identity(identity);
                ctx.set_operation("listOrders");
                Flow::Continue
            }
        }
    }

    fn on_request_body(&mut self, _request: &Request, body: &[u8], _ctx: &mut Ctx<'_>) -> Flow {
        self.0.note(&format!("body {}", body.len()));
        match self.0.does {
            Does::DenyBody => Denial::new(400, Reason("test.body"), "Bad Request").into(),
            _ => Flow::Continue,
        }
    }

    fn on_resume(&mut self, _request: &Request, _ctx: &mut Ctx<'_>) -> Flow {
        self.0.note("resume");
        match (self.0.answered.get(), self.0.does) {
            (false, _) => Flow::Wait,
            (true, Does::FetchThenNeedBody(limit)) => Flow::NeedBody { limit },
            (true, _) => Flow::Continue,
        }
    }

    fn on_request_trailers(&mut self, trailers: &Headers, ctx: &mut Ctx<'_>) {
        self.0.note(&format!("trailers {}", trailers.len()));
        ctx.remove_header("x-spoofed");
    }

    fn on_response_headers(&mut self, _request: Option<&Request>, _response: &Response, ctx: &mut Ctx<'_>) {
        self.0.note("response");
        if self.0.does == Does::SetHeader {
            (0..2).for_each(|_| ctx.note("found"));
        }
        ctx.append_header("x-order", self.0.name);
    }

    fn on_log(&mut self, _request: Option<&Request>, _response: Option<&Response>, ctx: &mut Ctx<'_>) {
        self.0.note("log");
        for change in ctx.changes() {
            self.0.note(&format!("{} {}", change.filter, String::from_utf8_lossy(&change.what)));
        }
    }
}

fn proxy(filters: &[(&'static str, Does)]) -> (FakeProxy, Rc<RefCell<Vec<String>>>) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let plugins = filters
        .iter()
        .map(|(name, does)| {
            Rc::new(Scripted {
                name,
                does: *does,
                on_error: OnError::Deny,
                answered: Cell::new(false),
                log: Rc::clone(&log),
            }) as Rc<dyn Plugin>
        })
        .collect();
    let host = FakeHost::at(1_700_000_000);
    host.clusters.borrow_mut().push("idp".into());
    (FakeProxy::start_chain(host, Chain::new(plugins, true)), log)
}

fn get() -> Headers {
    [(":method", "GET"), (":path", "/"), ("x-spoofed", "1")].into_iter().collect()
}

fn ok_answer() -> HttpAnswer {
    HttpAnswer { headers: [(":status", "200")].into_iter().collect(), body: Some(b"{}".to_vec()) }
}

#[test]
fn filters_run_in_order_and_a_denial_ends_it() {
    let (proxy, log) = proxy(&[("a", Does::Pass), ("b", Does::Deny), ("c", Does::Pass)]);
    let ended = proxy.request(get(), b"");
    assert_eq!((ended.status(), ended.reason().as_str()), (403, "test.denied"));
    assert_eq!(*log.borrow(), ["a request", "b request", "a log", "b log", "c log"]);
    let outcomes: Vec<_> = proxy.verdicts().iter().map(|v| (v.filter, v.outcome)).collect();
    assert_eq!(outcomes, [("a", Outcome::Allow), ("b", Outcome::Deny)]);
    assert_eq!(proxy.host.properties.borrow()["portcullis.verdict.b"], b"deny test.denied r");
    assert_eq!(proxy.host.metrics.borrow()["portcullis.b.denied"], 1);
}

#[test]
fn an_answer_of_a_filter_is_no_refusal() {
    let (proxy, log) = proxy(&[("a", Does::SetHeader), ("b", Does::Answer), ("c", Does::Pass)]);
    let headers = proxy.exchange(get(), Headers::default());
    assert_eq!(headers.single(b":status"), Ok(Some(&b"204"[..])));
    assert_eq!(headers.single(b"x-answer"), Ok(Some(&b"yes"[..])));
    assert!(!log.borrow().iter().any(|line| line == "c request"), "nobody behind it is asked");
    assert!(proxy.host.request_headers.borrow().contains(b"x-spoofed"), "nothing goes on");
    let outcomes: Vec<_> = proxy.verdicts().iter().map(|v| (v.filter, v.outcome)).collect();
    assert_eq!(outcomes, [("a", Outcome::Allow), ("b", Outcome::Allow)]);
}

#[test]
fn who_logs_learns_what_was_changed_by_name() {
    let (proxy, log) = proxy(&[("a", Does::SetHeader)]);
    proxy.exchange(get(), [(":status", "200")].into_iter().collect());
    let log = log.borrow();
    let (_, noted) = log.split_at(log.iter().position(|line| line == "a log").unwrap() + 1);
    assert_eq!(noted, ["a a x-set", "a a x-spoofed", "a a found"]);
}

#[test]
fn edits_reach_the_upstream_and_the_next_filters_but_not_after_a_denial() {
    let (passing, _) = proxy(&[("a", Does::SetHeader), ("b", Does::Pass)]);
    let Ended::Passed(headers) = passing.request(get(), b"") else { panic!("passes") };
    assert_eq!(headers.single(b"x-set"), Ok(Some(&b"a"[..])));
    assert!(!headers.contains(b"x-spoofed"));

    let (denying, _) = proxy(&[("a", Does::SetHeader), ("b", Does::Deny)]);
    assert_eq!(denying.request(get(), b"").status(), 403);
    assert!(denying.host.request_headers.borrow().contains(b"x-spoofed"), "nothing is written for a refusal");
}

#[test]
fn responses_pass_the_filters_in_the_reverse_order() {
    let (proxy, _) = proxy(&[("a", Does::Pass), ("b", Does::Pass)]);
    let headers = proxy.exchange(get(), [(":status", "200")].into_iter().collect());
    assert_eq!(headers.all(b"x-order").collect::<Vec<_>>(), [b"b", b"a"]);
}

#[test]
fn a_local_reply_passes_the_response_phase_too() {
    let (proxy, _) = proxy(&[("a", Does::Pass), ("b", Does::Deny)]);
    let headers = proxy.exchange(get(), Headers::default());
    assert_eq!(headers.single(b":status"), Ok(Some(&b"403"[..])));
    assert!(headers.contains(b"x-order"));
}

// covers: ENV-BODY-02
#[test]
fn a_filter_that_needs_the_body_gets_it_whole_even_when_it_is_empty() {
    for (body, seen) in [(&b""[..], "b body 0"), (b"0123456789", "b body 10")] {
        let (proxy, log) = proxy(&[("a", Does::Pass), ("b", Does::NeedBody(10)), ("c", Does::Pass)]);
        assert!(matches!(proxy.request(get(), body), Ended::Passed(_)));
        let log = log.borrow();
        assert_eq!(log.iter().filter(|line| line.contains("body")).collect::<Vec<_>>(), [seen]);
        assert_eq!(log.iter().filter(|line| *line == "c request").count(), 1);
    }
}

// covers: ENV-PROTO-08
#[test]
fn what_a_filter_removes_from_trailers_does_not_go_on_whenever_they_come() {
    for (does, body, waits) in [
        (Does::Pass, &b""[..], false),
        (Does::NeedBody(100), b"0123456789", false),
        (Does::Fetch, b"0123456789", true),
        (Does::FetchThenNeedBody(100), b"0123456789", true),
    ] {
        let (proxy, log) = proxy(&[("a", does), ("b", Does::Pass)]);
        let host = &proxy.host;
        *host.request_headers.borrow_mut() = get();
        *host.request_trailers.borrow_mut() =
            [("x-kept", "1"), ("x-spoofed", "1"), ("x-spoofed", "2")].into_iter().collect();
        *host.body.borrow_mut() = body.to_vec();
        let mut stream = proxy.stream();
        stream.on_request_headers(host, false);
        stream.on_request_body(host, body.len(), false);
        let mut action = stream.on_request_trailers(host);
        if waits {
            assert_eq!(action, Action::Pause, "{does:?}");
            assert!(host.request_trailers.borrow().contains(b"x-spoofed"), "not before the decision");
            let call = host.calls.borrow()[0].clone();
            proxy.answer(&call, &ok_answer());
            action = stream.on_resume(host);
        }
        assert_eq!(action, Action::Continue, "{does:?}");
        assert_eq!(host.request_trailers.borrow().iter().collect::<Vec<_>>(), [(&b"x-kept"[..], &b"1"[..])]);
        // The second filter sees what the first has left.
        assert_eq!(
            log.borrow().iter().filter(|line| line.contains("trailers")).collect::<Vec<_>>(),
            ["a trailers 3", "b trailers 1"]
        );
    }
}

#[test]
fn trailers_that_cannot_be_judged_end_in_the_declared_fail_mode() {
    for (on_error, replies, action) in
        [(OnError::Deny, 1, Action::Pause), (OnError::Allow, 0, Action::Continue)]
    {
        let mut plugin = Scripted::new("a", Does::Pass);
        Rc::get_mut(&mut plugin).unwrap().on_error = on_error;
        let host = FakeHost::at(1);
        let mut stream = Stream::new(Rc::new(Chain::single(plugin)));
        assert_eq!(stream.on_request_headers(&host, false), Action::Continue);
        host.fail("proxy_get_header_map_pairs", 2);
        assert_eq!(stream.on_request_trailers(&host), action, "{on_error:?}");
        assert_eq!(host.replies.borrow().len(), replies, "{on_error:?}");
        assert_eq!(stream.on_request_trailers(&host), action, "the same again");
        assert_eq!(host.replies.borrow().len(), replies, "{on_error:?}");
    }
}

// covers: ENV-BODY-04, HOST-TRAP-09
#[test]
fn a_body_over_the_limit_is_refused_by_its_declared_and_by_its_real_length() {
    let (buffered, _) = proxy(&[("a", Does::NeedBody(9))]);
    let ended = buffered.request(get(), b"0123456789");
    assert_eq!((ended.status(), ended.reason().as_str()), (413, "body.too_large"));

    let (declared, log) = proxy(&[("a", Does::NeedBody(9))]);
    // In 32 bits some of them would be 0, 1 or 9.
    for length in
        ["10", "4294967296", "4294967297", "4294967305", "9223372036854775808", "18446744073709551615"]
    {
        let mut headers = get();
        headers.set(b"content-length", length.as_bytes());
        let stream = declared.request(headers, b"");
        assert_eq!(stream.status(), 413, "{length}");
    }
    assert!(!log.borrow().iter().any(|line| line.contains("body")));
}

#[test]
fn a_waiting_request_goes_on_when_its_answer_came() {
    let (proxy, log) = proxy(&[("a", Does::Fetch), ("b", Does::Pass)]);
    let Ended::Waits(stream) = proxy.request(get(), b"") else { panic!("waits") };
    let call = proxy.host.calls.borrow()[0].clone();
    assert_eq!((call.cluster.as_str(), call.path.as_str(), call.plugin), ("idp", "/k", 0));
    // No answer (connection refused): this filter goes on waiting.
    proxy.answer(&call, &HttpAnswer::default());
    let Ended::Waits(stream) = proxy.resume(stream) else { panic!("waits on") };
    proxy.answer(&call, &ok_answer());
    assert!(matches!(proxy.resume(stream), Ended::Passed(_)));
    assert_eq!(log.borrow().iter().filter(|line| *line == "b request").count(), 1);
}

#[test]
fn a_request_that_waits_for_a_grpc_call_goes_on_when_its_message_came() {
    let (proxy, log) = proxy(&[("a", Does::AskByGrpc), ("b", Does::Pass)]);
    let Ended::Waits(mut stream) = proxy.request(get(), b"") else { panic!("waits") };
    let call = proxy.host.calls.borrow()[0].clone();
    assert_eq!((call.path.as_str(), call.body.as_slice()), ("/test.v1.Oracle/Ask", &b"question"[..]));
    for no_answer in [GrpcError::Status(14), GrpcError::TooLarge] {
        proxy.answer_grpc(&call, &Err(no_answer));
        let Ended::Waits(same) = proxy.resume(stream) else { panic!("still waits") };
        stream = same;
    }
    proxy.answer_grpc(&call, &Ok(b"yes".to_vec()));
    assert!(matches!(proxy.resume(stream), Ended::Passed(_)));
    assert_eq!(log.borrow().iter().filter(|line| *line == "b request").count(), 1);

    proxy.host.fail("proxy_grpc_call", 10);
    assert_eq!(proxy.request(get(), b"").reason(), "test.no_cluster");
    proxy.host.failures.borrow_mut().clear();
    proxy.host.clusters.borrow_mut().clear();
    assert_eq!(proxy.request(get(), b"").reason(), "test.no_cluster");
}

#[test]
fn a_body_that_arrives_while_waiting_is_not_lost() {
    let (proxy, log) = proxy(&[("a", Does::FetchThenNeedBody(100))]);
    let Ended::Waits(stream) = proxy.request(get(), b"0123456789") else { panic!("waits") };
    let call = proxy.host.calls.borrow()[0].clone();
    proxy.answer(&call, &ok_answer());
    assert!(matches!(proxy.resume(stream), Ended::Passed(_)));
    assert!(log.borrow().contains(&"a body 10".to_owned()));
}

#[test]
fn an_identity_and_an_operation_are_published_for_other_vms() {
    let (proxy, _) = proxy(&[("a", Does::Identify)]);
    assert!(matches!(proxy.request(get(), b""), Ended::Passed(_)));
    let properties = proxy.host.properties.borrow();
    assert_eq!(properties["portcullis.identity.sub"], b"alice");
    assert_eq!(properties["portcullis.operation"], b"listOrders");
    let identity = Identity::from_property(&properties[Identity::PROPERTY]).unwrap();
    assert_eq!(identity.subject, "alice");
    assert!(!properties.contains_key("portcullis.verdict.a"), "no property means no objection");
}

#[test]
fn every_host_error_ends_in_the_declared_fail_mode() {
    for call in [
        "proxy_get_header_map_pairs",
        "proxy_get_buffer_bytes",
        "proxy_add_header_map_value",
        "proxy_remove_header_map_value",
    ] {
        for (on_error, status) in [(OnError::Deny, 503), (OnError::Allow, 200)] {
            let mut plugin = Scripted::new("a", Does::NeedBody(100));
            Rc::get_mut(&mut plugin).unwrap().on_error = on_error;
            let mut editor = Scripted::new("b", Does::SetHeader);
            Rc::get_mut(&mut editor).unwrap().on_error = on_error;
            let host = FakeHost::at(1);
            host.fail(call, 2);
            let proxy = FakeProxy::start_chain(host, Chain::new(vec![plugin, editor], false));
            assert_eq!(proxy.request(get(), b"body").status(), status, "{call} {on_error:?}");
        }
    }
}

// covers: ENV-LIFE-04
#[test]
fn a_reply_that_cannot_be_sent_closes_the_stream() {
    let (proxy, _) = proxy(&[("a", Does::Deny)]);
    proxy.host.fail("proxy_send_local_response", 10);
    assert_eq!(proxy.request(get(), b"").status(), 0);
    assert_eq!(proxy.host.closed.get(), 1);
}

// covers: HOST-SHR-08, HOST-CTX-10
#[test]
fn ticks_come_at_the_plugin_s_own_period_whatever_the_clock_does() {
    let (proxy, log) = proxy(&[("a", Does::Pass)]);
    proxy.tick();
    proxy.tick();
    assert_eq!(*log.borrow(), ["a tick"]);
    proxy.host.time.set(proxy.host.time.get().map(|now| now.plus(Duration::from_secs(1))));
    proxy.tick();
    assert_eq!(log.borrow().len(), 2);
    for (name, seconds, ticks) in [
        ("a day late: once", 1_700_086_400, 3),
        ("again at once: no more", 1_700_086_400, 3),
        // The ticks then stayed away until the clock was where it had been.
        ("the clock stepped back", 1_600_000_000, 3),
        ("a period after that", 1_600_000_001, 4),
    ] {
        proxy.host.time.set(Some(UnixTime::from_secs(seconds)));
        proxy.tick();
        assert_eq!(log.borrow().len(), ticks, "{name}");
    }
}

/// Callbacks of the proxy, in any order.
#[derive(Clone, Copy, Debug)]
enum Callback {
    Headers(bool),
    Body(usize, bool),
    Trailers,
    Resume,
    Response,
    Log,
}

fn callback() -> impl Strategy<Value = Callback> {
    prop_oneof![
        any::<bool>().prop_map(Callback::Headers),
        (0usize..200, any::<bool>()).prop_map(|(size, end)| Callback::Body(size, end)),
        Just(Callback::Trailers),
        Just(Callback::Resume),
        Just(Callback::Response),
        Just(Callback::Log),
    ]
}

fn behaviour() -> impl Strategy<Value = Does> {
    prop_oneof![
        Just(Does::Pass),
        Just(Does::Deny),
        Just(Does::DenyBody),
        (0usize..150).prop_map(Does::NeedBody),
        Just(Does::Fetch),
        Just(Does::AskByGrpc),
        Just(Does::SetHeader),
    ]
}

proptest! {
    // covers: HOST-CTX-06, ENV-LIFE-03
    #[test]
    fn in_any_order_of_callbacks_there_is_one_reply_at_most_and_none_passes_unjudged(
        filters in proptest::collection::vec(behaviour(), 1..4),
        callbacks in proptest::collection::vec(callback(), 0..12),
    ) {
        let names = ["a", "b", "c"];
        let plugins = names.into_iter().zip(&filters).map(|(name, does)| Scripted::new(name, *does) as Rc<dyn Plugin>);
        let chain = Rc::new(Chain::new(plugins.collect(), false));
        let host = FakeHost::at(1);
        host.clusters.borrow_mut().push("idp".into());
        *host.body.borrow_mut() = vec![b'x'; 200];
        let mut stream = Stream::new(chain);
        let mut judged = false;
        for callback in callbacks {
            let was_replied = !host.replies.borrow().is_empty();
            let action = match callback {
                Callback::Headers(end) => stream.on_request_headers(&host, end),
                Callback::Body(size, end) => stream.on_request_body(&host, size, end),
                Callback::Trailers => stream.on_request_trailers(&host),
                Callback::Resume => stream.on_resume(&host),
                Callback::Response => { stream.on_response_headers(&host, true); continue; }
                Callback::Log => { stream.on_log(&host); continue; }
            };
            judged |= matches!(callback, Callback::Headers(_));
            prop_assert!(host.replies.borrow().len() <= 1, "one reply at most");
            if was_replied {
                prop_assert_eq!(action, Action::Pause, "nothing passes after a reply");
            }
            if action == Action::Continue {
                prop_assert!(judged, "nothing passes unjudged");
                prop_assert!(!filters.contains(&Does::Deny));
            }
        }
    }
}
