//! A total order of JSON values: equality as JSON Schema defines it, and look-ups without hashing.

use std::cmp::Ordering;

use serde_json::Value;

use super::number::Decimal;

/// Compares two values; equal means equal by JSON Schema section 4.2.2 (`1` and `1.0` are). Recursion is bounded by the
/// depth that `portcullis_core::json` admits.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => match (Decimal::new(a), Decimal::new(b)) {
                (Some(a), Some(b)) => a.compare(&b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            },
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let difference = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            difference.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            // Members come sorted by name from `serde_json`.
            let members =
                a.iter().zip(b).map(|((name, a), (other, b))| name.cmp(other).then_with(|| compare(a, b)));
            members.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether two elements are equal. Sorts references: no quadratic time, no hash to collide.
pub(super) fn has_duplicates(items: &[Value]) -> bool {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_unstable_by(|a, b| compare(a, b));
    sorted.windows(2).any(|pair| matches!(pair, [a, b] if compare(a, b).is_eq()))
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Few and close values, so that equal and neighbouring ones meet.
    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            (-2_i64..3).prop_map(|n| json!(n)),
            (-4_i32..5).prop_map(|n| json!(f64::from(n) / 2.0)),
            prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(|n| json!(n)),
            Just(json!(u64::MAX)),
            prop_oneof![Just(9.223_372_036_854_776e18), Just(1.844_674_407_370_955_2e19)]
                .prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
        ];
        let leaf = prop_oneof![
            number,
            any::<bool>().prop_map(|b| json!(b)),
            "[ab]{0,2}".prop_map(Value::String),
            Just(Value::Null),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::vec(("[ab]", inner), 0..3)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        // A sort by an order that contradicts itself may panic.
        #[test]
        fn the_order_is_total(a in value(), b in value(), c in value()) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }

    #[test]
    fn equality_is_that_of_json_schema() {
        for (name, a, b, equal) in [
            ("an integer and a double", json!(1), json!(1.0), true),
            ("numbers nested", json!({"a": [1.0]}), json!({"a": [1]}), true),
            ("false and zero", json!(false), json!(0), false),
            ("a string and a number", json!("1"), json!(1), false),
            ("another order of members", json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), true),
            ("another order of items", json!([1, 2]), json!([2, 1]), false),
            ("a prefix", json!([1]), json!([1, 2]), false),
            ("a member more", json!({"a": 1}), json!({"a": 1, "b": 1}), false),
            ("null and an empty object", json!(null), json!({}), false),
        ] {
            assert_eq!(compare(&a, &b).is_eq(), equal, "{name}");
            assert_eq!(compare(&a, &b), compare(&b, &a).reverse(), "{name}");
        }
    }

    // covers: HOST-ALGO-06
    #[test]
    fn duplicates_are_found_among_many() {
        let mut items: Vec<Value> = (0..100_000).map(|n| json!(n)).collect();
        assert!(!has_duplicates(&items));
        items.push(json!(7.0));
        assert!(has_duplicates(&items));
    }
}
