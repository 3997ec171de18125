use portcullis_core::config;
use portcullis_host::fake::FakeHost;
use portcullis_jose::testing::{E1, R1, jwks};
use serde_json::{Value, json};

use super::*;
use crate::credentials::Location;
use crate::provider::Keys;

fn host() -> FakeHost {
    let host = FakeHost::at(1_800_000_000);
    host.environment.borrow_mut().insert("SECRET".into(), "A".repeat(43));
    host.environment.borrow_mut().insert("SHORT".into(), "A".repeat(42));
    host
}

fn provider() -> Value {
    json!({
        "name": "main",
        "issuer": "https://issuer.test/",
        "audiences": ["api://orders"],
        "jwks": {"inline": jwks(&[&R1, &E1])}
    })
}

fn load(document: &Value) -> Result<Policy, String> {
    let config: Config = config::load(document.to_string().as_bytes()).map_err(|error| error.to_string())?;
    Policy::new(config, [7; 16], &host()).map_err(|error| error.to_string())
}

/// The configuration with a member of its provider replaced.
fn with(member: &str, value: Value) -> Result<Policy, String> {
    let mut provider = provider();
    provider[member] = value;
    load(&json!({"providers": [provider]}))
}

/// A provider with these secrets in place of its keys.
fn secrets(secrets: Value) -> Result<Policy, String> {
    let mut provider = provider();
    provider.as_object_mut().unwrap().remove("jwks");
    provider["shared_secrets"] = secrets;
    load(&json!({"providers": [provider]}))
}

fn api_keys(name: &str, header: &str) -> Value {
    let hash = "0".repeat(64);
    json!({"name": name, "from": [{"header": header}], "keys": [{"id": "a", "sha256": hash}]})
}

/// Two providers that read the same field, and a rule.
fn both_need(require: Value) -> Result<Policy, String> {
    let mut other = provider();
    other["name"] = json!("other");
    other["issuer"] = json!("https://other.test/");
    load(&json!({"providers": [provider(), other], "rules": [{"id": "a", "require": require}]}))
}

fn remote(changes: &[(&str, Value)]) -> Result<Policy, String> {
    let mut remote = json!({"url": "https://idp.test/jwks?v=1", "cluster": "idp"});
    for (member, value) in changes {
        remote[*member] = value.clone();
    }
    with("jwks", json!({ "remote": remote }))
}

#[test]
fn a_short_configuration_has_safe_defaults() {
    let policy = load(&json!({"providers": [provider()]})).unwrap();
    let [source] = policy.sources() else { panic!("one provider") };
    let tokens = &source.provider().unwrap().tokens;
    assert_eq!((tokens.leeway, tokens.max_lifetime, source.forward), (30, 86_400, true));
    assert_eq!(tokens.algorithms, portcullis_jose::Algorithm::USUAL);
    assert_eq!((tokens.requires_expiration, &source.from[..]), (true, &[Location::Authorization][..]));
    let rule = policy.rule(&Request::default()).unwrap();
    assert_eq!(
        (rule.require.groups().len(), rule.require.is_optional(), rule.mode),
        (1, false, Mode::Enforce)
    );
    let policy = remote(&[]).unwrap();
    let Keys::Remote(remote) = &policy.provider(0).unwrap().keys else { panic!("remote") };
    assert_eq!(
        (remote.address.scheme, remote.address.authority.as_str(), remote.address.path.as_str()),
        ("https", "idp.test", "/jwks?v=1")
    );
    assert_eq!(remote.timing.max_stale.as_secs(), 3600);
}

// covers: JWT-CLM-06, JWT-TIM-09
#[test]
fn mistakes_are_named_by_their_path() {
    let mut second = provider();
    second["name"] = json!("other");
    let mut same_name = provider();
    same_name["issuer"] = json!("https://other.test/");
    let twice = json!([{"claim": "sub", "header": "X-User"}, {"claim": "iss", "header": "x-user"}]);
    let rule = |rule: Value| load(&json!({"providers": [provider()], "rules": [rule]}));
    for (found, expected) in [
        (load(&json!({})), "providers: expected 1 to 64 providers, found 0"),
        (
            load(&json!({"providers": [provider(), second]})),
            "providers[1].issuer: expected a value of its own",
        ),
        (
            load(&json!({"providers": [provider(), same_name]})),
            "providers[1].name: expected a value of its own",
        ),
        (load(&json!({"providers": [provider()], "realm": "a\"b"})), "realm: expected visible ASCII"),
        (load(&json!({"providers": [provider()], "relm": "a"})), "relm: expected one of `providers`"),
        (with("name", json!("Main")), "providers[0].name: expected 1 to 64 of"),
        (with("issuer", json!("")), "providers[0].issuer: expected a text"),
        (with("audiences", json!([])), "providers[0].audiences: expected at least one audience"),
        (with("audiences", json!([""])), "providers[0].audiences: expected no empty audience"),
        (with("skip_audience_check", json!(true)), "providers[0].audiences: expected none"),
        (with("algorithms", json!([])), "providers[0].algorithms: expected at least one algorithm"),
        (with("algorithms", json!(["none"])), "providers[0].algorithms[0]: "),
        (with("algorithms", json!(["HS256"])), "providers[0].algorithms[0]: "),
        (
            with("jwks", json!(null)),
            "providers[0].jwks: expected one of `jwks`, `shared_secrets` and `introspection`, found 0",
        ),
        (
            with("shared_secrets", json!([{"algorithm": "HS256", "secret": {"env": "SECRET"}}])),
            "providers[0].jwks: expected one of `jwks`, `shared_secrets` and `introspection`, found 2",
        ),
        (
            secrets(json!([{"algorithm": "HS256", "secret": {"env": "NONE"}}])),
            "providers[0].shared_secrets[0].secret.env: ",
        ),
        (
            secrets(json!([{"algorithm": "HS256", "secret": {"env": "SHORT"}}])),
            "providers[0].shared_secrets[0]: expected a secret of at least 32 bytes",
        ),
        (
            secrets(json!([{"algorithm": "HS512", "secret": {"env": "SECRET"}}])),
            "providers[0].shared_secrets[0]: expected a secret of at least 64 bytes",
        ),
        (
            secrets(json!([{"algorithm": "RS256", "secret": {"env": "SECRET"}}])),
            "providers[0].shared_secrets[0]: expected HS256, HS384 or HS512, found RS256",
        ),
        (with("types", json!([])), "providers[0].types: expected at least one media type"),
        (with("subjects", json!([""])), "providers[0].subjects[0]: "),
        (
            with("required_claims", json!(["vp"])),
            "providers[0].required_claims: expected no claim that is forbidden",
        ),
        (with("from", json!([])), "providers[0].from: expected at least one place"),
        (with("from", json!([{"header": "host"}])), "providers[0].from[0].header: "),
        (
            with("from", json!([{"query": "t"}, {"query": "t"}])),
            "providers[0].from[1]: expected a place of its own",
        ),
        (
            load(&json!({"providers": [provider()], "api_keys": [api_keys("main", "x-key")]})),
            "api_keys[0].name: expected a value of its own",
        ),
        (
            load(&json!({"providers": [provider()], "api_keys": [api_keys("keys", "authorization")]})),
            "api_keys[0].from[0]: expected a place of its own",
        ),
        (
            load(&json!({"providers": [provider()], "resource_metadata": "http://api.test"})),
            "resource_metadata: expected an https URL",
        ),
        (with("leeway", json!("301s")), "providers[0].leeway: expected 0s to 5m, found 301s"),
        (with("leeway", json!("9223372036854775808s")), "providers[0].leeway: "),
        (with("leeway", json!("-1s")), "providers[0].leeway: "),
        (with("leeway", json!(30)), "providers[0].leeway: "),
        (with("leeway", json!("500ms")), "providers[0].leeway: expected whole seconds"),
        (with("max_lifetime", json!("0s")), "providers[0].max_lifetime: expected 1s to 366d"),
        (with("jwks", json!({"inline": {"keys": []}})), "providers[0].jwks.inline: JWK set is empty"),
        (
            with("jwks", json!({"inline": {"keys": [{"kty": "oct"}]}})),
            "providers[0].jwks.inline: JWK set has no usable key",
        ),
        (
            with("claims_to_headers", json!([{"claim": "sub", "header": ":path"}])),
            "providers[0].claims_to_headers[0].header: ",
        ),
        (
            with("claims_to_headers", twice),
            "providers[0].claims_to_headers[1].header: expected a value of its own",
        ),
        (
            remote(&[("url", json!("htp://idp.test"))]),
            "providers[0].jwks.remote.url: expected an http or https URL",
        ),
        (remote(&[("url", json!("http:///jwks"))]), "providers[0].jwks.remote.url: expected"),
        (remote(&[("url", json!("http://u@idp.test/"))]), "providers[0].jwks.remote.url: expected"),
        (remote(&[("url", json!("http://idp.test/\r\nx: y"))]), "providers[0].jwks.remote.url: expected"),
        (remote(&[("cluster", json!(""))]), "providers[0].jwks.remote.cluster: expected the name"),
        (remote(&[("timeout", json!("0s"))]), "providers[0].jwks.remote.timeout: expected 10ms to 30s"),
        (remote(&[("refresh", json!("0s"))]), "providers[0].jwks.remote.refresh: expected 1s to 1d"),
        (remote(&[("max_stale", json!("1m"))]), "providers[0].jwks.remote.max_stale: expected 10m to 7d"),
        (rule(json!({"id": ""})), "rules[0].id: expected a text"),
        (rule(json!({"id": "a", "match": {"path": "orders"}})), "rules[0].match.path: "),
        (rule(json!({"id": "a", "mode": "off", "match": {"path": "orders"}})), "rules[0].match.path: "),
        (rule(json!({"id": "a", "require": "maybe"})), "rules[0].require: "),
        (rule(json!({"id": "a", "require": {"any_of": []}})), "rules[0].require.any_of: expected the name"),
        (
            rule(json!({"id": "a", "require": {"any_of": ["x"]}})),
            "rules[0].require.any_of[0]: expected one of `main`",
        ),
        (rule(json!({"id": "a", "require": {"all_of": ["main", "main"]}})), "rules[0].require.all_of[1]: "),
        (
            rule(json!({"id": "a", "require": "none", "scopes": ["a"]})),
            "rules[0].require: expected a credential",
        ),
        (rule(json!({"id": "a", "scopes": ["a b"]})), "rules[0].scopes[0]: "),
        (rule(json!({"id": "a", "require_scope": "x"})), "rules[0].require_scope: "),
        (
            both_need(json!({"all_of": ["main", "other"]})),
            "rules[0].require.all_of: expected providers with places",
        ),
    ] {
        let found = found.expect_err(expected);
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
    assert!(secrets(json!([{"algorithm": "HS256", "secret": {"env": "SECRET"}}])).is_ok());
    assert!(both_need(json!({"any_of": ["main", "other"]})).is_ok());
    for leeway in ["0s", "300s"] {
        assert!(with("leeway", json!(leeway)).is_ok(), "{leeway}");
    }
}

#[test]
fn rules_select_and_a_rule_that_is_off_does_not() {
    let policy = load(&json!({
        "providers": [provider()],
        "rules": [
            {"id": "health", "match": {"path": "/health"}, "require": "none"},
            {"id": "draft", "match": {"path": "/draft"}, "require": "none", "mode": "off"},
            {"id": "trial", "match": {"path": "/trial"}, "mode": "report"}
        ]
    }))
    .unwrap();
    for (path, groups, mode) in [
        ("/health", 0, Mode::Enforce),
        ("/draft", 1, Mode::Enforce),
        ("/trial", 1, Mode::Report),
        ("/orders", 1, Mode::Enforce),
    ] {
        let request = Request::new([(":method", "GET"), (":path", path)].into_iter().collect(), true);
        let rule = policy.rule(&request).unwrap();
        assert_eq!((rule.require.groups().len(), rule.mode), (groups, mode), "{path}");
    }
}
