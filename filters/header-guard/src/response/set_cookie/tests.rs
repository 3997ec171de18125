use portcullis_core::config;
use proptest::prelude::*;

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

fn rules(config: &str) -> SetCookieRules {
    SetCookieRules::new(&config::load(config.as_bytes()).unwrap()).unwrap()
}

fn codes(findings: Findings) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.reason().as_str()).collect()
}

/// The value afterwards, none if it is dropped.
fn outcome(hardened: Hardened, before: &[u8]) -> Option<Vec<u8>> {
    match hardened {
        Hardened::Keep => Some(before.to_vec()),
        Hardened::Replace(after) => {
            assert_ne!(after, before, "replaced by itself");
            Some(after)
        }
        Hardened::Drop => None,
    }
}

fn assert_hardened(rules: &SetCookieRules, name: &str, before: &str, after: Option<&str>, findings: &[&str]) {
    let (hardened, found) = rules.harden(before.as_bytes(), true, || NOW);
    let outcome = outcome(hardened, before.as_bytes()).map(|value| String::from_utf8(value).unwrap());
    assert_eq!((outcome.as_deref(), codes(found)), (after, findings.to_vec()), "{name}");
}

/// Under the default configuration, for values that only lack something.
fn assert_completed(cases: &[(&str, &str, &str)]) {
    let rules = rules("{}");
    for (name, before, after) in cases {
        let findings = if before == after { &[][..] } else { &["cookie.missing_attribute"] };
        assert_hardened(&rules, name, before, Some(after), findings);
    }
}

// covers: HG-COOK-01
#[test]
fn what_is_missing_is_added() {
    let (longest, too_long) = ("x".repeat(1024), "x".repeat(1025));
    assert_completed(&[
        ("nothing there", "sid=1", "sid=1; Secure; HttpOnly; SameSite=Lax"),
        (
            "all there",
            "sid=1; Path=/; Secure; HttpOnly; SameSite=Strict",
            "sid=1; Path=/; Secure; HttpOnly; SameSite=Strict",
        ),
        ("case and space", "sid=1; secure ;\tHTTPONLY", "sid=1; secure ;\tHTTPONLY; SameSite=Lax"),
        ("no space", "sid=1;secure;httponly;samesite=lax", "sid=1;secure;httponly;samesite=lax"),
        (
            "a flag with a value is set",
            "sid=1; Secure=false; HttpOnly=0",
            "sid=1; Secure=false; HttpOnly=0; SameSite=Lax",
        ),
        (
            "another attribute that begins so",
            "sid=1; Secured; HttpOnlyX",
            "sid=1; Secured; HttpOnlyX; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            "a value that looks like an attribute",
            "sid=Secure; HttpOnly",
            "sid=Secure; HttpOnly; Secure; SameSite=Lax",
        ),
        ("a name that looks like one", "Secure; HttpOnly", "Secure; HttpOnly; Secure; SameSite=Lax"),
        ("quotes protect nothing", "sid=\"a; Secure\"", "sid=\"a; Secure\"; Secure; HttpOnly; SameSite=Lax"),
        (
            "quotes around another attribute",
            "sid=\"a; Secure; b\"",
            "sid=\"a; Secure; b\"; HttpOnly; SameSite=Lax",
        ),
        (
            "a date with its comma",
            "sid=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
            "sid=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            "an attribute twice",
            "sid=1; Secure; Path=/a; Secure; Path=/b",
            "sid=1; Secure; Path=/a; Secure; Path=/b; HttpOnly; SameSite=Lax",
        ),
        (
            "the last SameSite counts",
            "sid=1; SameSite=None; SameSite=Strict; HttpOnly; Secure",
            "sid=1; SameSite=None; SameSite=Strict; HttpOnly; Secure",
        ),
        (
            "an unknown SameSite is none",
            "sid=1; SameSite=Strict; samesite=\"Lax\"; HttpOnly; Secure",
            "sid=1; HttpOnly; Secure; SameSite=Lax",
        ),
        (
            "an empty SameSite is none",
            "sid=1; SameSite; HttpOnly; Secure",
            "sid=1; HttpOnly; Secure; SameSite=Lax",
        ),
        ("semicolons at the end", "sid=1; HttpOnly;; ", "sid=1; HttpOnly; Secure; SameSite=Lax"),
        ("space around the value", " sid = 1 ", " sid = 1 ; Secure; HttpOnly; SameSite=Lax"),
        ("more than one =", "sid=a=b==", "sid=a=b==; Secure; HttpOnly; SameSite=Lax"),
        ("an empty name", "=1", "=1; Secure; HttpOnly; SameSite=Lax"),
        ("no =", "1", "1; Secure; HttpOnly; SameSite=Lax"),
        ("an empty value", "sid=", "sid=; Secure; HttpOnly; SameSite=Lax"),
        (
            "unknown attributes",
            "sid=1; Priority=High; Partitioned; x=y; =z",
            "sid=1; Priority=High; Partitioned; x=y; =z; Secure; HttpOnly; SameSite=Lax",
        ),
        ("a comma makes no second cookie", "a=1, b=2; Secure", "a=1, b=2; Secure; HttpOnly; SameSite=Lax"),
        (
            "an attribute that browsers ignore for its length",
            &format!("sid=1; HttpOnly; SameSite=Lax; Secure={too_long}"),
            &format!("sid=1; HttpOnly; SameSite=Lax; Secure={too_long}; Secure"),
        ),
        (
            "an attribute as long as can be",
            &format!("sid=1; HttpOnly; SameSite=Lax; Secure={longest}"),
            &format!("sid=1; HttpOnly; SameSite=Lax; Secure={longest}"),
        ),
    ]);
}

// covers: HG-COOK-01
#[test]
fn a_cookie_for_other_sites_is_secure() {
    for config in ["{}", r#"{"secure": false, "same_site": "keep", "http_only": false}"#] {
        let rules = rules(config);
        for secure_connection in [true, false] {
            let (hardened, _) = rules.harden(b"a=1; HttpOnly; SameSite=none", secure_connection, || NOW);
            assert_eq!(
                hardened,
                Hardened::Replace(b"a=1; HttpOnly; SameSite=none; Secure".to_vec()),
                "{config}"
            );
        }
    }
    let rules = rules(r#"{"secure": false, "same_site": "none", "http_only": false}"#);
    let missing = ["cookie.missing_attribute"];
    assert_hardened(&rules, "by configuration", "a=1", Some("a=1; Secure; SameSite=None"), &missing);
    assert_hardened(&rules, "not this one", "a=1; SameSite=Lax", Some("a=1; SameSite=Lax"), &[]);
}

// covers: HG-COOK-03
#[test]
fn a_cookie_that_deletes_another_has_its_attributes() {
    assert_completed(&[
        ("by age", "sid=; Max-Age=0", "sid=; Max-Age=0; Secure; HttpOnly; SameSite=Lax"),
        ("by a negative age", "sid=x; max-age=-1", "sid=x; max-age=-1; Secure; HttpOnly; SameSite=Lax"),
        (
            "by date",
            "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
            "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
    ]);
}

// covers: HG-COOK-01
#[test]
fn the_operator_says_what_is_added() {
    for (config, secure_connection, after) in [
        (r#"{"secure": false}"#, true, "sid=1; HttpOnly; SameSite=Lax"),
        ("{}", false, "sid=1; Secure; HttpOnly; SameSite=Lax"),
        (r#"{"secure_on_plaintext": false}"#, false, "sid=1; HttpOnly; SameSite=Lax"),
        (r#"{"secure_on_plaintext": false}"#, true, "sid=1; Secure; HttpOnly; SameSite=Lax"),
        (r#"{"secure": false, "secure_on_plaintext": true}"#, false, "sid=1; HttpOnly; SameSite=Lax"),
        (r#"{"http_only": false}"#, true, "sid=1; Secure; SameSite=Lax"),
        (r#"{"same_site": "strict"}"#, true, "sid=1; Secure; HttpOnly; SameSite=Strict"),
        (r#"{"same_site": "none"}"#, true, "sid=1; Secure; HttpOnly; SameSite=None"),
        (r#"{"same_site": "keep"}"#, true, "sid=1; Secure; HttpOnly"),
        (r#"{"same_site": "keep", "secure": false, "http_only": false}"#, true, "sid=1"),
        (r#"{"script_readable": ["sid"]}"#, true, "sid=1; Secure; SameSite=Lax"),
    ] {
        let (hardened, _) = rules(config).harden(b"sid=1", secure_connection, || NOW);
        assert_eq!(outcome(hardened, b"sid=1").as_deref(), Some(after.as_bytes()), "{config}");
    }
}

// covers: HG-COOK-01
#[test]
fn scripts_read_only_what_is_listed() {
    let rules = rules(r#"{"script_readable": ["csrf", "ui-*"]}"#);
    for (name, cookie, is_readable) in [
        ("the name", "csrf=1", true),
        ("the name with space", " csrf =1", true),
        ("another case is another cookie", "CSRF=1", false),
        ("a longer name", "csrf2=1", false),
        ("the prefix alone", "ui-=1", true),
        ("a name with the prefix", "ui-theme=1", true),
        ("a shorter name", "ui=1", false),
        ("a value like the name", "=csrf", false),
        ("no =", "csrf", false),
    ] {
        let (hardened, _) = rules.harden(cookie.as_bytes(), true, || NOW);
        let expected = if is_readable { "Secure" } else { "Secure; HttpOnly" };
        let expected = format!("{cookie}; {expected}; SameSite=Lax").into_bytes();
        assert_eq!(hardened, Hardened::Replace(expected), "{name}");
    }
    assert_hardened(
        &rules,
        "what the upstream hides stays hidden",
        "csrf=1; HttpOnly; Secure; SameSite=Lax",
        Some("csrf=1; HttpOnly; Secure; SameSite=Lax"),
        &[],
    );
}

// covers: HG-COOK-02
#[test]
fn a_prefix_keeps_its_promise() {
    let rules = rules(r#"{"secure": false, "http_only": false, "same_site": "keep"}"#);
    let prefix = &["cookie.prefix"][..];
    let both = &["cookie.prefix", "cookie.missing_attribute"][..];
    for (name, before, after, findings) in [
        ("all kept", "__Host-a=1; Path=/; Secure", Some("__Host-a=1; Path=/; Secure"), &[][..]),
        ("nothing kept", "__Host-a=1", Some("__Host-a=1; Path=/; Secure"), both),
        ("a domain", "__Host-a=1; Domain=a.test; Path=/; Secure", Some("__Host-a=1; Path=/; Secure"), prefix),
        (
            "domains",
            "__Host-a=1; Domain=a.test; Path=/; domain=; Secure",
            Some("__Host-a=1; Path=/; Secure"),
            prefix,
        ),
        ("an empty domain", "__Host-a=1; Domain; Path=/; Secure", Some("__Host-a=1; Path=/; Secure"), prefix),
        ("another path", "__Host-a=1; Path=/x; Secure", Some("__Host-a=1; Secure; Path=/"), prefix),
        ("an empty path", "__Host-a=1; Path=; Secure", Some("__Host-a=1; Secure; Path=/"), prefix),
        ("a relative path", "__Host-a=1; Path=x; Secure", Some("__Host-a=1; Secure; Path=/"), prefix),
        (
            "the last path counts",
            "__Host-a=1; Path=/; path=/x; Secure",
            Some("__Host-a=1; Secure; Path=/"),
            prefix,
        ),
        (
            "the last path is right",
            "__Host-a=1; Path=/x; Path=/; Secure",
            Some("__Host-a=1; Path=/x; Path=/; Secure"),
            &[],
        ),
        ("no Secure", "__Host-a=1; Path=/", Some("__Host-a=1; Path=/; Secure"), both),
        ("case makes no difference", "__HoSt-a=1; Secure", Some("__HoSt-a=1; Secure; Path=/"), prefix),
        ("space before the name", " __Host-a=1; Secure", Some(" __Host-a=1; Secure; Path=/"), prefix),
        ("nothing behind the prefix", "__Host-=1; Secure", Some("__Host-=1; Secure; Path=/"), prefix),
        (
            "__Secure-",
            "__Secure-a=1; Domain=a.test; Path=/x",
            Some("__Secure-a=1; Domain=a.test; Path=/x; Secure"),
            both,
        ),
        ("__sEcUrE-", "__sEcUrE-a=1", Some("__sEcUrE-a=1; Secure"), both),
        ("__Secure- kept", "__Secure-a=1; Secure", Some("__Secure-a=1; Secure"), &[]),
        ("not quite a prefix", "__Host=1; Path=/x", Some("__Host=1; Path=/x"), &[]),
        ("inside the name", "a__Host-=1; Path=/x", Some("a__Host-=1; Path=/x"), &[]),
        ("inside the value", "a=__Host-b", Some("a=__Host-b"), &[]),
        ("no name, the value has the prefix", "=__Host-a=1; Path=/; Secure", None, prefix),
        ("no =, the value has the prefix", " __host-a; Path=/; Secure", None, prefix),
        ("no name, the other prefix", "= __SECURE-a", None, prefix),
        ("no name, nothing like a prefix", "=_Host-a", Some("=_Host-a"), &[]),
    ] {
        assert_hardened(&rules, name, before, after, findings);
    }
}

// covers: HG-COOK-04
#[test]
fn a_cookie_that_is_too_large_is_reported_and_still_hardened() {
    for (config, max) in [("{}", 4096), (r#"{"max_size": "256B"}"#, 256)] {
        let rules = rules(config);
        for (name, cookie, is_large) in [
            ("at the limit", format!("sid={}", "v".repeat(max - 3)), false),
            ("one more in the value", format!("sid={}", "v".repeat(max - 2)), true),
            ("one more in the name", format!("{}=vv", "n".repeat(max - 1)), true),
            ("space around is not counted", format!("sid  =  {}  ", "v".repeat(max - 3)), false),
            (
                "attributes are not counted",
                format!("sid={}; Path=/{}", "v".repeat(max - 3), "p".repeat(900)),
                false,
            ),
        ] {
            let after = format!("{cookie}; Secure; HttpOnly; SameSite=Lax");
            let findings = ["cookie.too_large", "cookie.missing_attribute"];
            let findings = if is_large { &findings[..] } else { &findings[1..] };
            assert_hardened(&rules, name, &cookie, Some(&after), findings);
        }
    }
}

// covers: HG-COOK-05
#[test]
fn a_domain_that_is_too_wide_is_removed() {
    let any = rules(r#"{"secure": false, "http_only": false, "same_site": "keep"}"#);
    let listed = rules(
        r#"{"secure": false, "http_only": false, "same_site": "keep", "allowed_domains": ["api.Corp.test", "b.test"]}"#,
    );
    for (name, domain, by_any, by_list) in [
        ("a top-level domain", "Domain=.com", false, false),
        ("a single label", "domain = com", false, false),
        ("a single label with a final dot", "Domain=com.", false, false),
        ("dots", "Domain=..com", false, false),
        ("a dot", "Domain=.", false, false),
        ("in quotes", "Domain=\"com\"", false, false),
        ("the parent of ours", "Domain=corp.test", true, false),
        ("ours", "Domain=api.corp.test", true, true),
        ("ours with a dot, in another case", "Domain=.API.corp.TEST", true, true),
        ("below ours", "Domain=x.api.corp.test", true, false),
        ("ours and more", "Domain=api.corp.test.evil.test", true, false),
        ("two dots in front", "Domain=..b.test", true, false),
        ("an address", "Domain=10.0.0.1", true, false),
        ("empty", "Domain=", true, true),
        ("without =", "Domain", true, true),
    ] {
        let (path, before) = ("sid=1; Path=/x", format!("sid=1; {domain}; Path=/x"));
        for (rules, is_kept) in [(&any, by_any), (&listed, by_list)] {
            let (after, findings) =
                if is_kept { (&*before, &[][..]) } else { (path, &["cookie.domain"][..]) };
            assert_hardened(rules, name, &before, Some(after), findings);
        }
    }
    for (name, before, after) in [
        ("the last counts, and none may take its place", "a=1; Domain=a.test; Domain=.com", "a=1"),
        ("an empty one may be ignored", "a=1; Domain=.com; Domain=", "a=1"),
        ("the last is good", "a=1; Domain=.com; Domain=a.test", "a=1; Domain=.com; Domain=a.test"),
    ] {
        let findings = if before == after { &[][..] } else { &["cookie.domain"] };
        assert_hardened(&any, name, before, Some(after), findings);
    }
}

#[test]
fn a_life_that_is_too_long_is_cut() {
    let rules = rules(r#"{"secure": false, "http_only": false, "same_site": "keep", "max_lifetime": "1h"}"#);
    let huge = "9".repeat(60);
    for (name, attributes, after) in [
        ("a session", "; Path=/", None),
        ("shorter", "; Max-Age=60", None),
        ("at the limit", "; Max-Age=3600", None),
        ("longer", "; Max-Age=3601; Path=/", Some("; Path=/; Max-Age=3600")),
        ("far longer", &*format!("; max-age={huge}"), Some("; Max-Age=3600")),
        ("zeros in front", "; Max-Age=000000000000000000000000060", None),
        ("a deletion", "; Max-Age=0", None),
        ("a negative age", &*format!("; Max-Age=-{huge}"), None),
        ("the last counts", "; Max-Age=9999; Max-Age=60", None),
        ("the last is longer", "; Max-Age=60; Max-Age=9999", Some("; Max-Age=3600")),
        ("no number is ignored", "; Max-Age=9999; Max-Age=1e9", Some("; Max-Age=1e9; Max-Age=3600")),
        ("no number alone", "; Max-Age=\"9999\"; Max-Age=+9; Max-Age=-; Max-Age=", None),
        ("a date within", "; Expires=Thu, 01 Jan 2026 01:00:00 GMT", None),
        (
            "a date behind",
            "; Expires=Thu, 01 Jan 2026 01:00:01 GMT",
            Some("; Expires=Thu, 01 Jan 2026 01:00:01 GMT; Max-Age=3600"),
        ),
        (
            "a date at the end of time",
            "; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
            Some("; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=3600"),
        ),
        ("a deletion by date", "; Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("no date", "; Expires=never", None),
        (
            "no date is ignored",
            "; Expires=1 Jan 2099 0:0:0; Expires=never",
            Some("; Expires=1 Jan 2099 0:0:0; Expires=never; Max-Age=3600"),
        ),
        ("the last date counts", "; Expires=1 Jan 2099 0:0:0; Expires=1 Jan 1999 0:0:0", None),
        ("an age goes before a date", "; Max-Age=60; Expires=1 Jan 2099 0:0:0", None),
        ("a deletion goes before a date", "; Expires=1 Jan 2099 0:0:0; Max-Age=0", None),
    ] {
        let before = format!("sid=1{attributes}");
        let findings = if after.is_some() { &["cookie.lifetime"][..] } else { &[] };
        let after = format!("sid=1{}", after.unwrap_or(attributes));
        assert_hardened(&rules, name, &before, Some(&after), findings);
    }
}

#[test]
fn the_clock_is_read_only_for_a_date_that_matters() {
    let asked = |config, value: &[u8]| {
        let mut asked = false;
        let (_hardened, _) = rules(config).harden(value, true, || {
            asked = true;
            NOW
        });
        asked
    };
    let limit = r#"{"max_lifetime": "1h"}"#;
    assert!(asked(limit, b"a=1; Expires=1 Jan 2099 0:0:0"));
    assert!(!asked(limit, b"a=1; Expires=1 Jan 2099 0:0:0; Max-Age=5"));
    assert!(!asked(limit, b"a=1"));
    assert!(!asked("{}", b"a=1; Expires=1 Jan 2099 0:0:0"));
}

// covers: HG-COOK-06
#[test]
fn control_characters_and_empty_cookies_are_dropped() {
    let rules = rules("{}");
    for control in (0_u8..9).chain(10..0x20).chain([0x7f]) {
        for (before, after) in [("sid=", "1"), ("s", "id=1"), ("sid=1; Pa", "th=/"), ("sid=1; Secure", "")] {
            let value = [before.as_bytes(), &[control], after.as_bytes()].concat();
            let (hardened, findings) = rules.harden(&value, true, || NOW);
            assert_eq!(
                (hardened, codes(findings)),
                (Hardened::Drop, vec!["cookie.control_character"]),
                "{}",
                value.escape_ascii()
            );
        }
    }
    for value in ["", "=", " = ", "; Secure", "=; Path=/", "\t"] {
        assert_hardened(&rules, value, value, None, &["cookie.empty"]);
    }
    assert_hardened(
        &rules,
        "TAB is space",
        "sid=a\tb;\tSecure",
        Some("sid=a\tb;\tSecure; HttpOnly; SameSite=Lax"),
        &["cookie.missing_attribute"],
    );
}

// covers: HG-COOK-06
#[test]
fn bytes_that_are_no_text_survive() {
    let (hardened, _) = rules("{}").harden(b"s\xffd=\xc3\x28\x80; P\xe9=\xfe; Path=/\xa0", true, || NOW);
    let expected = b"s\xffd=\xc3\x28\x80; P\xe9=\xfe; Path=/\xa0; Secure; HttpOnly; SameSite=Lax".to_vec();
    assert_eq!(hardened, Hardened::Replace(expected));
}

#[test]
fn a_report_changes_nothing_and_off_sees_nothing() {
    let (report, off) = (rules(r#"{"mode": "report"}"#), rules(r#"{"mode": "off"}"#));
    for (value, findings) in [
        ("sid=1", &["cookie.missing_attribute"][..]),
        ("__Host-a=1; Path=/x", &["cookie.prefix", "cookie.missing_attribute"]),
        ("sid=1; Domain=.com; Secure; HttpOnly; SameSite=Lax", &["cookie.domain"]),
        ("sid=\0", &["cookie.control_character"]),
        ("=__Host-a", &["cookie.prefix"]),
        ("", &["cookie.empty"]),
    ] {
        assert_hardened(&report, value, value, Some(value), findings);
        assert_hardened(&off, value, value, Some(value), &[]);
    }
}

#[test]
fn findings_are_a_set() {
    let rules = rules("{}");
    let findings = |value: &[u8]| rules.harden(value, true, || NOW).1;
    let (prefix, empty, none) =
        (findings(b"=__Host-a"), findings(b""), findings(b"a=1; Secure; HttpOnly; SameSite=Lax"));
    assert!(prefix.contains(Finding::Prefix) && !prefix.contains(Finding::Empty) && none.is_empty());
    assert_eq!(codes(prefix.union(empty).union(none).union(prefix)), ["cookie.empty", "cookie.prefix"]);
    let all = Finding::ALL.map(|finding| finding.reason().as_str());
    assert!(all.iter().all(|code| code.starts_with("cookie.")));
    assert_eq!(std::collections::BTreeSet::from(all).len(), Finding::ALL.len());
}

#[test]
fn mistakes_are_configuration_errors() {
    let entries = |count| vec![r#""a.b""#; count].join(",");
    let name = "expected a cookie name, or a prefix as in `csrf-*`, found";
    let domain = "expected a domain of two labels or more as in `example.com`, found";
    for (config, expected) in [
        (
            r#"{"max_lifetime": "999ms"}"#.to_owned(),
            "max_lifetime: expected 1s to 400d, found 999ms".to_owned(),
        ),
        (
            r#"{"max_lifetime": "401d"}"#.to_owned(),
            "max_lifetime: expected 1s to 400d, found 401d".to_owned(),
        ),
        (r#"{"max_size": "255B"}"#.to_owned(), "max_size: expected 256B to 64KiB, found 255B".to_owned()),
        (r#"{"max_size": "65537B"}"#.to_owned(), "max_size: expected 256B to 64KiB, found 65537B".to_owned()),
        (r#"{"script_readable": ["a", "*"]}"#.to_owned(), format!("script_readable[1]: {name} `*`")),
        (r#"{"script_readable": ["a*b"]}"#.to_owned(), format!("script_readable[0]: {name} `a*b`")),
        (r#"{"script_readable": ["a=b"]}"#.to_owned(), format!("script_readable[0]: {name} `a=b`")),
        (r#"{"script_readable": [""]}"#.to_owned(), format!("script_readable[0]: {name} ``")),
        (
            r#"{"allowed_domains": ["a.test", "com"]}"#.to_owned(),
            format!("allowed_domains[1]: {domain} `com`"),
        ),
        (r#"{"allowed_domains": [".a.test"]}"#.to_owned(), format!("allowed_domains[0]: {domain} `.a.test`")),
        (
            r#"{"allowed_domains": ["*.a.test"]}"#.to_owned(),
            format!("allowed_domains[0]: {domain} `*.a.test`"),
        ),
        (r#"{"allowed_domains": [""]}"#.to_owned(), format!("allowed_domains[0]: {domain} ``")),
        (
            format!(r#"{{"allowed_domains": [{}]}}"#, entries(257)),
            "allowed_domains: expected at most 256 entries, found 257".to_owned(),
        ),
        (
            format!(r#"{{"script_readable": [{}]}}"#, entries(257)),
            "script_readable: expected at most 256 entries, found 257".to_owned(),
        ),
    ] {
        let error = SetCookieRules::new(&config::load(config.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    rules(&format!(r#"{{"allowed_domains": [{}], "max_lifetime": "1s", "max_size": "256B"}}"#, entries(256)));
    rules(r#"{"max_lifetime": "400d", "max_size": "64KiB"}"#);
    assert!(config::load::<SetCookieConfig>(br#"{"samesite": "lax"}"#).is_err());
    assert!(config::load::<SetCookieConfig>(br#"{"same_site": "Lax"}"#).is_err());
}

/// A configuration in which everything can happen.
const STRICT: &str =
    r#"{"max_lifetime": "1h", "allowed_domains": ["corp.test"], "script_readable": ["js-*"]}"#;

fn any_cookie() -> impl Strategy<Value = Vec<u8>> {
    let pair = proptest::sample::select(vec![
        "sid=1",
        "sid",
        "=1",
        "=",
        "",
        "js-a=1",
        "__Host-a=1",
        "__hOsT-a",
        "=__Secure-a",
        "__secure-a=b=c",
        " a = b ",
        "Secure",
        "a=\"b",
    ]);
    let name = proptest::sample::select(vec![
        "secure", "Secure", "HttpOnly", "SameSite", "samesite", "Domain", "PATH", "Max-Age", "Expires",
        "Priority", "", "x",
    ]);
    let value = proptest::sample::select(vec![
        "",
        "=",
        "=/",
        "=/x",
        "=lax",
        "=NONE",
        "=Strict",
        "=.com",
        "=corp.test",
        "= .Corp.test ",
        "=evil.test",
        "=0",
        "=-1",
        "=3600",
        "=3601",
        "=99999999999999999999999",
        "=1 Jan 2099 0:0:0",
        "=1 Jan 1999 0:0:0",
        "=a\u{e9}",
        "=a=b",
        "=\"",
    ]);
    let space = || proptest::sample::select(vec!["", " ", "\t", "  "]);
    let attribute =
        (space(), name, space(), value).prop_map(|(a, name, b, value)| format!("{a}{name}{b}{value}"));
    let made = (pair, proptest::collection::vec(attribute, 0..8))
        .prop_map(|(pair, attributes)| [vec![pair.to_owned()], attributes].concat().join(";").into_bytes());
    let printable = proptest::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..40);
    prop_oneof![6 => made, 1 => printable, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

/// Every attribute in order: its name in lower case, and its value.
fn attributes(cookie: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let attributes = cookie.split(|byte| *byte == b';').skip(1).map(|attribute| {
        let at = attribute.iter().position(|byte| *byte == b'=').unwrap_or(attribute.len());
        let value = attribute.get(at.saturating_add(1)..).unwrap_or_default();
        (attribute[..at].trim_ascii().to_ascii_lowercase(), value.trim_ascii().to_vec())
    });
    attributes.collect()
}

fn last(cookie: &[u8], name: &str) -> Option<Vec<u8>> {
    attributes(cookie).into_iter().rev().find(|(other, _)| other == name.as_bytes()).map(|(_, value)| value)
}

proptest! {
    // covers: HG-COOK-01, HG-COOK-06
    #[test]
    fn a_second_pass_changes_nothing_more(cookie in any_cookie(), secure: bool, strict: bool, plain: bool) {
        let config = match (strict, plain) {
            (true, _) => STRICT,
            (false, true) => r#"{"secure_on_plaintext": false, "http_only": false, "same_site": "none"}"#,
            (false, false) => "{}",
        };
        let rules = rules(config);
        if let Some(once) = outcome(rules.harden(&cookie, secure, || NOW).0, &cookie) {
            let (hardened, findings) = rules.harden(&once, secure, || NOW);
            prop_assert_eq!((hardened, codes(findings)), (Hardened::Keep, vec![]), "{}", once.escape_ascii());
        }
    }

    // covers: HG-COOK-01, HG-COOK-02, HG-COOK-05
    #[test]
    fn a_browser_sees_a_hardened_cookie(cookie in any_cookie()) {
        if let Some(after) = outcome(rules(STRICT).harden(&cookie, true, || NOW).0, &cookie) {
            let pair = |cookie: &[u8]| cookie.split(|byte| *byte == b';').next().unwrap().to_vec();
            let name = pair(&after).trim_ascii().to_ascii_lowercase();
            prop_assert_eq!(pair(&after), pair(&cookie));
            prop_assert!(last(&after, "secure").is_some());
            prop_assert!(last(&after, "httponly").is_some() || name.starts_with(b"js-"));
            let same_site = last(&after, "samesite").unwrap().to_ascii_lowercase();
            prop_assert!([&b"lax"[..], b"strict", b"none"].contains(&&*same_site));
            let domain = last(&after, "domain").unwrap_or_default().to_ascii_lowercase();
            prop_assert!([&b""[..], b"corp.test", b".corp.test"].contains(&&*domain));
            if name.starts_with(b"__host-") {
                prop_assert_eq!(last(&after, "path"), Some(b"/".to_vec()));
                prop_assert_eq!(last(&after, "domain"), None);
            }
            let ages = attributes(&after).into_iter().filter(|(name, _)| name == b"max-age");
            let age = ages.filter_map(|(_, value)| String::from_utf8(value).ok()?.parse::<i128>().ok()).next_back();
            prop_assert!(age.is_none_or(|age| age <= 3600));
        }
    }

    // covers: HG-COOK-01, HG-COOK-06
    #[test]
    fn other_attributes_stay_byte_for_byte_and_in_order(cookie in any_cookie()) {
        let known = ["secure", "httponly", "samesite", "domain", "path", "max-age"];
        let others = |cookie: &[u8]| -> Vec<Vec<u8>> {
            let names = attributes(cookie).into_iter().map(|(name, _)| name);
            let segments = cookie.split(|byte| *byte == b';').skip(1).map(<[u8]>::to_vec);
            let is_other = |name: &[u8], segment: &[u8]| {
                !known.iter().any(|known| known.as_bytes() == name) && !segment.trim_ascii().is_empty()
            };
            names.zip(segments).filter(|(name, segment)| is_other(name, segment)).map(|(_, segment)| segment).collect()
        };
        if let Some(after) = outcome(rules(STRICT).harden(&cookie, true, || NOW).0, &cookie) {
            prop_assert_eq!(others(&after), others(&cookie));
        }
    }
}
