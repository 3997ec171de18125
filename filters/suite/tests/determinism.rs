//! The same requests to this native build and to the module in real Envoy: tests/e2e/determinism.json says what both
//! must answer, tests/e2e/test_determinism.py is the other half.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in tests a failed unwrap is a failed test"
)]

use std::collections::BTreeMap;

use portcullis_core::headers::Headers;
use portcullis_host::fake::{FakeHost, FakeProxy};
use portcullis_jose::testing::{self, R1};
use portcullis_suite::plugin::configure;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;

/// Text of the data as bytes: each character is one.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("latin-1")).collect()
}

/// The token that the data describe.
fn token(spec: &Value) -> String {
    let exp = NOW.checked_add_signed(spec["exp"].as_i64().unwrap()).unwrap();
    let audience = spec["aud"].as_str().unwrap_or("api://orders");
    R1.token(&json!({"iss": "https://issuer.test/", "aud": audience, "sub": "u1", "iat": NOW, "exp": exp}))
}

/// Sends a request as a proxy does; the status of the answer, its reason, and the event.
fn send(proxy: &FakeProxy, head: Headers, body: &[u8]) -> (u16, Value, Value) {
    let host = &proxy.host;
    *host.request_headers.borrow_mut() = head;
    *host.body.borrow_mut() = body.to_vec();
    host.replies.borrow_mut().clear();
    let mut stream = proxy.stream();
    stream.on_request_headers(host, body.is_empty());
    if !body.is_empty() && host.replies.borrow().is_empty() {
        stream.on_request_body(host, body.len(), true);
    }
    let reply = host.replies.borrow().last().cloned();
    let status = reply.as_ref().map_or(200, |reply| reply.status);
    let mut response = reply.as_ref().map(|reply| reply.headers.clone()).unwrap_or_default();
    response.set(b":status", status.to_string().as_bytes());
    *host.response_headers.borrow_mut() = response;
    stream.on_response_headers(host, true);
    stream.on_log(host);
    let event = serde_json::from_slice(&host.properties.borrow()["portcullis.audit"]).unwrap();
    let problem =
        reply.and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok()).unwrap_or_default();
    (status, problem["reason"].clone(), event)
}

// covers: HOST-OBS-03
#[test]
fn the_native_build_gives_the_answers_and_events_that_envoy_gives() {
    let data: Value = serde_json::from_str(include_str!("../../../tests/e2e/determinism.json")).unwrap();
    let host = FakeHost::at(NOW);
    // What Envoy says of a client on the loopback address, and of an answer that is the upstream's.
    host.set("source.address", "127.0.0.1:40000");
    host.set("response.code_details", "via_upstream");
    let config = data["config"].to_string().replace("\"${jwks:r1}\"", &testing::jwks(&[&R1]).to_string());
    let chain = configure(config.as_bytes(), &host).unwrap();
    let proxy = FakeProxy::start_chain(host, chain);
    let tokens: BTreeMap<String, String> = data["tokens"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, spec)| (format!("${{{name}}}"), token(spec)))
        .collect();

    for (number, request) in data["requests"].as_array().unwrap().iter().enumerate() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut head: Headers = [(":method", text(&request["method"])), (":scheme", "http".to_owned())]
            .into_iter()
            .chain([(":path", text(&request["path"])), (":authority", "api.test".to_owned())])
            .collect();
        for (name, value) in request["headers"].as_object().unwrap() {
            let value = tokens.iter().fold(text(value), |text, (name, token)| text.replace(name, token));
            head.append(name.as_bytes(), &latin1(&value));
        }
        let (status, reason, mut event) = send(&proxy, head, &latin1(&text(&request["body"])));
        for name in data["without"].as_array().unwrap() {
            event.as_object_mut().unwrap().remove(name.as_str().unwrap());
        }
        let answer = json!({"status": status, "reason": reason, "event": event});
        assert_eq!(answer, request["answer"], "request {number}: {} {}", request["method"], request["path"]);
    }
}
