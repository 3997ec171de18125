//! Which requests a limit is for, and which none is for.

use std::fmt;

use portcullis_core::routes::Selector;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Conditions of which one must be met; none stands for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches(pub Vec<Selector>);

impl Matches {
    /// Whether every request is meant.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Matches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MatchesVisitor)
    }
}

struct MatchesVisitor;

impl<'de> Visitor<'de> for MatchesVisitor {
    type Value = Matches;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition, or a list of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Matches, A::Error> {
        Selector::deserialize(MapAccessDeserializer::new(map)).map(|selector| Matches(vec![selector]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Matches, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Matches)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Matches {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Matches".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let selector = generator.subschema_for::<Selector>();
        schemars::json_schema!({"anyOf": [selector, {"type": "array", "items": selector}]})
    }
}

/// Requests that no limit applies to: those that meet every condition that is given, of which there must be one.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct ExemptionConfig {
    /// Which requests; absent: all.
    #[serde(rename = "match")]
    pub selector: Option<Selector>,
    /// Networks of the client's address, as in `10.1.0.0/16`; at most 256.
    pub client_address: Vec<String>,
    /// A claim of the verified identity and its values.
    pub claim: Option<ClaimCondition>,
}

/// A claim that must have one of some values.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimCondition {
    /// The issuer whose claim it is.
    pub issuer: String,
    /// The claim's name, or a path of names joined with `.`.
    pub name: String,
    /// The values, at least one, compared byte for byte.
    pub values: Vec<String>,
}
