//! The checked configuration, ready to run.

use std::net::IpAddr;

use portcullis_core::client::{self, ClientAddressConfig};
use portcullis_core::headers::Headers;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, config};

use crate::config::{Config, Field, Source};
use crate::defaults;

/// What to write.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Further members.
    pub fields: Vec<Field>,
    /// Request header fields of the event, in lower case.
    pub headers: Vec<String>,
    /// What happens to a request that the filter doesn't get to see.
    pub on_error: OnError,
    source: Source,
    client_address: ClientAddressConfig,
    filters: Option<Vec<String>>,
}

impl Policy {
    /// Reads and checks a configuration document.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the first mistake.
    pub fn load(document: &[u8]) -> Result<Self, ConfigError> {
        let config: Config = config::load(document)?;
        let hops_only = ClientAddressConfig {
            trusted_hops: config.client_address.trusted_hops,
            ..ClientAddressConfig::default()
        };
        if config.client_address != hops_only {
            let problem =
                "expected `trusted_hops` only; how much of the address is written is set by `source`";
            return Err(ConfigError::new("client_address", problem));
        }
        Ok(Self {
            headers: names("headers", &config.headers, defaults::MAX_HEADERS)?,
            filters: config.filters.map(|list| names("filters", &list, defaults::MAX_FILTERS)).transpose()?,
            fields: config.fields,
            on_error: config.on_error,
            source: config.source,
            client_address: config.client_address,
        })
    }

    /// The filters of other VMs whose verdicts are wanted, for a chain with verdicts of its own or without.
    pub fn foreign_filters(&self, has_own_verdicts: bool) -> impl Iterator<Item = &str> {
        let named = self.filters.iter().flatten().map(String::as_str);
        let all =
            defaults::FILTERS.iter().copied().filter(move |_| self.filters.is_none() && !has_own_verdicts);
        named.chain(all)
    }

    /// Whether the client's address is written at all.
    #[must_use]
    pub fn wants_source(&self) -> bool {
        self.source != Source::Off
    }

    /// The client's address as it is to be written.
    #[must_use]
    pub fn source(&self, peer: Option<IpAddr>, headers: Option<&Headers>) -> Option<IpAddr> {
        let none = Headers::default();
        let address = client::client_address(peer, headers.unwrap_or(&none), &self.client_address)?;
        match self.source {
            Source::Full => Some(address),
            Source::Truncate => {
                let networks =
                    ClientAddressConfig { ipv4_prefix: 24, ipv6_prefix: 48, ..self.client_address };
                Some(client::network(address, &networks))
            }
            Source::Off => None,
        }
    }
}

/// A list of header or filter names, in lower case.
fn names(list: &str, texts: &[String], max: usize) -> Result<Vec<String>, ConfigError> {
    if texts.len() > max {
        return Err(ConfigError::new(list, format!("expected at most {max} names, found {}", texts.len())));
    }
    let is_name = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=64).contains(&text.len()) && text.bytes().all(legal)
    };
    let mut names = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let mistake = |problem: String| Err(ConfigError::new(format!("{list}[{index}]"), problem));
        if !is_name(text) {
            return mistake(format!(
                "expected a name of up to 64 letters, digits, `-`, `_` or `.`, found `{text}`"
            ));
        }
        let name = text.to_ascii_lowercase();
        // Twice in an event: readers of JSON differ on which one counts.
        if names.contains(&name) {
            return mistake(format!("expected each name once, found `{text}` again"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_by_their_path() {
        assert!(Policy::load(b"").is_ok());
        for (document, expected) in [
            (r#"{"headers": ["a b"]}"#, "headers[0]: expected a name"),
            (r#"{"headers": ["a", ""]}"#, "headers[1]: expected a name"),
            (r#"{"headers": ["a\"b"]}"#, "headers[0]: expected a name"),
            (r#"{"headers": ["x-a", "X-A"]}"#, "headers[1]: expected each name once, found `X-A` again"),
            (r#"{"filters": ["a/b"]}"#, "filters[0]: expected a name"),
            (r#"{"fields": ["body"]}"#, "fields[0]: "),
            (r#"{"source": "hash"}"#, "source: "),
            (r#"{"header": []}"#, "header: "),
            (r#"{"client_address": {"trusted_hops": 99}}"#, "client_address.trusted_hops: "),
            (r#"{"client_address": {"ipv4_prefix": 24}}"#, "client_address: expected `trusted_hops` only"),
        ] {
            let error = Policy::load(document.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{document}: {error}");
        }
        let many = format!(r#"{{"headers": [{}]}}"#, vec!["\"a\""; 17].join(","));
        let error = Policy::load(many.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "headers: expected at most 16 names, found 17");
    }

    // covers: ENV-HDR-09
    #[test]
    fn the_source_is_the_trusted_one_and_as_long_as_allowed() {
        let headers: Headers = [("x-forwarded-for", "1.2.3.4, 9.9.9.9")].into_iter().collect();
        let peer: Option<IpAddr> = "9.9.9.9".parse().ok();
        for (config, expected) in [
            ("{}", Some("9.9.9.9")),
            (r#"{"client_address": {"trusted_hops": 1}}"#, Some("1.2.3.4")),
            (r#"{"source": "truncate"}"#, Some("9.9.9.0")),
            (r#"{"source": "off"}"#, None),
        ] {
            let policy = Policy::load(config.as_bytes()).unwrap();
            let source = policy.source(peer, Some(&headers)).map(|address| address.to_string());
            assert_eq!(source.as_deref(), expected, "{config}");
        }
        let policy = Policy::load(br#"{"source": "truncate"}"#).unwrap();
        let source = policy.source("2001:db8:1:2:3::1".parse().ok(), None);
        assert_eq!(source, "2001:db8:1::".parse().ok());
    }

    #[test]
    fn published_verdicts_are_read_when_there_are_no_others() {
        for (config, own, expected) in [
            ("{}", false, &defaults::FILTERS[..]),
            ("{}", true, &[]),
            (r#"{"filters": ["jwt-auth"]}"#, true, &["jwt-auth"]),
            (r#"{"filters": []}"#, false, &[]),
        ] {
            let policy = Policy::load(config.as_bytes()).unwrap();
            assert_eq!(policy.foreign_filters(own).collect::<Vec<_>>(), expected, "{config} {own}");
        }
    }

    /// The examples of the user's page must be true.
    #[test]
    fn every_example_of_the_page_is_accepted() {
        let page = include_str!("../../../docs/audit.md");
        let examples = portcullis_host::fake::fenced_blocks(page, "json");
        assert_eq!(examples.len(), 3);
        for example in examples {
            Policy::load(example.as_bytes()).unwrap_or_else(|error| panic!("{error} in {example}"));
        }
    }
}
