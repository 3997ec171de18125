use portcullis_core::config;
use portcullis_core::headers::Headers;
use portcullis_header_guard::data::API_PROFILE;
use portcullis_header_guard::response::profile::Hardening;
use proptest::prelude::*;

use super::*;

/// What header-guard makes of a response, configured as `{}`.
fn hardened(fields: &[(&str, &str)], secure: bool) -> Response {
    let response = Response::new(fields.iter().copied().collect(), true);
    let mut after: Headers = response.headers().clone();
    let rules = Hardening::new(&config::load(b"{}").unwrap()).unwrap();
    rules.apply(&response, secure, &mut |edit| edit.apply(&mut after));
    Response::new(after, true)
}

/// The profile with some fields removed (`-name`), others added behind it (`+name`), others changed.
fn changed(changes: &[(&str, &str)], secure: bool) -> Report {
    let mut headers = hardened(&[(":status", "200")], secure).headers().clone();
    for (name, value) in changes {
        match (name.strip_prefix('-'), name.strip_prefix('+')) {
            (Some(name), _) => drop(headers.remove(name.as_bytes())),
            (_, Some(name)) => headers.append(name.as_bytes(), value.as_bytes()),
            _ => headers.set(name.as_bytes(), value.as_bytes()),
        }
    }
    grade(&Response::new(headers, true), secure)
}

/// What is not good, one line each.
fn complaints(report: &Report) -> Vec<String> {
    let bad = report.findings.iter().filter(|finding| finding.verdict != Verdict::Good);
    bad.map(|finding| format!("{} {} {}", finding.field, finding.verdict.name(), finding.points)).collect()
}

#[test]
fn what_header_guard_makes_of_an_empty_response_is_graded_a_plus() {
    for status in ["200", "204", "301", "404", "500", "101"] {
        let report = grade(&hardened(&[(":status", status)], true), true);
        assert_eq!((report.grade, report.score), (Grade::APlus, FULL), "{status}: {report:?}");
        assert_eq!(report.status.to_string(), status);
        let rows = if status == "101" { 1 } else { API_PROFILE.len() };
        assert_eq!(report.findings.len(), rows, "{status}");
        assert!(report.findings.iter().all(|it| it.verdict == Verdict::Good && it.advice.is_empty()));
    }
}

#[test]
fn what_header_guard_makes_of_a_bad_response_is_graded_a_plus() {
    let bad = [
        (":status", "200"),
        ("server", "Apache/2.4.41"),
        ("x-powered-by", "PHP/5"),
        ("x-xss-protection", "1"),
        ("x-frame-options", "ALLOWALL"),
        ("strict-transport-security", "max-age=0"),
        ("content-security-policy", "default-src *"),
    ];
    let before = grade(&Response::new(bad.into_iter().collect(), true), true);
    assert_eq!((before.grade, before.score), (Grade::F, 7));
    assert_eq!(grade(&hardened(&bad, true), true).grade, Grade::APlus);
}

#[test]
fn a_response_with_nothing_is_graded_f() {
    let report = grade(&Response::new([(":status", "200")].into_iter().collect(), true), true);
    assert_eq!((report.grade, report.score), (Grade::F, 15));
    assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Missing));
}

#[test]
fn findings_and_grades() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], u32, Grade);
    let rows: &[Row] = &[
        (
            "no HSTS",
            &[("-strict-transport-security", "")],
            &["strict-transport-security missing 20"],
            80,
            Grade::B,
        ),
        (
            "a weak and a bad value",
            &[("x-frame-options", "SAMEORIGIN"), ("x-content-type-options", "x")],
            &["x-content-type-options bad 10", "x-frame-options weak 2"],
            88,
            Grade::B,
        ),
        ("two equal copies", &[("+x-frame-options", "DENY")], &["x-frame-options bad 5"], 95, Grade::A),
        (
            "two copies that differ",
            &[("+strict-transport-security", "max-age=0")],
            &["strict-transport-security bad 20"],
            80,
            Grade::B,
        ),
        ("two policies", &[("+content-security-policy", "default-src *")], &[], 100, Grade::APlus),
        (
            "a policy that only reports",
            &[
                ("-content-security-policy", ""),
                ("+content-security-policy-report-only", "default-src 'none'"),
            ],
            &["content-security-policy missing 25"],
            75,
            Grade::B,
        ),
        (
            "the upstream knows what may be stored",
            &[("cache-control", "public, max-age=60")],
            &[],
            100,
            Grade::APlus,
        ),
        (
            "fields that tell about the software",
            &[("server", "nginx/1.18.0"), ("x-kong-upstream-latency", "3")],
            &["server leaks 3", "x-kong-upstream-latency leaks 3"],
            94,
            Grade::A,
        ),
        (
            "many of them",
            &[
                ("server", ""),
                ("via", ""),
                ("x-b3-a", ""),
                ("x-cms", ""),
                ("x-debug-a", ""),
                ("x-runtime", ""),
            ],
            &[
                "server leaks 3",
                "via leaks 3",
                "x-b3-a leaks 3",
                "x-cms leaks 3",
                "x-debug-a leaks 3",
                "x-runtime leaks 0",
            ],
            85,
            Grade::B,
        ),
        (
            "deprecated fields",
            &[("expect-ct", "max-age=0"), ("x-xss-protection", "1; mode=block")],
            &["expect-ct deprecated 2", "x-xss-protection deprecated 2"],
            96,
            Grade::A,
        ),
        ("a filter switched off", &[("x-xss-protection", "0")], &[], 100, Grade::APlus),
        ("a good cookie", &[("+set-cookie", "a=b; Secure; HttpOnly; SameSite=Lax")], &[], 100, Grade::APlus),
        (
            "bad cookies",
            &[("+set-cookie", "a=b"), ("+set-cookie", "c=d")],
            &["set-cookie bad 20", "set-cookie bad 10"],
            70,
            Grade::C,
        ),
        (
            "a cookie that caches may store",
            &[
                ("cache-control", "Public, max-age=60"),
                ("+set-cookie", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ],
            &["cache-control bad 10"],
            90,
            Grade::A,
        ),
        (
            "a cookie in what may be stored by default",
            &[("cache-control", "must-revalidate"), ("+set-cookie", "a=b; Secure; HttpOnly; SameSite=Lax")],
            &["cache-control bad 10"],
            90,
            Grade::A,
        ),
        (
            "a cookie in what may not be stored by default",
            &[
                (":status", "302"),
                ("-cache-control", ""),
                ("+set-cookie", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ],
            &["cache-control missing 5"],
            95,
            Grade::A,
        ),
        (
            "a cookie in a private answer",
            &[
                ("cache-control", "private=\"x\", max-age=60"),
                ("+set-cookie", "a=b; Secure; HttpOnly; SameSite=Lax"),
            ],
            &[],
            100,
            Grade::APlus,
        ),
        ("open to all sites", &[("access-control-allow-origin", "*")], &[], 100, Grade::APlus),
        (
            "open to all sites with credentials",
            &[("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")],
            &["access-control-allow-origin bad 20"],
            80,
            Grade::B,
        ),
        (
            "open to sandboxed pages",
            &[("access-control-allow-origin", "null")],
            &["access-control-allow-origin bad 10"],
            90,
            Grade::A,
        ),
        (
            "open to sandboxed pages with credentials",
            &[("access-control-allow-origin", "null"), ("access-control-allow-credentials", "true")],
            &["access-control-allow-origin bad 20"],
            80,
            Grade::B,
        ),
        (
            "an origin with credentials",
            &[
                ("access-control-allow-origin", "https://a.test"),
                ("access-control-allow-credentials", "true"),
            ],
            &[],
            100,
            Grade::APlus,
        ),
    ];
    for (name, changes, expected, score, letter) in rows {
        let report = changed(changes, true);
        assert_eq!(complaints(&report), *expected, "{name}");
        assert_eq!((report.score, report.grade), (*score, *letter), "{name}");
    }
}

#[test]
fn over_http() {
    let hsts = ("strict-transport-security", "max-age=63072000; includeSubDomains");
    let (moved, to_tls) = ((":status", "308"), ("location", "HTTPS://a.test/"));
    for (name, changes, expected, score) in [
        ("an answer", &[][..], &["(transport) bad 20"][..], 80),
        ("an answer with HSTS", &[hsts], &["strict-transport-security weak 2", "(transport) bad 20"], 78),
        ("a redirect to https", &[moved, to_tls], &[], 100),
        ("a redirect to http", &[moved, ("location", "http://a.test/")], &["(transport) bad 20"], 80),
        ("two redirects", &[moved, to_tls, ("+location", "/")], &["(transport) bad 20"], 80),
        ("no redirect", &[to_tls], &["(transport) bad 20"], 80),
    ] {
        let report = changed(changes, false);
        assert_eq!(
            (&*complaints(&report), report.score),
            (&*expected.iter().map(ToString::to_string).collect::<Vec<_>>(), score),
            "{name}"
        );
    }
}

#[test]
fn grades_by_points() {
    for (score, name) in [
        (100, "A+"),
        (99, "A"),
        (90, "A"),
        (89, "B"),
        (75, "B"),
        (74, "C"),
        (60, "C"),
        (59, "D"),
        (45, "D"),
        (44, "E"),
        (30, "E"),
        (29, "F"),
        (0, "F"),
    ] {
        assert_eq!(Grade::of(score).name(), name, "{score}");
        assert_eq!(Grade::parse(&name.to_ascii_lowercase()), Ok(Grade::of(score)));
        assert_eq!(serde_json::to_value(Grade::of(score)).unwrap(), name);
    }
    assert!(Grade::F < Grade::E && Grade::A < Grade::APlus);
}

/// The user's page must be whole.
#[test]
fn the_page_names_every_price() {
    let page = include_str!("../../../docs/cli.md");
    for (name, ..) in API_PROFILE {
        let report = changed(&[(&format!("-{name}"), "")], true);
        assert!(page.contains(&format!("| `{name}` | {} |", FULL - report.score)), "{name}");
    }
    for (_, name, least) in Grade::ALL {
        assert!(page.contains(&format!("| {name} | {least} |")), "{name}");
    }
}

proptest! {
    #[test]
    fn any_response_has_a_grade(
        fields in proptest::collection::vec((any::<proptest::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..20),
        secure: bool,
    ) {
        let names: Vec<&str> = API_PROFILE
            .iter()
            .map(|(name, ..)| *name)
            .chain(["server", "p3p", "set-cookie", "access-control-allow-origin", "location", "x-own"])
            .collect();
        let mut headers: Headers = [(":status", "200")].into_iter().collect();
        for (index, value) in &fields {
            headers.append(index.get(&names).as_bytes(), value);
        }
        let report = grade(&Response::new(headers, false), secure);
        let cost: u32 = report.findings.iter().map(|finding| finding.points).sum();
        prop_assert_eq!(report.score, FULL.saturating_sub(cost));
        for finding in &report.findings {
            prop_assert_eq!(finding.verdict == Verdict::Good, finding.advice.is_empty());
            let found = finding.found.as_deref().unwrap_or_default();
            prop_assert!([found, &finding.advice].iter().all(|text| text.bytes().all(|it| matches!(it, b' '..=b'~'))));
        }
    }
}
