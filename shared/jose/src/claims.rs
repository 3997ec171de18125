//! The registered claims (RFC 7519 section 4.1), by type and value.

use portcullis_core::control::has_control;
use portcullis_core::{TextPattern, UnixTime};
use serde_json::{Map, Value};

use crate::{Algorithm, Rejection};

/// The last second of the year 9999. A later NumericDate is a mistake (milliseconds) or an attack.
const MAX_DATE: u64 = 253_402_300_799;

/// What tokens of one issuer must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// Compared byte for byte with `iss` (RFC 8725 section 3.8).
    pub issuer: String,
    /// `aud` must name one of them, byte for byte (RFC 8725 section 3.9); empty: it is not looked at.
    pub audiences: Vec<String>,
    /// The only algorithms that are accepted (RFC 8725 section 3.1).
    pub algorithms: Vec<Algorithm>,
    /// Tolerance for clocks that differ, in seconds; on `exp`, `nbf` and `iat`.
    pub leeway: u64,
    /// Longest time from `iat` (without it: from now) to `exp`, in seconds.
    pub max_lifetime: u64,
    /// Whether `exp` must be there. Without it a token needs `iat`, and ends `max_lifetime` after that.
    pub requires_expiration: bool,
    /// What `typ` may be.
    pub media_types: MediaTypes,
    /// Claims that must be there, and neither null nor an empty text.
    pub required_claims: Vec<String>,
    /// Claims that must not be there.
    pub forbidden_claims: Vec<String>,
    /// One of them must stand for `sub`; empty: any subject, and none.
    pub subjects: Vec<TextPattern>,
    /// Refuses headers that carry a key or where to get one, which are never used anyway.
    pub strict_header: bool,
}

/// What `typ` may be (RFC 8725 section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaTypes {
    /// No `typ`, `JWT` (RFC 7519 section 5.1) or `at+jwt` (RFC 9068 section 2.1): no other kind of token has these.
    Usual,
    /// Only these; a missing `typ` is none of them.
    OneOf(Vec<String>),
}

impl MediaTypes {
    /// Whether a header's `typ` is accepted. Media types are compared without case, and without `application/`, which
    /// may be left out where no other `/` follows (RFC 7515 section 4.1.9).
    #[must_use]
    pub fn accept(&self, media_type: Option<&str>) -> bool {
        let is = |accepted: &str, found: &str| short_form(accepted).eq_ignore_ascii_case(short_form(found));
        match (self, media_type) {
            (Self::Usual, None) => true,
            (Self::Usual, Some(found)) => ["JWT", "at+jwt"].iter().any(|accepted| is(accepted, found)),
            (Self::OneOf(_), None) => false,
            (Self::OneOf(accepted), Some(found)) => accepted.iter().any(|accepted| is(accepted, found)),
        }
    }
}

fn short_form(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => media_type,
    }
}

/// Claims of other kinds of tokens, which must not pass for access tokens (RFC 8725 section 3.12): security events and
/// logout tokens (RFC 8417), ID tokens (OIDC Core section 3.3.2.11), verifiable presentations.
pub const FOREIGN_CLAIMS: [&str; 4] = ["events", "at_hash", "c_hash", "vp"];

/// When a token is valid, leeway included. Seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    from: u64,
    /// The first second behind it.
    until: u64,
}

impl Validity {
    /// Judges the time again, for a token that was verified before.
    ///
    /// # Errors
    /// [`Rejection::Expired`], or [`Rejection::NotYetValid`] should the clock have stepped back.
    pub const fn check(self, now: UnixTime) -> Result<(), Rejection> {
        if now.as_secs() >= self.until {
            return Err(Rejection::Expired);
        }
        if now.as_secs() < self.from {
            return Err(Rejection::NotYetValid);
        }
        Ok(())
    }
}

impl TokenPolicy {
    /// Tokens of an issuer for these audiences, with the least that is safe of everything else: 30 s of leeway, 24 h of
    /// lifetime, no claim demanded but `exp`.
    #[must_use]
    pub fn new(issuer: &str, audiences: &[&str], algorithms: &[Algorithm]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            algorithms: algorithms.to_vec(),
            leeway: 30,
            max_lifetime: 24 * 3600,
            requires_expiration: true,
            media_types: MediaTypes::Usual,
            required_claims: Vec::new(),
            forbidden_claims: FOREIGN_CLAIMS.map(str::to_owned).to_vec(),
            subjects: Vec::new(),
            strict_header: false,
        }
    }

    /// Judges the claims of a token whose issuer is known to be this one.
    ///
    /// # Errors
    /// The first [`Rejection`] found: time, then audience, then form, then subject.
    pub fn check(&self, claims: &Map<String, Value>, now: UnixTime) -> Result<Validity, Rejection> {
        let registered = Registered::from(claims);
        let validity = self.check_time(&registered, now)?;
        let is_ours = || registered.audience.is_some_and(|audience| self.accepts_audience(audience));
        if !self.audiences.is_empty() && !is_ours() {
            return Err(Rejection::AudienceMismatch);
        }
        self.check_presence(claims)?;
        registered.check_identity()?;
        let subject = registered.subject.and_then(Value::as_str).unwrap_or_default();
        if !self.subjects.is_empty() && !self.subjects.iter().any(|pattern| pattern.matches(subject)) {
            return Err(Rejection::SubjectNotAccepted);
        }
        Ok(validity)
    }

    fn check_presence(&self, claims: &Map<String, Value>) -> Result<(), Rejection> {
        let is_there = |name: &String| match claims.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let is_complete = self.required_claims.iter().all(is_there);
        // Names of other lengths differ at once: cheaper than to look each of the forbidden ones up.
        let is_foreign = claims.keys().any(|name| self.forbidden_claims.contains(name));
        if is_complete && !is_foreign { Ok(()) } else { Err(Rejection::ClaimsInvalid) }
    }

    /// Accepted while `now < exp + leeway` (RFC 7519 section 4.1.4: "on or after" `exp` is too late) and
    /// `now >= nbf - leeway`, `now >= iat - leeway`. Fractions are rounded down.
    fn check_time(&self, claims: &Registered<'_>, now: UnixTime) -> Result<Validity, Rejection> {
        let not_before = claims.not_before.map_or(Ok(0), seconds)?;
        let issued_at = claims.issued_at.map(seconds).transpose()?;
        let longest = issued_at.filter(|_| !self.requires_expiration);
        let longest = longest.map(|issued_at| issued_at.saturating_add(self.max_lifetime));
        let expiration = claims.expiration.map(seconds).transpose()?;
        let expiration = expiration.or(longest).ok_or(Rejection::ClaimsInvalid)?;
        let validity = Validity {
            from: not_before.max(issued_at.unwrap_or(0)).saturating_sub(self.leeway),
            until: expiration.saturating_add(self.leeway),
        };
        validity.check(now)?;
        if expiration.saturating_sub(issued_at.unwrap_or(now.as_secs())) > self.max_lifetime {
            return Err(Rejection::ClaimsInvalid);
        }
        Ok(validity)
    }

    /// One string, or a list of strings only (RFC 7519 section 4.1.3).
    fn accepts_audience(&self, audience: &Value) -> bool {
        let is_ours = |name: &str| self.audiences.iter().any(|own| own == name);
        match audience {
            Value::String(name) => is_ours(name),
            Value::Array(names) => {
                names.iter().all(Value::is_string) && names.iter().filter_map(Value::as_str).any(is_ours)
            }
            _ => false,
        }
    }
}

/// The claims that are judged, found in one pass over all.
#[derive(Default)]
struct Registered<'a> {
    audience: Option<&'a Value>,
    subject: Option<&'a Value>,
    expiration: Option<&'a Value>,
    not_before: Option<&'a Value>,
    issued_at: Option<&'a Value>,
    /// `jti`, `client_id` and `azp`.
    names: [Option<&'a Value>; 3],
    /// `scope` and `scp`.
    scopes: [Option<&'a Value>; 2],
}

impl<'a> From<&'a Map<String, Value>> for Registered<'a> {
    fn from(claims: &'a Map<String, Value>) -> Self {
        let mut found = Self::default();
        let [token_id, client_id, party] = &mut found.names;
        let [scope, scp] = &mut found.scopes;
        for (name, value) in claims {
            let place = match name.as_str() {
                "aud" => &mut found.audience,
                "sub" => &mut found.subject,
                "exp" => &mut found.expiration,
                "nbf" => &mut found.not_before,
                "iat" => &mut found.issued_at,
                "jti" => &mut *token_id,
                "client_id" => &mut *client_id,
                "azp" => &mut *party,
                "scope" => &mut *scope,
                "scp" => &mut *scp,
                _ => continue,
            };
            *place = Some(value);
        }
        found
    }
}

impl Registered<'_> {
    /// The claims that say who it is end up in logs, headers and keys of other systems: text without control characters
    /// (a line feed forges a header or a log line, a NUL ends the name for a C program).
    fn check_identity(&self) -> Result<(), Rejection> {
        let is_clean = |value: &Value| value.as_str().is_some_and(|text| !has_control(text));
        let single = self.subject.into_iter().chain(self.names.into_iter().flatten()).all(is_clean);
        let lists = self.scopes.into_iter().flatten().all(|value| match value {
            Value::Array(values) => values.iter().all(is_clean),
            value => is_clean(value),
        });
        if single && lists { Ok(()) } else { Err(Rejection::ClaimsInvalid) }
    }
}

/// A NumericDate (RFC 7519 section 2), rounded down.
pub(crate) fn seconds(date: &Value) -> Result<u64, Rejection> {
    let seconds = date.as_u64().or_else(|| date.as_f64().and_then(floor));
    seconds.filter(|seconds| *seconds <= MAX_DATE).ok_or(Rejection::ClaimsInvalid)
}

fn floor(seconds: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, below 2^53")]
    (0.0..9e15).contains(&seconds).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn policy() -> TokenPolicy {
        TokenPolicy::new("https://issuer.test/", &["api://orders"], &Algorithm::ALL)
    }

    /// The base claims with some replaced; null takes a claim away, `{"null": true}` makes it null.
    fn judge(changes: Value) -> Result<(), Rejection> {
        let mut claims = json!({"aud": "api://orders", "sub": "u1", "exp": NOW + 300, "iat": NOW});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value if *value == json!({"null": true}) => claims[name] = Value::Null,
                value => claims[name] = value.clone(),
            }
        }
        policy().check(claims.as_object().unwrap(), UnixTime::from_secs(NOW)).map(|_| ())
    }

    // covers: JWT-CLM-04, JWT-CLM-05
    #[test]
    fn the_audience_is_one_of_ours() {
        for (name, audience, expected) in [
            ("the value", json!("api://orders"), true),
            ("a list that holds it", json!(["x", "api://orders"]), true),
            ("a list that holds it twice", json!(["api://orders", "api://orders"]), true),
            ("missing", json!(null), false),
            ("null", json!({"null": true}), false),
            ("number", json!(1), false),
            ("object", json!({}), false),
            ("empty list", json!([]), false),
            ("list of null", json!([null]), false),
            ("list with a number", json!(["api://orders", 1]), false),
            ("trailing slash", json!("api://orders/"), false),
            ("other case", json!("API://orders"), false),
            ("longer", json!("api://ordersX"), false),
            ("as a subdomain", json!("api://orders.evil.test"), false),
        ] {
            let expected = if expected { Ok(()) } else { Err(Rejection::AudienceMismatch) };
            assert_eq!(judge(json!({ "aud": audience })), expected, "{name}");
        }
    }

    // covers: JWT-TIM-01, JWT-TIM-07, JWT-TIM-08
    #[test]
    fn the_boundaries_of_time_are_exact() {
        for (name, changes, expected) in [
            ("expires now", json!({"exp": NOW}), Ok(())),
            ("expired a second ago", json!({"exp": NOW - 1}), Ok(())),
            ("last second of leeway", json!({"exp": NOW - 29}), Ok(())),
            ("end of leeway", json!({"exp": NOW - 30}), Err(Rejection::Expired)),
            ("behind leeway", json!({"exp": NOW - 31}), Err(Rejection::Expired)),
            ("not before, within leeway", json!({"nbf": NOW + 30}), Ok(())),
            ("not before, behind leeway", json!({"nbf": NOW + 31}), Err(Rejection::NotYetValid)),
            ("issued within leeway", json!({"iat": NOW + 30}), Ok(())),
            ("issued in the future", json!({"iat": NOW + 31}), Err(Rejection::NotYetValid)),
            ("issued in an hour", json!({"iat": NOW + 3600, "exp": NOW + 7200}), Err(Rejection::NotYetValid)),
            ("fraction rounded down", json!({"exp": 1_699_999_970.9}), Err(Rejection::Expired)),
        ] {
            assert_eq!(judge(changes), expected, "{name}");
        }
    }

    // covers: JWT-TIM-02, JWT-TIM-03, JWT-TIM-04, JWT-TIM-05, JWT-TIM-06
    #[test]
    fn dates_are_numbers_in_range_and_lives_are_short() {
        for (name, changes, expected) in [
            ("no exp", json!({"exp": null}), Err(Rejection::ClaimsInvalid)),
            ("fraction", json!({"exp": 1_700_000_300.5}), Ok(())),
            ("longest life", json!({"exp": NOW + 86_400}), Ok(())),
            ("longer life", json!({"exp": NOW + 86_401}), Err(Rejection::ClaimsInvalid)),
            ("ten years", json!({"exp": NOW + 315_360_000}), Err(Rejection::ClaimsInvalid)),
            ("longest life without iat", json!({"exp": NOW + 86_400, "iat": null}), Ok(())),
            (
                "longer life without iat",
                json!({"exp": NOW + 86_401, "iat": null}),
                Err(Rejection::ClaimsInvalid),
            ),
            ("milliseconds", json!({"exp": NOW * 1000}), Err(Rejection::ClaimsInvalid)),
            (
                "milliseconds without iat",
                json!({"exp": NOW * 1000, "iat": null}),
                Err(Rejection::ClaimsInvalid),
            ),
            ("1e10", json!({"exp": 1e10}), Err(Rejection::ClaimsInvalid)),
            ("1e19", json!({"exp": 1e19}), Err(Rejection::ClaimsInvalid)),
            ("1e300", json!({"exp": 1e300}), Err(Rejection::ClaimsInvalid)),
            ("negative", json!({"exp": -1}), Err(Rejection::ClaimsInvalid)),
            ("negative zero", json!({"exp": -0.0}), Err(Rejection::Expired)),
            ("largest integer", json!({"exp": u64::MAX}), Err(Rejection::ClaimsInvalid)),
            ("2^63", json!({"exp": 9_223_372_036_854_775_808_u64}), Err(Rejection::ClaimsInvalid)),
        ] {
            assert_eq!(judge(changes), expected, "{name}");
        }
        for claim in ["exp", "nbf", "iat"] {
            for value in
                [json!("9999999999"), json!({"null": true}), json!(true), json!([]), json!({}), json!("1e9")]
            {
                assert_eq!(judge(json!({claim: value})), Err(Rejection::ClaimsInvalid), "{claim}: {value}");
            }
        }
    }

    // covers: JWT-FMT-30
    #[test]
    fn identities_have_no_control_characters() {
        for (name, changes, expected) in [
            ("spaces are kept", json!({"sub": " u1"}), true),
            ("letters of any script", json!({"sub": "Zoë 李"}), true),
            ("no subject", json!({"sub": null}), true),
            ("scope list", json!({"scope": ["a", "b"]}), true),
            ("NUL", json!({"sub": "u1\0admin"}), false),
            ("line break", json!({"sub": "u1\r\nX: y"}), false),
            ("delete", json!({"sub": "u1\u{7f}"}), false),
            ("C1 control", json!({"sub": "u1\u{85}"}), false),
            ("number", json!({"sub": 42}), false),
            ("list", json!({"sub": ["u1"]}), false),
            ("jti", json!({"jti": "a\n"}), false),
            ("client", json!({"client_id": ["c1"]}), false),
            ("scope text", json!({"scope": "a\nb"}), false),
            ("scope list with a control character", json!({"scope": ["a", "b\n"]}), false),
            ("scope number", json!({"scope": 1}), false),
        ] {
            let expected = if expected { Ok(()) } else { Err(Rejection::ClaimsInvalid) };
            assert_eq!(judge(changes), expected, "{name}");
        }
    }

    #[test]
    fn a_cached_token_is_judged_by_the_same_boundaries() {
        let validity = Validity { from: 10, until: 20 };
        for (now, expected) in
            [(9, Err(Rejection::NotYetValid)), (10, Ok(())), (19, Ok(())), (20, Err(Rejection::Expired))]
        {
            assert_eq!(validity.check(UnixTime::from_secs(now)), expected, "{now}");
        }
    }

    /// The base claims under a changed policy.
    fn judge_by(change: impl Fn(&mut TokenPolicy), claims: Value) -> Result<(), Rejection> {
        let mut policy = policy();
        change(&mut policy);
        policy.check(claims.as_object().unwrap(), UnixTime::from_secs(NOW)).map(|_| ())
    }

    fn base() -> Value {
        json!({"iss": "https://issuer.test/", "aud": "api://orders", "sub": "u1", "exp": NOW + 300, "iat": NOW,
            "client_id": "c1", "jti": "1"})
    }

    fn base_with(name: &str, value: Value) -> Value {
        let mut claims = base();
        claims[name] = value;
        claims
    }

    // covers: JWT-CLM-07
    #[test]
    fn types_are_media_types() {
        let at_jwt = MediaTypes::OneOf(vec!["at+jwt".into()]);
        for (media_type, usual, only_access_token) in [
            (None, true, false),
            (Some("JWT"), true, false),
            (Some("jwt"), true, false),
            (Some("at+jwt"), true, true),
            (Some("AT+JWT"), true, true),
            (Some("application/at+jwt"), true, true),
            (Some("Application/AT+jwt"), true, true),
            (Some("application/application/at+jwt"), false, false),
            (Some("text/at+jwt"), false, false),
            (Some("at+jwt "), false, false),
            (Some("logout+jwt"), false, false),
            (Some("dpop+jwt"), false, false),
            (Some("secevent+jwt"), false, false),
            (Some("oauth-authz-req+jwt"), false, false),
            (Some(""), false, false),
        ] {
            assert_eq!(MediaTypes::Usual.accept(media_type), usual, "{media_type:?}");
            assert_eq!(at_jwt.accept(media_type), only_access_token, "{media_type:?}");
        }
    }

    // covers: JWT-CLM-10
    #[test]
    fn an_access_token_has_all_its_claims() {
        let required = crate::profile::RFC9068.required_claims;
        let profile = |policy: &mut TokenPolicy| {
            policy.required_claims = required.iter().map(|name| (*name).to_owned()).collect();
        };
        assert_eq!(judge_by(profile, base()), Ok(()));
        for name in required {
            for value in [None, Some(json!(null)), Some(json!(""))] {
                let mut claims = base();
                match &value {
                    Some(value) => claims[*name] = value.clone(),
                    None => drop(claims.as_object_mut().unwrap().remove(*name)),
                }
                assert!(judge_by(profile, claims).is_err(), "{name} {value:?}");
            }
        }
    }

    // covers: JWT-CLM-08, JWT-CLM-09
    #[test]
    fn other_kinds_of_tokens_are_no_access_tokens() {
        for (name, claims) in [
            ("ID token", base_with("at_hash", json!("x"))),
            ("ID token of a hybrid flow", base_with("c_hash", json!("x"))),
            (
                "logout token",
                base_with("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
            ),
            ("verifiable presentation", base_with("vp", json!({}))),
        ] {
            assert_eq!(judge_by(|_| {}, claims), Err(Rejection::ClaimsInvalid), "{name}");
        }
        // A client's assertion is for the token endpoint, an ID token for the client.
        for audience in ["https://issuer.test/token", "c1"] {
            assert_eq!(judge_by(|_| {}, base_with("aud", json!(audience))), Err(Rejection::AudienceMismatch));
        }
        let forbid = |policy: &mut TokenPolicy| policy.forbidden_claims.push("token_use".into());
        assert_eq!(judge_by(forbid, base_with("token_use", json!("id"))), Err(Rejection::ClaimsInvalid));
    }

    #[test]
    fn subjects_are_listed() {
        let listed = |policy: &mut TokenPolicy| {
            policy.subjects = ["u1", "svc-*"].into_iter().filter_map(TextPattern::new).collect();
        };
        for (subject, expected) in [("u1", true), ("svc-a", true), ("U1", false), ("u12", false), ("", false)]
        {
            let expected = if expected { Ok(()) } else { Err(Rejection::SubjectNotAccepted) };
            assert_eq!(judge_by(listed, base_with("sub", json!(subject))), expected, "{subject}");
        }
        let mut claims = base();
        claims.as_object_mut().unwrap().remove("sub");
        assert_eq!(judge_by(listed, claims), Err(Rejection::SubjectNotAccepted));
    }

    #[test]
    fn no_audience_listed_means_none_checked() {
        let any = |policy: &mut TokenPolicy| policy.audiences.clear();
        assert_eq!(judge_by(any, base_with("aud", json!(5))), Ok(()));
    }

    // covers: JWT-TIM-02
    #[test]
    fn a_token_without_exp_lives_for_the_longest_time() {
        let lenient = |policy: &mut TokenPolicy| policy.requires_expiration = false;
        let without = |changes: Value| {
            let mut claims = base();
            claims.as_object_mut().unwrap().remove("exp");
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            claims
        };
        assert_eq!(judge_by(|_| {}, without(json!({}))), Err(Rejection::ClaimsInvalid));
        assert_eq!(judge_by(lenient, without(json!({}))), Ok(()));
        assert_eq!(judge_by(lenient, without(json!({"iat": NOW - 86_400}))), Ok(()), "within leeway");
        assert_eq!(judge_by(lenient, without(json!({"iat": NOW - 86_430}))), Err(Rejection::Expired));
        assert_eq!(judge_by(lenient, without(json!({"exp": NOW - 60}))), Err(Rejection::Expired));
        let mut neither = without(json!({}));
        neither.as_object_mut().unwrap().remove("iat");
        assert_eq!(judge_by(lenient, neither), Err(Rejection::ClaimsInvalid));
    }
}
