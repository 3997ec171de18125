//! How large a request may be.

use std::fmt::Display;

use portcullis_core::config::ByteSize;
use portcullis_core::headers::Headers;
use portcullis_core::{ConfigError, Denial, Request};

use crate::config::RequestConfig;
use crate::names::Pattern;
use crate::{bytes, defaults, denials};

const MIB: usize = 1024 * 1024;

/// Names in `max_values`.
const MAX_NAMES: usize = 64;

/// Bounds of a request's size.
#[derive(Debug)]
pub struct Limits {
    headers: usize,
    header_bytes: usize,
    value: usize,
    values: Vec<(String, usize)>,
    /// The smallest bound of any value: what is shorter needs no second look.
    smallest: usize,
    name: usize,
    path: usize,
    query_parameters: usize,
}

impl Limits {
    /// Checks the configured limits themselves.
    ///
    /// # Errors
    /// [`ConfigError`] for a limit out of its bounds.
    pub fn new(config: &RequestConfig) -> Result<Self, ConfigError> {
        let size = |name, found: ByteSize, min, max| {
            within(name, found, ByteSize::new(min), ByteSize::new(max)).map(ByteSize::get)
        };
        let value = size("max_value", config.max_value, 256, MIB)?;
        let values = values(config)?;
        Ok(Self {
            headers: within("max_headers", config.max_headers, 1, 1000)?,
            header_bytes: size("max_header_bytes", config.max_header_bytes, 1024, MIB)?,
            smallest: values.iter().map(|(_, most)| *most).fold(value, usize::min),
            value,
            values,
            name: size("max_name", config.max_name, 32, 8192)?,
            path: size("max_path", config.max_path, 256, MIB)?,
            query_parameters: within("max_query_parameters", config.max_query_parameters, 0, 10_000)?,
        })
    }

    /// Compares a request with the limits.
    ///
    /// # Errors
    /// 431, 414 or 400.
    pub fn check(&self, request: &Request) -> Result<(), Denial> {
        let headers = request.headers();
        let (mut longest_name, mut longest_value) = (0, 0);
        for (name, value) in headers.lengths() {
            longest_name = longest_name.max(name);
            longest_value = longest_value.max(value);
        }
        // Nearly all requests are far from every bound, so that no field has to be looked at.
        let is_small = headers.len() <= self.headers
            && headers.text_len() <= self.header_bytes
            && longest_name <= self.name
            && longest_value <= self.smallest.min(self.path);
        if !is_small {
            self.check_fields(headers)?;
        }
        // Each parameter takes a byte at least, `?` or `&`.
        if request.target().len() <= self.query_parameters {
            return Ok(());
        }
        let parameters = request
            .query()
            .filter(|query| !query.is_empty())
            .map_or(0, |query| bytes::count(query, b'&').saturating_add(1));
        if parameters > self.query_parameters { Err(denials::too_many_parameters()) } else { Ok(()) }
    }

    fn check_fields(&self, headers: &Headers) -> Result<(), Denial> {
        if headers.names().filter(|name| !name.starts_with(b":")).count() > self.headers {
            return Err(denials::too_many());
        }
        for (name, value) in headers.iter() {
            if name == b":path" {
                if value.len() > self.path {
                    return Err(denials::target_too_long());
                }
            } else if value.len() > self.smallest {
                self.check_value(name, value)?;
            }
            if name.len() > self.name {
                return Err(denials::too_large("max_name"));
            }
        }
        if headers.byte_len() > self.header_bytes {
            return Err(denials::too_large("max_header_bytes"));
        }
        Ok(())
    }

    fn check_value(&self, name: &[u8], value: &[u8]) -> Result<(), Denial> {
        if value.len() > self.value {
            return Err(denials::too_large("max_value"));
        }
        match self.values.iter().find(|(bounded, _)| bounded.as_bytes() == name) {
            Some((bounded, most)) if value.len() > *most => Err(denials::value_too_large(bounded)),
            _ => Ok(()),
        }
    }
}

/// The configured bounds of single fields, then the defaults of those that have none.
fn values(config: &RequestConfig) -> Result<Vec<(String, usize)>, ConfigError> {
    let found = config.max_values.len();
    if found > MAX_NAMES {
        let problem = format!("expected at most {MAX_NAMES} names, found {found}");
        return Err(ConfigError::new("max_values", problem));
    }
    let mut values: Vec<(String, usize)> = Vec::with_capacity(MAX_NAMES);
    for (name, most) in &config.max_values {
        let path = format!("max_values.{name}");
        let lower = name.to_ascii_lowercase();
        if !matches!(Pattern::parse(name), Ok(Pattern::Exact(_))) {
            return Err(ConfigError::new(path, format!("expected a header name, found `{name}`")));
        }
        if values.iter().any(|(known, _)| *known == lower) {
            return Err(ConfigError::new(path, "expected a name that is not there in another case too"));
        }
        values.push((lower, within(&path, *most, ByteSize::new(1), config.max_value)?.get()));
    }
    for (name, most) in defaults::MAX_VALUES {
        if !values.iter().any(|(known, _)| known == name) {
            values.push((name.to_owned(), most));
        }
    }
    Ok(values)
}

/// A configured number or size, if it is within its bounds.
///
/// # Errors
/// [`ConfigError`] with the bounds.
pub(crate) fn within<T: PartialOrd + Display>(
    name: &str,
    found: T,
    min: T,
    max: T,
) -> Result<T, ConfigError> {
    if (&min..=&max).contains(&&found) {
        return Ok(found);
    }
    Err(ConfigError::new(name, format!("expected {min} to {max}, found {found}")))
}

#[cfg(test)]
mod tests {
    use portcullis_core::config;
    use portcullis_core::headers::Headers;

    use super::*;

    fn reason(limits: &Limits, fields: &[(String, String)]) -> (u16, &'static str) {
        let headers: Headers =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        match limits.check(&Request::new(headers, true)) {
            Ok(()) => (200, ""),
            Err(denial) => (denial.status, denial.reason.as_str()),
        }
    }

    fn limits(config: &str) -> Result<Limits, ConfigError> {
        Limits::new(&config::load(config.as_bytes())?)
    }

    fn fields(count: usize, name: usize, value: usize) -> Vec<(String, String)> {
        (0..count).map(|_| ("n".repeat(name), "v".repeat(value))).collect()
    }

    // covers: HG-SYN-04, ENV-HDR-22, ENV-HDR-23
    #[test]
    fn counts_and_sizes_end_exactly_at_their_limits() {
        let defaults = limits("{}").unwrap();
        for (name, fields, expected) in [
            ("100 fields", fields(100, 1, 1), (200, "")),
            ("101 fields", fields(101, 1, 1), (431, "header.too_many")),
            ("20,000 cookie crumbs", fields(20_000, 6, 3), (431, "header.too_many")),
            ("name of 256 bytes", fields(1, 256, 1), (200, "")),
            ("name of 257 bytes", fields(1, 257, 1), (431, "header.too_large")),
            ("value of 8 KiB", fields(1, 1, 8192), (200, "")),
            ("value of 8 KiB and one", fields(1, 1, 8193), (431, "header.too_large")),
            ("32 KiB", fields(16, 48, 2000), (200, "")),
            ("32 KiB and 16", fields(16, 49, 2000), (431, "header.too_large")),
        ] {
            assert_eq!(reason(&defaults, &fields), expected, "{name}");
        }
    }

    // covers: HG-REQ-18
    #[test]
    fn single_fields_end_exactly_at_their_own_limits() {
        let configured = r#"{"max_values": {"User-Agent": "10B", "x-note": "1B", "cookie": "8KiB"}}"#;
        for (name, config, field, len, expected) in [
            ("referer of 4 KiB", "{}", "referer", 4096, (200, "")),
            ("referer of 4 KiB and one", "{}", "referer", 4097, (431, "header.too_large")),
            ("referer of 16 KiB", "{}", "referer", 16_384, (431, "header.too_large")),
            ("user-agent of 1 KiB", "{}", "user-agent", 1024, (200, "")),
            ("user-agent of 1 KiB and one", "{}", "user-agent", 1025, (431, "header.too_large")),
            ("user-agent of 16 KiB", "{}", "user-agent", 16_384, (431, "header.too_large")),
            ("another field of 8 KiB", "{}", "referers", 8192, (200, "")),
            ("configured, 10 bytes", configured, "user-agent", 10, (200, "")),
            ("configured, 11 bytes", configured, "user-agent", 11, (431, "header.too_large")),
            ("another one, 2 bytes", configured, "x-note", 2, (431, "header.too_large")),
            ("not below the bound of all", configured, "cookie", 8192, (200, "")),
            (
                "the default of a name that is not configured",
                configured,
                "referer",
                4097,
                (431, "header.too_large"),
            ),
            (
                "the bound of all is smaller",
                r#"{"max_value": "256B"}"#,
                "referer",
                257,
                (431, "header.too_large"),
            ),
            ("raised", r#"{"max_values": {"referer": "8KiB"}}"#, "referer", 8192, (200, "")),
        ] {
            assert_eq!(
                reason(&limits(config).unwrap(), &[(field.into(), "v".repeat(len))]),
                expected,
                "{name}"
            );
        }
    }

    // covers: HG-REQ-18
    #[test]
    fn a_field_that_is_too_large_is_named_and_not_repeated() {
        let headers: Headers = [("referer", "s3cret".repeat(1000))].into_iter().collect();
        let denial = limits("{}").unwrap().check(&Request::new(headers, true)).unwrap_err();
        assert_eq!(
            (denial.errors[0].pointer.as_str(), denial.errors[0].rule.as_str()),
            ("referer", "max_values")
        );
        assert!(!format!("{denial:?}").contains("s3cret"));
    }

    // covers: HG-SYN-05
    #[test]
    fn targets_and_queries_end_exactly_at_their_limits() {
        let defaults = limits("{}").unwrap();
        let parameters = |count: usize| format!("/?{}", vec!["a=b"; count].join("&"));
        for (name, target, expected) in [
            ("8 KiB", format!("/{}", "a".repeat(8191)), (200, "")),
            ("8 KiB and one", format!("/{}", "a".repeat(8192)), (414, "header.target_too_long")),
            ("200 parameters", parameters(200), (200, "")),
            ("201 parameters", parameters(201), (400, "header.too_many_parameters")),
            ("empty query", "/?".to_owned(), (200, "")),
        ] {
            assert_eq!(reason(&defaults, &[(":path".to_owned(), target)]), expected, "{name}");
        }
        let none = limits(r#"{"max_query_parameters": 0}"#).unwrap();
        assert_eq!(reason(&none, &[(":path".into(), "/?".into())]), (200, ""));
        assert_eq!(reason(&none, &[(":path".into(), "/?a".into())]), (400, "header.too_many_parameters"));
    }

    #[test]
    fn limits_have_bounds_themselves() {
        for (config, expected) in [
            (r#"{"max_headers": 0}"#, "max_headers: expected 1 to 1000, found 0"),
            (r#"{"max_headers": 1001}"#, "max_headers: expected 1 to 1000, found 1001"),
            (r#"{"max_value": "2MiB"}"#, "max_value: expected 256B to 1MiB, found 2MiB"),
            (
                r#"{"max_values": {"referer": "16KiB"}}"#,
                "max_values.referer: expected 1B to 8KiB, found 16KiB",
            ),
            (r#"{"max_values": {"referer": "0B"}}"#, "max_values.referer: expected 1B to 8KiB, found 0B"),
            (r#"{"max_values": {"x-*": "1B"}}"#, "max_values.x-*: expected a header name, found `x-*`"),
            (
                r#"{"max_values": {"Referer": "1B", "referer": "2B"}}"#,
                "max_values.referer: expected a name that is not there in another case too",
            ),
            (r#"{"max_name": "1B"}"#, "max_name: expected 32B to 8KiB, found 1B"),
            (r#"{"max_query_parameters": 10001}"#, "max_query_parameters: expected 0 to 10000, found 10001"),
        ] {
            assert_eq!(limits(config).unwrap_err().to_string(), expected);
        }
    }
}
