//! What schemas accept and refuse, beyond the test suite: errors, strictness, bounds, OpenAPI's own keywords.

use serde_json::{Value, json};

use super::*;
use crate::document::{Document, Version};

/// Compiles `schema` with `close` and validates `instance`; `pointer: rule` of each violation, or the load error.
fn check(version: Version, close: bool, schema: &Value, instance: &Value) -> Result<Vec<String>, String> {
    let document = Document::of(schema.clone(), version).map_err(|error| error.to_string())?;
    let mut compiler = Compiler::new(&document, close);
    let id = compiler.schema(&document.root()).map_err(|error| error.to_string())?;
    match compiler.finish().0.validate(id, instance, instance.to_string().len()) {
        Outcome::Valid => Ok(Vec::new()),
        Outcome::Invalid(violations) => {
            assert!(!violations.is_empty(), "a refusal has a reason");
            Ok(violations.into_iter().map(|one| format!("{}: {}", one.pointer, one.rule)).collect())
        }
        Outcome::TooComplex => Ok(vec!["too complex".to_owned()]),
    }
}

fn open(schema: Value, instance: Value) -> Vec<String> {
    check(Version::V31, false, &schema, &instance).unwrap()
}

fn closed(schema: Value, instance: Value) -> Vec<String> {
    check(Version::V31, true, &schema, &instance).unwrap()
}

fn order_schema() -> Value {
    json!({
        "type": "object",
        "required": ["items", "id"],
        "properties": {
            "id": {"type": "string", "readOnly": true},
            "items": {"type": "array", "minItems": 1, "items": {
                "type": "object",
                "required": ["sku", "count"],
                "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{3}$", "maxLength": 3}, "count": {"type": "integer", "minimum": 1}}
            }},
            "note": {"type": ["string", "null"], "maxLength": 5},
            "a/b~c": {"type": "integer"}
        }
    })
}

// covers: OWASP-API-07
#[test]
fn every_violation_has_its_pointer_and_keyword() {
    for (name, body, expected) in [
        ("valid", json!({"items": [{"sku": "ABC", "count": 2}], "note": null}), vec![]),
        ("another type", json!([]), vec![": type"]),
        ("missing", json!({}), vec!["/items: required"]),
        (
            "nested",
            json!({"items": [{"sku": "abc", "count": 0}]}),
            vec!["/items/0/count: minimum", "/items/0/sku: pattern"],
        ),
        (
            "second item",
            json!({"items": [{"sku": "ABC", "count": 1}, {"sku": 5}]}),
            vec!["/items/1/count: required", "/items/1/sku: type"],
        ),
        ("no items", json!({"items": []}), vec!["/items: minItems"]),
        (
            "too long in code points",
            json!({"items": [{"sku": "ABC", "count": 1}], "note": "éééééé"}),
            vec!["/note: maxLength"],
        ),
        (
            "long enough in bytes only",
            json!({"items": [{"sku": "ABC", "count": 1}], "note": "ééééé"}),
            vec![],
        ),
        (
            "an overlong text is not matched",
            json!({"items": [{"sku": "abcd", "count": 1}]}),
            vec!["/items/0/sku: maxLength"],
        ),
        ("read-only", json!({"items": [{"sku": "ABC", "count": 1}], "id": "7"}), vec!["/id: readOnly"]),
        (
            "unknown member",
            json!({"items": [{"sku": "ABC", "count": 1}], "role": "admin"}),
            vec!["/role: additionalProperties"],
        ),
        (
            "unknown member, nested",
            json!({"items": [{"sku": "ABC", "count": 1, "__proto__": {}}]}),
            vec!["/items/0/__proto__: additionalProperties"],
        ),
        (
            "a name with / and ~",
            json!({"items": [{"sku": "ABC", "count": 1}], "a/b~c": "x"}),
            vec!["/a~1b~0c: type"],
        ),
    ] {
        assert_eq!(closed(order_schema(), body), expected, "{name}");
    }
    assert_eq!(
        open(order_schema(), json!({"items": [{"sku": "ABC", "count": 1}], "role": "admin"})),
        [""; 0]
    );
    assert_eq!(
        open(order_schema(), json!({"items": [{"sku": "ABC", "count": 1}], "id": "7"})),
        ["/id: readOnly"]
    );
}

#[test]
fn the_list_of_violations_is_bounded() {
    let items: Vec<Value> = (0..1_000).map(|_| json!("x")).collect();
    let violations = open(json!({"items": {"type": "integer"}}), json!(items));
    assert_eq!(violations.len(), MAX_VIOLATIONS);
    assert_eq!(violations[19], "/19: type");
}

// covers: OWASP-API-07
#[test]
fn closed_objects_know_all_parts_of_a_composition() {
    let base = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let composed = json!({
        "$defs": {"base": base},
        "allOf": [{"$ref": "#/$defs/base"}],
        "properties": {"age": {"type": "integer"}},
        "anyOf": [{"properties": {"mail": {}}, "required": ["mail"]}, {"properties": {"phone": {}}, "required": ["phone"]}]
    });
    for (name, schema, body, expected) in [
        ("all parts", composed.clone(), json!({"name": "x", "age": 1, "mail": 1, "phone": 1}), vec![]),
        (
            "a branch that did not match",
            composed.clone(),
            json!({"mail": 1, "fax": 1}),
            vec!["/fax: additionalProperties"],
        ),
        (
            "the property of another branch",
            composed,
            json!({"mail": 1, "phone": 1, "x": 1}),
            vec!["/x: additionalProperties"],
        ),
        (
            "a reference alone",
            json!({"$defs": {"b": base}, "$ref": "#/$defs/b"}),
            json!({"name": "x", "role": 1}),
            vec!["/role: additionalProperties"],
        ),
        ("a free-form object", json!({"type": "object"}), json!({"any": 1}), vec![]),
        (
            "an explicit permission",
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"b": 1}),
            vec![],
        ),
        (
            "an explicit schema",
            json!({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}),
            json!({"b": 1}),
            vec!["/b: type"],
        ),
        (
            "the document's own closing",
            json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            json!({"b": 1}),
            vec!["/b: unevaluatedProperties"],
        ),
        (
            "names by pattern",
            json!({"patternProperties": {"^x-": {}}}),
            json!({"x-a": 1, "b": 1}),
            vec!["/b: additionalProperties"],
        ),
        (
            "the branch of oneOf",
            json!({"oneOf": [{"required": ["a"], "properties": {"a": {"properties": {"b": {}}}}}, {"required": ["c"], "properties": {"c": {}}}]}),
            json!({"a": {"b": 1, "role": 1}}),
            vec!["/a/role: additionalProperties"],
        ),
        (
            "an unknown member beside a branch",
            json!({"oneOf": [{"required": ["a"], "properties": {"a": {}}}, {"required": ["c"], "properties": {"c": {}}}]}),
            json!({"a": 1, "role": 1}),
            vec!["/role: additionalProperties"],
        ),
        (
            "a condition",
            json!({"properties": {"t": {}}, "if": {"properties": {"t": {"const": 1}}}, "then": {"properties": {"one": {}}}}),
            json!({"t": 2, "one": 1}),
            vec!["/one: additionalProperties"],
        ),
    ] {
        assert_eq!(closed(schema, body), expected, "{name}");
    }
}

// covers: OWASP-API-07
#[test]
fn strictness_never_accepts_what_the_document_refuses() {
    for (name, schema, body, expected) in [
        (
            "two branches match",
            json!({"oneOf": [{"properties": {"a": {}}}, {"properties": {"a": {}, "b": {}}}]}),
            json!({"a": 1, "b": 1}),
            vec![": oneOf"],
        ),
        (
            "what is excluded",
            json!({"properties": {"a": {}, "b": {}}, "not": {"properties": {"a": {"const": 1}}}}),
            json!({"a": 1, "b": 1}),
            vec![": not"],
        ),
        (
            "too many of a kind",
            json!({"maxContains": 1, "contains": {"properties": {"a": {}}}}),
            json!([{"a": 1, "b": 1}, {"c": 1}]),
            vec![": maxContains"],
        ),
    ] {
        assert_eq!(closed(schema.clone(), body.clone()), expected, "{name}");
        assert_eq!(open(schema, body), expected, "{name}");
    }
}

// covers: ENV-BODY-13
#[test]
fn numbers_are_exact() {
    for (name, schema, value, valid) in [
        (
            "above a bound beyond doubles",
            json!({"maximum": 9_007_199_254_740_992_u64}),
            "9007199254740993",
            false,
        ),
        ("at that bound", json!({"maximum": 9_007_199_254_740_992_u64}), "9007199254740992", true),
        ("a decimal multiple", json!({"multipleOf": 0.01}), "0.07", true),
        ("not a multiple", json!({"multipleOf": 0.01}), "0.075", false),
        ("a huge multiple", json!({"multipleOf": 0.01}), "1e308", true),
        ("1.0 is an integer", json!({"type": "integer"}), "1.0", true),
        ("1e2 is an integer", json!({"type": "integer"}), "1e2", true),
        ("1.5 is not", json!({"type": "integer"}), "1.5", false),
        ("int32 above", json!({"type": "integer", "format": "int32"}), "2147483648", false),
        ("exclusive", json!({"exclusiveMinimum": 1}), "1", false),
        ("enum by value", json!({"enum": [1, 2.0]}), "2", true),
    ] {
        let value =
            portcullis_core::json::parse(value.as_bytes(), portcullis_core::json::Limits::default()).unwrap();
        assert_eq!(open(schema, value).is_empty(), valid, "{name}");
    }
}

#[test]
fn openapi_3_0_has_its_own_keywords() {
    let old = |schema: Value, instance: Value| check(Version::V30, false, &schema, &instance);
    let new = |schema: Value, instance: Value| check(Version::V31, false, &schema, &instance);
    assert_eq!(old(json!({"type": "string", "nullable": true}), json!(null)), Ok(vec![]));
    assert_eq!(old(json!({"type": "string", "nullable": false}), json!(null)), Ok(vec![": type".into()]));
    assert_eq!(
        old(json!({"type": "string", "nullable": true, "enum": ["a"]}), json!(null)),
        Ok(vec![": enum".into()])
    );
    assert_eq!(new(json!({"type": "string", "nullable": true}), json!(null)), Ok(vec![": type".into()]));
    let exclusive = json!({"minimum": 1, "exclusiveMinimum": true, "maximum": 3, "exclusiveMaximum": false});
    assert_eq!(old(exclusive.clone(), json!(1)), Ok(vec![": exclusiveMinimum".into()]));
    assert_eq!(old(exclusive.clone(), json!(3)), Ok(vec![]));
    assert!(new(exclusive, json!(1)).is_err());
}

// covers: ENV-BODY-19
#[test]
fn a_broken_schema_is_refused_with_its_place() {
    for (schema, expected) in [
        (json!({"type": "strin"}), "document#/type: expected a type of JSON Schema, found `strin`"),
        (
            json!({"properties": {"a": {"maxlength": 5}}}),
            "document#/properties/a/maxlength: expected a supported schema keyword, found `maxlength`",
        ),
        (
            json!({"$dynamicRef": "#a"}),
            "document#/$dynamicRef: expected a supported schema keyword, found `$dynamicRef`",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
            "document#/$schema: expected the dialect of JSON Schema 2020-12 or OpenAPI 3.1, found `http://json-schema.org/draft-04/schema#`",
        ),
        (json!({"minLength": -1}), "document#/minLength: expected a whole number from 0, found `-1`"),
        (json!({"maxItems": 1.5}), "document#/maxItems: expected a whole number from 0, found `1.5`"),
        (json!({"minimum": "1"}), "document#/minimum: expected a number, found `1`"),
        (json!({"multipleOf": 0}), "document#: expected `multipleOf` to be more than 0"),
        (json!({"required": "a"}), "document#/required: expected a list, found `a`"),
        (json!({"properties": {"a": 5}}), "document#/properties/a: expected a schema, found `5`"),
        (
            json!({"items": [{}]}),
            "document#/items: expected a schema (a list of schemas is `prefixItems`), found a list",
        ),
        (
            json!({"pattern": "(?=a)"}),
            "document#/pattern: expected no look-around, which has no linear-time form, found it in pattern `(?=a)`",
        ),
        (
            json!({"$ref": "http://evil.test/schema.json"}),
            "document#/$ref: expected a reference into this document (`#/...`), found `http://evil.test/schema.json`",
        ),
        (
            json!({"$ref": "#/nowhere"}),
            "document#/$ref: expected a reference to something in this document, found `#/nowhere`",
        ),
        (
            json!({"$ref": "#"}),
            "document#: expected a schema that ends, found one that applies itself to the same value",
        ),
        (
            json!({"allOf": [{"anyOf": [{"$ref": "#"}]}]}),
            "document#: expected a schema that ends, found one that applies itself to the same value",
        ),
    ] {
        assert_eq!(check(Version::V31, true, &schema, &json!(1)), Err(expected.to_owned()));
    }
    let mut chain = serde_json::Map::new();
    for link in 0..40 {
        chain.insert(format!("s{link}"), json!({"allOf": [{"$ref": format!("#/$defs/s{}", link + 1)}]}));
    }
    chain.insert("s40".to_owned(), json!({}));
    let error =
        check(Version::V31, true, &json!({"$defs": chain, "$ref": "#/$defs/s0"}), &json!(1)).unwrap_err();
    assert!(error.contains("at most 32 schemas"), "{error}");
}

// covers: ENV-BODY-19
#[test]
fn recursion_through_values_ends() {
    let tree =
        json!({"type": "object", "properties": {"child": {"$ref": "#"}, "value": {"type": "integer"}}});
    let mut body = json!({"value": 1});
    for _ in 0..30 {
        body = json!({"value": 1, "child": body});
    }
    assert_eq!(closed(tree.clone(), body), [""; 0]);
    assert_eq!(closed(tree, json!({"child": {"child": {"value": "x"}}})), ["/child/child/value: type"]);
}

// covers: ENV-BODY-19, ENV-BODY-20, HOST-ALGO-03, HOST-ALGO-06
#[test]
fn the_work_for_a_body_is_bounded() {
    let exponential = json!({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}}, {"const": 1}]});
    let mut deep = json!(2);
    for _ in 0..31 {
        deep = json!([deep]);
    }
    let numbers: Vec<Value> = (0..99_999).map(|n| json!(n)).collect();
    let options: Vec<Value> = (0..100_000).map(|n| json!(n)).collect();
    let many: Vec<Value> = (0..10_000).map(|_| json!({"type": "integer"})).collect();
    let excluded = json!({"$defs": {"e": {"anyOf": [
        {"type": "array", "items": {"$ref": "#/$defs/e"}},
        {"type": "array", "items": {"$ref": "#/$defs/e"}},
        {"const": 1},
    ]}}, "not": {"$ref": "#/$defs/e"}});
    for (name, schema, body, expected) in [
        ("2^31 combinations", exponential, deep.clone(), vec!["too complex"]),
        ("2^31 combinations under not", excluded, deep, vec!["too complex"]),
        ("unique items", json!({"uniqueItems": true}), json!(numbers), vec![]),
        ("a large enum", json!({"items": {"enum": options}}), json!(numbers), vec![]),
        ("10,000 parts", json!({"items": {"allOf": many}}), json!(numbers), vec!["too complex"]),
        (
            "a text as long as a body",
            json!({"pattern": "[a-z]{1,400}[0-9]{1,400}"}),
            json!("a".repeat(1 << 20)),
            vec!["too complex"],
        ),
    ] {
        assert_eq!(open(schema, body), expected, "{name}");
    }
}

#[cfg(not(target_os = "wasi"))] // WASI has no threads.
#[test]
fn the_deepest_evaluation_fits_the_stack_of_a_module() {
    let levels: serde_json::Map<String, Value> = (0..30)
        .map(|n| (format!("s{n}"), json!({"allOf": [{"$ref": format!("#/$defs/s{}", n + 1)}]})))
        .collect();
    let mut definitions = levels;
    definitions
        .insert("s30".to_owned(), json!({"properties": {"a": {"$ref": "#/$defs/s0"}}, "not": {"const": 1}}));
    let schema = json!({"$defs": definitions, "$ref": "#/$defs/s0"});
    let mut body = json!({});
    for _ in 0..31 {
        body = json!({"a": body});
    }
    // The linker gives wasm32 modules 1 MiB.
    let check = std::thread::Builder::new().stack_size(1 << 20).spawn(move || closed(schema, body)).unwrap();
    assert_eq!(check.join().unwrap(), ["too complex"]);
}
