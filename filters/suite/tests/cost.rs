//! What a megabyte of one hostile thing costs: all parsers of all filters, driven as a whole. Four times as much may
//! cost four times as long, and some noise; a quadratic parser would need sixteen times as long.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in tests a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use portcullis_core::headers::Headers;
use portcullis_host::fake::{FakeHost, FakeProxy};
use portcullis_suite::plugin::configure;
use serde_json::json;

/// Four times this is as much as header-guard can be told to let through.
const SMALL: usize = 240 * 1024;
const TIMES_AS_MUCH: usize = 4;
/// Far from four and from sixteen.
const MOST: u32 = 8;
/// What a busy machine may add to anything.
const NOISE: Duration = Duration::from_millis(30);
const ATTEMPTS: u32 = 20;

/// Limits so wide that the parsers behind them see everything.
fn proxy() -> FakeProxy {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {
            "/any": {"post": {
                "parameters": [
                    {"name": "q", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "c", "in": "cookie", "schema": {"type": "string"}},
                ],
                "requestBody": {"content": {"application/json": {}, "text/plain": {}}},
                "responses": {},
            }},
            "/any/{rest}": {"post": {"parameters": [{"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}}], "responses": {}}},
        },
    });
    let limits = json!({
        "max_value": "1MiB", "max_header_bytes": "1MiB", "max_path": "1MiB", "max_query_parameters": 10_000,
        "mode": "report",
    });
    let config = json!({"filters": [
        {"filter": "audit", "config": {"headers": ["x-note"]}},
        {"filter": "header-guard", "config": {"request": limits}},
        {"filter": "rate-limit", "config": {
            "client_address": {"trusted_hops": 1},
            "limits": [
                {"id": "a", "match": {"path": "/any/**"}, "key": ["client_address"], "requests": 1_000_000, "per": "1h"},
                {"id": "b", "match": {"hosts": ["api.test"], "headers": [{"name": "x-role", "value": "admin"}]}, "requests": 1_000_000, "per": "1h"},
            ],
        }},
        {"filter": "schema-guard", "config": {"document": document, "max_body": "4MiB", "mode": "report"}},
        {"filter": "jwt-auth", "config": {
            "providers": [{"name": "a", "issuer": "https://issuer.test/", "audiences": ["a"], "jwks": {"inline": portcullis_jose::testing::jwks(&[&portcullis_jose::testing::R1])}}],
        }},
    ]});
    let host = FakeHost::at(1_800_000_000);
    host.set("source.address", "192.0.2.1:40000");
    let chain = configure(config.to_string().as_bytes(), &host).unwrap();
    FakeProxy::start_chain(host, chain)
}

/// How long the request takes, once.
#[expect(clippy::disallowed_methods, reason = "this test is about time")]
fn time(proxy: &FakeProxy, head: &Headers, body: &[u8]) -> Duration {
    let began = Instant::now();
    let ended = proxy.request(head.clone(), body);
    let took = began.elapsed();
    let cut_off = ["header.too_large", "header.target_too_long", "body.too_large"];
    assert!(
        !cut_off.contains(&ended.reason().as_str()),
        "refused before anything read it: {}",
        ended.reason()
    );
    took
}

/// Whether the second request takes at most [`MOST`] times as long as the first. A busy machine makes single times
/// longer, never all of them: both are measured until it holds, and what never holds is no noise.
fn assert_bounded(proxy: &FakeProxy, what: &str, first: &(Headers, Vec<u8>), second: &(Headers, Vec<u8>)) {
    let (mut shortest, mut other) = (Duration::MAX, Duration::MAX);
    for _ in 0..ATTEMPTS {
        shortest = shortest.min(time(proxy, &first.0, &first.1));
        other = other.min(time(proxy, &second.0, &second.1));
        if other <= shortest.saturating_mul(MOST).saturating_add(NOISE) {
            return;
        }
    }
    panic!("{what}: {shortest:?}, then {other:?}, more than {MOST} times as long");
}

/// A request with `text` in one place of it.
fn request(place: &str, text: &str) -> (Headers, Vec<u8>) {
    let mut head: Headers =
        [(":method", "POST"), (":scheme", "https"), (":authority", "api.test"), (":path", "/any")]
            .into_iter()
            .collect();
    let mut body = Vec::new();
    match place {
        "path" => head.set(b":path", format!("/any/{text}").as_bytes()),
        "query" => head.set(b":path", format!("/any?q={text}").as_bytes()),
        "authority" => head.set(b":authority", text.as_bytes()),
        "json" => {
            head.append(b"content-type", b"application/json");
            body = text.into();
        }
        "a JSON string" => {
            head.append(b"content-type", b"application/json");
            body = format!("\"{text}\"").into();
        }
        "text" => {
            head.append(b"content-type", b"text/plain");
            body = text.into();
        }
        field => head.append(field.as_bytes(), text.as_bytes()),
    }
    (head, body)
}

fn assert_linear(proxy: &FakeProxy, place: &str, piece: &str) {
    let of_size = |size: usize| request(place, &piece.repeat(size.div_ceil(piece.len())));
    let (small, large) = (of_size(SMALL), of_size(SMALL.saturating_mul(TIMES_AS_MUCH)));
    assert_bounded(
        proxy,
        &format!("{piece:?} in {place}, {SMALL} bytes and {TIMES_AS_MUCH} times as many"),
        &small,
        &large,
    );
}

// covers: HOST-ALGO-04
#[test]
fn a_megabyte_of_one_character_costs_four_times_a_quarter_of_it() {
    let proxy = proxy();
    for place in ["json", "text"] {
        for piece in [
            "\"",
            "'",
            "\\",
            "<",
            "%",
            "[",
            "{",
            "]",
            "{\"a\":",
            ",",
            " ",
            "1",
            "-",
            "[1],",
            "\"\\u0022",
            "é",
            "\u{0}",
            "\n",
        ] {
            assert_linear(&proxy, place, piece);
        }
    }
    for piece in ["a", "'", "<", "%", "[", "\\\\", "\\\"", "\\u0022", "\\ud83d\\ude00", "é"] {
        assert_linear(&proxy, "a JSON string", piece);
    }
    for place in ["path", "query"] {
        for piece in [
            "%", "%25", "%2F", "%41", "\\", "'", "<", ";", ";a=b", "/", "/a", "/..", ".", "&", "&a", "a=b&",
            "+", ",", "[", "#", "?", "é",
        ] {
            assert_linear(&proxy, place, piece);
        }
    }
}

// covers: HOST-ALGO-04, HOST-ALGO-09
#[test]
fn a_megabyte_in_a_field_costs_four_times_a_quarter_of_it() {
    let proxy = proxy();
    for (place, pieces) in [
        ("authority", &["xn--", "xn--a.", "a.", "a", ":", "[", "%41", "@", "é"][..]),
        ("authorization", &["Bearer ", "a", ".", "a.", "=", " ", ",", "eyJ"]),
        ("content-type", &["a", "/", ";", "; a=b", "\"", "\\", ", "]),
        ("cookie", &[";", "=", "a=b; ", "\"", "c=1;", " "]),
        ("x-forwarded-for", &[",", "1.2.3.4,", "[", ":", "a"]),
        ("forwarded", &["for=1.2.3.4;", "\"", "\\", ","]),
        ("x-role", &[",", "admin", " ,", "\t"]),
        ("x-note", &["\"", "\\", "\n", "\u{2028}", "<"]),
        ("connection", &["close,", ",", "a"]),
        ("range", &["bytes=0-1,", ",", "0"]),
        ("traceparent", &["0", "-"]),
        ("accept", &[",", "*/*,", "a/b;q=0.1,"]),
    ] {
        for piece in pieces {
            assert_linear(&proxy, place, piece);
        }
    }
}

/// Names that one multiplicative hash without a seed (`h = 31 h + byte`) puts into one place: `Aa` and `BB` are the
/// same to it.
fn colliding(count: u32) -> Vec<String> {
    (0..count).map(|n| (0..17).map(|bit| if n >> bit & 1 == 0 { "Aa" } else { "BB" }).collect()).collect()
}

// covers: HOST-CTX-08
#[test]
fn a_hundred_thousand_names_cost_the_same_whatever_they_are() {
    const NAMES: u32 = 90_000; // a body may hold 100,000 values
    let proxy = proxy();
    let ordinary: Vec<String> =
        (0..NAMES).map(|n| format!("{:034}", n.wrapping_mul(2_654_435_761))).collect();
    let object = |names: &[String]| {
        format!("{{{}}}", names.iter().map(|name| format!("\"{name}\":0")).collect::<Vec<_>>().join(","))
    };
    let query = |names: &[String]| names.iter().map(|name| format!("{name}=0")).collect::<Vec<_>>().join("&");
    let cookies =
        |names: &[String]| names.iter().map(|name| format!("{name}=0")).collect::<Vec<_>>().join("; ");
    let hostile = colliding(NAMES);
    for (place, usual, crafted) in [
        ("json", object(&ordinary), object(&hostile)),
        ("query", query(&ordinary[..9_000]), query(&hostile[..9_000])),
        ("cookie", cookies(&ordinary[..9_000]), cookies(&hostile[..9_000])),
    ] {
        let what = format!("names in {place}, ordinary ones and those that collide");
        assert_bounded(&proxy, &what, &request(place, &usual), &request(place, &crafted));
    }
}
