//! What the operator writes.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The list of filters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteConfig {
    /// In the order in which requests pass them; responses pass them in the reverse order. At least one.
    pub filters: Vec<Entry>,
    /// Whether identity and verdicts also go to Envoy's filter state, for filters outside of this chain and for
    /// access logs. Default: only if `audit` is not in the chain.
    pub publish: Option<bool>,
}

/// One filter with its configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, as in `jwt-auth`. The same filter may be listed several times.
    pub filter: String,
    /// Its configuration, as it would stand in a module of its own. Default: `{}`.
    #[serde(default)]
    pub config: Map<String, Value>,
}
