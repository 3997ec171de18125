//! What a document leaves unbounded: strings, lists and numbers of requests that may be of any size. For
//! `portcullis lint`; the filter takes such documents, and its `max_body` bounds them all together.
//! Source: OWASP API Security 2023, API4 Unrestricted Resource Consumption.

use std::collections::BTreeSet;

use portcullis_core::ConfigError;
use serde_json::Value;

use crate::document::{Document, Located};
use crate::openapi::METHODS;

/// A schema without a bound that its type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBound {
    /// JSON pointer to the schema.
    pub pointer: String,
    /// Its type, as in `string`.
    pub of: &'static str,
    /// Keywords of which it has none, as in `maxLength`.
    pub keywords: &'static [&'static str],
}

/// For each type the keywords that bound it, and formats whose values are short.
const BOUNDS: &[(&str, &[&str], &[&str])] = &[
    ("string", &["maxLength"], &["date", "uuid", "ipv4", "ipv6"]),
    ("array", &["maxItems"], &[]),
    ("integer", &["maximum", "exclusiveMaximum"], &["int32"]),
    ("number", &["maximum", "exclusiveMaximum"], &[]),
];

/// Keywords with schemas for parts of the value: one, a list of them, or an object of them.
const PARTS: &[&str] = &["items", "prefixItems", "properties", "patternProperties", "additionalProperties"];

/// Keywords with schemas that may apply to the value. (Those of `allOf` and `$ref` do.)
const ALTERNATIVES: &[&str] = &["anyOf", "oneOf", "then", "else"];

/// Keywords that are known to bound a value; `enum` for one that is listed.
type Known = BTreeSet<&'static str>;

/// Every schema of a request's parameters and bodies that misses a bound, in the order of the document.
///
/// # Errors
/// [`ConfigError`] when this is no OpenAPI 3.0 or 3.1 document, or a reference leads nowhere.
pub fn missing(document: Value) -> Result<Vec<MissingBound>, ConfigError> {
    let document = Document::new(document)?;
    let mut search = Search { document: &document, seen: BTreeSet::new(), missing: Vec::new() };
    let Some(paths) = document.root().member("paths") else {
        return Ok(Vec::new());
    };
    for (_, item) in paths.members()?.filter(|(name, _)| !name.starts_with("x-")) {
        let item = document.resolve(item)?;
        search.parameters(&item)?;
        for operation in METHODS.iter().filter_map(|method| item.member(method)) {
            search.parameters(&operation)?;
            if let Some(body) = operation.member("requestBody") {
                search.content(&document.resolve(body)?)?;
            }
        }
    }
    Ok(search.missing)
}

struct Search<'d> {
    document: &'d Document,
    /// What was looked at: many places share a schema, and one may be part of itself.
    seen: BTreeSet<(String, Known)>,
    missing: Vec<MissingBound>,
}

impl<'d> Search<'d> {
    /// The parameters of a path item or an operation.
    fn parameters(&mut self, owner: &Located<'d>) -> Result<(), ConfigError> {
        let Some(parameters) = owner.member("parameters") else {
            return Ok(());
        };
        for parameter in parameters.items()? {
            let parameter = self.document.resolve(parameter)?;
            if let Some(schema) = parameter.member("schema") {
                self.value(schema, Known::new())?;
            }
            self.content(&parameter)?;
        }
        Ok(())
    }

    /// The schemas of every media type.
    fn content(&mut self, owner: &Located<'d>) -> Result<(), ConfigError> {
        let Some(content) = owner.member("content") else {
            return Ok(());
        };
        for (_, media_type) in content.members()? {
            if let Some(schema) = media_type.member("schema") {
                self.value(schema, Known::new())?;
            }
        }
        Ok(())
    }

    /// A value with this schema, of which other schemas say what is `known`.
    fn value(&mut self, schema: Located<'d>, mut known: Known) -> Result<(), ConfigError> {
        if !self.seen.insert((schema.pointer.clone(), known.clone())) {
            return Ok(());
        }
        let mut all = Vec::new();
        self.conjuncts(schema, &mut all)?;
        all.iter().for_each(|schema| known.extend(bounds_of(schema)));
        for schema in &all {
            for (of, keywords, _) in BOUNDS {
                let is_bound =
                    known.contains("enum") || keywords.iter().any(|keyword| known.contains(keyword));
                let missing = MissingBound { pointer: schema.pointer.clone(), of, keywords };
                if has_type(schema, of) && !is_bound && !self.missing.contains(&missing) {
                    self.missing.push(missing);
                }
            }
        }
        for schema in &all {
            for part in ALTERNATIVES.iter().flat_map(|keyword| schemas_of(schema, keyword)) {
                self.value(part, known.clone())?;
            }
            for part in PARTS.iter().flat_map(|keyword| schemas_of(schema, keyword)) {
                self.value(part, Known::new())?;
            }
        }
        Ok(())
    }

    /// The schema, and all others that a value has to satisfy with it.
    fn conjuncts(&self, schema: Located<'d>, all: &mut Vec<Located<'d>>) -> Result<(), ConfigError> {
        if all.iter().any(|known| known.pointer == schema.pointer) {
            return Ok(());
        }
        all.push(schema.clone());
        if let Some(reference) = schema.member("$ref") {
            self.conjuncts(self.document.target(&reference)?, all)?;
        }
        for part in schemas_of(&schema, "allOf") {
            self.conjuncts(part, all)?;
        }
        Ok(())
    }
}

/// The schemas under a keyword.
fn schemas_of<'d>(schema: &Located<'d>, keyword: &str) -> Vec<Located<'d>> {
    let Some(value) = schema.member(keyword) else {
        return Vec::new();
    };
    if let Ok(items) = value.items() {
        return items.collect();
    }
    if matches!(keyword, "properties" | "patternProperties") {
        return value
            .members()
            .map(|members| members.map(|(_, schema)| schema).collect())
            .unwrap_or_default();
    }
    vec![value]
}

fn has_type(schema: &Located<'_>, name: &str) -> bool {
    match schema.member("type").map(|types| types.value) {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(types)) => types.iter().any(|one| one == name),
        _ => false,
    }
}

/// The keywords with which a schema bounds its value. A format does what the keyword would.
fn bounds_of(schema: &Located<'_>) -> impl Iterator<Item = &'static str> {
    let format = schema.member("format").and_then(|format| format.value.as_str());
    let listed = ["enum", "const"].iter().any(|keyword| schema.member(keyword).is_some()).then_some("enum");
    let bounds = BOUNDS.iter().flat_map(move |(of, keywords, formats)| {
        let by_format = format.is_some_and(|name| formats.contains(&name)) && has_type(schema, of);
        keywords.iter().copied().filter(move |keyword| by_format || schema.member(keyword).is_some())
    });
    bounds.chain(listed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is missing in a body with this schema: pointers below it, with the type.
    fn missing_in(schema: Value, components: Value) -> Vec<(String, &'static str)> {
        let body = json!({"content": {"application/json": {"schema": schema}}});
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"post": {"requestBody": body, "responses": {}}}},
            "components": {"schemas": components},
        });
        let short = |pointer: &str| {
            let below = "/paths/~1a/post/requestBody/content/application~1json/schema";
            pointer.strip_prefix(below).unwrap_or(pointer).to_owned()
        };
        missing(document).unwrap().iter().map(|one| (short(&one.pointer), one.of)).collect()
    }

    // covers: OWASP-API-09
    #[test]
    fn a_type_without_its_bound_is_missing_one() {
        for (schema, expected) in [
            (json!({"type": "string"}), Some("string")),
            (json!({"type": "string", "maxLength": 9}), None),
            (json!({"type": "string", "minLength": 1, "pattern": "^a*$"}), Some("string")),
            (json!({"type": "string", "enum": ["a"]}), None),
            (json!({"type": "string", "const": "a"}), None),
            (json!({"type": "string", "format": "uuid"}), None),
            (json!({"type": "string", "format": "uri"}), Some("string")),
            // As many decimals as its sender likes.
            (json!({"type": "string", "format": "date-time"}), Some("string")),
            (json!({"type": ["string", "null"]}), Some("string")),
            (json!({"type": "array", "maxItems": 9}), None),
            (json!({"type": "array", "uniqueItems": true}), Some("array")),
            (json!({"type": "integer", "minimum": 0}), Some("integer")),
            (json!({"type": "integer", "format": "int32"}), None),
            (json!({"type": "integer", "format": "int64"}), Some("integer")),
            (json!({"type": "number", "exclusiveMaximum": 9}), None),
            (json!({"type": "number"}), Some("number")),
            (json!({"type": "boolean"}), None),
            (json!({"type": "object"}), None),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|of| (String::new(), of)).collect();
            assert_eq!(missing_in(schema.clone(), json!({})), expected, "{schema}");
        }
    }

    #[test]
    fn all_that_applies_to_a_value_counts_together() {
        let components = json!({"Name": {"type": "string"}, "Short": {"maxLength": 9}});
        let name = || json!({"$ref": "#/components/schemas/Name"});
        let short = || json!({"$ref": "#/components/schemas/Short"});
        let unbounded = vec![("/components/schemas/Name".to_owned(), "string")];
        for (schema, expected) in [
            (name(), unbounded.clone()),
            (json!({"allOf": [name(), short()]}), vec![]),
            (json!({"allOf": [name()], "maxLength": 9}), vec![]),
            (json!({"oneOf": [name(), {"type": "null"}], "maxLength": 9}), vec![]),
            (json!({"oneOf": [name(), {"type": "null"}]}), unbounded.clone()),
            // The same schema, once bound by its company and once not.
            (json!({"properties": {"a": {"allOf": [name(), short()]}, "b": name()}}), unbounded),
        ] {
            assert_eq!(missing_in(schema.clone(), components.clone()), expected, "{schema}");
        }
    }

    #[test]
    fn parts_are_found_wherever_they_are() {
        let unbounded = || json!({"type": "string"});
        let schema = json!({
            "properties": {"a": {"type": "array", "maxItems": 2, "items": unbounded()}, "b~/": unbounded()},
            "patternProperties": {"^x": unbounded()},
            "additionalProperties": unbounded(),
            "prefixItems": [true, unbounded()],
        });
        let pointers: Vec<_> =
            missing_in(schema, json!({})).into_iter().map(|(pointer, _)| pointer).collect();
        let expected = [
            "/prefixItems/1",
            "/properties/a/items",
            "/properties/b~0~1",
            "/patternProperties/^x",
            "/additionalProperties",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn a_schema_that_is_part_of_itself_ends() {
        let reference = json!({"$ref": "#/components/schemas/Tree"});
        let tree = json!({
            "oneOf": [reference, reference, {"type": "string"}],
            "allOf": [reference],
            "properties": {"left": reference, "right": reference},
        });
        assert_eq!(missing_in(reference.clone(), json!({"Tree": tree})).len(), 1);
    }

    #[test]
    fn parameters_count_in_a_path_item_and_in_an_operation() {
        let parameter = |name| json!({"name": name, "in": "query", "schema": {"type": "integer"}});
        let document = json!({
            "openapi": "3.0.3",
            "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"parameters": [parameter("p")], "get": {"parameters": [parameter("q")], "responses": {}}}},
        });
        let pointers: Vec<_> = missing(document).unwrap().into_iter().map(|one| one.pointer).collect();
        assert_eq!(pointers, ["/paths/~1a/parameters/0/schema", "/paths/~1a/get/parameters/0/schema"]);
    }

    #[test]
    fn what_is_no_document_is_named() {
        assert!(missing(json!({"swagger": "2.0"})).unwrap_err().to_string().contains("openapi"));
        let nowhere = json!({
            "openapi": "3.1.0",
            "paths": {"/a": {"get": {"parameters": [{"$ref": "#/components/parameters/none"}]}}},
        });
        assert!(missing(nowhere).unwrap_err().to_string().contains("#/components/parameters/none"));
    }
}
