//! What clients are told: refusals, and what is left.

use std::fmt::Write as _;
use std::time::Duration;

use portcullis_core::{Denial, Reason};

use crate::config::Fields;
use crate::limit::Limit;
use crate::meter::Meter;

/// A limit has no token left.
pub const EXCEEDED: Reason = Reason("rate.exceeded");
/// As many requests as may be are under way.
pub const CONCURRENT: Reason = Reason("rate.too_many_at_once");
/// Too many attempts have failed.
pub const LOCKED_OUT: Reason = Reason("rate.locked_out");
/// Other workers changed a bucket in every try to take a token.
pub const CONTENDED: Reason = Reason("rate.contended");
/// The proxy failed: no clock, no shared data, no randomness.
pub const UNAVAILABLE: Reason = Reason("rate.unavailable");
/// The rate-limit service does not answer.
pub const SERVICE_UNAVAILABLE: Reason = Reason("rate.service_unavailable");
/// Most of a bucket is used; a report, never a refusal.
pub const NEAR_LIMIT: Reason = Reason("rate.near_limit");

/// Why a limit objects to a request; later ones are more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objection {
    /// No room for as long as this.
    Exceeded(Duration),
    /// What the service had granted was used up by others, between the look and the take.
    UsedUp,
    /// Others were faster in every try.
    Contended,
    /// The rate-limit service does not answer.
    ServiceUnavailable,
    /// Nothing can be counted.
    Unavailable,
}

/// How clients are told.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// The status of a refusal.
    pub status: u16,
    /// Which responses carry the `RateLimit` fields.
    pub fields: Fields,
    /// Whether they carry the `X-RateLimit` fields too.
    pub legacy: bool,
}

/// What responses of requests that pass say about their limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Items of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10 section 3).
    policy: String,
    /// Items of `RateLimit` (section 4 there).
    status: String,
    /// Of the limit with the fewest requests left: how many there are, are left, and seconds until all are.
    strictest: Option<(u32, u32, u64)>,
}

/// Prefixes of the fields before there was a draft; there are as many meanings of `-Reset` as services, ours is seconds.
const LEGACY: [&str; 3] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

impl Answers {
    /// The refusal, or what a report says, of a limit.
    #[must_use]
    pub fn denial(&self, limit: &Limit, objection: Objection) -> Denial {
        let denial = match objection {
            Objection::Exceeded(wait) => self.exceeded(limit, seconds(wait).max(1)),
            // Not the client's doing, and over in a moment.
            Objection::UsedUp | Objection::Contended => {
                Denial::unavailable(CONTENDED).with_header("retry-after", "1")
            }
            Objection::ServiceUnavailable => {
                Denial::unavailable(SERVICE_UNAVAILABLE).with_header("retry-after", "1")
            }
            Objection::Unavailable => Denial::unavailable(UNAVAILABLE),
        };
        denial.by_rule(limit.id())
    }

    /// What a report says of a limit that is nearly used up.
    #[must_use]
    pub fn near(&self, limit: &Limit) -> Denial {
        Denial::new(self.status, NEAR_LIMIT, title(self.status)).by_rule(limit.id())
    }

    fn exceeded(&self, limit: &Limit, wait: u64) -> Denial {
        let reason = match limit.meter() {
            Some(Meter::Rate(_) | Meter::Lease(_)) | None => EXCEEDED,
            Some(Meter::Concurrency(_)) => CONCURRENT,
            Some(Meter::Lockout(_)) => LOCKED_OUT,
        };
        let denial =
            Denial::new(self.status, reason, title(self.status)).with_header("retry-after", wait.to_string());
        // Only of tokens can be said how many there are in which time.
        let Some(quota) = limit.quota().filter(|_| self.fields != Fields::Off) else {
            return denial;
        };
        let denial = denial
            .with_header("ratelimit-policy", policy_item(limit.id(), quota))
            .with_header("ratelimit", status_item(limit.id(), 0, wait));
        if !self.legacy {
            return denial;
        }
        let values = [quota.0.to_string(), "0".to_owned(), wait.to_string()];
        LEGACY.into_iter().zip(values).fold(denial, |denial, (name, value)| denial.with_header(name, value))
    }
}

impl Standing {
    /// Adds a limit that a request has passed: what is left of it, and how long until it is whole again.
    pub fn add(&mut self, limit: &Limit, remaining: u32, until_full: Duration) {
        let Some(quota) = limit.quota() else { return };
        let reset = seconds(until_full);
        for (list, item) in [
            (&mut self.policy, policy_item(limit.id(), quota)),
            (&mut self.status, status_item(limit.id(), remaining, reset)),
        ] {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(&item);
        }
        if self.strictest.is_none_or(|(_, fewest, _)| remaining < fewest) {
            self.strictest = Some((quota.0, remaining, reset));
        }
    }

    /// The fields of the response that say so. `RateLimit` and `RateLimit-Policy` are lists, to which those of the upstream's
    /// own limits belong too (RFC 8941 section 3.1).
    #[must_use]
    pub fn fields(self, answers: &Answers) -> Vec<(&'static str, String)> {
        let mut fields = vec![("ratelimit-policy", self.policy), ("ratelimit", self.status)];
        if let (true, Some((limit, remaining, reset))) = (answers.legacy, self.strictest) {
            let values = [limit.to_string(), remaining.to_string(), reset.to_string()];
            fields.extend(LEGACY.into_iter().zip(values));
        }
        fields
    }
}

/// `"id";q=100;w=60`.
fn policy_item(id: &str, (requests, per): (u32, Duration)) -> String {
    format!("\"{id}\";q={requests};w={}", per.as_secs())
}

/// `"id";r=0;t=12`.
fn status_item(id: &str, remaining: u32, reset: u64) -> String {
    let mut item = String::with_capacity(id.len().saturating_add(24));
    // Writing into memory does not fail.
    let _ = write!(item, "\"{id}\";r={remaining};t={reset}");
    item
}

/// Whole seconds, rounded up: a client that comes back then is not too early.
const fn seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(if span.subsec_nanos() == 0 { 0 } else { 1 })
}

/// The text that belongs to a status (RFC 9110 section 15, RFC 6585).
const fn title(status: u16) -> &'static str {
    match status {
        403 => "Forbidden",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Request Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_seconds() {
        for (span, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(span)), expected);
        }
    }
}
