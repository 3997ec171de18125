//! The keywords of one type each.

use portcullis_core::ConfigError;
use serde_json::Value;

use super::super::format::Format;
use super::super::number::{self, Decimal};
use super::super::{
    Additional, ArrayRules, Contains, NumberRules, ObjectRules, Property, StringRules, order,
};
use super::{Compiler, MAX_HOPS, Role};
use crate::document::{Located, Version};

/// `enum` and `const`.
pub(super) fn values(at: &Located<'_>) -> Result<Option<(&'static str, Vec<Value>)>, ConfigError> {
    let listed = match at.member("enum") {
        Some(list) => {
            let mut values: Vec<Value> = list.items()?.map(|item| item.value.clone()).collect();
            values.sort_by(order::compare);
            Some(values)
        }
        None => None,
    };
    Ok(match (at.member("const"), listed) {
        (None, listed) => listed.map(|values| ("enum", values)),
        (Some(one), listed) => {
            let possible = listed
                .is_none_or(|values| values.iter().any(|value| order::compare(value, one.value).is_eq()));
            Some(("const", if possible { vec![one.value.clone()] } else { Vec::new() }))
        }
    })
}

/// The keywords for numbers. In OpenAPI 3.0 `exclusiveMinimum: true` changes the meaning of `minimum`.
pub(super) fn number(at: &Located<'_>, version: Version) -> Result<Option<NumberRules>, ConfigError> {
    let mut rules = NumberRules {
        minimum: decimal(at, "minimum")?,
        maximum: decimal(at, "maximum")?,
        multiple_of: decimal(at, "multipleOf")?,
        format: format(at)?.filter(|format| format.is_for_numbers()),
        ..NumberRules::default()
    };
    if rules.multiple_of.is_some_and(|divisor| !divisor.is_positive()) {
        return Err(at.error("expected `multipleOf` to be more than 0"));
    }
    (rules.minimum, rules.exclusive_minimum) = exclusive(at, "exclusiveMinimum", rules.minimum, version)?;
    (rules.maximum, rules.exclusive_maximum) = exclusive(at, "exclusiveMaximum", rules.maximum, version)?;
    let used = rules.minimum.is_some()
        || rules.exclusive_minimum.is_some()
        || rules.maximum.is_some()
        || rules.exclusive_maximum.is_some()
        || rules.multiple_of.is_some()
        || rules.format.is_some();
    Ok(used.then_some(rules))
}

/// The inclusive and the exclusive bound.
fn exclusive(
    at: &Located<'_>,
    keyword: &str,
    inclusive: Option<Decimal>,
    version: Version,
) -> Result<(Option<Decimal>, Option<Decimal>), ConfigError> {
    match at.member(keyword).map(|member| (member.value, member)) {
        Some((Value::Bool(true), _)) if version == Version::V30 => Ok((None, inclusive)),
        Some((Value::Bool(false), _)) if version == Version::V30 => Ok((inclusive, None)),
        _ => Ok((inclusive, decimal(at, keyword)?)),
    }
}

fn decimal(at: &Located<'_>, keyword: &str) -> Result<Option<Decimal>, ConfigError> {
    let Some(member) = at.member(keyword) else {
        return Ok(None);
    };
    let decimal = member.value.as_number().and_then(Decimal::new);
    decimal.map(Some).ok_or_else(|| member.expected("a number"))
}

fn format(at: &Located<'_>) -> Result<Option<Format>, ConfigError> {
    Ok(match at.member("format") {
        Some(member) => Format::named(member.text()?),
        None => None,
    })
}

/// A length or count. Envoy hands numbers of a `Struct` on as doubles, so `5.0` is 5.
fn count(at: &Located<'_>, keyword: &str) -> Result<Option<usize>, ConfigError> {
    let Some(member) = at.member(keyword) else {
        return Ok(None);
    };
    let whole = member.value.as_number().filter(|number| number::is_integer(number));
    // A count beyond 64 bits never limits anything.
    let count = whole.and_then(|number| match number.as_u64() {
        Some(count) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
        None => {
            number.as_f64().filter(|float| *float >= 0.0).and_then(|float| format!("{float}").parse().ok())
        }
    });
    count.map(Some).ok_or_else(|| member.expected("a whole number from 0"))
}

fn names(at: &Located<'_>) -> Result<Vec<String>, ConfigError> {
    at.items()?.map(|item| item.text().map(str::to_owned)).collect()
}

impl<'d> Compiler<'d> {
    pub(super) fn string(&mut self, at: &Located<'d>) -> Result<Option<StringRules>, ConfigError> {
        let pattern = match at.member("pattern") {
            Some(member) => Some(self.pattern(&member, member.text()?)?),
            None => None,
        };
        let rules = StringRules {
            min_length: count(at, "minLength")?.unwrap_or(0),
            max_length: count(at, "maxLength")?,
            pattern,
            format: format(at)?.filter(|format| !format.is_for_numbers()),
        };
        let used = rules.min_length > 0
            || rules.max_length.is_some()
            || rules.pattern.is_some()
            || rules.format.is_some();
        Ok(used.then_some(rules))
    }

    pub(super) fn array(&mut self, at: &Located<'d>, role: Role) -> Result<Option<ArrayRules>, ConfigError> {
        if let Some(items) = at.member("items").filter(|items| items.value.is_array()) {
            return Err(items.expected("a schema (a list of schemas is `prefixItems`)"));
        }
        let unique = match at.member("uniqueItems") {
            Some(flag) => flag.flag()?,
            None => false,
        };
        let value_role = if role == Role::Test { Role::Test } else { Role::Value };
        let (min_contains, max_contains) = (count(at, "minContains")?, count(at, "maxContains")?);
        let contains = self.optional(at, "contains", Role::Test, role)?;
        let rules = ArrayRules {
            min_items: count(at, "minItems")?.unwrap_or(0),
            max_items: count(at, "maxItems")?,
            unique,
            prefix: self.list(at, "prefixItems", value_role)?,
            items: self.optional(at, "items", Role::Value, role)?,
            contains: contains.map(|schema| Contains {
                schema,
                min: min_contains.unwrap_or(1),
                max: max_contains,
            }),
        };
        let used = rules.min_items > 0
            || rules.max_items.is_some()
            || rules.unique
            || !rules.prefix.is_empty()
            || rules.items.is_some()
            || rules.contains.is_some();
        Ok(used.then_some(rules))
    }

    pub(super) fn object(
        &mut self,
        at: &Located<'d>,
        role: Role,
    ) -> Result<Option<ObjectRules>, ConfigError> {
        let value_role = if role == Role::Test { Role::Test } else { Role::Value };
        let mut rules = ObjectRules {
            min_properties: count(at, "minProperties")?.unwrap_or(0),
            max_properties: count(at, "maxProperties")?,
            names: self.optional(at, "propertyNames", Role::Test, role)?,
            additional: match at.member("additionalProperties") {
                None => Additional::Unsaid,
                Some(member) if member.value == &Value::Bool(false) => Additional::Deny,
                Some(member) => Additional::Check(self.node(&member, value_role)?),
            },
            ..ObjectRules::default()
        };
        if let Some(required) = at.member("required") {
            rules.required = names(&required)?;
        }
        if let Some(properties) = at.member("properties") {
            // Members come sorted by name from `serde_json`.
            for (name, member) in properties.members()? {
                let is_read_only = self.is_read_only(&member, MAX_HOPS);
                if is_read_only {
                    // OpenAPI 3.0.3: `required` then means the response only.
                    rules.required.retain(|required| required != name);
                }
                let read_only = is_read_only && role != Role::Test;
                let schema = self.node(&member, value_role)?;
                rules.properties.push(Property { name: name.to_owned(), schema, read_only });
            }
        }
        if let Some(patterns) = at.member("patternProperties") {
            for (pattern, member) in patterns.members()? {
                let pattern = self.pattern(&member, pattern)?;
                rules.patterns.push((pattern, self.node(&member, value_role)?));
            }
        }
        if let Some(dependent) = at.member("dependentRequired") {
            for (name, member) in dependent.members()? {
                rules.dependent_required.push((name.to_owned(), names(&member)?));
            }
        }
        let used = rules.min_properties > 0
            || rules.max_properties.is_some()
            || rules.names.is_some()
            || !matches!(rules.additional, Additional::Unsaid)
            || !rules.required.is_empty()
            || !rules.properties.is_empty()
            || !rules.patterns.is_empty()
            || !rules.dependent_required.is_empty();
        Ok(used.then_some(rules))
    }
}
