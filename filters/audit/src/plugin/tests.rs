use portcullis_core::headers::Headers;
use portcullis_core::identity::Property;
use portcullis_core::{Denial, Identity, Reason};
use portcullis_host::Chain;
use portcullis_host::fake::{FakeHost, FakeProxy};
use serde_json::{Value, json};

use super::*;

fn host() -> FakeHost {
    let host = FakeHost::at(1_795_512_600);
    host.set("source.address", "192.0.2.1:4711");
    host.set("response.code", 200_i64.to_le_bytes());
    host.set("response.code_details", "via_upstream");
    host.set("request.duration", 1_500_000_i64.to_le_bytes());
    host
}

fn audit(config: &str) -> Rc<dyn Plugin> {
    configure(config.as_bytes(), &FakeHost::default()).unwrap()
}

fn event(proxy: &FakeProxy) -> Value {
    serde_json::from_slice(proxy.host.properties.borrow().get(PROPERTY).unwrap()).unwrap()
}

const GET: [(&str, &str); 3] = [(":method", "GET"), (":authority", "api.test"), (":path", "/orders/7?a=b")];

/// A filter that refuses or lets pass, knows the caller, and names the operation.
struct Judge {
    denial: Option<Denial>,
}

impl Plugin for Judge {
    fn name(&self) -> &'static str {
        "jwt-auth"
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Judging(self))
    }
}

struct Judging(Rc<Judge>);

impl Filter for Judging {
    fn on_request_headers(&mut self, _: &Request, ctx: &mut Ctx<'_>) -> Flow {
        ctx.set_operation("getOrder");
        ctx.set_identity(Identity { subject: "alice".into(), ..Identity::default() });
        self.0.denial.clone().map_or(Flow::Continue, Flow::from)
    }
}

#[test]
fn a_request_that_passed_has_one_event() {
    let proxy = FakeProxy::start(host(), audit("{}"));
    proxy.get(&GET);
    let event = event(&proxy);
    for (name, expected) in [
        ("id", json!("0707070707070707-1")),
        ("time", json!("2026-11-24T09:30:00.000Z")),
        ("type", json!("api_access")),
        ("outcome", json!("allowed")),
        ("answered_by", json!("upstream")),
        ("status", json!(200)),
        ("method", json!("GET")),
        ("path", json!("/orders/7")),
        ("authority", json!("api.test")),
        ("source", json!("192.0.2.1")),
        ("duration_us", json!(1500)),
        ("verdicts", json!([])),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    for absent in
        ["reason", "details", "identity", "flags", "bytes_in", "upstream", "tls", "headers", "truncated"]
    {
        assert_eq!(event.get(absent), None, "{absent}");
    }
}

// covers: AUD-FLD-08
#[test]
fn events_of_a_worker_are_counted() {
    let proxy = FakeProxy::start(host(), audit("{}"));
    for expected in 1..4 {
        proxy.get(&GET);
        assert_eq!(event(&proxy)["sequence"], expected);
    }
}

// covers: AUD-FLD-11
#[test]
fn in_a_chain_verdicts_pass_in_memory() {
    let denial = Denial::new(401, Reason("jwt.expired"), "Unauthorized").by_rule("main");
    let chain = |denial| Chain::new(vec![audit("{}"), Rc::new(Judge { denial })], false);

    let proxy = FakeProxy::start_chain(host(), chain(Some(denial)));
    proxy.host.set("response.code", 401_i64.to_le_bytes());
    // What another VM says must not matter.
    proxy.host.set("portcullis.verdict.rate-limit", "deny rate.exceeded");
    proxy.get(&GET);
    let refused = event(&proxy);
    assert_eq!(
        (&refused["answered_by"], &refused["reason"], &refused["rule"]),
        (&json!("jwt-auth"), &json!("jwt.expired"), &json!("main"))
    );
    assert_eq!((&refused["type"], &refused["operation"]), (&json!("authn_login_fail"), &json!("getOrder")));
    assert_eq!(refused["identity"], json!({"sub": "alice"}));
    assert_eq!(
        refused["verdicts"],
        json!([{"filter": "jwt-auth", "outcome": "deny", "reason": "jwt.expired", "rule": "main"}])
    );
    assert!(refused["filters_us"].get("jwt-auth").is_some());

    let proxy = FakeProxy::start_chain(host(), chain(None));
    proxy.get(&GET);
    assert_eq!(event(&proxy)["verdicts"], json!([{"filter": "jwt-auth", "outcome": "allow"}]));
}

// covers: AUD-FLD-11
#[test]
fn between_modules_verdicts_pass_through_filter_state() {
    let proxy = FakeProxy::start(host(), audit("{}"));
    proxy.host.set("response.code", 429_i64.to_le_bytes());
    proxy.host.set("response.code_details", "");
    proxy.host.set("portcullis.verdict.jwt-auth", "allow");
    proxy.host.set("portcullis.verdict.rate-limit", "deny rate.exceeded per client");
    proxy.host.set("portcullis.operation", "getOrder");
    let mut identity = Identity { issuer: "i".into(), subject: "alice".into(), ..Identity::default() };
    identity.publish(&[Property::Identity], None);
    for (name, value) in identity.properties {
        proxy.host.set(&name, value);
    }
    proxy.get(&GET);
    let event = event(&proxy);
    for (name, expected) in [
        ("answered_by", json!("rate-limit")),
        ("reason", json!("rate.exceeded")),
        ("rule", json!("per client")),
        ("type", json!("excess_rate_limit_exceeded")),
        ("operation", json!("getOrder")),
        ("identity", json!({"iss": "i", "sub": "alice"})),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    assert_eq!(event["verdicts"].as_array().unwrap().len(), 2);
}

// covers: ENV-LIFE-06, AUD-FLD-06, AUD-DEL-09
#[test]
fn the_end_of_a_stream_that_nobody_saw_is_an_event() {
    for (failing, code) in [(false, Some(400)), (false, None), (true, None)] {
        let proxy = FakeProxy::start(FakeHost::at(0), audit(r#"{"fields": ["bytes", "upstream", "tls"]}"#));
        if let Some(code) = code {
            proxy.host.set("response.code", i64::from(code).to_le_bytes());
            proxy.host.set("response.code_details", "http1.codec_error");
            proxy.host.set("response.flags", 262_144_i64.to_le_bytes());
        }
        if failing {
            for call in
                ["proxy_get_property", "proxy_get_header_map_pairs", "proxy_get_current_time_nanoseconds"]
            {
                proxy.host.fail(call, 10);
            }
        }
        proxy.log_alone();
        let event = event(&proxy);
        assert_eq!((&event["method"], &event["path"]), (&json!("unknown"), &json!("unknown")));
        match code {
            Some(_) => assert_eq!((&event["answered_by"], &event["flags"]), (&json!("proxy"), &json!("DPE"))),
            None => assert_eq!(event["outcome"], json!("unknown")),
        }
    }
}

#[test]
fn an_interim_response_is_no_answer() {
    for (code, expected) in [(0, None), (100, None), (103, None), (101, Some(101)), (200, Some(200))] {
        let proxy = FakeProxy::start(host(), audit("{}"));
        proxy.host.set("response.code", i64::from(code).to_le_bytes());
        proxy.get(&GET);
        assert_eq!(event(&proxy).get("status").and_then(Value::as_i64), expected, "{code}");
    }
}

#[test]
fn more_is_written_when_asked_for() {
    let proxy = FakeProxy::start(
        host(),
        audit(
            r#"{"fields": ["bytes", "flags", "path", "protocol", "tls", "upstream"], "headers": ["User-Agent"]}"#,
        ),
    );
    for (path, value) in [
        ("request.size", 5_i64.to_le_bytes().to_vec()),
        ("response.size", 6_i64.to_le_bytes().to_vec()),
        ("response.flags", 2_i64.to_le_bytes().to_vec()),
        ("request.protocol", b"HTTP/1.1".to_vec()),
        ("connection.tls_version", b"TLSv1.3".to_vec()),
        ("upstream.address", b"10.0.0.1:80".to_vec()),
        ("xds.cluster_name", b"orders".to_vec()),
        ("portcullis.operation", b"getOrder".to_vec()),
    ] {
        proxy.host.set(path, value);
    }
    let headers: Headers = GET.iter().chain(&[("user-agent", "curl/8")]).copied().collect();
    proxy.request(headers, b"");
    let event = event(&proxy);
    for (name, expected) in [
        ("bytes_in", json!(5)),
        ("bytes_out", json!(6)),
        ("flags", json!("UH")),
        ("path", json!("/orders/7")),
        ("protocol", json!("HTTP/1.1")),
        ("tls", json!("TLSv1.3")),
        ("upstream", json!("10.0.0.1:80")),
        ("cluster", json!("orders")),
        ("headers", json!({"user-agent": "curl/8"})),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
}

// covers: AUD-DEL-02
#[test]
fn a_lost_event_is_complained_about_once_and_stops_nothing() {
    let proxy = FakeProxy::start(host(), audit("{}"));
    proxy.host.fail("proxy_set_property", 10);
    for _ in 0..3 {
        assert_eq!(proxy.get(&GET).status(), 200);
    }
    let complaints =
        proxy.host.logs.borrow().iter().filter(|line| line.starts_with("events are lost")).count();
    assert_eq!(complaints, 1);
}

#[test]
fn traffic_goes_on_when_the_proxy_hides_the_request() {
    let proxy = FakeProxy::start(host(), audit("{}"));
    proxy.host.fail("proxy_get_header_map_pairs", 10);
    assert_eq!(proxy.get(&GET).status(), 200);
    assert_eq!(event(&proxy)["method"], json!("unknown"));
}
