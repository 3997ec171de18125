use proptest::prelude::*;

use super::*;

fn list(origins: &[&str]) -> Result<OriginList, String> {
    let texts: Vec<String> = origins.iter().map(|text| (*text).to_owned()).collect();
    OriginList::parse(&texts).map_err(|error| error.to_string())
}

fn parsed(text: &str) -> Option<String> {
    Origin::parse(text.as_bytes()).map(|origin| origin.to_string())
}

// covers: HG-REQ-16
#[test]
fn an_origin_has_one_spelling() {
    for (name, text, expected) in [
        ("as browsers write it", "https://good.test", "https://good.test"),
        ("upper case and default port", "HTTPS://GOOD.test:443", "https://good.test"),
        ("default port of http", "http://good.test:80", "http://good.test"),
        ("default port of the other scheme", "http://good.test:443", "http://good.test:443"),
        ("another port", "https://good.test:8443", "https://good.test:8443"),
        ("port 0", "https://good.test:0", "https://good.test:0"),
        ("one label", "http://localhost:3000", "http://localhost:3000"),
        ("an address", "http://192.0.2.1", "http://192.0.2.1"),
        ("an IPv6 address", "https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
        ("final dot", "https://good.test.", "https://good.test."),
        ("browser extension", "chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("opaque", "null", "null"),
    ] {
        assert_eq!(parsed(text).as_deref(), Some(expected), "{name}");
    }
}

// covers: HG-REQ-16
#[test]
fn what_is_no_serialized_origin_is_none() {
    for text in [
        "",
        "good.test",
        "//good.test",
        "https:good.test",
        "https://",
        "https:///",
        "https://good.test/",
        "https://good.test/path",
        "https://good.test?x",
        "https://good.test#x",
        "https://good.test\\@evil.test",
        "https://user@good.test",
        "https://user:pw@good.test",
        "https://good.test:",
        "https://good.test:0443",
        "https://good.test:+443",
        "https://good.test:65536",
        "https://good.test:443:443",
        "https://good.test https://evil.test",
        "https://good.test,https://evil.test",
        " https://good.test",
        "https://good.test ",
        "https://good..test",
        "https://.good.test",
        "https://good.test..",
        "https://*.good.test",
        "https://g%6fod.test",
        "https://good.test\0",
        "https://good\u{e9}.test",
        "https://[::1",
        "https://[::1]x",
        "https://[fe80::1%25eth0]",
        "https://::1",
        "1https://good.test",
        "://good.test",
        "NULL",
        "null ",
        "*",
        "file://",
    ] {
        assert_eq!(parsed(text), None, "{text:?}");
    }
    assert_eq!(Origin::parse(b"https://\xff.test"), None);
    assert_eq!(parsed(&format!("{}://a", "a".repeat(509))), None);
}

// covers: HG-REQ-16
#[test]
fn only_the_very_origin_is_on_the_list() {
    let exact = list(&["https://good.test", "https://other.test:8443", "http://[::1]:3000"]).unwrap();
    for (name, origin, expected) in [
        ("itself", "https://good.test", Some("https://good.test")),
        ("in other words", "https://GOOD.test:443", Some("https://good.test")),
        ("second entry", "https://other.test:8443", Some("https://other.test:8443")),
        ("IPv6", "http://[0::1]:3000", Some("http://[::1]:3000")),
        ("another scheme", "http://good.test", None),
        ("another scheme on the same port", "http://good.test:443", None),
        ("another port", "https://good.test:8443", None),
        ("missing port", "https://other.test", None),
        ("prefix", "https://good.test.evil.test", None),
        ("suffix", "https://evilgood.test", None),
        ("subdomain", "https://a.good.test", None),
        ("a dot is a dot", "https://goodXtest", None),
        ("final dot", "https://good.test.", None),
        ("null", "null", None),
    ] {
        let origin = Origin::parse(origin.as_bytes()).unwrap();
        assert_eq!(exact.find(&origin).as_deref(), expected, "{name}");
    }
    let opaque = list(&["null"]).unwrap();
    assert!(opaque.is_open() && !opaque.is_any());
    assert_eq!(opaque.find(&Origin::Opaque).as_deref(), Some("null"));
    assert_eq!(opaque.find(&Origin::parse(b"https://null").unwrap()), None);
    assert!(!exact.is_open());
}

// covers: HG-REQ-16
#[test]
fn a_wildcard_is_one_label_of_the_parsed_host() {
    let patterns = list(&["https://*.Good.test", "http://*.dev.test:3000"]).unwrap();
    for (origin, expected) in [
        ("https://a.good.test", Some("https://a.good.test")),
        ("https://A.GOOD.test:443", Some("https://a.good.test")),
        ("http://a.dev.test:3000", Some("http://a.dev.test:3000")),
        ("http://a.dev.test", None),
        ("https://a.b.good.test", None),
        ("https://good.test", None),
        ("https://evilgood.test", None),
        ("https://a.good.test.evil.test", None),
        ("https://a.good.test.", None),
        ("https://a.good.test:8443", None),
        ("http://a.good.test", None),
        ("null", None),
    ] {
        let origin = Origin::parse(origin.as_bytes()).unwrap();
        assert_eq!(patterns.find(&origin).as_deref(), expected, "{origin}");
    }
}

#[test]
fn mistakes_in_a_list_are_named() {
    let form =
        "expected an origin without path as in `https://app.example.com` or `https://*.example.com`, found";
    for (origins, expected) in [
        (&["https://a.test", "https://a.test/"][..], format!("[1]: {form} `https://a.test/`")),
        (&["a.test"], format!("[0]: {form} `a.test`")),
        (&["https://*"], format!("[0]: {form} `https://*`")),
        (&["https://*.test"], format!("[0]: {form} `https://*.test`")),
        (&["https://a.*.test"], format!("[0]: {form} `https://a.*.test`")),
        (&["https://*a.good.test"], format!("[0]: {form} `https://*a.good.test`")),
        (&["https://*.*.good.test"], format!("[0]: {form} `https://*.*.good.test`")),
        (&["*://*.good.test"], format!("[0]: {form} `*://*.good.test`")),
        (&["https://*.0.0.1"], format!("[0]: {form} `https://*.0.0.1`")),
        (&["https://*.good.test:*"], format!("[0]: {form} `https://*.good.test:*`")),
        (&["https://a.test", "*"], "[1]: expected `*` to be the only entry".to_owned()),
        (&["https://a.test"; 257], "configuration: expected at most 256 origins, found 257".to_owned()),
    ] {
        assert_eq!(list(origins).unwrap_err(), expected);
    }
    assert!(list(&["https://a.test"; 256]).is_ok());
    assert!(list(&["*"]).unwrap().is_any());
}

#[test]
fn the_origin_of_a_url_is_what_stands_before_its_path() {
    for (url, expected) in [
        ("https://good.test/a?b#c", Some("https://good.test")),
        ("https://good.test:443", Some("https://good.test")),
        ("https://good.test?https://evil.test/", Some("https://good.test")),
        ("https://good.test#/", Some("https://good.test")),
        ("https://good.test@evil.test/", None),
        ("https://evil.test\\.good.test/", None),
        ("/a", None),
        ("about:blank", None),
        ("null", None),
        ("", None),
    ] {
        assert_eq!(
            Origin::of_url(url.as_bytes()).map(|origin| origin.to_string()).as_deref(),
            expected,
            "{url}"
        );
    }
}

#[test]
fn the_own_origin_is_the_authority_under_the_scheme_of_the_connection() {
    for (name, fields, secure, expected) in [
        ("over TLS", &[(":authority", "API.test")][..], true, Some("https://api.test")),
        (
            "TLS ends before us",
            &[(":scheme", "http"), (":authority", "api.test")],
            true,
            Some("https://api.test"),
        ),
        ("plain", &[(":authority", "api.test:80")], false, Some("http://api.test")),
        ("another port", &[(":authority", "api.test:8443")], true, Some("https://api.test:8443")),
        ("host", &[("host", "api.test")], true, Some("https://api.test")),
        ("two", &[(":authority", "api.test"), (":authority", "evil.test")], true, None),
        ("two hosts", &[("host", "api.test"), ("host", "evil.test")], true, None),
        ("none", &[], true, None),
        ("not a host", &[(":authority", "a@b")], true, None),
    ] {
        let request = Request::new(fields.iter().copied().collect(), true);
        let origin = Origin::of_target(&request, secure).map(|origin| origin.to_string());
        assert_eq!(origin.as_deref(), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn a_serialization_reads_back_as_the_same_origin(
        text in "(HTTPS?|https?|app)://([a-zA-Z0-9_-]{1,5}\\.?){1,3}(:[0-9]{1,5})?",
    ) {
        if let Some(origin) = Origin::parse(text.as_bytes()) {
            let again = origin.to_string();
            prop_assert_eq!(Origin::parse(again.as_bytes()), Some(origin.clone()));
            prop_assert_eq!(Origin::of_url(text.as_bytes()), Some(origin));
        }
    }

    #[test]
    fn any_bytes_are_an_origin_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = (Origin::parse(&bytes), Origin::of_url(&bytes));
    }
}
