//! Decisions about requests to one small API.

use serde_json::{Value, json};

use super::*;

/// Orders, with one operation for each thing that can go wrong.
fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "orders", "version": "1"},
        "paths": {
            "/orders": {
                "post": {
                    "operationId": "createOrder",
                    "requestBody": {"required": true, "content": {"application/json": {"schema": {
                        "type": "object",
                        "required": ["sku"],
                        "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}, "id": {"type": "string", "readOnly": true}}
                    }}}}
                },
                "get": {"operationId": "listOrders", "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                    {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "X-Tenant", "in": "header", "schema": {"type": "string", "format": "uuid"}}
                ]}
            },
            "/orders/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "format": "int32", "minimum": 1}}],
                "get": {},
                "put": {"requestBody": {"content": {"application/json": {}}}}
            },
            "/orders/search": {"get": {"operationId": "search"}},
            "/files": {"post": {"requestBody": {"content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {"schema": {"type": "object"}}
            }}}}
        }
    })
}

fn policy(more: Value) -> Policy {
    let mut config = json!({"document": document(), "max_body": "1KiB"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Policy::new(serde_json::from_value(config).unwrap()).unwrap()
}

/// A request without a body if `body` is none, else with one of unknown length.
fn request(method: &str, target: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Request {
    let head = [(":method", method), (":path", target)];
    Request::new(head.iter().chain(fields).copied().collect(), body.is_none())
}

/// The answer in short: `200`, or status, reason and errors.
fn answer(
    policy: &Policy,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: Option<&[u8]>,
) -> String {
    let checked =
        policy.check_head(&request(method, target, fields, body)).next.and_then(|next| match next {
            Next::Pass => Ok(()),
            Next::Body(check) => policy.check_body(check, body.unwrap_or_default()),
        });
    let Err(denial) = checked else {
        return "200".to_owned();
    };
    let errors: Vec<_> = denial
        .errors
        .iter()
        .map(|error| format!(" {}:{}:{}", error.location, error.pointer, error.rule))
        .collect();
    format!("{} {}{}", denial.status, denial.reason.as_str(), errors.concat())
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

// covers: ENV-BODY-17
#[test]
fn only_documented_operations_pass() {
    let policy = policy(json!({}));
    for (name, method, target, expected) in [
        ("concrete", "GET", "/orders", "200"),
        ("templated", "GET", "/orders/7", "200"),
        ("concrete before templated", "GET", "/orders/search", "200"),
        ("the concrete path's methods count", "PUT", "/orders/search", "405 schema.method_not_allowed"),
        ("a final slash", "GET", "/orders/", "200"),
        ("an unknown path", "GET", "/admin", "404 schema.unknown_path"),
        ("an old version", "GET", "/v1/orders", "404 schema.unknown_path"),
        ("an unknown path below", "GET", "/orders/7/items", "404 schema.unknown_path"),
        ("the root", "GET", "/", "404 schema.unknown_path"),
        ("another case", "GET", "/Orders", "404 schema.unknown_path"),
        ("an unknown method", "DELETE", "/orders", "405 schema.method_not_allowed"),
        ("a method in lower case", "get", "/orders", "405 schema.method_not_allowed"),
        ("HEAD", "HEAD", "/orders", "405 schema.method_not_allowed"),
        ("OPTIONS", "OPTIONS", "/orders", "405 schema.method_not_allowed"),
        ("OPTIONS for the server", "OPTIONS", "*", "404 schema.unknown_path"),
        ("an ambiguous path", "GET", "/orders/..%2fadmin", "400 path.ambiguous"),
        ("matrix parameters", "GET", "/orders;a=1", "400 path.ambiguous"),
    ] {
        assert_eq!(answer(&policy, method, target, &[], None), expected, "{name}");
    }
    let denial = policy.check_head(&request("DELETE", "/orders/7", &[], None)).next.unwrap_err();
    assert_eq!(denial.headers, [("allow", "GET, PUT".to_owned())]);
}

#[test]
fn head_may_stand_for_get() {
    let policy = policy(json!({"head_as_get": true}));
    assert_eq!(answer(&policy, "HEAD", "/orders?limit=5", &[], None), "200");
    assert_eq!(answer(&policy, "HEAD", "/orders?limit=x", &[], None), "400 schema.invalid query:limit:type");
    assert_eq!(answer(&policy, "HEAD", "/files", &[], None), "405 schema.method_not_allowed");
    let denial = policy.check_head(&request("PATCH", "/orders/7", &[], None)).next.unwrap_err();
    assert_eq!(denial.headers, [("allow", "GET, PUT, HEAD".to_owned())]);
}

#[test]
fn the_operation_is_named_as_soon_as_it_is_known() {
    let policy = policy(json!({}));
    for (method, target, expected) in [
        ("POST", "/orders", Some("createOrder")),
        ("GET", "/orders/x", Some("GET /orders/{id}")),
        ("PATCH", "/orders", None),
        ("GET", "/nowhere", None),
    ] {
        assert_eq!(
            policy.check_head(&request(method, target, &[], None)).operation,
            expected,
            "{method} {target}"
        );
    }
}

// covers: OWASP-API-02, ENV-BODY-16
#[test]
fn parameters_are_typed() {
    let policy = policy(json!({}));
    let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    for (target, fields, expected) in [
        ("/orders/7", &[][..], "200"),
        ("/orders/1%20OR%201=1", &[], "400 schema.invalid path:id:type"),
        ("/orders/-1", &[], "400 schema.invalid path:id:minimum"),
        ("/orders/9999999999999999999", &[], "400 schema.invalid path:id:format"),
        ("/orders/99999999999999999999999", &[], "400 schema.invalid path:id:type"),
        ("/orders?limit=10&tag=a&tag=b", &[], "200"),
        ("/orders?limit=101", &[], "400 schema.invalid query:limit:maximum"),
        ("/orders?limit=", &[], "400 schema.invalid query:limit:type"),
        ("/orders?limit=1&limit=2", &[], "400 schema.invalid query:limit:duplicate"),
        ("/orders?limit=%zz", &[], "400 schema.invalid query:limit:encoding"),
        ("/orders?limit=x&debug=1", &[], "400 schema.invalid query:limit:type query:debug:unknown"),
        ("/orders/7?debug=1", &[], "400 schema.invalid query:debug:unknown"),
        ("/orders", &[("x-tenant", uuid)], "200"),
        ("/orders", &[("x-tenant", "1")], "400 schema.invalid header:x-tenant:format"),
        (
            "/orders",
            &[("x-tenant", uuid), ("x-tenant", uuid)],
            "400 schema.invalid header:x-tenant:duplicate",
        ),
    ] {
        assert_eq!(answer(&policy, "GET", target, fields, None), expected, "{target}");
    }
    let lenient = super::tests::policy(json!({"unknown_query": "allow"}));
    assert_eq!(answer(&lenient, "GET", "/orders?debug=1&limit=5", &[], None), "200");
}

// covers: ENV-BODY-02, ENV-BODY-07, ENV-BODY-08, ENV-BODY-18, ENV-BODY-22
#[test]
fn the_head_says_whether_a_body_may_come() {
    let policy = policy(json!({}));
    let body = Some(&b"{\"sku\": \"A\"}"[..]);
    for (name, method, target, fields, body, expected) in [
        ("a body", "POST", "/orders", JSON, body, "200"),
        ("a header-only request", "POST", "/orders", JSON, None, "400 schema.body_missing body::required"),
        (
            "length zero",
            "POST",
            "/orders",
            &[("content-length", "0")],
            Some(&b""[..]),
            "400 schema.body_missing body::required",
        ),
        (
            "a chunked body without bytes",
            "POST",
            "/orders",
            JSON,
            Some(b""),
            "400 schema.body_missing body::required",
        ),
        ("an optional body that is not there", "PUT", "/orders/7", &[], None, "200"),
        ("an optional body, chunked, without bytes", "PUT", "/orders/7", JSON, Some(b""), "200"),
        (
            "a body without documented body",
            "GET",
            "/orders",
            &[("content-length", "2")],
            Some(b"{}"),
            "400 schema.body_not_allowed",
        ),
        ("the same, chunked", "GET", "/orders", JSON, Some(b"{}"), "400 schema.body_not_allowed"),
        ("no body after all", "GET", "/orders", &[], Some(b""), "200"),
        ("no content type", "POST", "/orders", &[], body, "415 schema.unsupported_media_type"),
        (
            "two content types",
            "POST",
            "/orders",
            &[("content-type", "application/json"), ("content-type", "application/json")],
            body,
            "400 schema.invalid header:content-type:duplicate",
        ),
        (
            "another content type",
            "POST",
            "/orders",
            &[("content-type", "text/plain")],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "gRPC",
            "POST",
            "/orders",
            &[("content-type", "application/grpc")],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "gRPC to an operation without body",
            "GET",
            "/orders",
            &[("content-type", "application/grpc+proto")],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "gzip",
            "POST",
            "/orders",
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "gzip twice",
            "POST",
            "/orders",
            &[("content-type", "application/json"), ("content-encoding", "gzip, gzip")],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "identity, then gzip",
            "POST",
            "/orders",
            &[
                ("content-type", "application/json"),
                ("content-encoding", "identity"),
                ("content-encoding", "br"),
            ],
            body,
            "415 schema.unsupported_media_type",
        ),
        (
            "identity",
            "POST",
            "/orders",
            &[("content-type", "application/json"), ("content-encoding", "identity")],
            body,
            "200",
        ),
        (
            "a binary body",
            "POST",
            "/files",
            &[("content-type", "application/octet-stream")],
            Some(b"\xff\x00"),
            "200",
        ),
        (
            "a form that can't be checked",
            "POST",
            "/files",
            &[("content-type", "multipart/form-data; boundary=x")],
            Some(b"--x--"),
            "415 schema.unsupported_media_type",
        ),
        (
            "a type in front of a wrong parameter",
            "POST",
            "/orders?x=1",
            &[("content-type", "text/plain")],
            body,
            "415 schema.unsupported_media_type",
        ),
    ] {
        assert_eq!(answer(&policy, method, target, fields, body), expected, "{name}");
    }
}

#[test]
fn a_declared_length_is_judged_before_the_body() {
    let policy = policy(json!({}));
    for (length, expected) in [
        ("1024", None),
        ("1025", Some(413)),
        ("99999999999999999999", Some(413)),
        ("18446744073709551615", Some(413)),
    ] {
        let request = request(
            "POST",
            "/orders",
            &[("content-type", "application/json"), ("content-length", length)],
            Some(b""),
        );
        let status =
            policy.check_head(&request).next.err().map(|denial| (denial.status, denial.reason.as_str()));
        assert_eq!(status, expected.map(|status| (status, "schema.body_too_large")), "{length}");
    }
}

// covers: ENV-BODY-10, ENV-BODY-12, OWASP-API-07
#[test]
fn bodies_are_strict_json_of_the_schema() {
    let policy = policy(json!({}));
    let deep = format!("{{\"sku\": {}1{}}}", "[".repeat(40), "]".repeat(40));
    for (body, expected) in [
        (r#"{"sku": "A", "count": 2}"#, "200"),
        (r#"{"sku": "A", "sku": "B"}"#, "400 schema.invalid_json body::duplicate"),
        (r#"{"sku": "A", "\u0073ku": "B"}"#, "400 schema.invalid_json body::duplicate"),
        (r#"{"sku": "A",}"#, "400 schema.invalid_json body::syntax"),
        (r#"{"sku": "A"} {}"#, "400 schema.invalid_json body::syntax"),
        (r#"{"sku": "A""#, "400 schema.invalid_json body::syntax"),
        ("\u{feff}{\"sku\": \"A\"}", "400 schema.invalid_json body::syntax"),
        (r#"{"sku": "\ud800"}"#, "400 schema.invalid_json body::syntax"),
        (r#"{"sku": "A", "count": 1e400}"#, "400 schema.invalid_json body::number"),
        (r#"{"sku": "A", "count": 99999999999999999999}"#, "400 schema.invalid_json body::number"),
        (r#"{'sku': 'A'}"#, "400 schema.invalid_json body::syntax"),
        (deep.as_str(), "400 schema.invalid_json body::depth"),
        ("null", "400 schema.invalid body::type"),
        (
            r#"{"sku": 5, "count": "x", "role": "admin"}"#,
            "400 schema.invalid body:/count:type body:/role:additionalProperties body:/sku:type",
        ),
        (r#"{"sku": "A", "id": "7"}"#, "400 schema.invalid body:/id:readOnly"),
    ] {
        assert_eq!(answer(&policy, "POST", "/orders", JSON, Some(body.as_bytes())), expected, "{body}");
    }
    assert_eq!(
        answer(&policy, "POST", "/orders", JSON, Some(b"\"\xff\"")),
        "400 schema.invalid_json body::encoding"
    );
    assert_eq!(
        answer(&policy, "PUT", "/orders/7", JSON, Some(b"{\"a\":1,\"a\":2}")),
        "400 schema.invalid_json body::duplicate"
    );
    let as_written = super::tests::policy(json!({"unknown_properties": "schema"}));
    assert_eq!(
        answer(&as_written, "POST", "/orders", JSON, Some(br#"{"sku": "A", "role": "admin"}"#)),
        "200"
    );
}

// covers: ENV-BODY-11
#[test]
fn deep_bodies_are_refused() {
    let policy = policy(json!({"max_body": "1MiB"}));
    for (name, body, expected) in [
        ("32 levels", format!("{}{}", "[".repeat(32), "]".repeat(32)), "200"),
        ("33 levels", format!("{}{}", "[".repeat(33), "]".repeat(33)), "400 schema.invalid_json body::depth"),
        (
            "objects",
            format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128)),
            "400 schema.invalid_json body::depth",
        ),
        ("100,000 levels", "[".repeat(100_000), "400 schema.invalid_json body::depth"),
        ("as many as fit", "[".repeat(1 << 20), "400 schema.invalid_json body::depth"),
        ("wide, not deep", format!("[{}1]", "1,".repeat(100_000)), "400 schema.invalid_json body::size"),
    ] {
        assert_eq!(answer(&policy, "PUT", "/orders/7", JSON, Some(body.as_bytes())), expected, "{name}");
    }
}

#[test]
fn a_clients_names_are_cut_short_in_answers() {
    let policy = policy(json!({}));
    let name = "n".repeat(5_000);
    let denial =
        policy.check_head(&request("GET", &format!("/orders?{name}=1"), &[], None)).next.unwrap_err();
    assert!(denial.errors[0].pointer.len() <= MAX_POINTER, "query");
    let body = format!("{{\"sku\": \"A\", \"{name}\": 1}}");
    let Ok(Next::Body(check)) = policy.check_head(&request("POST", "/orders", JSON, Some(b""))).next else {
        panic!("a body is needed");
    };
    let denial = policy.check_body(check, body.as_bytes()).unwrap_err();
    assert!(denial.errors[0].pointer.len() <= MAX_POINTER, "body");
}

#[test]
fn rules_set_the_mode_of_requests() {
    let policy = policy(json!({
        "mode": "report",
        "rules": [
            {"id": "strict", "match": {"path": "/orders/**"}, "mode": "enforce"},
            {"id": "files", "match": {"path": "/files"}, "mode": "off"}
        ]
    }));
    for (target, mode, rule, ok) in [
        ("/orders?x=1", Mode::Enforce, Some("strict"), false),
        ("/files?x=1", Mode::Off, Some("files"), true),
        ("/other", Mode::Report, None, false),
    ] {
        let method = if target.starts_with("/files") { "POST" } else { "GET" };
        let request = request(method, target, &[], None);
        let head = policy.check_head(&request);
        assert_eq!((head.mode, head.rule, head.next.is_ok()), (mode, rule, ok), "{target}");
    }
}

// covers: ENV-BODY-17
#[test]
fn a_base_path_comes_before_every_path() {
    let policy = policy(json!({"base_path": "/v1/"}));
    assert_eq!(answer(&policy, "GET", "/v1/orders", &[], None), "200");
    assert_eq!(answer(&policy, "GET", "/orders", &[], None), "404 schema.unknown_path");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let load = |config: Value| {
        let config = portcullis_core::config::load(config.to_string().as_bytes());
        config.and_then(Policy::new).map(|_| ()).map_err(|error| error.to_string())
    };
    let paths = |paths: Value| json!({"document": {"openapi": "3.1.0", "paths": paths}});
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {}});
    for (config, expected) in [
        (json!({}), "configuration: expected a field `document`, found none"),
        (
            json!({"document": {"openapi": "3.1.0"}, "max_body": "0B"}),
            "max_body: expected 1B to 16MiB, found 0B",
        ),
        (
            json!({"document": {"openapi": "3.1.0"}, "max_body": "17MiB"}),
            "max_body: expected 1B to 16MiB, found 17MiB",
        ),
        (
            json!({"document": {"openapi": "3.1.0"}, "base_path": "v1"}),
            "base_path: expected a path that starts with `/`, found `v1`",
        ),
        (
            json!({"document": {"openapi": "3.1.0"}, "rules": [{"id": "a", "match": {"path": "x"}, "mode": "off"}]}),
            "rules[0].match.path: expected a path template that starts with `/`, found `x`",
        ),
        (
            json!({"document": {"openapi": "3.1.0", "pahts": {}}}),
            "document#: expected one of `openapi`, `info`, `jsonSchemaDialect`, `servers`, `paths`, `webhooks`, `components`, `security`, `tags`, `externalDocs`, found `pahts`",
        ),
        (
            paths(json!({"/a": {"gett": {}}})),
            "document#/paths/~1a: expected one of `$ref`, `summary`, `description`, `servers`, `parameters`, `get`, `put`, `post`, `delete`, `options`, `head`, `patch`, `trace`, found `gett`",
        ),
        (
            paths(json!({"a": {}})),
            "document#/paths/a: expected a path template that starts with `/`, found `a`",
        ),
        (
            paths(json!({"/{id}": {"get": {}}})),
            "document#/paths/~1{id}/get: expected a path parameter for `{id}`, found none",
        ),
        (
            paths(json!({"/a": {"get": {"parameters": [id]}}})),
            "document#/paths/~1a/get: expected `{id}` in the path template for the parameter `id`, found none",
        ),
        (
            paths(json!({"/{id}": {"get": {"parameters": [id, id]}}})),
            "document#/paths/~1{id}/get/parameters/1: expected each parameter once, found `id` twice",
        ),
        (
            paths(json!({"/{a}": {}, "/{b}": {}})),
            "document#/paths/~1{b}: expected one template for each path, found `/{b}` beside `/{a}`",
        ),
        (
            paths(json!({"/a": {"get": {}}, "/a/": {"get": {}}})),
            "document#/paths/~1a~1: expected `GET` once for this path, found it with and without a final `/`",
        ),
        (
            paths(json!({"/a": {"get": {"parameters": [{"name": "q", "in": "body"}]}}})),
            "document#/paths/~1a/get/parameters/0/in: expected one of `path`, `query`, `header`, `cookie`, found `body`",
        ),
        (
            paths(json!({"/a": {"get": {"parameters": [{"name": "q", "in": "query"}]}}})),
            "document#/paths/~1a/get/parameters/0: expected either `schema` or `content`",
        ),
        (
            paths(
                json!({"/a": {"get": {"parameters": [{"name": "q", "in": "query", "style": "matrix", "schema": {}}]}}}),
            ),
            "document#/paths/~1a/get/parameters/0/style: expected `form`, `spaceDelimited`, `pipeDelimited` or `deepObject`, found `matrix`",
        ),
        (
            paths(json!({"/a": {"post": {"requestBody": {"content": {"json": {}}}}}})),
            "document#/paths/~1a/post/requestBody/content/json: expected a media type or range, found `json`",
        ),
        (
            paths(
                json!({"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"typ": 1}}}}}}}),
            ),
            "document#/paths/~1a/post/requestBody/content/application~1json/schema/typ: expected a supported schema keyword, found `typ`",
        ),
        (
            paths(json!({"/a": {"$ref": "other.json#/a"}})),
            "document#/paths/~1a/$ref: expected a reference into this document (`#/...`), found `other.json#/a`",
        ),
    ] {
        assert_eq!(load(config), Err(expected.to_owned()));
    }
}

#[test]
fn the_operator_hears_of_what_has_no_effect() {
    let policy = policy(json!({}));
    assert_eq!(
        policy.warnings(),
        [
            "document#/paths/~1files/post/requestBody/content/multipart~1form-data: bodies of type `multipart/form-data` can't be checked, requests with one are answered 415"
        ]
    );
}

proptest::proptest! {
    // covers: ENV-BODY-12
    #[test]
    fn no_request_panics(
        target in "/orders(/[ -~]{0,12})?(\\?[ -~]{0,24})?",
        value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24),
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
    ) {
        let policy = policy(json!({}));
        for method in ["GET", "POST", "PUT"] {
            for name in ["x-tenant", "content-type", "content-length", "content-encoding", "cookie"] {
                let mut headers = request(method, &target, JSON, None).headers().clone();
                headers.append(name.as_bytes(), &value);
                if let Ok(Next::Body(check)) = policy.check_head(&Request::new(headers, body.is_empty())).next {
                    let _ = policy.check_body(check, &body);
                }
            }
        }
        let Ok(Next::Body(check)) = policy.check_head(&request("POST", "/orders", JSON, Some(b""))).next else {
            panic!("a body is needed");
        };
        let _ = policy.check_body(check, &body);
    }
}
