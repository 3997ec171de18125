//! Who answered a request, how it turned out, and what kind of event that is.

use portcullis_core::verdict::Outcome as VerdictOutcome;

/// A verdict of any filter, of this chain or published by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterVerdict<'a> {
    /// The filter's name.
    pub filter: &'a str,
    /// What it decided.
    pub outcome: VerdictOutcome,
    /// Why.
    pub reason: Option<&'a str>,
    /// The rule that decided.
    pub rule: Option<&'a str>,
}

/// How a request turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Allowed,
    /// A filter or the proxy refused it.
    Denied,
    /// Something failed: a server error, of whomever.
    Error,
    /// No answer, or nobody knows whose.
    Unknown,
}

/// What kind of event a request is: words of the OWASP Logging Vocabulary where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Ours: a request that was let through.
    Access,
    /// Ours: a request that failed.
    Failure,
    /// No valid credential.
    AuthnLoginFail,
    /// Too many attempts have failed.
    AuthnLoginLock,
    /// A valid credential that does not suffice.
    AuthzFail,
    /// A limit was hit.
    ExcessRateLimitExceeded,
    /// A malformed or undocumented request.
    InputValidationFail,
    /// What a page of another site must not do.
    MaliciousCors,
}

/// The answer to "what happened".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// A filter's name, `upstream`, `proxy`, or `unknown`.
    pub answered_by: &'a str,
    /// How it turned out.
    pub outcome: Outcome,
    /// The reason code of whoever refused.
    pub reason: Option<&'a str>,
    /// The rule of whoever refused.
    pub rule: Option<&'a str>,
    /// The kind of event.
    pub event: EventType,
}

/// The code details of an answer of the upstream.
const VIA_UPSTREAM: &str = "via_upstream";

/// Envoy's own refusals by the beginning of their code details; others are of a malformed request.
const PROXY_REFUSALS: [(&str, EventType); 6] = [
    ("rbac_access_denied", EventType::AuthzFail),
    ("ext_authz", EventType::AuthzFail),
    ("jwt_authn_access_denied", EventType::AuthnLoginFail),
    ("local_rate_limited", EventType::ExcessRateLimitExceeded),
    ("request_rate_limited", EventType::ExcessRateLimitExceeded),
    ("overload", EventType::ExcessRateLimitExceeded),
];

/// Finds out what happened. `details` are Envoy's response code details, empty where it has none.
///
/// The filter that refused is known by its verdict, never guessed from the status.
#[must_use]
pub fn answer<'a>(verdicts: &[FilterVerdict<'a>], status: Option<u16>, details: &str) -> Answer<'a> {
    let is_server_error = status.is_some_and(|status| status >= 500);
    let is_refusal = status.is_some_and(|status| (400..500).contains(&status));
    if let Some(refusal) = verdicts.iter().find(|verdict| verdict.outcome == VerdictOutcome::Deny) {
        let reason = refusal.reason.unwrap_or_default();
        // gRPC has its status in a field of its own, so the reason code has to tell too.
        let failed = is_server_error || reason.starts_with("host.") || reason.ends_with("_unavailable");
        let (outcome, event) = match failed {
            true => (Outcome::Error, EventType::Failure),
            false => (Outcome::Denied, of_reason(reason, status)),
        };
        return Answer {
            answered_by: refusal.filter,
            outcome,
            reason: refusal.reason,
            rule: refusal.rule,
            event,
        };
    }
    let (answered_by, outcome) = match (details, status) {
        (VIA_UPSTREAM, _) if is_server_error => ("upstream", Outcome::Error),
        (VIA_UPSTREAM, _) => ("upstream", Outcome::Allowed),
        // Cut off: what the client got of it nobody knows.
        (details, Some(_)) if details.starts_with("downstream_") => ("upstream", Outcome::Unknown),
        (_, None) => ("unknown", Outcome::Unknown),
        ("", _) if is_server_error => ("unknown", Outcome::Error),
        ("", _) if is_refusal => ("unknown", Outcome::Denied),
        ("", _) => ("unknown", Outcome::Unknown),
        _ if is_server_error => ("proxy", Outcome::Error),
        _ if is_refusal => ("proxy", Outcome::Denied),
        _ => ("proxy", Outcome::Allowed),
    };
    let event = match outcome {
        Outcome::Allowed => EventType::Access,
        Outcome::Denied if answered_by == "proxy" => {
            let known = PROXY_REFUSALS.iter().find(|(start, _)| details.starts_with(start));
            known.map_or(EventType::InputValidationFail, |(_, event)| *event)
        }
        Outcome::Denied | Outcome::Error | Outcome::Unknown => EventType::Failure,
    };
    Answer { answered_by, outcome, reason: None, rule: None, event }
}

/// The kind of event by the family of the reason code.
fn of_reason(reason: &str, status: Option<u16>) -> EventType {
    match reason.split('.').next().unwrap_or_default() {
        "jwt" if status == Some(403) => EventType::AuthzFail,
        "jwt" => EventType::AuthnLoginFail,
        "access" => EventType::AuthzFail,
        _ if reason == "rate.locked_out" => EventType::AuthnLoginLock,
        "rate" => EventType::ExcessRateLimitExceeded,
        "cors" => EventType::MaliciousCors,
        _ if reason == "header.cross_site" => EventType::MaliciousCors,
        // `schema`, `header`, `path`, `authority`, `body`
        _ => EventType::InputValidationFail,
    }
}

impl Outcome {
    /// The word in the event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

impl EventType {
    /// The word in the event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "api_access",
            Self::Failure => "api_failure",
            Self::AuthnLoginFail => "authn_login_fail",
            Self::AuthnLoginLock => "authn_login_lock",
            Self::AuthzFail => "authz_fail",
            Self::ExcessRateLimitExceeded => "excess_rate_limit_exceeded",
            Self::InputValidationFail => "input_validation_fail",
            Self::MaliciousCors => "malicious_cors",
        }
    }

    /// How much it matters: `info`, `low`, `medium`, `high`.
    #[must_use]
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Access => "info",
            Self::InputValidationFail => "low",
            Self::Failure | Self::AuthnLoginFail | Self::AuthnLoginLock | Self::ExcessRateLimitExceeded => {
                "medium"
            }
            // Somebody known tries what is not theirs, or a page of another site in the name of its visitor.
            Self::AuthzFail | Self::MaliciousCors => "high",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: FilterVerdict<'_> =
        FilterVerdict { filter: "header-guard", outcome: VerdictOutcome::Allow, reason: None, rule: None };
    const REPORT: FilterVerdict<'_> = FilterVerdict {
        filter: "rate-limit",
        outcome: VerdictOutcome::Report,
        reason: Some("rate.exceeded"),
        rule: None,
    };

    fn deny(reason: &str) -> FilterVerdict<'_> {
        FilterVerdict {
            filter: "some-filter",
            outcome: VerdictOutcome::Deny,
            reason: Some(reason),
            rule: Some("r"),
        }
    }

    // covers: AUD-FLD-05, AUD-FLD-11
    #[test]
    fn a_filter_that_refused_is_known_by_its_verdict() {
        for (reason, status, outcome, event, severity) in [
            ("jwt.expired", Some(401), "denied", "authn_login_fail", "medium"),
            ("jwt.insufficient_scope", Some(403), "denied", "authz_fail", "high"),
            ("jwt.keys_unavailable", Some(503), "error", "api_failure", "medium"),
            ("access.denied", Some(403), "denied", "authz_fail", "high"),
            ("rate.exceeded", Some(429), "denied", "excess_rate_limit_exceeded", "medium"),
            ("rate.locked_out", Some(429), "denied", "authn_login_lock", "medium"),
            ("schema.invalid", Some(400), "denied", "input_validation_fail", "low"),
            ("header.duplicate", Some(400), "denied", "input_validation_fail", "low"),
            ("header.cross_site", Some(403), "denied", "malicious_cors", "high"),
            ("cors.origin", Some(403), "denied", "malicious_cors", "high"),
            ("host.error", Some(503), "error", "api_failure", "medium"),
            // gRPC: the status is in a trailer; and a client that did not wait.
            ("jwt.expired", Some(200), "denied", "authn_login_fail", "medium"),
            ("jwt.keys_unavailable", Some(200), "error", "api_failure", "medium"),
            ("jwt.expired", None, "denied", "authn_login_fail", "medium"),
        ] {
            let found = answer(&[ALLOW, REPORT, deny(reason), ALLOW], status, "");
            assert_eq!(
                (found.answered_by, found.reason, found.rule),
                ("some-filter", Some(reason), Some("r")),
                "{reason}"
            );
            assert_eq!(
                (found.outcome.as_str(), found.event.as_str(), found.event.severity()),
                (outcome, event, severity),
                "{reason} {status:?}"
            );
        }
    }

    // covers: AUD-FLD-11, AUD-DEL-09
    #[test]
    fn who_else_answered_is_known_by_the_code_details() {
        for (details, status, by, outcome, event) in [
            ("via_upstream", Some(200), "upstream", "allowed", "api_access"),
            ("via_upstream", Some(404), "upstream", "allowed", "api_access"),
            ("via_upstream", Some(500), "upstream", "error", "api_failure"),
            ("downstream_remote_disconnect", Some(200), "upstream", "unknown", "api_failure"),
            ("downstream_remote_disconnect", None, "unknown", "unknown", "api_failure"),
            ("http1.codec_error", Some(400), "proxy", "denied", "input_validation_fail"),
            ("http1.headers_too_large", Some(431), "proxy", "denied", "input_validation_fail"),
            ("path_normalization_failed", Some(400), "proxy", "denied", "input_validation_fail"),
            ("route_not_found", Some(404), "proxy", "denied", "input_validation_fail"),
            ("rbac_access_denied_matched_policy[none]", Some(403), "proxy", "denied", "authz_fail"),
            ("jwt_authn_access_denied{Jwt_is_missing}", Some(401), "proxy", "denied", "authn_login_fail"),
            ("local_rate_limited", Some(429), "proxy", "denied", "excess_rate_limit_exceeded"),
            ("response_timeout", Some(504), "proxy", "error", "api_failure"),
            ("direct_response", Some(200), "proxy", "allowed", "api_access"),
            ("", Some(403), "unknown", "denied", "api_failure"),
            ("", Some(503), "unknown", "error", "api_failure"),
            ("", Some(200), "unknown", "unknown", "api_failure"),
            ("", None, "unknown", "unknown", "api_failure"),
        ] {
            let found = answer(&[ALLOW, REPORT], status, details);
            assert_eq!(
                (found.answered_by, found.outcome.as_str(), found.event.as_str()),
                (by, outcome, event),
                "{details} {status:?}"
            );
            assert_eq!(found.reason, None);
        }
    }
}
