use portcullis_core::headers::Headers;
use portcullis_core::verdict::Outcome;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::line::LIMIT;

fn parse(line: &str) -> Value {
    assert!(line.len() <= LIMIT, "{} bytes", line.len());
    assert!(!line.contains('\n'));
    serde_json::from_str(line).unwrap()
}

fn request(fields: &[(&str, &str)]) -> Request {
    let base = [(":method", "GET"), (":authority", "api.test"), (":path", "/orders/7?token=s3cret")];
    Request::new(base.iter().chain(fields).copied().collect(), true)
}

// covers: AUD-FLD-01, AUD-FLD-11, AUD-RED-04, AUD-RED-07
#[test]
fn an_event_says_who_did_what_when_and_what_came_of_it() {
    let request = request(&[
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "r-1"),
        ("user-agent", "curl/8"),
        ("authorization", "Bearer s3cret"),
    ]);
    let actor = Actor {
        issuer: "http://idp.test".into(),
        subject: "alice".into(),
        client_id: "shop".into(),
        token_id: "t-1".into(),
    };
    let facts = Facts {
        worker: 0xab,
        sequence: 7,
        time: Some(UnixTime::from_secs(1_795_512_600)),
        request: Some(&request),
        status: Some(403),
        verdicts: &[
            FilterVerdict { filter: "header-guard", outcome: Outcome::Allow, reason: None, rule: None },
            FilterVerdict {
                filter: "access-control",
                outcome: Outcome::Deny,
                reason: Some("access.denied"),
                rule: Some("admins"),
            },
        ],
        operation: Some("GET /orders/{id}"),
        actor: Some(&actor),
        source: "192.0.2.1".parse().ok(),
        duration: Some(Duration::from_micros(1234)),
        timings: &[("header-guard", Duration::from_micros(5))],
        changes: &[Change { filter: "header-guard", what: b"x-user-id".to_vec() }],
        bytes: Some((10, 20)),
        flags: 4 | 32 | 1 << 40,
        upstream: Some(b"10.0.0.1:80"),
        cluster: Some(b"orders"),
        protocol: Some(b"HTTP/2"),
        tls: Some(b"TLSv1.3"),
        ..Facts::default()
    };
    assert_eq!(
        parse(&write(&facts, &[], &["user-agent".into(), "authorization".into(), "x-absent".into()])),
        json!({
            "schema": "portcullis.audit/1",
            "id": "00000000000000ab-7",
            "time": "2026-11-24T09:30:00.000Z",
            "time_ms": 1_795_512_600_000_u64,
            "worker": "00000000000000ab",
            "sequence": 7,
            "type": "authz_fail",
            "severity": "high",
            "outcome": "denied",
            "answered_by": "access-control",
            "reason": "access.denied",
            "rule": "admins",
            "status": 403,
            "method": "GET",
            "operation": "GET /orders/{id}",
            "authority": "api.test",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "request_id": "r-1",
            "source": "192.0.2.1",
            "identity": {"iss": "http://idp.test", "sub": "alice", "client_id": "shop", "jti": "t-1"},
            "duration_us": 1234,
            "filters_us": {"header-guard": 5},
            "verdicts": [
                {"filter": "header-guard", "outcome": "allow"},
                {"filter": "access-control", "outcome": "deny", "reason": "access.denied", "rule": "admins"},
            ],
            "bytes_in": 10,
            "bytes_out": 20,
            "flags": "UT,UF,40",
            "upstream": "10.0.0.1:80",
            "cluster": "orders",
            "protocol": "HTTP/2",
            "tls": "TLSv1.3",
            "changes": [{"filter": "header-guard", "name": "x-user-id"}],
            "headers": {"user-agent": "curl/8", "authorization": "{secret}"},
        })
    );
}

/// The user's page has an example with every member, and a row for each.
#[test]
fn the_page_describes_every_member() {
    let page = include_str!("../../../../docs/audit.md");
    let examples = portcullis_host::fake::fenced_blocks(page, "text");
    let event = parse(&examples[0]);
    assert_eq!(event["schema"], SCHEMA);
    for name in event.as_object().unwrap().keys() {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
    let table = page.lines().skip_while(|line| *line != "## Members").take_while(|line| *line != "## Types");
    for row in table.filter(|line| line.starts_with("| `")) {
        let name = row.split('`').nth(1).unwrap();
        assert!(event.get(name).is_some(), "{name} is not in the example");
    }
}

// covers: ENV-LIFE-06, AUD-DEL-09
#[test]
fn a_request_that_nobody_read_has_an_event_too() {
    let facts = Facts { details: "http1.codec_error", status: Some(400), ..Facts::default() };
    let event = parse(&write(&facts, &[], &["user-agent".into()]));
    for (name, expected) in [
        ("method", "unknown"),
        ("path", "unknown"),
        ("answered_by", "proxy"),
        ("outcome", "denied"),
        ("details", "http1.codec_error"),
        ("type", "input_validation_fail"),
    ] {
        assert_eq!(event[name], expected, "{name}");
    }
    let nothing = parse(&write(&Facts::default(), &[], &[]));
    assert_eq!((&nothing["outcome"], nothing.get("status")), (&json!("unknown"), None));
}

// covers: AUD-RED-04, AUD-FLD-09
#[test]
fn the_path_is_written_where_no_operation_is_known_and_never_its_query() {
    for (operation, fields, expected) in [
        (None, &[][..], Some("/orders/7")),
        (Some("getOrder"), &[], None),
        (Some("getOrder"), &[Field::Path], Some("/orders/7")),
    ] {
        let (request, operation_text) = (request(&[("traceparent", "x"), ("x-request-id", "r")]), operation);
        let facts = Facts { request: Some(&request), operation: operation_text, ..Facts::default() };
        let line = write(&facts, fields, &[]);
        assert!(!line.contains("s3cret") && !line.contains("token"));
        let event = parse(&line);
        assert_eq!(event.get("path").and_then(Value::as_str), expected);
        assert_eq!(event.get("trace_id"), None);
    }
    // A path without canonical form is written as it came, escaped and masked.
    let headers: Headers =
        [(&b":method"[..], &b"GET"[..]), (b":path", b"/a//\xff/x%2fy?s3cret")].into_iter().collect();
    let odd = Request::new(headers, true);
    let facts = Facts { request: Some(&odd), ..Facts::default() };
    assert_eq!(parse(&write(&facts, &[], &[]))["path"], "/a//\\xff/x%2fy");
}

// covers: AUD-FLD-10
#[test]
fn an_event_is_bounded_whatever_is_sent() {
    let path = format!("/{}", "a/".repeat(30_000));
    let headers: Vec<(String, String)> = (0..100).map(|n| (format!("x-{n}"), "v".repeat(1000))).collect();
    let mut fields: Headers = headers.iter().map(|(name, value)| (name, value)).collect();
    fields.append(b":method", b"GET");
    fields.append(b":path", path.as_bytes());
    fields.append(b":authority", &[b'"'; 9000]);
    let request = Request::new(fields, true);
    let actor = Actor { subject: "s".repeat(10_240), issuer: "\n".repeat(9000), ..Actor::default() };
    let facts = Facts { request: Some(&request), actor: Some(&actor), ..Facts::default() };
    let names: Vec<String> = (0..16).map(|n| format!("x-{n}")).collect();
    let event = parse(&write(&facts, &[], &names));
    assert!(event["path"].as_str().unwrap().ends_with('…'));
    assert_eq!(event["truncated"]["path"], 60_001);
    assert_eq!(event["truncated"]["sub"], 10_240);
    assert_eq!(event["truncated"]["authority"], 9000);
    assert_eq!(event["truncated"]["headers"], 16_000);
}

proptest! {
    // covers: AUD-INJ-01, AUD-INJ-02, AUD-FLD-10
    #[test]
    fn every_event_is_one_line_of_json(
        bytes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 8),
        details in any::<String>(),
        rules in proptest::collection::vec(any::<String>(), 0..40),
        status in proptest::option::of(any::<u16>()),
        numbers: (u64, u64, u64),
    ) {
        let text = |index: usize| String::from_utf8_lossy(&bytes[index]).repeat(3);
        let mut path = b"/".to_vec();
        path.extend_from_slice(&bytes[0]);
        let fields: [(&[u8], &[u8]); 7] = [
            (b":method", &bytes[1]),
            (b":path", &path),
            (b":authority", &bytes[2]),
            (b"user-agent", &bytes[3]),
            (b"user-agent", &bytes[4]),
            (b"x-request-id", &bytes[5]),
            (b"traceparent", &bytes[6]),
        ];
        let request = Request::new(fields.into_iter().collect(), false);
        let actor = Actor { issuer: text(0), subject: text(1), client_id: text(2), token_id: text(3) };
        let verdicts: Vec<_> = rules
            .iter()
            .map(|rule| FilterVerdict { filter: rule, outcome: Outcome::Deny, reason: Some(&details), rule: Some(rule) })
            .collect();
        let changes: Vec<_> =
            bytes.iter().map(|what| Change { filter: "header-guard", what: what.clone() }).collect();
        let facts = Facts {
            worker: numbers.0,
            sequence: numbers.1,
            time: Some(UnixTime::from_nanos(numbers.2)),
            request: Some(&request),
            status,
            details: &details,
            verdicts: &verdicts,
            operation: status.is_none().then_some(details.as_str()),
            actor: Some(&actor),
            source: "::1".parse().ok(),
            duration: Some(Duration::from_nanos(numbers.0)),
            timings: &[("a", Duration::MAX); 32],
            changes: &changes,
            bytes: Some((numbers.0, numbers.1)),
            flags: numbers.2,
            upstream: Some(&bytes[4]),
            cluster: Some(&bytes[5]),
            protocol: Some(&bytes[6]),
            tls: Some(&bytes[7]),
        };
        parse(&write(&facts, &[Field::Path], &["user-agent".into(), "x-request-id".into()]));
    }
}
