//! Which credentials may leave.

use portcullis_core::verdict::Mode;
use serde::Deserialize;

/// What happens to credentials in requests to servers of somebody else.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OutgoingConfig {
    /// `enforce` removes them, `report` is a verdict only. Default: `enforce`.
    pub mode: Mode,
    /// Names, or prefixes with a final `*`, of further fields that hold credentials.
    pub headers: Vec<String>,
    /// Names, or prefixes with a final `*`, of fields that may leave whatever they hold; goes before `headers`.
    pub keep: Vec<String>,
}
