use portcullis_core::Flow;
use portcullis_core::verdict::Mode;

use super::*;

fn load(document: &str) -> Result<Policy, String> {
    Policy::load(document.as_bytes()).map_err(|error| error.to_string())
}

/// The mode and the status of what is refused or reported; of what is neither the mode `off` can't be told from none.
fn judged(policy: &Policy, request: &Request, edit: &mut dyn FnMut(Edit<'_>)) -> Option<(Mode, u16)> {
    let mut reported = None;
    let checks = policy.select(request).unwrap();
    match checks.judge(request, Peer::Stranger, &|| None, edit, &mut |denial| {
        reported = Some((Mode::Report, denial.status))
    }) {
        Flow::Deny(denial) => Some((Mode::Enforce, denial.status)),
        Flow::Continue => reported,
        flow => panic!("{flow:?}"),
    }
}

#[test]
fn nothing_is_a_full_configuration() {
    assert!(load("").is_ok());
    assert!(load("{}").is_ok());
    assert!(load(r#"{"zone": "edge"}"#).is_ok());
}

// covers: ENV-HDR-08
#[test]
fn a_proxy_is_trusted_by_its_address_only() {
    let policy = load(r#"{"zone": {"trusted_proxy": {"addresses": ["10.1.2.0/24"]}}}"#).unwrap();
    for (address, expected) in [
        (Some("10.1.2.3"), Peer::TrustedProxy),
        (Some("10.1.3.3"), Peer::Stranger),
        (Some("192.168.0.1"), Peer::Stranger),
        (None, Peer::Stranger),
    ] {
        assert_eq!(policy.peer(|| Some(address?.parse().unwrap()), || None), expected, "{address:?}");
    }
    let policy = load(r#"{"zone": {"trusted_proxy": {"addresses": ["10.1.2.0/24"], "tls": true}}}"#).unwrap();
    for (address, expected) in [("10.1.2.3", Peer::TlsProxy), ("10.1.3.3", Peer::Stranger)] {
        assert_eq!(policy.peer(|| address.parse().ok(), || None), expected, "{address}");
    }
    // At the edge the proxy is not even asked.
    assert_eq!(
        load("{}").unwrap().peer(|| panic!("asked for the address"), || panic!("asked for the URI")),
        Peer::Stranger
    );
}

#[test]
fn mistakes_are_named_by_their_path() {
    for (document, expected) in [
        (
            r#"{"zone": {"trusted_proxy": {"addresses": ["x"]}}}"#,
            "zone.trusted_proxy.addresses[0]: expected a network",
        ),
        (
            r#"{"zone": {"trusted_proxy": {"addresses": []}}}"#,
            "zone.trusted_proxy.addresses: expected 1 to 256",
        ),
        (
            r#"{"zone": {"trusted_proxy": {"addresses": ["::1"], "keep": ["*"]}}}"#,
            "zone.trusted_proxy.keep[0]: ",
        ),
        (
            r#"{"zone": {"trusted_proxy": {"addresses": ["::1"], "hops": 32}}}"#,
            "zone.trusted_proxy.hops: expected 1 to 31, found 32",
        ),
        (r#"{"request": {"max_headers": 0}}"#, "request.max_headers: expected 1 to 1000"),
        (r#"{"request": {"max_cookies": 1001}}"#, "request.max_cookies: expected 0 to 1000"),
        (
            r#"{"request": {"session_cookies": ["a b"]}}"#,
            "request.session_cookies[0]: expected a cookie's name",
        ),
        (r#"{"request": {"max_values": {"a b": "1B"}}}"#, "request.max_values.a b: expected a header name"),
        (r#"{"request": {"keep": ["a b"]}}"#, "request.keep[0]: expected a header name"),
        (r#"{"response": {"set": {"a": ""}}}"#, "response.set.a: expected printable"),
        (r#"{"respnse": {}}"#, "respnse: expected one of `zone`"),
        (r#"{"request": {"max_value": 8192}}"#, "request.max_value: "),
        (r#"{"zone": "mesh"}"#, "zone.mesh: expected an object"),
        (r#"{"zone": {"mesh": {"identities": ["x"]}}}"#, "zone.mesh.identities[0]: expected a SPIFFE ID"),
        (
            r#"{"zone": {"mesh": {"identities": ["spiffe://a.test/x"], "keep": ["*"]}}}"#,
            "zone.mesh.keep[0]: ",
        ),
        (r#"{"request": {"allow": ["a b"]}}"#, "request.allow[0]: expected a header name"),
        (r#"{"request": {"hosts": ["a b"]}}"#, "request.hosts[0]: expected a host"),
        (r#"{"cors": {"origins": ["x"]}}"#, "cors.origins[0]: "),
        (r#"{"cross_site": {"allow_origins": ["*"]}}"#, "cross_site.allow_origins"),
        (
            r#"{"response": {"redirects": {"hosts": ["a/b"]}}}"#,
            "response.redirects.hosts[0]: expected a host",
        ),
        (
            r#"{"response": {"set_cookie": {"script_readable": [""]}}}"#,
            "response.set_cookie.script_readable[0]",
        ),
        (r#"{"rules": [{"id": ""}]}"#, "rules[0].id: expected a text, found nothing"),
        (
            r#"{"rules": [{"id": "a", "match": {"path": "/a"}}, {"id": "a"}]}"#,
            "rules[1].id: expected a value of its own",
        ),
        (r#"{"rules": [{"id": "a", "match": {"path": "a"}}]}"#, "rules[0].match.path"),
        (r#"{"rules": [{"id": "a", "request": {"max_headers": 0}}]}"#, "rules[0].request.max_headers: "),
    ] {
        let error = load(document).unwrap_err();
        assert!(error.starts_with(expected), "{document}: {error}");
    }
}

#[test]
fn limits_hold_in_every_mode_and_the_rest_follows_the_mode() {
    for (mode, expected) in [("enforce", Some(Mode::Enforce)), ("report", Some(Mode::Report)), ("off", None)]
    {
        let policy = load(&format!(r#"{{"request": {{"mode": "{mode}", "max_headers": 2}}}}"#)).unwrap();
        let judge = |fields: &[(&str, &str)]| {
            let request = Request::new(fields.iter().copied().collect(), false);
            judged(&policy, &request, &mut |_| {})
        };
        assert_eq!(judge(&[("content-length", "x")]), expected.map(|mode| (mode, 400)));
        assert_eq!(judge(&[("a", ""), ("b", ""), ("c", "")]), Some((Mode::Enforce, 431)));
        assert_eq!(judge(&[("a", ""), ("b", "")]), None);
    }
}

// covers: HG-REQ-18
#[test]
fn a_value_over_its_own_bound_is_refused_in_every_mode_and_passes_whole_below_it() {
    for (mode, cookies) in [("enforce", Some(Mode::Enforce)), ("report", Some(Mode::Report)), ("off", None)] {
        let policy = load(&format!(r#"{{"request": {{"mode": "{mode}", "max_cookies": 1}}}}"#)).unwrap();
        let judge = |name: &str, value: &str| {
            let request = Request::new([(name, value)].into_iter().collect(), true);
            let mut edited = false;
            let denial = judged(&policy, &request, &mut |_| edited = true);
            assert!(!edited, "{name}");
            denial
        };
        for (name, bound) in [("user-agent", 1024), ("referer", 4096)] {
            assert_eq!(judge(name, &"a".repeat(bound)), None, "{name}");
            assert_eq!(judge(name, &"a".repeat(bound + 1)), Some((Mode::Enforce, 431)), "{name}");
        }
        assert_eq!(judge("cookie", "a=1; b=2"), cookies.map(|mode| (mode, 431)));
    }
}

// covers: HG-RSP-03
#[test]
fn tls_is_what_a_trusted_proxy_says_and_what_a_stranger_cannot_say_alone() {
    for (scheme, forwarded, stranger, proxy) in [
        ("https", None, true, true),
        ("http", None, false, false),
        ("https", Some("https"), true, true),
        ("https", Some("http"), false, false),
        ("http", Some("https"), false, true),
    ] {
        let fields =
            [(":scheme", scheme)].into_iter().chain(forwarded.map(|value| ("x-forwarded-proto", value)));
        let headers: Headers = fields.collect();
        assert_eq!(is_secure(&headers, Peer::Stranger), stranger, "{scheme} {forwarded:?}");
        assert_eq!(is_secure(&headers, Peer::TrustedProxy), proxy, "{scheme} {forwarded:?}");
        assert!(is_secure(&headers, Peer::TlsProxy), "{scheme} {forwarded:?}");
    }
    let two = [(":scheme", "https"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "https")];
    assert!(!is_secure(&two.into_iter().collect(), Peer::TrustedProxy));
}

/// The examples of the user's page must be true.
#[test]
fn every_example_of_the_page_is_accepted() {
    let page = include_str!("../../../../docs/header-guard.md");
    let examples = portcullis_host::fake::fenced_blocks(page, "json");
    assert!(examples.len() >= 3);
    for example in examples {
        load(&example).unwrap_or_else(|error| panic!("{error} in {example}"));
    }
}

/// The lists of the user's page must be whole.
#[test]
fn the_page_names_every_field() {
    let page = include_str!("../../../../docs/header-guard.md");
    let stripped = crate::data::STRIPPED.iter().map(|(name, _)| *name);
    let singles = crate::data::KNOWN.iter().map(|(name, ..)| *name);
    let leaking = crate::data::LEAKING.iter().chain(crate::data::DEPRECATED).copied();
    let profile = crate::data::API_PROFILE.iter().flat_map(|(name, value, _)| [*name, *value]);
    let web = crate::data::WEB_PROFILE.iter().map(|(name, ..)| *name);
    for text in stripped.chain(web).chain(singles).chain(leaking).chain(profile).chain([crate::data::VERSION])
    {
        assert!(page.contains(&format!("`{text}`")), "{text}");
    }
}
