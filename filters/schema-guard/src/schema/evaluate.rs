//! Applies a compiled schema to a value: every violation up to a bound, within a bounded number of steps.

use serde_json::{Map, Value};

use super::marks::Marks;
use super::number::Decimal;
use super::{Additional, ArrayRules, InPlace, Node, NodeId, NumberRules, ObjectRules, Schemas, StringRules, Types, order};

/// Violations that are listed; the client of a broken body learns enough from these.
pub(crate) const MAX_VIOLATIONS: usize = 20;

/// Steps per validation: one for each pair of schema and value, and what patterns cost. A body of 100,000 values
/// against a schema of ordinary form takes 200,000; recursive `anyOf` could take 2^32.
pub(crate) const MAX_STEPS: usize = 4_000_000;

/// Nested applications: the 32 levels that a body may have, each with a few levels of `$ref` and composition.
const MAX_NESTING: usize = 256;

/// One keyword that an instance does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer (RFC 6901) to the offending value, or to the member that is missing.
    pub pointer: String,
    /// The keyword, as in `maxLength`.
    pub rule: &'static str,
}

/// The result of a validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The instance meets the schema.
    Valid,
    /// It does not, for these reasons; the first 20 are listed.
    Invalid(Vec<Violation>),
    /// The bound on steps or nesting was reached without a verdict, which must be taken as a refusal.
    TooComplex,
}

impl Schemas {
    /// Validates `instance` against the schema `id`. At most [`MAX_STEPS`] steps.
    #[must_use]
    pub fn validate(&self, id: NodeId, instance: &Value) -> Outcome {
        let mut evaluation = Evaluation {
            schemas: self,
            steps_left: MAX_STEPS,
            exhausted: false,
            nesting: 0,
            quiet: false,
            at: Vec::new(),
            violations: Vec::new(),
        };
        let valid = evaluation.check(id, instance, &mut Marks::off());
        match (evaluation.exhausted, valid) {
            (true, _) => Outcome::TooComplex,
            (false, true) => Outcome::Valid,
            (false, false) => Outcome::Invalid(evaluation.violations),
        }
    }
}

/// One step of the way from the root of the instance.
#[derive(Clone, Copy)]
enum Token<'a> {
    Name(&'a str),
    Index(usize),
}

struct Evaluation<'a> {
    schemas: &'a Schemas,
    steps_left: usize,
    /// No verdict is possible any more. Outside of this module it overrides every result, also under `not`.
    exhausted: bool,
    nesting: usize,
    /// Only the verdict counts: the first violation ends the check and is not listed.
    quiet: bool,
    at: Vec<Token<'a>>,
    violations: Vec<Violation>,
}

impl<'a> Evaluation<'a> {
    fn check(&mut self, id: NodeId, instance: &'a Value, marks: &mut Marks) -> bool {
        if !self.spend(1) || self.nesting >= MAX_NESTING {
            self.exhausted = true;
            return false;
        }
        let schemas = self.schemas;
        let Some(node) = schemas.node(id) else {
            self.exhausted = true;
            return false;
        };
        self.nesting = self.nesting.saturating_add(1);
        let valid = if node.tracks() {
            // `unevaluated*` sees what this schema's own keywords have looked at, not those beside it.
            let mut own = Marks::of(instance);
            let valid = self.check_node(node, instance, &mut own);
            marks.merge(&own);
            valid
        } else {
            self.check_node(node, instance, marks)
        };
        self.nesting = self.nesting.saturating_sub(1);
        valid
    }

    fn check_node(&mut self, node: &'a Node, instance: &'a Value, marks: &mut Marks) -> bool {
        if node.never {
            return self.fail("false");
        }
        if node.types.is_some_and(|types| !types.overlaps(Types::of(instance))) {
            // What else is wrong with a value of another type says nothing.
            return self.fail("type");
        }
        let mut valid = true;
        if let Some((keyword, values)) = &node.values
            && values.binary_search_by(|value| order::compare(value, instance)).is_err()
        {
            valid = self.fail(keyword);
        }
        if self.may_stop(valid) {
            return false;
        }
        valid &= match instance {
            Value::Number(number) => {
                node.number.as_deref().is_none_or(|rules| self.number(rules, Decimal::new(number), instance))
            }
            Value::String(text) => node.string.as_deref().is_none_or(|rules| self.string(rules, text)),
            Value::Array(items) => node.array.as_deref().is_none_or(|rules| self.array(rules, items, marks)),
            Value::Object(members) => node.object.as_deref().is_none_or(|rules| self.object(rules, members, marks)),
            Value::Null | Value::Bool(_) => true,
        };
        if let (false, Some(rules)) = (self.may_stop(valid), &node.in_place) {
            valid &= self.in_place(rules, instance, marks);
        }
        // What a failed part did not get to is not unevaluated.
        valid && self.unevaluated(node, instance, marks)
    }

    fn number(&mut self, rules: &NumberRules, number: Option<Decimal>, instance: &Value) -> bool {
        let Some(number) = number else {
            return self.fail("type");
        };
        let below = |bound: &Option<Decimal>| bound.is_some_and(|bound| number.compare(&bound).is_lt());
        let above = |bound: &Option<Decimal>| bound.is_some_and(|bound| number.compare(&bound).is_gt());
        let at_most = |bound: &Option<Decimal>| bound.is_some_and(|bound| number.compare(&bound).is_le());
        let at_least = |bound: &Option<Decimal>| bound.is_some_and(|bound| number.compare(&bound).is_ge());
        let broken = [
            (below(&rules.minimum), "minimum"),
            (at_most(&rules.exclusive_minimum), "exclusiveMinimum"),
            (above(&rules.maximum), "maximum"),
            (at_least(&rules.exclusive_maximum), "exclusiveMaximum"),
            (rules.multiple_of.is_some_and(|divisor| !number.is_multiple_of(&divisor)), "multipleOf"),
            (rules.format.is_some_and(|format| !format.accepts_number(instance)), "format"),
        ];
        let mut valid = true;
        for (_, rule) in broken.iter().filter(|(broken, _)| *broken) {
            valid = self.fail(rule);
        }
        valid
    }

    fn string(&mut self, rules: &StringRules, text: &str) -> bool {
        let mut valid = true;
        // Code points, as JSON Schema counts; no need to count where the bytes decide.
        if let Some(max) = rules.max_length
            && text.len() > max
            && text.chars().nth(max).is_some()
        {
            // An overlong string is not worth a pattern's time.
            return self.fail("maxLength");
        }
        if let Some(last) = rules.min_length.checked_sub(1)
            && text.chars().nth(last).is_none()
        {
            valid = self.fail("minLength");
        }
        if let Some(pattern) = &rules.pattern {
            if !self.spend(pattern.cost(text)) {
                return false;
            }
            if !pattern.matches(text) {
                valid = self.fail("pattern");
            }
        }
        if let Some(format) = rules.format
            && !format.accepts(text)
        {
            valid = self.fail("format");
        }
        valid
    }

    fn array(&mut self, rules: &'a ArrayRules, items: &'a [Value], marks: &mut Marks) -> bool {
        if rules.max_items.is_some_and(|max| items.len() > max) {
            return self.fail("maxItems");
        }
        let mut valid = items.len() >= rules.min_items || self.fail("minItems");
        if rules.unique && (!self.spend(items.len().saturating_mul(4)) || order::has_duplicates(items)) {
            valid = self.fail("uniqueItems");
        }
        for (index, item) in items.iter().enumerate() {
            if self.may_stop(valid) {
                return false;
            }
            if let Some(schema) = rules.prefix.get(index).copied().or(rules.items) {
                valid &= self.child(Token::Index(index), schema, item);
                marks.mark(index);
            }
        }
        if let (false, Some(contains)) = (self.may_stop(valid), &rules.contains) {
            let mut found = 0_usize;
            for (index, item) in items.iter().enumerate() {
                if self.quietly(|this| this.check(contains.schema, item, &mut Marks::off())) {
                    marks.mark(index);
                    found = found.saturating_add(1);
                }
            }
            if found < contains.min {
                valid = self.fail(if contains.min == 1 { "contains" } else { "minContains" });
            }
            if contains.max.is_some_and(|max| found > max) {
                valid = self.fail("maxContains");
            }
        }
        valid
    }

    fn object(&mut self, rules: &'a ObjectRules, members: &'a Map<String, Value>, marks: &mut Marks) -> bool {
        if rules.max_properties.is_some_and(|max| members.len() > max) {
            return self.fail("maxProperties");
        }
        let mut valid = members.len() >= rules.min_properties || self.fail("minProperties");
        if !self.spend(rules.required.len().saturating_add(rules.dependent_required.len())) {
            return false;
        }
        for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
            valid = self.fail_at(Token::Name(name), "required");
        }
        for (name, needed) in &rules.dependent_required {
            if members.contains_key(name) && !needed.iter().all(|other| members.contains_key(other)) {
                valid = self.fail_at(Token::Name(name), "dependentRequired");
            }
        }
        if !rules.properties.is_empty() || !rules.patterns.is_empty() {
            marks.note_properties();
        }
        for (position, (name, value)) in members.iter().enumerate() {
            if self.may_stop(valid) {
                return false;
            }
            valid &= self.member(rules, position, name, value, marks);
        }
        valid
    }

    fn member(
        &mut self,
        rules: &'a ObjectRules,
        position: usize,
        name: &'a str,
        value: &'a Value,
        marks: &mut Marks,
    ) -> bool {
        let (mut valid, mut named) = (true, false);
        let place = rules.properties.binary_search_by(|property| property.name.as_str().cmp(name));
        if let Some(property) = place.ok().and_then(|place| rules.properties.get(place)) {
            named = true;
            valid &= if property.read_only {
                self.fail_at(Token::Name(name), "readOnly")
            } else {
                self.child(Token::Name(name), property.schema, value)
            };
        }
        for (pattern, schema) in &rules.patterns {
            if !self.spend(pattern.cost(name)) {
                return false;
            }
            if pattern.matches(name) {
                named = true;
                valid &= self.child(Token::Name(name), *schema, value);
            }
        }
        match rules.additional {
            Additional::Unsaid => {}
            Additional::Deny if !named => valid = self.fail_at(Token::Name(name), "additionalProperties"),
            Additional::Check(schema) if !named => {
                named = true;
                valid &= self.child(Token::Name(name), schema, value);
            }
            Additional::Deny | Additional::Check(_) => {}
        }
        if named {
            marks.mark(position);
        }
        if let Some(names) = rules.names
            && !self.name_is_valid(names, name)
        {
            valid = self.fail_at(Token::Name(name), "propertyNames");
        }
        valid
    }

    /// `propertyNames` sees the name as a string, which lives only here.
    fn name_is_valid(&mut self, schema: NodeId, name: &str) -> bool {
        let instance = Value::String(name.to_owned());
        let mut inner = Evaluation {
            schemas: self.schemas,
            steps_left: self.steps_left,
            exhausted: false,
            nesting: self.nesting,
            quiet: true,
            at: Vec::new(),
            violations: Vec::new(),
        };
        let valid = inner.check(schema, &instance, &mut Marks::off());
        self.steps_left = inner.steps_left;
        self.exhausted |= inner.exhausted;
        valid
    }

    fn in_place(&mut self, rules: &'a InPlace, instance: &'a Value, marks: &mut Marks) -> bool {
        let mut valid = true;
        for schema in rules.reference.iter().chain(&rules.all_of) {
            valid &= self.check(*schema, instance, marks);
            if self.may_stop(valid) {
                return false;
            }
        }
        if !rules.any_of.is_empty() && !self.any_of(&rules.any_of, instance, marks) {
            valid = self.fail("anyOf");
        }
        if !rules.one_of.is_empty() && !self.may_stop(valid) {
            valid &= self.one_of(rules, instance, marks);
        }
        if let Some(schema) = rules.not
            && self.quietly(|this| this.check(schema, instance, &mut Marks::off()))
        {
            valid = self.fail("not");
        }
        if let (false, Some(condition)) = (self.may_stop(valid), &rules.condition) {
            let mut seen = marks.fresh();
            let chosen = if self.quietly(|this| this.check(condition.test, instance, &mut seen)) {
                marks.merge(&seen);
                condition.then
            } else {
                condition.otherwise
            };
            valid &= chosen.is_none_or(|schema| self.check(schema, instance, marks));
        }
        for (name, schema) in &rules.dependent_schemas {
            if !self.may_stop(valid) && instance.get(name).is_some() {
                valid &= self.check(*schema, instance, marks);
            }
        }
        valid
    }

    fn any_of(&mut self, branches: &[NodeId], instance: &'a Value, marks: &mut Marks) -> bool {
        let mut valid = false;
        for schema in branches {
            let mut seen = marks.fresh();
            if self.quietly(|this| this.check(*schema, instance, &mut seen)) {
                marks.merge(&seen);
                valid = true;
                // Only who asks for marks needs to know about further matches.
                if !marks.is_on() {
                    break;
                }
            }
        }
        valid
    }

    fn one_of(&mut self, rules: &'a InPlace, instance: &'a Value, marks: &mut Marks) -> bool {
        let mut matching = None;
        for branch in &rules.one_of {
            if self.quietly(|this| this.check(branch.test, instance, &mut Marks::off())) {
                if matching.is_some() {
                    return self.fail("oneOf");
                }
                matching = Some(branch);
            }
        }
        match matching {
            None => self.fail("oneOf"),
            Some(branch) if branch.strict == branch.test && !marks.is_on() => true,
            Some(branch) => self.check(branch.strict, instance, marks),
        }
    }

    fn unevaluated(&mut self, node: &'a Node, instance: &'a Value, marks: &mut Marks) -> bool {
        let mut valid = true;
        match instance {
            Value::Array(items) => {
                let Some(schema) = node.unevaluated_items else {
                    return true;
                };
                for (index, item) in items.iter().enumerate().filter(|(index, _)| !marks.has(*index)) {
                    if !self.may_stop(valid) && !self.quietly(|this| this.child(Token::Index(index), schema, item)) {
                        valid = self.fail_at(Token::Index(index), "unevaluatedItems");
                    }
                }
            }
            Value::Object(members) => {
                let unseen = || members.iter().enumerate();
                if let Some(schema) = node.unevaluated_properties {
                    for (_, (name, value)) in unseen().filter(|(position, _)| !marks.has(*position)) {
                        if !self.may_stop(valid) && !self.quietly(|this| this.child(Token::Name(name), schema, value)) {
                            valid = self.fail_at(Token::Name(name), "unevaluatedProperties");
                        }
                    }
                } else if node.closed && marks.names_properties() {
                    for (_, (name, _)) in unseen().filter(|(position, _)| !marks.has(*position)) {
                        if !self.may_stop(valid) {
                            valid = self.fail_at(Token::Name(name), "additionalProperties");
                        }
                    }
                } else {
                    return true;
                }
            }
            _ => return true,
        }
        if node.unevaluated_items.is_some() || node.unevaluated_properties.is_some() {
            marks.mark_all();
        }
        valid
    }

    fn child(&mut self, token: Token<'a>, schema: NodeId, instance: &'a Value) -> bool {
        self.at.push(token);
        let valid = self.check(schema, instance, &mut Marks::off());
        self.at.pop();
        valid
    }

    fn quietly(&mut self, check: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = std::mem::replace(&mut self.quiet, true);
        let valid = check(self);
        self.quiet = before;
        valid
    }

    /// Takes steps from the budget; false when there are none left.
    fn spend(&mut self, steps: usize) -> bool {
        match self.steps_left.checked_sub(steps) {
            Some(left) => self.steps_left = left,
            None => self.exhausted = true,
        }
        !self.exhausted
    }

    /// Whether nothing that is still to be checked could change the answer.
    const fn may_stop(&self, valid: bool) -> bool {
        self.exhausted || (!valid && (self.quiet || self.violations.len() >= MAX_VIOLATIONS))
    }

    fn fail(&mut self, rule: &'static str) -> bool {
        if !self.quiet && self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { pointer: pointer(&self.at), rule });
        }
        false
    }

    fn fail_at(&mut self, token: Token<'a>, rule: &'static str) -> bool {
        self.at.push(token);
        self.fail(rule);
        self.at.pop();
        false
    }
}

fn pointer(tokens: &[Token<'_>]) -> String {
    let mut text = String::new();
    for token in tokens {
        text.push('/');
        match token {
            Token::Name(name) => text.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Token::Index(index) => text.push_str(&index.to_string()),
        }
    }
    text
}
