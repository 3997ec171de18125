//! What a rule demands of an identity that is verified: scopes, claims, how the user authenticated.

use portcullis_core::{ConfigError, Identity, UnixTime};
use serde_json::Value;

use crate::config::{AuthenticationConfig, ClaimRuleConfig};
use crate::identity;
use crate::refusal::Refusal;

/// The conditions of one rule; all must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    scopes: Vec<String>,
    claims: Vec<ClaimRuleConfig>,
    authentication: Option<Authentication>,
}

/// How and when the user must have authenticated (RFC 9470).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Authentication {
    acr_values: Vec<String>,
    methods: Vec<String>,
    /// Seconds.
    max_age: Option<u64>,
}

impl Conditions {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// [`ConfigError`] for a scope that can't be one, a condition that nothing can meet, or text that can't stand in a
    /// challenge.
    pub fn new(
        scopes: Vec<String>,
        claims: Vec<ClaimRuleConfig>,
        authentication: Option<AuthenticationConfig>,
    ) -> Result<Self, ConfigError> {
        check_words("scopes", &scopes)?;
        for (i, rule) in claims.iter().enumerate() {
            if rule.claim.is_empty() {
                let problem = "expected the name of a claim, found nothing";
                return Err(ConfigError::new(format!("claims[{i}].claim"), problem));
            }
            if rule.one_of.is_empty() || !rule.one_of.iter().all(is_comparable) {
                let problem = "expected at least one text, whole number or boolean, and nothing else";
                return Err(ConfigError::new(format!("claims[{i}].one_of"), problem));
            }
        }
        let authentication = authentication
            .map(|config| Authentication::new(config).map_err(|error| error.under("authentication")))
            .transpose()?;
        Ok(Self { scopes, claims, authentication })
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.claims.is_empty() && self.authentication.is_none()
    }

    /// Judges a verified identity.
    ///
    /// # Errors
    /// The first condition that does not hold: authentication, scopes, claims.
    pub fn check(&self, identity: &Identity, leeway: u64, now: UnixTime) -> Result<(), Refusal> {
        if self.authentication.as_ref().is_some_and(|needed| !needed.is_met(identity, leeway, now)) {
            return Err(Refusal::InsufficientAuthentication);
        }
        if !self.scopes.iter().all(|scope| identity.scopes.contains(scope)) {
            return Err(Refusal::InsufficientScope);
        }
        if !self.claims.iter().all(|rule| holds(rule, identity)) {
            return Err(Refusal::ClaimNotAccepted);
        }
        Ok(())
    }

    /// The value of the challenge's `scope` (RFC 6750 section 3): all that the rule demands.
    #[must_use]
    pub fn scope(&self) -> String {
        self.scopes.join(" ")
    }

    /// The parameters of an `insufficient_user_authentication` challenge (RFC 9470 section 3).
    #[must_use]
    pub fn authentication_parameters(&self) -> String {
        let Some(needed) = &self.authentication else { return String::new() };
        let mut text = String::new();
        if !needed.acr_values.is_empty() {
            text.push_str(&format!(r#", acr_values="{}""#, needed.acr_values.join(" ")));
        }
        if let Some(max_age) = needed.max_age {
            text.push_str(&format!(r#", max_age="{max_age}""#));
        }
        text
    }
}

impl Authentication {
    fn new(config: AuthenticationConfig) -> Result<Self, ConfigError> {
        check_words("acr_values", &config.acr_values)?;
        let max_age = config.max_age.map(|age| age.get().as_secs());
        if config.acr_values.is_empty() && config.methods.is_empty() && max_age.is_none() {
            return Err(ConfigError::new("", "expected `acr_values`, `methods` or `max_age`, found nothing"));
        }
        if config.max_age.is_some_and(|age| age.get().subsec_nanos() != 0) {
            return Err(ConfigError::new("max_age", "expected whole seconds"));
        }
        Ok(Self { acr_values: config.acr_values, methods: config.methods, max_age })
    }

    fn is_met(&self, identity: &Identity, leeway: u64, now: UnixTime) -> bool {
        let text = |name: &str| identity.claims.get(name).and_then(Value::as_str);
        let acr = self.acr_values.is_empty()
            || text("acr").is_some_and(|found| self.acr_values.iter().any(|value| value == found));
        let used = || identity.claims.get("amr").and_then(Value::as_array);
        let methods = self.methods.iter().all(|method| {
            used().is_some_and(|used| used.iter().any(|found| found.as_str() == Some(method.as_str())))
        });
        acr && methods && self.max_age.is_none_or(|max_age| is_recent(identity, max_age, leeway, now))
    }
}

/// Whether `auth_time` is a whole number of seconds in the past, and not too long ago.
fn is_recent(identity: &Identity, max_age: u64, leeway: u64, now: UnixTime) -> bool {
    let Some(time) = identity.claims.get("auth_time").and_then(Value::as_u64) else { return false };
    let now = now.as_secs();
    time <= now.saturating_add(leeway) && now <= time.saturating_add(max_age).saturating_add(leeway)
}

/// Whether the claim has one of the values, or is a list with one of them as a member.
fn holds(rule: &ClaimRuleConfig, identity: &Identity) -> bool {
    let is_one = |found: &Value| rule.one_of.iter().any(|value| is_same(found, value));
    match identity::find(&identity.claims, &rule.claim) {
        Some(Value::Array(values)) => values.iter().any(is_one),
        Some(found) => is_one(found),
        None => false,
    }
}

/// Equal in type and value: texts byte for byte, whole numbers as such. A fraction is equal to nothing.
fn is_same(found: &Value, value: &Value) -> bool {
    match (found, value) {
        (Value::Number(found), Value::Number(value)) => {
            (found.is_u64() && found.as_u64() == value.as_u64())
                || (found.is_i64() && found.as_i64() == value.as_i64())
        }
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => found == value,
        _ => false,
    }
}

fn is_comparable(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Bool(_) => true,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Words of a list that is separated by spaces, in a quoted string: NQCHAR of RFC 6749 appendix A.
fn check_words(member: &str, words: &[String]) -> Result<(), ConfigError> {
    let is_word = |word: &String| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    match words.iter().position(|word| !is_word(word)) {
        Some(i) => {
            let problem = "expected visible ASCII characters without spaces, quotes and backslashes";
            Err(ConfigError::new(format!("{member}[{i}]"), problem))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn conditions(rule: &Value) -> Result<Conditions, ConfigError> {
        let member = |name: &str| rule.get(name).cloned().unwrap_or_else(|| json!([]));
        let authentication =
            rule.get("authentication").cloned().map(|value| serde_json::from_value(value).unwrap());
        Conditions::new(
            serde_json::from_value(member("scopes")).unwrap(),
            serde_json::from_value(member("claims")).unwrap(),
            authentication,
        )
    }

    fn judge(rule: &Value, claims: &Value) -> Result<(), Refusal> {
        let scope_claims = crate::defaults::scope_claims();
        let identity =
            identity::from_claims(claims.as_object().unwrap().clone(), &scope_claims, "roles").unwrap();
        conditions(rule).unwrap().check(&identity, 30, UnixTime::from_secs(NOW))
    }

    // covers: JWT-AZ-01, JWT-AZ-02
    #[test]
    fn a_scope_is_one_whole_word() {
        let rule = json!({"scopes": ["orders:read"]});
        for (claims, expected) in [
            (json!({"scope": "orders:read"}), true),
            (json!({"scope": "  a  orders:read  "}), true),
            (json!({"scp": ["a", "orders:read"]}), true),
            (json!({"scp": "a orders:read"}), true),
            (json!({"scope": ["orders:read"]}), true),
            (json!({"scope": ["a orders:read"]}), false),
            (json!({"scope": "orders:readonly"}), false),
            (json!({"scope": "xorders:read"}), false),
            (json!({"scope": "Orders:Read"}), false),
            (json!({"scope": "orders:read\u{a0}admin"}), false),
            (json!({"scope": "orders:read,admin"}), false),
            (json!({"scope": ""}), false),
            (json!({}), false),
        ] {
            let expected = if expected { Ok(()) } else { Err(Refusal::InsufficientScope) };
            assert_eq!(judge(&rule, &claims), expected, "{claims}");
        }
        let both = json!({"scopes": ["orders:read", "orders:write"]});
        assert_eq!(judge(&both, &json!({"scope": "orders:read"})), Err(Refusal::InsufficientScope));
        assert_eq!(judge(&both, &json!({"scope": "orders:write orders:read"})), Ok(()));
    }

    // covers: JWT-CLM-14, JWT-CLM-15, JWT-AZ-03, JWT-AZ-06
    #[test]
    fn values_are_compared_with_their_types() {
        for (wanted, claim, expected) in [
            (json!(true), json!(true), true),
            (json!(true), json!("true"), false),
            (json!(true), json!(1), false),
            (json!(true), json!([true]), true),
            (json!(7), json!(7), true),
            (json!(7), json!("7"), false),
            (json!(7), json!(7.0), false),
            (json!(-7), json!(-7), true),
            (json!(u64::MAX), json!(u64::MAX), true),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), false),
            (json!("admin"), json!("admin"), true),
            (json!("admin"), json!(["user", "admin"]), true),
            (json!("admin"), json!("administrator"), false),
            (json!("admin"), json!([["admin"]]), false),
            (json!("admin"), json!({"admin": true}), false),
            (json!("svc.a"), json!("svcXa"), false),
            (json!("admin"), json!("\u{430}dmin"), false),
            (json!("admin"), json!("admin\u{200b}"), false),
            (json!("admin"), json!("ADMIN"), false),
            (json!("admin"), json!("\u{ff41}dmin"), false),
            (json!("caf\u{e9}"), json!("cafe\u{301}"), false),
            (json!("i"), json!("\u{130}"), false),
            (json!("admin"), json!(null), false),
        ] {
            let rule = json!({"claims": [{"claim": "ns.value", "one_of": [wanted]}]});
            let expected = if expected { Ok(()) } else { Err(Refusal::ClaimNotAccepted) };
            assert_eq!(judge(&rule, &json!({"ns": {"value": claim}})), expected, "{wanted} {claim}");
        }
        let rule = json!({"claims": [{"claim": "https://ns.test/roles", "one_of": ["admin"]}]});
        assert_eq!(judge(&rule, &json!({"https://ns.test/roles": ["admin"]})), Ok(()));
        assert_eq!(judge(&rule, &json!({})), Err(Refusal::ClaimNotAccepted));
    }

    // covers: JWT-CLM-13
    #[test]
    fn the_user_authenticated_well_and_not_long_ago() {
        let rule = json!({"authentication": {"acr_values": ["gold", "silver"], "methods": ["hwk"], "max_age": "300s"}});
        let good = json!({"acr": "gold", "amr": ["pwd", "hwk"], "auth_time": NOW - 300});
        assert_eq!(judge(&rule, &good), Ok(()));
        for (member, value) in [
            ("acr", json!(null)),
            ("acr", json!(1)),
            ("acr", json!("bronze")),
            ("acr", json!(["gold"])),
            ("amr", json!(null)),
            ("amr", json!("hwk")),
            ("amr", json!(["pwd"])),
            ("auth_time", json!(null)),
            ("auth_time", json!(NOW.to_string())),
            ("auth_time", json!(NOW - 331)),
            ("auth_time", json!(NOW + 31)),
            ("auth_time", json!(-1)),
            ("auth_time", json!(1e300)),
        ] {
            let mut claims = good.clone();
            claims[member] = value.clone();
            assert_eq!(judge(&rule, &claims), Err(Refusal::InsufficientAuthentication), "{member} {value}");
        }
        let parameters = conditions(&rule).unwrap().authentication_parameters();
        assert_eq!(parameters, r#", acr_values="gold silver", max_age="300""#);
    }

    #[test]
    fn mistakes_are_named() {
        for (rule, path) in [
            (json!({"scopes": ["a b"]}), "scopes[0]"),
            (json!({"scopes": ["a", "\""]}), "scopes[1]"),
            (json!({"claims": [{"claim": "", "one_of": [1]}]}), "claims[0].claim"),
            (json!({"claims": [{"claim": "a", "one_of": []}]}), "claims[0].one_of"),
            (json!({"claims": [{"claim": "a", "one_of": [1.5]}]}), "claims[0].one_of"),
            (json!({"claims": [{"claim": "a", "one_of": [null]}]}), "claims[0].one_of"),
            (json!({"authentication": {}}), "authentication"),
            (json!({"authentication": {"acr_values": ["a b"]}}), "authentication.acr_values[0]"),
            (json!({"authentication": {"max_age": "1500ms"}}), "authentication.max_age"),
        ] {
            assert_eq!(conditions(&rule).unwrap_err().path, path, "{rule}");
        }
    }
}
