use portcullis_core::identity::Property;
use portcullis_core::{Headers, Identity, UnixTime};
use portcullis_host::fake::{FakeHost, FakeProxy};
use portcullis_host::{CallId, Exchange, GrpcCall, HttpCall, SharedValue};
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
        let (mut exchange, mut edits) = (Exchange::default(), Vec::new());
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
