use portcullis_core::identity::Property;
use portcullis_core::{Headers, Identity, UnixTime};
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use portcullis_host::{CallId, Edits, Exchange, GrpcCall, GrpcError, HttpCall, SharedValue};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn host() -> FakeHost {
    let host = FakeHost::at(NOW);
    host.set("source.address", "192.0.2.1:4000");
    host
}

/// A host that finds what another one left in shared data.
fn host_after(other: &FakeHost) -> FakeHost {
    let host = host();
    host.shared.replace(other.shared.borrow().clone());
    host
}

fn start(host: FakeHost, configuration: &str) -> FakeProxy {
    let plugin = configure(configuration.as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

const TWO: &str = r#"{"limits": [{"id": "a", "requests": 2, "per": "1m"}]}"#;

const GET: [(&str, &str); 3] = [(":method", "GET"), (":path", "/"), (":authority", "api.test")];

fn statuses(proxy: &FakeProxy, requests: usize) -> Vec<u16> {
    (0..requests).map(|_| proxy.get(&GET).status()).collect()
}

#[test]
fn the_third_request_of_two_is_refused() {
    let proxy = start(host(), TWO);
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
    let ended = proxy.get(&GET);
    assert_eq!(ended.reason(), "rate.exceeded");
    proxy.host.set("source.address", "192.0.2.2:4000");
    assert_eq!(proxy.get(&GET).status(), 200);
}

// covers: ENV-HDR-09, ENV-HDR-10
#[test]
fn a_client_can_not_rotate_its_address_by_x_forwarded_for() {
    let get = |proxy: &FakeProxy, forwarded: &str| {
        let mut fields = GET.to_vec();
        fields.push(("x-forwarded-for", forwarded));
        proxy.get(&fields).status()
    };
    let direct = start(host(), TWO);
    let behind =
        start(host(), &TWO.replace("{\"limits", "{\"client_address\": {\"trusted_hops\": 1}, \"limits"));
    for i in 0..50 {
        let expected = if i < 2 { 200 } else { 429 };
        assert_eq!(get(&direct, &format!("203.0.113.{i}")), expected, "nobody is trusted");
        assert_eq!(
            get(&behind, &format!("203.0.113.{i}, 198.51.100.7")),
            expected,
            "left of the trusted hop"
        );
    }
    assert_eq!(get(&behind, "203.0.113.1, 198.51.100.8"), 200);
}

#[test]
fn a_request_without_an_address_is_counted_with_its_like() {
    let host = FakeHost::at(NOW);
    let proxy = start(host, TWO);
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
}

#[test]
fn users_are_counted_by_the_identity_that_was_verified() {
    let proxy = start(
        host(),
        r#"{"limits": [{"id": "user", "key": [{"claim": "sub"}], "missing": "skip", "requests": 1, "per": "1m"}]}"#,
    );
    assert_eq!(statuses(&proxy, 3), [200; 3]);
    let claims = json!({"sub": "alice"}).as_object().unwrap().clone();
    let mut identity =
        Identity { issuer: "idp".to_owned(), subject: "alice".to_owned(), claims, ..Identity::default() };
    identity.publish(&[Property::Identity], None);
    for (name, value) in identity.properties {
        proxy.host.set(&name, value);
    }
    assert_eq!(statuses(&proxy, 2), [200, 429]);
}

#[test]
fn each_host_failure_ends_in_the_declared_mode() {
    let calls = [
        "proxy_get_current_time_nanoseconds",
        "proxy_get_shared_data",
        "proxy_set_shared_data",
        "proxy_get_property",
    ];
    for call in calls {
        for (on_error, expected) in [("deny", 503), ("allow", 200)] {
            let proxy = start(
                host(),
                &TWO.replace("{\"limits", &format!("{{\"on_error\": \"{on_error}\", \"limits")),
            );
            proxy.host.fail(call, 10);
            let ended = proxy.get(&GET);
            assert_eq!(ended.status(), expected, "{call} {on_error}");
            let verdict = proxy.verdicts().pop().unwrap();
            assert_eq!(
                verdict.reason.map(portcullis_core::Reason::as_str),
                Some("rate.unavailable"),
                "{call}"
            );
            proxy.host.failures.borrow_mut().clear();
            assert_eq!(proxy.get(&GET).status(), 200, "{call}: counts again afterwards");
        }
    }
}

/// A host where another worker is always faster at everything but the seed.
struct Contended(FakeHost);

impl Host for Contended {
    fn now(&self) -> Result<UnixTime, HostError> {
        self.0.now()
    }

    fn log(&self, level: Level, message: &str) {
        self.0.log(level, message);
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        self.0.property(path)
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.0.set_property(name, value)
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        self.0.shared_data(key)
    }

    fn set_shared_data(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), SharedDataError> {
        if key.ends_with("seed") {
            return self.0.set_shared_data(key, value, expected);
        }
        Err(SharedDataError::Conflict)
    }

    fn http_call(&self, call: &HttpCall<'_>) -> Result<CallId, HostError> {
        self.0.http_call(call)
    }

    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
        self.0.grpc_call(call)
    }

    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
        self.0.call_foreign_function(name, argument)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        self.0.define_metric(kind, name)
    }

    fn increment_metric(&self, id: MetricId, offset: i64) -> Result<(), HostError> {
        self.0.increment_metric(id, offset)
    }

    fn record_metric(&self, id: MetricId, value: u64) -> Result<(), HostError> {
        self.0.record_metric(id, value)
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), HostError> {
        self.0.random(buffer)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }
}

// covers: HOST-SHR-03
#[test]
fn a_request_that_loses_every_try_is_refused_and_counted() {
    for (on_error, mode, refused) in
        [("deny", "enforce", true), ("allow", "enforce", true), ("deny", "report", false)]
    {
        let host = Contended(host());
        let limit = format!(r#"{{"id": "a", "requests": 2, "per": "1m", "mode": "{mode}"}}"#);
        let configuration = format!(r#"{{"on_error": "{on_error}", "limits": [{limit}]}}"#);
        let plugin = configure(configuration.as_bytes(), &host).unwrap();
        plugin.start(&host);
        let (mut exchange, mut edits) = <(Exchange, Edits)>::default();
        let mut ctx = Ctx::new(&host, "rate-limit", &mut exchange, &mut edits);
        let flow =
            plugin.filter().on_request_headers(&Request::new(GET.into_iter().collect(), true), &mut ctx);
        match flow {
            Flow::Deny(denial) => assert!(refused && denial.reason == CONTENDED && denial.status == 503),
            flow => {
                assert!(!refused && flow == Flow::Continue && ctx.verdicts()[0].reason == Some(CONTENDED))
            }
        }
        assert_eq!(host.0.metrics.borrow()["portcullis.rate_limit.contended"], 1, "{on_error} {mode}");
    }
}

#[test]
fn without_randomness_nothing_is_counted_until_there_is_some() {
    let host = host();
    host.fail("random_get", 10);
    let proxy = start(host, TWO);
    assert_eq!(proxy.get(&GET).status(), 503);
    proxy.host.failures.borrow_mut().clear();
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
}

#[test]
fn workers_share_the_seed_and_the_buckets() {
    let first = start(host(), TWO);
    assert_eq!(statuses(&first, 1), [200]);
    let seed = first.host.shared.borrow().get("portcullis.rl.seed").cloned();
    // Another worker: another VM of the same shared data.
    let second = start(host_after(&first.host), TWO);
    assert_eq!(statuses(&second, 2), [200, 429]);
    assert_eq!(second.host.shared.borrow().get("portcullis.rl.seed").cloned(), seed);
}

// covers: HOST-SHR-04
#[test]
fn shared_values_that_are_not_ours_are_begun_anew_and_counted() {
    let proxy = start(host(), TWO);
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
    for (value, _) in proxy.host.shared.borrow_mut().values_mut() {
        *value = b"garbage".to_vec();
    }
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
    assert_eq!(proxy.host.metrics.borrow()["portcullis.rate_limit.state_reset"], 1);
    let damaged = host_after(&proxy.host);
    damaged.shared.borrow_mut().insert("portcullis.rl.seed".to_owned(), (b"garbage".to_vec(), 7));
    let restarted = start(damaged, TWO);
    assert!(Seed::decode(&restarted.host.shared.borrow()["portcullis.rl.seed"].0).is_some());
    assert_eq!(restarted.host.metrics.borrow()["portcullis.rate_limit.state_reset"], 1);
}

#[test]
fn the_state_is_a_fixed_set_of_short_values() {
    let proxy = start(host(), r#"{"slots": 64, "limits": [{"id": "a", "requests": 1, "per": "1d"}]}"#);
    for client in 0..5_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(client);
        proxy.host.set("source.address", format!("{address}:1"));
        proxy.get(&GET);
    }
    let shared = proxy.host.shared.borrow();
    assert_eq!(shared.len(), 1 + 64 / 8);
    assert!(shared.keys().all(|key| key.starts_with(PREFIX) && key.len() <= PREFIX.len() + 4));
}

#[test]
fn responses_carry_the_fields_where_that_is_wanted() {
    let response =
        || [(":status", "200"), ("ratelimit", "\"upstream\";r=5")].into_iter().collect::<Headers>();
    let always = start(host(), &TWO.replace("{\"limits", "{\"headers\": \"always\", \"limits"));
    let fields = always.exchange(GET.into_iter().collect(), response());
    assert_eq!(fields.all(b"ratelimit").collect::<Vec<_>>(), [&b"\"upstream\";r=5"[..], b"\"a\";r=1;t=30"]);
    assert_eq!(fields.first(b"ratelimit-policy"), Some(&b"\"a\";q=2;w=60"[..]));
    always.get(&GET);
    let refusal = always.exchange(GET.into_iter().collect(), response());
    assert_eq!(refusal.all(b"ratelimit").collect::<Vec<_>>(), [b"\"a\";r=0;t=30"], "once, not twice");

    let refused = start(host(), TWO);
    let fields = refused.exchange(GET.into_iter().collect(), response());
    assert_eq!(fields, response());
}

#[test]
fn a_key_that_a_client_can_choose_is_warned_of() {
    for (key, warns) in [
        (r#"[{"header": "x-api-key"}]"#, true),
        (r#"[{"header": "x-api-key"}, "client_address"]"#, false),
        (r#"[{"claim": "sub"}]"#, false),
        ("[]", false),
    ] {
        let limit = format!(r#"{{"id": "partner", "key": {key}, "requests": 1, "per": "1m"}}"#);
        let proxy = start(host(), &format!(r#"{{"limits": [{limit}]}}"#));
        let logs = proxy.host.logs.borrow();
        assert_eq!(logs.iter().any(|line| line.contains("limit `partner`")), warns, "{key}");
    }
}

#[test]
fn an_ambiguous_path_is_refused_where_limits_go_by_path() {
    let by_path = r#"{"limits": [{"id": "a", "match": {"path": "/login"}, "requests": 1, "per": "1m"}]}"#;
    let ambiguous = [(":method", "GET"), (":path", "/a%2f..%2flogin"), (":authority", "api.test")];
    assert_eq!(start(host(), by_path).get(&ambiguous).status(), 400);
    assert_eq!(start(host(), TWO).get(&ambiguous).status(), 200);
}

#[test]
fn every_configuration_in_the_documentation_is_valid() {
    let page = include_str!("../../../../docs/rate-limit.md");
    let blocks = portcullis_host::fake::fenced_blocks(page, "json");
    assert!(blocks.len() >= 3);
    for block in blocks {
        assert!(configure(block.as_bytes(), &host()).is_ok(), "{block}");
    }
}

/// A configuration with one limit that a service counts.
fn global(service: &str, limit: &str) -> String {
    format!(
        r#"{{"rate_limit_service": {{"cluster": "rls"{service}}}, "limits": [{{"id": "a", "requests": 5, "per": "1m", "burst": 2, "global": {{"lease": 5}}{limit}}}]}}"#
    )
}

fn with_service() -> FakeHost {
    let host = host();
    host.clusters.borrow_mut().push("rls".to_owned());
    host
}

fn ok() -> GrpcAnswer {
    Ok(vec![0x08, 0x01])
}

fn over() -> GrpcAnswer {
    Ok(vec![0x08, 0x02])
}

/// A request that asks; the service gives this answer.
fn asks(proxy: &FakeProxy, answer: &GrpcAnswer) -> u16 {
    let Ended::Waits(stream) = proxy.get(&GET) else { panic!("expected a question") };
    let call = proxy.host.calls.borrow().last().cloned().unwrap();
    proxy.answer_grpc(&call, answer);
    proxy.resume(stream).status()
}

#[test]
fn one_call_serves_as_many_requests_as_a_lease_has_tokens() {
    let proxy = start(with_service(), &global("", ""));
    assert_eq!(asks(&proxy, &ok()), 200);
    assert_eq!(statuses(&proxy, 4), [200; 4]);
    assert_eq!(proxy.host.calls.borrow().len(), 1);
    let call = proxy.host.calls.borrow()[0].clone();
    assert_eq!(call.path, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
    let descriptor = b"\x0a\x10\x0a\x0bgeneric_key\x12\x01a\x0a\x1b\x0a\x0eremote_address\x12\x09192.0.2.1";
    let message = [b"\x0a\x0aportcullis\x12\x2f", &descriptor[..], b"\x18\x05"].concat();
    assert_eq!(call.body, message);
    // The sixth asks again; the local bucket of two was never touched.
    assert_eq!(asks(&proxy, &ok()), 200);
    // Tokens that are not used end after a second.
    proxy.host.time.set(Some(UnixTime::from_secs(NOW + 2)));
    assert_eq!(asks(&proxy, &ok()), 200);
}

#[test]
fn at_the_end_of_the_limit_single_tokens_are_asked_for_and_then_none() {
    let proxy = start(with_service(), &global("", ""));
    assert_eq!(asks(&proxy, &over()), 429, "less than five are left");
    assert_eq!(asks(&proxy, &ok()), 200, "but one is");
    let hits: Vec<u8> = proxy.host.calls.borrow().iter().map(|call| *call.body.last().unwrap()).collect();
    assert_eq!(hits, [5, 1]);
    assert_eq!(asks(&proxy, &over()), 429);
    assert_eq!(statuses(&proxy, 9), [429; 9], "no question while it is known");
    assert_eq!(proxy.host.calls.borrow().len(), 3);
    proxy.host.time.set(Some(UnixTime::from_secs(NOW + 1)));
    assert_eq!(asks(&proxy, &ok()), 200);
}

#[test]
fn what_a_service_refuses_to_one_that_costs_more_is_not_refused_to_others() {
    let proxy = start(with_service(), &global("", r#", "cost": {"header": "x-items"}"#));
    let with = |items: &str, answer: &GrpcAnswer| {
        let mut fields = GET.to_vec();
        fields.push(("x-items", items));
        let Ended::Waits(stream) = proxy.get(&fields) else { panic!("expected a question") };
        let call = proxy.host.calls.borrow().last().cloned().unwrap();
        proxy.answer_grpc(&call, answer);
        (*call.body.last().unwrap(), proxy.resume(stream).status())
    };
    assert_eq!(with("2", &over()), (5, 429), "a whole lease is more than is left");
    assert_eq!(with("99999999999", &over()), (2, 429), "never more than a full bucket");
    assert_eq!(with("1", &ok()), (1, 200));
}

// covers: ENV-RL-05
#[test]
fn a_service_that_does_not_answer_leaves_what_is_declared() {
    let failures: [(&str, GrpcAnswer); 8] = [
        ("refused", Err(GrpcError::Status(14))),
        ("internal", Err(GrpcError::Status(13))),
        ("unauthenticated", Err(GrpcError::Status(16))),
        ("closed without an answer", Err(GrpcError::Status(0))),
        ("too large", Err(GrpcError::TooLarge)),
        ("an unknown code", Ok(vec![0x08, 0x00])),
        ("empty", Ok(vec![])),
        ("not protobuf", Ok(b"<html>".to_vec())),
    ];
    for (name, failure) in failures {
        for (mode, expected, reason) in [
            ("local", [200, 200, 429], "rate.exceeded"),
            ("deny", [503; 3], "rate.service_unavailable"),
            ("allow", [200; 3], "rate.service_unavailable"),
        ] {
            let proxy = start(with_service(), &global(&format!(r#", "on_failure": "{mode}""#), ""));
            let first = asks(&proxy, &failure);
            assert_eq!(
                [first, proxy.get(&GET).status(), proxy.get(&GET).status()],
                expected,
                "{name} {mode}"
            );
            assert_eq!(
                proxy.verdicts().pop().unwrap().reason.map(portcullis_core::Reason::as_str),
                Some(reason)
            );
            assert_eq!(proxy.host.calls.borrow().len(), 1, "{name} {mode}: not asked again at once");
            assert_eq!(proxy.host.metrics.borrow()["portcullis.rate_limit.service_failed"], 1);
            // It is asked again soon, by one request; the next one has what was granted.
            proxy.host.time.set(Some(UnixTime::from_secs(NOW + 1)));
            assert_eq!(asks(&proxy, &ok()), 200, "{name} {mode}");
            assert_eq!(statuses(&proxy, 4), [200; 4]);
        }
    }
}

#[test]
fn a_call_that_can_not_be_made_is_a_failure_of_the_service() {
    // No such cluster.
    let proxy = start(host(), &global("", ""));
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
    assert_eq!(proxy.host.metrics.borrow()["portcullis.rate_limit.service_failed"], 1);
}

#[test]
fn requests_that_come_meanwhile_wait_for_the_same_answer() {
    let proxy = start(with_service(), &global("", ""));
    let waiting: Vec<_> = (0..7)
        .map(|_| match proxy.get(&GET) {
            Ended::Waits(stream) => stream,
            ended => panic!("{ended:?}"),
        })
        .collect();
    assert_eq!(proxy.host.calls.borrow().len(), 1, "one question for all");
    let call = proxy.host.calls.borrow()[0].clone();
    proxy.answer_grpc(&call, &ok());
    let mut waiting = waiting.into_iter();
    for _ in 0..5 {
        assert_eq!(proxy.resume(waiting.next().unwrap()).status(), 200);
    }
    // The lease is used up: the sixth asks, the seventh waits for it.
    let left: Vec<_> = waiting
        .map(|stream| match proxy.resume(stream) {
            Ended::Waits(stream) => stream,
            ended => panic!("{ended:?}"),
        })
        .collect();
    let call = proxy.host.calls.borrow()[1].clone();
    assert_eq!(proxy.host.calls.borrow().len(), 2);
    proxy.answer_grpc(&call, &ok());
    assert!(left.into_iter().all(|stream| proxy.resume(stream).status() == 200));
}

#[test]
fn nobody_waits_for_an_answer_that_does_not_come() {
    let proxy = start(with_service(), &global("", ""));
    let Ended::Waits(stream) = proxy.get(&GET) else { panic!("expected a question") };
    // Another one's answer is not ours.
    let Ended::Waits(stream) = proxy.resume(stream) else { panic!("still waiting") };
    proxy.host.time.set(Some(UnixTime::from_secs(NOW + 2)));
    proxy.tick();
    assert_eq!(proxy.resume(stream).status(), 200, "by the local limit");
    assert_eq!(statuses(&proxy, 2), [200, 429]);
}

#[test]
fn a_service_and_its_limits_belong_together() {
    for (configuration, expected) in [
        (
            r#"{"limits": [{"id": "a", "requests": 2, "per": "1m", "global": {}}]}"#.to_owned(),
            "limits[0].global: expected `rate_limit_service` for the whole configuration, found none",
        ),
        (
            TWO.replace("{\"limits", r#"{"rate_limit_service": {"cluster": "rls"}, "limits"#),
            "rate_limit_service: expected a limit with `global`, found none",
        ),
        (
            global(r#", "timeout": "11s""#, ""),
            "rate_limit_service.timeout: expected `1ms` to `10s`, found 11s",
        ),
        (global(r#", "timeout": "0s""#, ""), "rate_limit_service.timeout: expected `1ms` to `10s`, found 0s"),
        (
            global(r#", "domain": """#, ""),
            "rate_limit_service.domain: expected a name of 1 to 256 characters, found 0",
        ),
        (
            global("", "").replace("\"lease\": 5", "\"lease\": 0"),
            "limits[0].global.lease: expected 1 to 5, found 0",
        ),
        (
            global("", "").replace("\"lease\": 5", "\"lease_for\": \"2m\""),
            "limits[0].global.lease_for: expected whole seconds from 1s to 1m, found 2m",
        ),
        (
            r#"{"limits": [{"id": "a", "concurrent": 2, "global": {}}]}"#.to_owned(),
            "limits[0].global: expected only beside `requests`",
        ),
    ] {
        let error = configure(configuration.as_bytes(), &host()).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected), "{configuration}");
    }
}

/// The end of a request with this status.
fn ends(proxy: &FakeProxy, status: u64, body: &[u8]) -> u16 {
    let fields = [(":method", "POST"), (":path", "/login"), ("content-type", "application/json")];
    let mut stream = proxy.stream();
    *proxy.host.request_headers.borrow_mut() = fields.into_iter().collect();
    *proxy.host.body.borrow_mut() = body.to_vec();
    proxy.host.replies.borrow_mut().clear();
    stream.on_request_headers(&proxy.host, false);
    stream.on_request_body(&proxy.host, body.len(), true);
    let replied = proxy.host.replies.borrow().first().map(|reply| reply.status);
    proxy.host.set("response.code", replied.map_or(status, u64::from).to_le_bytes());
    stream.on_log(&proxy.host);
    replied.unwrap_or(200)
}

// covers: OWASP-API-05
#[test]
fn the_end_of_a_request_says_whether_it_has_failed() {
    let proxy = start(
        host(),
        r#"{"limits": [{"id": "login", "key": [{"body": "user"}], "failures": {"allowed": 2, "lock": "1m"}}]}"#,
    );
    let alice = br#"{"user": "alice"}"#;
    assert_eq!(ends(&proxy, 0, br#"{"user": "gone"}"#), 200);
    assert_eq!(ends(&proxy, 0, br#"{"user": "gone"}"#), 200);
    assert_eq!(ends(&proxy, 0, br#"{"user": "gone"}"#), 429, "who hangs up does not guess for nothing");
    assert_eq!([401, 500, 401, 401].map(|status| ends(&proxy, status, alice)), [200, 200, 200, 429]);
    assert_eq!(ends(&proxy, 401, br#"{"user": "bob"}"#), 200);
    assert_eq!(proxy.host.metrics.borrow()["portcullis.rate_limit.locked_out"], 2);
    proxy.host.time.set(Some(UnixTime::from_secs(NOW + 60)));
    assert_eq!([200, 401, 401].map(|status| ends(&proxy, status, alice)), [200; 3], "a success begins anew");
    assert_eq!(ends(&proxy, 200, alice), 429);
}

#[test]
fn a_slot_is_free_again_however_its_request_ends() {
    let proxy = start(host(), r#"{"limits": [{"id": "slow", "concurrent": 1}]}"#);
    let mut first = proxy.stream();
    *proxy.host.request_headers.borrow_mut() = GET.into_iter().collect();
    first.on_request_headers(&proxy.host, true);
    let second = proxy.get(&GET);
    assert_eq!((second.status(), second.reason()), (429, "rate.too_many_at_once".to_owned()));
    // Without any response.
    first.on_log(&proxy.host);
    assert_eq!(proxy.get(&GET).status(), 200);
}

#[test]
fn exempt_requests_are_not_counted() {
    let proxy = start(
        host(),
        &TWO.replace("{\"limits", r#"{"exempt": [{"client_address": ["192.0.2.0/24"]}], "limits"#),
    );
    assert_eq!(statuses(&proxy, 5), [200; 5]);
    proxy.host.set("source.address", "198.51.100.1:4000");
    assert_eq!(statuses(&proxy, 3), [200, 200, 429]);
}

#[test]
fn an_attribute_can_be_a_key() {
    let proxy = start(
        host(),
        r#"{"limits": [{"id": "certificate", "key": [{"property": ["connection", "sha256_peer_certificate_digest"]}],
            "missing": "skip", "requests": 1, "per": "1m"}]}"#,
    );
    assert_eq!(statuses(&proxy, 2), [200; 2]);
    for digest in ["aa", "bb"] {
        proxy.host.set("connection.sha256_peer_certificate_digest", digest);
        assert_eq!(statuses(&proxy, 2), [200, 429], "{digest}");
    }
}

#[test]
fn header_fields_are_read_where_a_limit_goes_by_them_and_nowhere_else() {
    let limits = |limit: &str| format!(r#"{{"limits": [{{"id": "a", "requests": 1, "per": "1m"{limit}}}]}}"#);
    let all = |member: &str| limits("").replace("{\"limits", &format!("{{{member}, \"limits"));
    for (configuration, reads) in [
        (limits(""), false),
        (limits(r#", "key": []"#), false),
        (
            limits(
                r#", "key": [{"claim": "sub"}, "client_id", {"property": ["connection", "tls_version"]}]"#,
            ),
            false,
        ),
        (limits(r#", "cost": {"property": ["request", "size"]}"#), false),
        (all(r#""exempt": [{"client_address": ["203.0.113.0/24"]}]"#), false),
        (r#"{"limits": [{"id": "a", "concurrent": 1}]}"#.to_owned(), false),
        (limits(r#", "key": [{"header": "x-key"}]"#), true),
        (limits(r#", "key": [{"cookie": "sid"}]"#), true),
        (limits(r#", "key": [{"query": "key"}]"#), true),
        (limits(r#", "key": ["method"]"#), true),
        (limits(r#", "key": ["host"]"#), true),
        (limits(r#", "key": [{"body": "user"}]"#), true),
        (limits(r#", "match": {"path": "/"}"#), true),
        (limits(r#", "cost": {"header": "x-cost"}"#), true),
        (limits(r#", "cost": {"body": "1KiB"}"#), true),
        (all(r#""exempt": [{"match": {"path": "/health"}}]"#), true),
        (all(r#""client_address": {"trusted_hops": 1}"#), true),
        (r#"{"limits": [{"id": "a", "failures": {"allowed": 1, "lock": "1m"}}]}"#.to_owned(), true),
    ] {
        let proxy = start(host(), &configuration);
        proxy.host.fail("proxy_get_header_map_pairs", 10);
        assert_eq!(proxy.get(&GET).status(), if reads { 503 } else { 200 }, "{configuration}");
    }
}

#[test]
fn a_refusal_is_grpc_s_where_the_fields_of_a_request_were_not_needed_before() {
    let proxy = start(host(), TWO);
    let call = [
        ("content-type", "application/grpc"),
        (":method", "POST"),
        (":path", "/a.B/C"),
        (":authority", "api.test"),
    ];
    assert_eq!(statuses(&proxy, 2), [200, 200]);
    let Ended::Replied(reply) = proxy.get(&call) else { panic!("expected a refusal") };
    assert_eq!((reply.status, reply.grpc_status), (200, Some(8)));
    proxy.host.fail("proxy_get_header_map_pairs", 10);
    assert_eq!(proxy.get(&call).status(), 429, "refused all the same");
}
