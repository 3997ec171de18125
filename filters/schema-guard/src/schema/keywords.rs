//! Every keyword that a schema may have. What stands in neither list is refused at load: an unknown keyword is a
//! check that would silently not be made.

/// Keywords that are enforced, or that steer how others are.
pub(super) const ENFORCED: &[&str] = &[
    "$anchor",
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "definitions",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Keywords that never make a value valid or invalid. `discriminator` names the branch that a reader should take; the
/// verdict is that of `oneOf`, `anyOf` and `allOf` alone (OpenAPI 3.1.1 section 4.8.25).
pub(super) const ANNOTATIONS: &[&str] = &[
    "$comment",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "title",
    "writeOnly",
    "xml",
];

/// Whether a keyword changes nothing about the verdict of the schema object that it stands in.
pub(super) fn is_passive(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword)
        || matches!(keyword, "$anchor" | "$defs" | "$schema" | "definitions" | "readOnly")
        || keyword.starts_with("x-")
}

/// Values of `$schema` and `jsonSchemaDialect` that mean what this module does.
const DIALECTS: &[&str] =
    &["https://json-schema.org/draft/2020-12/schema", "https://spec.openapis.org/oas/3.1/dialect/base"];

/// Whether a dialect is one that this module evaluates.
pub(crate) fn is_known_dialect(uri: &str) -> bool {
    DIALECTS.contains(&uri.trim_end_matches('#'))
}
