//! Configurations, in both forms in which they arrive.

use portcullis_core::config;
use portcullis_host::Chain;
use portcullis_host::fake::FakeHost;
use portcullis_suite::plugin::FILTERS;
use serde_json::{Map, Value};

use super::{NOW, assert_one_line, split_line};

/// What no error and no log line may say.
const SECRET: &str = "V3ry-s3cret-value";

/// The first line names a filter or `suite`, the rest is its configuration. Refused or not, the same again gives the
/// same; a refusal is one line that names a place, is about this document and says nothing of the environment; and the
/// configuration in the other form (a Struct) is judged the same.
pub(super) fn configuration(data: &[u8]) {
    let (name, document) = split_line(data);
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let first = configure(name, document);
    assert_eq!(configure(name, document), first);
    let Ok(Value::Object(members)) = serde_json::from_slice(document) else {
        return;
    };
    // A number of a Struct is a double; larger ones than it can hold are not what the operator wrote.
    if config::load::<Value>(document).is_ok() && is_exact(&members) {
        let other = configure(name, &encode(&members));
        assert_eq!(other.is_ok(), first.is_ok(), "{first:?} {other:?}");
    }
}

/// Accepted, or the message to the operator; what both must keep is asserted here.
fn configure(name: &str, document: &[u8]) -> Result<(), String> {
    let host = FakeHost::at(NOW);
    host.environment.borrow_mut().insert("SECRET".to_owned(), SECRET.to_owned());
    let configured = match FILTERS.iter().find(|(filter, _)| *filter == name) {
        Some((_, configure)) => configure(document, &host).map(Chain::single),
        None => portcullis_suite::plugin::configure(document, &host),
    };
    for line in host.logs.borrow().iter() {
        assert!(!line.contains(SECRET));
    }
    assert!(
        host.shared.borrow().is_empty() && host.calls.borrow().is_empty(),
        "configuring has no side effects"
    );
    configured.map(|_| ()).map_err(|error| {
        let message = error.to_string();
        assert_one_line(&message);
        assert!(message.contains(": ") && !message.contains(SECRET), "{message}");
        message
    })
}

/// Bytes of a Struct: read or refused, and what is read means the same in JSON.
pub(super) fn protobuf_struct(data: &[u8]) {
    let Ok(value) = config::load::<Value>(data) else {
        return;
    };
    let Value::Object(members) = &value else {
        return;
    };
    assert_eq!(config::load::<Value>(value.to_string().as_bytes()).as_ref().map(Value::is_object), Ok(true));
    if is_exact(members) {
        assert_eq!(config::load::<Value>(&encode(members)), Ok(value));
    }
}

/// Whether every number is an integer that a double holds.
fn is_exact(members: &Map<String, Value>) -> bool {
    fn exact(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
            Value::Array(items) => items.iter().all(exact),
            Value::Object(members) => is_exact(members),
            _ => true,
        }
    }
    members.values().all(exact)
}

/// A `google.protobuf.Struct` as a proxy serializes it.
fn encode(members: &Map<String, Value>) -> Vec<u8> {
    let entry = |(name, member): (&String, &Value)| {
        delimited(1, &[delimited(1, name.as_bytes()), delimited(2, &encode_value(member))].concat())
    };
    members.iter().flat_map(entry).collect()
}

fn encode_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![1 << 3, 0],
        Value::Number(number) => {
            let bits = number.as_f64().unwrap_or_default().to_bits();
            [&[2 << 3 | 1][..], &bits.to_le_bytes()].concat()
        }
        Value::String(text) => delimited(3, text.as_bytes()),
        Value::Bool(flag) => vec![4 << 3, u8::from(*flag)],
        Value::Object(members) => delimited(5, &encode(members)),
        Value::Array(items) => {
            let items: Vec<u8> = items.iter().flat_map(|item| delimited(1, &encode_value(item))).collect();
            delimited(6, &items)
        }
    }
}

/// A length-delimited field.
fn delimited(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut len = content.len();
    while len >= 128 {
        out.extend(u8::try_from(len & 127).map(|byte| byte | 128));
        len >>= 7;
    }
    out.extend(u8::try_from(len));
    out.extend_from_slice(content);
    out
}
