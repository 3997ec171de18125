//! Filters as a proxy drives them: the input is a script of callbacks, in any order, with hostile requests and a host
//! that fails.

mod script;

use std::sync::LazyLock;

use portcullis_core::path::CanonicalPath;
use portcullis_host::fake::{FakeHost, fenced_blocks};
use portcullis_host::{Chain, Configure};
use portcullis_jose::testing::{E1, R1, jwks};
use serde_json::{Value, json};

use super::NOW;
use super::jose::TOKEN;
use script::{Promises, Run};

/// Configurations by number: the one whose promises are asserted, then the examples of the filter's page.
struct Configurations(Vec<String>);

impl Configurations {
    fn new(first: &Value, page: &str) -> Self {
        let examples = fenced_blocks(page, "json").into_iter();
        Self(std::iter::once(first.to_string()).chain(examples).collect())
    }

    /// Runs a script; its first byte chooses the configuration, whose number `promises` gets to know.
    fn run(&self, configure: impl Fn(&[u8], &FakeHost) -> Chain, promises: Promises, data: &[u8]) {
        let Some((number, script)) = data.split_first() else {
            return;
        };
        let index = usize::from(number.wrapping_sub(b'0')).checked_rem(self.0.len()).unwrap_or_default();
        let document = self.0.get(index).map(String::as_bytes).unwrap_or_default();
        let host = FakeHost::at(NOW);
        let chain = configure(document, &host);
        let promises = if index == 0 { promises } else { Promises::default() };
        Run::start(host, chain, promises).play(script);
    }
}

fn single(configure: Configure) -> impl Fn(&[u8], &FakeHost) -> Chain {
    move |document, host| match configure(document, host) {
        Ok(plugin) => Chain::single(plugin),
        Err(error) => panic!("{error}"),
    }
}

static AUDIT: LazyLock<Configurations> = LazyLock::new(|| {
    let first = json!({
        "fields": ["bytes", "flags", "path", "protocol", "tls", "upstream"],
        "headers": ["authorization", "cookie", "user-agent", "x-note"],
        "client_address": {"trusted_hops": 1}
    });
    Configurations::new(&first, include_str!("../../../../docs/audit.md"))
});

/// Every event is one JSON object on one line, and the client's token is not in it; nothing is decided.
pub(super) fn audit(data: &[u8]) {
    let promises = Promises { events: true, ..Promises::default() };
    AUDIT.run(single(portcullis_audit::plugin::configure), promises, data);
}

static HEADER_GUARD: LazyLock<Configurations> =
    LazyLock::new(|| Configurations::new(&json!({}), include_str!("../../../../docs/header-guard.md")));

/// What passes says nothing that only a proxy may say, is no TRACE and has no control character; every final response
/// has its security fields.
pub(super) fn header_guard(data: &[u8]) {
    let promises = Promises { passed: Some(is_guarded), responded: Some(is_hardened), ..Promises::default() };
    HEADER_GUARD.run(single(portcullis_header_guard::plugin::configure), promises, data);
}

fn is_guarded(run: &Run) {
    let fields = run.proxy.host.request_headers.borrow();
    for (name, value) in fields.iter() {
        let forbidden = [
            &b"x-envoy-"[..],
            b"forwarded",
            b"via",
            b"x-forwarded-user",
            b"x-forwarded-client-cert",
            b"cf-connecting-ip",
            b"x-http-method-override",
            b"x-original-url",
            b"proxy-connection",
            b"x-user-id",
        ];
        assert!(!forbidden.iter().any(|prefix| name.starts_with(prefix)), "{}", name.escape_ascii());
        assert!(!value.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')), "{}", name.escape_ascii());
    }
    assert_ne!(fields.first(b":method"), Some(&b"TRACE"[..]));
    assert!(fields.single(b"content-type").is_ok() && fields.single(b"authorization").is_ok());
    assert!(fields.len() <= 101, "{} fields", fields.len());
}

fn is_hardened(run: &Run) {
    let fields = run.proxy.host.response_headers.borrow();
    if run.failing || fields.first(b":status") != Some(b"200") {
        return;
    }
    assert_eq!(fields.single(b"x-content-type-options"), Ok(Some(&b"nosniff"[..])));
    assert!(!fields.contains(b"x-powered-by"));
}

fn jwt_auth_config() -> Value {
    json!({"providers": [{
        "name": "main", "issuer": "https://issuer.test/", "audiences": ["api://orders"],
        "jwks": {"inline": jwks(&[&R1, &E1])},
        "claims_to_headers": [{"claim": "sub", "header": "x-sub"}]
    }]})
}

static JWT_AUTH: LazyLock<Configurations> =
    LazyLock::new(|| Configurations::new(&jwt_auth_config(), include_str!("../../../../docs/jwt-auth.md")));

/// Nothing passes without the one token that the issuer has signed, and the API learns who that token is about.
pub(super) fn jwt_auth(data: &[u8]) {
    let promises = Promises { passed: Some(has_token), ..Promises::default() };
    JWT_AUTH.run(single(portcullis_jwt_auth::plugin::configure), promises, data);
}

fn has_token(run: &Run) {
    let values: Vec<&[u8]> = run.sent.all(b"authorization").collect();
    let token = values.first().and_then(|value| value.get("bearer ".len()..)).map(<[u8]>::trim_ascii);
    assert_eq!((values.len(), token), (1, Some(TOKEN.as_bytes())));
    let fields = run.proxy.host.request_headers.borrow();
    assert_eq!(fields.single(b"x-sub"), Ok(Some(&b"alice"[..])));
}

/// Requests that pass in an hour, by the configuration below.
const ALLOWED: usize = 3;

fn rate_limit_config() -> Value {
    json!({"limits": [
        {"id": "closed", "match": {"path": "/closed/**"}, "key": [], "requests": 0, "per": "1h"},
        {"id": "all", "key": [], "requests": ALLOWED, "per": "1h"}
    ]})
}

static RATE_LIMIT: LazyLock<Configurations> = LazyLock::new(|| {
    Configurations::new(&rate_limit_config(), include_str!("../../../../docs/rate-limit.md"))
});

/// No more requests pass than the limit says while the clock stands, and none to a closed path, however it is spelled.
pub(super) fn rate_limit(data: &[u8]) {
    let promises = Promises { passed: Some(is_within_limit), ..Promises::default() };
    RATE_LIMIT.run(single(portcullis_rate_limit::plugin::configure), promises, data);
}

fn is_within_limit(run: &Run) {
    assert!(run.passed <= ALLOWED || run.clock_moved, "{} requests passed", run.passed);
    let path = CanonicalPath::parse(run.sent.first(b":path").unwrap_or_default());
    assert!(path.is_ok_and(|path| path.segments().next() != Some("closed")));
}

fn schema_guard_config() -> Value {
    let order = json!({"type": "object", "required": ["item"], "properties": {"item": {"type": "string", "minLength": 1}}});
    json!({"max_body": "64B", "document": {"openapi": "3.1.0", "paths": {
        "/orders": {
            "get": {"parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}]},
            "post": {"requestBody": {"required": true, "content": {"application/json": {"schema": order}}}}
        },
        "/orders/{id}": {"get": {"parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}
        ]}}
    }}})
}

static SCHEMA_GUARD: LazyLock<Configurations> = LazyLock::new(|| {
    Configurations::new(&schema_guard_config(), include_str!("../../../../docs/schema-guard.md"))
});

/// What passes is in the document: its path, its method, and its body as another parser reads it.
pub(super) fn schema_guard(data: &[u8]) {
    let promises = Promises { passed: Some(is_documented), ..Promises::default() };
    SCHEMA_GUARD.run(single(portcullis_schema_guard::plugin::configure), promises, data);
}

fn is_documented(run: &Run) {
    let path = CanonicalPath::parse(run.sent.first(b":path").unwrap_or_default());
    let segments: Vec<String> = path.iter().flat_map(CanonicalPath::segments).map(str::to_owned).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match (run.sent.first(b":method"), &segments[..]) {
        (Some(b"GET"), ["orders"]) => {}
        (Some(b"GET"), ["orders", id]) => {
            let id: Option<f64> = id.parse().ok();
            assert!(id.is_some_and(|id| id >= 1.0 && id.fract() == 0.0), "{segments:?}");
        }
        (Some(b"POST"), ["orders"]) => {
            assert!(run.judged_body.len() <= 64);
            let body: Value = serde_json::from_slice(&run.judged_body).unwrap_or_default();
            assert!(body.get("item").and_then(Value::as_str).is_some_and(|item| !item.is_empty()), "{body}");
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        }
        other => panic!("undocumented: {other:?}"),
    }
}

static SUITE: LazyLock<Configurations> = LazyLock::new(|| {
    let entry = |filter: &str, config: Value| json!({"filter": filter, "config": config});
    let first = json!({"filters": [
        entry("header-guard", json!({})),
        entry("audit", json!({"headers": ["authorization", "x-note"], "fields": ["path"]})),
        entry("rate-limit", rate_limit_config()),
        entry("jwt-auth", jwt_auth_config()),
        entry("schema-guard", schema_guard_config())
    ]});
    Configurations::new(&first, include_str!("../../../../docs/suite.md"))
});

/// What all of them promise holds in one chain.
pub(super) fn suite(data: &[u8]) {
    let passed = |run: &Run| {
        [is_guarded, has_token, is_within_limit, is_documented].iter().for_each(|holds| holds(run))
    };
    let promises = Promises { passed: Some(passed), responded: Some(is_hardened), events: true };
    let configure = |document: &[u8], host: &FakeHost| {
        portcullis_suite::plugin::configure(document, host).unwrap_or_else(|error| panic!("{error}"))
    };
    SUITE.run(configure, promises, data);
}
