//! What schema-guard reads: the document, its patterns, and queries, cookies and content types of requests. Its parsers
//! are private, so each is driven through the policy, with a document that makes the verdict depend on it.

use portcullis_core::Request;
use portcullis_core::config;
use portcullis_schema_guard::policy::{BodyCheck, Next, Policy};
use serde_json::{Value, json};

use super::{assert_one_line, split_line};

/// A policy over paths, or the message to the operator.
fn policy(paths: &Value) -> Result<Policy, String> {
    let document = json!({"document": {"openapi": "3.1.0", "paths": paths}});
    let config = config::load(document.to_string().as_bytes()).map_err(|error| error.to_string())?;
    Policy::new(config).map_err(|error| error.to_string())
}

fn fixed(paths: &Value) -> Policy {
    policy(paths).unwrap_or_else(|problem| panic!("{problem}"))
}

fn request(method: &[u8], path: &[u8], field: (&[u8], &[u8])) -> Request {
    let fields: [(&[u8], &[u8]); 3] = [(b":method", method), (b":path", path), field];
    Request::new(fields.into_iter().collect(), method == b"GET")
}

thread_local! {
    static QUERY: Policy = fixed(&json!({"/q": {"get": {"parameters": [
        {"name": "n", "in": "query", "required": true, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        {"name": "a b", "in": "query", "schema": {"type": "string", "maxLength": 3}},
        {"name": "list", "in": "query", "explode": false, "schema": {"type": "array", "items": {"enum": ["x", "y"]}}}
    ]}}}));
}

/// A query that passes has exactly the documented parameters for another reader of forms too, each once and in its
/// bounds.
pub(super) fn query(data: &[u8]) {
    let target = [b"/q?", data].concat();
    let request = request(b"GET", &target, (b"x", b""));
    if QUERY.with(|policy| policy.check_head(&request).next.is_err()) {
        return;
    }
    let pairs = form_pairs(data);
    let values = |name: &str| {
        pairs.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let known = ["n", "a b", "list"];
    assert!(pairs.iter().all(|(name, _)| known.contains(&name.as_str())), "{pairs:?}");
    assert!(known.iter().all(|name| values(name).len() <= 1), "{pairs:?}");
    let n: Vec<Option<f64>> = values("n").iter().map(|text| text.parse().ok()).collect();
    assert!(matches!(n[..], [Some(n)] if (1.0..=100.0).contains(&n) && n.fract() == 0.0), "{pairs:?}");
    assert!(values("a b").iter().all(|text| text.chars().count() <= 3), "{pairs:?}");
    let items = values("list").into_iter().flat_map(|text| text.split(','));
    assert!(items.clone().all(|item| matches!(item, "x" | "y" | "")), "{pairs:?}");
}

/// The parser of `application/x-www-form-urlencoded` as the URL standard has it (section 5.1).
fn form_pairs(query: &[u8]) -> Vec<(String, String)> {
    let decode = |text: &[u8]| {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((byte, tail)) = rest.split_first() {
            let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
            let escaped = hex(0).zip(hex(1)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
            (rest, _) = match (byte, escaped) {
                (b'%', Some(escaped)) => (tail.get(2..).unwrap_or_default(), out.push(escaped)),
                (b'+', _) => (tail, out.push(b' ')),
                (byte, _) => (tail, out.push(*byte)),
            };
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let parts = query.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let mut sides = part.splitn(2, |byte| *byte == b'=');
            (decode(sides.next().unwrap_or_default()), decode(sides.next().unwrap_or_default()))
        })
        .collect()
}

thread_local! {
    static COOKIES: Policy = fixed(&json!({"/c": {"get": {"parameters": [
        {"name": "s", "in": "cookie", "required": true, "schema": {"type": "string", "enum": ["abc"]}}
    ]}}}));
}

/// A required cookie that passes is there, once, with a value that is allowed.
pub(super) fn cookies(data: &[u8]) {
    let request = request(b"GET", b"/c", (b"cookie", data));
    if COOKIES.with(|policy| policy.check_head(&request).next.is_err()) {
        return;
    }
    let values: Vec<&[u8]> = data
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter_map(|pair| pair.strip_prefix(b"s="))
        .collect();
    assert_eq!(values, [b"abc"]);
}

thread_local! {
    static BODIES: Policy = fixed(&json!({"/b": {"post": {"requestBody": {"required": true, "content": {
        "application/json": {"schema": {
            "type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "maxLength": 5}}
        }}
    }}}}}));
}

/// The first line is a content type, the rest a body. A body passes only as JSON of the documented media type, without
/// another charset, and only when another reader of JSON finds what the schema wants.
pub(super) fn content_type(data: &[u8]) {
    BODIES.with(|policy| check_content_type(policy, data));
}

fn check_content_type(policy: &Policy, data: &[u8]) {
    let (content_type, body) = split_line(data);
    let head = policy.check_head(&request(b"POST", b"/b", (b"content-type", content_type)));
    let Ok(next) = head.next else {
        return;
    };
    let Next::Body(check @ BodyCheck::Json { .. }) = next else {
        panic!("a documented body is not checked: {next:?}");
    };
    let text = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim_ascii);
    assert_eq!(parts.next(), Some("application/json"));
    assert!(!text.contains(',') && !text.chars().any(|c| c.is_control() && c != '\t'), "{text:?}");
    let charset =
        text.split("charset=").skip(1).all(|rest| rest.trim_start_matches('"').starts_with("utf-8"));
    assert!(charset, "{text:?}");
    if policy.check_body(check, body).is_ok() {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let sku = value.get("sku").and_then(Value::as_str);
        assert!(sku.is_some_and(|sku| sku.chars().count() <= 5), "{value}");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(1), "{value}");
    }
}

/// The first line is a pattern of ECMA-262, the rest a text. A pattern is compiled or refused with a reason in one
/// line; plain text means itself, an anchored pattern means less than one that is not, and any text is searched in
/// bounded time.
pub(super) fn pattern(data: &[u8]) {
    let (pattern, text) = split_line(data);
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else {
        return;
    };
    let Some(found) = search(pattern, text) else {
        return;
    };
    let long = "a".repeat(2_000);
    let _ = search(pattern, &format!("{text}{long}!"));
    if pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_')) {
        assert_eq!(found, text.contains(pattern));
    }
    let anchored = search(&format!("^(?:{pattern})$"), text);
    assert!(
        anchored.is_none_or(|anchored| !anchored || found),
        "{pattern:?} fits the whole of {text:?} and not a part"
    );
    let group = search(&format!("(?:{pattern})"), text);
    assert!(group.is_none_or(|group| group == found), "{pattern:?} changes its meaning in a group");
}

/// Whether a pattern occurs in a text; none if it is refused, or the search would be too much work.
fn search(pattern: &str, text: &str) -> Option<bool> {
    let schema = json!({"type": "string", "pattern": pattern});
    let content = json!({"application/json": {"schema": schema}});
    let policy = match policy(&json!({"/b": {"post": {"requestBody": {"content": content}}}})) {
        Ok(policy) => policy,
        Err(problem) => {
            assert_one_line(&problem);
            assert!(problem.starts_with("document#/paths/~1b/post/"), "{problem}");
            return None;
        }
    };
    let Ok(Next::Body(check)) =
        policy.check_head(&request(b"POST", b"/b", (b"content-type", b"application/json"))).next
    else {
        return None;
    };
    match policy.check_body(check, Value::String(text.to_owned()).to_string().as_bytes()) {
        Ok(()) => Some(true),
        Err(denial) => denial.errors.iter().any(|error| error.rule == "pattern").then_some(false),
    }
}

/// A document is read or refused with the place of the mistake; one that is read gives every request an answer, and
/// none to a path that it does not have.
pub(super) fn openapi(data: &[u8]) {
    let document = String::from_utf8_lossy(data).into_owned();
    let config = json!({"document": document}).to_string();
    let Ok(config) = config::load(config.as_bytes()) else {
        panic!("any text is a document for now");
    };
    let policy = match Policy::new(config) {
        Ok(policy) => policy,
        Err(error) => {
            let message = error.to_string();
            assert_one_line(&message);
            assert!(message.starts_with("document"), "{message}");
            return;
        }
    };
    policy.warnings().iter().for_each(|warning| assert_one_line(warning));
    let value: Value = serde_json::from_slice(data).unwrap_or_default();
    let paths = value.get("paths").and_then(Value::as_object);
    for path in paths.into_iter().flat_map(serde_json::Map::keys) {
        for method in [&b"GET"[..], b"POST", b"DELETE"] {
            for field in [(&b"content-type"[..], &b"application/json"[..]), (b"cookie", b"a=1")] {
                let head = policy.check_head(&request(method, path.as_bytes(), field));
                if let Ok(Next::Body(check)) = head.next {
                    for body in
                        [&b""[..], b"{}", b"[1, \"a\", null]", br#"{"a": {"b": [1.5, -1]}, "id": "7"}"#]
                    {
                        let _ = policy.check_body(check, body);
                    }
                }
            }
        }
    }
    if paths.is_none_or(serde_json::Map::is_empty) {
        let head = policy.check_head(&request(b"GET", b"/orders", (b"x", b"")));
        assert!(head.next.is_err(), "a document without paths lets something pass");
    }
}
