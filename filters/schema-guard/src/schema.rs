//! JSON Schema 2020-12 with the OpenAPI 3.0 and 3.1 dialects, compiled once into a graph of nodes.
//!
//! The graph is an arena: a `$ref` is the number of a node, so cycles of the document are ordinary edges.

mod compile;
mod evaluate;
mod format;
mod keywords;
mod marks;
mod number;
mod order;
mod pattern;
mod shape;

pub use compile::Compiler;
pub(crate) use evaluate::MAX_VIOLATIONS;
pub use evaluate::{Outcome, Violation};
pub(crate) use keywords::is_known_dialect;
pub use shape::Shape;

use std::rc::Rc;

use serde_json::Value;

use format::Format;
use number::Decimal;
use pattern::Pattern;

/// The number of a node in [`Schemas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// All compiled schemas of a document.
#[derive(Debug, Default)]
pub struct Schemas {
    nodes: Vec<Node>,
}

/// What a schema object asks for. Rules for another type than the instance's are not looked at.
#[derive(Debug, Default)]
struct Node {
    /// The boolean schema `false`.
    never: bool,
    types: Option<Types>,
    /// `enum` or `const`, with the keyword's name; sorted by [`order::compare`].
    values: Option<(&'static str, Vec<Value>)>,
    number: Option<Box<NumberRules>>,
    string: Option<Box<StringRules>>,
    array: Option<Box<ArrayRules>>,
    object: Option<Box<ObjectRules>>,
    in_place: Option<Box<InPlace>>,
    unevaluated_items: Option<NodeId>,
    unevaluated_properties: Option<NodeId>,
    /// Members that no part of the composition names are refused.
    closed: bool,
}

/// A set of JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Types(u8);

#[derive(Debug, Default)]
struct NumberRules {
    minimum: Option<Decimal>,
    exclusive_minimum: Option<Decimal>,
    maximum: Option<Decimal>,
    exclusive_maximum: Option<Decimal>,
    multiple_of: Option<Decimal>,
    /// `int32`, `int64`.
    format: Option<Format>,
}

#[derive(Debug, Default)]
struct StringRules {
    min_length: usize,
    max_length: Option<usize>,
    pattern: Option<Rc<Pattern>>,
    format: Option<Format>,
}

#[derive(Debug, Default)]
struct ArrayRules {
    min_items: usize,
    max_items: Option<usize>,
    unique: bool,
    prefix: Vec<NodeId>,
    items: Option<NodeId>,
    contains: Option<Contains>,
}

#[derive(Debug)]
struct Contains {
    schema: NodeId,
    min: usize,
    max: Option<usize>,
}

#[derive(Debug, Default)]
struct ObjectRules {
    min_properties: usize,
    max_properties: Option<usize>,
    required: Vec<String>,
    /// Sorted by name.
    properties: Vec<Property>,
    patterns: Vec<(Rc<Pattern>, NodeId)>,
    additional: Additional,
    names: Option<NodeId>,
    dependent_required: Vec<(String, Vec<String>)>,
}

#[derive(Debug)]
struct Property {
    name: String,
    schema: NodeId,
    /// `readOnly: true`: must not be sent in a request.
    read_only: bool,
}

/// What holds for members that neither `properties` nor `patternProperties` name.
#[derive(Debug, Default)]
enum Additional {
    /// The schema does not say; they count as unevaluated.
    #[default]
    Unsaid,
    Deny,
    Check(NodeId),
}

/// Subschemas that apply to the same instance.
#[derive(Debug, Default)]
struct InPlace {
    reference: Option<NodeId>,
    all_of: Vec<NodeId>,
    any_of: Vec<NodeId>,
    one_of: Vec<Branch>,
    not: Option<NodeId>,
    condition: Option<Condition>,
    dependent_schemas: Vec<(String, NodeId)>,
}

/// A branch of `oneOf`: the document's own reading decides which branch it is, then its strict reading is applied.
/// Were strictness part of the choice, it could make a second match disappear and so accept more.
#[derive(Clone, Copy, Debug)]
struct Branch {
    test: NodeId,
    strict: NodeId,
}

#[derive(Debug)]
struct Condition {
    test: NodeId,
    then: Option<NodeId>,
    otherwise: Option<NodeId>,
}

impl Types {
    const NONE: Self = Self(0);
    const ALL: Self = Self(0x7f);
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(1 << 1);
    const INTEGER: Self = Self(1 << 2);
    /// Numbers that are not integers; the keyword `number` stands for both.
    const FRACTION: Self = Self(1 << 3);
    const STRING: Self = Self(1 << 4);
    const ARRAY: Self = Self(1 << 5);
    const OBJECT: Self = Self(1 << 6);
    const NUMBER: Self = Self(Self::INTEGER.0 | Self::FRACTION.0);

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    /// The one type of a value. `1.0` is an integer (JSON Schema 2020-12 section 4.2.3).
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number::is_integer(number) => Self::INTEGER,
            Value::Number(_) => Self::FRACTION,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Node {
    /// Whether the node must know which members or items its own keywords have looked at.
    const fn tracks(&self) -> bool {
        self.closed || self.unevaluated_properties.is_some() || self.unevaluated_items.is_some()
    }

    /// The nodes that are applied to the same instance.
    fn in_place_nodes(&self) -> Vec<NodeId> {
        let Some(rules) = &self.in_place else {
            return Vec::new();
        };
        let condition = rules.condition.iter().flat_map(|c| [Some(c.test), c.then, c.otherwise]).flatten();
        let branches = rules.one_of.iter().flat_map(|branch| [branch.test, branch.strict]);
        let lists = rules.all_of.iter().chain(&rules.any_of).copied();
        let dependent = rules.dependent_schemas.iter().map(|(_, node)| *node);
        rules
            .reference
            .into_iter()
            .chain(lists)
            .chain(branches)
            .chain(rules.not)
            .chain(condition)
            .chain(dependent)
            .collect()
    }
}

impl Schemas {
    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// How many nodes there are.
    #[cfg(all(test, not(target_os = "wasi")))]
    pub(crate) const fn node_count(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests;
