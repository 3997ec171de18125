//! What is counted apart: the key of a request.

use std::borrow::Cow;
use std::net::IpAddr;

use portcullis_core::client::{self, ClientAddressConfig};
use portcullis_core::path::Authority;
use portcullis_core::{ConfigError, Identity, Request};

use crate::body::Body;
use crate::config::{KeyPart, Missing};
use crate::form;
use crate::hash::{KeyHash, Seed};
use crate::service::protocol::Descriptor;

/// What a request's key is made of. Address, identity and properties are verified; the rest is what the client says.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Request,
    /// The client's address, if a key that applies asks for it and there is one.
    pub address: Option<IpAddr>,
    /// The verified identity, if a key that applies asks for it and there is one.
    pub identity: Option<&'a Identity>,
    /// The body, if a key that applies asks for it and there is one.
    pub body: Option<&'a Body>,
    /// The properties that keys and costs that apply ask for, by path.
    pub properties: &'a [Property],
}

/// An attribute of the proxy, and its value if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The names of its path.
    pub path: Vec<String>,
    /// What the proxy says.
    pub value: Option<Vec<u8>>,
}

impl<'a> Facts<'a> {
    /// The value of a property; none without one.
    #[must_use]
    pub fn property(&self, path: &[String]) -> Option<&'a [u8]> {
        self.properties.iter().find(|property| property.path == path)?.value.as_deref()
    }
}

/// Name and value of each variable of the path template by which a limit was selected.
pub type Variables<'a> = [(&'a str, String)];

/// A limit's key, checked.
#[derive(Debug)]
pub struct Key {
    parts: Vec<KeyPart>,
    missing: Missing,
    client_address: ClientAddressConfig,
}

/// How a part of a key turned out; the first number of its hash.
enum Part<'a> {
    Missing,
    /// More than one value, so that two readers may see different ones, or none that can be read.
    Ambiguous,
    Value(Cow<'a, [u8]>),
    /// What belongs to an issuer.
    Issued(&'a str, Cow<'a, str>),
}

/// The most parts of a key.
const MAX_PARTS: usize = 8;

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// At `[i]`: a part without a name, a name that no header field has, a part that is there twice; too many parts.
    pub fn new(
        parts: Vec<KeyPart>,
        missing: Missing,
        client_address: ClientAddressConfig,
    ) -> Result<Self, ConfigError> {
        if parts.len() > MAX_PARTS {
            let problem = format!("expected at most {MAX_PARTS} parts, found {}", parts.len());
            return Err(ConfigError::new("", problem));
        }
        let mut checked: Vec<KeyPart> = Vec::with_capacity(parts.len());
        for (i, part) in parts.into_iter().enumerate() {
            let part = check(part).map_err(|problem| ConfigError::new(format!("[{i}]"), problem))?;
            if checked.contains(&part) {
                return Err(ConfigError::new(format!("[{i}]"), "expected each part once"));
            }
            checked.push(part);
        }
        Ok(Self { parts: checked, missing, client_address })
    }

    /// Whether the client's address is part of it.
    #[must_use]
    pub fn needs_address(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, KeyPart::ClientAddress))
    }

    /// Whether the verified identity is part of it.
    #[must_use]
    pub fn needs_identity(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, KeyPart::Claim(_) | KeyPart::ClientId))
    }

    /// Whether anything of the request is part of it.
    #[must_use]
    pub fn reads_requests(&self) -> bool {
        let is_of_proxy = |part: &KeyPart| {
            matches!(
                part,
                KeyPart::ClientAddress | KeyPart::Claim(_) | KeyPart::ClientId | KeyPart::Property(_)
            )
        };
        !self.parts.iter().all(is_of_proxy)
    }

    /// Whether the body is part of it.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, KeyPart::Body(_)))
    }

    /// The properties that are part of it.
    pub fn properties(&self) -> impl Iterator<Item = &[String]> {
        self.parts.iter().filter_map(|part| match part {
            KeyPart::Property(path) => Some(path.as_slice()),
            _ => None,
        })
    }

    /// The variables of a path template that are part of it.
    pub fn path_variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            KeyPart::PathVariable(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a client can have a new bucket for every request: nothing in the key but what it chooses.
    #[must_use]
    pub fn is_chosen_by_client(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(is_chosen_by_client)
    }

    /// Adds what makes this key differ from another one.
    pub fn describe(&self, hash: &mut KeyHash) {
        for part in &self.parts {
            let (number, name) = match part {
                KeyPart::ClientAddress => (1, ""),
                KeyPart::Claim(name) => (2, name.as_str()),
                KeyPart::Header(name) => (3, name.as_str()),
                KeyPart::ClientId => (4, ""),
                KeyPart::Cookie(name) => (5, name.as_str()),
                KeyPart::Query(name) => (6, name.as_str()),
                KeyPart::PathVariable(name) => (7, name.as_str()),
                KeyPart::Method => (8, ""),
                KeyPart::Host => (9, ""),
                KeyPart::Body(name) => (10, name.as_str()),
                KeyPart::Property(path) => {
                    hash.number(11);
                    path.iter().for_each(|name| hash.part(name.as_bytes()));
                    continue;
                }
            };
            hash.number(number);
            hash.part(name.as_bytes());
        }
    }

    /// The hash of the request's key under `limit` (which tells one limit's keys from another's); none if the limit
    /// does not apply because a part is missing.
    #[must_use]
    pub fn hash(&self, seed: &Seed, limit: u64, facts: &Facts<'_>, variables: &Variables<'_>) -> Option<u64> {
        let mut hash = KeyHash::keyed(seed);
        hash.number(limit);
        for part in &self.parts {
            match self.find(part, facts, variables) {
                Part::Missing if self.missing == Missing::Skip => return None,
                Part::Missing => hash.number(0),
                Part::Ambiguous => hash.number(1),
                Part::Value(value) => {
                    hash.number(2);
                    hash.part(&value);
                }
                Part::Issued(issuer, value) => {
                    hash.number(2);
                    hash.part(issuer.as_bytes());
                    hash.part(value.as_bytes());
                }
            }
        }
        Some(hash.finish())
    }

    /// The key as a rate-limit service gets it: a pair for each part, named as Envoy's own descriptors are where they have a
    /// name. None if the limit does not apply.
    ///
    /// A part that is missing is empty, one that has more than one value `*`; a value of more than 256 bytes is its hash.
    #[must_use]
    pub fn descriptor(
        &self,
        limit: &str,
        facts: &Facts<'_>,
        variables: &Variables<'_>,
    ) -> Option<Descriptor> {
        let mut descriptor = vec![("generic_key".to_owned(), limit.to_owned())];
        for part in &self.parts {
            let name = match part {
                KeyPart::ClientAddress => "remote_address",
                KeyPart::ClientId => "client_id",
                KeyPart::Method => "method",
                KeyPart::Host => "host",
                KeyPart::Claim(name)
                | KeyPart::Header(name)
                | KeyPart::Cookie(name)
                | KeyPart::Query(name)
                | KeyPart::PathVariable(name)
                | KeyPart::Body(name) => name,
                KeyPart::Property(path) => path.last().map_or("", String::as_str),
            };
            let value = match self.find(part, facts, variables) {
                Part::Missing if self.missing == Missing::Skip => return None,
                Part::Missing => String::new(),
                Part::Ambiguous => "*".to_owned(),
                Part::Value(_) if *part == KeyPart::ClientAddress => {
                    let network = facts.address.map(|address| client::network(address, &self.client_address));
                    network.map(|address| address.to_string()).unwrap_or_default()
                }
                Part::Value(value) => text(&value),
                Part::Issued(issuer, value) => {
                    descriptor.push(("issuer".to_owned(), text(issuer.as_bytes())));
                    text(value.as_bytes())
                }
            };
            descriptor.push((name.to_owned(), value));
        }
        Some(descriptor)
    }

    fn find<'a>(&self, part: &'a KeyPart, facts: &Facts<'a>, variables: &'a Variables<'_>) -> Part<'a> {
        let request = facts.request;
        match part {
            KeyPart::ClientAddress => facts.address.map_or(Part::Missing, |address| {
                Part::Value(client::client_key_bytes(address, &self.client_address).into())
            }),
            KeyPart::Claim(name) => {
                let claim = facts.identity.and_then(|identity| Some((identity, identity.claim(name)?)));
                claim.map_or(Part::Missing, |(identity, value)| Part::Issued(&identity.issuer, value.into()))
            }
            KeyPart::ClientId => {
                let identity = facts.identity.filter(|identity| !identity.client_id.is_empty());
                identity.map_or(Part::Missing, |identity| {
                    Part::Issued(&identity.issuer, identity.client_id.as_str().into())
                })
            }
            KeyPart::Header(name) => only(request.headers().all(name.as_bytes()).map(<[u8]>::trim_ascii)),
            KeyPart::Cookie(name) => only(cookies(request, name.as_bytes())),
            KeyPart::Query(name) => {
                only_decoded(form::values(request.query().unwrap_or_default(), name.as_bytes()))
            }
            KeyPart::PathVariable(name) => {
                let value = variables.iter().find(|(known, _)| known == name);
                value.map_or(Part::Missing, |(_, value)| Part::Value(value.as_bytes().into()))
            }
            KeyPart::Method => Part::Value(request.method().into()),
            KeyPart::Host => match Authority::parse(request.authority()) {
                Ok(authority) => Part::Value(authority.host().as_bytes().to_vec().into()),
                Err(_) => Part::Ambiguous,
            },
            KeyPart::Body(name) => match facts.body.map(|body| body.field(name)) {
                None | Some(Ok(None)) => Part::Missing,
                Some(Ok(Some(value))) => Part::Value(value.into()),
                Some(Err(_)) => Part::Ambiguous,
            },
            KeyPart::Property(path) => {
                facts.property(path).map_or(Part::Missing, |value| Part::Value(value.into()))
            }
        }
    }
}

/// A value as text that is neither long nor anything but UTF-8.
fn text(value: &[u8]) -> String {
    if value.len() <= MAX_TEXT {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut hash = KeyHash::fixed();
    hash.part(value);
    format!("{:016x}", hash.finish())
}

/// Longest value that a rate-limit service gets, in bytes: it becomes part of its own keys.
const MAX_TEXT: usize = 256;

/// The only value, where there is one. The upstream may go by any of several: a second one must not open a new bucket, nor
/// skip the limit.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Part<'a> {
    match (values.next(), values.next()) {
        (None | Some([]), None) => Part::Missing,
        (Some(value), None) => Part::Value(value.into()),
        (_, Some(_)) => Part::Ambiguous,
    }
}

fn only_decoded<'a>(mut values: impl Iterator<Item = Vec<u8>>) -> Part<'a> {
    match (values.next(), values.next()) {
        (None, None) => Part::Missing,
        (Some(value), None) if value.is_empty() => Part::Missing,
        (Some(value), None) => Part::Value(value.into()),
        (_, Some(_)) => Part::Ambiguous,
    }
}

/// The values of all cookies of this name.
fn cookies<'a>(request: &'a Request, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = request.headers().all(b"cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at_checked(end)?;
        (found.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

fn is_chosen_by_client(part: &KeyPart) -> bool {
    match part {
        KeyPart::ClientAddress | KeyPart::Claim(_) | KeyPart::ClientId => false,
        // What it asks for, by HTTP or by TLS.
        KeyPart::Property(path) => {
            path.first().is_some_and(|first| first == "request")
                || path.last().is_some_and(|last| last == "requested_server_name")
        }
        KeyPart::Header(_)
        | KeyPart::Cookie(_)
        | KeyPart::Query(_)
        | KeyPart::PathVariable(_)
        | KeyPart::Method
        | KeyPart::Host
        | KeyPart::Body(_) => true,
    }
}

fn check(part: KeyPart) -> Result<KeyPart, String> {
    let named = |name: &str, what: &str| {
        if name.is_empty() { Err(format!("expected the name of a {what}, found ``")) } else { Ok(()) }
    };
    match &part {
        KeyPart::ClientAddress | KeyPart::ClientId | KeyPart::Method | KeyPart::Host => {}
        KeyPart::Claim(name) => named(name, "claim")?,
        KeyPart::Cookie(name) => named(name, "cookie")?,
        KeyPart::Query(name) => named(name, "query parameter")?,
        KeyPart::PathVariable(name) => named(name, "variable")?,
        KeyPart::Body(name) => named(name, "field")?,
        KeyPart::Property(path) => check_property(path)?,
        KeyPart::Header(name) => {
            // Envoy's codecs give names in lower case.
            return field_name(name).map(KeyPart::Header);
        }
    }
    Ok(part)
}

/// Whether it can be the path of an attribute.
///
/// # Errors
/// What was expected.
pub fn check_property(path: &[String]) -> Result<(), String> {
    if path.is_empty() || path.iter().any(|name| name.is_empty() || name.contains('\0')) {
        return Err("expected the names of an attribute's path as in `[connection, requested_server_name]`"
            .to_owned());
    }
    Ok(())
}

/// The name of a header field in lower case, a token (RFC 9110 section 5.6.2). No pseudo-header: `:path` has many
/// spellings for one resource.
///
/// # Errors
/// What was expected.
pub fn field_name(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if lower.is_empty() || !lower.bytes().all(is_token) {
        return Err(format!("expected a header field name such as `x-api-key`, found `{lower}`"));
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(parts: &[KeyPart], missing: Missing) -> Key {
        Key::new(parts.to_vec(), missing, ClientAddressConfig::default()).unwrap()
    }

    fn hash(
        key: &Key,
        address: Option<&str>,
        fields: &[(&str, &str)],
        identity: Option<&Identity>,
    ) -> Option<u64> {
        let request = Request::new(fields.iter().copied().collect(), true);
        let address = address.map(|address| address.parse().unwrap());
        let facts = Facts { request: &request, address, identity, body: None, properties: &[] };
        key.hash(&Seed::new([3; 16]), 1, &facts, &[])
    }

    fn identity(issuer: &str, subject: &str) -> Identity {
        let claims = json!({"iss": issuer, "sub": subject, "tenant": 7}).as_object().unwrap().clone();
        Identity { issuer: issuer.to_owned(), subject: subject.to_owned(), claims, ..Identity::default() }
    }

    // covers: ENV-HDR-13
    #[test]
    fn one_client_is_one_address_or_one_ipv6_network() {
        let key = key(&[KeyPart::ClientAddress], Missing::LimitTogether);
        for (name, first, second, same) in [
            ("two IPv4 addresses", "192.0.2.1", "192.0.2.2", false),
            ("IPv4 and its mapped form", "192.0.2.1", "::ffff:192.0.2.1", true),
            ("two addresses of one /64", "2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("two networks", "2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("IPv4 and the IPv6 network of the same bytes", "0.0.0.1", "::1:0:0:0:0", false),
        ] {
            assert_eq!(
                hash(&key, Some(first), &[], None) == hash(&key, Some(second), &[], None),
                same,
                "{name}"
            );
        }
    }

    #[test]
    fn the_prefix_is_configurable() {
        let config = ClientAddressConfig { ipv6_prefix: 48, ..ClientAddressConfig::default() };
        let key = Key::new(vec![KeyPart::ClientAddress], Missing::LimitTogether, config).unwrap();
        let hash = |address| hash(&key, Some(address), &[], None);
        assert_eq!(hash("2001:db8:0:1::1"), hash("2001:db8:0:2::1"));
        assert_ne!(hash("2001:db8:0::1"), hash("2001:db8:1::1"));
    }

    // covers: JWT-CLM-12, JWT-LOC-10
    #[test]
    fn a_claim_is_verified_and_belongs_to_its_issuer() {
        let key = key(&[KeyPart::Claim("sub".to_owned())], Missing::LimitTogether);
        let of = |identity: &Identity| hash(&key, None, &[], Some(identity));
        assert_eq!(of(&identity("a", "alice")), of(&identity("a", "alice")));
        assert_ne!(of(&identity("a", "alice")), of(&identity("b", "alice")), "another issuer's alice");
        assert_ne!(of(&identity("a", "b")), of(&identity("ab", "")), "no running together");
        // What a client says about itself changes nothing.
        assert_eq!(hash(&key, None, &[("x-user-id", "x"), ("sub", "y")], None), hash(&key, None, &[], None));
    }

    // covers: ENV-HDR-16
    #[test]
    fn compound_keys_do_not_run_together() {
        let parts = [KeyPart::Header("x-a".to_owned()), KeyPart::Header("x-b".to_owned())];
        let key = key(&parts, Missing::LimitTogether);
        let of = |a, b| hash(&key, None, &[("x-a", a), ("x-b", b)], None);
        assert_ne!(of("a|b", "c"), of("a", "b|c"));
        assert_ne!(of("a", "b"), of("b", "a"));
        assert_eq!(of("a", "b"), of("a", "b"));
    }

    #[test]
    fn what_is_missing_is_limited_together_or_skipped() {
        let parts = [KeyPart::ClientAddress, KeyPart::Header("x-api-key".to_owned())];
        let together = key(&parts, Missing::LimitTogether);
        let skip = key(&parts, Missing::Skip);
        let with = |key, address, fields: &[_]| hash(key, Some(address), fields, None);
        assert_eq!(with(&together, "192.0.2.1", &[]), with(&together, "192.0.2.1", &[("x-api-key", "")]));
        assert_ne!(
            with(&together, "192.0.2.1", &[]),
            with(&together, "192.0.2.2", &[]),
            "other parts still count"
        );
        assert_ne!(with(&together, "192.0.2.1", &[]), with(&together, "192.0.2.1", &[("x-api-key", "\0")]));
        for fields in [&[][..], &[("x-api-key", "")]] {
            assert_eq!(with(&skip, "192.0.2.1", fields), None);
        }
        assert!(with(&skip, "192.0.2.1", &[("x-api-key", "k")]).is_some());
    }

    #[test]
    fn a_second_field_neither_opens_a_bucket_nor_skips_the_limit() {
        let key = key(&[KeyPart::Header("x-api-key".to_owned())], Missing::Skip);
        let twice = |first, second| hash(&key, None, &[("x-api-key", first), ("x-api-key", second)], None);
        assert!(twice("k", "1").is_some());
        assert_eq!(twice("k", "1"), twice("k", "2"));
        assert_eq!(twice("", ""), twice("k", "2"));
    }

    #[test]
    fn mistakes_are_named() {
        let header = |name: &str| KeyPart::Header(name.to_owned());
        for (parts, expected) in [
            (vec![header("")], "[0]: expected a header field name such as `x-api-key`, found ``"),
            (vec![header(":path")], "[0]: expected a header field name such as `x-api-key`, found `:path`"),
            (
                vec![KeyPart::ClientAddress, KeyPart::Claim(String::new())],
                "[1]: expected the name of a claim, found ``",
            ),
            (vec![header("x-a"), header("X-A")], "[1]: expected each part once"),
        ] {
            let error = Key::new(parts, Missing::Skip, ClientAddressConfig::default()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_key_of_header_fields_alone_is_the_clients_choice() {
        let header = KeyPart::Header("x-api-key".to_owned());
        for (parts, expected) in [
            (vec![header.clone()], true),
            (vec![header.clone(), KeyPart::ClientAddress], false),
            (vec![header, KeyPart::Claim("sub".to_owned())], false),
            (vec![], false),
        ] {
            assert_eq!(key(&parts, Missing::Skip).is_chosen_by_client(), expected, "{parts:?}");
        }
    }
}
