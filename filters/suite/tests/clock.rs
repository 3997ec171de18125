//! Clocks that jump, stand still and run backwards: every filter in one chain, with keys to fetch.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a failed unwrap is a failed test"
)]

use portcullis_core::UnixTime;
use portcullis_core::headers::Headers;
use portcullis_host::fake::{FakeHost, FakeProxy};
use portcullis_jose::testing::R1;
use portcullis_suite::plugin::configure;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn proxy() -> FakeProxy {
    let remote = json!({"url": "http://idp.test/jwks", "cluster": "idp"});
    let config = json!({"filters": [
        {"filter": "header-guard"},
        {"filter": "audit"},
        {"filter": "rate-limit", "config": {"limits": [{"id": "a", "requests": 3, "per": "1h"}]}},
        {"filter": "jwt-auth", "config": {
            "providers": [
                {"name": "a", "issuer": "https://a.test/", "audiences": ["x"], "jwks": {"inline": portcullis_jose::testing::jwks(&[&R1])}},
                {"name": "b", "issuer": "https://b.test/", "audiences": ["x"], "jwks": {"remote": remote}},
            ],
        }},
    ]});
    let host = FakeHost::at(NOW);
    host.set("source.address", "192.0.2.1:40000");
    host.clusters.borrow_mut().push("idp".into());
    let chain = configure(config.to_string().as_bytes(), &host).unwrap();
    FakeProxy::start_chain(host, chain)
}

/// The status of the answer, and the event.
fn send(proxy: &FakeProxy, token: &str) -> (Option<u64>, Value) {
    let head = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/orders"),
        (":authority", "api.test"),
        ("authorization", token),
    ];
    let head: Headers = head.into_iter().collect();
    proxy.exchange(head, [(":status", "200")].into_iter().collect());
    let event: Value = serde_json::from_slice(&proxy.host.properties.borrow()["portcullis.audit"]).unwrap();
    (event["status"].as_u64(), event)
}

// covers: HOST-CTX-10
#[test]
fn no_duration_is_negative_and_no_answer_strange_whatever_the_clock_does() {
    let token = |issuer: &str| {
        let claims = json!({"iss": issuer, "aud": "x", "sub": "u", "iat": NOW, "exp": NOW + 300});
        format!("Bearer {}", R1.token(&claims))
    };
    for step in [0, 1, -1, HOUR, -HOUR, i64::MAX, i64::MIN] {
        let proxy = proxy();
        proxy.host.time_step.set(step);
        for nanos in [NOW * 1_000_000_000, 0, u64::MAX, (NOW - 3_600) * 1_000_000_000] {
            proxy.host.time.set(Some(UnixTime::from_nanos(nanos)));
            for issuer in ["https://a.test/", "https://b.test/"] {
                let (status, event) = send(&proxy, &token(issuer));
                // 200 also stands for the upstream's answer to a request that waits for keys.
                assert!(matches!(status, Some(200 | 401 | 429 | 503)), "{step} at {nanos}: {event}");
                for (filter, took) in event["filters_us"].as_object().unwrap() {
                    let took = took.as_u64().unwrap();
                    assert!(step > 0 || took == 0, "{step} at {nanos}: {filter} took {took} us");
                }
            }
            proxy.tick();
        }
    }
}

// covers: HOST-CTX-10
#[test]
fn a_clock_that_steps_back_gives_no_tokens_and_takes_none() {
    let proxy = proxy();
    let token = format!(
        "Bearer {}",
        R1.token(&json!({"iss": "https://a.test/", "aud": "x", "sub": "u", "exp": NOW + 300}))
    );
    let mut statuses = Vec::new();
    // By the hour in which a bucket fills.
    for seconds in [NOW, NOW, NOW - 3_600, NOW - 3_600, NOW - 3_599, NOW - 2_400] {
        proxy.host.time.set(Some(UnixTime::from_secs(seconds)));
        statuses.push(send(&proxy, &token).0);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 200].map(Some));
}
