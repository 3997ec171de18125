//! How many tokens a request costs.

use portcullis_core::{ConfigError, Request};

use crate::config::Cost;
use crate::key::{Facts, check_property, field_name};

/// A cost, checked.
#[derive(Debug)]
pub struct CostRule(Cost);

/// More than any bucket holds: a request costs a full bucket at most.
const ALL: u32 = u32::MAX;

impl CostRule {
    /// Checks a cost; none costs one token.
    ///
    /// # Errors
    /// For no tokens, no bytes, and what is no name.
    pub fn new(config: Option<Cost>) -> Result<Self, ConfigError> {
        let at = |member: &str, problem: String| ConfigError::new(member, problem);
        let Some(cost) = config else {
            return Ok(Self(Cost::Fixed(crate::config::Count(1))));
        };
        match cost {
            Cost::Fixed(count) if count.0 == 0 => Err(at(
                "fixed",
                "expected 1 to 1000000000, found 0; `exempt` lists what costs nothing".to_owned(),
            )),
            Cost::Body(size) if size.get() == 0 => {
                Err(at("body", "expected at least `1B`, found `0B`".to_owned()))
            }
            Cost::Header(name) => field_name(&name)
                .map(|name| Self(Cost::Header(name)))
                .map_err(|problem| at("header", problem)),
            Cost::Property(path) => match check_property(&path) {
                Ok(()) => Ok(Self(Cost::Property(path))),
                Err(problem) => Err(at("property", problem)),
            },
            cost => Ok(Self(cost)),
        }
    }

    /// Whether a request's header fields make a difference to it.
    #[must_use]
    pub const fn reads_requests(&self) -> bool {
        matches!(self.0, Cost::Header(_) | Cost::Body(_))
    }

    /// The property that it reads.
    #[must_use]
    pub fn property(&self) -> Option<&[String]> {
        match &self.0 {
            Cost::Property(path) => Some(path),
            Cost::Fixed(_) | Cost::Header(_) | Cost::Body(_) => None,
        }
    }

    /// The tokens for a request. What can't be read costs as much as can be.
    #[must_use]
    pub fn of(&self, facts: &Facts<'_>) -> u32 {
        match &self.0 {
            Cost::Fixed(count) => count.0,
            Cost::Header(name) => match facts.request.headers().single(name.as_bytes()) {
                Ok(None) => 1,
                Ok(Some(value)) => number(value),
                Err(_) => ALL,
            },
            Cost::Body(size) => {
                let bytes = body_length(facts.request);
                let units =
                    bytes.map(|bytes| bytes.div_ceil(u64::try_from(size.get()).unwrap_or(u64::MAX).max(1)));
                units.and_then(|units| u32::try_from(units).ok()).unwrap_or(ALL)
            }
            Cost::Property(path) => facts.property(path).map_or(1, number),
        }
    }
}

/// A whole number, or all there is.
fn number(digits: &[u8]) -> u32 {
    let digits = digits.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return ALL;
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(ALL)
}

/// The length of the body, which the proxy holds the client to; none for one that is not declared.
fn body_length(request: &Request) -> Option<u64> {
    if request.end_of_stream() {
        return Some(0);
    }
    let digits = request.headers().single(b"content-length").ok()??;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use portcullis_core::config::ByteSize;

    use super::*;
    use crate::config::Count;
    use crate::key::Property;

    fn cost(cost: Cost, fields: &[(&str, &str)], end_of_stream: bool) -> u32 {
        let request = Request::new(fields.iter().copied().collect(), end_of_stream);
        let properties = [Property { path: vec!["cost".to_owned()], value: Some(b"7".to_vec()) }];
        let facts =
            Facts { request: &request, address: None, identity: None, body: None, properties: &properties };
        CostRule::new(Some(cost)).unwrap().of(&facts)
    }

    #[test]
    fn a_request_costs_what_is_said() {
        let header = || Cost::Header("X-Batch".to_owned());
        let body = || Cost::Body(ByteSize::new(1024));
        for (name, rule, fields, end_of_stream, expected) in [
            ("fixed", Cost::Fixed(Count(50)), &[][..], true, 50),
            ("a header field", header(), &[("x-batch", " 12 ")], true, 12),
            ("no header field", header(), &[], true, 1),
            ("not a number", header(), &[("x-batch", "-1")], true, ALL),
            ("too large a number", header(), &[("x-batch", "99999999999999999999")], true, ALL),
            ("two header fields", header(), &[("x-batch", "1"), ("x-batch", "1")], true, ALL),
            ("no body", body(), &[("content-length", "999999")], true, 0),
            ("a byte", body(), &[("content-length", "1")], false, 1),
            ("a whole unit", body(), &[("content-length", "1024")], false, 1),
            ("a byte more", body(), &[("content-length", "1025")], false, 2),
            ("of unknown length", body(), &[], false, ALL),
            ("a property", Cost::Property(vec!["cost".to_owned()]), &[], true, 7),
            ("no property", Cost::Property(vec!["other".to_owned()]), &[], true, 1),
        ] {
            assert_eq!(cost(rule, fields, end_of_stream), expected, "{name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (cost, expected) in [
            (
                Cost::Fixed(Count(0)),
                "fixed: expected 1 to 1000000000, found 0; `exempt` lists what costs nothing",
            ),
            (Cost::Body(ByteSize::new(0)), "body: expected at least `1B`, found `0B`"),
            (
                Cost::Header(":path".to_owned()),
                "header: expected a header field name such as `x-api-key`, found `:path`",
            ),
            (
                Cost::Property(vec![]),
                "property: expected the names of an attribute's path as in `[connection, requested_server_name]`",
            ),
        ] {
            assert_eq!(CostRule::new(Some(cost)).unwrap_err().to_string(), expected);
        }
    }
}
