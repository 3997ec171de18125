//! Who sent the request, as far as a filter has verified it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::control::has_ascii_control;
use crate::{config, json};

/// A verified identity. Filters make one only from a credential that they have checked; nothing in it comes from
/// headers that a client can write.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Issuer, the `iss` claim (RFC 7519 section 4.1.1).
    pub issuer: String,
    /// Subject, the `sub` claim; unique only together with the issuer.
    pub subject: String,
    /// OAuth client, `client_id` (RFC 9068 section 2.2) or `azp`; empty if unknown.
    pub client_id: String,
    /// Scopes in the token's order (RFC 6749 section 3.3).
    pub scopes: Vec<String>,
    /// Roles, from the claim that the provider's configuration names.
    pub roles: Vec<String>,
    /// All claims of the token.
    pub claims: Map<String, Value>,
    /// What is published of it, name and value of each property; whoever makes the identity decides.
    #[serde(skip)]
    pub properties: Vec<(String, Vec<u8>)>,
}

/// What can be published of an identity in filter state: each property costs every request about as much as the rest of
/// a small filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// The whole identity as JSON, for filters of Portcullis in other VMs: [`Identity::PROPERTY`].
    Identity,
    /// The subject as plain text, for Envoy's own filters and loggers: `wasm.portcullis.identity.sub`. Those below
    /// likewise.
    Sub,
    /// The issuer.
    Iss,
    /// The OAuth client.
    ClientId,
    /// The scopes, joined by one space.
    Scope,
    /// The roles, joined by one space.
    Roles,
}

impl Identity {
    /// The name of the filter-state property that carries the whole identity, as JSON, from filter to filter.
    pub const PROPERTY: &'static str = "portcullis.identity";

    /// Reads the value of [`Identity::PROPERTY`]; none for anything else.
    #[must_use]
    pub fn from_property(property: &[u8]) -> Option<Self> {
        let value = json::parse(property, json::Limits::default()).ok()?;
        Self::deserialize(config::Reader(&value)).ok()
    }

    /// Has these published, as far as they are not empty. `text` is the JSON that `claims` were read from, where there is one.
    pub fn publish(&mut self, properties: &[Property], text: Option<&[u8]>) {
        for property in properties {
            let (name, value) = match property {
                Property::Identity => (Self::PROPERTY, self.to_json(text)),
                Property::Sub => ("portcullis.identity.sub", self.subject.as_bytes().to_vec()),
                Property::Iss => ("portcullis.identity.iss", self.issuer.as_bytes().to_vec()),
                Property::ClientId => ("portcullis.identity.client_id", self.client_id.as_bytes().to_vec()),
                Property::Scope => ("portcullis.identity.scope", self.scopes.join(" ").into_bytes()),
                Property::Roles => ("portcullis.identity.roles", self.roles.join(" ").into_bytes()),
            };
            if !value.is_empty() {
                self.properties.push((name.to_owned(), value));
            }
        }
    }

    /// What [`Identity::from_property`] reads. Claims that were read as strict JSON already are not written anew: that took
    /// a tenth of all work for a new token. Those with line breaks are, since access loggers print the property.
    fn to_json(&self, text: Option<&[u8]>) -> Vec<u8> {
        let text = text.filter(|text| !has_ascii_control(text));
        // Room for most, at once.
        let mut json = Vec::with_capacity(text.map_or(1024, |text| text.len().saturating_add(512)));
        json.extend_from_slice(b"{\"claims\":");
        let written = match text {
            Some(text) => {
                json.extend_from_slice(text);
                Ok(())
            }
            None => serde_json::to_writer(&mut json, &self.claims),
        };
        let written = written
            .and_then(|()| member(&mut json, "issuer", &self.issuer))
            .and_then(|()| member(&mut json, "subject", &self.subject))
            .and_then(|()| member(&mut json, "client_id", &self.client_id))
            .and_then(|()| member(&mut json, "scopes", &self.scopes))
            .and_then(|()| member(&mut json, "roles", &self.roles));
        json.push(b'}');
        match written {
            Ok(()) => json,
            // Strings, lists and claims always serialize; without the property readers take nobody as verified.
            Err(_) => Vec::new(),
        }
    }

    /// The text of a claim by its name, or by a path of names joined with `.` where no claim has that whole
    /// name: `sub`, `realm_access.tenant`. Strings as they are, integers and booleans as JSON; none for anything
    /// else.
    #[must_use]
    pub fn claim(&self, path: &str) -> Option<String> {
        let value = match self.claims.get(path) {
            Some(value) => value,
            None => {
                let mut names = path.split('.');
                let first = self.claims.get(names.next()?)?;
                names.try_fold(first, |value, name| value.get(name))?
            }
        };
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

fn member(json: &mut Vec<u8>, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    serde_json::to_writer(json, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = json!({"sub": "alice", "a.b": "whole", "realm": {"tenant": 7, "list": []}, "f": 1.5});
        let identity = Identity { claims: claims.as_object().unwrap().clone(), ..Identity::default() };
        for (path, expected) in [
            ("sub", Some("alice")),
            ("a.b", Some("whole")),
            ("realm.tenant", Some("7")),
            ("realm.list", None),
            ("realm", None),
            ("f", None),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(identity.claim(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_known_facts_become_properties() {
        let mut identity =
            Identity { subject: "a".into(), scopes: vec!["r".into(), "w".into()], ..Identity::default() };
        let unpublished = identity.clone();
        identity.publish(&[Property::Sub, Property::Roles, Property::Scope, Property::Identity], None);
        let [sub, scope, (name, whole)] = &identity.properties[..] else { panic!("three properties") };
        assert_eq!(*sub, ("portcullis.identity.sub".into(), b"a".to_vec()));
        assert_eq!(*scope, ("portcullis.identity.scope".into(), b"r w".to_vec()));
        assert_eq!((name.as_str(), Identity::from_property(whole)), (Identity::PROPERTY, Some(unpublished)));
    }

    #[test]
    fn claims_are_published_as_they_were_written() {
        let claims = json!({"sub": "a\u{e9}\u{7f}", "n": 1e3, "list": [{"a": null}]});
        let pretty = serde_json::to_string_pretty(&claims).unwrap();
        for (name, text, is_copied) in [
            ("as it is", r#"{ "sub":"a\u00e9\u007f","list":[{"a":null}],"n":1e3 }"#, true),
            ("with line breaks", pretty.as_str(), false),
            (
                "with a control character",
                "{\"sub\":\"a\u{e9}\u{7f}\",\"n\":1e3,\"list\":[{\"a\":null}]}",
                false,
            ),
        ] {
            let claims = json::parse(text.as_bytes(), json::Limits::default()).unwrap();
            let mut identity =
                Identity { claims: claims.as_object().unwrap().clone(), ..Identity::default() };
            let unpublished = identity.clone();
            identity.publish(&[Property::Identity], Some(text.as_bytes()));
            let [(_, whole)] = &identity.properties[..] else { panic!("one property") };
            assert_eq!(Identity::from_property(whole), Some(unpublished), "{name}");
            assert_eq!(whole.windows(text.len()).any(|part| part == text.as_bytes()), is_copied, "{name}");
        }
    }
}
