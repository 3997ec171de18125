//! Strict JSON.

use portcullis_core::json::{self, JsonProblem, Limits};
use serde_json::Value;

/// What is accepted is JSON for another parser too, means the same there, keeps the limits, and no member of it can be
/// doubled without being noticed.
pub(super) fn json(data: &[u8]) {
    let limits = Limits { depth: 8, values: 200 };
    let value = match json::parse(data, limits) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.offset <= data.len(), "{error}");
            return;
        }
    };
    // `serde_json` reads the grammar, and takes the last of two members: it agrees only if there are none.
    assert_eq!(serde_json::from_slice::<Value>(data).ok().as_ref(), Some(&value));
    assert!(depth(&value) <= limits.depth && count(&value) <= limits.values);
    let text = value.to_string();
    // `serde_json` may read a fraction a hair off, so its own text need not give the same double.
    if !has_fraction(&value) {
        assert_eq!(json::parse(text.as_bytes(), limits).as_ref(), Ok(&value));
    }
    if let Value::Object(members) = &value {
        for name in members.keys() {
            let name = Value::String(name.clone());
            let inner = text.strip_prefix('{').unwrap_or_default();
            let doubled = format!("{{{name}:0,{inner}");
            let problem = json::parse(doubled.as_bytes(), Limits::default()).map_err(|error| error.problem);
            assert_eq!(problem, Err(JsonProblem::DuplicateName), "{doubled}");
        }
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        other => other.is_f64(),
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    inner.unwrap_or_default().saturating_add(1)
}

fn count(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    };
    inner.saturating_add(1)
}
