//! What an operator writes under `match:`, and the checked form of everything but the path.

use serde::Deserialize;

use crate::path::{Authority, AuthorityError};
use crate::{ConfigError, Denial, Request};

/// Which requests a rule is for: those that meet every condition; an absent or empty condition is met by all.
///
/// ```yaml
/// match: {methods: [GET, HEAD], path: "/orders/{id}", hosts: [api.test], headers: [{name: x-tenant}]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Methods, upper-case, compared exactly. `GET` does not stand for `HEAD`: list both where both are meant.
    pub methods: Vec<String>,
    /// Path template: `{name}` is one segment, or a part of one as in `{name}.json`; a final `**` is any rest,
    /// including none. A trailing slash makes no difference, case does.
    pub path: Option<String>,
    /// Hosts. With a port, for that port only (a scheme's default counts); without one, for every port.
    pub hosts: Vec<String>,
    /// Header fields, all of which must be there.
    pub headers: Vec<HeaderSelector>,
}

/// A condition on one header field.
///
/// Of several fields with this name one is enough, and of a list one member, as in `x-role: user, admin`: a rule that
/// protects `x-role: admin` must not be left by sending more. A value that is a list itself is also met by fields that
/// make it together (RFC 9110 section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeaderSelector {
    /// Field name; case makes no difference.
    pub name: String,
    /// The value, compared byte for byte without white space around it; absent: any value, an empty one included.
    #[serde(default)]
    pub value: Option<String>,
}

/// The conditions of a selector apart from its path, checked.
#[derive(Debug)]
pub(super) struct Conditions {
    methods: Vec<String>,
    hosts: Vec<Authority>,
    headers: Vec<HeaderSelector>,
}

impl Conditions {
    pub(super) fn new(selector: &Selector) -> Result<Self, ConfigError> {
        for (i, method) in selector.methods.iter().enumerate() {
            if !is_method(method) {
                let problem = format!("expected an upper-case method such as `GET`, found `{method}`");
                return Err(ConfigError::new(format!("methods[{i}]"), problem));
            }
        }
        let host = |(i, host): (usize, &String)| {
            Authority::parse(host.as_bytes()).map_err(|_| {
                let problem =
                    format!("expected a host such as `api.test` or `api.test:8443`, found `{host}`");
                ConfigError::new(format!("hosts[{i}]"), problem)
            })
        };
        let header = |(i, header): (usize, &HeaderSelector)| {
            let name = header.name.to_ascii_lowercase();
            if !is_field_name(&name) {
                let problem =
                    format!("expected a header field name such as `x-tenant`, found `{}`", header.name);
                return Err(ConfigError::new(format!("headers[{i}].name"), problem));
            }
            Ok(HeaderSelector {
                name,
                value: header.value.as_deref().map(|value| value.trim_ascii().to_owned()),
            })
        };
        Ok(Self {
            methods: selector.methods.clone(),
            hosts: selector.hosts.iter().enumerate().map(host).collect::<Result<_, _>>()?,
            headers: selector.headers.iter().enumerate().map(header).collect::<Result<_, _>>()?,
        })
    }

    /// Whether the selector asks for the host at all.
    pub(super) const fn names_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        let request = subject.request;
        let any = |values: &[String], found: &[u8]| values.iter().any(|value| value.as_bytes() == found);
        (self.methods.is_empty() || any(&self.methods, request.method()))
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| subject.is_for(host)))
            && self.headers.iter().all(|header| has_header(request, header))
    }
}

/// A request with what all conditions ask for.
pub(super) struct Subject<'a> {
    request: &'a Request,
    authority: Option<Authority>,
}

impl<'a> Subject<'a> {
    /// `with_authority` if a selector names hosts.
    ///
    /// # Errors
    /// A 400 denial when the authority is needed and has more than one reading.
    pub(super) fn new(request: &'a Request, with_authority: bool) -> Result<Self, Denial> {
        let parse = || Authority::parse(request.authority());
        let authority =
            with_authority.then(parse).transpose().map_err(|error: AuthorityError| error.denial())?;
        Ok(Self { request, authority })
    }

    fn is_for(&self, host: &Authority) -> bool {
        self.authority.as_ref().is_some_and(|authority| {
            let port_fits =
                host.port().is_none() || host.port() == authority.effective_port(self.request.scheme());
            authority.host() == host.host() && port_fits
        })
    }
}

fn has_header(request: &Request, header: &HeaderSelector) -> bool {
    let lines = || request.headers().all(header.name.as_bytes());
    let Some(expected) = header.value.as_deref().map(str::as_bytes) else {
        return lines().next().is_some();
    };
    lines().any(|line| line.trim_ascii() == expected)
        || lines().flat_map(members).any(|member| member == expected)
        || (expected.contains(&b',') && lines().flat_map(members).eq(members(expected)))
}

/// The members of a list that are not empty, without white space around them.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// A method that this matcher can compare exactly: RFC 9110 methods are case-sensitive, and all in use are
/// upper-case.
fn is_method(method: &str) -> bool {
    method.starts_with(|c: char| c.is_ascii_uppercase())
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
}

/// A token (RFC 9110 section 5.6.2). Pseudo-headers have selectors of their own.
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
