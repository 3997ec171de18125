//! Where an issuer says that its keys are (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).

use portcullis_core::json::{self, Limits};
use serde_json::Value;

use crate::remote::{self, Address};

/// What an issuer's metadata must say to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Equal to `issuer`, byte for byte ("MUST be identical", section 4.3; else one issuer could speak for another).
    pub issuer: String,
    /// The hosts, with port where it is not the scheme's own, that the keys may be fetched from.
    pub hosts: Vec<String>,
    /// The Envoy cluster that serves the keys.
    pub cluster: String,
    /// Whether the keys may come over http: only if the metadata do.
    pub allows_http: bool,
}

/// The address of the keys in an issuer's metadata.
///
/// # Errors
/// Why they are not used, without anything of them.
pub fn find(document: &[u8], discovery: &Discovery) -> Result<Address, String> {
    let metadata = json::parse(document, Limits::default()).map_err(|_| "the metadata are not JSON")?;
    if metadata.get("issuer").and_then(Value::as_str) != Some(discovery.issuer.as_str()) {
        return Err("the metadata are another issuer's".to_owned());
    }
    let url = metadata.get("jwks_uri").and_then(Value::as_str).ok_or("the metadata have no jwks_uri")?;
    let (scheme, authority, path) = remote::split_url(url).ok_or("jwks_uri is not an http or https URL")?;
    if scheme != "https" && !discovery.allows_http {
        return Err("jwks_uri is not https".to_owned());
    }
    if !discovery.hosts.iter().any(|host| host.eq_ignore_ascii_case(&authority)) {
        return Err("jwks_uri is on a host that is not allowed".to_owned());
    }
    Ok(Address { cluster: discovery.cluster.clone(), scheme, authority, path })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: JWT-JWKS-11
    #[test]
    fn only_the_issuer_itself_says_where_its_keys_are() {
        let discovery = |allows_http| Discovery {
            issuer: "https://idp.test/".into(),
            hosts: vec!["idp.test".into(), "keys.test:8443".into()],
            cluster: "idp".into(),
            allows_http,
        };
        for (issuer, uri, expected) in [
            (json!("https://idp.test/"), json!("https://idp.test/jwks?v=1"), Ok("idp.test/jwks?v=1")),
            (json!("https://idp.test/"), json!("https://KEYS.test:8443/jwks"), Ok("KEYS.test:8443/jwks")),
            (json!("https://idp.test"), json!("https://idp.test/jwks"), Err("another issuer's")),
            (json!(["https://idp.test/"]), json!("https://idp.test/jwks"), Err("another issuer's")),
            (json!(null), json!("https://idp.test/jwks"), Err("another issuer's")),
            (json!("https://idp.test/"), json!(null), Err("no jwks_uri")),
            (json!("https://idp.test/"), json!("http://idp.test/jwks"), Err("not https")),
            (json!("https://idp.test/"), json!("https://evil.test/jwks"), Err("not allowed")),
            (json!("https://idp.test/"), json!("https://idp.test:8443/jwks"), Err("not allowed")),
            (json!("https://idp.test/"), json!("https://idp.test@evil.test/jwks"), Err("not an http")),
            (json!("https://idp.test/"), json!("https://169.254.169.254/latest"), Err("not allowed")),
            (json!("https://idp.test/"), json!("file:///etc/passwd"), Err("not an http")),
            (json!("https://idp.test/"), json!("https://idp.test/a#b"), Err("not an http")),
            (json!("https://idp.test/"), json!("//idp.test/jwks"), Err("not an http")),
        ] {
            let text = json!({"issuer": issuer, "jwks_uri": uri}).to_string();
            let found = find(text.as_bytes(), &discovery(false));
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(format!("{}{}", found.authority, found.path), expected)
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}: {text}"),
                (found, _) => panic!("{found:?}: {text}"),
            }
        }
        let plain = json!({"issuer": "https://idp.test/", "jwks_uri": "http://idp.test/jwks"}).to_string();
        assert!(find(plain.as_bytes(), &discovery(true)).is_ok());
        let twice = br#"{"issuer": "https://evil.test/", "issuer": "https://idp.test/", "jwks_uri": "https://idp.test/"}"#;
        assert!(find(twice, &discovery(false)).is_err(), "two readings");
    }
}
