//! Which bucket a request belongs to.

use std::net::IpAddr;

use portcullis_core::client::{self, ClientAddressConfig};
use portcullis_core::{ConfigError, Identity, Request};

use crate::config::{KeyPart, Missing};
use crate::hash::{KeyHash, Seed};

/// What a request's key is made of. Everything in it is verified, but the request's own fields.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Request,
    /// The client's address, if a key that applies asks for it and there is one.
    pub address: Option<IpAddr>,
    /// The verified identity, if a key that applies asks for it and there is one.
    pub identity: Option<&'a Identity>,
}

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
    /// More than one value, so that two readers may see different ones.
    Ambiguous,
    Address(IpAddr),
    /// Issuer and claim.
    Claim(&'a str, String),
    Header(&'a [u8]),
}

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// At `[i]`: a claim or header field without a name, a name that no header field has, a part that is there
    /// twice.
    pub fn new(
        parts: Vec<KeyPart>,
        missing: Missing,
        client_address: ClientAddressConfig,
    ) -> Result<Self, ConfigError> {
        let mut checked: Vec<KeyPart> = Vec::with_capacity(parts.len());
        for (i, part) in parts.into_iter().enumerate() {
            let error = |problem: String| ConfigError::new(format!("[{i}]"), problem);
            let part = match part {
                KeyPart::Claim(name) if name.is_empty() => {
                    return Err(error("expected the name of a claim, found ``".to_owned()));
                }
                // Envoy's codecs give names in lower case.
                KeyPart::Header(name) => KeyPart::Header(name.to_ascii_lowercase()),
                part => part,
            };
            if let KeyPart::Header(name) = &part
                && !is_field_name(name)
            {
                return Err(error(format!(
                    "expected a header field name such as `x-api-key`, found `{name}`"
                )));
            }
            if checked.contains(&part) {
                return Err(error("expected each part once".to_owned()));
            }
            checked.push(part);
        }
        Ok(Self { parts: checked, missing, client_address })
    }

    /// Whether the client's address is part of it.
    #[must_use]
    pub fn needs_address(&self) -> bool {
        self.parts.contains(&KeyPart::ClientAddress)
    }

    /// Whether a claim is part of it.
    #[must_use]
    pub fn needs_identity(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, KeyPart::Claim(_)))
    }

    /// Whether a client can have a new bucket for every request: nothing in the key but header fields.
    #[must_use]
    pub fn is_chosen_by_client(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| matches!(part, KeyPart::Header(_)))
    }

    /// Adds what makes this key differ from another one.
    pub fn describe(&self, hash: &mut KeyHash) {
        for part in &self.parts {
            match part {
                KeyPart::ClientAddress => hash.number(1),
                KeyPart::Claim(name) => {
                    hash.number(2);
                    hash.part(name.as_bytes());
                }
                KeyPart::Header(name) => {
                    hash.number(3);
                    hash.part(name.as_bytes());
                }
            }
        }
    }

    /// The hash of the request's key under `limit` (which tells one limit's keys from another's); none if the limit
    /// does not apply because a part is missing.
    #[must_use]
    pub fn hash(&self, seed: &Seed, limit: u64, facts: &Facts<'_>) -> Option<u64> {
        let mut hash = KeyHash::keyed(seed);
        hash.number(limit);
        for part in &self.parts {
            match find(part, facts) {
                Part::Missing if self.missing == Missing::Skip => return None,
                Part::Missing => hash.number(0),
                Part::Ambiguous => hash.number(1),
                Part::Address(address) => {
                    hash.number(2);
                    match client::network(address, &self.client_address) {
                        IpAddr::V4(address) => hash.part(&address.octets()),
                        IpAddr::V6(address) => hash.part(&address.octets()),
                    }
                }
                Part::Claim(issuer, value) => {
                    hash.number(2);
                    hash.part(issuer.as_bytes());
                    hash.part(value.as_bytes());
                }
                Part::Header(value) => {
                    hash.number(2);
                    hash.part(value);
                }
            }
        }
        Some(hash.finish())
    }
}

fn find<'a>(part: &KeyPart, facts: &Facts<'a>) -> Part<'a> {
    match part {
        KeyPart::ClientAddress => facts.address.map_or(Part::Missing, Part::Address),
        KeyPart::Claim(name) => {
            let claim = facts.identity.and_then(|identity| Some((identity, identity.claim(name)?)));
            claim.map_or(Part::Missing, |(identity, value)| Part::Claim(&identity.issuer, value))
        }
        KeyPart::Header(name) => {
            let mut values = facts.request.headers().iter().filter(|(found, _)| *found == name.as_bytes());
            match (values.next().map(|(_, value)| value.trim_ascii()), values.next()) {
                (None | Some([]), None) => Part::Missing,
                (Some(value), None) => Part::Header(value),
                // The upstream may go by either one: a second field must not open a new bucket, nor skip the limit.
                (_, Some(_)) => Part::Ambiguous,
            }
        }
    }
}

/// A token in lower case (RFC 9110 section 5.6.2). No pseudo-header: `:path` has many spellings for one resource.
fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        })
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
        key.hash(&Seed::new([3; 16]), 1, &Facts { request: &request, address, identity })
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
