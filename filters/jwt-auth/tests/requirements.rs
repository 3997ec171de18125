//! What requests need, and where they carry it: the filter as a whole, on a host without Envoy.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use portcullis_core::Headers;
use portcullis_core::denial::LocalReply;
use portcullis_host::HttpAnswer;
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use portcullis_jose::testing::{E1, OTHER, R1, R2, SigningKey, jwks};
use portcullis_jwt_auth::plugin::configure;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const API_KEY: &str = "pk_1f0c6b1a2d3e4f5061728394a5b6c7d8";

fn claims() -> Value {
    json!({"iss": "https://issuer.test/", "aud": "api://orders", "sub": "u1", "exp": NOW + 300, "iat": NOW,
        "scope": "orders:read", "azp": "c1", "jti": "t1"})
}

fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn provider() -> Value {
    json!({"name": "main", "issuer": "https://issuer.test/", "audiences": ["api://orders"],
        "jwks": {"inline": jwks(&[&R1, &E1])}})
}

fn with(changes: &Value) -> Value {
    let mut provider = provider();
    for (name, value) in changes.as_object().unwrap() {
        provider[name] = value.clone();
    }
    provider
}

fn start(config: &Value) -> FakeProxy {
    let host = FakeHost::at(NOW);
    host.clusters.borrow_mut().push("idp".into());
    host.environment.borrow_mut().insert("SECRET".into(), "s3cret".into());
    let plugin = configure(config.to_string().as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

fn send(proxy: &FakeProxy, target: &str, fields: &[(&str, &str)]) -> Ended {
    let head = [(":method", "GET"), (":path", target), (":authority", "api.test"), (":scheme", "https")];
    proxy.get(&[&head[..], fields].concat())
}

fn passed(ended: Ended) -> Headers {
    match ended {
        Ended::Passed(headers) => headers,
        Ended::Replied(reply) => panic!("{reply:?}"),
        Ended::Waits(_) => panic!("waits"),
    }
}

fn refused(ended: Ended) -> LocalReply {
    match ended {
        Ended::Replied(reply) => reply,
        Ended::Passed(headers) => panic!("{headers:?}"),
        Ended::Waits(_) => panic!("waits"),
    }
}

/// The status, 200 for a request that passes, and the reason that audit gets.
fn outcome(proxy: &FakeProxy, ended: &Ended) -> (u16, String) {
    let reason = proxy.verdicts().last().and_then(|verdict| verdict.reason);
    (ended.status(), reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default())
}

fn answer(proxy: &FakeProxy, headers: &[(&str, &str)], body: &Value) {
    let call = proxy.host.calls.borrow().last().cloned().expect("a call");
    let headers = headers.iter().copied().collect();
    proxy.answer(&call, &HttpAnswer { headers, body: Some(body.to_string().into_bytes()) });
}

fn resume(proxy: &FakeProxy, ended: Ended) -> Ended {
    match ended {
        Ended::Waits(stream) => proxy.resume(stream),
        other => panic!("{other:?}"),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

// covers: JWT-LOC-04, JWT-LOC-05, JWT-LOC-09
#[test]
fn a_token_is_read_where_the_operator_says_and_taken_away_there() {
    let from = json!([{"header": "authorization"}, {"header": "x-token"}, {"cookie": "t"}, {"query": "access_token"}]);
    let proxy = start(&json!({"providers": [with(&json!({"from": from, "forward": false}))]}));
    let token = R1.token(&claims());
    let (authorization, cookie) = (bearer(&token), format!("a=1; t={token}; b=2"));
    let query = format!("/orders?page=2&access_token={token}");
    for (name, target, fields, gone) in [
        ("field", "/orders", &[("authorization", authorization.as_str())][..], "authorization"),
        ("another field", "/orders", &[("x-token", token.as_str())], "x-token"),
        ("cookie", "/orders", &[("cookie", cookie.as_str())], ""),
        ("query", query.as_str(), &[], ""),
    ] {
        let headers = passed(send(&proxy, target, fields));
        assert!(gone.is_empty() || !headers.contains(gone.as_bytes()), "{name}");
        let whole: Vec<u8> = headers.iter().flat_map(|(_, value)| value.to_vec()).collect();
        assert!(!String::from_utf8(whole).unwrap().contains(&token), "{name}");
    }
    assert_eq!(
        passed(send(&proxy, "/a", &[("cookie", &cookie)])).single(b"cookie"),
        Ok(Some(&b"a=1; b=2"[..]))
    );
    assert_eq!(passed(send(&proxy, &query, &[])).single(b":path"), Ok(Some(&b"/orders?page=2"[..])));
    let twice = format!("t={token}; t={token}");
    let encoded = query.replace('.', "%2E");
    for (name, target, fields, expected) in [
        ("cookie twice", "/orders", &[("cookie", twice.as_str())][..], (400, "jwt.multiple_credentials")),
        (
            "cookie and field",
            "/orders",
            &[("cookie", &cookie), ("authorization", &authorization)],
            (400, "jwt.multiple_credentials"),
        ),
        ("query and field", &query, &[("x-token", &token)], (400, "jwt.multiple_credentials")),
        ("query twice", &format!("{query}&access_token=x"), &[], (400, "jwt.multiple_credentials")),
        ("escaped", &encoded, &[], (401, "jwt.malformed")),
        ("quoted", "/orders", &[("cookie", &format!("t=\"{token}\""))], (401, "jwt.malformed")),
        ("a bad one", "/orders", &[("cookie", "t=bad")], (401, "jwt.malformed")),
    ] {
        let ended = send(&proxy, target, fields);
        assert_eq!(outcome(&proxy, &ended), (expected.0, expected.1.to_owned()), "{name}");
    }
}

// covers: JWT-CLM-11
#[test]
fn only_listed_clients_may_use_their_tokens() {
    let proxy = start(&json!({"providers": [with(&json!({"clients": ["c1"]}))]}));
    for (name, changes, expected) in [
        ("azp", json!({}), (200, "")),
        ("client_id", json!({"client_id": "c1", "azp": "c2"}), (200, "")),
        ("another azp", json!({"azp": "c2"}), (403, "jwt.client_not_allowed")),
        ("another client_id", json!({"client_id": "c2"}), (403, "jwt.client_not_allowed")),
        ("neither", json!({"azp": null}), (403, "jwt.client_not_allowed")),
        (
            "two audiences, no client",
            json!({"azp": null, "aud": ["x", "api://orders"]}),
            (403, "jwt.client_not_allowed"),
        ),
        ("a list", json!({"client_id": ["c1"]}), (401, "jwt.claims_invalid")),
    ] {
        let token = bearer(&R1.token(&claims_with(&changes)));
        // What is remembered after the second time is judged again.
        for _ in 0..3 {
            let ended = send(&proxy, "/orders", &[("authorization", &token)]);
            assert_eq!(outcome(&proxy, &ended), (expected.0, expected.1.to_owned()), "{name}");
        }
    }
}

#[test]
fn each_rule_says_which_credentials_it_takes() {
    let mut other =
        with(&json!({"name": "other", "issuer": "https://other.test/", "from": [{"header": "x-service"}]}));
    other["jwks"] = json!({"inline": jwks(&[&R2])});
    let hash = {
        // The hash of the key, as an operator makes it.
        use sha2::Digest as _;
        sha2::Sha256::digest(API_KEY).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let proxy = start(&json!({
        "providers": [provider(), other],
        "api_keys": [{"name": "keys", "keys": [{"id": "batch", "sha256": hash, "scopes": ["orders:write"]}]}],
        "rules": [
            {"id": "open", "match": {"path": "/open"}, "require": "none"},
            {"id": "optional", "match": {"path": "/optional"}, "require": "optional"},
            {"id": "main", "match": {"path": "/main"}, "require": {"any_of": ["main"]}},
            {"id": "keys", "match": {"path": "/keys"}, "require": {"any_of": ["keys"]}},
            {"id": "both", "match": {"path": "/both"}, "require": {"all_of": ["main", "other"]}},
            {"id": "write", "match": {"path": "/write"}, "scopes": ["orders:write"]}
        ]
    }));
    let user = bearer(&R1.token(&claims()));
    let bad = bearer(&OTHER.token(&claims()));
    let service = R2.token(&claims_with(&json!({"iss": "https://other.test/", "sub": "svc"})));
    let (user, bad) = (("authorization", user.as_str()), ("authorization", bad.as_str()));
    let (service, key) = (("x-service", service.as_str()), ("x-api-key", API_KEY));
    for (target, fields, expected) in [
        ("/open", &[bad][..], (200, "")),
        ("/optional", &[], (200, "")),
        ("/optional", &[user], (200, "")),
        ("/optional", &[bad], (401, "jwt.unknown_key")),
        ("/optional", &[("x-api-key", "wrong")], (401, "jwt.api_key_unknown")),
        ("/main", &[user], (200, "")),
        ("/main", &[service], (401, "jwt.missing")),
        ("/main", &[key], (401, "jwt.missing")),
        ("/keys", &[key], (200, "")),
        ("/keys", &[user], (401, "jwt.missing")),
        ("/both", &[user, service], (200, "")),
        ("/both", &[user], (401, "jwt.missing")),
        ("/both", &[service], (401, "jwt.missing")),
        ("/both", &[bad, service], (401, "jwt.unknown_key")),
        ("/orders", &[], (401, "jwt.missing")),
        ("/orders", &[user], (200, "")),
        ("/orders", &[service], (200, "")),
        ("/orders", &[key], (200, "")),
        ("/orders", &[user, key], (400, "jwt.multiple_credentials")),
        ("/orders", &[user, service], (400, "jwt.multiple_credentials")),
        ("/write", &[key], (200, "")),
        ("/write", &[user], (403, "jwt.insufficient_scope")),
    ] {
        let ended = send(&proxy, target, fields);
        assert_eq!(outcome(&proxy, &ended), (expected.0, expected.1.to_owned()), "{target} {fields:?}");
    }
    // A token in the wrong place is none of the provider that reads there.
    let swapped = R1.token(&claims());
    let ended = send(&proxy, "/orders", &[("x-service", &swapped)]);
    assert_eq!(outcome(&proxy, &ended), (401, "jwt.provider_not_accepted".to_owned()));
    assert!(!passed(send(&proxy, "/keys", &[key])).contains(b"x-api-key"), "keys stay here");
    let challenge = refused(send(&proxy, "/keys", &[])).headers;
    assert_eq!(challenge.single(b"www-authenticate"), Ok(Some(&br#"ApiKey realm="api""#[..])));
    let challenge = refused(send(&proxy, "/write", &[user])).headers;
    let expected = br#"Bearer realm="api", error="insufficient_scope", scope="orders:write""#;
    assert_eq!(challenge.single(b"www-authenticate"), Ok(Some(&expected[..])));
}

// covers: ENV-PROTO-13
#[test]
fn a_preflight_passes_where_the_operator_says_so() {
    let preflight = [("origin", "https://shop.test"), ("access-control-request-method", "PUT")];
    let options = |proxy: &FakeProxy, fields: &[(&str, &str)]| {
        let head = [(":method", "OPTIONS"), (":path", "/orders"), (":authority", "api.test")];
        proxy.get(&[&head[..], fields].concat()).status()
    };
    let proxy = start(&json!({"providers": [provider()], "cors_preflight": "pass"}));
    assert_eq!(options(&proxy, &preflight), 200);
    assert_eq!(options(&proxy, &preflight[..1]), 401, "no preflight");
    assert_eq!(options(&proxy, &[]), 401, "no preflight");
    assert_eq!(options(&proxy, &[preflight[0], preflight[0], preflight[1]]), 401, "two origins");
    assert_eq!(send(&proxy, "/orders", &preflight).status(), 401, "GET is none");
    let proxy = start(&json!({"providers": [provider()]}));
    assert_eq!(options(&proxy, &preflight), 401);
}

// covers: JWT-CPU-05, JWT-ALG-16
#[test]
fn a_token_that_was_taken_back_is_refused() {
    let mut other = with(&json!({"name": "other", "issuer": "https://other.test/"}));
    other["jwks"] = json!({"inline": jwks(&[&R2])});
    let main = with(&json!({"revocation": {"inline": ["t1"]}}));
    let proxy = start(&json!({"providers": [main, other]}));
    let judge = |key: &SigningKey, changes: Value| {
        let token = bearer(&key.token(&claims_with(&changes)));
        let ended = send(&proxy, "/orders", &[("authorization", &token)]);
        outcome(&proxy, &ended)
    };
    // Two signatures of one token: ECDSA is random, so these bytes differ.
    for _ in 0..2 {
        assert_eq!(judge(&E1, json!({})), (401, "jwt.revoked".to_owned()));
    }
    assert_eq!(judge(&R1, json!({"jti": "t2"})), (200, String::new()));
    assert_eq!(judge(&R1, json!({"jti": null})), (401, "jwt.not_revocable".to_owned()));
    assert_eq!(
        judge(&R2, json!({"iss": "https://other.test/"})),
        (200, String::new()),
        "another issuer's t1"
    );
}

// covers: JWT-CPU-05, JWT-CPU-03
#[test]
fn a_list_that_is_fetched_counts_for_remembered_tokens_too() {
    let remote =
        json!({"url": "http://idp.test/revoked", "cluster": "idp", "refresh": "10s", "max_stale": "60s"});
    let proxy = start(&json!({"providers": [with(&json!({"revocation": {"remote": remote}}))]}));
    let token = bearer(&R1.token(&claims()));
    let judge = || {
        let ended = send(&proxy, "/orders", &[("authorization", &token)]);
        outcome(&proxy, &ended)
    };
    assert_eq!(judge(), (503, "jwt.revocation_unavailable".to_owned()), "no list yet");
    answer(&proxy, &[(":status", "200")], &json!({"revoked": ["other"]}));
    assert_eq!(judge(), (200, String::new()));
    proxy.host.time.set(Some(portcullis_core::UnixTime::from_secs(NOW + 11)));
    proxy.tick();
    answer(&proxy, &[(":status", "200")], &json!({"revoked": ["other", "t1"]}));
    assert_eq!(judge(), (401, "jwt.revoked".to_owned()));
    // The list is gone for longer than it may be used.
    proxy.host.time.set(Some(portcullis_core::UnixTime::from_secs(NOW + 72)));
    assert_eq!(judge(), (503, "jwt.revocation_unavailable".to_owned()));
}

// covers: JWT-JWKS-11, JWT-JWKS-10
#[test]
fn keys_are_found_by_the_issuers_metadata() {
    let discovery =
        json!({"discovery": {"cluster": "idp", "url": "http://idp.test/.well-known/openid-configuration"}});
    let proxy = start(&json!({"providers": [with(&json!({"jwks": discovery}))]}));
    let token = bearer(&R1.token(&claims()));
    let waits = send(&proxy, "/orders", &[("authorization", &token)]);
    assert_eq!(proxy.host.calls.borrow().last().unwrap().path, "/.well-known/openid-configuration");
    answer(
        &proxy,
        &[(":status", "200")],
        &json!({"issuer": "https://issuer.test/", "jwks_uri": "http://idp.test/keys"}),
    );
    assert_eq!(proxy.host.calls.borrow().last().unwrap().path, "/keys");
    let waits = resume(&proxy, waits);
    answer(&proxy, &[(":status", "200"), ("cache-control", "max-age=60")], &jwks(&[&R1]));
    passed(resume(&proxy, waits));
    assert_eq!(proxy.host.calls.borrow().len(), 2);
    // Fresh for a minute, by its own words; a quarter earlier at most.
    proxy.host.time.set(Some(portcullis_core::UnixTime::from_secs(NOW + 44)));
    proxy.tick();
    assert_eq!(proxy.host.calls.borrow().len(), 2);
    proxy.host.time.set(Some(portcullis_core::UnixTime::from_secs(NOW + 61)));
    proxy.tick();
    assert_eq!(proxy.host.calls.borrow().len(), 3);
    // Metadata of another issuer: the keys stay.
    answer(
        &proxy,
        &[(":status", "200")],
        &json!({"issuer": "https://evil.test/", "jwks_uri": "http://idp.test/keys"}),
    );
    assert_eq!(proxy.host.calls.borrow().len(), 3);
    passed(send(&proxy, "/orders", &[("authorization", &token)]));
}

#[test]
fn opaque_tokens_are_judged_by_their_issuer() {
    let mut provider = provider();
    provider.as_object_mut().unwrap().remove("jwks");
    provider["introspection"] = json!({"url": "http://idp.test/introspect", "cluster": "idp", "client_id": "api",
        "client_secret": {"env": "SECRET"}});
    let proxy = start(&json!({"providers": [provider]}));
    let status = &[(":status", "200")][..];
    let active = |changes: &Value| {
        let mut claims = claims_with(changes);
        claims["active"] = json!(true);
        claims
    };
    for (name, body, expected) in [
        ("active", active(&json!({})), (200, "")),
        ("no issuer", active(&json!({"iss": null})), (200, "")),
        ("inactive", json!({"active": false}), (401, "jwt.inactive")),
        ("another issuer", active(&json!({"iss": "https://evil.test/"})), (401, "jwt.issuer_unknown")),
        ("another audience", active(&json!({"aud": "api://billing"})), (401, "jwt.audience_mismatch")),
        ("expired", active(&json!({"exp": NOW - 60})), (401, "jwt.expired")),
        ("garbage", json!([]), (503, "jwt.introspection_unavailable")),
    ] {
        let token = bearer(&format!("opaque-{}", name.replace(' ', "-")));
        let waits = send(&proxy, "/orders", &[("authorization", &token)]);
        answer(&proxy, status, &body);
        let ended = resume(&proxy, waits);
        assert_eq!(outcome(&proxy, &ended), (expected.0, expected.1.to_owned()), "{name}");
    }
    // A signed token is none of its business, whoever signed it.
    let calls = proxy.host.calls.borrow().len();
    let ended = send(&proxy, "/orders", &[("authorization", &bearer(&R1.token(&claims())))]);
    assert_eq!((ended.status(), proxy.host.calls.borrow().len()), (401, calls));
}

// covers: JWT-TIM-11
#[test]
fn a_clock_that_can_not_be_right_lets_nothing_pass() {
    let proxy = start(&json!({"providers": [provider()], "on_error": "allow"}));
    let token = bearer(&R1.token(&claims()));
    for (seconds, expected) in [
        (NOW, (200, "")),
        // From now on it is remembered.
        (NOW, (200, "")),
        (0, (503, "jwt.clock_wrong")),
        (1_700_000_000, (503, "jwt.clock_wrong")),
        // An hour back: issued in the future.
        (NOW - 3600, (401, "jwt.not_yet_valid")),
        (NOW, (200, "")),
    ] {
        proxy.host.time.set(Some(portcullis_core::UnixTime::from_secs(seconds)));
        let ended = send(&proxy, "/orders", &[("authorization", &token)]);
        assert_eq!(outcome(&proxy, &ended), (expected.0, expected.1.to_owned()), "{seconds}");
    }
}

// covers: JWT-JWKS-04
#[test]
fn keys_that_fail_and_two_tokens_are_answered_once() {
    let remote = json!({"remote": {"url": "http://idp.test/jwks", "cluster": "idp"}});
    let proxy = start(&json!({
        "providers": [with(&json!({"jwks": remote}))],
        "rules": [{"id": "all", "require": "optional"}]
    }));
    let token = bearer(&R1.token(&claims()));
    let both = [("authorization", token.as_str()), ("authorization", token.as_str())];
    let ended = send(&proxy, "/orders", &both);
    assert_eq!(outcome(&proxy, &ended), (400, "jwt.multiple_credentials".to_owned()));
    let waits = send(&proxy, "/orders", &both[..1]);
    let call = proxy.host.calls.borrow().last().cloned().unwrap();
    proxy.answer(&call, &HttpAnswer::default());
    // Not as if there were no token: optional never makes a bad one an anonymous request.
    let ended = resume(&proxy, waits);
    assert_eq!(outcome(&proxy, &ended), (503, "jwt.keys_unavailable".to_owned()));
    assert_eq!(proxy.host.replies.borrow().len(), 1, "one reply");
}

// covers: JWT-CPU-01
#[test]
fn a_request_costs_one_verification_at_most() {
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let host = FakeHost::at(NOW);
    let count = std::rc::Rc::clone(&asked);
    // It says no to everything but what it is probed with, so it is believed.
    let vectors: Value = serde_json::from_str(include_str!("../src/native_vectors.json")).unwrap();
    let known: Vec<Value> = vectors.as_array().unwrap().iter().map(|vector| vector["jwk"].clone()).collect();
    let function = move |argument: &[u8]| {
        count.set(count.get() + 1);
        let keys: Vec<Value> = known.iter().cloned().chain([R1.public_jwk(), E1.public_jwk()]).collect();
        Ok(portcullis_jose::testing::verify_signature::answer(argument, &keys).unwrap())
    };
    host.functions.borrow_mut().insert("verify_signature".into(), Box::new(function));
    let plugin = configure(json!({"providers": [provider()]}).to_string().as_bytes(), &host).unwrap();
    let proxy = FakeProxy::start(host, plugin);
    let verifications = |token: &str| {
        let before = asked.get();
        assert_eq!(send(&proxy, "/orders", &[("authorization", &bearer(token))]).status(), 401);
        asked.get() - before
    };
    let forged =
        |claims: &Value| OTHER.sign_bytes(R1.header().to_string().as_bytes(), claims.to_string().as_bytes());
    assert_eq!(verifications(&forged(&claims())), 1, "a well-formed forgery");
    for changes in [
        json!({"exp": NOW - 60}),
        json!({"aud": "x"}),
        json!({"iss": "https://evil.test/"}),
        json!({"exp": NOW + 10_000_000}),
        json!({"nbf": NOW + 60}),
    ] {
        assert_eq!(verifications(&forged(&claims_with(&changes))), 0, "{changes}");
    }
}
