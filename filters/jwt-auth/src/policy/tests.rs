use portcullis_core::config;
use portcullis_jose::testing::{E1, R1, jwks};
use serde_json::{Value, json};

use super::*;

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
    Policy::try_from(config).map_err(|error| error.to_string())
}

/// The configuration with a member of its provider replaced.
fn with(member: &str, value: Value) -> Result<Policy, String> {
    let mut provider = provider();
    provider[member] = value;
    load(&json!({"providers": [provider]}))
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
    let [provider] = policy.providers() else { panic!("one provider") };
    assert_eq!((provider.tokens.leeway, provider.tokens.max_lifetime, provider.forward), (30, 86_400, true));
    let rule = policy.rule(&Request::default()).unwrap();
    assert_eq!((rule.require, rule.mode), (Requirement::Token, Mode::Enforce));
    let policy = remote(&[]).unwrap();
    let Keys::Remote(remote) = &policy.providers()[0].keys else { panic!("remote") };
    assert_eq!(
        (remote.scheme, remote.authority.as_str(), remote.path.as_str()),
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
        (load(&json!({})), "configuration: expected a field `providers`"),
        (load(&json!({"providers": []})), "providers: expected at least one provider"),
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
        (with("name", json!("Main")), "providers[0].name: expected up to 64 of"),
        (with("issuer", json!("")), "providers[0].issuer: expected a text"),
        (with("audiences", json!([])), "providers[0].audiences: expected at least one audience"),
        (with("audiences", json!([""])), "providers[0].audiences: expected at least one audience"),
        (with("algorithms", json!([])), "providers[0].algorithms: expected at least one algorithm"),
        (with("algorithms", json!(["none"])), "providers[0].algorithms[0]: "),
        (with("algorithms", json!(["HS256"])), "providers[0].algorithms[0]: "),
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
    ] {
        let found = found.expect_err(expected);
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
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
    for (path, require, mode) in [
        ("/health", Requirement::None, Mode::Enforce),
        ("/draft", Requirement::Token, Mode::Enforce),
        ("/trial", Requirement::Token, Mode::Report),
        ("/orders", Requirement::Token, Mode::Enforce),
    ] {
        let request = Request::new([(":method", "GET"), (":path", path)].into_iter().collect(), true);
        let rule = policy.rule(&request).unwrap();
        assert_eq!((rule.require, rule.mode), (require, mode), "{path}");
    }
}
