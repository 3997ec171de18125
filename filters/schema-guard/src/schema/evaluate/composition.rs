//! Schemas that apply to the same value, and what none of them has looked at.

use serde_json::Value;

use super::super::marks::Marks;
use super::super::{InPlace, Node, NodeId};
use super::{Evaluation, Token};

impl<'a> Evaluation<'a> {
    pub(super) fn in_place(&mut self, rules: &'a InPlace, instance: &'a Value, marks: &mut Marks) -> bool {
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

    pub(super) fn unevaluated(&mut self, node: &'a Node, instance: &'a Value, marks: &mut Marks) -> bool {
        let mut valid = true;
        match instance {
            Value::Array(items) => {
                let Some(schema) = node.unevaluated_items else {
                    return true;
                };
                for (index, item) in items.iter().enumerate().filter(|(index, _)| !marks.has(*index)) {
                    if !self.may_stop(valid)
                        && !self.quietly(|this| this.child(Token::Index(index), schema, item))
                    {
                        valid = self.fail_at(Token::Index(index), "unevaluatedItems");
                    }
                }
            }
            Value::Object(members) => {
                let unseen = || members.iter().enumerate();
                if let Some(schema) = node.unevaluated_properties {
                    for (_, (name, value)) in unseen().filter(|(position, _)| !marks.has(*position)) {
                        if !self.may_stop(valid)
                            && !self.quietly(|this| this.child(Token::Name(name), schema, value))
                        {
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
}
