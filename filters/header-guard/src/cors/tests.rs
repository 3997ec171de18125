use portcullis_core::config;
use proptest::prelude::*;

use super::*;

type Fields = Vec<(String, String)>;

const GOOD: &str = r#"{"origins": ["https://good.test", "https://*.apps.test"], "methods": ["GET", "PUT"],
    "request_headers": ["Content-Type", "authorization"], "exposed_headers": ["X-Total", "etag"]}"#;
const CREDENTIALS: &str =
    r#"{"origins": ["https://good.test"], "credentials": true, "private_network": true, "max_age": "90s"}"#;
const ANY: &str = r#"{"origins": ["*"]}"#;

fn load(document: &str) -> Result<Cors, String> {
    let config: CorsConfig = config::load(document.as_bytes()).map_err(|error| error.to_string())?;
    Cors::new(&config).map_err(|error| error.to_string())
}

fn request(fields: &[(&str, &str)]) -> Request {
    Request::new(fields.iter().copied().collect(), true)
}

fn preflight<'a>(origin: &'a str, more: &[(&'a str, &'a str)]) -> Request {
    let head = [(":method", "OPTIONS"), ("origin", origin)];
    Request::new(head.into_iter().chain(more.iter().copied()).collect(), true)
}

fn pairs(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(headers: &Headers) -> Fields {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn responded(cors: &Cors, request: Option<&Request>, headers: Headers) -> Headers {
    let response = Response::new(headers, true);
    let mut after = response.headers().clone();
    cors.respond(request, &response, &mut |edit| {
        if let Edit::Append(name, _) = edit {
            assert!(!after.contains(name), "appended {}", name.escape_ascii());
        }
        edit.apply(&mut after);
    });
    after
}

/// The fields of the answer to an allowed preflight, else the reason.
fn answer(cors: &Cors, request: &Request) -> Result<Fields, &'static str> {
    match cors.judge(request) {
        CorsVerdict::Preflight(answer) => {
            assert_eq!(answer.status, 204);
            Ok(answer.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }
        CorsVerdict::Refuse(denial) => Err(denial.reason.as_str()),
        verdict => panic!("{verdict:?}"),
    }
}

// covers: HG-REQ-16, OWASP-API-15
#[test]
fn a_request_is_allowed_by_its_very_origin_only() {
    let cors = load(GOOD).unwrap();
    for (name, fields, expected) in [
        ("no origin", &[][..], Some(CorsVerdict::NotCors)),
        ("on the list", &[("origin", "https://good.test")], Some(CorsVerdict::Actual { allowed: true })),
        (
            "other spelling",
            &[("origin", "https://GOOD.test:443")],
            Some(CorsVerdict::Actual { allowed: true }),
        ),
        ("pattern", &[("origin", "https://a.apps.test")], Some(CorsVerdict::Actual { allowed: true })),
        ("null", &[("origin", "null")], Some(CorsVerdict::Actual { allowed: false })),
        (
            "prefix",
            &[("origin", "https://good.test.evil.test")],
            Some(CorsVerdict::Actual { allowed: false }),
        ),
        ("no dot", &[("origin", "https://goodXtest")], Some(CorsVerdict::Actual { allowed: false })),
        ("plain", &[("origin", "http://good.test")], Some(CorsVerdict::Actual { allowed: false })),
        (
            "OPTIONS of its own",
            &[(":method", "OPTIONS"), ("origin", "https://good.test")],
            Some(CorsVerdict::Actual { allowed: true }),
        ),
        (
            "a method asked for by another method",
            &[
                (":method", "GET"),
                ("origin", "https://good.test"),
                ("access-control-request-method", "DELETE"),
            ],
            Some(CorsVerdict::Actual { allowed: true }),
        ),
        ("two", &[("origin", "https://good.test"), ("origin", "https://good.test")], None),
        ("a list", &[("origin", "https://good.test, https://evil.test")], None),
        ("with a path", &[("origin", "https://good.test/")], None),
        ("empty", &[("origin", "")], None),
    ] {
        let refused = CorsVerdict::Refuse(denials::invalid_origin());
        assert_eq!(cors.judge(&request(fields)), expected.unwrap_or(refused), "{name}");
    }
}

// covers: HG-REQ-16
#[test]
fn an_allowed_preflight_is_answered_with_the_whole_policy() {
    let ask = ("access-control-request-method", "PUT");
    let private = ("access-control-request-private-network", "true");
    let list = ("access-control-request-headers", "authorization,Content-Type");
    let expected = [
        ("access-control-allow-origin", "https://good.test"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "authorization, content-type"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ];
    for (name, more) in [
        ("a method", &[ask][..]),
        ("fields", &[ask, list]),
        ("private network, which is not allowed", &[ask, private]),
    ] {
        let preflight = preflight("https://GOOD.test", more);
        assert_eq!(answer(&load(GOOD).unwrap(), &preflight), Ok(pairs(&expected)), "{name}");
    }
    let with_credentials = [
        ("access-control-allow-origin", "https://good.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, HEAD, POST"),
        ("access-control-allow-private-network", "true"),
        ("access-control-max-age", "90"),
        ("vary", "Origin"),
    ];
    let post = ("access-control-request-method", "POST");
    let credentials = load(CREDENTIALS).unwrap();
    assert_eq!(
        answer(&credentials, &preflight("https://good.test", &[post, private])),
        Ok(pairs(&with_credentials))
    );
    let anybody = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, POST"),
        ("access-control-max-age", "600"),
    ];
    assert_eq!(answer(&load(ANY).unwrap(), &preflight("null", &[post])), Ok(pairs(&anybody)));
}

// covers: HG-REQ-16
#[test]
fn a_preflight_that_asks_for_more_is_refused() {
    let put = ("access-control-request-method", "PUT");
    let good = "https://good.test";
    for (name, origin, more, expected) in [
        ("origin", "https://evil.test", &[put][..], "cors.origin"),
        ("null", "null", &[put], "cors.origin"),
        ("not an origin", "https://good.test/", &[put], "header.invalid_origin"),
        ("method", good, &[("access-control-request-method", "DELETE")], "cors.method"),
        ("method in lower case", good, &[("access-control-request-method", "put")], "cors.method"),
        ("no method", good, &[("access-control-request-method", "")], "cors.method"),
        ("two methods", good, &[put, put], "cors.method"),
        ("field", good, &[put, ("access-control-request-headers", "x-evil")], "cors.request_header"),
        (
            "one of several fields",
            good,
            &[put, ("access-control-request-headers", "authorization, x-evil")],
            "cors.request_header",
        ),
        (
            "in a second list",
            good,
            &[
                put,
                ("access-control-request-headers", "authorization"),
                ("access-control-request-headers", "x"),
            ],
            "cors.request_header",
        ),
        ("every field", good, &[put, ("access-control-request-headers", "*")], "cors.request_header"),
        ("not a field", good, &[put, ("access-control-request-headers", "a b")], "cors.request_header"),
    ] {
        let cors = load(GOOD).unwrap();
        let request = preflight(origin, more);
        assert_eq!(answer(&cors, &request), Err(expected), "{name}");
        // What the client gets has no field that allows anything.
        let CorsVerdict::Refuse(denial) = cors.judge(&request) else { panic!("{name}") };
        let reply = denial.render(Some(&request));
        let after = responded(&cors, Some(&request), reply.headers);
        assert!(!after.names().any(|name| name.starts_with(PREFIX)), "{name}");
    }
}

// covers: HG-RSP-08, OWASP-API-15
#[test]
fn a_response_says_what_the_policy_says() {
    let upstream = [
        ("access-control-allow-origin", "https://evil.test"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "*"),
        ("access-control-allow-headers", "*"),
        ("access-control-expose-headers", "*"),
        ("access-control-max-age", "99999"),
        ("access-control-allow-private-network", "true"),
        ("access-control-allow-future", "1"),
        ("x-other", "1"),
    ];
    let good = request(&[("origin", "https://good.test:443")]);
    let label = request(&[("origin", "https://A.apps.test")]);
    let evil = request(&[("origin", "https://evil.test")]);
    let two = request(&[("origin", "https://good.test"), ("origin", "https://good.test")]);
    let none = request(&[]);
    let other = ("x-other", "1");
    let vary = ("vary", "Origin");
    let expose = ("access-control-expose-headers", "x-total, etag");
    let origin = |value| ("access-control-allow-origin", value);
    for (name, policy, request, expected) in [
        ("allowed", GOOD, Some(&good), &[origin("https://good.test"), expose, other, vary][..]),
        ("allowed by a pattern", GOOD, Some(&label), &[origin("https://a.apps.test"), expose, other, vary]),
        ("not on the list", GOOD, Some(&evil), &[other, vary]),
        ("two origins", GOOD, Some(&two), &[other, vary]),
        ("no origin", GOOD, Some(&none), &[other, vary]),
        ("unknown request", GOOD, None, &[other, vary]),
        ("nobody", "{}", Some(&good), &[other, vary]),
        ("everybody", ANY, Some(&evil), &[origin("*"), other]),
        ("everybody, for a cache", ANY, Some(&none), &[origin("*"), other]),
        (
            "with credentials",
            CREDENTIALS,
            Some(&good),
            &[origin("https://good.test"), ("access-control-allow-credentials", "true"), other, vary],
        ),
        ("no credentials for others", CREDENTIALS, Some(&evil), &[other, vary]),
    ] {
        let after = responded(&load(policy).unwrap(), request, upstream.into_iter().collect());
        assert_eq!(text(&after), pairs(expected), "{name}");
        // From nothing the same comes out.
        let mut from_nothing = text(&responded(&load(policy).unwrap(), request, Headers::default()));
        from_nothing.push((other.0.to_owned(), other.1.to_owned()));
        from_nothing.sort();
        let mut expected = pairs(expected);
        expected.sort();
        assert_eq!(from_nothing, expected, "{name}");
    }
}

#[test]
fn the_answer_to_a_preflight_passes_as_it_is() {
    for policy in [GOOD, CREDENTIALS, ANY] {
        let cors = load(policy).unwrap();
        let request = preflight("https://good.test", &[("access-control-request-method", "GET")]);
        let fields = answer(&cors, &request).unwrap();
        let headers: Headers = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(text(&responded(&cors, Some(&request), headers)), fields, "{policy}");
    }
}

// covers: HG-RSP-08
#[test]
fn vary_keeps_its_members_and_names_the_origin_once() {
    let request = request(&[("origin", "https://evil.test")]);
    for (name, sent, expected) in [
        ("nothing", &[][..], &["Origin"][..]),
        ("others", &["accept, accept-encoding"], &["accept, accept-encoding, Origin"]),
        ("two fields", &["accept", "cookie"], &["accept, cookie, Origin"]),
        ("there already", &["Accept,ORIGIN"], &["Accept,ORIGIN"]),
        ("in the second field", &["accept", "origin"], &["accept", "origin"]),
        ("everything", &["*"], &["*"]),
        ("a longer name", &["x-origin"], &["x-origin, Origin"]),
        ("empty", &[""], &["Origin"]),
    ] {
        let sent: Headers = sent.iter().map(|value| ("vary", *value)).collect();
        let after = responded(&load(GOOD).unwrap(), Some(&request), sent);
        let vary: Vec<_> =
            after.all(b"vary").map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        assert_eq!(vary, expected, "{name}");
    }
}

#[test]
fn interim_responses_and_other_modes_change_nothing() {
    let sent = [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")];
    let get = request(&[("origin", "https://good.test")]);
    let asks = preflight("https://good.test", &[("access-control-request-method", "GET")]);
    let early = [(":status", "103")].into_iter().chain(sent);
    let after = responded(&load(GOOD).unwrap(), Some(&get), early.clone().collect());
    assert_eq!(after.len(), early.count());
    for (mode, expected) in [("report", CorsVerdict::Actual { allowed: true }), ("off", CorsVerdict::NotCors)]
    {
        let cors = load(&format!(r#"{{"mode": "{mode}", "origins": ["https://good.test"]}}"#)).unwrap();
        assert_eq!(text(&responded(&cors, Some(&get), sent.into_iter().collect())), pairs(&sent), "{mode}");
        // The upstream answers.
        assert_eq!(cors.judge(&asks), expected, "{mode}");
    }
    let report = load(r#"{"mode": "report"}"#).unwrap();
    assert_eq!(answer(&report, &asks), Err("cors.origin"));
    assert_eq!(report.mode(), Mode::Report);
}

// covers: HG-RSP-08, OWASP-API-15
#[test]
fn without_a_policy_the_worst_is_mended() {
    let origin = |value| ("access-control-allow-origin", value);
    let credentials = ("access-control-allow-credentials", "true");
    let vary = ("vary", "Origin");
    for (name, sent, expected, reason) in [
        ("nothing", &[credentials][..], &[credentials][..], ""),
        ("everybody", &[origin("*")], &[origin("*")], ""),
        (
            "everybody with credentials",
            &[origin("*"), credentials],
            &[origin("*")],
            "cors.any_origin_with_credentials",
        ),
        ("null", &[origin("null"), credentials], &[credentials], "cors.null_origin"),
        ("a list", &[origin("https://a.test, https://b.test")], &[], "cors.invalid_allow_origin"),
        ("a list with spaces", &[origin("https://a.test https://b.test")], &[], "cors.invalid_allow_origin"),
        ("two fields", &[origin("https://a.test"), origin("*")], &[], "cors.invalid_allow_origin"),
        ("no origin", &[origin("https://*.a.test")], &[], "cors.invalid_allow_origin"),
        (
            "one without vary",
            &[origin("https://a.test"), credentials],
            &[origin("https://a.test"), credentials, vary],
            "cors.missing_vary",
        ),
        ("one with vary", &[origin("https://a.test"), vary], &[origin("https://a.test"), vary], ""),
        ("interim", &[(":status", "103"), origin("null")], &[(":status", "103"), origin("null")], ""),
    ] {
        let response = Response::new(sent.iter().copied().collect(), true);
        let mut after = response.headers().clone();
        let found = check_upstream(&response, &mut |edit| edit.apply(&mut after));
        assert_eq!(found.map_or("", Reason::as_str), reason, "{name}");
        assert_eq!(text(&after), pairs(expected), "{name}");
        let again = check_upstream(&Response::new(after, true), &mut |edit| panic!("{name}: {edit:?}"));
        assert_eq!(again, None, "{name}");
    }
}

// covers: HG-REQ-16, OWASP-API-15
#[test]
fn mistakes_are_named_by_their_path() {
    for (document, expected) in [
        (
            r#"{"origins": ["*"], "credentials": true}"#,
            "credentials: expected `false` with the origin `*` or `null`, found `true`",
        ),
        (
            r#"{"origins": ["https://a.test", "null"], "credentials": true}"#,
            "credentials: expected `false` with the origin `*` or `null`, found `true`",
        ),
        (
            r#"{"origins": ["https://a.test/"]}"#,
            "origins[0]: expected an origin without path as in `https://app.example.com` or \
             `https://*.example.com`, found `https://a.test/`",
        ),
        (r#"{"origins": ["https://a.test", "*"]}"#, "origins[1]: expected `*` to be the only entry"),
        (r#"{"max_age": "25h"}"#, "max_age: expected 0s to 1d, found 25h"),
        (r#"{"methods": ["GET", "*"]}"#, "methods[1]: expected a name without `*`, found `*`"),
        (r#"{"methods": ["TRACE"]}"#, "methods[0]: expected a method that scripts can send"),
        (r#"{"request_headers": ["a b"]}"#, "request_headers[0]: expected a name without `*`, found `a b`"),
        (r#"{"exposed_headers": ["*"]}"#, "exposed_headers[0]: expected a name without `*`, found `*`"),
        (
            r#"{"allow_origin": []}"#,
            "allow_origin: expected one of `mode`, `origins`, `methods`, `request_headers`, `exposed_headers`, \
             `credentials`, `max_age`, `private_network`, found unknown field `allow_origin`",
        ),
    ] {
        assert_eq!(load(document).unwrap_err(), expected, "{document}");
    }
    let many = format!(r#"{{"methods": [{}"X"]}}"#, r#""X", "#.repeat(100));
    assert_eq!(load(&many).unwrap_err(), "methods: expected at most 100, found 101");
    assert!(load(r#"{"max_age": "24h"}"#).is_ok());
    assert!(load(r#"{"origins": ["null"]}"#).is_ok());
}

fn origins() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(https?|HTTPS)://(good|GOOD|evil|a)(\\.|X)?(test|apps\\.test)(:443|:80|:1|\\.evil\\.test|/)?"
            .prop_map(String::into_bytes),
        Just(b"null".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn response_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![
        proptest::sample::select(FIELDS.to_vec()).prop_map(str::to_owned),
        Just("vary".to_owned()),
        "access-control-[a-z]{0,3}",
        "[a-z]{1,3}",
    ];
    let value = prop_oneof![
        "(\\*|true|null|[Oo]rigin|accept|, ){0,3}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..10),
        origins(),
    ];
    proptest::collection::vec((name, value), 0..8)
}

fn headers(fields: &[(String, Vec<u8>)]) -> Headers {
    let mut headers = Headers::default();
    fields.iter().for_each(|(name, value)| headers.append(name.as_bytes(), value));
    headers
}

proptest! {
    // covers: HG-RSP-08
    #[test]
    fn doing_it_twice_changes_nothing_more_and_nobody_unlisted_is_echoed(
        asked in proptest::collection::vec(origins(), 0..3),
        is_preflight: bool,
        fields in response_fields(),
        policy in proptest::sample::select(vec![GOOD, CREDENTIALS, ANY, "{}"]),
    ) {
        let cors = load(policy).unwrap();
        let mut sent = Headers::default();
        if is_preflight {
            sent.append(b":method", b"OPTIONS");
            sent.append(b"access-control-request-method", b"GET");
        }
        asked.iter().for_each(|origin| sent.append(b"origin", origin));
        let request = Request::new(sent, true);
        let once = responded(&cors, Some(&request), headers(&fields));
        let twice = responded(&cors, Some(&request), once.clone());
        prop_assert_eq!(text(&once), text(&twice));
        let allowed = once.single(ALLOW_ORIGIN.as_bytes()).unwrap();
        let allowed = allowed.map(|origin| String::from_utf8(origin.to_vec()).unwrap());
        let is_listed = match allowed.as_deref() {
            None => true,
            Some("*") => policy == ANY,
            Some("https://good.test") => policy == GOOD || policy == CREDENTIALS,
            Some("https://good.apps.test" | "https://evil.apps.test" | "https://a.apps.test") => policy == GOOD,
            Some(_) => false,
        };
        prop_assert!(is_listed, "{:?}", allowed);
        // Fields of others stay, in their order.
        let others = |headers: &Headers| {
            let kept = |(name, _): &(String, String)| name != "vary" && !name.starts_with("access-control-");
            text(headers).into_iter().filter(kept).collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&once), others(&headers(&fields)));
    }

    #[test]
    fn mending_twice_changes_nothing_more(fields in response_fields()) {
        let mend = |headers: Headers| {
            let response = Response::new(headers, true);
            let mut after = response.headers().clone();
            let found = check_upstream(&response, &mut |edit| edit.apply(&mut after));
            (found, after)
        };
        let (_, once) = mend(headers(&fields));
        let (found, twice) = mend(once.clone());
        prop_assert_eq!(found, None);
        prop_assert_eq!(text(&once), text(&twice));
    }

    #[test]
    fn any_bytes_are_judged(fields in proptest::collection::vec(
        (
            proptest::sample::select(vec![
                "origin", ":method", "access-control-request-method", "access-control-request-headers",
                "access-control-request-private-network",
            ]),
            prop_oneof![proptest::collection::vec(any::<u8>(), 0..20), Just(b"OPTIONS".to_vec()), origins()],
        ),
        0..6,
    )) {
        let mut sent = Headers::default();
        fields.iter().for_each(|(name, value)| sent.append(name.as_bytes(), value));
        let request = Request::new(sent, true);
        for policy in [GOOD, CREDENTIALS, ANY] {
            let _ = load(policy).unwrap().judge(&request);
        }
    }
}
