//! The SHA-256 thumbprint of a public JWK (RFC 7638), by which `cnf.jkt` names a client's key (RFC 9449 section 6.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// SHA-256 over the members that make up the key, in their one canonical spelling (RFC 7638 section 3.2, RFC 8037
/// section 2 for OKP). All other members, private ones too, have no part in it.
///
/// None for another key type, or if a required member is missing or not a string. The values are hashed as they are
/// written: check the key with [`VerificationKey::from_jwk`](crate::VerificationKey::from_jwk), which takes one spelling only.
#[must_use]
pub fn sha256(jwk: &Map<String, Value>) -> Option<[u8; 32]> {
    let required: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let member = |name: &&'static str| Some((*name, jwk.get(*name)?.as_str()?));
    // A map in the order of its names, written without white space, is the form of RFC 7638 section 3.3.
    let canonical: BTreeMap<&str, &str> = required.iter().map(member).collect::<Option<_>>()?;
    let canonical = serde_json::to_vec(&canonical).ok()?;
    Some(Sha256::digest(canonical).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base64url;

    fn thumbprint(jwk: &Value) -> Option<String> {
        sha256(jwk.as_object().unwrap()).map(|digest| base64url::encode(&digest))
    }

    #[test]
    fn the_examples_of_the_standards_have_their_thumbprints() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
                 jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz\
                 s8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G\
                 _xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        for (name, jwk, expected) in [
            (
                "RFC 7638 section 3.1",
                json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}),
                "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            ),
            (
                "RFC 8037 appendix A.3",
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
                "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            ),
            (
                "RFC 9449 section 6.1",
                json!({
                    "kty": "EC", "crv": "P-256",
                    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
                }),
                "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            ),
        ] {
            assert_eq!(thumbprint(&jwk).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn only_whole_public_keys_have_one() {
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
        let mut private = ec.clone();
        private["d"] = json!("AA");
        assert_eq!(thumbprint(&private), thumbprint(&ec), "other members have no part in it");
        for (name, jwk) in [
            ("no key type", json!({"n": "AA", "e": "AQAB"})),
            ("a secret", json!({"kty": "oct", "k": "AA"})),
            ("a coordinate is missing", json!({"kty": "EC", "crv": "P-256", "x": "AA"})),
            ("a coordinate is a number", json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": 1})),
        ] {
            assert_eq!(thumbprint(&jwk), None, "{name}");
        }
    }
}
