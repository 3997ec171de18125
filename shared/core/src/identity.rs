//! Who sent the request, as far as a filter has verified it.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A verified identity. Filters make one only from a credential that they have checked; nothing in it comes from
/// headers that a client can write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What [`Identity::properties`] made of the rest; leave it at its default.
    #[serde(skip)]
    pub rendered: Rendered,
}

/// The properties of an [`Identity`] once they were asked for; the fields must not change after that.
#[derive(Clone, Debug, Default)]
pub struct Rendered(OnceCell<Vec<(&'static str, Vec<u8>)>>);

/// Follows from the other fields, so it tells no two identities apart.
impl PartialEq for Rendered {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Identity {
    /// The name of the filter-state property that carries the whole identity, as JSON, from filter to filter.
    pub const PROPERTY: &'static str = "portcullis.identity";

    /// Reads the value of [`Identity::PROPERTY`]; none for anything else.
    #[must_use]
    pub fn from_property(property: &[u8]) -> Option<Self> {
        serde_json::from_slice(property).ok()
    }

    /// The filter-state properties of this identity, name and value: [`Identity::PROPERTY`], and the plain texts that
    /// Envoy's own filters and loggers read as `wasm.<name>`, only those that are not empty. Lists are joined by one
    /// space. Made once: a remembered identity is published for many requests.
    pub fn properties(&self) -> &[(&'static str, Vec<u8>)] {
        self.rendered.0.get_or_init(|| {
            let texts = [
                ("portcullis.identity.sub", self.subject.clone()),
                ("portcullis.identity.iss", self.issuer.clone()),
                ("portcullis.identity.client_id", self.client_id.clone()),
                ("portcullis.identity.scope", self.scopes.join(" ")),
                ("portcullis.identity.roles", self.roles.join(" ")),
            ];
            let known = texts.into_iter().filter(|(_, value)| !value.is_empty());
            // Strings, lists and claims always serialize; without the property readers take nobody as verified.
            let whole = (Self::PROPERTY, serde_json::to_vec(self).unwrap_or_default());
            known.map(|(name, value)| (name, value.into_bytes())).chain([whole]).collect()
        })
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
        let identity =
            Identity { subject: "a".into(), scopes: vec!["r".into(), "w".into()], ..Identity::default() };
        let [sub, scope, (name, whole)] = identity.properties() else { panic!("three properties") };
        assert_eq!(*sub, ("portcullis.identity.sub", b"a".to_vec()));
        assert_eq!(*scope, ("portcullis.identity.scope", b"r w".to_vec()));
        assert_eq!((*name, Identity::from_property(whole).unwrap()), (Identity::PROPERTY, identity.clone()));
    }
}
