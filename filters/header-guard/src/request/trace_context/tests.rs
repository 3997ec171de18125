use portcullis_core::Request;
use portcullis_core::headers::Headers;
use proptest::prelude::*;

use crate::request::tests::{inspect, pairs, peer, rest, strangers, trusted};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// covers: HG-REQ-09
#[test]
fn a_trace_parent_that_is_none_is_removed_with_its_state() {
    let long = format!("{PARENT}0");
    let zero_trace = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let zero_parent = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", "0".repeat(16));
    let joined = format!("{PARENT},{PARENT}");
    let later = |end: &str| format!("{}{end}", PARENT.replacen("00", "01", 1));
    for (name, value, stays) in [
        ("valid", PARENT, true),
        ("not sampled", &PARENT.replace("-01", "-00"), true),
        ("flags that nobody knows", &PARENT.replace("-01", "-ff"), true),
        ("trace id of zeros", &zero_trace, false),
        ("parent id of zeros", &zero_parent, false),
        ("too long", &long, false),
        ("version 00 with more behind it", &format!("{PARENT}-00"), false),
        ("too short", PARENT.strip_suffix('1').unwrap(), false),
        ("empty", "", false),
        ("garbage", "garbage", false),
        ("upper-case trace id", &PARENT.replace("af", "AF"), false),
        ("upper-case parent id", &PARENT.replace("ad", "AD"), false),
        ("upper-case flags", &PARENT.replace("-01", "-0A"), false),
        ("no hexadecimal digit", &PARENT.replace("0af", "0ag"), false),
        ("another separator", &PARENT.replace('-', "_"), false),
        ("separator elsewhere", &PARENT.replace("9c-b7", "9-cb7"), false),
        ("separators only", &"-".repeat(55), false),
        ("version ff", &PARENT.replace("00-", "ff-"), false),
        ("upper-case version", &PARENT.replace("00-", "0A-"), false),
        ("later version", &later(""), true),
        ("later version with more", &later("-what.the/future=brings"), true),
        ("later version with a separator at its end", &later("-"), true),
        ("later version, longer flags", &later("1"), false),
        ("later version, another separator", &later(".a"), false),
        ("later version, joined with another", &later(&format!("-a,{PARENT}")), false),
        ("two, joined by the proxy", &joined, false),
        ("path", "../../x", false),
    ] {
        let sent = [("traceparent", value), ("accept", "*/*"), ("tracestate", "a=1")];
        let expected = if stays { pairs(&sent) } else { pairs(&[("accept", "*/*")]) };
        assert_eq!(rest(&strangers("{}"), &sent), expected, "{name}");
        assert_eq!(rest(&trusted(&[]), &sent), expected, "{name}");
    }
    let two = [("traceparent", PARENT), ("tracestate", "a=1"), ("traceparent", PARENT)];
    assert_eq!(rest(&strangers("{}"), &two), []);
    let bytes = [(&b"traceparent"[..], &b"\xff\xfe"[..]), (b"tracestate", b"a=1")];
    assert_eq!(inspect(&strangers("{}"), bytes.into_iter().collect(), true).1.len(), 0);
}

// covers: HG-REQ-09
#[test]
fn a_trace_state_that_is_none_is_removed_alone() {
    let members = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
    let sized =
        |bytes: usize| format!("a={},b={}", "v".repeat(254), "v".repeat(bytes.checked_sub(259).unwrap()));
    assert_eq!(sized(512).len(), 512);
    let key = |len: usize| format!("{}=1", "k".repeat(len));
    let tenant = |tenant: usize, system: usize| format!("{}@{}=1", "1".repeat(tenant), "s".repeat(system));
    for (name, values, stays) in [
        ("one", &["congo=t61rcWkgMzE".to_owned()][..], true),
        ("spaces around members", &["a=1 ,\t b=2".to_owned()], true),
        ("empty members", &[",a=1,,".to_owned()], true),
        ("empty", &[String::new()], true),
        ("a key twice", &["a=1,a=2".to_owned()], true),
        ("32 members", &[members(32)], true),
        ("33 members", &[members(33)], false),
        ("40 members", &[members(40)], false),
        ("33 members in two fields", &[members(16), members(17)], false),
        ("32 members in two fields", &[members(16), members(16)], true),
        ("512 bytes", &[sized(512)], true),
        ("513 bytes", &[sized(513)], false),
        ("512 bytes in two fields", &["a=1".to_owned(), sized(508)], true),
        ("513 bytes in two fields", &["a=1".to_owned(), sized(509)], false),
        ("every kind of key", &["a0_-*/z=1,fw529a3039@dt=2,0t@s=3".to_owned()], true),
        ("key of 256", &[key(256)], true),
        ("key of 257", &[key(257)], false),
        ("tenant of 241 and system of 14", &[tenant(241, 14)], true),
        ("tenant of 242", &[tenant(242, 1)], false),
        ("system of 15", &[tenant(1, 15)], false),
        ("system that begins with a digit", &["a@1=1".to_owned()], false),
        ("key that begins with a digit", &["1a=1".to_owned()], false),
        ("no tenant", &["@a=1".to_owned()], false),
        ("no system", &["a@=1".to_owned()], false),
        ("two @", &["a@b@c=1".to_owned()], false),
        ("upper-case key", &["A=1".to_owned()], false),
        ("key with a point", &["a.b=1".to_owned()], false),
        ("key with a space", &["a =1".to_owned()], false),
        ("no key", &["=1".to_owned()], false),
        ("no value", &["a=".to_owned()], false),
        ("no equals sign", &["a".to_owned()], false),
        ("two equals signs", &["a=1=2".to_owned()], false),
        ("value with spaces", &["a=1 2".to_owned()], true),
        ("value with a tab", &["a=1\t2".to_owned()], false),
        ("value of 256", &[format!("a={}", "v".repeat(256))], true),
        ("value of 257", &[format!("a={}", "v".repeat(257))], false),
        ("value that is not ASCII", &["a=\u{e4}".to_owned()], false),
        ("a bad member behind a good one", &["a=1,B=2".to_owned()], false),
    ] {
        let mut sent = vec![("traceparent", PARENT)];
        sent.extend(values.iter().map(|value| ("tracestate", value.as_str())));
        let expected = if stays { pairs(&sent) } else { pairs(&[("traceparent", PARENT)]) };
        assert_eq!(rest(&strangers("{}"), &sent), expected, "{name}");
    }
}

// covers: HG-REQ-09
#[test]
fn a_trace_state_belongs_to_a_trace_parent() {
    for (name, config) in [
        ("there is none", "{}"),
        ("its name is another", r#"{"keep": ["trace-parent"]}"#),
        ("the operator removes it", r#"{"remove": ["traceparent"]}"#),
        ("the operator removes both", r#"{"remove": ["trace*"]}"#),
    ] {
        let parent = if config.contains("remove") { "traceparent" } else { "trace-parent" };
        let left = rest(&strangers(config), &[(parent, PARENT), ("tracestate", "a=1")]);
        assert!(!left.iter().any(|(name, _)| name == "tracestate"), "{name}");
    }
    let removed =
        rest(&strangers(r#"{"remove": ["tracestate"]}"#), &[("traceparent", PARENT), ("tracestate", "a=1")]);
    assert_eq!(removed, pairs(&[("traceparent", PARENT)]));
}

// covers: HG-REQ-09
#[test]
fn baggage_of_a_proxy_is_bounded_and_that_of_a_stranger_removed() {
    let members = |count: usize| vec!["a=1"; count].join(",");
    for (name, values, stays) in [
        ("one", &[members(1)][..], true),
        ("64 members", &[members(64)], true),
        ("65 members", &[members(65)], false),
        ("65 members in two fields", &[members(32), members(33)], false),
        ("8192 bytes", &["a".repeat(8192)], true),
        ("8193 bytes", &["a".repeat(8193)], false),
        ("8193 bytes in two fields", &["a".repeat(4096), "a".repeat(4096)], false),
    ] {
        let sent: Vec<_> = values.iter().map(|value| ("baggage", value.as_str())).collect();
        let expected = if stays { pairs(&sent) } else { vec![] };
        assert_eq!(rest(&trusted(&[]), &sent), expected, "{name}");
        assert_eq!(rest(&strangers(r#"{"keep": ["baggage"]}"#), &sent), expected, "{name}, kept");
        assert_eq!(rest(&strangers("{}"), &sent), [], "{name}");
    }
}

// covers: HG-REQ-09
#[test]
fn a_stranger_forces_no_trace() {
    for (name, value) in [
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d-05e3ac9a4f6e3b90"),
        ("b3", "d"),
        ("x-b3-flags", "1"),
        ("x-b3-sampled", "1"),
        ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
        ("uber-trace-id", "5b2b4:1:0:3"),
        ("uber-trace-id", "5b2b4%3A1%3A0%3A3"),
        ("uberctx-user", "a"),
        ("jaeger-debug-id", "a"),
        ("jaeger-baggage", "a=b"),
        ("x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/1;o=1"),
        ("x-datadog-sampling-priority", "2"),
        ("x-datadog-tags", "_dd.p.dm=-4"),
        ("x-datadog-trace-id", "1"),
        ("x-datadog-origin", "synthetics"),
        ("sentry-trace", "d49d9bf66f13450b81f65bc51cf49c03-1cc4b26ab9094ef0-1"),
        ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
        ("x-client-trace-id", "a"),
        ("x-envoy-force-trace", "true"),
    ] {
        assert_eq!(rest(&strangers("{}"), &[(name, value)]), [], "{name}: {value}");
        let stays = name != "x-envoy-force-trace";
        assert_eq!(!rest(&trusted(&[]), &[(name, value)]).is_empty(), stays, "{name}: {value}");
    }
}

/// Fields of trace contexts, good and bad ones, and another between them.
fn any_context() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let name = proptest::sample::select(vec!["traceparent", "tracestate", "baggage", "b3", "x-other"]);
    let value = prop_oneof![
        4 => Just(PARENT.to_owned()),
        1 => "(00|01|ff|0A)-[0-9a-f]{32}-[0-9a-f]{16}-0[01](-[ -~]{0,4})?",
        2 => "([a-z0-9@]{1,4}=[ -~]{0,4},?){0,5}",
        1 => "[ -~]{0,60}",
        1 => Just(vec!["a=1"; 65].join(",")),
    ];
    proptest::collection::vec((name, value), 0..5)
}

proptest! {
    // covers: HG-REQ-09, HG-SYN-14
    #[test]
    fn a_trace_context_goes_on_as_it_came_or_not_at_all(sent in any_context()) {
        for rules in [strangers("{}"), trusted(&[]), strangers(r#"{"keep": ["baggage"], "remove": ["tracestate"]}"#)] {
            let before: Headers = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (denial, after) = inspect(&rules, before.clone(), true);
            prop_assert_eq!(denial, None);
            for name in ["traceparent", "tracestate", "baggage", "b3", "x-other"] {
                let (sent, left) = (before.all(name.as_bytes()), after.all(name.as_bytes()));
                prop_assert!(name != "x-other" && !after.contains(name.as_bytes()) || left.eq(sent), "{}", name);
            }
            prop_assert!(after.contains(b"traceparent") || !after.contains(b"tracestate"));
            prop_assert!(after.single(b"traceparent").is_ok());
            let mut edited = false;
            prop_assert_eq!(rules.inspect(&Request::new(after, true), &peer, &mut |_| edited = true), None);
            prop_assert!(!edited);
        }
    }
}
