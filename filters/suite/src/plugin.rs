//! Turns the list into a chain.

use portcullis_core::config::{self, ConfigError};
use portcullis_host::{Chain, Configure, Host};

use crate::config::SuiteConfig;

/// The filters that a chain may hold; a new filter joins by a line here.
pub const FILTERS: [(&str, Configure); 5] = [
    ("audit", portcullis_audit::plugin::configure),
    ("header-guard", portcullis_header_guard::plugin::configure),
    ("jwt-auth", portcullis_jwt_auth::plugin::configure),
    ("rate-limit", portcullis_rate_limit::plugin::configure),
    ("schema-guard", portcullis_schema_guard::plugin::configure),
];

/// More than any deployment needs; a longer list is a mistake.
const MAX_FILTERS: usize = 32;

/// Reads and checks the configurations of all filters in the list.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake, as in `filters[1].config.limits[0].per`.
pub fn configure(configuration: &[u8], host: &dyn Host) -> Result<Chain, ConfigError> {
    let suite: SuiteConfig = config::load(configuration)?;
    if suite.filters.is_empty() || suite.filters.len() > MAX_FILTERS {
        let problem = format!("expected 1 to {MAX_FILTERS} filters, found {}", suite.filters.len());
        return Err(ConfigError::new("filters", problem));
    }
    let publish = suite.publish.unwrap_or_else(|| suite.filters.iter().all(|entry| entry.filter != "audit"));
    let mut plugins = Vec::with_capacity(suite.filters.len());
    for (index, entry) in suite.filters.iter().enumerate() {
        let Some((_, configure)) = FILTERS.iter().find(|(name, _)| *name == entry.filter) else {
            let names = FILTERS.map(|(name, _)| name).join("`, `");
            let problem = format!("expected one of `{names}`, found `{}`", entry.filter);
            return Err(ConfigError::new(format!("filters[{index}].filter"), problem));
        };
        // Serializing a JSON value into memory cannot fail.
        let document = serde_json::to_vec(&entry.config).unwrap_or_default();
        let plugin =
            configure(&document, host).map_err(|error| error.under(&format!("filters[{index}].config")))?;
        plugins.push(plugin);
    }
    Ok(Chain::new(plugins, publish))
}

#[cfg(test)]
mod tests {
    use portcullis_host::fake::FakeHost;

    use super::*;

    fn error(configuration: &str) -> String {
        match configure(configuration.as_bytes(), &FakeHost::at(1_700_000_000)) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_documented_example_loads() {
        let examples = portcullis_host::fake::fenced_blocks(include_str!("../../../docs/suite.md"), "json");
        assert_eq!(examples.iter().map(|example| error(example)).collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn any_order_and_any_number_of_filters() {
        for list in [
            r#"{"filters": [{"filter": "audit"}]}"#,
            r#"{"filters": [{"filter": "header-guard", "config": {}}, {"filter": "audit"}]}"#,
            r#"{"filters": [{"filter": "audit"}, {"filter": "header-guard"}, {"filter": "audit"}]}"#,
        ] {
            assert_eq!(error(list), "", "{list}");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_path() {
        for (list, start) in [
            (r#"{"filters": []}"#, "filters: expected 1 to 32 filters, found 0"),
            (r#"{"filters": [{"filter": "waf"}]}"#, "filters[0].filter: expected one of `audit`"),
            (r#"{"filters": [{"filter": "audit", "config": {"nope": 1}}]}"#, "filters[0].config.nope: "),
            (r#"{"filters": [{"filter": "audit"}], "order": 1}"#, "order: "),
        ] {
            assert!(error(list).starts_with(start), "{list}: {}", error(list));
        }
    }

    #[test]
    fn verdicts_are_published_unless_the_chain_writes_the_event_itself() {
        let host = FakeHost::at(0);
        for (list, publishes) in [
            (r#"{"filters": [{"filter": "header-guard"}]}"#, true),
            (r#"{"filters": [{"filter": "header-guard"}, {"filter": "audit"}]}"#, false),
            (r#"{"filters": [{"filter": "audit"}], "publish": true}"#, true),
        ] {
            assert_eq!(configure(list.as_bytes(), &host).unwrap().publishes(), publishes, "{list}");
        }
    }
}
