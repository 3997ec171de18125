//! What is put on the host: the modules, their configurations, and exchanges whose verdict is known.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use portcullis_jose::testing::{E1, OTHER, R1, verify_signature};
use proxy_wasm_fault_host::{Answer, Callback, Exchange, GrpcAnswer, Message, Module, Proxy, Trap, Vm};
use serde_json::{Value, json};

mod tokens;

pub use tokens::token;

/// The clock of all subjects, in seconds since the epoch.
pub const NOW: u64 = 1_800_000_000;
/// The root context of all subjects.
pub const ROOT: u32 = 1;
/// The stream context of single exchanges.
pub const STREAM: u32 = 2;

/// One module with one configuration.
#[derive(Debug)]
pub struct Subject {
    /// For reports, as in `jwt-auth, keys fetched`.
    pub name: &'static str,
    /// The module, as in `jwt-auth`.
    pub module: &'static str,
    /// What the operator wrote.
    pub configuration: Value,
    /// Whether a host error lets a request pass (`on_error: allow`).
    pub fails_open: bool,
    /// Whether the host has `verify_signature`.
    pub native_signatures: bool,
    /// Exchanges whose verdict is known.
    pub cases: Vec<Case>,
}

/// An exchange and what becomes of it on a host without faults.
#[derive(Debug)]
pub struct Case {
    /// For reports.
    pub name: &'static str,
    /// The exchange.
    pub exchange: Exchange,
    /// The status of the module's own answer, nearly always a refusal; none when it passes.
    pub refused: Option<u32>,
}

impl Subject {
    /// The compiled module; compiling takes a second or two.
    #[must_use]
    pub fn load(&self) -> Module {
        load(self.module)
    }

    /// A proxy with this configuration, before the module is started.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        let mut proxy = Proxy::at(NOW);
        proxy.plugin_configuration = self.configuration.to_string().into_bytes();
        proxy.set_property("source.address", "203.0.113.9:4711");
        proxy.set_property("request.protocol", "HTTP/1.1");
        proxy.set_property("connection.mtls", [0]);
        proxy.set_property("response.code", 200_i64.to_le_bytes());
        proxy.set_property("response.code_details", "via_upstream");
        proxy.set_property("request.duration", 1_500_000_i64.to_le_bytes());
        for (cluster, answer) in tokens::answers() {
            let fields = vec![(b":status".to_vec(), b"200".to_vec())];
            proxy.clusters.insert(cluster.into(), Answer::With(fields, answer.to_string().into_bytes()));
        }
        proxy.clusters.insert("silent".into(), Answer::Silence);
        // Answers of a rate-limit service: the overall code OK, and OVER_LIMIT.
        let [granting, refusing] = [1, 2].map(|code| GrpcAnswer::Message(vec![0x08, code]));
        proxy.grpc_clusters.insert("granting".into(), granting);
        proxy.grpc_clusters.insert("refusing".into(), refusing);
        proxy.grpc_clusters.insert("silent".into(), GrpcAnswer::Silence);
        proxy.environment.insert("CLIENT_SECRET".into(), "of-the-filter-at-the-issuer".into());
        if self.native_signatures {
            proxy.functions.insert("verify_signature".into(), Arc::new(verified));
        }
        proxy
    }

    /// A running module whose configuration was offered; whether it was accepted.
    ///
    /// # Errors
    /// [`Trap`] when that traps.
    pub fn start(&self, module: &Module, proxy: Proxy) -> Result<(Vm, bool), Trap> {
        let mut vm = Vm::start(module, proxy)?;
        let accepted = configure(&mut vm, ROOT)?;
        Ok((vm, accepted))
    }
}

/// A module by its name, as in `jwt-auth` or `test/noop`.
#[must_use]
pub fn load(module: &str) -> Module {
    let dist = std::env::var_os("DIST").map_or_else(|| root().join("dist"), PathBuf::from);
    let path = dist.join(format!("{module}.wasm"));
    Module::load(&path)
        .unwrap_or_else(|error| panic!("{error}; `make build build-test-modules` makes the modules"))
}

/// Announces a root context and offers it the proxy's configuration.
///
/// # Errors
/// [`Trap`] when that traps.
pub fn configure(vm: &mut Vm, root: u32) -> Result<bool, Trap> {
    let size = u32::try_from(vm.proxy().plugin_configuration.len()).unwrap_or(u32::MAX);
    vm.call(&Callback::context_create(root, 0))?;
    Ok(vm.call(&Callback::vm_start(root, 0))? != 0 && vm.call(&Callback::configure(root, size))? != 0)
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Envoy's `verify_signature`. Each start of a module asks the same fifteen questions, so answers are kept.
fn verified(argument: &[u8]) -> Result<Vec<u8>, u32> {
    type Answers = HashMap<Vec<u8>, Option<Vec<u8>>>;
    static ANSWERS: LazyLock<Mutex<Answers>> = LazyLock::new(Mutex::default);
    static KNOWN: LazyLock<Vec<Value>> = LazyLock::new(known_keys);
    let mut answers = ANSWERS.lock().unwrap();
    let answer =
        answers.entry(argument.to_vec()).or_insert_with(|| verify_signature::answer(argument, &KNOWN));
    answer.clone().ok_or(2)
}

fn known_keys() -> Vec<Value> {
    let vectors = include_str!("../../../filters/jwt-auth/src/native_vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let probes = vectors.into_iter().map(|vector| vector["jwk"].clone());
    probes.chain([&R1, &E1, &OTHER].map(|key| key.public_jwk())).collect()
}

const fn subject(
    name: &'static str,
    module: &'static str,
    configuration: Value,
    cases: Vec<Case>,
) -> Subject {
    Subject { name, module, configuration, cases, fails_open: false, native_signatures: true }
}

/// The same with `on_error: allow`.
fn failing_open(
    name: &'static str,
    module: &'static str,
    configuration: &Value,
    cases: Vec<Case>,
) -> Subject {
    let mut configuration = configuration.clone();
    configuration["on_error"] = json!("allow");
    Subject { fails_open: true, ..subject(name, module, configuration, cases) }
}

/// Every filter, with the configurations that matter. A new filter joins here.
#[must_use]
pub fn all() -> Vec<Subject> {
    let mut subjects = tokens::subjects();
    subjects.extend([
        // An event that can't be written is no reason to refuse a request: its default is `allow`.
        Subject {
            fails_open: true,
            ..subject("audit", "audit", json!({"headers": ["user-agent"]}), plain_cases())
        },
        subject("header-guard", "header-guard", json!({}), header_cases()),
        subject("header-guard, with rules", "header-guard", header_rules(), header_rule_cases()),
        subject("rate-limit", "rate-limit", rate_limit(), limit_cases()),
        subject("rate-limit, service grants", "rate-limit", global_limit("granting"), global_cases(None)),
        subject(
            "rate-limit, service refuses",
            "rate-limit",
            global_limit("refusing"),
            global_cases(Some(429)),
        ),
        subject("rate-limit, service silent", "rate-limit", global_limit("silent"), global_cases(Some(503))),
        subject("schema-guard", "schema-guard", schema_guard(), body_cases()),
        subject("suite", "suite", suite(), suite_cases()),
        failing_open("header-guard, on_error allow", "header-guard", &json!({}), header_cases()),
        failing_open("jwt-auth, on_error allow", "jwt-auth", &tokens::inline(), tokens::cases()),
        failing_open("rate-limit, on_error allow", "rate-limit", &rate_limit(), limit_cases()),
        failing_open("schema-guard, on_error allow", "schema-guard", &schema_guard(), body_cases()),
    ]);
    subjects
}

fn rate_limit() -> Value {
    json!({
        "limits": [
            {"id": "closed", "match": {"path": "/closed"}, "key": [], "requests": 0, "per": "1h"},
            {"id": "address", "match": {"path": "/orders/**"}, "key": ["client_address"], "requests": 100, "per": "1h"},
            {"id": "key", "match": {"path": "/orders/**"}, "key": ["client_address", {"header": "x-api-key"}], "missing": "skip", "requests": 100, "per": "1s"},
        ],
    })
}

/// Each request asks the service behind this cluster.
fn global_limit(cluster: &str) -> Value {
    json!({
        "rate_limit_service": {"cluster": cluster, "timeout": "50ms", "on_failure": "deny"},
        "limits": [
            {"id": "global", "match": {"path": "/orders/**"}, "key": ["client_address"], "requests": 100, "per": "1h", "global": {"lease": 1}},
        ],
    })
}

fn schema_guard() -> Value {
    let id =
        json!({"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}});
    let item = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["item"],
        "properties": {
            "item": {"type": "string", "maxLength": 40, "pattern": "^[a-z ]+$"},
            "price": {"type": "number", "multipleOf": 0.01},
            "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
            "nested": {"$ref": "#/components/schemas/Nested"},
        },
    });
    json!({
        "max_body": "64KiB",
        "document": {
            "openapi": "3.1.0",
            "info": {"title": "Orders", "version": "1"},
            "paths": {
                "/orders": {"post": {
                    "operationId": "createOrder",
                    "requestBody": {"required": true, "content": {"application/json": {"schema": item}}},
                    "responses": {"201": {"description": "made"}},
                }},
                "/orders/{id}": {"get": {
                    "operationId": "getOrder",
                    "parameters": [id],
                    "responses": {"200": {"description": "ok"}},
                }},
            },
            "components": {"schemas": {"Nested": {
                "type": "object",
                "properties": {"next": {"$ref": "#/components/schemas/Nested"}},
            }}},
        },
    })
}

fn suite() -> Value {
    let filters = [
        ("header-guard", json!({})),
        ("audit", json!({})),
        ("rate-limit", rate_limit()),
        ("jwt-auth", tokens::inline()),
        ("schema-guard", schema_guard()),
    ];
    let filters: Vec<_> =
        filters.iter().map(|(name, config)| json!({"filter": name, "config": config})).collect();
    json!({"filters": filters})
}

/// A request as a client sends it, with these fields besides the usual ones.
#[must_use]
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    let mut all = vec![
        (":method", method),
        (":path", path),
        (":authority", "api.test"),
        (":scheme", "http"),
        ("user-agent", "client/1.0"),
        ("accept", "*/*"),
    ];
    all.extend(fields);
    Message::new(&all)
}

fn posted(path: &str, fields: &[(&str, &str)], body: &str) -> Message {
    let mut fields = fields.to_vec();
    fields.push(("content-type", "application/json"));
    Message { body: body.as_bytes().to_vec(), ..request("POST", path, &fields) }
}

const fn pass(name: &'static str, exchange: Exchange) -> Case {
    Case { name, exchange, refused: None }
}

const fn refuse(name: &'static str, status: u32, exchange: Exchange) -> Case {
    Case { name, exchange, refused: Some(status) }
}

/// With a response that gives something away.
fn leaky(request: Message) -> Exchange {
    let response =
        [(":status", "200"), ("server", "upstream/1.2"), ("x-powered-by", "php"), ("set-cookie", "a=b")];
    Exchange { response: Message::new(&response), ..Exchange::new(request) }
}

fn plain_cases() -> Vec<Case> {
    vec![
        pass("a GET", leaky(request("GET", "/orders/7?x=1", &[]))),
        pass(
            "a POST in parts",
            Exchange { part: 7, ..Exchange::new(posted("/orders", &[], r#"{"item": "a book"}"#)) },
        ),
    ]
}

fn header_cases() -> Vec<Case> {
    vec![
        pass("a GET", leaky(request("GET", "/orders/7", &[]))),
        pass(
            "a spoofed identity",
            leaky(request(
                "GET",
                "/orders/7",
                &[
                    ("x-user-id", "admin"),
                    ("x-forwarded-for", "10.0.0.1"),
                    ("x-original-url", "/admin"),
                    ("x-envoy-internal", "true"),
                    ("x-forwarded-client-cert", "By=a"),
                ],
            )),
        ),
        refuse(
            "two credentials",
            400,
            Exchange::new(request(
                "GET",
                "/",
                &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            )),
        ),
    ]
}

/// Every section, and a peer that may be one of the operator's.
fn header_rules() -> Value {
    json!({
        "zone": {"mesh": {"identities": ["spiffe://prod.test/gateway"], "keep": ["x-user-id"]}},
        "request": {"allow": ["accept", "user-agent", "cookie", "origin", "sec-fetch-*", "access-control-*", "x-*"], "hosts": ["api.test"]},
        "response": {"profile": "web-2026", "redirects": {"hosts": ["login.test"]}, "set_cookie": {"max_lifetime": "1h"}},
        "cors": {"origins": ["https://app.test"], "credentials": true},
        "cross_site": {"mode": "enforce", "cookies": ["sid"]},
        "outgoing": {"mode": "report"},
        "rules": [
            {"id": "admin", "match": {"path": "/admin/**"}, "request": {"methods": ["GET"]}},
            {"id": "partner", "match": {"path": "/partner/**"}, "outgoing": {"headers": ["x-ours"]}},
        ],
    })
}

fn header_rule_cases() -> Vec<Case> {
    let preflight = [("origin", "https://app.test"), ("access-control-request-method", "POST")];
    let foreign = [("cookie", "sid=1"), ("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")];
    let own =
        [("cookie", "sid=1"), ("sec-fetch-site", "same-origin"), ("x-user-id", "admin"), ("x-unknown", "1")];
    let response = [
        (":status", "302"),
        ("location", "https://evil.test/"),
        ("set-cookie", "__Host-a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT"),
        ("set-cookie", "b=2; Domain=.com"),
        ("access-control-allow-origin", "*"),
        ("cache-control", "public"),
    ];
    let redirected =
        Exchange { response: Message::new(&response), ..Exchange::new(request("GET", "/", &own)) };
    vec![
        pass("of the own origin", redirected),
        pass("by a rule", leaky(request("GET", "/admin/users", &[]))),
        pass(
            "to somebody else",
            Exchange::new(request(
                "GET",
                "/partner",
                &[("cookie", "a=1"), ("x-note", "Bearer a"), ("x-ours", "1")],
            )),
        ),
        refuse("a preflight, which is answered", 204, Exchange::new(request("OPTIONS", "/", &preflight))),
        refuse("of another site", 403, Exchange::new(request("POST", "/", &foreign))),
        refuse(
            "a method that a rule does not list",
            405,
            Exchange::new(request("POST", "/admin/users", &[])),
        ),
    ]
}

fn limit_cases() -> Vec<Case> {
    vec![
        pass("under the limit", leaky(request("GET", "/orders/7", &[("x-api-key", "k1")]))),
        pass("no limit", Exchange::new(request("GET", "/health", &[]))),
        refuse("a closed path", 429, Exchange::new(request("GET", "/closed", &[]))),
    ]
}

/// The status of a refusal by what the service says, or does not say.
fn global_cases(refused: Option<u32>) -> Vec<Case> {
    let asked = leaky(request("GET", "/orders/7", &[]));
    vec![
        Case { refused, ..pass("what the service says", asked) },
        pass("no limit", Exchange::new(request("GET", "/health", &[]))),
    ]
}

fn body_cases() -> Vec<Case> {
    let valid = r#"{"item": "a book", "price": 9.99, "tags": ["a", "b"], "nested": {"next": {}}}"#;
    let with_trailers = Exchange {
        part: 10,
        ..Exchange::new(Message {
            trailers: Some(vec![(b"x-sum".to_vec(), b"1".to_vec())]),
            ..posted("/orders", &[], valid)
        })
    };
    vec![
        pass("a valid GET", Exchange::new(request("GET", "/orders/7", &[]))),
        pass("a valid body in parts", Exchange { part: 10, ..Exchange::new(posted("/orders", &[], valid)) }),
        pass("a valid body with trailers", with_trailers),
        refuse("an invalid body", 400, Exchange::new(posted("/orders", &[], r#"{"item": "A BOOK"}"#))),
        refuse("an invalid parameter", 400, Exchange::new(request("GET", "/orders/zero", &[]))),
        refuse("an unknown path", 404, Exchange::new(request("GET", "/admin", &[]))),
        refuse(
            "a body that is too large",
            413,
            Exchange { part: 16 * 1024, ..Exchange::new(posted("/orders", &[], &"x".repeat(70_000))) },
        ),
    ]
}

fn suite_cases() -> Vec<Case> {
    let token = format!("Bearer {}", token(&R1, 600));
    let signed = ("authorization", token.as_str());
    vec![
        pass("a valid GET", leaky(request("GET", "/orders/7", &[signed, ("x-user-id", "admin")]))),
        pass("a valid POST", leaky(posted("/orders", &[signed], r#"{"item": "a book"}"#))),
        refuse("no token", 401, Exchange::new(request("GET", "/orders/7", &[]))),
        refuse("an invalid body", 400, Exchange::new(posted("/orders", &[signed], r#"{"item": 1}"#))),
        refuse("a closed path", 429, Exchange::new(request("GET", "/closed", &[signed]))),
    ]
}
