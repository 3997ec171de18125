use portcullis_core::config;
use proptest::prelude::*;

use super::*;

const ENFORCE: &str = r#"{"mode": "enforce", "allow_origins": ["https://app.test", "https://*.apps.test"]}"#;

fn load(document: &str) -> Result<CrossSite, String> {
    let config: CrossSiteConfig = config::load(document.as_bytes()).map_err(|error| error.to_string())?;
    CrossSite::new(&config).map_err(|error| error.to_string())
}

/// Whether a request to `https://api.test` with these fields passes.
fn passes(policy: &CrossSite, method: &str, fields: &[(&str, &str)]) -> bool {
    let head = [(":method", method), (":scheme", "https"), (":authority", "api.test"), (":path", "/")];
    let request = Request::new(head.into_iter().chain(fields.iter().copied()).collect(), false);
    let denial = policy.judge(&request, true);
    if let Some(denial) = &denial {
        assert_eq!((denial.status, denial.reason.as_str()), (403, "header.cross_site"));
    }
    denial.is_none()
}

const COOKIE: (&str, &str) = ("cookie", "sid=1");

// covers: HG-REQ-15
#[test]
fn what_another_site_does_in_a_users_name_is_refused() {
    let policy = load(ENFORCE).unwrap();
    let site = |value| ("sec-fetch-site", value);
    let origin = |value| ("origin", value);
    let evil = origin("https://evil.test");
    let navigate = ("sec-fetch-mode", "navigate");
    let dest = |value| ("sec-fetch-dest", value);
    for (name, method, fields, expected) in [
        ("same origin", "POST", &[site("same-origin")][..], true),
        (
            "same origin, with an opaque origin for privacy",
            "POST",
            &[site("same-origin"), origin("null")],
            true,
        ),
        ("same site", "POST", &[site("same-site"), origin("https://www.test")], true),
        ("by hand", "GET", &[site("none"), navigate, dest("document")], true),
        ("form of another site", "POST", &[site("cross-site"), evil, navigate, dest("document")], false),
        ("script of another site", "DELETE", &[site("cross-site"), evil], false),
        ("without an origin", "POST", &[site("cross-site")], false),
        ("opaque", "POST", &[site("cross-site"), origin("null")], false),
        ("listed", "POST", &[site("cross-site"), origin("https://app.test")], true),
        ("listed by a pattern", "PUT", &[site("cross-site"), origin("https://a.apps.test")], true),
        ("longer than listed", "PUT", &[site("cross-site"), origin("https://app.test.evil.test")], false),
        ("listed and another", "POST", &[site("cross-site"), origin("https://app.test"), evil], false),
        ("an image", "GET", &[site("cross-site"), ("sec-fetch-mode", "no-cors"), dest("image")], false),
        ("a script reads", "GET", &[site("cross-site"), evil], false),
        ("a listed script reads", "GET", &[site("cross-site"), origin("https://app.test")], true),
        ("a link", "GET", &[site("cross-site"), navigate, dest("document")], true),
        ("a link, HEAD", "HEAD", &[site("cross-site"), navigate, dest("document")], false),
        ("a frame", "GET", &[site("cross-site"), navigate, dest("iframe")], false),
        ("a plug-in", "GET", &[site("cross-site"), navigate, dest("object")], false),
        ("a link to nowhere", "GET", &[site("cross-site"), navigate], false),
        ("document without navigation", "GET", &[site("cross-site"), dest("document")], false),
        ("unknown value", "GET", &[site("cross-planet")], false),
        ("unknown value of an own page", "GET", &[site("new"), origin("https://api.test")], false),
        ("other case", "GET", &[site("Same-Origin")], false),
        ("empty", "GET", &[site("")], false),
        ("two fields", "GET", &[site("same-origin"), site("same-origin")], false),
        ("joined", "GET", &[site("same-origin, cross-site")], false),
    ] {
        let fields: Vec<_> = [COOKIE].iter().chain(fields).copied().collect();
        assert_eq!(passes(&policy, method, &fields), expected, "{name}");
    }
}

// covers: HG-REQ-15
#[test]
fn a_browser_without_fetch_metadata_is_judged_by_origin_then_referer() {
    let policy = load(ENFORCE).unwrap();
    let origin = |value| ("origin", value);
    let referer = |value| ("referer", value);
    for (name, method, fields, expected) in [
        ("own origin", "POST", &[origin("https://api.test")][..], true),
        ("own origin, other spelling", "POST", &[origin("https://API.test:443")], true),
        ("listed", "POST", &[origin("https://app.test")], true),
        ("another", "POST", &[origin("https://evil.test")], false),
        ("another reads", "GET", &[origin("https://evil.test")], false),
        ("own host, other scheme", "POST", &[origin("http://api.test")], false),
        ("own host, other port", "POST", &[origin("https://api.test:8443")], false),
        ("opaque", "POST", &[origin("null")], false),
        ("not an origin", "POST", &[origin("https://api.test/")], false),
        ("two", "POST", &[origin("https://api.test"), origin("https://api.test")], false),
        (
            "origin before referer",
            "POST",
            &[origin("https://evil.test"), referer("https://api.test/")],
            false,
        ),
        ("own referer", "POST", &[referer("https://api.test/a?b")], true),
        ("listed referer", "POST", &[referer("https://app.test")], true),
        ("foreign referer", "POST", &[referer("https://evil.test/https://api.test/")], false),
        ("user in front of the host", "POST", &[referer("https://api.test@evil.test/")], false),
        ("two referers", "POST", &[referer("https://api.test/"), referer("https://api.test/")], false),
        ("neither", "POST", &[], false),
        ("neither, PATCH", "PATCH", &[], false),
        ("neither, unknown method", "get", &[], false),
        ("safe", "GET", &[], true),
        ("safe, HEAD", "HEAD", &[], true),
        ("safe with a foreign referer", "GET", &[referer("https://evil.test/")], true),
    ] {
        let fields: Vec<_> = [COOKIE].iter().chain(fields).copied().collect();
        assert_eq!(passes(&policy, method, &fields), expected, "{name}");
    }
}

// covers: HG-REQ-15
#[test]
fn only_requests_with_the_cookies_are_judged() {
    let any = load(r#"{"mode": "enforce"}"#).unwrap();
    let named = load(r#"{"mode": "enforce", "cookies": ["sid", "__Host-id"]}"#).unwrap();
    for (name, cookies, by_any, by_named) in [
        ("no cookie", &[][..], false, false),
        ("the cookie", &["sid=1"], true, true),
        ("behind others", &["a=1; b=2;sid=3"], true, true),
        ("in the second field", &["a=1", "__Host-id=2"], true, true),
        ("with space", &["a=1;  sid =2"], true, true),
        ("without a value", &["sid"], true, true),
        ("a quote hides nothing", &["a=\"; sid=1; \""], true, true),
        ("another", &["a=sid"], true, false),
        ("other case", &["SID=1"], true, false),
        ("longer", &["sid2=1; xsid=1"], true, false),
        ("empty", &[""], true, false),
        ("not text", &["\u{e9}=1"], true, false),
    ] {
        let mut fields = vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")];
        fields.extend(cookies.iter().map(|value| ("cookie", *value)));
        assert_eq!(passes(&any, "POST", &fields), !by_any, "{name}");
        assert_eq!(passes(&named, "POST", &fields), !by_named, "{name}");
    }
}

// covers: ENV-PROTO-03
#[test]
fn a_websocket_is_opened_by_known_origins_only() {
    let policy = load(ENFORCE).unwrap();
    let origin = |value| ("origin", value);
    let same = ("sec-fetch-site", "same-origin");
    for (name, fields, expected) in [
        ("own origin", &[origin("https://api.test")][..], true),
        ("listed", &[origin("https://app.test")], true),
        ("listed, cross-site", &[("sec-fetch-site", "cross-site"), origin("https://a.apps.test")], true),
        ("another", &[origin("https://evil.test")], false),
        ("another that claims to be ours", &[same, origin("https://evil.test")], false),
        ("longer", &[origin("https://api.test.evil.test")], false),
        ("missing", &[], false),
        ("missing, but same origin", &[same], false),
        ("missing, with a referer", &[("referer", "https://api.test/")], false),
        ("null", &[origin("null")], false),
        ("two", &[origin("https://api.test"), origin("https://api.test")], false),
        ("same site is not enough", &[("sec-fetch-site", "same-site"), origin("https://www.test")], false),
    ] {
        for (method, handshake) in [
            ("GET", &[("connection", "Upgrade"), ("upgrade", "websocket")][..]),
            ("GET", &[("upgrade", "h2c, WebSocket")]),
            ("GET", &[("upgrade", "h2c"), ("upgrade", "websocket")]),
            ("CONNECT", &[(":protocol", "websocket")]),
        ] {
            for cookie in [&[COOKIE][..], &[]] {
                let fields: Vec<_> = handshake.iter().chain(cookie).chain(fields).copied().collect();
                assert_eq!(passes(&policy, method, &fields), expected, "{name}: {handshake:?} {cookie:?}");
            }
        }
    }
    // Anything else without cookies is nobody's session.
    assert!(passes(&policy, "GET", &[("upgrade", "h2c"), origin("https://evil.test")]));
}

#[test]
fn options_narrow_the_policy() {
    let link = [
        COOKIE,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let same_site = [COOKIE, ("sec-fetch-site", "same-site"), ("origin", "https://www.test")];
    for (document, link_passes, same_site_passes) in [
        (r#"{"mode": "enforce"}"#, true, true),
        (r#"{"mode": "report"}"#, true, true),
        (r#"{"mode": "enforce", "allow_navigation": false}"#, false, true),
        (r#"{"mode": "enforce", "allow_same_site": false}"#, true, false),
        (
            r#"{"mode": "enforce", "allow_same_site": false, "allow_origins": ["https://www.test"]}"#,
            true,
            true,
        ),
    ] {
        let policy = load(document).unwrap();
        assert_eq!(passes(&policy, "GET", &link), link_passes, "{document}");
        assert_eq!(passes(&policy, "POST", &same_site), same_site_passes, "{document}");
    }
}

#[test]
fn mistakes_are_named_by_their_path() {
    for (document, expected) in [
        (
            r#"{"allow_origins": ["*"]}"#,
            "allow_origins: expected origins other than `*` and `null`, which everybody can be",
        ),
        (
            r#"{"allow_origins": ["https://a.test", "null"]}"#,
            "allow_origins: expected origins other than `*` and `null`, which everybody can be",
        ),
        (
            r#"{"allow_origins": ["a.test"]}"#,
            "allow_origins[0]: expected an origin without path as in `https://app.example.com` or \
             `https://*.example.com`, found `a.test`",
        ),
        (r#"{"cookies": ["sid", "a=b"]}"#, "cookies[1]: expected the name of a cookie"),
        (r#"{"cookies": [""]}"#, "cookies[0]: expected the name of a cookie"),
        (
            r#"{"navigation": true}"#,
            "navigation: expected one of `mode`, `cookies`, `allow_origins`, `allow_navigation`, \
             `allow_same_site`, found unknown field `navigation`",
        ),
    ] {
        assert_eq!(load(document).unwrap_err(), expected, "{document}");
    }
    let many = format!(r#"{{"cookies": [{}"x"]}}"#, r#""x", "#.repeat(16));
    assert_eq!(load(&many).unwrap_err(), "cookies: expected at most 16 names, found 17");
}

proptest! {
    #[test]
    fn any_bytes_are_judged_and_no_foreign_page_changes_anything(
        fields in proptest::collection::vec(
            (
                proptest::sample::select(vec!["sec-fetch-mode", "sec-fetch-dest", "referer", "cookie", "x"]),
                proptest::collection::vec(any::<u8>(), 0..20),
            ),
            0..6,
        ),
        origin in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "https?://(api|app|a\\.apps)\\.test[.:/a-z0-9@]{1,8}".prop_map(String::into_bytes),
        ],
        cookies in proptest::sample::select(vec!["[]", r#"["sid"]"#]),
    ) {
        let document = format!(
            r#"{{"mode": "enforce", "cookies": {cookies}, "allow_origins": ["https://app.test"]}}"#
        );
        let policy = load(&document).unwrap();
        let mut sent: Headers = [
            (":method", "POST"), (":authority", "api.test"), ("sec-fetch-site", "cross-site"), ("cookie", "sid=1"),
        ].into_iter().collect();
        sent.append(b"origin", &origin);
        fields.iter().for_each(|(name, value)| sent.append(name.as_bytes(), value));
        let is_known = matches!(
            Origin::parse(&origin).map(|origin| origin.to_string()).as_deref(),
            Some("https://api.test" | "https://app.test")
        );
        prop_assert_eq!(policy.judge(&Request::new(sent, false), true).is_none(), is_known);
    }
}
