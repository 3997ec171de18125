//! Which hosts may be asked for, and by which methods.

use portcullis_core::path::Authority;
use portcullis_core::{ConfigError, Denial, Request};

use crate::bytes;
use crate::config::RequestConfig;
use crate::denials;

/// The lists of an operator; an empty one allows everything.
#[derive(Debug)]
pub struct Targets {
    hosts: Vec<Authority>,
    methods: Vec<String>,
}

/// Most entries of a list: it is searched from the front for each request.
const MAX_ENTRIES: usize = 256;

impl Targets {
    /// Reads the configured lists.
    ///
    /// # Errors
    /// [`ConfigError`] for what is no host or no method, and for a list of more than 256.
    pub fn new(config: &RequestConfig) -> Result<Self, ConfigError> {
        for (name, list) in [("hosts", &config.hosts), ("methods", &config.methods)] {
            if list.len() > MAX_ENTRIES {
                return Err(ConfigError::new(
                    name,
                    format!("expected at most {MAX_ENTRIES}, found {}", list.len()),
                ));
            }
        }
        let host = |(index, text): (usize, &String)| {
            Authority::parse(text.as_bytes()).map_err(|_| {
                let problem = format!("expected a host as in `api.test` or `api.test:8443`, found `{text}`");
                ConfigError::new(format!("hosts[{index}]"), problem)
            })
        };
        if let Some(index) = config.methods.iter().position(|method| !is_method(method)) {
            let problem = "expected an upper-case method as in `GET`, and neither TRACE nor TRACK";
            return Err(ConfigError::new(format!("methods[{index}]"), problem));
        }
        Ok(Self {
            hosts: config.hosts.iter().enumerate().map(host).collect::<Result<_, _>>()?,
            methods: config.methods.clone(),
        })
    }

    /// Refuses a request for another host, or by another method.
    ///
    /// # Errors
    /// 421 `header.host_not_allowed`, 405 `header.method_not_allowed`.
    pub fn check(&self, request: &Request) -> Result<(), Denial> {
        let is_listed = |method: &String| method.as_bytes() == request.method();
        if !self.methods.is_empty() && !self.methods.iter().any(is_listed) {
            return Err(denials::method_not_listed(&self.methods));
        }
        if self.hosts.is_empty() {
            return Ok(());
        }
        let scheme = request.headers().first(b":scheme").unwrap_or_default();
        let asked = Authority::parse(request.authority()).ok();
        let is_ours = |asked: &Authority| {
            let same_port =
                |host: &Authority| host.port().is_none() || host.port() == asked.effective_port(scheme);
            self.hosts.iter().any(|host| host.host() == asked.host() && same_port(host))
        };
        if asked.as_ref().is_some_and(is_ours) { Ok(()) } else { Err(denials::host_not_listed()) }
    }
}

fn is_method(text: &str) -> bool {
    bytes::is_token(text.as_bytes())
        && !text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !["TRACE", "TRACK"].contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(hosts: &[&str], methods: &[&str]) -> Result<Targets, ConfigError> {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Targets::new(&RequestConfig {
            hosts: list(hosts),
            methods: list(methods),
            ..RequestConfig::default()
        })
    }

    #[test]
    fn only_what_is_listed_may_be_asked_for() {
        let targets = targets(&["api.test", "admin.test:8443", "[::1]"], &["GET", "POST"]).unwrap();
        for (method, authority, scheme, expected) in [
            ("GET", "api.test", "https", Ok(())),
            ("POST", "API.test:1234", "https", Ok(())),
            ("GET", "api.test.", "https", Ok(())),
            ("GET", "admin.test:8443", "https", Ok(())),
            ("GET", "[::1]:80", "http", Ok(())),
            ("GET", "admin.test", "https", Err(421)),
            ("GET", "x.api.test", "https", Err(421)),
            ("GET", "api.test@evil.test", "https", Err(421)),
            ("GET", "", "https", Err(421)),
            ("get", "api.test", "https", Err(405)),
            ("DELETE", "api.test", "https", Err(405)),
        ] {
            let fields = [(":method", method), (":authority", authority), (":scheme", scheme)];
            let request = Request::new(fields.into_iter().collect(), true);
            let checked = targets.check(&request).map_err(|denial| denial.status);
            assert_eq!(checked, expected, "{method} {scheme} {authority}");
        }
        let refused =
            targets.check(&Request::new([(":method", "PUT")].into_iter().collect(), true)).unwrap_err();
        assert_eq!(refused.headers, [("allow", "GET, POST".to_owned())]);
    }

    #[test]
    fn without_a_list_everything_may() {
        let request = Request::new([(":method", "BREW"), (":authority", "?")].into_iter().collect(), true);
        assert_eq!(targets(&[], &[]).unwrap().check(&request), Ok(()));
    }

    #[test]
    fn lists_are_of_hosts_and_methods() {
        for (hosts, methods, path) in [
            (&["https://api.test"][..], &[][..], "hosts[0]"),
            (&["api.test", "*.test"], &[], "hosts[1]"),
            (&[], &["GET", "post"], "methods[1]"),
            (&[], &["TRACE"], "methods[0]"),
            (&[], &[""], "methods[0]"),
        ] {
            assert_eq!(targets(hosts, methods).unwrap_err().path, path);
        }
        assert_eq!(targets(&["api.test"; 257], &[]).unwrap_err().path, "hosts");
    }
}
