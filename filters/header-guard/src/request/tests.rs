use portcullis_core::config;
use proptest::prelude::*;

use super::*;

type Bytes<'a> = &'a [u8];
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn strangers(config: &str) -> Rules {
    Rules::new(&config::load(config.as_bytes()).unwrap(), None).unwrap()
}

pub(super) fn trusted(keep: &[&str]) -> Rules {
    let keep: Vec<Pattern> = keep.iter().map(|name| Pattern::parse(name).unwrap()).collect();
    Rules::new(&RequestConfig::default(), Some(&Trusted { keep, hops: None })).unwrap()
}

/// What the requests come from.
pub(super) fn peer() -> Option<Vec<u8>> {
    Some(b"192.0.2.7:4711".to_vec())
}

/// The reason to refuse the request (empty for none), and its fields after the edits.
pub(super) fn inspect(rules: &Rules, headers: Headers, end_of_stream: bool) -> (Option<Denial>, Headers) {
    let request = Request::new(headers, end_of_stream);
    let mut after = request.headers().clone();
    let denial = rules.inspect(&request, &peer, &mut |edit| edit.apply(&mut after));
    (denial, after)
}

fn fields(headers: &Headers) -> Fields {
    headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

pub(super) fn reason(rules: &Rules, fields: &[(&str, Bytes<'_>)]) -> &'static str {
    let (denial, _) = inspect(rules, fields.iter().copied().collect(), false);
    denial.map_or("", |denial| denial.reason.as_str())
}

/// What is left of the fields.
pub(super) fn rest(rules: &Rules, sent: &[(&str, &str)]) -> Vec<(String, String)> {
    let (denial, after) = inspect(rules, sent.iter().copied().collect(), false);
    assert_eq!(denial, None, "{sent:?}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    after.iter().map(|(name, value)| (text(name), text(value))).collect()
}

pub(super) fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// One name for each pattern of the list.
fn spoofable() -> impl Iterator<Item = String> {
    STRIPPED.iter().map(|(pattern, _)| pattern.replace('*', "anything"))
}

// covers: HG-REQ-01, HG-REQ-02, HG-REQ-03, HG-REQ-04, HG-REQ-05, HG-REQ-06, HG-REQ-07, HG-REQ-08, HG-REQ-11,
// covers: ENV-HDR-06, ENV-HDR-08, ENV-HDR-14, ENV-HDR-15, HG-SYN-15
#[test]
fn nothing_that_a_proxy_says_comes_from_a_stranger() {
    let rules = strangers("{}");
    for name in spoofable() {
        if name == "proxy-authorization" {
            continue; // Refused when it is there twice; see the duplicates.
        }
        for spelling in [name.clone(), name.replace('-', "_")] {
            if spelling.contains('_') || spelling == name {
                for values in [&[&b"evil"[..]][..], &[b"a", b"b", b"c"], &[b""], &[b"\xff\xfe"]] {
                    let mut sent: Headers = [("accept", "*/*")].into_iter().collect();
                    values.iter().for_each(|value| sent.append(spelling.as_bytes(), value));
                    sent.append(b"x-unknown", b"1");
                    let (denial, after) = inspect(&rules, sent, false);
                    assert_eq!(denial, None, "{spelling}");
                    let left: Vec<_> =
                        after.iter().map(|(name, _)| name.escape_ascii().to_string()).collect();
                    assert_eq!(left, ["accept", "x-unknown"], "{spelling}");
                }
            }
        }
    }
}

// covers: HG-REQ-01, HG-REQ-02, HG-REQ-03, HG-REQ-04, HG-REQ-05, HG-REQ-06, HG-REQ-08
#[test]
fn the_list_holds_the_names_of_known_attacks() {
    let rules = strangers("{}");
    for name in [
        "x-envoy-internal",
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-force-trace",
        "x-envoy-retry-on",
        "x-envoy-original-path",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-scheme",
        "x-forwarded-user",
        "x-forwarded-client-cert",
        "forwarded",
        "via",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "cf-access-jwt-assertion",
        "x-azure-fdid",
        "x-appengine-user-ip",
        "x-vercel-forwarded-for",
        "x-amzn-oidc-identity",
        "x-goog-authenticated-user-email",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-remote-extra-scopes",
        "impersonate-user",
        "x-user-id",
        "x-consumer-username",
        "l5d-client-id",
        "x-ssl-client-verify",
        "ssl_client_verify",
        "x-client-cert-hash",
        "client-cert",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-forwarded-uri",
        "proxy",
        "x-middleware-subrequest",
        "next-router-state-tree",
        "rsc",
    ] {
        assert_eq!(rest(&rules, &[(name, "evil")]), [], "{name}");
    }
}

// covers: HG-REQ-02, ENV-HDR-09
#[test]
fn forwarding_fields_say_what_envoy_wrote() {
    let rules = strangers("{}");
    for (name, sent, expected) in [
        ("Envoy's own entry", &[("x-forwarded-for", "9.9.9.9")][..], &[("x-forwarded-for", "9.9.9.9")][..]),
        (
            "client's entry before it",
            &[("x-forwarded-for", "1.2.3.4, 9.9.9.9")],
            &[("x-forwarded-for", "9.9.9.9")],
        ),
        (
            "two fields",
            &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "::1")],
            &[("x-forwarded-for", "::1")],
        ),
        ("no address", &[("x-forwarded-for", "1.2.3.4,")], &[]),
        ("a name", &[("x-forwarded-for", "unknown")], &[]),
        (
            "Envoy's other word for the client's address",
            &[("x-forwarded-for", "1.2.3.4, 9.9.9.9"), ("x-envoy-external-address", "9.9.9.9")],
            &[("x-forwarded-for", "9.9.9.9"), ("x-envoy-external-address", "9.9.9.9")],
        ),
        (
            "another address",
            &[("x-forwarded-for", "9.9.9.9"), ("x-envoy-external-address", "1.2.3.4")],
            &[("x-forwarded-for", "9.9.9.9")],
        ),
        ("address of nobody", &[("x-envoy-external-address", "1.2.3.4")], &[]),
        (
            "the peer's address, where Envoy writes its own to the other",
            &[("x-forwarded-for", "9.9.9.9"), ("x-envoy-external-address", "192.0.2.7")],
            &[("x-forwarded-for", "9.9.9.9"), ("x-envoy-external-address", "192.0.2.7")],
        ),
        (
            "the peer's address twice",
            &[("x-envoy-external-address", "192.0.2.7"), ("x-envoy-external-address", "192.0.2.7")],
            &[],
        ),
        (
            "scheme and protocol agree",
            &[(":scheme", "https"), ("x-forwarded-proto", "https")],
            &[(":scheme", "https"), ("x-forwarded-proto", "https")],
        ),
        (
            "scheme is the client's",
            &[(":scheme", "https"), ("x-forwarded-proto", "http")],
            &[(":scheme", "https"), ("x-forwarded-proto", "http")],
        ),
        (
            "protocol is the client's",
            &[(":scheme", "http"), ("x-forwarded-proto", "https")],
            &[(":scheme", "http"), ("x-forwarded-proto", "http")],
        ),
        (
            "two protocols",
            &[(":scheme", "https"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")],
            &[(":scheme", "https"), ("x-forwarded-proto", "http")],
        ),
    ] {
        assert_eq!(rest(&rules, sent), pairs(expected), "{name}");
    }
}

// covers: HG-REQ-02
#[test]
fn with_a_number_of_hops_a_trusted_proxy_says_no_more_than_it_knows() {
    let rules =
        Rules::new(&RequestConfig::default(), Some(&Trusted { keep: vec![], hops: Some(1) })).unwrap();
    let sent = [
        ("x-forwarded-for", "6.6.6.6, 1.2.3.4, 9.9.9.9"),
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "https"),
    ];
    let (denial, after) = inspect(&rules, sent.into_iter().collect(), true);
    assert!(denial.is_none());
    let expected = [
        ("x-forwarded-for", "1.2.3.4, 9.9.9.9"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(after, expected.into_iter().collect());
}

// covers: HG-REQ-03, HG-REQ-06
#[test]
fn a_trusted_proxy_may_say_how_the_request_came_and_what_is_listed() {
    let rules = trusted(&["cf-connecting-ip", "x-ssl-client-*"]);
    for (name, stays) in [
        ("x-forwarded-for", true),
        ("x-forwarded-host", true),
        ("forwarded", true),
        ("via", true),
        ("baggage", true),
        ("cf-connecting-ip", true),
        ("x-ssl-client-verify", true),
        ("x-real-ip", false),
        ("x-forwarded-user", false),
        ("x-forwarded-client-cert", false),
        ("x-user-id", false),
        ("x-envoy-internal", false),
        ("x-original-url", false),
        ("x-http-method-override", false),
        ("proxy", false),
        ("x-middleware-subrequest", false),
        ("x_forwarded_for", false),
    ] {
        let sent = [(name, "1.2.3.4, 5.6.7.8")];
        assert_eq!(rest(&rules, &sent), if stays { pairs(&sent) } else { vec![] }, "{name}");
    }
}

#[test]
fn the_operator_has_the_last_word_and_the_narrow_beats_the_wide() {
    let rules = strangers(
        r#"{"remove": ["x-internal-*", "X-Debug", "user-agent", "x-forwarded-for"],
            "keep": ["x-user-id", "x-internal-trace", "x-forwarded-h*", "x_legacy", "x-envoy-decorator-*"]}"#,
    );
    for (name, stays) in [
        ("x-internal-a", false),
        ("x-internal-trace", true),
        ("x-debug", false),
        ("user-agent", false),
        ("x-forwarded-for", false),
        ("x-user-id", true),
        ("x-user", false),
        ("x-forwarded-host", true),
        ("x-forwarded-port", false),
        ("x_legacy", true),
        ("x_other", false),
        ("x-envoy-decorator-operation", true),
        ("x-envoy-internal", false),
    ] {
        assert_eq!(rest(&rules, &[(name, "9.9.9.9")]).is_empty(), !stays, "{name}");
    }
}

#[test]
fn contradictions_are_configuration_errors() {
    for (config, expected) in [
        (
            r#"{"remove": ["a b"]}"#,
            "remove[0]: expected a header name, or a prefix as in `x-internal-*`, found `a b`",
        ),
        (
            r#"{"keep": ["*"]}"#,
            "keep[0]: expected a header name, or a prefix as in `x-internal-*`, found `*`",
        ),
        (r#"{"remove": ["x-a", "host"]}"#, "remove[1]: expected a field that a request can do without"),
        (r#"{"remove": ["content-*"]}"#, "remove[0]: expected a field that a request can do without"),
        (r#"{"remove": ["x-a"], "keep": ["X-A"]}"#, "remove[0]: expected a name that is not in `keep` too"),
    ] {
        let error = Rules::new(&config::load(config.as_bytes()).unwrap(), None).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

// covers: HG-SYN-06, ENV-HDR-01, ENV-HDR-02
#[test]
fn two_of_a_singleton_are_refused() {
    let rules = strangers("{}");
    for name in [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "authorization",
        "proxy-authorization",
        "origin",
        "referer",
        "user-agent",
        "date",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "range",
        "expect",
        "max-forwards",
        "from",
        "access-control-request-method",
        "idempotency-key",
        "sec-websocket-key",
        "sec-websocket-version",
        "dpop",
        "upgrade-insecure-requests",
        "content-location",
        "transfer-encoding",
        "grpc-timeout",
        ":path",
        ":authority",
    ] {
        let value: &[u8] = match name {
            "content-type" => b"a/b",
            "expect" => b"100-continue",
            "transfer-encoding" => b"chunked",
            "grpc-timeout" => b"1S",
            _ => b"1",
        };
        assert_eq!(reason(&rules, &[(name, value)]), "", "{name}");
        assert_eq!(
            reason(&rules, &[(name, value), ("accept", b"a"), (name, value)]),
            "header.duplicate",
            "{name}"
        );
        let (denial, _) = inspect(&rules, [(name, value), (name, value)].into_iter().collect(), false);
        assert_eq!(denial.unwrap().errors[0].pointer, name);
    }
    assert_eq!(reason(&rules, &[(":authority", b"a"), ("host", b"a")]), "header.duplicate");
    assert_eq!(reason(&rules, &[("accept", b"a"), ("accept", b"b"), ("cookie", b"a"), ("cookie", b"b")]), "");
    for name in ["traceparent", "x-request-id"] {
        assert_eq!(rest(&rules, &[(name, "a"), (name, "b")]), [], "{name}");
    }
}

// covers: ENV-HDR-03
#[test]
fn two_fields_that_the_proxy_has_joined_are_two() {
    let rules = strangers("{}");
    for (name, value) in [
        ("authorization", &b"Bearer a,Bearer b"[..]),
        ("content-type", b"application/json,text/html"),
        ("content-length", b"1,1"),
        ("origin", b"https://a.test,https://b.test"),
        ("dpop", b"a,b"),
    ] {
        assert_eq!(reason(&rules, &[(name, value)]), "header.duplicate", "{name}");
    }
}

// covers: HG-REQ-10
#[test]
fn a_request_id_that_cannot_be_logged_is_removed() {
    let rules = strangers("{}");
    let long = "a".repeat(129);
    for (value, stays) in
        [("d83b8a92-1f6b-4f5e-9c57-1b8b1bb2d0f1", true), ("../../x", false), ("a b", false), (&long, false)]
    {
        assert_eq!(rest(&rules, &[("x-request-id", value)]).is_empty(), !stays, "{value}");
    }
}

// covers: HG-REQ-12, HG-REQ-14, ENV-HDR-17
#[test]
fn what_is_for_this_hop_ends_here() {
    let rules = strangers("{}");
    let websocket = [("connection", "Upgrade"), ("upgrade", "websocket")];
    for (name, sent, expected) in [
        ("close", &[("connection", "close")][..], &[][..]),
        (
            "its own fields",
            &[("connection", "keep-alive, x-hop"), ("keep-alive", "5"), ("x-hop", "1"), ("a", "b")],
            &[("a", "b")],
        ),
        ("websocket", &websocket, &websocket),
        (
            "websocket as Firefox asks for it",
            &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")],
            &[("connection", "upgrade"), ("upgrade", "websocket")],
        ),
        (
            "h2c",
            &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AA")],
            &[],
        ),
        ("upgrade alone", &[("upgrade", "websocket")], &[]),
        ("two upgrades", &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")], &[]),
        ("te", &[("te", "gzip")], &[]),
        ("te of gRPC", &[("te", "trailers")], &[("te", "trailers")]),
        ("te with more", &[("te", "gzip, Trailers")], &[("te", "trailers")]),
        ("proxy's", &[("proxy-connection", "x"), ("trailer", "x"), ("proxy-authorization", "Basic x")], &[]),
    ] {
        assert_eq!(rest(&rules, sent), pairs(expected), "{name}");
    }
    for options in [
        "close, authorization",
        "x-jwt-sub, x-forwarded-for",
        "x-request-id",
        "Cookie",
        "x-envoy-anything",
        "host",
        "content-type",
    ] {
        assert_eq!(reason(&rules, &[("connection", options.as_bytes())]), "header.connection", "{options}");
    }
}

// covers: HG-SYN-09, ENV-HDR-18, ENV-HDR-19
#[test]
fn the_end_of_the_body_has_one_reading() {
    let rules = strangers("{}");
    for (name, fields, end_of_stream, expected) in [
        ("length", &[("content-length", "5")][..], false, ""),
        ("chunked", &[("transfer-encoding", "chunked")], false, ""),
        ("both", &[("transfer-encoding", "chunked"), ("content-length", "5")], false, "header.framing"),
        (
            "both, in the other order",
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            false,
            "header.framing",
        ),
        ("odd coding", &[("transfer-encoding", "chunked, chunked")], false, "header.framing"),
        ("odd length", &[("content-length", "+5")], false, "header.framing"),
        ("no body, no length", &[("content-length", "0")], true, ""),
        ("no body, but a length", &[("content-length", "10")], true, "header.framing"),
    ] {
        let (denial, _) = inspect(&rules, fields.iter().copied().collect(), end_of_stream);
        assert_eq!(denial.map_or("", |denial| denial.reason.as_str()), expected, "{name}");
    }
}

// covers: HG-SYN-02, HG-SYN-03, ENV-HDR-04, ENV-HDR-05, ENV-HDR-07
#[test]
fn names_and_values_are_of_legal_bytes() {
    let rules = strangers("{}");
    for (name, value, expected) in [
        (&b"x-any"[..], &b"a\tb \xc3\xa4 \xff"[..], ""),
        (b"user-agent", b"\xc3\xa4", ""),
        (b"x-any", b"a\rb", "header.invalid_value"),
        (b"x-any", b"a\nb", "header.invalid_value"),
        (b"x-any", b"a\0b", "header.invalid_value"),
        (b"x-any", b"\x01", "header.invalid_value"),
        (b"x-any", b"\x7f", "header.invalid_value"),
        (b"user-agent", b"\x1b[2J", "header.invalid_value"),
        (b"host", b"\xff", "header.invalid_host"),
        (b"authorization", b"Bearer \xff\xfe", "header.invalid_value"),
        (b"cookie", b"a=\xff", "header.invalid_value"),
        (b"content-type", b"text/\xff", "header.invalid_value"),
        (b"origin", b"\xff", "header.invalid_value"),
        (b":path", b"/\xff", "header.invalid_value"),
        (b":method", b"GET /", "header.invalid_value"),
        (b"x y", b"1", "header.invalid_name"),
        (b"x:y", b"1", "header.invalid_name"),
        (b"x\0", b"1", "header.invalid_name"),
        (b"x-\xff", b"1", "header.invalid_name"),
        (b"X-Upper", b"1", "header.invalid_name"),
        (b"", b"1", "header.invalid_name"),
        (b" ", b"1", "header.invalid_name"),
        (b":foo", b"1", "header.invalid_name"),
        (b":status", b"200", "header.invalid_name"),
    ] {
        let (denial, _) = inspect(&rules, [(name, value)].into_iter().collect(), false);
        assert_eq!(denial.map_or("", |denial| denial.reason.as_str()), expected, "{}", name.escape_ascii());
    }
}

// covers: HG-SYN-01
#[test]
fn a_line_end_in_any_field_is_refused() {
    let rules = strangers("{}");
    for name in
        KNOWN.iter().map(|(name, ..)| *name).chain(spoofable().collect::<Vec<_>>().iter().map(String::as_str))
    {
        assert_ne!(reason(&rules, &[(name, b"a\r\nb: c")]), "", "{name}");
    }
}

// covers: HG-REQ-13
#[test]
fn trace_is_not_a_method() {
    let rules = strangers("{}");
    for method in ["TRACE", "TRACK", "trace"] {
        let (denial, _) =
            inspect(&rules, [(":method", method), ("max-forwards", "0")].into_iter().collect(), true);
        let denial = denial.unwrap();
        assert_eq!((denial.status, denial.reason.as_str()), (405, "header.method_not_allowed"), "{method}");
        assert_eq!(denial.headers[0].0, "allow");
    }
    assert_eq!(reason(&rules, &[(":method", b"GET")]), "");
}

// covers: HG-REQ-17
#[test]
fn too_many_ranges_are_not_asked_for() {
    let rules = strangers("{}");
    for (count, stays) in [(16, true), (17, false), (1000, false)] {
        let value = format!("bytes={}", vec!["0-"; count].join(","));
        assert_eq!(rest(&rules, &[("range", &value)]).is_empty(), !stays, "{count}");
    }
}

// covers: ENV-HDR-20
#[test]
fn only_100_continue_is_expected() {
    let rules = strangers("{}");
    let (denial, _) = inspect(&rules, [("expect", "y 100-continue")].into_iter().collect(), false);
    assert_eq!(denial.unwrap().status, 417);
}

#[test]
fn a_denial_does_not_repeat_what_the_client_sent() {
    let rules = strangers("{}");
    for (name, value) in [
        ("authorization", "Bearer s3cret,Bearer s3cret"),
        ("x-s3cret", "\x01s3cret"),
        ("x s3cret", "s3cret"),
        ("host", "s3cret/"),
    ] {
        let (denial, _) = inspect(&rules, [(name, value)].into_iter().collect(), false);
        assert!(!format!("{:?}", denial.unwrap()).contains("s3cret"), "{name}");
    }
}

/// Fields of the kinds that a request mixes.
fn any_fields() -> impl Strategy<Value = Fields> {
    let names = proptest::sample::select(
        KNOWN
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .chain(spoofable())
            .chain(
                [
                    "x-envoy-external-address",
                    "x-forwarded-for",
                    "x-forwarded-proto",
                    "connection",
                    "upgrade",
                    "te",
                ]
                .map(str::to_owned),
            )
            .collect::<Vec<_>>(),
    );
    let name = prop_oneof![
        3 => names.prop_map(String::into_bytes),
        2 => "[a-z_-]{1,12}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    let value = prop_oneof![
        3 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => proptest::sample::select(vec![
            "1.2.3.4, ::1", "https", "http", "upgrade, x-a", "websocket", "chunked", "gzip, trailers",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec((name, value), 0..12)
}

#[test]
fn with_an_allow_list_nothing_else_gets_in() {
    let rules = strangers(r#"{"allow": ["accept", "x-shop-*", "authorization"]}"#);
    let sent = [
        (":method", "GET"),
        (":path", "/"),
        ("host", "api.test"),
        ("content-length", "0"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-request-id", "r-1"),
        ("accept", "a/b"),
        ("x-shop-id", "7"),
        ("authorization", "Bearer x"),
    ];
    let others = [
        ("user-agent", "curl"),
        ("cookie", "a=b"),
        ("x-shop", "7"),
        ("x-user-id", "admin"),
        ("x_shop_id", "8"),
    ];
    let headers = sent.iter().chain(&others).map(|(name, value)| (*name, *value)).collect();
    let (denial, after) = inspect(&rules, headers, true);
    assert_eq!(denial, None);
    assert_eq!(after, sent.into_iter().collect());
    // What is on the list is judged as ever.
    let listed = strangers(r#"{"allow": ["x-user-id", "expect"]}"#);
    let (denial, after) =
        inspect(&listed, [("x-user-id", "admin"), ("expect", "x")].into_iter().collect(), true);
    assert_eq!((denial.map(|denial| denial.status), after.contains(b"x-user-id")), (Some(417), false));
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    let (_, after) = inspect(&rules, handshake.into_iter().collect(), true);
    assert_eq!(after, handshake.into_iter().collect());
}

proptest! {
    // covers: HG-SYN-14
    #[test]
    fn a_second_pass_changes_nothing_more(sent in any_fields(), end_of_stream: bool) {
        for rules in [strangers("{}"), trusted(&["x-user-*"]), strangers(r#"{"allow": ["accept", "x-*"]}"#)] {
            let (_, once) = inspect(&rules, sent.iter().cloned().collect(), end_of_stream);
            let mut edited = false;
            rules.inspect(&Request::new(once, end_of_stream), &peer, &mut |_| edited = true);
            prop_assert!(!edited);
        }
    }

    // covers: HG-SYN-14, ENV-HDR-04
    #[test]
    fn fields_without_a_rule_stay_byte_for_byte_and_in_order(sent in any_fields()) {
        let rules = strangers("{}");
        let (denial, after) = inspect(&rules, sent.iter().cloned().collect(), false);
        let unnamed = |headers: &Headers| -> Fields {
            let connection: Vec<Vec<u8>> =
                headers.all(b"connection").flat_map(list).map(<[u8]>::to_ascii_lowercase).collect();
            let is_named = |name: &[u8]| {
                rules.table.find(name).is_some() || name.contains(&b'_') || connection.iter().any(|option| option == name)
            };
            fields(headers).into_iter().filter(|(name, _)| !is_named(name)).collect()
        };
        if denial.is_none() {
            let before: Headers = sent.into_iter().collect();
            // `connection` itself may be gone afterwards: compare with what it named before.
            let expected = unnamed(&before);
            let kept: Fields = fields(&after).into_iter().filter(|field| expected.contains(field)).collect();
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn no_spoofable_name_is_left_whatever_else_is_sent(sent in any_fields()) {
        let rules = strangers("{}");
        let (_, after) = inspect(&rules, sent.into_iter().collect(), false);
        for (name, _) in after.iter() {
            prop_assert!(!rules.table.find(name).is_some_and(|treatment| treatment.strip), "{}", name.escape_ascii());
        }
    }
}

// covers: ENV-PROTO-08
#[test]
fn of_trailers_only_what_the_operator_keeps_goes_on() {
    let sent = [
        "authorization",
        "content-length",
        "host",
        "x-jwt-sub",
        "x_user_id",
        "x-amz-checksum-crc32",
        "x-sum",
    ];
    let trailers: Headers = sent.iter().map(|name| (name, "1")).collect();
    for (name, rules, expected) in [
        ("by default", strangers("{}"), vec![]),
        ("one kept", strangers(r#"{"keep": ["x-sum"]}"#), vec!["x-sum"]),
        ("a prefix kept", strangers(r#"{"keep": ["x-amz-*"]}"#), vec!["x-amz-checksum-crc32"]),
        (
            "what frames and routes a request is no trailer",
            trusted(&["host", "content-*", "x-jwt-*"]),
            vec!["x-jwt-sub"],
        ),
    ] {
        let mut after = trailers.clone();
        rules.clear_trailers(&trailers, &mut |edit| edit.apply(&mut after));
        assert_eq!(
            after.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            expected.iter().map(|name| name.as_bytes()).collect::<Vec<_>>(),
            "{name}"
        );
    }
}
