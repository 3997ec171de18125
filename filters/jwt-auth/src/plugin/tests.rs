use portcullis_core::verdict::Outcome;
use portcullis_core::{Headers, UnixTime};
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use portcullis_jose::testing::{E1, E2, OTHER, R1, R2, SigningKey, jwks};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

fn claims() -> Value {
    json!({"iss": "https://issuer.test/", "aud": "api://orders", "sub": "u1", "exp": NOW + 300, "iat": NOW, "scope": "orders:read"})
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn provider(jwks: Value) -> Value {
    json!({
        "name": "main",
        "issuer": "https://issuer.test/",
        "audiences": ["api://orders"],
        "jwks": jwks,
        "claims_to_headers": [{"claim": "sub", "header": "x-user-id"}]
    })
}

fn config() -> Value {
    json!({
        "realm": "orders",
        "providers": [provider(json!({"inline": jwks(&[&R1, &E1])}))],
        "rules": [
            {"id": "health", "match": {"path": "/health"}, "require": "none"},
            {"id": "trial", "match": {"path": "/trial"}, "mode": "report"}
        ]
    })
}

fn remote_config(on_error: &str) -> Value {
    let remote = json!({"remote": {"url": "http://idp.test/jwks", "cluster": "idp"}});
    json!({"on_error": on_error, "providers": [provider(remote)]})
}

fn start_on(host: FakeHost, config: &Value) -> FakeProxy {
    host.clusters.borrow_mut().push("idp".into());
    let plugin = configure(config.to_string().as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

fn start(config: &Value) -> FakeProxy {
    start_on(FakeHost::at(NOW), config)
}

fn get_with(proxy: &FakeProxy, path: &str, fields: &[(&str, &str)]) -> Ended {
    let head = [(":method", "GET"), (":path", path), (":authority", "api.test")];
    proxy.get(&[&head[..], fields].concat())
}

fn get(proxy: &FakeProxy, token: &str) -> Ended {
    get_with(proxy, "/orders", &[("authorization", &format!("Bearer {token}"))])
}

fn passed(ended: Ended) -> Headers {
    match ended {
        Ended::Passed(headers) => headers,
        other => panic!("{other:?}"),
    }
}

/// The answer and the reason that audit gets; what the client sees of it is another test.
fn assert_refused(proxy: &FakeProxy, ended: &Ended, status: u16, reason: &str) {
    let verdicts = proxy.verdicts();
    let found = verdicts.last().and_then(|verdict| verdict.reason).map_or("", |reason| reason.as_str());
    assert_eq!((ended.status(), found), (status, reason), "{ended:?}");
}

/// Answers the last fetch.
fn answer(proxy: &FakeProxy, status: u16, body: &Value) {
    let headers = [(":status", status.to_string())].into_iter().collect();
    answer_with(proxy, HttpAnswer { headers, body: Some(body.to_string().into_bytes()) });
}

fn answer_with(proxy: &FakeProxy, answer: HttpAnswer) {
    let call = proxy.host.calls.borrow().last().cloned().unwrap();
    proxy.answer(&call, &answer);
}

fn resume(proxy: &FakeProxy, ended: Ended) -> Ended {
    match ended {
        Ended::Waits(stream) => proxy.resume(stream),
        other => panic!("{other:?}"),
    }
}

fn calls(proxy: &FakeProxy) -> usize {
    proxy.host.calls.borrow().len()
}

fn at(proxy: &FakeProxy, seconds: u64) {
    proxy.host.time.set(Some(UnixTime::from_secs(NOW.saturating_add(seconds))));
}

#[test]
fn a_valid_token_passes_with_its_identity() {
    let proxy = start(&config());
    for key in [&R1, &E1] {
        for _ in 0..2 {
            let headers = passed(get(&proxy, &key.token(&claims())));
            assert_eq!(headers.single(b"x-user-id"), Ok(Some(&b"u1"[..])));
            assert!(headers.contains(b"authorization"));
        }
    }
    let properties = proxy.host.properties.borrow();
    assert!(properties.contains_key(portcullis_core::Identity::PROPERTY));
    assert!(!properties.contains_key("portcullis.identity.sub"), "only what is asked for");
}

// covers: JWT-LOC-01, JWT-LOC-02, JWT-LOC-03
#[test]
fn one_bearer_token_in_one_field() {
    let proxy = start(&config());
    let (valid, bad) = (format!("Bearer {}", R1.token(&claims())), "Bearer a.b.c".to_owned());
    let token = R1.token(&claims());
    for (name, values, status, reason) in [
        ("none", vec![], 401, "jwt.missing"),
        ("Basic", vec!["Basic dXNlcjpwYXNz".into()], 401, "jwt.missing"),
        ("lower case scheme", vec![valid.replace("Bearer", "bearer")], 200, ""),
        ("upper case scheme", vec![valid.replace("Bearer", "BEARER")], 200, ""),
        ("tab", vec![valid.replace(' ', "\t")], 401, "jwt.missing"),
        ("two spaces", vec![valid.replace(' ', "  ")], 401, "jwt.malformed"),
        ("scheme alone", vec!["Bearer".into()], 401, "jwt.malformed"),
        ("no space", vec![format!("Bearer{token}")], 401, "jwt.missing"),
        ("another scheme", vec![format!("JWT {token}")], 401, "jwt.missing"),
        ("joined by a comma", vec![format!("{valid}, {valid}")], 401, "jwt.malformed"),
        ("valid, then invalid", vec![valid.clone(), bad.clone()], 400, "jwt.multiple_credentials"),
        ("invalid, then valid", vec![bad, valid.clone()], 400, "jwt.multiple_credentials"),
        ("valid twice", vec![valid.clone(), valid.clone()], 400, "jwt.multiple_credentials"),
        ("Basic and valid", vec!["Basic x".into(), valid], 400, "jwt.multiple_credentials"),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("authorization", value.as_str())).collect();
        assert_refused(&proxy, &get_with(&proxy, "/orders", &fields), status, reason);
        let _ = name;
    }
}

// covers: JWT-LOC-04
#[test]
fn a_token_elsewhere_is_not_looked_at() {
    let proxy = start(&config());
    let path = format!("/orders?access_token={}", R1.token(&claims()));
    assert_refused(&proxy, &get_with(&proxy, &path, &[]), 401, "jwt.missing");
    let cookie = format!("access_token={}", R1.token(&claims()));
    assert_refused(&proxy, &get_with(&proxy, "/orders", &[("cookie", &cookie)]), 401, "jwt.missing");
}

// covers: JWT-LOC-11
#[test]
fn the_answer_says_what_the_standard_says_and_nothing_of_the_token() {
    let proxy = start(&config());
    for (token, challenge) in [
        (None, r#"Bearer realm="orders""#),
        (
            Some(R1.token(&claims_with("exp", json!(NOW - 60)))),
            r#"Bearer realm="orders", error="invalid_token""#,
        ),
        (Some("kid\"quoted".to_owned()), r#"Bearer realm="orders", error="invalid_token""#),
    ] {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut fields = vec![(":method", "GET"), (":path", "/a\"b"), (":authority", "a\"b")];
        fields.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let Ended::Replied(reply) = proxy.get(&fields) else { panic!("refused") };
        assert_eq!(reply.status, 401);
        assert_eq!(reply.headers.single(b"www-authenticate"), Ok(Some(challenge.as_bytes())));
        assert_eq!(reply.headers.single(b"cache-control"), Ok(Some(&b"no-store"[..])));
        assert!(!String::from_utf8(reply.body).unwrap().contains("quoted"));
    }
}

// covers: JWT-LOC-06, JWT-LOC-07
#[test]
fn a_clients_copies_of_our_fields_never_pass() {
    let proxy = start(&config());
    let authorization = format!("Bearer {}", R1.token(&claims()));
    let spoofed = [
        ("x-user-id", "admin"),
        ("x_user_id", "admin"),
        ("X-User-Id", "admin"),
        ("x.user.id", "admin"),
        ("x-user-id", "root"),
    ];
    for (path, token, expected) in [
        ("/orders", true, Some(&b"u1"[..])),
        ("/health", false, None),
        ("/health", true, None),
        ("/trial", false, None),
    ] {
        let mut fields = spoofed.to_vec();
        fields.extend(token.then_some(("authorization", authorization.as_str())));
        let headers = passed(get_with(&proxy, path, &fields));
        assert_eq!(headers.single(b"x-user-id"), Ok(expected), "{path}");
        for name in ["x_user_id", "X-User-Id", "x.user.id"] {
            assert!(!headers.contains(name.as_bytes()), "{path}: {name}");
        }
    }
}

// covers: JWT-LOC-08
#[test]
fn a_claim_can_not_forge_a_field() {
    let proxy = start(&config());
    for (subject, expected) in [
        (json!("u1\r\nX-Admin: 1"), None),
        (json!("u\0"), None),
        (json!(["u1"]), None),
        (json!({"a": 1}), None),
        (json!(7), None),
        (json!("Zoë"), Some(Some(&b"Zo%C3%AB"[..]))),
        (json!(""), Some(None)),
    ] {
        let ended = get(&proxy, &R1.token(&claims_with("sub", subject.clone())));
        match expected {
            None => assert_refused(&proxy, &ended, 401, "jwt.claims_invalid"),
            Some(value) => assert_eq!(passed(ended).single(b"x-user-id"), Ok(value), "{subject}"),
        }
    }
}

// covers: JWT-LOC-09
#[test]
fn the_token_stays_here_if_so_configured() {
    let mut config = config();
    config["providers"][0]["forward"] = json!(false);
    let proxy = start(&config);
    for _ in 0..2 {
        assert!(!passed(get(&proxy, &R1.token(&claims()))).contains(b"authorization"));
    }
}

// covers: JWT-LOC-12
#[test]
fn no_text_of_a_token_is_logged() {
    let proxy = start(&config());
    for header in [r#"{"alg":"X\n{fake}"}"#, r#"{"alg":"RS256","kid":"secret-kid"}"#, "{"] {
        let token = R1.sign_bytes(header.as_bytes(), claims().to_string().as_bytes());
        assert_eq!(get(&proxy, &token).status(), 401);
    }
    assert!(
        !proxy.host.logs.borrow().iter().any(|line| line.contains("fake") || line.contains("secret-kid"))
    );
}

// covers: JWT-CLM-03
#[test]
fn report_mode_notes_and_changes_nothing_else() {
    let proxy = start(&config());
    let expired = format!("Bearer {}", R1.token(&claims_with("iss", json!("https://evil.test/"))));
    passed(get_with(&proxy, "/trial", &[("authorization", &expired)]));
    let verdict = proxy.verdicts().pop().unwrap();
    assert_eq!((verdict.outcome, verdict.reason.unwrap().as_str()), (Outcome::Report, "jwt.issuer_unknown"));
    assert_eq!(verdict.rule.as_deref(), Some("trial"));
    assert_refused(
        &proxy,
        &get_with(&proxy, "/orders", &[("authorization", &expired)]),
        401,
        "jwt.issuer_unknown",
    );
}

// covers: JWT-ALG-28
#[test]
fn a_key_is_only_good_for_its_own_issuer() {
    let mut other = provider(json!({"inline": jwks(&[&R2])}));
    other["name"] = json!("other");
    other["issuer"] = json!("https://other.test/");
    other["jwks"]["inline"]["keys"][0]["kid"] = json!("r1");
    let mut config = config();
    config["providers"].as_array_mut().unwrap().push(other);
    let proxy = start(&config);
    // Both issuers have a key r1; this one is the other's.
    let foreign = R2.sign_bytes(R1.header().to_string().as_bytes(), claims().to_string().as_bytes());
    assert_refused(&proxy, &get(&proxy, &foreign), 401, "jwt.signature_invalid");
    let own = claims_with("iss", json!("https://other.test/")).to_string();
    let own = R2.sign_bytes(R1.header().to_string().as_bytes(), own.as_bytes());
    assert_eq!(get(&proxy, &own).status(), 200);
}

/// A proxy that verifies signatures, and how often it was asked to.
fn native_host() -> (FakeHost, Rc<Cell<u32>>) {
    let asked = Rc::new(Cell::new(0_u32));
    let host = FakeHost::at(NOW);
    let count = Rc::clone(&asked);
    let function = move |argument: &[u8]| {
        count.set(count.get().saturating_add(1));
        Ok(crate::native::tests::function(argument))
    };
    host.functions.borrow_mut().insert(FUNCTION.into(), Box::new(function));
    (host, asked)
}

/// Sends a token until it is remembered: with its second use.
fn remember(proxy: &FakeProxy, token: &str) {
    for _ in 0..2 {
        assert_eq!(get(proxy, token).status(), 200);
    }
}

#[test]
fn a_token_is_remembered_with_its_second_use() {
    let (host, asked) = native_host();
    let proxy = start_on(host, &config());
    let token = R1.token(&claims());
    for verified in [1, 1, 0, 0] {
        let before = asked.get();
        assert_eq!(get(&proxy, &token).status(), 200);
        assert_eq!(asked.get() - before, verified);
    }
}

// covers: JWT-CPU-03
#[test]
fn a_remembered_token_still_expires() {
    let proxy = start(&config());
    let token = R1.token(&claims());
    remember(&proxy, &token);
    at(&proxy, 329);
    assert_eq!(get(&proxy, &token).status(), 200);
    at(&proxy, 330);
    assert_refused(&proxy, &get(&proxy, &token), 401, "jwt.expired");
}

#[test]
fn without_a_clock_nothing_passes() {
    let proxy = start(&config());
    let token = R1.token(&claims());
    assert_eq!(get(&proxy, &token).status(), 200);
    proxy.host.time.set(None);
    assert_refused(&proxy, &get(&proxy, &token), 503, "jwt.clock_unavailable");
}

#[test]
fn the_proxys_own_verifier_is_used_if_it_works() {
    let (host, asked) = native_host();
    let proxy = start_on(host, &config());
    let probes = asked.get();
    assert!(probes > 0);
    let forged = OTHER.sign_bytes(R1.header().to_string().as_bytes(), claims().to_string().as_bytes());
    for key in [&R1, &E1] {
        assert_eq!(get(&proxy, &key.token(&claims())).status(), 200);
    }
    assert_refused(&proxy, &get(&proxy, &forged), 401, "jwt.signature_invalid");
    assert_eq!(asked.get() - probes, 3);
    // Gone at run time: judged in wasm, so what is forged is refused all the same.
    proxy.host.functions.borrow_mut().clear();
    assert_eq!(get(&proxy, &R1.token(&claims_with("jti", json!("new")))).status(), 200);
    assert_refused(&proxy, &get(&proxy, &forged), 401, "jwt.signature_invalid");
}

#[test]
fn keys_are_fetched_at_the_first_tick() {
    let proxy = start(&remote_config("deny"));
    assert_eq!(calls(&proxy), 0, "not at start: that instance may be gone before the answer");
    proxy.tick();
    assert_eq!((calls(&proxy), proxy.host.calls.borrow()[0].path.as_str()), (1, "/jwks"));
    answer(&proxy, 200, &jwks(&[&R1]));
    assert_eq!(get(&proxy, &R1.token(&claims())).status(), 200);
    at(&proxy, 599);
    proxy.tick();
    assert_eq!(calls(&proxy), 2, "refreshed after nearly ten minutes");
}

// covers: JWT-JWKS-02
#[test]
fn requests_wait_for_the_first_keys_in_bounded_number() {
    let proxy = start(&remote_config("deny"));
    let spoofed = [("authorization", &*format!("Bearer {}", R1.token(&claims()))), ("x-user-id", "admin")];
    let mut waiting: Vec<Ended> =
        (0..defaults::MAX_WAITING).map(|_| get_with(&proxy, "/orders", &spoofed)).collect();
    assert!(waiting.iter().all(|ended| ended.status() == 0));
    assert_eq!(calls(&proxy), 1, "one fetch for all of them");
    let refused = get_with(&proxy, "/orders", &spoofed);
    assert_refused(&proxy, &refused, 503, "jwt.keys_unavailable");
    let Ended::Replied(reply) = refused else { panic!("refused") };
    assert_eq!(reply.headers.single(b"retry-after"), Ok(Some(&b"1"[..])));
    proxy.host.replies.borrow_mut().clear();
    // One more tick before the answer: they wait on.
    let first = resume(&proxy, waiting.pop().unwrap());
    assert_eq!(first.status(), 0);
    answer(&proxy, 200, &jwks(&[&R1]));
    let headers = passed(resume(&proxy, first));
    assert_eq!(headers.single(b"x-user-id"), Ok(Some(&b"u1"[..])));
    drop(waiting);
    let unknown = get(&proxy, &E1.token(&claims()));
    assert_refused(&proxy, &unknown, 401, "jwt.unknown_key");
}

// covers: JWT-JWKS-03, JWT-JWKS-06, JWT-JWKS-12
#[test]
fn without_keys_the_answer_is_503_and_no_key_is_made_up() {
    let html =
        HttpAnswer { headers: [(":status", "200")].into_iter().collect(), body: Some(b"<html>".to_vec()) };
    let redirect = [(":status", "302"), ("location", "http://evil.test/")].into_iter().collect();
    let many = jwks(&vec![&*R1; 101]);
    let status = |status: &str, body: &Value| HttpAnswer {
        headers: [(":status", status)].into_iter().collect(),
        body: Some(body.to_string().into_bytes()),
    };
    for (name, answer) in [
        ("no answer", HttpAnswer::default()),
        ("500", status("500", &jwks(&[&R1]))),
        ("404", status("404", &jwks(&[&R1]))),
        ("204", status("204", &json!({}))),
        ("redirect", HttpAnswer { headers: redirect, body: Some(Vec::new()) }),
        ("HTML", html),
        ("no keys", status("200", &json!({}))),
        ("empty set", status("200", &json!({"keys": []}))),
        ("too many keys", status("200", &many)),
        ("too large", HttpAnswer { body: None, ..status("200", &json!({})) }),
    ] {
        let proxy = start(&remote_config("deny"));
        let waits = get(&proxy, &R1.token(&claims()));
        assert_eq!(waits.status(), 0, "{name}");
        answer_with(&proxy, answer.clone());
        assert_refused(&proxy, &resume(&proxy, waits), 503, "jwt.keys_unavailable");
        assert_refused(&proxy, &get(&proxy, &R1.token(&claims())), 503, "jwt.keys_unavailable");
        assert_eq!(calls(&proxy), 1, "{name}: no retry before its time");
        // A set that was good before is kept.
        at(&proxy, 2);
        proxy.tick();
        self::answer(&proxy, 200, &jwks(&[&R1]));
        at(&proxy, 700);
        proxy.tick();
        answer_with(&proxy, answer);
        let token = R1.token(&claims_with("exp", json!(NOW + 7200)));
        assert_eq!(get(&proxy, &token).status(), 200, "{name}");
        at(&proxy, 2 + 3599);
        assert_eq!(get(&proxy, &token).status(), 200, "{name}");
        at(&proxy, 2 + 3600);
        let ended = get(&proxy, &token);
        assert!(ended.status() == 0 || ended.status() == 503, "{name}: too old");
    }
}

// covers: JWT-JWKS-08
#[test]
fn a_new_key_is_fetched_by_its_first_token() {
    let proxy = start(&remote_config("deny"));
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R1]));
    at(&proxy, 30);
    let waits = get(&proxy, &R2.token(&claims()));
    assert_eq!((waits.status(), calls(&proxy)), (0, 2));
    answer(&proxy, 200, &jwks(&[&R1, &R2]));
    assert_eq!(resume(&proxy, waits).status(), 200);
    assert_eq!(get(&proxy, &R1.token(&claims())).status(), 200);
}

// covers: JWT-JWKS-01
#[test]
fn unknown_keys_cause_one_fetch_a_period() {
    let proxy = start(&remote_config("deny"));
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R1]));
    at(&proxy, 31);
    let unknown = |number: u32| {
        let header = json!({"alg": "RS256", "kid": format!("random-{number}")}).to_string();
        format!("{}.{}.AAAA", portcullis_jose::base64url::encode(header.as_bytes()), payload())
    };
    let waits = get(&proxy, &unknown(0));
    answer(&proxy, 200, &jwks(&[&R1]));
    assert_refused(&proxy, &resume(&proxy, waits), 401, "jwt.unknown_key");
    for number in 1..1_000 {
        assert_refused(&proxy, &get(&proxy, &unknown(number)), 401, "jwt.unknown_key");
    }
    assert_eq!(calls(&proxy), 2);
}

fn payload() -> String {
    portcullis_jose::base64url::encode(claims().to_string().as_bytes())
}

// covers: JWT-JWKS-09
#[test]
fn a_key_that_is_gone_takes_its_remembered_tokens_along() {
    let proxy = start(&remote_config("deny"));
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R1, &R2]));
    let token = R1.token(&claims_with("exp", json!(NOW + 7200)));
    remember(&proxy, &token);
    at(&proxy, 600);
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R2]));
    assert_refused(&proxy, &get(&proxy, &token), 401, "jwt.unknown_key");
}

/// Another worker of the same process: the same shared data.
fn second_worker(first: &FakeProxy, config: &Value) -> FakeProxy {
    let host = FakeHost::at(NOW);
    *host.shared.borrow_mut() = first.host.shared.borrow().clone();
    start_on(host, config)
}

fn share(from: &FakeProxy, to: &FakeProxy) {
    *to.host.shared.borrow_mut() = from.host.shared.borrow().clone();
}

// covers: JWT-JWKS-01, JWT-JWKS-02
#[test]
fn workers_share_one_fetch() {
    let config = remote_config("deny");
    let first = start(&config);
    first.tick();
    let second = second_worker(&first, &config);
    let waits = get(&second, &R1.token(&claims()));
    assert_eq!((waits.status(), calls(&second)), (0, 0), "the first worker fetches");
    answer(&first, 200, &jwks(&[&R1]));
    share(&first, &second);
    second.tick();
    assert_eq!(resume(&second, waits).status(), 200);
    // Started later: finds the set at once.
    let third = second_worker(&first, &config);
    assert_eq!((get(&third, &R1.token(&claims())).status(), calls(&third)), (200, 0));
    // A rotation that the first worker noticed is there for a token that comes to the second.
    at(&first, 40);
    at(&second, 40);
    let waits = get(&first, &E2.token(&claims()));
    answer(&first, 200, &jwks(&[&R1, &E2]));
    assert_eq!(resume(&first, waits).status(), 200);
    share(&first, &second);
    assert_eq!((get(&second, &E2.token(&claims())).status(), calls(&second)), (200, 0));
}

#[test]
fn a_worker_that_died_fetching_holds_nobody_up() {
    let config = remote_config("deny");
    let first = start(&config);
    first.tick();
    let second = second_worker(&first, &config);
    let waits = get(&second, &R1.token(&claims()));
    at(&second, 3);
    second.tick();
    assert_eq!(calls(&second), 1, "the lease is over");
    answer(&second, 200, &jwks(&[&R1]));
    assert_eq!(resume(&second, waits).status(), 200);
}

#[test]
fn who_waits_for_a_fetch_does_not_wait_for_the_next_one_too() {
    let config = remote_config("deny");
    let first = start(&config);
    first.tick();
    let second = second_worker(&first, &config);
    let waits = resume(&second, get(&second, &R1.token(&claims())));
    assert_eq!(waits.status(), 0);
    // The fetch runs into its deadline, and the next tick of the other worker begins another one.
    for proxy in [&first, &second] {
        at(proxy, 2);
    }
    answer_with(&first, HttpAnswer::default());
    share(&first, &second);
    second.tick();
    assert_eq!(calls(&second), 1);
    assert_refused(&second, &resume(&second, waits), 503, "jwt.keys_unavailable");
}

#[test]
fn without_shared_data_each_worker_fetches_for_itself() {
    let host = FakeHost::at(NOW);
    host.fail("proxy_get_shared_data", 10);
    host.fail("proxy_set_shared_data", 10);
    let proxy = start_on(host, &remote_config("deny"));
    let waits = get(&proxy, &R1.token(&claims()));
    answer(&proxy, 200, &jwks(&[&R1]));
    assert_eq!(resume(&proxy, waits).status(), 200);
}

#[test]
fn foreign_shared_data_is_not_believed() {
    let config = remote_config("deny");
    let proxy = start(&config);
    proxy.tick();
    let keys: Vec<String> = proxy.host.shared.borrow().keys().cloned().collect();
    for key in keys {
        proxy.host.shared.borrow_mut().insert(key, (b"garbage".to_vec(), 9));
    }
    answer(&proxy, 200, &jwks(&[&R1]));
    proxy.tick();
    assert_eq!(get(&proxy, &R1.token(&claims())).status(), 200);
}

// covers: JWT-JWKS-13
#[test]
fn late_foreign_and_second_answers_do_no_harm() {
    let proxy = start(&remote_config("deny"));
    drop(get(&proxy, &R1.token(&claims())));
    let call = proxy.host.calls.borrow()[0].clone();
    let mut foreign = call.clone();
    foreign.id = CallId(99);
    let set = |keys: &[&SigningKey]| HttpAnswer {
        headers: [(":status", "200")].into_iter().collect(),
        body: Some(jwks(keys).to_string().into_bytes()),
    };
    proxy.answer(&foreign, &set(&[&OTHER]));
    proxy.answer(&call, &set(&[&R1]));
    proxy.answer(&call, &set(&[&OTHER]));
    assert_eq!(
        get(&proxy, &R1.token(&claims())).status(),
        200,
        "the stream that asked is gone, its answer is not lost"
    );
    assert_refused(&proxy, &get(&proxy, &OTHER.token(&claims())), 401, "jwt.unknown_key");
}

// covers: JWT-JWKS-14
#[test]
fn one_provider_down_is_not_all_down() {
    let mut config = remote_config("deny");
    let mut other = provider(json!({"inline": jwks(&[&E1])}));
    other["name"] = json!("other");
    other["issuer"] = json!("https://other.test/");
    config["providers"].as_array_mut().unwrap().push(other);
    let proxy = start(&config);
    proxy.tick();
    answer_with(&proxy, HttpAnswer::default());
    assert_refused(&proxy, &get(&proxy, &R1.token(&claims())), 503, "jwt.keys_unavailable");
    assert_eq!(get(&proxy, &E1.token(&claims_with("iss", json!("https://other.test/")))).status(), 200);
}

#[test]
fn a_cluster_that_is_not_there_yet_is_tried_again() {
    let proxy = start(&remote_config("deny"));
    proxy.host.clusters.borrow_mut().clear();
    proxy.tick();
    assert_refused(&proxy, &get(&proxy, &R1.token(&claims())), 503, "jwt.keys_unavailable");
    proxy.host.clusters.borrow_mut().push("idp".into());
    at(&proxy, 1);
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R1]));
    assert_eq!(get(&proxy, &R1.token(&claims())).status(), 200);
}

#[test]
fn on_error_allow_only_forgives_what_the_token_is_not_to_blame_for() {
    let proxy = start(&remote_config("allow"));
    proxy.tick();
    answer_with(&proxy, HttpAnswer::default());
    let headers = passed(get(&proxy, &R1.token(&claims())));
    assert!(!headers.contains(b"x-user-id"));
    assert_eq!(proxy.verdicts().pop().unwrap().reason.unwrap().as_str(), "jwt.keys_unavailable");
    assert_refused(&proxy, &get(&proxy, &R1.token(&claims_with("exp", json!(NOW - 60)))), 401, "jwt.expired");
    assert_refused(&proxy, &get_with(&proxy, "/orders", &[]), 401, "jwt.missing");
}

// covers: JWT-ALG-22, JWT-ALG-23
#[test]
fn addresses_in_a_token_are_never_called() {
    let proxy = start(&remote_config("deny"));
    proxy.tick();
    answer(&proxy, 200, &jwks(&[&R1]));
    let with_address = |key: &SigningKey, name: &str, address: &str| {
        let mut header = R1.header();
        header[name] = json!(address);
        key.sign_bytes(header.to_string().as_bytes(), claims().to_string().as_bytes())
    };
    for (name, address) in [
        ("jku", "https://attacker.test/jwks.json"),
        ("x5u", "http://169.254.169.254/"),
        ("jku", "http://idp.test@attacker.test/jwks"),
    ] {
        assert_refused(
            &proxy,
            &get(&proxy, &with_address(&OTHER, name, address)),
            401,
            "jwt.signature_invalid",
        );
        assert_eq!(get(&proxy, &with_address(&R1, name, address)).status(), 200);
    }
    assert_eq!(calls(&proxy), 1);
}

// covers: JWT-ALG-05, JWT-ALG-06, JWT-JWKS-05, JWT-JWKS-07, JWT-JWKS-14
#[test]
fn keys_that_are_not_used_are_counted_and_the_others_work() {
    let proxy = start(&remote_config("deny"));
    proxy.tick();
    let metric = |name: &str| proxy.host.metrics.borrow()[&format!("portcullis.jwt_auth.{name}")];
    assert_eq!(metric("provider.main.keys"), 0);
    let mut encryption = R2.public_jwk();
    encryption["use"] = json!("enc");
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s"});
    let odd = [json!({"kty": "AKP"}), json!(5), json!(null), json!({"kty": "OKP", "crv": "X25519"})];
    let keys = [&odd[..], &[encryption, symmetric, R1.private_jwk()]].concat();
    answer(&proxy, 200, &json!({ "keys": keys }));
    assert_eq!(get(&proxy, &R1.token(&claims())).status(), 200);
    assert_refused(&proxy, &get(&proxy, &R2.token(&claims())), 401, "jwt.unknown_key");
    let counts = ["jwks_fetched", "keys_skipped", "private_keys", "provider.main.keys"].map(metric);
    assert_eq!(counts, [1, 6, 1, 1]);
    let secret = R1.private_jwk()["d"].as_str().unwrap().to_owned();
    assert!(!proxy.host.logs.borrow().iter().any(|line| line.contains(&secret)));
    at(&proxy, 600);
    proxy.tick();
    answer_with(&proxy, HttpAnswer::default());
    assert_eq!((metric("jwks_failed"), metric("provider.main.keys")), (1, 1));
    at(&proxy, 3600);
    proxy.tick();
    assert_eq!(metric("provider.main.keys"), 0, "too old");
}

/// The page of the documentation, so that its examples are configurations.
#[test]
fn the_examples_of_the_documentation_are_accepted() {
    let page = include_str!("../../../../docs/jwt-auth.md");
    let examples = portcullis_host::fake::fenced_blocks(page, "json");
    assert!(examples.len() >= 3);
    for example in examples {
        let result = configure(example.as_bytes(), &FakeHost::at(NOW));
        assert!(result.is_ok(), "{}\n{example}", result.err().unwrap());
    }
}

#[test]
fn a_proxy_without_randomness_gets_the_same_verdicts() {
    let host = FakeHost::at(NOW);
    host.fail("random_get", 12);
    let proxy = start_on(host, &config());
    let valid = R1.token(&claims());
    for _ in 0..3 {
        passed(get(&proxy, &valid));
        assert_refused(
            &proxy,
            &get(&proxy, &R1.token(&claims_with("exp", json!(NOW - 300)))),
            401,
            "jwt.expired",
        );
    }
}
