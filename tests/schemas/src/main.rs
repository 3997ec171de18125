//! Writes docs/schemas: `make schemas`. Its tests compare what is there with the configurations of the filters.
#![expect(clippy::print_stderr, reason = "a program for the command line")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of each filter that has one, by the name of its file (JSON Schema 2020-12).
fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("header-guard.json", schema::<portcullis_header_guard::config::Config>()),
        ("jwt-auth.json", schema::<portcullis_jwt_auth::config::Config>()),
        ("rate-limit.json", schema::<portcullis_rate_limit::config::Config>()),
    ]
}

fn schema<C: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>().to_value()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn main() -> ExitCode {
    for (name, schema) in schemas() {
        if let Err(error) = std::fs::write(directory().join(name), text(&schema)) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_current() {
        for (name, schema) in schemas() {
            let path = directory().join(name);
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text(&schema), "{name} is not what the configuration says: run `make schemas`");
        }
    }

    /// Every object is closed, as the filters refuse unknown fields; and what must not be left out is said.
    #[test]
    fn schemas_are_as_strict_as_the_filters() {
        for (name, schema) in schemas() {
            let definitions = schema["$defs"].as_object().unwrap();
            let mut objects = vec![("the whole", &schema)];
            objects.extend(definitions.iter().map(|(name, schema)| (name.as_str(), schema)));
            for (definition, object) in objects {
                if object.get("properties").is_some() {
                    assert_eq!(object["additionalProperties"], false, "{name}: {definition}");
                }
            }
            let (definition, field) = match name {
                "header-guard.json" => ("TrustedProxy", "addresses"),
                "rate-limit.json" => ("LimitConfig", "id"),
                _ => ("ProviderConfig", "issuer"),
            };
            let required = definitions[definition]["required"].as_array().unwrap();
            assert!(required.iter().any(|name| name == field), "{required:?}");
        }
    }

    /// Descriptions are for operators: they have no links into the code.
    #[test]
    fn descriptions_have_no_links_into_the_code() {
        for (name, schema) in schemas() {
            let text = text(&schema);
            for link in ["crate::", "Self::", "defaults::"] {
                assert!(!text.contains(link), "{name}: {link}");
            }
        }
    }

    /// The derive knows nothing of `alias`.
    #[test]
    fn both_names_of_a_profile_are_accepted() {
        let schema = schema::<portcullis_header_guard::config::Config>();
        let variants = schema["$defs"]["Profile"]["oneOf"].as_array().unwrap();
        let names: Vec<_> =
            variants.iter().filter_map(|variant| variant["enum"].as_array()).flatten().collect();
        assert_eq!(names, ["api-2026", "api", "web-2026", "web"]);
    }
}
