use portcullis_core::config;
use proptest::prelude::*;

use crate::request::tests::{inspect, strangers};

const SESSIONS: &str = r#"{"session_cookies": ["SID", "app-session-*"]}"#;

/// Status and reason for a request with these `Cookie` fields; 200 for none.
fn judged(config: &str, values: &[&str]) -> (u16, &'static str) {
    let sent = values.iter().map(|value| ("cookie", *value)).collect();
    let (denial, _) = inspect(&strangers(config), sent, true);
    denial.map_or((200, ""), |denial| {
        assert_eq!(denial.errors[0].pointer, "cookie");
        (denial.status, denial.reason.as_str())
    })
}

const PASSES: (u16, &str) = (200, "");
const INVALID: (u16, &str) = (400, "header.invalid_value");
const DUPLICATE: (u16, &str) = (400, "header.duplicate");
const TOO_MANY: (u16, &str) = (431, "header.too_many_cookies");

// covers: HG-SYN-12
#[test]
fn cookies_end_exactly_at_their_number() {
    let cookies = |count: usize| (0..count).map(|n| format!("c{n}=1")).collect::<Vec<_>>().join("; ");
    for (name, config, values, expected) in [
        ("100", "{}", &[cookies(100)][..], PASSES),
        ("101", "{}", &[cookies(101)], TOO_MANY),
        ("300", "{}", &[cookies(300)], TOO_MANY),
        ("101 of one name", "{}", &["a=1;".repeat(101)], TOO_MANY),
        ("60 and 40 in two fields", "{}", &[cookies(60), cookies(40)], PASSES),
        ("60 and 41 in two fields", "{}", &[cookies(60), cookies(41)], TOO_MANY),
        ("what is empty is none", "{}", &[format!("{};; ; ;", cookies(100)), String::new()], PASSES),
        ("none allowed, none there", r#"{"max_cookies": 0}"#, &[" ;".to_owned()], PASSES),
        ("none allowed, one there", r#"{"max_cookies": 0}"#, &[cookies(1)], TOO_MANY),
        ("one without a name", r#"{"max_cookies": 0}"#, &["a".to_owned()], TOO_MANY),
        ("1000", r#"{"max_cookies": 1000}"#, &[cookies(1000)], PASSES),
    ] {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        assert_eq!(judged(config, &values), expected, "{name}");
    }
}

// covers: HG-SYN-12
#[test]
fn a_session_has_one_cookie() {
    for (name, values, expected) in [
        ("one", &["SID=1"][..], PASSES),
        ("two", &["SID=1; SID=2"], DUPLICATE),
        ("two of equal value", &["SID=1; SID=1"], DUPLICATE),
        ("in two fields", &["SID=1", "a=b; SID=2"], DUPLICATE),
        ("in another case", &["SID=1; sid=2"], DUPLICATE),
        ("with spaces", &["SID =1;\t SID\t= 2"], DUPLICATE),
        ("without a space between", &["SID=1;SID=2"], DUPLICATE),
        ("between quotes", &["a=\"x; SID=1\"; SID=2"], DUPLICATE),
        ("with an empty value", &["SID=; SID"], INVALID),
        ("in a value", &["SID=1; a=SID=2"], PASSES),
        ("longer", &["SID=1; SIDE=2"], PASSES),
        ("different ones of a family", &["app-session-a=1; app-session-b=2"], PASSES),
        ("two of a family", &["app-session-a=1; app-session-a=2"], DUPLICATE),
        ("two of no session", &["a=1; a=2"], PASSES),
        ("two __Host-", &["__Host-x=1; __Host-x=2"], DUPLICATE),
        ("two __Secure-", &["__Secure-x=1", "__secure-x=2"], DUPLICATE),
        ("two __Http-", &["__Http-x=1; __Http-x=2"], DUPLICATE),
        ("two __Host-Http-", &["__Host-Http-x=1; a=b; __Host-Http-x=2"], DUPLICATE),
        ("different __Host-", &["__Host-x=1; __Host-y=2"], PASSES),
    ] {
        assert_eq!(judged(SESSIONS, values), expected, "{name}");
    }
    assert_eq!(judged("{}", &["SID=1; SID=2"]), PASSES);
    let family = |count: usize| (0..count).map(|n| format!("__Host-{n}=1; ")).collect::<String>();
    assert_eq!(judged("{}", &[&family(32)]), PASSES);
    assert_eq!(judged("{}", &[&family(33)]), TOO_MANY);
}

// covers: HG-SYN-12
#[test]
fn a_cookie_has_one_name_to_all_servers() {
    for (name, value, expected) in [
        ("usual ones", "a=1; theme=dark; _ga=GA1.2; .AspNetCore.x=1; %20=1; [a]=1; __cf=1", PASSES),
        ("no `=`", "a", PASSES),
        ("empty name", "=a", PASSES),
        ("nothing but `=`", "=; ==", PASSES),
        ("quotes with `;`", "a=\"b; c\"", PASSES),
        ("JSON", "a={\"b\":\"c\"}", PASSES),
        ("equals signs in the value", "a=b=c==", PASSES),
        ("a prefix in the value", "a=__Host-x", PASSES),
        ("a prefix's beginning", "__Host=1; __HostX-a=1; __Secur=1", PASSES),
        ("a prefix without `=`", "__Host-x", INVALID),
        ("a prefix as a value without a name", "=__Host-x=1", INVALID),
        ("and with more before it", "a=1; = =\t=__Secure-x=1", INVALID),
        ("a session without `=`", "SID", INVALID),
        ("a session as a value without a name", "=sid=1", INVALID),
        ("a prefix, percent-encoded", "%5F%5fHost-x=1", INVALID),
        ("a prefix, a letter of it percent-encoded", "__H%6fst-x=1", INVALID),
        ("a prefix that PHP makes of points", "..Host-x=1", INVALID),
        ("a prefix that PHP makes of a bracket", "_[Secure-x=1", INVALID),
        ("a prefix that PHP makes of spaces", "_ host-x=1", INVALID),
        ("a prefix that PHP finds behind spaces", "%20__Host-x=1", INVALID),
        ("half of a percent-encoding", "%=1; %5=1; %5Fa=1; %zz=1", PASSES),
        ("$Version", "$Version=1; a=\"b\"", INVALID),
        ("$version behind others", "a=b; $version=\"1\"", INVALID),
        ("$Version without a value", "$Version", INVALID),
        ("$Version, percent-encoded", "%24Version=1", INVALID),
        ("$Path", "a=b; $Path=\"/\"", INVALID),
        ("$Domain", "a=b; $Domain=x", INVALID),
        ("$Port", "a=b; $Port", INVALID),
        ("another name with `$`", "$Versions=1; $=1; a$Version=1", PASSES),
    ] {
        assert_eq!(judged(SESSIONS, &[value]), expected, "{name}");
    }
}

// covers: HG-SYN-12
#[test]
fn cookies_are_of_ascii_without_control_bytes() {
    let rules = strangers("{}");
    for value in [&b"a=\x01"[..], b"a=b\0", b"a=b\r\n", b"a\x7f=b", b"a=\xff", b"\xc3\xa4=b"] {
        let (denial, _) = inspect(&rules, [(&b"cookie"[..], value)].into_iter().collect(), true);
        let denial = denial.unwrap();
        assert_eq!(
            (denial.status, denial.reason.as_str()),
            (400, "header.invalid_value"),
            "{}",
            value.escape_ascii()
        );
    }
}

#[test]
fn cookies_that_are_removed_are_not_judged() {
    assert_eq!(judged(r#"{"remove": ["cookie"]}"#, &["__Host-x=1; __Host-x=2"]), PASSES);
}

#[test]
fn mistakes_are_configuration_errors() {
    let many = format!(r#"{{"session_cookies": [{}]}}"#, vec!["\"a\""; 65].join(","));
    for (config, expected) in [
        (r#"{"max_cookies": 1001}"#, "max_cookies: expected 0 to 1000, found 1001"),
        (
            r#"{"session_cookies": ["sid", "a=b"]}"#,
            "session_cookies[1]: expected a cookie's name, or a prefix as in `app-session-*`, found `a=b`",
        ),
        (
            r#"{"session_cookies": ["*"]}"#,
            "session_cookies[0]: expected a cookie's name, or a prefix as in `app-session-*`, found `*`",
        ),
        (&many, "session_cookies: expected at most 64 names, found 65"),
    ] {
        let error = crate::request::Rules::new(&config::load(config.as_bytes()).unwrap(), None).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    // covers: HG-SYN-12, HG-SYN-14
    #[test]
    fn cookies_are_refused_or_pass_byte_for_byte_and_the_fields_do_not_matter(
        cookies in proptest::collection::vec("(SID|a|__Host-x|=|%5F|\\$Version| |\"|;|=b){0,4}", 0..6),
    ) {
        let rules = strangers(SESSIONS);
        let fields = |values: &[String]| values.iter().map(|value| ("cookie", value)).collect::<portcullis_core::Headers>();
        let (apart, after) = inspect(&rules, fields(&cookies), true);
        prop_assert!(after.iter().eq(fields(&cookies).iter()));
        let (joined, _) = inspect(&rules, fields(&[cookies.join("; ")]), true);
        prop_assert_eq!(apart, joined);
    }

    // covers: HG-SYN-12
    #[test]
    fn no_request_with_two_cookies_of_a_session_passes(
        before in "[ -~]{0,20}",
        between in "[ -~]{0,20}",
        name in proptest::sample::select(vec!["SID", "sid", "app-session-1", "__Host-x", "__SECURE-x"]),
    ) {
        let value = format!("{before}; {name}=1; {between}; {name}=2");
        prop_assert_ne!(judged(SESSIONS, &[&value]), PASSES);
    }
}
