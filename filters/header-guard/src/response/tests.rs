use portcullis_core::config;
use portcullis_core::headers::Headers;
use proptest::prelude::*;

use super::*;

fn responses(config: &str) -> Responses {
    Responses::new(&config::load(config.as_bytes()).unwrap()).unwrap()
}

fn get(fields: &[(&str, &str)]) -> Request {
    let head = [(":method", "GET"), (":authority", "api.test"), (":path", "/")];
    Request::new(head.iter().chain(fields).copied().collect(), true)
}

/// What comes out, and what is noted.
fn apply(rules: &Responses, request: &Request, response: &Response) -> (Headers, Vec<&'static str>) {
    let (mut after, mut found) = (response.headers().clone(), Vec::new());
    let context =
        Context { request: Some(request), secure: true, now: &|| UnixTime::from_secs(1_800_000_000) };
    rules.apply(context, response, &mut |edit| match edit {
        Edit::Found(code) => found.push(code),
        edit => edit.apply(&mut after),
    });
    (after, found)
}

#[test]
fn interim_responses_stay_as_they_are() {
    for status in ["100", "102", "103"] {
        let sent: Headers =
            [(":status", status), ("server", "x"), ("location", "javascript:x")].into_iter().collect();
        let (after, found) = apply(&responses("{}"), &get(&[]), &Response::new(sent.clone(), true));
        assert_eq!((after, found), (sent, vec![]), "{status}");
    }
}

// covers: HG-RSP-10
#[test]
fn a_body_of_which_nobody_says_what_it_is_is_noted() {
    for (name, status, fields, is_empty, expected) in [
        ("a body", "200", vec![], false, true),
        ("a body of an error", "500", vec![], false, true),
        ("with its type", "200", vec![("content-type", "text/plain")], false, false),
        ("no body", "200", vec![], true, false),
        ("not modified", "304", vec![], false, false),
    ] {
        let headers = [&[(":status", status)], &fields[..]].concat().into_iter().collect();
        let (after, found) = apply(&responses("{}"), &get(&[]), &Response::new(headers, is_empty));
        assert_eq!(found.contains(&NO_CONTENT_TYPE), expected, "{name}");
        assert_eq!(after.single(b"x-content-type-options"), Ok(Some(&b"nosniff"[..])), "{name}");
    }
}

#[test]
fn each_check_is_made_of_what_the_ones_before_left() {
    let sent = [
        (":status", "302"),
        ("content-type", "text/html"),
        ("location", "https://evil.test/"),
        ("set-cookie", "sid=1; Secure; HttpOnly; SameSite=Lax"),
        ("cache-control", "public"),
    ];
    let rules = responses(r#"{"redirects": {"hosts": ["login.test"]}}"#);
    let (after, found) = apply(&rules, &get(&[]), &Response::new(sent.into_iter().collect(), true));
    assert_eq!(found, ["location.foreign", "cache.cookie"]);
    assert!(!after.contains(b"location"));
    assert_eq!(after.single(b"cache-control"), Ok(Some(&b"private, no-store"[..])));
}

#[test]
fn a_response_to_credentials_is_kept_by_nobody_in_either_way() {
    let sent = || Response::new([(":status", "200"), ("content-type", "a/b")].into_iter().collect(), true);
    let request = get(&[("authorization", "Bearer x")]);
    for (config, expected, noted) in [
        ("{}", Some("no-store"), vec![]),
        (r#"{"profile": "none"}"#, Some("private, no-store"), vec!["cache.credentials"]),
        (r#"{"profile": "none", "caching": "off"}"#, None, vec![]),
        (r#"{"profile": "none", "caching": "report"}"#, None, vec!["cache.credentials"]),
    ] {
        let (after, found) = apply(&responses(config), &request, &sent());
        assert_eq!(after.single(b"cache-control"), Ok(expected.map(str::as_bytes)), "{config}");
        assert_eq!(found, noted, "{config}");
    }
}

#[test]
fn a_page_has_the_profile_of_the_web_and_its_own_policy() {
    let rules = responses(r#"{"profile": "web-2026"}"#);
    let own = [
        (":status", "200"),
        ("content-type", "text/html"),
        ("content-security-policy", "default-src 'self'"),
    ];
    let (after, _) = apply(&rules, &get(&[]), &Response::new(own.into_iter().collect(), false));
    for (name, value, _) in crate::data::WEB_PROFILE {
        let expected = if *name == "content-security-policy" { "default-src 'self'" } else { value };
        assert_eq!(after.single(name.as_bytes()), Ok(Some(expected.as_bytes())), "{name}");
    }
    assert!(config::load::<ResponseConfig>(br#"{"profile": "api-2025"}"#).is_err());
}

proptest! {
    // covers: HG-SYN-14
    #[test]
    fn a_second_pass_changes_nothing_more(
        sent in proptest::collection::vec(
            (
                proptest::sample::select(vec!["location", "cache-control", "set-cookie", "server", "content-type", "x-own"]),
                "(public|private|no-store|max-age=1|//evil.test|/a|javascript:x|a=b|\r\n)?",
            ),
            0..8,
        ),
        credentials: bool,
    ) {
        let rules = responses(r#"{"profile": "none", "redirects": {"hosts": ["login.test"]}}"#);
        let request = get(if credentials { &[("cookie", "a=b")] } else { &[] });
        let (once, _) = apply(&rules, &request, &Response::new(sent.into_iter().collect(), true));
        let (twice, _) = apply(&rules, &request, &Response::new(once.clone(), true));
        prop_assert_eq!(twice, once);
    }
}
