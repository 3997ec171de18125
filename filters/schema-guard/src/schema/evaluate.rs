//! Applies a compiled schema to a value: every violation up to a bound, within a bounded number of steps.

mod composition;
mod typed;

use serde_json::Value;

use super::marks::Marks;
use super::number::Decimal;
use super::{Node, NodeId, Schemas, Types, order};

/// Violations that are listed; the client of a broken body learns enough from these.
pub(crate) const MAX_VIOLATIONS: usize = 20;

/// Steps of a validation: one for each pair of schema and value, and what patterns cost. A value of a few bytes may
/// take this many ...
const BASE_STEPS: usize = 50_000;

/// ... and for each byte of its text these are added. An ordinary schema takes 1 or less a byte.
const STEPS_PER_BYTE: usize = 40;

/// The most that any value may take: without bounds, recursive `anyOf` could take 2^32.
const MAX_STEPS: usize = 4_000_000;

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
    /// Validates `instance`, whose text had `len` bytes, against the schema `id`. The work is bounded by `len`.
    #[must_use]
    pub fn validate(&self, id: NodeId, instance: &Value, len: usize) -> Outcome {
        let steps = len.saturating_mul(STEPS_PER_BYTE).saturating_add(BASE_STEPS);
        let mut evaluation = Evaluation {
            schemas: self,
            steps_left: steps.min(MAX_STEPS),
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
            Value::Object(members) => {
                node.object.as_deref().is_none_or(|rules| self.object(rules, members, marks))
            }
            Value::Null | Value::Bool(_) => true,
        };
        if let (false, Some(rules)) = (self.may_stop(valid), &node.in_place) {
            valid &= self.in_place(rules, instance, marks);
        }
        // What a failed part did not get to is not unevaluated.
        valid && self.unevaluated(node, instance, marks)
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
