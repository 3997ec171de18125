//! The JOSE header of a JWS (RFC 7515 section 4).

use std::cell::RefCell;
use std::rc::Rc;

use portcullis_core::json::{self, Limits};
use serde_json::{Map, Value};

use crate::{Algorithm, Rejection, base64url};

/// Members that change how a token is to be read. This verifier supports none of them, and RFC 7515 section 4.1.11
/// says to refuse what is critical and not understood; many verifiers ignored it (CVE-2026-32597, CVE-2025-59420).
const UNSUPPORTED: [&str; 3] = ["crit", "b64", "zip"];

/// Members that carry a key or where to get one.
const KEY_MEMBERS: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];

/// Longest `kid`, in bytes. Providers use thumbprints and UUIDs.
pub const MAX_KEY_ID: usize = 256;

/// What verification needs of a header. Keys and addresses of keys in it (`jwk`, `x5c`, `jku`, `x5u`) are never
/// used: an attacker writes them (CVE-2018-0114, RFC 8725 section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoseHeader {
    /// `alg`, one that this crate knows.
    pub algorithm: Algorithm,
    /// `kid`: an opaque text, only ever compared with the key ids of the issuer.
    pub key_id: Option<String>,
    /// `typ`, as it is written (RFC 8725 section 3.11).
    pub media_type: Option<String>,
    /// Whether a member names or carries a key.
    pub has_key_members: bool,
}

impl JoseHeader {
    /// Checks a header object.
    ///
    /// # Errors
    /// [`Rejection::Encrypted`] for `enc`; [`Rejection::Malformed`] for an unsupported member or a member of the
    /// wrong type; [`Rejection::AlgorithmNotAllowed`] unless `alg` is the exact name of a known algorithm.
    pub fn from_members(mut members: Map<String, Value>) -> Result<Self, Rejection> {
        if members.contains_key("enc") {
            return Err(Rejection::Encrypted);
        }
        if UNSUPPORTED.iter().any(|name| members.contains_key(*name)) {
            return Err(Rejection::Malformed);
        }
        let algorithm = members.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name);
        let key_id = text_member(&mut members, "kid")?;
        if key_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_KEY_ID) {
            return Err(Rejection::Malformed);
        }
        let has_key_members = KEY_MEMBERS.iter().any(|name| members.contains_key(*name));
        Ok(Self {
            has_key_members,
            algorithm: algorithm.ok_or(Rejection::AlgorithmNotAllowed)?,
            key_id,
            media_type: text_member(&mut members, "typ")?,
        })
    }
}

/// The header that was read last. Tokens of one issuer have the same one, byte for byte, so most need no second reading.
#[derive(Debug, Default)]
pub struct LastHeader(RefCell<Option<(Vec<u8>, Rc<JoseHeader>)>>);

/// Longest text that is kept, in bytes.
const MAX_KEPT: usize = 1024;

impl LastHeader {
    /// The header in this base64url text.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when it is no JSON object; see [`JoseHeader::from_members`].
    pub fn read(&self, text: &[u8]) -> Result<Rc<JoseHeader>, Rejection> {
        if let Ok(last) = self.0.try_borrow()
            && let Some((_, header)) = last.as_ref().filter(|(known, _)| known == text)
        {
            return Ok(Rc::clone(header));
        }
        let document = base64url::decode(text).ok_or(Rejection::Malformed)?;
        let Ok(Value::Object(members)) = json::parse(&document, Limits::default()) else {
            return Err(Rejection::Malformed);
        };
        let header = Rc::new(JoseHeader::from_members(members)?);
        if text.len() <= MAX_KEPT
            && let Ok(mut last) = self.0.try_borrow_mut()
        {
            *last = Some((text.to_vec(), Rc::clone(&header)));
        }
        Ok(header)
    }
}

fn text_member(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Rejection> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Rejection::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_text_has_its_own_header() {
        let last = LastHeader::default();
        let text = |header: Value| base64url::encode(header.to_string().as_bytes());
        let read = |text: &str| last.read(text.as_bytes()).map(|header| header.key_id.clone());
        let (one, two) = (json!({"alg": "RS256", "kid": "one"}), json!({"alg": "RS256", "kid": "two"}));
        for _ in 0..2 {
            assert_eq!(read(&text(one.clone())), Ok(Some("one".to_owned())));
            assert_eq!(read(&text(one.clone())), Ok(Some("one".to_owned())));
            assert_eq!(read(&text(json!({"alg": "none"}))), Err(Rejection::AlgorithmNotAllowed));
            assert_eq!(read(&text(two.clone())), Ok(Some("two".to_owned())));
            assert_eq!(read(&format!("{}=", text(two.clone()))), Err(Rejection::Malformed));
            let long = "k".repeat(2 * MAX_KEPT);
            assert_eq!(read(&text(json!({"alg": "RS256", "x": long}))), Ok(None));
        }
    }

    #[test]
    fn only_plain_signatures_are_accepted() {
        let long = "k".repeat(MAX_KEY_ID + 1);
        for (name, header, expected) in [
            ("algorithm alone", json!({"alg": "RS256"}), Ok(None)),
            ("usual members", json!({"alg": "ES256", "typ": "JWT", "kid": "e1"}), Ok(Some("e1"))),
            ("unknown member", json!({"alg": "RS256", "x": 1}), Ok(None)),
            (
                "embedded key is not used",
                json!({"alg": "RS256", "jwk": {}, "jku": "https://a.test"}),
                Ok(None),
            ),
            ("no algorithm", json!({}), Err(Rejection::AlgorithmNotAllowed)),
            ("null algorithm", json!({"alg": null}), Err(Rejection::AlgorithmNotAllowed)),
            ("algorithm in a list", json!({"alg": ["RS256"]}), Err(Rejection::AlgorithmNotAllowed)),
            (
                "critical extension",
                json!({"alg": "RS256", "crit": ["foo"], "foo": "1"}),
                Err(Rejection::Malformed),
            ),
            ("empty crit", json!({"alg": "RS256", "crit": []}), Err(Rejection::Malformed)),
            ("null crit", json!({"alg": "RS256", "crit": null}), Err(Rejection::Malformed)),
            ("unencoded payload", json!({"alg": "RS256", "b64": false}), Err(Rejection::Malformed)),
            ("b64 true", json!({"alg": "RS256", "b64": true}), Err(Rejection::Malformed)),
            ("compression", json!({"alg": "RS256", "zip": "DEF"}), Err(Rejection::Malformed)),
            ("encryption", json!({"alg": "RS256", "enc": "A128GCM"}), Err(Rejection::Encrypted)),
            ("numeric kid", json!({"alg": "RS256", "kid": 1}), Err(Rejection::Malformed)),
            ("null kid", json!({"alg": "RS256", "kid": null}), Err(Rejection::Malformed)),
            ("empty kid", json!({"alg": "RS256", "kid": ""}), Err(Rejection::Malformed)),
            ("long kid", json!({"alg": "RS256", "kid": long}), Err(Rejection::Malformed)),
            ("numeric typ", json!({"alg": "RS256", "typ": 5}), Err(Rejection::Malformed)),
        ] {
            let members = header.as_object().unwrap().clone();
            let key_id = JoseHeader::from_members(members).map(|header| header.key_id);
            assert_eq!(key_id, expected.map(|id| id.map(str::to_owned)), "{name}");
        }
    }
}
