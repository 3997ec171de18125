use portcullis_core::headers::Headers;
use portcullis_core::verdict::Outcome;
use portcullis_host::fake::{Ended, FakeHost, FakeProxy};
use portcullis_host::{Edits, Exchange};

use super::*;

fn start(config: &str) -> FakeProxy {
    let host = FakeHost::at(1_700_000_000);
    let plugin = configure(config.as_bytes(), &host).unwrap();
    FakeProxy::start(host, plugin)
}

fn sent(fields: &[(&str, &str)]) -> Headers {
    let base = [(":method", "GET"), (":scheme", "https"), (":authority", "api.test"), (":path", "/orders")];
    base.iter().chain(fields).copied().collect()
}

fn get(proxy: &FakeProxy, fields: &[(&str, &str)]) -> Ended {
    proxy.request(sent(fields), b"")
}

// covers: HG-REQ-04
#[test]
fn the_upstream_sees_no_spoofed_field() {
    let Ended::Passed(headers) =
        get(&start("{}"), &[("x-user-id", "admin"), ("x_user_id", "admin"), ("accept", "*/*")])
    else {
        panic!("refused");
    };
    assert!(headers.iter().eq(sent(&[("accept", "*/*")]).iter()), "{headers:?}");
}

// covers: HG-SYN-06
#[test]
fn a_refusal_has_a_status_a_reason_and_a_verdict() {
    for (fields, status, reason) in [
        (&[("content-type", "a/b"), ("content-type", "a/b")][..], 400, "header.duplicate"),
        (&[("content-length", "x")], 400, "header.framing"),
        (&[("expect", "a")], 417, "header.expectation"),
    ] {
        let proxy = start("{}");
        let ended = get(&proxy, fields);
        assert_eq!((ended.status(), ended.reason().as_str()), (status, reason));
        assert_eq!(proxy.verdicts()[0].reason.unwrap().as_str(), reason);
    }
}

#[test]
fn report_mode_lets_it_pass_but_not_the_spoofed_field() {
    let proxy = start(r#"{"request": {"mode": "report"}}"#);
    let Ended::Passed(headers) = get(&proxy, &[("expect", "a"), ("x-user-id", "admin")]) else {
        panic!("refused");
    };
    assert!(headers.iter().eq(sent(&[("expect", "a")]).iter()), "{headers:?}");
    assert_eq!(proxy.verdicts()[0].outcome, Outcome::Report);
}

// covers: ENV-HDR-08
#[test]
fn a_trusted_proxy_is_known_by_the_connection() {
    let proxy = start(r#"{"zone": {"trusted_proxy": {"addresses": ["10.1.2.0/24"]}}}"#);
    for (peer, stays) in [("10.1.2.3:4711", true), ("10.9.9.9:4711", false), ("", false)] {
        proxy.host.set("source.address", peer);
        let Ended::Passed(headers) = get(&proxy, &[("x-forwarded-host", "shop.test")]) else {
            panic!("refused");
        };
        assert_eq!(headers.contains(b"x-forwarded-host"), stays, "{peer}");
    }
    // A proxy that doesn't say who the peer is makes it a stranger.
    proxy.host.set("source.address", "10.1.2.3:4711");
    proxy.host.fail("proxy_get_property", 10);
    let Ended::Passed(headers) = get(&proxy, &[("x-forwarded-host", "shop.test")]) else {
        panic!("refused");
    };
    assert!(!headers.contains(b"x-forwarded-host"));
}

/// Envoy writes `http` by its own connection with the proxy, whatever that said.
#[test]
fn a_proxy_can_be_known_to_speak_tls_with_its_clients() {
    for (tls, peer, secure) in
        [(true, "10.1.2.3:4711", true), (true, "10.9.9.9:4711", false), (false, "10.1.2.3:4711", false)]
    {
        let proxy = start(&format!(
            r#"{{
                "zone": {{"trusted_proxy": {{"addresses": ["10.1.2.0/24"], "tls": {tls}}}}},
                "cross_site": {{"mode": "enforce"}}
            }}"#
        ));
        proxy.host.set("source.address", peer);
        let own = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "api.test"),
            (":path", "/"),
            ("x-forwarded-proto", "http"),
            ("cookie", "sid=1"),
            ("origin", "https://api.test"),
        ];
        let after = proxy.exchange(own.into_iter().collect(), [(":status", "200")].into_iter().collect());
        assert_eq!(after.contains(b"strict-transport-security"), secure, "{tls} {peer}");
        assert_eq!(after.first(b":status"), Some(if secure { &b"200"[..] } else { b"403" }), "{tls} {peer}");
    }
}

// covers: HG-REQ-05
#[test]
fn a_workload_is_known_by_the_certificate_that_it_proved() {
    let proxy =
        start(r#"{"zone": {"mesh": {"identities": ["spiffe://prod.test/gateway"], "keep": ["x-user-id"]}}}"#);
    for (mutual, uri, stays) in [
        (Some(1), "spiffe://prod.test/gateway", true),
        (Some(1), "spiffe://prod.test/other", false),
        (Some(1), "", false),
        (Some(0), "spiffe://prod.test/gateway", false),
        (None, "spiffe://prod.test/gateway", false),
    ] {
        proxy.host.set("connection.mtls", mutual.map(|flag| vec![flag]).unwrap_or_default());
        proxy.host.set("connection.uri_san_peer_certificate", uri);
        let Ended::Passed(headers) = get(&proxy, &[("x-user-id", "alice"), ("x-forwarded-client-cert", "x")])
        else {
            panic!("refused");
        };
        assert_eq!(headers.contains(b"x-user-id"), stays, "{mutual:?} {uri}");
        assert!(!headers.contains(b"x-forwarded-client-cert"), "{mutual:?} {uri}");
    }
}

#[test]
fn a_rule_has_its_own_sections_for_request_and_response() {
    let proxy = start(
        r#"{
            "request": {"methods": ["GET"]},
            "cors": {"origins": ["https://app.test"]},
            "rules": [
                {"id": "upload", "match": {"path": "/upload/**"}, "request": {"methods": ["PUT"], "keep": ["x-user-id"]}},
                {"id": "pages", "match": {"path": "/app/**"}, "response": {"profile": "web-2026"}}
            ]
        }"#,
    );
    let send = |method, path| {
        let fields = [(":method", method), (":scheme", "https"), (":authority", "api.test"), (":path", path)];
        let sent: Headers =
            fields.into_iter().chain([("x-user-id", "7"), ("origin", "https://app.test")]).collect();
        let after = proxy.exchange(sent, [(":status", "200")].into_iter().collect());
        let status = String::from_utf8_lossy(after.first(b":status").unwrap_or_default()).into_owned();
        let kept = proxy.host.request_headers.borrow().contains(b"x-user-id");
        let is_page = after.contains(b"permissions-policy");
        assert!(after.contains(b"access-control-allow-origin"), "what a rule does not name is inherited");
        (status, kept, is_page)
    };
    assert_eq!(send("GET", "/orders"), ("200".to_owned(), false, false));
    assert_eq!(send("GET", "/app/index"), ("200".to_owned(), false, true));
    assert_eq!(send("PUT", "/upload/1"), ("200".to_owned(), true, false));
    assert_eq!(send("GET", "/upload/1").0, "405");
    let refused = proxy.verdicts().into_iter().find(|verdict| verdict.outcome == Outcome::Deny).unwrap();
    assert_eq!(refused.rule.as_deref(), Some("upload"));
    assert_eq!(send("GET", "/a/%2e%2e/upload/1").0, "400", "a path with two readings has no rule");
}

// covers: OWASP-API-15
#[test]
fn a_preflight_is_answered_here_and_is_no_refusal() {
    let proxy = start(
        r#"{"cors": {"origins": ["https://app.test"], "methods": ["PUT"]}, "request": {"mode": "report"}}"#,
    );
    let preflight = |origin, method| {
        let fields =
            [(":method", "OPTIONS"), (":scheme", "https"), (":authority", "api.test"), (":path", "/orders")];
        let asks = [("origin", origin), ("access-control-request-method", method), ("expect", "x")];
        proxy.exchange(fields.into_iter().chain(asks).collect(), Headers::default())
    };
    let allowed = preflight("https://app.test", "PUT");
    assert_eq!(allowed.single(b":status"), Ok(Some(&b"204"[..])));
    assert_eq!(allowed.single(b"access-control-allow-origin"), Ok(Some(&b"https://app.test"[..])));
    assert_eq!(allowed.single(b"x-content-type-options"), Ok(Some(&b"nosniff"[..])));
    let outcomes: Vec<_> = proxy.verdicts().iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(outcomes, [Outcome::Report], "what is only reported does not hide what follows");
    let refused = preflight("https://evil.test", "PUT");
    assert_eq!(refused.single(b":status"), Ok(Some(&b"403"[..])));
    assert!(!refused.contains(b"access-control-allow-origin"));
}

// covers: HG-REQ-15
#[test]
fn a_request_of_another_site_with_a_cookie_is_refused() {
    let proxy = start(r#"{"cross_site": {"mode": "enforce", "cookies": ["sid"]}}"#);
    let cross = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    let with_cookie = [cross[0], cross[1], ("cookie", "sid=1")];
    assert_eq!(get(&proxy, &with_cookie).reason(), "header.cross_site");
    assert_eq!(get(&proxy, &cross).status(), 200);
    assert_eq!(get(&start("{}"), &with_cookie).status(), 200, "off by default");
}

// covers: HG-COOK-01, HG-COOK-06
#[test]
fn each_cookie_stays_a_field_of_its_own() {
    let proxy = start("{}");
    let mut upstream: Headers = [(":status", "200"), ("content-type", "a/b")].into_iter().collect();
    let whole = b"sid=1; Secure; HttpOnly; SameSite=Strict; Expires=Wed, 21 Oct 2026 07:28:00 GMT".to_vec();
    let cookies: Vec<Vec<u8>> = (0..100)
        .map(|n| if n % 7 == 0 { whole.clone() } else { [format!("c{n}=").as_bytes(), b"\xff"].concat() })
        .collect();
    cookies.iter().for_each(|cookie| upstream.append(b"set-cookie", cookie));
    upstream.append(b"set-cookie", b"evil=1\r\nx: y");
    let after = proxy.exchange(sent(&[]), upstream);
    let expected: Vec<Vec<u8>> = cookies
        .iter()
        .map(|cookie| {
            if *cookie == whole {
                whole.clone()
            } else {
                [cookie, &b"; Secure; HttpOnly; SameSite=Lax"[..]].concat()
            }
        })
        .collect();
    assert_eq!(after.all(b"set-cookie").map(<[u8]>::to_vec).collect::<Vec<_>>(), expected);
    for config in
        [r#"{"response": {"keep": ["set-cookie"]}}"#, r#"{"response": {"set_cookie": {"mode": "off"}}}"#]
    {
        let sets: Headers = [(":status", "200"), ("set-cookie", "a=b")].into_iter().collect();
        assert_eq!(
            start(config).exchange(sent(&[]), sets).single(b"set-cookie"),
            Ok(Some(&b"a=b"[..])),
            "{config}"
        );
    }
}

// covers: HG-RSP-08
#[test]
fn what_an_upstream_says_of_other_origins_is_mended() {
    let upstream = [
        (":status", "200"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
    ];
    let after = start("{}").exchange(sent(&[]), upstream.into_iter().collect());
    assert!(
        after.contains(b"access-control-allow-origin")
            && !after.contains(b"access-control-allow-credentials")
    );
}

// covers: HG-RSP-01, HG-RSP-03
#[test]
fn responses_and_own_local_replies_are_hardened() {
    let proxy = start("{}");
    let upstream = || [(":status", "200"), ("server", "x")].into_iter().collect::<Headers>();
    for (fields, status) in [(&[][..], &b"200"[..]), (&[("expect", "x")], b"417")] {
        let headers = proxy.exchange(sent(fields), upstream());
        assert_eq!(headers.first(b":status"), Some(status));
        for (name, value, _) in crate::data::API_PROFILE {
            assert_eq!(headers.single(name.as_bytes()), Ok(Some(value.as_bytes())), "{name}");
        }
        assert!(!headers.contains(b"server"));
    }
    let plaintext: Headers =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")].into_iter().collect();
    assert!(!proxy.exchange(plaintext, upstream()).contains(b"strict-transport-security"));
}

// covers: ENV-LIFE-08
#[test]
fn a_response_without_a_request_is_hardened_by_what_the_connection_says() {
    for (tls, expected) in [(None, false), (Some("TLSv1.3"), true)] {
        let host = FakeHost::at(0);
        if let Some(version) = tls {
            host.set("connection.tls_version", version);
        }
        let plugin = configure(b"", &host).unwrap();
        let mut filter = plugin.filter();
        let (mut exchange, mut edits) = <(Exchange, Edits)>::default();
        let mut ctx = Ctx::new(&host, "header-guard", &mut exchange, &mut edits);
        let response = Response::new([(":status", "503")].into_iter().collect(), true);
        filter.on_response_headers(None, &response, &mut ctx);
        let mut headers = response.headers().clone();
        edits.iter().for_each(|edit| edit.apply(&mut headers));
        assert!(headers.contains(b"x-content-type-options"));
        assert_eq!(headers.contains(b"strict-transport-security"), expected, "{tls:?}");
    }
}

#[test]
fn a_host_that_hides_the_request_is_answered_by_the_mode() {
    for (config, status) in [("{}", 503), (r#"{"on_error": "allow"}"#, 200)] {
        let proxy = start(config);
        proxy.host.fail("proxy_get_header_map_pairs", 10);
        assert_eq!(get(&proxy, &[]).status(), status, "{config}");
    }
}

#[test]
fn changes_are_counted() {
    let proxy = start("{}");
    let counted = || {
        let metrics = proxy.host.metrics.borrow();
        let value = |name| metrics.get(name).copied().unwrap_or_default();
        (value("portcullis.header_guard.requests_changed"), value("portcullis.header_guard.responses_faulty"))
    };
    let answer =
        |fields: &[(&str, &str)]| -> Headers { [(":status", "204")].iter().chain(fields).copied().collect() };
    for (request, response, expected) in [
        (&[("accept", "*/*")][..], &[("server", "nginx")][..], (0, 0)),
        (&[("x-user-id", "7"), ("x-real-ip", "::1")], &[], (1, 0)),
        // Refused: nothing goes on.
        (&[("x-user-id", "7"), ("expect", "a")], &[], (1, 0)),
        (&[], &[("set-cookie", "a=1"), ("set-cookie", "b=1")], (1, 1)),
    ] {
        proxy.exchange(sent(request), answer(response));
        assert_eq!(counted(), expected, "{request:?} {response:?}");
    }
}
