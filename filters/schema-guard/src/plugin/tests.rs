//! The filter as a proxy runs it, and the examples of its page in docs/.

use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use serde_json::{Value, json};

use super::*;

fn proxy(config: &Value) -> FakeProxy {
    let host = FakeHost::at(0);
    let plugin = configure(config.to_string().as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

fn config(mode: &str) -> Value {
    json!({
        "document": {"openapi": "3.1.0", "paths": {"/orders": {"post": {
            "operationId": "createOrder",
            "requestBody": {"required": true, "content": {"application/json": {"schema": {
                "type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}
            }}}}
        }}}},
        "max_body": "100B",
        "rules": [{"id": "orders", "match": {"path": "/orders"}, "mode": mode}]
    })
}

fn send(proxy: &FakeProxy, body: &str) -> Ended {
    let fields = [(":method", "POST"), (":path", "/orders"), ("content-type", "application/json")];
    proxy.request(fields.into_iter().collect(), body.as_bytes())
}

#[test]
fn a_body_decides_when_it_is_whole() {
    let proxy = proxy(&config("enforce"));
    for (body, status, reason) in [
        (r#"{"sku": "A"}"#, 200, ""),
        (r#"{"sku": 5}"#, 400, "schema.invalid"),
        (r#"{"sku": "A", "role": "admin"}"#, 400, "schema.invalid"),
        ("", 400, "schema.body_missing"),
        ("{", 400, "schema.invalid_json"),
    ] {
        let ended = send(&proxy, body);
        assert_eq!((ended.status(), ended.reason().as_str()), (status, reason), "{body}");
    }
    assert_eq!(send(&proxy, &"x".repeat(101)).status(), 413, "a body over the limit, of unknown length");
    let property = proxy.host.properties.borrow().get("portcullis.operation").cloned();
    assert_eq!(property.as_deref(), Some(&b"createOrder"[..]));
    assert_eq!(
        proxy.verdicts().last().and_then(|verdict| verdict.rule.clone()),
        None,
        "the runner refused the last one"
    );
}

#[test]
fn a_refusal_lists_what_is_wrong() {
    let Ended::Replied(reply) = send(&proxy(&config("enforce")), r#"{"role": "admin"}"#) else {
        panic!("a reply is expected");
    };
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        problem["errors"],
        json!([
            {"location": "body", "pointer": "/sku", "rule": "required"},
            {"location": "body", "pointer": "/role", "rule": "additionalProperties"}
        ])
    );
}

#[test]
fn report_mode_changes_nothing_but_the_verdict() {
    let proxy = proxy(&config("report"));
    assert!(matches!(send(&proxy, r#"{"sku": 5}"#), Ended::Passed(_)));
    assert!(matches!(send(&proxy, ""), Ended::Passed(_)));
    let verdict = proxy.verdicts().pop().unwrap();
    assert_eq!(
        (verdict.reason.map(|reason| reason.0), verdict.rule.as_deref()),
        (Some("schema.body_missing"), Some("orders"))
    );
}

#[test]
fn off_mode_checks_nothing() {
    let proxy = proxy(&config("off"));
    assert!(matches!(send(&proxy, "{"), Ended::Passed(_)));
    assert!(proxy.host.properties.borrow().contains_key("portcullis.operation"));
}

#[test]
fn warnings_are_logged_up_to_a_bound() {
    let host = FakeHost::at(0);
    let paths: serde_json::Map<String, Value> = (0..12).map(|n| (format!("/a#{n}"), json!({}))).collect();
    configure(json!({"document": {"openapi": "3.1.0", "paths": paths}}).to_string().as_bytes(), &host)
        .unwrap();
    let logs = host.logs.borrow();
    assert_eq!(logs.len(), 11);
    assert_eq!(logs[10], "schema-guard: 2 more like these");
}

#[test]
fn the_examples_of_the_documentation_load() {
    let page = include_str!("../../../../docs/schema-guard.md");
    let mut examples = 0;
    for example in portcullis_host::fake::fenced_blocks(page, "json") {
        let host = FakeHost::at(0);
        if let Err(error) = configure(example.as_bytes(), &host) {
            panic!("{error} in {example}");
        }
        examples += 1;
    }
    assert!(examples >= 3, "{examples} examples");
}
