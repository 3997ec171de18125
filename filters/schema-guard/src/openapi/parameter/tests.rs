//! Every place, style and type of parameters.

use portcullis_core::{Headers, Request};
use serde_json::json;

use super::*;
use crate::document::{Document, Version};
use crate::openapi::query::Query;

/// `ok`, or what is wrong with the parameter in a request with this query, header field, cookie or path variable.
fn check(parameter: Value, query: &str, fields: &[(&str, &str)], variable: &str) -> String {
    let document = Document::of(parameter, Version::V31).unwrap();
    let mut compiler = Compiler::new(&document, true);
    let parameter = Parameter::read(&document.root(), &mut compiler).unwrap().unwrap();
    let (schemas, _) = compiler.finish();
    let headers: Headers = fields.iter().copied().collect();
    let cookies = crate::openapi::query::cookies(&headers);
    let query = Query::parse(query.as_bytes()).unwrap();
    let variables = if variable.is_empty() { Vec::new() } else { vec![("p", variable.to_owned())] };
    let request = Request::new(headers.clone(), true);
    let mut errors = Vec::new();
    let input = parameter.input(&request, &variables, &query, &cookies, &schemas);
    parameter.check(input, &schemas, &mut errors).unwrap();
    errors.extend(query.unused().map(|name| Location::Query.error(name, "unknown")));
    let texts: Vec<_> = errors.iter().map(|error| format!("{} {}", error.pointer, error.rule)).collect();
    if texts.is_empty() { "ok".to_owned() } else { texts.join(", ") }
}

fn integers() -> Value {
    json!({"type": "array", "items": {"type": "integer"}, "maxItems": 3})
}

fn point() -> Value {
    json!({"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x"]})
}

// covers: ENV-BODY-16
#[test]
fn query_styles() {
    for (style, explode, schema, query, expected) in [
        ("form", true, integers(), "p=1&p=2", "ok"),
        ("form", true, integers(), "p=1,2", "p/0 type"),
        ("form", true, integers(), "p=1&p=2&p=3&p=4", "p maxItems"),
        ("form", false, integers(), "p=1,2", "ok"),
        ("form", false, integers(), "p=1%2C2", "p/0 type"),
        ("form", false, integers(), "p=1&p=2", "p duplicate"),
        ("spaceDelimited", false, integers(), "p=1%202", "ok"),
        ("spaceDelimited", false, integers(), "p=1+2", "ok"),
        ("pipeDelimited", false, integers(), "p=1%7C2|3", "ok"),
        ("pipeDelimited", false, integers(), "p=1|x", "p/1 type"),
        ("form", true, point(), "x=1&y=2", "ok"),
        ("form", true, point(), "x=1&y=2&z=3", "z unknown"),
        ("form", true, point(), "x=1&x=2", "p duplicate"),
        ("form", true, point(), "y=1", "p/x required"),
        ("form", false, point(), "p=x,1,y,2", "ok"),
        ("form", false, point(), "p=x,1,y", "p style"),
        ("deepObject", true, point(), "p[x]=1&p[y]=2", "ok"),
        ("deepObject", true, point(), "p%5Bx%5D=1", "ok"),
        ("deepObject", true, point(), "p[x]=1&p[z]=2", "p/z additionalProperties"),
        ("deepObject", true, point(), "p[x]=1&p[x]=2", "p duplicate"),
        ("deepObject", true, point(), "p[x][y]=1", "p[x][y] unknown"),
        ("form", true, json!({"type": "integer"}), "p=5", "ok"),
        ("form", true, json!({"type": "integer"}), "p=5&p=6", "p duplicate"),
        ("form", true, json!({"type": "integer"}), "p=5.5", "p type"),
        ("form", true, json!({"type": "integer"}), "p", "p type"),
        ("form", true, json!({"type": "boolean"}), "p=true", "ok"),
        ("form", true, json!({"type": "boolean"}), "p=1", "p type"),
        ("form", true, json!({"type": "string", "maxLength": 2}), "p=123", "p maxLength"),
        ("form", true, json!({"type": "string"}), "p=123", "ok"),
        ("form", true, json!({"type": ["integer", "string"], "maxLength": 2, "maximum": 5}), "p=7", "ok"),
        ("form", true, json!({"type": ["integer", "null"]}), "p=null", "ok"),
        ("form", true, json!({"enum": [1, "a"]}), "p=1", "ok"),
        ("form", true, json!({"enum": [1, "a"]}), "p=b", "p enum"),
        (
            "form",
            true,
            json!({"oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
            "p=5",
            "ok",
        ),
        ("form", true, json!({}), "p=anything", "ok"),
    ] {
        let parameter =
            json!({"name": "p", "in": "query", "style": style, "explode": explode, "schema": schema});
        assert_eq!(check(parameter, query, &[], ""), expected, "{style} {explode} {query}");
    }
}

// covers: ENV-BODY-16
#[test]
fn path_styles() {
    for (style, explode, schema, variable, expected) in [
        ("simple", false, json!({"type": "string", "pattern": "^[a-z]+$"}), "abc", "ok"),
        ("simple", false, json!({"type": "string", "pattern": "^[a-z]+$"}), "abc1", "p pattern"),
        ("simple", false, integers(), "1,2", "ok"),
        ("simple", false, integers(), "1,,2", "p/1 type"),
        ("simple", false, point(), "x,1,y,2", "ok"),
        ("simple", true, point(), "x=1,y=2", "ok"),
        ("simple", true, point(), "x=1,y", "p style"),
        ("label", false, integers(), ".1,2", "ok"),
        ("label", true, integers(), ".1.2", "ok"),
        ("label", false, json!({"type": "integer"}), ".5", "ok"),
        ("label", false, json!({"type": "integer"}), "5", "p style"),
    ] {
        let parameter = json!({"name": "p", "in": "path", "required": true, "style": style, "explode": explode, "schema": schema});
        assert_eq!(check(parameter, "", &[], variable), expected, "{style} {explode} {variable}");
    }
}

// covers: ENV-BODY-16
#[test]
fn header_and_cookie_parameters() {
    for (place, schema, fields, expected) in [
        ("header", integers(), &[("x-p", "1, 2")][..], "ok"),
        ("header", integers(), &[("x-p", "1"), ("x-p", "2")], "ok"),
        ("header", point(), &[("x-p", "x,1")], "ok"),
        ("header", point(), &[("x-p", "x,1"), ("x-p", "y,2")], "x-p duplicate"),
        ("header", json!({"type": "integer"}), &[("x-p", " 5 ")], "ok"),
        ("header", json!({"type": "integer"}), &[], "x-p required"),
        ("cookie", json!({"type": "integer"}), &[("cookie", "a=1; X-P=5")], "ok"),
        ("cookie", json!({"type": "integer"}), &[("cookie", "X-P=5; X-P=6")], "X-P duplicate"),
        ("cookie", json!({"type": "integer"}), &[("cookie", "X-P=5"), ("cookie", "X-P=5")], "X-P duplicate"),
        ("cookie", integers(), &[("cookie", "X-P=1,2")], "ok"),
        ("cookie", integers(), &[("cookie", "other=1")], "X-P required"),
    ] {
        let parameter = json!({"name": "X-P", "in": place, "required": true, "schema": schema});
        assert_eq!(check(parameter, "", fields, ""), expected, "{place} {fields:?}");
    }
}

#[test]
fn json_content_and_empty_values() {
    let content = json!({"name": "p", "in": "query", "content": {"application/json": {"schema": point()}}});
    for (query, expected) in [
        ("p=%7B%22x%22%3A1%7D", "ok"),
        ("p=%7B%22x%22%3A%221%22%7D", "p/x type"),
        ("p=%7B%22x%22%3A1%2C%22x%22%3A2%7D", "p json"),
        ("p=x", "p json"),
        ("", "ok"),
    ] {
        assert_eq!(check(content.clone(), query, &[], ""), expected, "{query}");
    }
    let flag = json!({"name": "p", "in": "query", "allowEmptyValue": true, "schema": {"type": "boolean"}});
    assert_eq!(check(flag.clone(), "p", &[], ""), "ok");
    assert_eq!(check(flag, "p=x", &[], ""), "p type");
}

#[test]
fn some_header_fields_are_not_parameters() {
    for (name, is_parameter) in
        [("Accept", false), ("content-type", false), ("Authorization", false), ("X-Id", true)]
    {
        let document =
            Document::of(json!({"name": name, "in": "header", "schema": {}}), Version::V31).unwrap();
        let read = Parameter::read(&document.root(), &mut Compiler::new(&document, true)).unwrap();
        assert_eq!(read.is_some(), is_parameter, "{name}");
    }
}
