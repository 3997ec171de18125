#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "texts and numbers of these tests only"
)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{E1, E2, OTHER, R1, R2, SigningKey, jwks};
use crate::{Algorithm, SoftwareVerifier};

const NOW: u64 = 1_700_000_000;
const ISSUER: &str = "https://issuer.test/";

fn policy() -> TokenPolicy {
    TokenPolicy::new(ISSUER, &["api://orders"], &Algorithm::USUAL)
}

fn keys() -> KeySet {
    KeySet::from_value(&jwks(&[&R1, &E1]), &Algorithm::USUAL).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "api://orders", "sub": "u1", "exp": NOW + 300, "iat": NOW, "scope": "orders:read"})
}

fn judge(token: &str) -> Result<VerifiedToken, Rejection> {
    judge_with(token, &keys())
}

fn judge_with(token: &str, keys: &KeySet) -> Result<VerifiedToken, Rejection> {
    UnverifiedToken::parse(token.as_bytes())?
        .check(&policy(), UnixTime::from_secs(NOW))?
        .verify(keys, &SoftwareVerifier)
}

/// `r1`'s token with a header of exactly this text.
fn with_header(header: &str) -> String {
    R1.sign_bytes(header.as_bytes(), claims().to_string().as_bytes())
}

/// `r1`'s token with a payload of exactly these bytes.
fn with_payload(payload: impl AsRef<[u8]>) -> String {
    R1.sign_bytes(R1.header().to_string().as_bytes(), payload.as_ref())
}

/// `r1`'s token with this text spliced into the claims.
fn with_claim(text: &str) -> String {
    let claims = claims().to_string();
    with_payload(format!("{},{text}}}", claims.strip_suffix('}').unwrap()))
}

fn changed(claims: &[(&str, Value)]) -> String {
    let mut all = self::claims();
    for (name, value) in claims {
        all[name] = value.clone();
    }
    with_payload(all.to_string())
}

#[test]
fn tokens_of_both_algorithms_are_verified() {
    for key in [&R1, &E1] {
        let token = judge(&key.token(&claims())).unwrap();
        assert_eq!(token.claims(), claims().as_object().unwrap());
        assert_eq!(token.validity().check(UnixTime::from_secs(NOW + 330)), Err(Rejection::Expired));
    }
}

// covers: JWT-FMT-01, JWT-FMT-02, JWT-FMT-03, JWT-ALG-30
#[test]
fn the_algorithm_is_exactly_a_configured_one() {
    let unsigned = |token: String| token[..=token.rfind('.').unwrap()].to_owned();
    let none = unsigned(with_header(r#"{"alg":"none","typ":"JWT"}"#));
    let stripped = unsigned(R1.token(&claims()));
    for (name, token) in [
        ("none without signature", none.clone()),
        ("none with a signature", format!("{none}AA")),
        ("signature stripped", stripped.clone()),
        ("signature and dot stripped", stripped.trim_end_matches('.').to_owned()),
    ] {
        assert!(judge(&token).is_err(), "{name}");
    }
    let names = [
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""none ""#,
        r#""rs256""#,
        r#""RS256 ""#,
        r#""""#,
        "null",
        "5",
    ];
    let others =
        [r#"["RS256"]"#, "{}", r#""ES256K""#, r#""RS1""#, r#""ML-DSA-44""#, r#""HS256/64""#, r#""HS256""#];
    for name in names.into_iter().chain(others) {
        let token = with_header(&format!(r#"{{"alg":{name},"kid":"r1"}}"#));
        assert_eq!(judge(&token), Err(Rejection::AlgorithmNotAllowed), "{name}");
    }
    assert_eq!(judge(&with_header(r#"{"kid":"r1"}"#)), Err(Rejection::AlgorithmNotAllowed));
    let only_es256 = TokenPolicy { algorithms: vec![Algorithm::Es256], ..policy() };
    let token = R1.token(&claims());
    let checked =
        UnverifiedToken::parse(token.as_bytes()).unwrap().check(&only_es256, UnixTime::from_secs(NOW));
    assert_eq!(checked.map(|_| ()), Err(Rejection::AlgorithmNotAllowed));
}

// covers: JWT-FMT-04, JWT-FMT-05, JWT-FMT-06, JWT-FMT-09, JWT-FMT-10, JWT-FMT-20, JWT-FMT-25
#[test]
fn only_the_compact_form_is_a_token() {
    let token = R1.token(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let json = json!({"payload": payload, "protected": header, "signature": signature}).to_string();
    let flattened =
        json!({"payload": payload, "protected": header, "header": {"alg": "HS256"}, "signature": signature});
    let flattened = flattened.to_string();
    let other_alphabet = |part: &str| part.replace('-', "+").replace('_', "/");
    // A payload whose text surely holds both special characters.
    let special =
        R1.sign_parts(header, &other_alphabet(&crate::base64url::encode(b"{\"\xc2\xbe\xc2\xbf?\":1}")));
    for (name, text) in [
        ("JSON serialization", json.as_str()),
        ("algorithm in an unprotected header", &flattened),
        ("general JSON serialization", r#"{"payload":"a","signatures":[]}"#),
        ("one part", header),
        ("two parts", &format!("{header}.{payload}")),
        ("four parts", &format!("{token}.{signature}")),
        ("empty first part", &format!(".{token}")),
        ("empty last part", &format!("{token}.")),
        ("empty part inside", &format!("{header}..{payload}.{signature}")),
        ("detached payload", &format!("{header}..{signature}")),
        ("padded signature", &format!("{token}==")),
        ("padded header, signed so", &R1.sign_parts(&format!("{header}="), payload)),
        ("padded payload, signed so", &R1.sign_parts(header, &format!("{payload}="))),
        ("standard alphabet, signed so", &special),
        ("percent-encoded dots", &token.replace('.', "%2E")),
        ("nothing", ""),
    ] {
        assert_eq!(judge(text), Err(Rejection::Malformed), "{name}");
    }
}

/// The same bytes spelt with another last character, if unused bits are left over.
fn respell(part: &str) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return None;
    }
    let (rest, last) = part.split_at(part.len() - 1);
    let digit = ALPHABET.iter().position(|byte| *byte == last.as_bytes()[0])?;
    Some(format!("{rest}{}", char::from(ALPHABET[digit ^ 1])))
}

// covers: JWT-FMT-07, JWT-FMT-08
#[test]
fn a_token_has_one_spelling() {
    let token = R1.token(&claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(judge(&format!("{message}.{}", respell(signature).unwrap())), Err(Rejection::Malformed));
    let header = message.split('.').next().unwrap();
    let payloads = (0..3)
        .map(|spaces| crate::base64url::encode(format!("{}{}", claims(), " ".repeat(spaces)).as_bytes()));
    let respelt: Vec<String> = payloads.filter_map(|payload| respell(&payload)).collect();
    assert_eq!(respelt.len(), 2);
    for payload in respelt {
        assert_eq!(judge(&R1.sign_parts(header, &payload)), Err(Rejection::Malformed));
    }
    assert_eq!(judge(&R1.sign_parts(header, "e30*")), Err(Rejection::Malformed));
}

// covers: JWT-FMT-11, JWT-FMT-29
#[test]
fn header_and_payload_are_utf8() {
    let utf16: Vec<u8> = claims().to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let base = claims().to_string();
    let open = base.strip_suffix('}').unwrap();
    for (name, text) in [
        ("byte order mark", [b"\xef\xbb\xbf", base.as_bytes()].concat()),
        ("UTF-16", utf16),
        ("broken sequence", [open.as_bytes(), b",\"x\":\"\xc3\x28\"}"].concat()),
        ("overlong", [open.as_bytes(), b",\"x\":\"\xc0\xaf\"}"].concat()),
        ("lone surrogate", [open.as_bytes(), b",\"x\":\"\\ud800\"}"].concat()),
        ("character cut off", [open.as_bytes(), b",\"x\":\"\xe2\x82\"}"].concat()),
    ] {
        assert_eq!(judge(&with_payload(&text)), Err(Rejection::Malformed), "payload: {name}");
        let token = R1.sign_bytes(&text, base.as_bytes());
        assert_eq!(judge(&token), Err(Rejection::Malformed), "header: {name}");
    }
}

// covers: JWT-FMT-12, JWT-FMT-13, JWT-FMT-14
#[test]
fn member_names_are_unique_at_every_level() {
    for header in [
        r#"{"alg":"none","alg":"RS256"}"#,
        r#"{"alg":"RS256","kid":"r1","kid":"r1"}"#,
        r#"{"alg":"RS256","kid":"r1","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"RS256","kid":"r1","crit":[],"crit":[]}"#,
        r#"{"alg":"RS256","kid":"r1","x":1,"x":2}"#,
    ] {
        assert_eq!(judge(&with_header(header)), Err(Rejection::Malformed), "{header}");
    }
    for claim in [
        r#""scope":"admin""#,
        r#""aud":"api://orders""#,
        r#""sub":"admin""#,
        r#""exp":9999999999"#,
        r#""roles":[],"roles":["admin"]"#,
        r#""realm_access":{"roles":[],"roles":["admin"]}"#,
        r#""\u0073cope":"admin""#,
    ] {
        assert_eq!(judge(&with_claim(claim)), Err(Rejection::Malformed), "{claim}");
    }
}

// covers: JWT-FMT-15, JWT-FMT-31
#[test]
fn depth_and_numbers_are_bounded() {
    let nested = |levels: usize| format!(r#""x":{}{}"#, "[".repeat(levels), "]".repeat(levels));
    // The payload object is the first level.
    for (name, claim, expected) in [
        ("31 levels of array", nested(31), true),
        ("32 levels of array", nested(32), false),
        ("33 levels", nested(33), false),
        ("127 levels", nested(127), false),
        ("128 levels", nested(128), false),
        ("129 levels", nested(129), false),
        ("2,700 levels", nested(2_700), false),
        ("1e400", r#""x":1e400"#.into(), false),
        ("2^64", r#""x":18446744073709551616"#.into(), false),
        ("5,000 digits", format!(r#""x":{}"#, "9".repeat(5_000)), false),
        ("-0", r#""x":-0"#.into(), true),
        ("1E-9999", r#""x":1E-9999"#.into(), true),
    ] {
        let result = judge(&with_claim(&claim)).map(|_| ());
        assert_eq!(result, if expected { Ok(()) } else { Err(Rejection::Malformed) }, "{name}");
    }
}

// covers: JWT-FMT-16
#[test]
fn a_long_token_is_refused_by_its_length() {
    for len in [8_193, 60_000, 1_048_576] {
        assert_eq!(judge(&"a".repeat(len)), Err(Rejection::Malformed), "{len}");
    }
    let padding = |len: usize| with_claim(&format!(r#""x":"{}""#, "a".repeat(len)));
    let mut len = 5_000;
    while padding(len).len() <= crate::compact::MAX_TOKEN {
        len += 1;
    }
    assert!(judge(&padding(len - 1)).is_ok());
    assert_eq!(judge(&padding(len)), Err(Rejection::Malformed));
}

// covers: JWT-FMT-17, JWT-FMT-18, JWT-FMT-28
#[test]
fn the_payload_is_one_object() {
    let base = claims().to_string();
    let nested = R1.token(&claims());
    for (name, payload, expected) in [
        ("array", "[]", false),
        ("string", r#""x""#, false),
        ("number", "1", false),
        ("null", "null", false),
        ("true", "true", false),
        ("cut off", "{", false),
        ("two objects", &format!("{base}{base}"), false),
        ("text behind", &format!("{base} x"), false),
        ("NUL behind", &format!("{base}\0"), false),
        ("line feed behind", &format!("{base}\n"), true),
        ("nested token", nested.as_str(), false),
    ] {
        let result = judge(&with_payload(payload)).map(|_| ());
        assert_eq!(result, if expected { Ok(()) } else { Err(Rejection::Malformed) }, "{name}");
    }
    assert_eq!(judge(&with_payload("")), Err(Rejection::Malformed));
}

// covers: JWT-FMT-19
#[test]
fn white_space_is_no_part_of_a_token() {
    let token = R1.token(&claims());
    for text in
        [format!("{token}\t"), format!("{token}\n"), format!(" {token}"), token.replacen('.', "\n.", 1)]
    {
        assert_eq!(judge(&text), Err(Rejection::Malformed), "{text:?}");
    }
}

// covers: JWT-FMT-22, JWT-FMT-23
#[test]
fn encrypted_tokens_are_refused_unopened() {
    for header in [
        r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","p2c":2147483647,"p2s":"AAAAAAAAAAA","enc":"A128CBC-HS256"}"#,
    ] {
        let token = format!("{}.AAAA.AAAA.AAAA.AAAA", crate::base64url::encode(header.as_bytes()));
        assert_eq!(judge(&token), Err(Rejection::Encrypted), "{header}");
        assert_eq!(judge(&with_header(header)), Err(Rejection::Encrypted), "three parts: {header}");
    }
}

// covers: JWT-FMT-24, JWT-FMT-26, JWT-FMT-27
#[test]
fn extensions_that_change_the_meaning_are_refused() {
    for member in [
        r#""b64":false,"crit":["b64"]"#,
        r#""b64":false"#,
        r#""b64":"false""#,
        r#""crit":["foo"],"foo":"1""#,
        r#""crit":["foo"]"#,
        r#""crit":[]"#,
        r#""crit":["exp"]"#,
        r#""crit":"exp""#,
        r#""crit":["alg"]"#,
        r#""crit":["foo","foo"]"#,
        r#""crit":null"#,
        r#""zip":"DEF""#,
        r#""enc":"A128GCM""#,
    ] {
        let token = with_header(&format!(r#"{{"alg":"RS256","kid":"r1",{member}}}"#));
        let expected = if member.contains("enc") { Rejection::Encrypted } else { Rejection::Malformed };
        assert_eq!(judge(&token), Err(expected), "{member}");
    }
}

// covers: JWT-ALG-03, JWT-ALG-07, JWT-ALG-21, JWT-ALG-25
#[test]
fn only_keys_of_the_issuer_verify() {
    let attacker =
        |header: Value| OTHER.sign_bytes(header.to_string().as_bytes(), claims().to_string().as_bytes());
    let jwk = OTHER.public_jwk();
    let unknown = |id: Value| {
        let header = json!({"alg": "RS256", "kid": id});
        R1.sign_bytes(header.to_string().as_bytes(), claims().to_string().as_bytes())
    };
    for (name, token, expected) in [
        ("embedded key", attacker(json!({"alg": "RS256", "jwk": jwk})), Rejection::SignatureInvalid),
        (
            "embedded key and kid",
            attacker(json!({"alg": "RS256", "kid": "r1", "jwk": jwk})),
            Rejection::SignatureInvalid,
        ),
        (
            "embedded certificate",
            attacker(json!({"alg": "RS256", "x5c": ["AAAA"]})),
            Rejection::SignatureInvalid,
        ),
        (
            "address of a key set",
            attacker(json!({"alg": "RS256", "jku": "https://a.test/"})),
            Rejection::SignatureInvalid,
        ),
        ("attacker's own kid", attacker(OTHER.header()), Rejection::UnknownKey),
        ("unknown kid", unknown(json!("r9")), Rejection::UnknownKey),
        ("empty kid", unknown(json!("")), Rejection::Malformed),
        ("numeric kid", unknown(json!(1)), Rejection::Malformed),
        ("null kid", unknown(json!(null)), Rejection::Malformed),
        ("list as kid", unknown(json!([])), Rejection::Malformed),
        ("object as kid", unknown(json!({})), Rejection::Malformed),
        ("boolean kid", unknown(json!(true)), Rejection::Malformed),
        ("another algorithm of the key type", unknown(json!("e1")), Rejection::UnknownKey),
        (
            "PS256 under an RS256 key",
            with_header(r#"{"alg":"PS256","kid":"r1"}"#),
            Rejection::AlgorithmNotAllowed,
        ),
        (
            "RS512 under an RS256 key",
            with_header(r#"{"alg":"RS512","kid":"r1"}"#),
            Rejection::AlgorithmNotAllowed,
        ),
        (
            "HS256 under an RSA key",
            with_header(r#"{"alg":"HS256","kid":"r1"}"#),
            Rejection::AlgorithmNotAllowed,
        ),
        ("HS256 without kid", with_header(r#"{"alg":"HS256"}"#), Rejection::AlgorithmNotAllowed),
    ] {
        assert_eq!(judge(&token), Err(expected), "{name}");
    }
}

/// HMAC-SHA256 (RFC 2104), which the crate itself has no use for.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let key = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let pad = |byte: u8| (0..64).map(|at| key.get(at).unwrap_or(&0) ^ byte).collect::<Vec<_>>();
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

/// DER as PEM; base64 by way of base64url, since its length is a multiple of three.
fn pem(der: &[u8], line_end: &str) -> String {
    let text = crate::base64url::encode(der).replace('-', "+").replace('_', "/");
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----{line_end}{}{line_end}-----END PUBLIC KEY-----", lines.join(line_end))
}

// covers: JWT-ALG-01, JWT-ALG-02
#[test]
fn a_public_key_is_no_shared_secret() {
    for key in [&R1, &E1] {
        let jwk = key.public_jwk();
        let spki = crate::VerificationKey::from_jwk(&jwk, &Algorithm::USUAL).unwrap().spki().to_vec();
        let coordinate = jwk.get("n").or(jwk.get("x")).unwrap().as_str().unwrap();
        for secret in [
            pem(&spki, "\n").into_bytes(),
            (pem(&spki, "\n") + "\n").into_bytes(),
            (pem(&spki, "\r\n") + "\r\n").into_bytes(),
            jwk.to_string().into_bytes(),
            coordinate.into(),
            crate::base64url::decode(coordinate.as_bytes()).unwrap(),
            spki[spki.len() - 65..].to_vec(),
            spki,
            Vec::new(),
        ] {
            let header = json!({"alg": "HS256", "kid": jwk["kid"]}).to_string();
            let encode = crate::base64url::encode;
            let message =
                format!("{}.{}", encode(header.as_bytes()), encode(claims().to_string().as_bytes()));
            let token = format!("{message}.{}", encode(&hmac(&secret, message.as_bytes())));
            assert_eq!(judge(&token), Err(Rejection::AlgorithmNotAllowed));
        }
    }
}

// covers: JWT-ALG-26
#[test]
fn without_kid_at_most_two_keys_are_tried() {
    let token = R1.sign_bytes(br#"{"alg":"RS256"}"#, claims().to_string().as_bytes());
    for (name, keys, expected) in [
        ("one key", vec![&*R1], Ok(())),
        ("two keys", vec![&*R2, &*R1], Ok(())),
        ("two keys, none fits", vec![&*R2, &*OTHER], Err(Rejection::SignatureInvalid)),
        ("three keys", vec![&*R1, &*R2, &*OTHER], Err(Rejection::UnknownKey)),
        ("keys of another algorithm", vec![&*E1, &*E2], Err(Rejection::UnknownKey)),
    ] {
        let keys = KeySet::from_value(&jwks(&keys), &Algorithm::USUAL).unwrap();
        assert_eq!(judge_with(&token, &keys).map(|_| ()), expected, "{name}");
    }
}

fn with_signature(key: &SigningKey, change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let token = key.token(&claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{}", crate::base64url::encode(&change(key.signature(message.as_bytes()))))
}

// covers: JWT-ALG-14, JWT-ALG-15, JWT-ALG-19
#[test]
fn signatures_have_one_form() {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    const FIELD: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    let number = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let (zero, mut order_plus_one) = (vec![0; 32], number(ORDER));
    order_plus_one[31] += 1;
    let r = |value: Vec<u8>| with_signature(&E1, |signature| [&value, &signature[32..]].concat());
    let s = |value: Vec<u8>| with_signature(&E1, |signature| [&signature[..32], &value].concat());
    for (name, token) in [
        ("zero bytes", with_signature(&E1, |_| vec![0; 64])),
        ("r = 0", r(zero.clone())),
        ("s = 0", s(zero)),
        ("r = n", r(number(ORDER))),
        ("s = n", s(number(ORDER))),
        ("r = n + 1", r(order_plus_one)),
        ("r = s = p", with_signature(&E1, |_| [number(FIELD), number(FIELD)].concat())),
        ("DER", with_signature(&E1, |signature| crate::der::ecdsa_signature(&signature))),
        ("63 bytes", with_signature(&E1, |signature| signature[..63].to_vec())),
        ("65 bytes", with_signature(&E1, |signature| [&signature[..], &[0]].concat())),
        ("96 bytes", with_signature(&E1, |signature| [&signature[..], &[0; 32]].concat())),
        (
            "leading zeros",
            with_signature(&E1, |signature| [&[0], &signature[..32], &[0], &signature[32..]].concat()),
        ),
        ("RSA, 255 bytes", with_signature(&R1, |signature| signature[..255].to_vec())),
        ("RSA, 257 bytes", with_signature(&R1, |signature| [&[0], &signature[..]].concat())),
        ("RSA, signature + n", with_signature(&R1, |signature| plus_modulus(&signature))),
        ("RSA, all ones", with_signature(&R1, |_| vec![0xff; 256])),
    ] {
        assert_eq!(judge(&token), Err(Rejection::SignatureInvalid), "{name}");
    }
}

/// The sum modulo 2^2048; longer by a bit if it does not fit, which is refused as well.
fn plus_modulus(signature: &[u8]) -> Vec<u8> {
    let jwk = R1.public_jwk();
    let modulus = crate::base64url::decode(jwk["n"].as_str().unwrap().as_bytes()).unwrap();
    let mut carry = 0;
    let mut sum: Vec<u8> = Vec::new();
    for (a, b) in signature.iter().zip(&modulus).rev() {
        let digit = u16::from(*a) + u16::from(*b) + carry;
        sum.insert(0, digit as u8);
        carry = digit >> 8;
    }
    if carry > 0 {
        sum.insert(0, 1);
    }
    sum
}

// covers: JWT-CLM-01, JWT-CLM-02
#[test]
fn the_issuer_is_compared_byte_for_byte() {
    for issuer in [
        json!("https://issuer.test"),
        json!("HTTPS://issuer.test/"),
        json!("https://issuer.test//"),
        json!(" https://issuer.test/"),
        json!("https://issuer.test/?x"),
        json!("https://\u{456}ssuer.test/"),
        json!(null),
        json!(1),
        json!({}),
        json!(["evil", ISSUER]),
    ] {
        assert_eq!(judge(&changed(&[("iss", issuer.clone())])), Err(Rejection::UnknownIssuer), "{issuer}");
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("iss");
    assert_eq!(judge(&R1.token(&without)), Err(Rejection::UnknownIssuer));
}

#[test]
fn what_needs_no_key_is_judged_before_the_signature() {
    struct Never;
    impl SignatureVerifier for Never {
        fn is_valid(&self, _: &crate::VerificationKey, _: &[u8], _: &[u8]) -> bool {
            panic!("a signature was verified");
        }
    }
    let short = with_signature(&R1, |signature| signature[1..].to_vec());
    let token = UnverifiedToken::parse(short.as_bytes()).unwrap();
    let result = token.check(&policy(), UnixTime::from_secs(NOW)).unwrap().verify(&keys(), &Never);
    assert_eq!(result, Err(Rejection::SignatureInvalid));
}

proptest! {
    #[test]
    fn any_bytes_are_refused(token in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(judge_with(&String::from_utf8_lossy(&token), &keys()).is_err());
        prop_assert!(UnverifiedToken::parse(&token).is_err());
    }

    #[test]
    fn any_parts_are_refused(header in "\\PC{0,60}", payload in "\\PC{0,60}", signature in any::<[u8; 8]>()) {
        let encode = |bytes: &[u8]| crate::base64url::encode(bytes);
        let token = [encode(header.as_bytes()), encode(payload.as_bytes()), encode(&signature)].join(".");
        prop_assert!(judge(&token).is_err());
    }

    #[test]
    fn one_changed_byte_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static TOKEN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| E1.token(&claims()));
        let mut token = TOKEN.clone().into_bytes();
        let at = at.index(token.len());
        prop_assume!(token[at] != byte);
        token[at] = byte;
        let result = UnverifiedToken::parse(&token)
            .and_then(|token| token.check(&policy(), UnixTime::from_secs(NOW)))
            .and_then(|token| token.verify(&keys(), &SoftwareVerifier));
        prop_assert!(result.is_err());
    }
}
