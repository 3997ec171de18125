use portcullis_core::{Headers, Identity, config};
use serde_json::json;

use super::*;
use crate::answer::{CONCURRENT, EXCEEDED, LOCKED_OUT, NEAR_LIMIT, UNAVAILABLE};
use crate::body::Body;
use crate::table::tests::FakeStore;

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

/// No service was asked.
const NOBODY: Asked<'static> = Asked { answers: &[], may_ask: false };

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

/// What became of a request.
struct Decision {
    refusal: Option<Denial>,
    reports: Vec<Denial>,
    standing: Option<Standing>,
}

impl Decision {
    fn new(result: Result<(), Denial>, admission: Admission) -> Self {
        Self { refusal: result.err(), reports: admission.reports, standing: admission.standing }
    }
}

fn ask(policy: &Policy, store: &FakeStore, request: &Request, address: &str) -> Decision {
    let (result, admission) = admit(policy, store, request, address, None);
    Decision::new(result, admission)
}

fn admit(
    policy: &Policy,
    store: &FakeStore,
    request: &Request,
    address: &str,
    body: Option<&Body>,
) -> (Result<(), Denial>, Admission) {
    let facts = Facts { request, address: address.parse().ok(), identity: None, body, properties: &[] };
    let mut admission = Admission::default();
    let selected = policy.select(request).unwrap();
    let result =
        policy.decide(&selected, &Seed::new([1; 16]), &facts, store, NOBODY, &mut admission).map(|_| ());
    (result, admission)
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
    let levels = |values: crate::table::tests::Values| {
        values.into_values().map(|(value, _)| value).collect::<Vec<_>>()
    };
    assert_eq!(levels(store.values()), levels(before));
    assert_eq!(passes(&policy, &store, 9), 2);
}

#[test]
fn a_grant_that_another_worker_uses_up_meanwhile_is_asked_for_again_and_refuses_nobody() {
    let policy = policy(
        r#"{"rate_limit_service": {"cluster": "counts"}, "limits": [
            {"id": "all", "key": [], "requests": 9, "per": "1m", "global": {"lease": 2}},
            {"id": "here", "requests": 9, "per": "1m"}]}"#,
    );
    let (store, request) = (FakeStore::at(NOW), get("/"));
    let facts = Facts {
        request: &request,
        address: "192.0.2.1".parse().ok(),
        identity: None,
        body: None,
        properties: &[],
    };
    let selected = policy.select(&request).unwrap();
    let mut admission = Admission::default();
    let mut decide = || {
        let asked = Asked { answers: &[], may_ask: true };
        let decision = policy.decide(&selected, &Seed::new([1; 16]), &facts, &store, asked, &mut admission);
        match decision {
            Ok(Step::Ask(questions)) => questions.into_iter().next(),
            Ok(Step::Admit) => None,
            Err(denial) => panic!("{denial:?}"),
        }
    };
    let question = decide().unwrap();
    question.lease.grant(&store, 1, std::time::Duration::from_secs(1));
    let granted = store.values();
    assert!(decide().is_none(), "the grant is enough for one request");
    let used_up = store.values();
    store.restore(granted);
    store.lose_write_to(used_up.clone());
    assert!(decide().is_some(), "only the service knows what is left");
    assert_eq!(store.values(), used_up, "nothing is counted before it has answered");
    assert_eq!(admission.held.len(), 2, "of the request that passed");
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
        let facts = Facts {
            request: &request,
            address: address.parse().ok(),
            identity: Some(&identity),
            body: None,
            properties: &[],
        };
        let (selected, mut admission) = (policy.select(&request).unwrap(), Admission::default());
        policy.decide(&selected, &Seed::new([1; 16]), &facts, &store, NOBODY, &mut admission).is_ok()
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
    let fields = decision.standing.unwrap().fields(policy.answers());
    assert_eq!(
        fields,
        [
            ("ratelimit-policy", r#""a";q=10;w=10, "b";q=2;w=60"#.to_owned()),
            ("ratelimit", r#""a";r=9;t=1, "b";r=1;t=30"#.to_owned()),
        ]
    );
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
        let mut admission = Admission::default();
        let undecided = policy.undecided(&policy.select(&request).unwrap(), &mut admission);
        for decision in [ask(&policy, &store, &request, "192.0.2.1"), Decision::new(undecided, admission)] {
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
            "limits[1].id: expected a value of its own, found `a` a second time",
        ),
    ] {
        assert!(found.starts_with(expected), "{found} instead of {expected}");
    }
}

#[test]
fn a_limit_counts_one_thing() {
    let limit = |fields: &str| refused(&format!(r#"{{"limits": [{{"id": "a"{fields}}}]}}"#));
    let one = "limits[0]: expected one of `requests`, `concurrent` and `failures`";
    for (fields, expected) in [
        ("", one),
        (r#", "requests": 1, "per": "1s", "concurrent": 1"#, one),
        (r#", "concurrent": 1, "failures": {"allowed": 1}"#, one),
        (r#", "requests": 1"#, "limits[0]: expected a field `per`, found none"),
        (r#", "concurrent": 0"#, "limits[0].concurrent: expected 1 to 1000000000, found 0"),
        (r#", "concurrent": 1, "per": "1s""#, "limits[0].per: expected only beside `requests`"),
        (r#", "concurrent": 1, "cost": {"fixed": 2}"#, "limits[0].cost: expected only beside `requests`"),
        (
            r#", "concurrent": 1, "at_most": "2d""#,
            "limits[0].at_most: expected whole seconds from 1s to 1d, found 2d",
        ),
        (
            r#", "requests": 1, "per": "1s", "at_most": "1s""#,
            "limits[0].at_most: expected only beside `concurrent`",
        ),
        (r#", "requests": 1, "per": "1s", "near": 100"#, "limits[0].near: expected 1 to 99, found 100"),
        (
            r#", "requests": 1, "per": "1s", "cost": {"fixed": 0}"#,
            "limits[0].cost.fixed: expected 1 to 1000000000",
        ),
        (r#", "failures": {"allowed": 0}"#, "limits[0].failures.allowed: expected 1 to 1000000, found 0"),
        (
            r#", "failures": {"allowed": 17, "distinct": [{"body": "user"}]}"#,
            "limits[0].failures.allowed: expected 1 to 16, found 17",
        ),
        (
            r#", "failures": {"allowed": 1, "distinct": []}"#,
            "limits[0].failures.distinct: expected what was tried, found nothing",
        ),
        (
            r#", "failures": {"allowed": 1, "statuses": []}"#,
            "limits[0].failures.statuses: expected 1 to 16 statuses, found 0",
        ),
        (
            r#", "failures": {"allowed": 1, "statuses": [200]}"#,
            "limits[0].failures.statuses[0]: expected 400 to 599, found 200",
        ),
        (
            r#", "failures": {"allowed": 1, "forget": "1m"}"#,
            "limits[0].failures.max_lock: expected whole seconds from 1s to `forget`, found 1h",
        ),
        (
            r#", "failures": {"allowed": 1, "lock": "2h"}"#,
            "limits[0].failures.lock: expected whole seconds from 1s to `max_lock`, found 2h",
        ),
        (
            r#", "requests": 1, "per": "1s", "match": [{"path": "/a"}, {"path": "b"}]"#,
            "limits[0].match[1].path: ",
        ),
    ] {
        let found = limit(fields);
        assert!(found.starts_with(expected), "{found} instead of {expected}");
    }
    let good = r#""limits": [{"id": "a", "requests": 5, "per": "1m"}]"#;
    for (fields, expected) in [
        (r#""status": 200"#, "status: expected 400 to 599, found 200"),
        (
            r#""headers": "off", "legacy_headers": true"#,
            "legacy_headers: expected `false` beside `headers: off`",
        ),
        (r#""max_body": "2MiB""#, "max_body: expected `1B` to `1MiB`"),
        (r#""exempt": [{}]"#, "exempt[0]: expected `match`, `client_address` or `claim`, found none"),
    ] {
        assert_eq!(refused(&format!("{{{good}, {fields}}}")), expected);
    }
}

// covers: OWASP-API-10
#[test]
fn an_expensive_request_takes_more_tokens() {
    let policy = limits(
        r#"{"id": "work", "requests": 100, "per": "1h"},
           {"id": "report", "match": {"path": "/report"}, "requests": 100, "per": "1h", "cost": {"fixed": 50}}"#,
    );
    let store = FakeStore::at(NOW);
    let verdicts: Vec<_> = (0..3)
        .map(|_| ask(&policy, &store, &get("/report"), "192.0.2.1").refusal.map(|denial| denial.status))
        .collect();
    assert_eq!(verdicts, [None, None, Some(429)]);
}

#[test]
fn a_request_that_costs_more_than_a_bucket_holds_takes_a_full_one() {
    let policy = limits(r#"{"id": "a", "requests": 10, "per": "10s", "cost": {"header": "x-items"}}"#);
    let store = FakeStore::at(NOW);
    let batch = |items: &str| request(&[(":method", "GET"), (":path", "/"), ("x-items", items)]);
    assert_eq!(verdict(&ask(&policy, &store, &batch("500"), "192.0.2.1")), None);
    let refusal = ask(&policy, &store, &batch("3"), "192.0.2.1").refusal.unwrap();
    assert_eq!(field(&refusal, "retry-after"), Some("3"));
    store.set_now(NOW + 3 * SECOND);
    assert_eq!(verdict(&ask(&policy, &store, &batch("3"), "192.0.2.1")), None);
}

#[test]
fn as_many_requests_as_may_be_are_under_way_at_one_time() {
    let policy = limits(r#"{"id": "slow", "concurrent": 2}"#);
    let store = FakeStore::at(NOW);
    let begin = || admit(&policy, &store, &get("/"), "192.0.2.1", None);
    let (first, mut held) = begin();
    let (second, _) = begin();
    assert!(first.is_ok() && second.is_ok());
    let (third, _) = begin();
    let denial = third.unwrap_err();
    assert_eq!((denial.status, denial.reason, field(&denial, "ratelimit")), (429, CONCURRENT, None));
    assert!(held.settles());
    held.settle(&store, Some(200));
    assert!(begin().0.is_ok());
    assert!(begin().0.is_err());
}

#[test]
fn what_a_refused_request_held_is_free_again() {
    let policy = limits(
        r#"{"id": "slow", "concurrent": 1}, {"id": "tokens", "requests": 2, "per": "1h"},
           {"id": "account", "key": [{"body": "user"}], "requests": 1, "per": "1h"}"#,
    );
    let store = FakeStore::at(NOW);
    let login = Request::new(
        [(":method", "POST"), (":path", "/"), ("content-type", "application/json")].into_iter().collect(),
        false,
    );
    let body = Body::read(&login, br#"{"user": "alice"}"#);
    let (first, mut admission) = admit(&policy, &store, &login, "192.0.2.1", Some(&body));
    assert!(first.is_ok());
    admission.settle(&store, Some(200));
    // In two steps, as with a body that comes later: the head is admitted, the body is not.
    let mut admission = Admission::default();
    let selected = policy.select(&login).unwrap();
    let (by_body, by_head): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|found| found.limit.needs_body());
    let facts = Facts {
        request: &login,
        address: "192.0.2.1".parse().ok(),
        identity: None,
        body: Some(&body),
        properties: &[],
    };
    let seed = Seed::new([1; 16]);
    assert!(policy.decide(&by_head, &seed, &facts, &store, NOBODY, &mut admission).is_ok());
    assert!(policy.decide(&by_body, &seed, &facts, &store, NOBODY, &mut admission).is_err());
    assert!(!admission.settles());
    let bob = Body::read(&login, br#"{"user": "bob"}"#);
    assert!(admit(&policy, &store, &login, "192.0.2.1", Some(&bob)).0.is_ok(), "slot and token went back");
}

// covers: OWASP-API-05
#[test]
fn failed_logins_lock_out_the_account_and_the_address() {
    let policy = limits(
        r#"{"id": "account", "match": {"methods": ["POST"], "path": "/login"}, "key": [{"body": "user"}],
            "failures": {"allowed": 3, "lock": "1m"}},
           {"id": "address", "match": {"methods": ["POST"], "path": "/login"},
            "failures": {"allowed": 5, "lock": "10m", "distinct": [{"body": "user"}]}}"#,
    );
    let store = FakeStore::at(NOW);
    let login = Request::new(
        [
            (":method", "POST"),
            (":path", "/login"),
            (":authority", "api.test"),
            ("content-type", "application/json"),
        ]
        .into_iter()
        .collect(),
        false,
    );
    let attempt = |user: &str, address: &str, status: u16| {
        let body = Body::read(&login, format!(r#"{{"user": "{user}"}}"#).as_bytes());
        let (result, mut admission) = admit(&policy, &store, &login, address, Some(&body));
        admission.settle(&store, Some(status));
        result.err().map(|denial| (denial.reason, denial.rule.unwrap()))
    };
    // One account from many addresses.
    for i in 1..=3 {
        assert_eq!(attempt("alice", &format!("192.0.2.{i}"), 401), None);
    }
    assert_eq!(attempt("ALICE ", "192.0.2.9", 401), Some((LOCKED_OUT, "account".to_owned())));
    assert_eq!(attempt("bob", "192.0.2.9", 200), None, "others are not held off");
    // One address with many accounts; a password that is mistyped again and again is one of them.
    for _ in 0..2 {
        assert_eq!(attempt("carol", "203.0.113.1", 401), None);
    }
    let mut tried = 0;
    while attempt(&format!("user{tried}"), "203.0.113.1", 401).is_none() {
        tried += 1;
    }
    assert!((4..=6).contains(&tried), "{tried} accounts: about five in all");
    assert_eq!(attempt("dave", "203.0.113.1", 401), Some((LOCKED_OUT, "address".to_owned())));
    // A success forgets what failed.
    for status in [401, 401, 200, 401, 401, 200] {
        assert_eq!(attempt("erin", "198.51.100.1", status), None);
    }
    store.set_now(NOW + 60 * SECOND);
    assert_eq!(attempt("alice", "198.51.100.2", 200), None, "after the lock");
}

// covers: OWASP-API-12
#[test]
fn a_business_flow_is_limited_by_every_key_it_has() {
    let flow = r#""match": [{"methods": ["POST"], "path": "/cart/checkout"}, {"methods": ["POST"], "path": "/orders"}], "requests": 3, "per": "1d""#;
    let policy = limits(&format!(
        r#"{{"id": "purchase-card", "key": [{{"body": "card.number"}}], {flow}}},
           {{"id": "purchase-device", "key": [{{"header": "x-device"}}], {flow}}}"#
    ));
    let store = FakeStore::at(NOW);
    let buy = |path: &str, card: u32, device: u32| {
        let request = Request::new(
            [
                (":method", "POST"),
                (":path", path),
                (":authority", "api.test"),
                ("content-type", "application/json"),
                ("x-device", &device.to_string()),
            ]
            .into_iter()
            .collect(),
            false,
        );
        let body = Body::read(&request, format!(r#"{{"card": {{"number": {card}}}}}"#).as_bytes());
        admit(&policy, &store, &request, "192.0.2.1", Some(&body)).0.err().and_then(|denial| denial.rule)
    };
    for (path, device) in [("/cart/checkout", 1), ("/orders", 2), ("/orders", 3)] {
        assert_eq!(buy(path, 4242, device), None, "the paths of a flow count together");
    }
    assert_eq!(buy("/orders", 4242, 4).as_deref(), Some("purchase-card"));
    for card in 1..=3 {
        assert_eq!(buy("/orders", card, 9), None);
    }
    assert_eq!(buy("/orders", 4, 9).as_deref(), Some("purchase-device"));
}

#[test]
fn most_of_a_bucket_used_is_worth_an_event() {
    let policy = limits(r#"{"id": "a", "requests": 10, "per": "1h", "near": 80}"#);
    let store = FakeStore::at(NOW);
    let reports: Vec<_> = (0..10).map(|_| ask(&policy, &store, &get("/"), "192.0.2.1").reports).collect();
    assert!(reports[..7].iter().all(Vec::is_empty));
    for report in &reports[7..] {
        assert_eq!((report.len(), report[0].reason, report[0].rule.as_deref()), (1, NEAR_LIMIT, Some("a")));
    }
}

#[test]
fn older_clients_are_told_in_fields_they_know() {
    let policy = policy(
        r#"{"headers": "always", "legacy_headers": true, "status": 503,
            "limits": [{"id": "a", "requests": 10, "per": "10s"}, {"id": "b", "requests": 2, "per": "1m"}]}"#,
    );
    let store = FakeStore::at(NOW);
    let fields = ask(&policy, &store, &get("/"), "192.0.2.1").standing.unwrap().fields(policy.answers());
    let legacy: Vec<_> = fields.iter().skip(2).map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        legacy,
        [("x-ratelimit-limit", "2"), ("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "30")],
        "of the limit with the fewest requests left"
    );
    ask(&policy, &store, &get("/"), "192.0.2.1");
    let denial = ask(&policy, &store, &get("/"), "192.0.2.1").refusal.unwrap();
    assert_eq!((denial.status, denial.title), (503, "Service Unavailable"));
    let expected = [Some("2"), Some("0"), Some("30")];
    assert_eq!(
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| field(&denial, name)),
        expected
    );
}
