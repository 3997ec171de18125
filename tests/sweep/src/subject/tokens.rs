//! jwt-auth: each way to judge a credential, with the services that it asks.

use portcullis_jose::testing::{E1, OTHER, R1, SigningKey, ath, jwks};
use proxy_wasm_fault_host::Exchange;
use serde_json::{Value, json};

use super::{Case, NOW, Subject, failing_open, leaky, pass, refuse, request, subject};

const ISSUER: &str = "https://issuer.test/";

/// jwt-auth with each of its sources.
pub fn subjects() -> Vec<Subject> {
    let subject = |name, configuration, cases| subject(name, "jwt-auth", configuration, cases);
    vec![
        subject("jwt-auth, keys inline", inline(), cases()),
        Subject { native_signatures: false, ..subject("jwt-auth, signatures in wasm", inline(), cases()) },
        subject("jwt-auth, keys fetched", jwt_auth(&json!({"jwks": {"remote": remote("idp")}})), cases()),
        subject(
            "jwt-auth, no keys to be had",
            jwt_auth(&json!({"jwks": {"remote": remote("silent")}})),
            keyless_cases(),
        ),
        subject("jwt-auth, keys discovered", jwt_auth(&json!({"jwks": {"discovery": discovery()}})), cases()),
        subject("jwt-auth, introspection", introspection("introspection"), opaque_cases(None)),
        subject("jwt-auth, not active", introspection("inactive"), opaque_cases(Some(401))),
        subject("jwt-auth, no introspection", introspection("silent"), opaque_cases(Some(503))),
        failing_open(
            "jwt-auth, introspection, allow",
            "jwt-auth",
            &introspection("introspection"),
            opaque_cases(None),
        ),
        subject(
            "jwt-auth, revocation",
            jwt_auth(&revocation(&json!({"inline": ["taken-back"]}))),
            revocation_cases(),
        ),
        subject(
            "jwt-auth, no revocation list",
            jwt_auth(&revocation(&json!({"remote": remote("revoked")}))),
            unlisted_cases(),
        ),
        subject("jwt-auth, proofs", proofs(), proof_cases()),
    ]
}

/// What each service answers, by its cluster.
pub fn answers() -> [(&'static str, Value); 5] {
    let metadata = json!({"issuer": ISSUER, "jwks_uri": "https://idp.test/jwks"});
    let active = json!({"active": true, "sub": "alice", "aud": "api://orders", "exp": NOW + 600, "scope": "orders.read"});
    [
        ("idp", jwks(&[&R1, &E1])),
        ("metadata", metadata),
        ("introspection", active),
        ("inactive", json!({"active": false})),
        ("revoked", json!({"revoked": ["taken-back"]})),
    ]
}

/// Keys in the configuration.
pub fn inline() -> Value {
    jwt_auth(&json!({"jwks": {"inline": jwks(&[&R1, &E1])}}))
}

/// One provider with these members.
fn jwt_auth(members: &Value) -> Value {
    let provider = json!({
        "name": "main",
        "issuer": ISSUER,
        "audiences": ["api://orders"],
        "claims_to_headers": [{"claim": "sub", "header": "x-user-id"}],
    });
    json!({
        "realm": "orders",
        "providers": [with(provider, members)],
        "rules": [{"id": "health", "match": {"path": "/health"}, "require": "none"}],
    })
}

fn remote(cluster: &str) -> Value {
    json!({"url": "http://idp.test/document", "cluster": cluster, "timeout": "1s", "min_refetch": "1s"})
}

fn discovery() -> Value {
    json!({"cluster": "metadata", "jwks_cluster": "idp", "jwks_hosts": ["idp.test"], "timing": {"timeout": "1s", "min_refetch": "1s"}})
}

fn introspection(cluster: &str) -> Value {
    let client = json!({
        "url": "http://idp.test/introspect", "cluster": cluster, "timeout": "1s",
        "client_id": "gateway", "client_secret": {"env": "CLIENT_SECRET"},
    });
    jwt_auth(&json!({"introspection": client}))
}

fn revocation(list: &Value) -> Value {
    json!({"jwks": {"inline": jwks(&[&R1, &E1])}, "revocation": list})
}

fn proofs() -> Value {
    let mut configuration = inline();
    configuration["binding"] = json!({"dpop": {"replay_slots": 1024}});
    configuration
}

/// A token that `key` signed; `lifetime` seconds from now.
#[must_use]
pub fn token(key: &SigningKey, lifetime: i64) -> String {
    key.token(&claims(lifetime))
}

fn claims(lifetime: i64) -> Value {
    let now = i64::try_from(NOW).unwrap();
    json!({
        "iss": ISSUER,
        "aud": "api://orders",
        "sub": "alice",
        "iat": now - 600,
        "exp": now + lifetime,
        "scope": "orders.read",
    })
}

fn bearer(path: &str, token: &str) -> Exchange {
    leaky(request("GET", path, &[("authorization", &format!("Bearer {token}")), ("x-user-id", "admin")]))
}

pub fn cases() -> Vec<Case> {
    vec![
        pass("a valid RS256 token", bearer("/orders/7", &token(&R1, 600))),
        pass("a valid ES256 token", bearer("/orders/7", &token(&E1, 600))),
        pass(
            "no token where none is asked for",
            Exchange::new(request("GET", "/health", &[("x-user-id", "admin")])),
        ),
        refuse("no token", 401, Exchange::new(request("GET", "/orders/7", &[]))),
        refuse("an expired token", 401, bearer("/orders/7", &token(&R1, -300))),
        refuse("a stranger's token", 401, bearer("/orders/7", &token(&OTHER, 600))),
        refuse("a broken signature", 401, bearer("/orders/7", &format!("{}A", token(&R1, 600)))),
    ]
}

fn keyless_cases() -> Vec<Case> {
    vec![
        refuse("a valid token", 503, bearer("/orders/7", &token(&R1, 600))),
        refuse("no token", 401, Exchange::new(request("GET", "/orders/7", &[]))),
    ]
}

/// Opaque tokens; `refused` is what becomes of each that is sent.
fn opaque_cases(refused: Option<u32>) -> Vec<Case> {
    let one = bearer("/orders/7", "2YotnFZFEjr1zCsicMWpAA");
    vec![
        Case { name: "an opaque token", exchange: one, refused },
        refuse("a signed token", 401, bearer("/orders/7", &token(&R1, 600))),
        refuse("no token", 401, Exchange::new(request("GET", "/orders/7", &[]))),
    ]
}

fn revocation_cases() -> Vec<Case> {
    let named = |jti: &str| R1.token(&with(claims(600), &json!({"jti": jti})));
    vec![
        pass("a token that is not on the list", bearer("/orders/7", &named("good"))),
        refuse("a token that was taken back", 401, bearer("/orders/7", &named("taken-back"))),
        refuse("a token without a name", 401, bearer("/orders/7", &token(&R1, 600))),
    ]
}

/// Before the list was fetched.
fn unlisted_cases() -> Vec<Case> {
    let named = R1.token(&with(claims(600), &json!({"jti": "good"})));
    vec![
        refuse("a valid token", 503, bearer("/orders/7", &named)),
        refuse("no token", 401, Exchange::new(request("GET", "/orders/7", &[]))),
    ]
}

fn proof_cases() -> Vec<Case> {
    let bound = R1.token(&with(claims(600), &json!({"cnf": {"jkt": E1.jkt()}})));
    let proof = |key: &SigningKey, path: &str| {
        let uri = format!("http://api.test{path}");
        key.proof(&json!({"jti": "p1", "htm": "GET", "htu": uri, "iat": NOW, "ath": ath(bound.as_bytes())}))
    };
    let proven = |proof: &str| {
        let fields = [("authorization", format!("DPoP {bound}")), ("dpop", proof.to_owned())];
        leaky(request("GET", "/orders/7", &fields.each_ref().map(|(name, value)| (*name, value.as_str()))))
    };
    vec![
        // First the one that may come again.
        pass("a token that is not bound", bearer("/orders/7", &token(&R1, 600))),
        pass("a token with its proof", proven(&proof(&E1, "/orders/7"))),
        refuse("another key's proof", 401, proven(&proof(&OTHER, "/orders/7"))),
        refuse("a proof for another path", 401, proven(&proof(&E1, "/orders/8"))),
        refuse("a bound token without a proof", 401, bearer("/orders/7", &bound)),
    ]
}

/// An object with some more members.
fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}
