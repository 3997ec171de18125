//! From schema objects of the document to nodes. Everything that can be wrong with a schema is found here.

mod composition;
mod keyword;

use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_core::ConfigError;
use serde_json::Value;

use super::keywords::{self, ANNOTATIONS, ENFORCED};
use super::pattern::Pattern;
use super::{Additional, Branch, Condition, InPlace, Node, NodeId, Schemas, Types};
use crate::document::{Document, Located, Version};

/// Nodes of one document. One has about 200 bytes; large public documents need 20,000.
const MAX_NODES: usize = 100_000;

/// How far a `readOnly` is looked for behind `$ref` and `allOf`.
const MAX_HOPS: usize = 16;

/// Compiles schemas of one document, each place once per role.
pub struct Compiler<'d> {
    document: &'d Document,
    /// Whether members that a schema does not name are refused.
    close: bool,
    schemas: Schemas,
    by_place: BTreeMap<(String, Role), NodeId>,
    /// Targets of `$ref` that have a number but no node yet. A queue, so that chains of references do not recurse.
    queue: Vec<(NodeId, Located<'d>, Role)>,
    patterns: BTreeMap<String, Rc<Pattern>>,
    /// The place of each node.
    places: Vec<String>,
    /// How many nodes deep the composition below a node is; none for one that is not checked yet.
    heights: Vec<Option<usize>>,
    warnings: Vec<String>,
}

/// What a schema is used for. One place of the document may be used in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// It describes a whole value, so a member that it does not name is unknown.
    Value,
    /// A part of a composition: members may be named by the other parts.
    Part,
    /// Only a question (`not`, `if`, `contains`, the choice of `oneOf`): applied exactly as the document has it, since
    /// strictness here would make other values valid.
    Test,
}

impl<'d> Compiler<'d> {
    /// For the schemas of requests. `close` refuses members that no schema names.
    #[must_use]
    pub fn new(document: &'d Document, close: bool) -> Self {
        Self {
            document,
            close,
            schemas: Schemas::default(),
            by_place: BTreeMap::new(),
            queue: Vec::new(),
            patterns: BTreeMap::new(),
            places: Vec::new(),
            heights: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Compiles a schema with everything that it refers to.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of an unknown keyword, of a wrong value, of a reference that leads nowhere, out of
    /// the document or to itself, or of a pattern that has no linear-time form.
    pub fn schema(&mut self, at: &Located<'d>) -> Result<NodeId, ConfigError> {
        let first = self.schemas.nodes.len();
        let id = self.node(at, Role::Value)?;
        while let Some((id, at, role)) = self.queue.pop() {
            let node = self.build(&at, role)?;
            self.put(id, node);
        }
        self.check_composition(first)?;
        Ok(id)
    }

    /// The compiled schemas, for questions while compiling.
    #[must_use]
    pub const fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// All compiled schemas, and what the operator should know about them.
    #[must_use]
    pub fn finish(self) -> (Schemas, Vec<String>) {
        (self.schemas, self.warnings)
    }

    fn node(&mut self, at: &Located<'d>, role: Role) -> Result<NodeId, ConfigError> {
        // A reference with nothing of weight beside it is its target.
        if let Some(reference) = at.member("$ref")
            && at.object()?.keys().all(|name| name == "$ref" || keywords::is_passive(name))
        {
            return self.reference(&reference, role);
        }
        let id = self.reserve(at)?;
        let node = self.build(at, role)?;
        self.put(id, node);
        Ok(id)
    }

    fn reference(&mut self, reference: &Located<'d>, role: Role) -> Result<NodeId, ConfigError> {
        let target = self.document.target(reference)?;
        let key = (target.pointer.clone(), role);
        if let Some(id) = self.by_place.get(&key) {
            return Ok(*id);
        }
        let id = self.reserve(&target)?;
        self.by_place.insert(key, id);
        self.queue.push((id, target, role));
        Ok(id)
    }

    fn reserve(&mut self, at: &Located<'d>) -> Result<NodeId, ConfigError> {
        let id = NodeId(self.schemas.nodes.len());
        if id.0 >= MAX_NODES {
            return Err(at.error(format!("expected at most {MAX_NODES} schemas, found more")));
        }
        // Never looked at in this state; if it were, it would refuse.
        self.schemas.nodes.push(Node { never: true, ..Node::default() });
        self.places.push(at.pointer.clone());
        Ok(id)
    }

    fn put(&mut self, id: NodeId, node: Node) {
        if let Some(place) = self.schemas.nodes.get_mut(id.0) {
            *place = node;
        }
    }

    fn build(&mut self, at: &Located<'d>, role: Role) -> Result<Node, ConfigError> {
        match at.value {
            Value::Bool(accept) => return Ok(Node { never: !accept, ..Node::default() }),
            Value::Object(_) => {}
            _ => return Err(at.expected("a schema")),
        }
        self.check_keywords(at)?;
        let mut node = Node {
            types: self.types(at)?,
            values: keyword::values(at)?,
            number: keyword::number(at, self.document.version())?.map(Box::new),
            string: self.string(at)?.map(Box::new),
            array: self.array(at, role)?.map(Box::new),
            object: self.object(at, role)?.map(Box::new),
            in_place: self.in_place(at, role)?.map(Box::new),
            unevaluated_items: self.optional(at, "unevaluatedItems", Role::Value, role)?,
            unevaluated_properties: self.optional(at, "unevaluatedProperties", Role::Value, role)?,
            ..Node::default()
        };
        if self.close && role == Role::Value {
            close(at, &mut node)?;
        }
        Ok(node)
    }

    fn check_keywords(&mut self, at: &Located<'d>) -> Result<(), ConfigError> {
        for (name, member) in at.members()? {
            if name.starts_with("x-") || ANNOTATIONS.contains(&name) {
                continue;
            }
            if !ENFORCED.contains(&name) {
                return Err(member.error(format!("expected a supported schema keyword, found `{name}`")));
            }
            match name {
                "$schema" if !keywords::is_known_dialect(member.text()?) => {
                    return Err(member.expected("the dialect of JSON Schema 2020-12 or OpenAPI 3.1"));
                }
                "nullable" if member.flag()? && self.document.version() == Version::V31 => {
                    let place = &member.pointer;
                    self.warnings.push(format!(
                        "document#{place}: `nullable` has no effect in OpenAPI 3.1, null is refused: write `type: [..., \"null\"]`"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn types(&self, at: &Located<'d>) -> Result<Option<Types>, ConfigError> {
        let Some(member) = at.member("type") else {
            return Ok(None);
        };
        let named =
            |at: &Located<'_>| Types::named(at.text()?).ok_or_else(|| at.expected("a type of JSON Schema"));
        let mut types = match member.value {
            Value::Array(_) => {
                let mut types = Types::NONE;
                for item in member.items()? {
                    types = types.union(named(&item)?);
                }
                types
            }
            _ => named(&member)?,
        };
        // OpenAPI 3.0.3: `nullable` adds null to an explicit `type`, and to nothing else.
        if self.document.version() == Version::V30
            && at.member("nullable").is_some_and(|m| m.value == &Value::Bool(true))
        {
            types = types.union(Types::NULL);
        }
        Ok(Some(types))
    }

    fn in_place(&mut self, at: &Located<'d>, role: Role) -> Result<Option<InPlace>, ConfigError> {
        let mut rules = InPlace::default();
        let part = if role == Role::Test { Role::Test } else { Role::Part };
        if let Some(reference) = at.member("$ref") {
            let alone = at.object()?.keys().all(|name| name == "$ref" || keywords::is_passive(name));
            rules.reference = Some(self.reference(&reference, if alone { role } else { part })?);
        }
        rules.all_of = self.list(at, "allOf", part)?;
        rules.any_of = self.list(at, "anyOf", part)?;
        if let Some(branches) = at.member("oneOf") {
            for branch in branches.items()? {
                let test = self.node(&branch, Role::Test)?;
                let strict = if part == Role::Test { test } else { self.node(&branch, part)? };
                rules.one_of.push(Branch { test, strict });
            }
        }
        rules.not = self.optional(at, "not", Role::Test, role)?;
        if let Some(test) = self.optional(at, "if", Role::Test, role)? {
            let then = self.optional(at, "then", part, role)?;
            let otherwise = self.optional(at, "else", part, role)?;
            rules.condition = Some(Condition { test, then, otherwise });
        }
        if let Some(dependent) = at.member("dependentSchemas") {
            for (name, schema) in dependent.members()? {
                rules.dependent_schemas.push((name.to_owned(), self.node(&schema, part)?));
            }
        }
        let used = rules.reference.is_some()
            || !(rules.all_of.is_empty() && rules.any_of.is_empty() && rules.one_of.is_empty())
            || rules.not.is_some()
            || rules.condition.is_some()
            || !rules.dependent_schemas.is_empty();
        Ok(used.then_some(rules))
    }

    /// A subschema under a keyword, in `wanted` role unless the whole is only a test.
    fn optional(
        &mut self,
        at: &Located<'d>,
        keyword: &str,
        wanted: Role,
        role: Role,
    ) -> Result<Option<NodeId>, ConfigError> {
        let wanted = if role == Role::Test { Role::Test } else { wanted };
        at.member(keyword).map(|schema| self.node(&schema, wanted)).transpose()
    }

    fn list(&mut self, at: &Located<'d>, keyword: &str, role: Role) -> Result<Vec<NodeId>, ConfigError> {
        let Some(list) = at.member(keyword) else {
            return Ok(Vec::new());
        };
        list.items()?.map(|schema| self.node(&schema, role)).collect()
    }

    fn pattern(&mut self, at: &Located<'d>, pattern: &str) -> Result<Rc<Pattern>, ConfigError> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(Rc::clone(known));
        }
        let compiled = Rc::new(Pattern::new(pattern).map_err(|problem| at.error(problem))?);
        self.patterns.insert(pattern.to_owned(), Rc::clone(&compiled));
        Ok(compiled)
    }

    /// Whether a property is `readOnly`, itself or by what it refers to.
    fn is_read_only(&self, at: &Located<'d>, hops: usize) -> bool {
        let Some(hops) = hops.checked_sub(1) else {
            return false;
        };
        at.member("readOnly").is_some_and(|flag| flag.value == &Value::Bool(true))
            || at
                .member("$ref")
                .and_then(|reference| self.document.target(&reference).ok())
                .is_some_and(|target| self.is_read_only(&target, hops))
            || at
                .member("allOf")
                .and_then(|parts| parts.items().ok())
                .is_some_and(|mut parts| parts.any(|part| self.is_read_only(&part, hops)))
    }
}

/// Makes a schema refuse members that it does not name, if it names any and does not say so itself.
fn close(at: &Located<'_>, node: &mut Node) -> Result<(), ConfigError> {
    let object = at.object()?;
    if object.contains_key("additionalProperties") || object.contains_key("unevaluatedProperties") {
        return Ok(());
    }
    let is_alias =
        object.contains_key("$ref") && object.keys().all(|name| name == "$ref" || keywords::is_passive(name));
    if node.in_place.is_some() {
        // Only at run time it is known which parts of the composition applied.
        node.closed = !is_alias;
    } else if let Some(rules) = &mut node.object
        && !(rules.properties.is_empty() && rules.patterns.is_empty())
    {
        rules.additional = Additional::Deny;
    }
    Ok(())
}
