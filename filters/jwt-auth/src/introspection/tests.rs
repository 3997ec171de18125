use portcullis_core::{Headers, Identity};
use portcullis_host::fake::FakeHost;
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(NOW.saturating_add(seconds))
}

fn host() -> FakeHost {
    let host = FakeHost::at(NOW);
    host.clusters.borrow_mut().push("idp".into());
    host.environment.borrow_mut().insert("SECRET".into(), "p w:/".into());
    host
}

fn config() -> Value {
    json!({"url": "http://idp.test/introspect", "cluster": "idp", "client_id": "api",
        "client_secret": {"env": "SECRET"}})
}

fn introspector(host: &FakeHost) -> Introspector {
    let policy = IntrospectionPolicy::new(serde_json::from_value(config()).unwrap(), host).unwrap();
    Introspector::new(policy, 100, [7; 16])
}

fn accept(claims: Map<String, Value>) -> Result<Accepted, Refusal> {
    if claims.get("sub").is_none() {
        return Err(Rejection::ClaimsInvalid.into());
    }
    let identity = Identity { claims, ..Identity::default() };
    Ok(Accepted { identity: Rc::new(identity), validity: None, source: 0, fields: vec![] })
}

fn answer(status: &str, body: &str) -> HttpAnswer {
    let headers: Headers = [(":status", status)].into_iter().collect();
    HttpAnswer { headers, body: Some(body.as_bytes().to_vec()) }
}

fn pending(judged: &Introspected) -> CallId {
    match judged {
        Introspected::Pending(id) => *id,
        other => panic!("{other:?}"),
    }
}

fn reason(judged: &Introspected) -> &'static str {
    match judged {
        Introspected::Known(_) => "",
        Introspected::Pending(_) => "pending",
        Introspected::Refused(refusal) => refusal.reason().as_str(),
    }
}

#[test]
fn the_token_and_the_secret_go_to_the_issuer_alone() {
    let host = host();
    let introspector = introspector(&host);
    let id = pending(&introspector.judge(b"opaque+token/1", &host, at(0)));
    assert_eq!(pending(&introspector.judge(b"opaque+token/1", &host, at(0))), id, "asked once");
    let call = host.calls.borrow()[0].clone();
    assert_eq!((call.cluster.as_str(), call.path.as_str()), ("idp", "/introspect"));
    introspector.answered(id, &answer("500", ""), &host, at(0), accept);
    let logs = host.logs.borrow().join("\n");
    assert!(
        !logs.contains("opaque")
            && !logs.contains("p w")
            && !format!("{:?}", introspector.policy).contains("Basic")
    );
    // RFC 6749 section 2.3.1: `api` and `p%20w%3A%2F`, base64.
    assert_eq!(introspector.policy.authorization, format!("Basic {}", STANDARD.encode("api:p%20w%3A%2F")));
}

#[test]
fn an_active_token_is_remembered_for_its_time() {
    let host = host();
    let introspector = introspector(&host);
    let id = pending(&introspector.judge(b"token", &host, at(0)));
    introspector.answered(id, &answer("200", r#"{"active": true, "sub": "u1"}"#), &host, at(0), accept);
    assert_eq!(reason(&introspector.judge(b"token", &host, at(29))), "");
    assert_eq!(reason(&introspector.judge(b"tokem", &host, at(29))), "pending", "another token");
    assert_eq!(reason(&introspector.judge(b"token", &host, at(30))), "pending", "asked again");
}

#[test]
fn only_true_is_active() {
    for (body, expected) in [
        (r#"{"active": false}"#, "jwt.inactive"),
        (r#"{"active": false, "sub": "u1"}"#, "jwt.inactive"),
        (r#"{"active": true}"#, "jwt.claims_invalid"),
        (r#"{"active": "true", "sub": "u1"}"#, "jwt.introspection_unavailable"),
        (r#"{"active": 1, "sub": "u1"}"#, "jwt.introspection_unavailable"),
        (r#"{"active": null, "sub": "u1"}"#, "jwt.introspection_unavailable"),
        (r#"{"sub": "u1"}"#, "jwt.introspection_unavailable"),
        (r#"{"active": false, "active": true, "sub": "u1"}"#, "jwt.introspection_unavailable"),
        (r#"[{"active": true}]"#, "jwt.introspection_unavailable"),
        ("<html>", "jwt.introspection_unavailable"),
        ("", "jwt.introspection_unavailable"),
    ] {
        let host = host();
        let introspector = introspector(&host);
        let id = pending(&introspector.judge(b"token", &host, at(0)));
        introspector.answered(id, &answer("200", body), &host, at(0), accept);
        assert_eq!(reason(&introspector.judge(b"token", &host, at(0))), expected, "{body}");
    }
}

#[test]
fn an_inactive_token_is_asked_again_soon() {
    let host = host();
    let introspector = introspector(&host);
    let id = pending(&introspector.judge(b"token", &host, at(0)));
    introspector.answered(id, &answer("200", r#"{"active": false}"#), &host, at(0), accept);
    assert_eq!(reason(&introspector.judge(b"token", &host, at(4))), "jwt.inactive");
    assert_eq!(reason(&introspector.judge(b"token", &host, at(5))), "pending");
}

#[test]
fn an_issuer_that_fails_is_left_alone_for_a_while() {
    let host = host();
    let introspector = introspector(&host);
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let id = pending(&introspector.judge(b"token", &host, at(now)));
        let failure = if wait == 2 { HttpAnswer::default() } else { answer("503", "") };
        introspector.answered(id, &failure, &host, at(now), accept);
        let before = host.calls.borrow().len();
        let judged = introspector.judge(b"other", &host, at(now + wait - 1));
        assert_eq!(reason(&judged), "jwt.introspection_unavailable", "{wait}");
        assert_eq!(host.calls.borrow().len(), before, "not asked");
        now += wait;
    }
    let id = pending(&introspector.judge(b"token", &host, at(now)));
    introspector.answered(id, &answer("200", r#"{"active": true, "sub": "u1"}"#), &host, at(now), accept);
    assert_eq!(reason(&introspector.judge(b"other", &host, at(now))), "pending", "well again");
}

#[test]
fn questions_that_fail_together_count_once() {
    let host = host();
    let introspector = introspector(&host);
    let ask = |token: &str, now| pending(&introspector.judge(token.as_bytes(), &host, at(now)));
    let fail = |id, now| introspector.answered(id, &HttpAnswer::default(), &host, at(now), accept);
    let burst: Vec<_> = (0..10).map(|number| ask(&format!("token-{number}"), number / 5)).collect();
    for id in burst {
        fail(id, 2);
    }
    assert_eq!(reason(&introspector.judge(b"other", &host, at(2))), "jwt.introspection_unavailable");
    // After one second, and the next failure is the second: two seconds.
    fail(ask("other", 3), 3);
    assert_eq!(reason(&introspector.judge(b"other", &host, at(4))), "jwt.introspection_unavailable");
    ask("other", 5);
}

#[test]
fn an_answer_is_remembered_for_a_second_at_least() {
    let host = host();
    for member in ["cache", "negative_cache"] {
        for (span, expected) in
            [("0s", false), ("999ms", false), ("1s", true), ("1h", true), ("3601s", false)]
        {
            let mut config = config();
            config[member] = json!(span);
            let policy = IntrospectionPolicy::new(serde_json::from_value(config).unwrap(), &host);
            assert_eq!(policy.is_ok(), expected, "{member} {span}");
        }
    }
}

#[test]
fn calls_in_flight_are_bounded_and_given_up() {
    let host = host();
    let introspector = introspector(&host);
    let first = pending(&introspector.judge(b"token-0", &host, at(0)));
    for number in 1..MAX_IN_FLIGHT {
        pending(&introspector.judge(format!("token-{number}").as_bytes(), &host, at(0)));
    }
    assert_eq!(reason(&introspector.judge(b"one more", &host, at(0))), "jwt.malformed", "a space");
    assert_eq!(reason(&introspector.judge(b"one-more", &host, at(0))), "jwt.introspection_unavailable");
    // The deadline is 2 s, and the proxy has a second to say so.
    assert!(introspector.is_pending(first, at(2)) && !introspector.is_pending(first, at(3)));
    assert_eq!(reason(&introspector.judge(b"one-more", &host, at(3))), "pending");
    // A late answer to a question that was given up changes nothing.
    introspector.answered(first, &answer("200", r#"{"active": true, "sub": "u1"}"#), &host, at(3), accept);
    assert_eq!(reason(&introspector.judge(b"token-0", &host, at(3))), "pending");
}
