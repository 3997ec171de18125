use std::time::Duration;

use portcullis_core::{Headers, Identity, config};
use serde_json::json;

use super::*;
use crate::table::tests::FakeStore;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

fn policy(document: &str) -> Policy {
    Policy::new(config::load(document.as_bytes()).unwrap()).unwrap()
}

fn limits(limits: &str) -> Policy {
    policy(&format!(r#"{{"limits": [{limits}]}}"#))
}

fn refused(document: &str) -> String {
    let config = config::load(document.as_bytes());
    config.and_then(Policy::new).map(|_| "accepted".to_owned()).unwrap_or_else(|error| error.to_string())
}

fn request(fields: &[(&str, &str)]) -> Request {
    let fields: Headers = fields.iter().copied().collect();
    Request::new(fields, true)
}

fn get(path: &str) -> Request {
    request(&[(":method", "GET"), (":path", path), (":authority", "api.test")])
}

fn ask(policy: &Policy, store: &FakeStore, request: &Request, address: &str) -> Decision {
    let facts = Facts { request, address: address.parse().ok(), identity: None };
    policy.decide(&policy.select(request).unwrap(), &Seed::new([1; 16]), &facts, store)
}

/// Reason and rule of the refusal.
fn verdict(decision: &Decision) -> Option<(&'static str, &str)> {
    decision.refusal.as_ref().map(|denial| (denial.reason.as_str(), denial.rule.as_deref().unwrap()))
}

fn passes(policy: &Policy, store: &FakeStore, attempts: u32) -> usize {
    (0..attempts).filter(|_| ask(policy, store, &get("/"), "192.0.2.1").refusal.is_none()).count()
}

fn field<'a>(denial: &'a Denial, name: &str) -> Option<&'a str> {
    denial.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

#[test]
fn each_client_has_its_own_bucket() {
    let policy = limits(r#"{"id": "a", "requests": 3, "per": "1m"}"#);
    let store = FakeStore::at(NOW);
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let admitted = (0..9).filter(|_| ask(&policy, &store, &get("/"), client).refusal.is_none()).count();
        assert_eq!(admitted, 3, "{client}");
    }
    store.set_now(NOW + 20 * SECOND);
    assert_eq!(passes(&policy, &store, 9), 1, "refills continuously, not once a minute");
}

// covers: ENV-RL-07
#[test]
fn a_refusal_says_when_to_come_back_and_nothing_about_the_key() {
    let limit = r#""limits": [{"id": "per-client", "requests": 100, "per": "1m", "burst": 1}]"#;
    let policy_field = r#""per-client";q=100;w=60"#;
    for (options, expected) in [
        ("", Some((policy_field, r#""per-client";r=0;t=1"#))),
        (r#""headers": "always", "#, Some((policy_field, r#""per-client";r=0;t=1"#))),
        (r#""headers": "off", "#, None),
    ] {
        let policy = policy(&format!("{{{options}{limit}}}"));
        let store = FakeStore::at(NOW);
        assert_eq!(passes(&policy, &store, 1), 1);
        let denial = ask(&policy, &store, &get("/"), "192.0.2.1").refusal.unwrap();
        assert_eq!(
            (denial.status, denial.reason, denial.rule.as_deref()),
            (429, EXCEEDED, Some("per-client"))
        );
        // 0.6 s, rounded up.
        assert_eq!(field(&denial, "retry-after"), Some("1"));
        let found = field(&denial, "ratelimit-policy").zip(field(&denial, "ratelimit"));
        assert_eq!(found, expected, "{options}");
        assert!(denial.headers.iter().all(|(_, value)| !value.contains("192.0.2")));
        let grpc = denial.render(Some(&request(&[("content-type", "application/grpc")])));
        assert_eq!(grpc.grpc_status, Some(8));
    }
}

#[test]
fn who_comes_back_when_told_is_admitted() {
    let policy = limits(r#"{"id": "a", "requests": 7, "per": "1h", "burst": 2}"#);
    let store = FakeStore::at(NOW);
    passes(&policy, &store, 9);
    let denial = ask(&policy, &store, &get("/"), "192.0.2.1").refusal.unwrap();
    let wait: u64 = field(&denial, "retry-after").unwrap().parse().unwrap();
    assert_eq!(wait, 515);
    store.set_now(NOW + (wait - 1) * SECOND);
    assert_eq!(passes(&policy, &store, 1), 0);
    store.set_now(NOW + wait * SECOND);
    assert_eq!(passes(&policy, &store, 9), 1);
}

#[test]
fn the_strictest_limit_decides_and_a_refused_request_takes_from_none() {
    let policy = limits(
        r#"{"id": "minute", "requests": 2, "per": "1m"}, {"id": "hour", "requests": 4, "per": "1h"},
           {"id": "all", "key": [], "requests": 5, "per": "1d"}"#,
    );
    let store = FakeStore::at(NOW);
    assert_eq!(passes(&policy, &store, 50), 2);
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    assert_eq!(verdict(&decision), Some(("rate.exceeded", "minute")));
    // 48 refused requests later the hour's bucket has lost two tokens and no more.
    store.set_now(NOW + 60 * SECOND);
    assert_eq!(passes(&policy, &store, 50), 2);
    store.set_now(NOW + 120 * SECOND);
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    assert_eq!(verdict(&decision), Some(("rate.exceeded", "hour")), "the longer wait of two wins");
    // One token is left for all clients together.
    assert_eq!(verdict(&ask(&policy, &store, &get("/"), "192.0.2.2")), None);
    assert_eq!(verdict(&ask(&policy, &store, &get("/"), "192.0.2.3")), Some(("rate.exceeded", "all")));
}

#[test]
fn what_was_taken_goes_back_when_a_later_limit_can_not_be_taken() {
    let policy = limits(
        r#"{"id": "first", "requests": 3, "per": "1m"}, {"id": "second", "requests": 3, "per": "1m"}"#,
    );
    let store = FakeStore::at(NOW);
    let before = {
        passes(&policy, &store, 1);
        store.values()
    };
    // The first limit's take succeeds, then every write of the second one loses.
    store.lose_writes(1, 8);
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    assert_eq!(verdict(&decision), Some(("rate.contended", "second")));
    let levels = |values: std::collections::BTreeMap<String, (Vec<u8>, u32)>| {
        values.into_values().map(|(value, _)| value).collect::<Vec<_>>()
    };
    assert_eq!(levels(store.values()), levels(before));
    assert_eq!(passes(&policy, &store, 9), 2);
}

#[test]
fn a_report_changes_nothing_but_the_report() {
    let policy = limits(
        r#"{"id": "soft", "requests": 1, "per": "1m", "mode": "report"}, {"id": "hard", "requests": 3, "per": "1m"},
           {"id": "none", "requests": 0, "per": "1m", "mode": "off"}"#,
    );
    let store = FakeStore::at(NOW);
    assert!(ask(&policy, &store, &get("/"), "192.0.2.1").reports.is_empty());
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    assert_eq!(verdict(&decision), None);
    assert_eq!(decision.reports.len(), 1);
    assert_eq!((decision.reports[0].reason, decision.reports[0].rule.as_deref()), (EXCEEDED, Some("soft")));
    assert_eq!(passes(&policy, &store, 9), 1);
}

// covers: ENV-RL-10
#[test]
fn zero_requests_refuse_everything_and_store_nothing() {
    let policy = limits(r#"{"id": "closed", "requests": 0, "per": "1m"}"#);
    let store = FakeStore::at(NOW);
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    assert_eq!(verdict(&decision), Some(("rate.exceeded", "closed")));
    assert_eq!(field(decision.refusal.as_ref().unwrap(), "retry-after"), Some("60"));
    assert_eq!(store.value_count(), 0);
}

// covers: ENV-RL-09
#[test]
fn spellings_of_a_path_and_methods_share_a_bucket() {
    let policy = limits(r#"{"id": "orders", "match": {"path": "/orders/{id}"}, "requests": 5, "per": "1m"}"#);
    let store = FakeStore::at(NOW);
    let spellings =
        ["/orders/7", "/orders/7/", "/orders/%37", "/orders/8", "/orders/7?x=1", "/orders/9?y", "/orders/10"];
    let admitted =
        spellings.iter().filter(|path| ask(&policy, &store, &get(path), "192.0.2.1").refusal.is_none());
    assert_eq!(admitted.count(), 5);
    for method in ["HEAD", "OPTIONS", "POST", "QUERY"] {
        let request = request(&[(":method", method), (":path", "/orders/7"), (":authority", "api.test")]);
        assert!(ask(&policy, &store, &request, "192.0.2.1").refusal.is_some(), "{method}");
    }
    assert!(ask(&policy, &store, &get("/other"), "192.0.2.1").refusal.is_none());
}

#[test]
fn limits_by_claim_count_users_and_not_addresses() {
    let policy =
        limits(r#"{"id": "user", "key": [{"claim": "sub"}], "missing": "skip", "requests": 2, "per": "1m"}"#);
    let store = FakeStore::at(NOW);
    let request = get("/");
    let ask = |issuer: &str, address: &str| {
        let claims = json!({"sub": "alice"}).as_object().unwrap().clone();
        let identity = Identity { issuer: issuer.to_owned(), claims, ..Identity::default() };
        let facts = Facts { request: &request, address: address.parse().ok(), identity: Some(&identity) };
        policy
            .decide(&policy.select(&request).unwrap(), &Seed::new([1; 16]), &facts, &store)
            .refusal
            .is_none()
    };
    assert!(ask("idp", "192.0.2.1") && ask("idp", "192.0.2.2") && !ask("idp", "192.0.2.3"));
    assert!(ask("other", "192.0.2.1"));
    assert_eq!(passes(&policy, &store, 9), 9, "no identity: skipped");
}

#[test]
fn changed_limits_start_anew_and_unchanged_ones_go_on() {
    let store = FakeStore::at(NOW);
    let with = |id: &str, requests: u32, mode: &str| {
        limits(&format!(
            r#"{{"id": "{id}", "requests": {requests}, "per": "1h", "burst": 2, "mode": "{mode}"}}"#
        ))
    };
    assert_eq!(passes(&with("a", 2, "enforce"), &store, 9), 2);
    assert_eq!(passes(&with("a", 2, "enforce"), &store, 9), 0, "the same limit, loaded again");
    assert_eq!(ask(&with("a", 2, "report"), &store, &get("/"), "192.0.2.1").reports.len(), 1, "another mode");
    assert_eq!(passes(&with("a", 3, "enforce"), &store, 9), 2, "another rate");
    assert_eq!(passes(&with("b", 2, "enforce"), &store, 9), 2, "another id");
    assert_eq!(passes(&with("a", 2, "enforce"), &store, 9), 0, "the old one again");
}

// covers: HOST-SHR-09
#[test]
fn configurations_that_share_a_proxy_do_not_share_buckets() {
    let store = FakeStore::at(NOW);
    let first = limits(r#"{"id": "a", "requests": 2, "per": "1h"}"#);
    let second =
        limits(r#"{"id": "a", "requests": 2, "per": "1h", "key": ["client_address", {"header": "x-k"}]}"#);
    assert_eq!((passes(&first, &store, 9), passes(&second, &store, 9)), (2, 2));
    assert_eq!((passes(&first, &store, 9), passes(&second, &store, 9)), (0, 0));
}

#[test]
fn every_limit_is_shown_where_that_is_wanted() {
    let policy = policy(
        r#"{"headers": "always", "limits": [{"id": "a", "requests": 10, "per": "10s"}, {"id": "b", "requests": 2, "per": "1m"},
            {"id": "soft", "requests": 2, "per": "1m", "mode": "report"}]}"#,
    );
    let store = FakeStore::at(NOW);
    let decision = ask(&policy, &store, &get("/"), "192.0.2.1");
    let (policy_field, status) = decision.fields.unwrap();
    assert_eq!(policy_field, r#""a";q=10;w=10, "b";q=2;w=60"#);
    assert_eq!(status, r#""a";r=9;t=1, "b";r=1;t=30"#);
}

#[test]
fn a_proxy_that_fails_is_the_operators_choice() {
    for (on_error, mode, refused) in [
        ("deny", "enforce", true),
        ("allow", "enforce", false),
        ("deny", "report", false),
        ("allow", "report", false),
    ] {
        let limit = format!(r#"{{"id": "a", "requests": 2, "per": "1h", "mode": "{mode}"}}"#);
        let policy = policy(&format!(r#"{{"on_error": "{on_error}", "limits": [{limit}]}}"#));
        let store = FakeStore::at(NOW);
        store.fails.set(true);
        let request = get("/");
        for decision in
            [ask(&policy, &store, &request, "192.0.2.1"), policy.undecided(&policy.select(&request).unwrap())]
        {
            let found = decision.refusal.iter().chain(&decision.reports).collect::<Vec<_>>();
            assert_eq!(decision.refusal.is_some(), refused, "{on_error} {mode}");
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].status, found[0].reason), (503, UNAVAILABLE));
        }
    }
}

// covers: ENV-RL-10
#[test]
fn mistakes_are_named() {
    let limit = |fields: &str| {
        refused(&format!(r#"{{"limits": [{{"id": "a", "requests": 5, "per": "1m", {fields}}}]}}"#))
    };
    let whole = |fields: &str| refused(&format!(r#"{{{fields}}}"#));
    let good = r#""limits": [{"id": "a", "requests": 5, "per": "1m"}]"#;
    for (found, expected) in [
        (whole(r#""limits": []"#), "limits: expected 1 to 64 limits, found 0"),
        (limit(r#""burst": 0"#), "limits[0].burst: expected 1 to 1000000000, found 0"),
        (
            limit(r#""burst": 1000000000"#),
            "limits[0].burst: expected a bucket that is full again within 365d",
        ),
        (limit(r#""key": [{"claim": ""}]"#), "limits[0].key[0]: expected the name of a claim, found ``"),
        (limit(r#""match": {"path": "orders"}"#), "limits[0].match.path: "),
        (
            whole(&format!(r#"{good}, "slots": 1000001"#)),
            "slots: expected a multiple of 8 from 64 to 1048576, found 1000001",
        ),
        (
            whole(&format!(r#"{good}, "slots": 0"#)),
            "slots: expected a multiple of 8 from 64 to 1048576, found 0",
        ),
        (
            whole(r#""limits": [{"id": "a", "requests": 5, "per": "0s"}]"#),
            "limits[0].per: expected whole seconds from 1s to 365d, found 0s",
        ),
        (
            whole(r#""limits": [{"id": "a", "requests": 5, "per": "1500ms"}]"#),
            "limits[0].per: expected whole seconds from 1s to 365d, found 1500ms",
        ),
        (
            whole(r#""limits": [{"id": "a\"b", "requests": 5, "per": "1s"}]"#),
            "limits[0].id: expected 1 to 64 letters, digits or any of `-_.:/`, found `a\"b`",
        ),
        (
            whole(r#""limits": [{"id": "a", "requests": 0, "per": "1s", "burst": 1}]"#),
            "limits[0].burst: expected none beside `requests: 0`, which refuses everything",
        ),
        (
            whole(
                r#""limits": [{"id": "a", "requests": 1, "per": "1s"}, {"id": "a", "requests": 1, "per": "1s"}]"#,
            ),
            "limits[1].id: expected an id of its own, found `a` twice",
        ),
    ] {
        assert!(found.starts_with(expected), "{found} instead of {expected}");
    }
}

#[test]
fn waits_are_rounded_up_to_seconds() {
    for (span, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
        assert_eq!(seconds(Duration::from_millis(span)), expected);
    }
}
