//! The keywords of one type each.

use serde_json::{Map, Value};

use super::super::marks::Marks;
use super::super::number::Decimal;
use super::super::{Additional, ArrayRules, NodeId, NumberRules, ObjectRules, StringRules, order};
use super::{Evaluation, Token};

impl<'a> Evaluation<'a> {
    pub(super) fn number(&mut self, rules: &NumberRules, number: Option<Decimal>, instance: &Value) -> bool {
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

    pub(super) fn string(&mut self, rules: &StringRules, text: &str) -> bool {
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

    pub(super) fn array(&mut self, rules: &'a ArrayRules, items: &'a [Value], marks: &mut Marks) -> bool {
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

    pub(super) fn object(
        &mut self,
        rules: &'a ObjectRules,
        members: &'a Map<String, Value>,
        marks: &mut Marks,
    ) -> bool {
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
}
