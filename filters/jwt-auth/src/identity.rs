//! The identity in a verified token's claims.

use portcullis_core::Identity;
use portcullis_core::control::has_control;
use portcullis_jose::Rejection;
use serde_json::{Map, Value};

/// The claim of this name, or, where there is none, by the path of names joined with `.`.
#[must_use]
pub fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| {
        let mut names = path.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    })
}

/// Makes the identity. Client: `client_id` (RFC 9068 section 2.2), else `azp`. Scopes: the first of `scope_claims` that
/// is there, as a text with spaces or a list (RFC 9068 section 2.2.3 has the text; others write lists), whose members
/// are not split. An empty subject is none.
///
/// # Errors
/// [`Rejection::ClaimsInvalid`] when scopes or roles are neither a text nor a list of texts, or hold control characters.
pub fn from_claims(
    claims: Map<String, Value>,
    scope_claims: &[String],
    roles_claim: &str,
) -> Result<Identity, Rejection> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let client_id = if claims.contains_key("client_id") { text("client_id") } else { text("azp") };
    let scope = scope_claims.iter().find_map(|name| find(&claims, name));
    let scopes = match scope {
        Some(Value::String(scopes)) if !has_control(scopes) => {
            scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
        }
        Some(list) => texts(list).ok_or(Rejection::ClaimsInvalid)?,
        None => Vec::new(),
    };
    let roles = match find(&claims, roles_claim) {
        Some(roles) => texts(roles).ok_or(Rejection::ClaimsInvalid)?,
        None => Vec::new(),
    };
    Ok(Identity {
        issuer: text("iss"),
        subject: text("sub"),
        client_id,
        scopes,
        roles,
        claims,
        ..Identity::default()
    })
}

/// One text, or a list of texts, without control characters.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().filter(|text| !has_control(text)).map(str::to_owned);
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: Value, roles_claim: &str) -> Result<Identity, Rejection> {
        let scope_claims = crate::defaults::scope_claims();
        from_claims(claims.as_object().unwrap().clone(), &scope_claims, roles_claim)
    }

    #[test]
    fn each_member_has_its_claims() {
        let read = identity(
            json!({"iss": "i", "sub": "s", "client_id": "c", "azp": "x", "scope": "a  b", "realm": {"roles": ["r", "q"]}}),
            "realm.roles",
        )
        .unwrap();
        assert_eq!((read.issuer.as_str(), read.subject.as_str(), read.client_id.as_str()), ("i", "s", "c"));
        assert_eq!((read.scopes, read.roles), (vec!["a".into(), "b".into()], vec!["r".into(), "q".into()]));
        let read =
            identity(json!({"azp": "x", "scp": ["a", "b c"], "roles": "admin", "sub": ""}), "roles").unwrap();
        assert_eq!((read.client_id.as_str(), read.subject.as_str()), ("x", ""));
        assert_eq!((read.scopes, read.roles), (vec!["a".into(), "b c".into()], vec!["admin".into()]));
    }

    #[test]
    fn roles_of_another_type_are_refused() {
        for roles in
            [json!(1), json!(null), json!({"admin": true}), json!(["a", 1]), json!([["a"]]), json!("a\n")]
        {
            assert_eq!(identity(json!({"roles": roles}), "roles"), Err(Rejection::ClaimsInvalid), "{roles}");
        }
    }
}
