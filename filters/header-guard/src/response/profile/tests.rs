use portcullis_core::config;
use portcullis_core::headers::Headers;
use proptest::prelude::*;

use super::*;

fn hardening(config: &str) -> Hardening {
    Hardening::new(&config::load(config.as_bytes()).unwrap()).unwrap()
}

fn harden(rules: &Hardening, headers: Headers, secure: bool) -> Headers {
    let response = Response::new(headers, true);
    let mut after = response.headers().clone();
    rules.apply(&response, secure, &mut |edit| edit.apply(&mut after));
    after
}

fn after(rules: &Hardening, fields: &[(&str, &str)], secure: bool) -> Headers {
    harden(rules, fields.iter().copied().collect(), secure)
}

fn assert_fields(headers: &Headers, expected: &[(&str, &str)], name: &str) {
    let fields: Vec<_> = headers.iter().collect();
    let expected: Vec<_> = expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    assert_eq!(fields, expected, "{name}");
}

// covers: HG-RSP-01, HG-RSP-03, ENV-LIFE-15
#[test]
fn every_final_response_has_the_profile_once() {
    let rules = hardening("{}");
    for status in ["200", "204", "301", "304", "400", "401", "403", "429", "500", "503"] {
        for secure in [true, false] {
            let headers = after(&rules, &[(":status", status), ("content-type", "text/plain")], secure);
            for (name, value, _) in API_PROFILE {
                let expected = (secure || *name != "strict-transport-security").then_some(value.as_bytes());
                assert_eq!(headers.single(name.as_bytes()), Ok(expected), "{status} {name} {secure}");
            }
        }
    }
    assert_fields(
        &after(&rules, &[(":status", "101"), ("upgrade", "websocket")], true),
        &[
            (":status", "101"),
            ("upgrade", "websocket"),
            ("strict-transport-security", "max-age=63072000; includeSubDomains"),
        ],
        "101",
    );
}

// covers: HG-RSP-06
#[test]
fn no_value_ends_its_line() {
    let rules = hardening(r#"{"keep": ["x-kept"]}"#);
    let injected = "/x\r\nset-cookie: a=b";
    for (name, sent, expected) in [
        ("unknown", vec![("location", injected), ("location", "/y")], None),
        ("kept", vec![("x-kept", injected)], None),
        ("leaking", vec![("server", injected)], None),
        ("of the profile", vec![("x-frame-options", injected)], Some("DENY")),
        (
            "of the profile, twice",
            vec![("cache-control", injected), ("cache-control", "public")],
            Some("no-store"),
        ),
        ("a tabulator ends none", vec![("x-kept", "a\tb")], Some("a\tb")),
    ] {
        let (field, _) = sent[0];
        let headers = after(&rules, &[&[(":status", "200")], &sent[..]].concat(), true);
        assert_eq!(headers.single(field.as_bytes()), Ok(expected.map(str::as_bytes)), "{name}");
    }
}

// covers: HG-RSP-02
#[test]
fn a_weaker_value_is_replaced_where_the_profile_overrides() {
    let rules = hardening(r#"{"add": {"content-security-policy": "default-src 'self'"}}"#);
    for (name, sent, secure, expected) in [
        ("weaker", ("x-frame-options", "ALLOWALL"), true, &["DENY"][..]),
        (
            "switched off",
            ("strict-transport-security", "max-age=0"),
            true,
            &["max-age=63072000; includeSubDomains"],
        ),
        ("upstream's HSTS over plaintext", ("strict-transport-security", "max-age=9"), false, &[]),
        ("kept", ("cache-control", "max-age=60"), true, &["max-age=60"]),
        ("added if absent", ("content-security-policy", "sandbox"), true, &["sandbox"]),
    ] {
        let headers = after(&rules, &[(":status", "200"), sent], secure);
        assert_eq!(
            headers.all(sent.0.as_bytes()).collect::<Vec<_>>(),
            expected.iter().map(|v| v.as_bytes()).collect::<Vec<_>>(),
            "{name}"
        );
    }
    let twice = [
        ("x-frame-options", "DENY"),
        ("x-frame-options", "DENY"),
        ("cache-control", "a"),
        ("cache-control", "b"),
    ];
    let headers = after(&rules, &twice, true);
    assert_eq!(headers.single(b"x-frame-options"), Ok(Some(&b"DENY"[..])));
    // Two policies are their intersection, two lists one list: neither is ours to collapse.
    assert_eq!(headers.all(b"cache-control").count(), 2);
}

// covers: HG-RSP-05
#[test]
fn fields_that_tell_about_the_software_are_removed() {
    let rules = hardening("{}");
    for name in LEAKING.iter().chain(DEPRECATED).map(|name| name.replace('*', "anything")) {
        let headers = after(
            &rules,
            &[(":status", "200"), (&name, "Apache/2.4.41"), (&name, "b"), ("x-own", "1")],
            true,
        );
        assert!(!headers.contains(name.as_bytes()), "{name}");
        assert!(headers.contains(b"x-own"), "{name}");
    }
}

#[test]
fn the_operator_has_the_last_word() {
    let rules = hardening(
        r#"{"set": {"Server": "api", "referrer-policy": "same-origin", "x-new": "1"},
            "add": {"cross-origin-resource-policy": "cross-origin"},
            "remove": ["x-internal-*", "x-dns-prefetch-control"],
            "keep": ["via", "x-frame-options", "x-internal-id"]}"#,
    );
    let sent = [
        ("server", "nginx"),
        ("via", "1.1 a"),
        ("x-internal-id", "7"),
        ("x-internal-host", "db"),
        ("x-dns-prefetch-control", "on"),
    ];
    let headers = after(&rules, &sent, false);
    for (name, expected) in [
        ("server", Some("api")),
        ("referrer-policy", Some("same-origin")),
        ("x-new", Some("1")),
        ("cross-origin-resource-policy", Some("cross-origin")),
        ("x-internal-host", None),
        ("x-internal-id", Some("7")),
        ("x-dns-prefetch-control", None),
        ("via", Some("1.1 a")),
        ("x-frame-options", None),
        ("x-content-type-options", Some("nosniff")),
    ] {
        assert_eq!(headers.single(name.as_bytes()), Ok(expected.map(str::as_bytes)), "{name}");
    }
    let none = hardening(r#"{"profile": "none"}"#);
    assert_fields(&after(&none, &[("server", "x"), ("a", "b")], true), &[("a", "b")], "no profile");
}

#[test]
fn mistakes_are_configuration_errors() {
    for (config, expected) in [
        (r#"{"set": {"a b": "1"}}"#, "set.a b: expected a header name"),
        (r#"{"set": {"x-*": "1"}}"#, "set.x-*: expected a header name"),
        (r#"{"set": {":status": "1"}}"#, "set.:status: expected a header name"),
        (r#"{"set": {"x-a": "1\r\nx: y"}}"#, "set.x-a: expected printable ASCII without space around it"),
        (r#"{"add": {"x-a": ""}}"#, "add.x-a: expected printable ASCII without space around it"),
        (
            r#"{"set": {"content-length": "1"}}"#,
            "set.content-length: expected a field that does not frame the message",
        ),
        (
            r#"{"set": {"x-a": "1"}, "add": {"X-A": "2"}}"#,
            "add.X-A: expected a name that is in no other list",
        ),
        (r#"{"set": {"x-a": "1"}, "remove": ["x-a"]}"#, "set.x-a: expected a name that is in no other list"),
        (r#"{"remove": ["x-a"], "keep": ["x-a"]}"#, "remove[0]: expected a name that is not in `keep` too"),
    ] {
        let error = Hardening::new(&config::load(config.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let many: Vec<String> = (0..60).map(|n| format!("\"x-{n}\": \"1\"")).collect();
    let error =
        Hardening::new(&config::load(format!("{{\"set\": {{{}}}}}", many.join(",")).as_bytes()).unwrap());
    assert_eq!(error.unwrap_err().to_string(), "set: expected at most 64 fields to set, found 70");
}

fn any_response() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names: Vec<String> = LEAKING
        .iter()
        .chain(DEPRECATED)
        .map(|name| name.replace('*', "a"))
        .chain(API_PROFILE.iter().map(|(name, ..)| (*name).to_owned()))
        .chain(["set-cookie", "content-type", "x-own", "location"].map(str::to_owned))
        .collect();
    let value = proptest::collection::vec(any::<u8>(), 0..12);
    proptest::collection::vec((proptest::sample::select(names), value), 0..12)
}

proptest! {
    // covers: HG-RSP-04, HG-SYN-14
    #[test]
    fn a_second_pass_changes_nothing_more(sent in any_response(), secure: bool) {
        let rules = hardening("{}");
        let once = harden(&rules, sent.into_iter().collect(), secure);
        let mut edited = false;
        rules.apply(&Response::new(once, true), secure, &mut |_| edited = true);
        prop_assert!(!edited);
    }

    #[test]
    fn other_fields_stay_byte_for_byte_and_in_order(sent in any_response(), secure: bool) {
        let rules = hardening("{}");
        let before: Headers = sent.into_iter().collect();
        let others = |headers: &Headers| -> Vec<(Vec<u8>, Vec<u8>)> {
            let is_ours = |name: &[u8]| rules.table.find(name).is_some();
            let is_broken = |name: &[u8]| name != b"set-cookie" && before.all(name).any(bytes::has_control);
            let unnamed = headers.iter().filter(|(name, _)| !is_ours(name) && !is_broken(name));
            unnamed.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
        };
        let expected = others(&before);
        prop_assert_eq!(others(&harden(&rules, before.clone(), secure)), expected);
    }
}
