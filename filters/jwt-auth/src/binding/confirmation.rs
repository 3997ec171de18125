//! The `cnf` claim (RFC 7800): which key or certificate a token is bound to.

use portcullis_jose::base64url;
use serde_json::{Map, Value};

use super::BindingRefusal;

/// What a token is bound to; both may be asked for at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: SHA-256 thumbprint of a DPoP key (RFC 9449 section 6.1).
    pub key: Option<[u8; 32]>,
    /// `x5t#S256`: SHA-256 of a client certificate in DER (RFC 8705 section 3.1).
    pub certificate: Option<[u8; 32]>,
}

impl Confirmation {
    /// Reads the claim; without one the token is bound to nothing.
    ///
    /// # Errors
    /// [`BindingRefusal::ConfirmationInvalid`] for a claim that is not an object, an empty one, a member that this
    /// filter can't check (to leave it out would lift the issuer's restriction), and a value that is not 32 bytes in
    /// base64url without padding.
    pub fn of(claims: &Map<String, Value>) -> Result<Self, BindingRefusal> {
        let Some(claim) = claims.get("cnf") else {
            return Ok(Self::default());
        };
        let members = claim.as_object().filter(|members| !members.is_empty());
        let mut confirmation = Self::default();
        for (name, value) in members.ok_or(BindingRefusal::ConfirmationInvalid)? {
            let digest = value.as_str().and_then(|text| base64url::decode(text.as_bytes()));
            let digest = digest.and_then(|digest| digest.try_into().ok());
            let place = match name.as_str() {
                "jkt" => &mut confirmation.key,
                "x5t#S256" => &mut confirmation.certificate,
                _ => return Err(BindingRefusal::ConfirmationInvalid),
            };
            *place = Some(digest.ok_or(BindingRefusal::ConfirmationInvalid)?);
        }
        Ok(confirmation)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: JWT-POP-01
    #[test]
    fn only_what_can_be_checked_is_a_confirmation() {
        let digest = [7; 32];
        let text = base64url::encode(&digest);
        let invalid = Err(BindingRefusal::ConfirmationInvalid);
        for (name, claims, expected) in [
            ("none", json!({}), Ok(Confirmation::default())),
            (
                "a key",
                json!({"cnf": {"jkt": text}}),
                Ok(Confirmation { key: Some(digest), certificate: None }),
            ),
            (
                "a certificate",
                json!({"cnf": {"x5t#S256": text}}),
                Ok(Confirmation { key: None, certificate: Some(digest) }),
            ),
            (
                "both",
                json!({"cnf": {"x5t#S256": text, "jkt": text}}),
                Ok(Confirmation { key: Some(digest), certificate: Some(digest) }),
            ),
            ("null", json!({"cnf": null}), invalid),
            ("a string", json!({"cnf": text}), invalid),
            ("empty", json!({"cnf": {}}), invalid),
            ("a list", json!({"cnf": [{"jkt": text}]}), invalid),
            ("padded", json!({"cnf": {"x5t#S256": format!("{text}=")}}), invalid),
            ("hexadecimal", json!({"cnf": {"x5t#S256": "07".repeat(32)}}), invalid),
            ("shorter", json!({"cnf": {"x5t#S256": base64url::encode(&[7; 31])}}), invalid),
            ("longer", json!({"cnf": {"x5t#S256": base64url::encode(&[7; 33])}}), invalid),
            ("a number", json!({"cnf": {"jkt": 7}}), invalid),
            ("another name", json!({"cnf": {"x5t#s256": text}}), invalid),
            ("SHA-1", json!({"cnf": {"x5t": text}}), invalid),
            ("one that can't be checked as well", json!({"cnf": {"jkt": text, "kid": "k1"}}), invalid),
        ] {
            assert_eq!(Confirmation::of(claims.as_object().unwrap()), expected, "{name}");
        }
    }
}
