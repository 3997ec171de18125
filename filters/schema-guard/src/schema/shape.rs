//! What a schema says about the form of a value, for parameters: text has to become a typed value first.

use super::{Additional, NodeId, Schemas, Types};
use crate::schema::Node;

/// The types that a schema admits, as far as its keywords tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(Types);

impl Shape {
    /// Whether a text may stand for itself.
    #[must_use]
    pub const fn admits_text(self) -> bool {
        self.0.overlaps(Types::STRING)
    }

    /// Whether a number may be meant.
    #[must_use]
    pub const fn admits_number(self) -> bool {
        self.0.overlaps(Types::NUMBER)
    }

    /// Whether `true` or `false` may be meant.
    #[must_use]
    pub const fn admits_boolean(self) -> bool {
        self.0.overlaps(Types::BOOLEAN)
    }

    /// Whether `null` may be meant.
    #[must_use]
    pub const fn admits_null(self) -> bool {
        self.0.overlaps(Types::NULL)
    }

    /// Whether a list may be meant. A schema that says nothing of types means a single text.
    #[must_use]
    pub fn admits_array(self) -> bool {
        self.0 != Types::ALL && self.0.overlaps(Types::ARRAY)
    }

    /// Whether an object may be meant.
    #[must_use]
    pub fn admits_object(self) -> bool {
        self.0 != Types::ALL && self.0.overlaps(Types::OBJECT)
    }

    /// Whether a single value may be meant.
    #[must_use]
    pub const fn admits_scalar(self) -> bool {
        self.0.overlaps(Types::STRING.union(Types::NUMBER).union(Types::BOOLEAN).union(Types::NULL))
    }
}

impl Schemas {
    /// The shape of the values that a schema admits.
    #[must_use]
    pub fn shape(&self, id: NodeId) -> Shape {
        Shape(self.types(id))
    }

    /// In-place applications have no cycles, see `Compiler::finish`.
    fn types(&self, id: NodeId) -> Types {
        let Some(node) = self.node(id) else {
            return Types::ALL;
        };
        let values = node
            .values
            .as_ref()
            .map(|(_, values)| values.iter().map(Types::of).fold(Types::NONE, Types::union));
        let mut types = node.types.unwrap_or(Types::ALL);
        if let Some(values) = values {
            types = types.intersection(values);
        }
        let Some(rules) = &node.in_place else {
            return types;
        };
        for schema in rules.reference.iter().chain(&rules.all_of) {
            types = types.intersection(self.types(*schema));
        }
        let any = |branches: &mut dyn Iterator<Item = NodeId>| {
            branches.map(|schema| self.types(schema)).reduce(Types::union).unwrap_or(Types::ALL)
        };
        types
            .intersection(any(&mut rules.any_of.iter().copied()))
            .intersection(any(&mut rules.one_of.iter().map(|branch| branch.test)))
    }

    /// The schema of the items of an array.
    #[must_use]
    pub fn items(&self, id: NodeId) -> Option<NodeId> {
        self.find(id, &|node| node.array.as_ref()?.items)
    }

    /// The schema of a member that `properties` names.
    #[must_use]
    pub fn property(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.find(id, &|node| {
            let properties = &node.object.as_ref()?.properties;
            let place = properties.binary_search_by(|property| property.name.as_str().cmp(name)).ok()?;
            properties.get(place).map(|property| property.schema)
        })
    }

    /// The schema of members that `properties` does not name; none when no schema speaks of them.
    #[must_use]
    pub fn additional(&self, id: NodeId) -> Option<NodeId> {
        self.find(id, &|node| match node.object.as_ref()?.additional {
            Additional::Check(schema) => Some(schema),
            Additional::Deny | Additional::Unsaid => None,
        })
    }

    /// Whether a schema admits every value.
    #[must_use]
    pub fn is_unconstrained(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.types.is_none() && node.has_only_types())
    }

    /// Whether a schema admits every text and nothing else, as `{type: string, format: binary}` does.
    #[must_use]
    pub fn is_any_text(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.types == Some(Types::STRING) && node.has_only_types())
    }

    /// The first answer of a node and those that are applied with it.
    fn find(&self, id: NodeId, ask: &dyn Fn(&Node) -> Option<NodeId>) -> Option<NodeId> {
        let node = self.node(id)?;
        ask(node).or_else(|| node.in_place_nodes().into_iter().find_map(|inner| self.find(inner, ask)))
    }
}

impl Node {
    /// Whether nothing but `type` restricts values.
    const fn has_only_types(&self) -> bool {
        !self.never
            && self.values.is_none()
            && self.number.is_none()
            && self.string.is_none()
            && self.array.is_none()
            && self.object.is_none()
            && self.in_place.is_none()
            && !self.tracks()
    }
}
