//! Reads a `google.protobuf.Struct`: what Envoy hands over when an operator writes the configuration as YAML in place.
//!
//! Envoy 1.40 passes the message as it is serialized, not as JSON (seen; its API documentation says JSON). Wire
//! format: the protocol buffers encoding guide; messages: `google/protobuf/struct.proto`.

use serde_json::{Map, Number, Value};

use crate::json;
use crate::protobuf::{Reader, Wire};

/// The value of a serialized `Struct`; none for anything that is not exactly one.
pub fn parse(message: &[u8]) -> Option<Value> {
    structure(message, json::Limits::MAX_DEPTH).map(Value::Object)
}

/// `Struct { map<string, Value> fields = 1; }`
fn structure(message: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        let (1, Wire::Bytes(entry)) = field else {
            return None;
        };
        let (name, value) = entry_of(entry, depth)?;
        // A serializer writes each name once; two would be two readings.
        if map.insert(name, value).is_some() {
            return None;
        }
    }
    Some(map)
}

/// A map entry: key 1, value 2; an absent one is the empty string or null.
fn entry_of(message: &[u8], depth: usize) -> Option<(String, Value)> {
    let (mut name, mut found) = (String::new(), Value::Null);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Wire::Bytes(bytes)) => name = text(bytes)?,
            (2, Wire::Bytes(bytes)) => found = value(bytes, depth.checked_sub(1)?)?,
            _ => return None,
        }
    }
    Some((name, found))
}

/// `Value { oneof kind { null = 1; number = 2; string = 3; bool = 4; Struct = 5; ListValue = 6; } }`
fn value(message: &[u8], depth: usize) -> Option<Value> {
    let mut found = Value::Null;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        found = match field {
            (1, Wire::Varint(_)) => Value::Null,
            (2, Wire::Fixed64(bits)) => number(f64::from_bits(bits))?,
            (3, Wire::Bytes(bytes)) => Value::String(text(bytes)?),
            (4, Wire::Varint(flag)) => Value::Bool(flag != 0),
            (5, Wire::Bytes(bytes)) => Value::Object(structure(bytes, depth)?),
            (6, Wire::Bytes(bytes)) => list(bytes, depth)?,
            _ => return None,
        };
    }
    Some(found)
}

/// `ListValue { repeated Value values = 1; }`
fn list(message: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut values = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        let (1, Wire::Bytes(bytes)) = field else {
            return None;
        };
        values.push(value(bytes, depth)?);
    }
    Some(Value::Array(values))
}

/// A `Struct` holds doubles only. One without a fraction that a double holds exactly was an integer in the YAML.
fn number(double: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if double.fract() == 0.0 && double.abs() <= EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number of at most 2^53 fits into an i64"
        )]
        let integer = double as i64;
        return Some(Value::from(integer));
    }
    Number::from_f64(double).map(Value::Number)
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bytes(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag << 3 | 2];
        let mut len = content.len();
        while len >= 128 {
            out.push(u8::try_from(len & 127).unwrap() | 128);
            len >>= 7;
        }
        out.push(u8::try_from(len).unwrap());
        out.extend_from_slice(content);
        out
    }

    fn encode_value(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![1 << 3, 0],
            Value::Bool(flag) => vec![4 << 3, u8::from(*flag)],
            Value::Number(number) => {
                let mut out = vec![2 << 3 | 1];
                out.extend_from_slice(&number.as_f64().unwrap().to_bits().to_le_bytes());
                out
            }
            Value::String(text) => bytes(3, text.as_bytes()),
            Value::Object(map) => bytes(5, &encode(map)),
            Value::Array(values) => {
                let values: Vec<u8> =
                    values.iter().flat_map(|value| bytes(1, &encode_value(value))).collect();
                bytes(6, &values)
            }
        }
    }

    fn encode(map: &Map<String, Value>) -> Vec<u8> {
        let entry = |(name, value): (&String, &Value)| {
            let mut entry = bytes(1, name.as_bytes());
            entry.extend(bytes(2, &encode_value(value)));
            bytes(1, &entry)
        };
        map.iter().flat_map(entry).collect()
    }

    #[test]
    fn what_envoy_sends_reads_as_the_yaml_it_was() {
        let document = json!({
            "limits": [{"id": "per-client", "key": ["client_address"], "requests": 3, "per": "1m"}],
            "flag": true, "ratio": 0.5, "negative": -7, "nothing": null, "empty": {}, "none": [],
            "long": "x".repeat(300),
        });
        assert_eq!(parse(&encode(document.as_object().unwrap())), Some(document));
        assert_eq!(parse(b""), Some(json!({})));
    }

    #[test]
    fn every_truncation_and_every_repeated_name_is_refused() {
        let document = json!({"a": {"b": [1, "c"]}});
        let message = encode(document.as_object().unwrap());
        for len in 1..message.len() {
            assert_eq!(parse(&message[..len]), None, "{len} bytes");
        }
        assert_eq!(parse(&[message.clone(), message].concat()), None);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
        assert_eq!(parse(&encode(nested.as_object().unwrap())), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&message);
        }
    }
}
