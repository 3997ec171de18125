//! What the client gets when a request is refused: RFC 9457 problem details, or a gRPC status.

use serde::Serialize;

use crate::Reason;
use crate::Request;
use crate::headers::Headers;

/// A refusal, before it is put into the form that the client speaks.
///
/// The public part says little on purpose: `title` and `detail` are constant texts, never request data, keys or
/// rule internals. Audit gets `reason` and `rule`.
#[derive(Clone, Debug, PartialEq)]
pub struct Denial {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Stable reason code for audit and metrics.
    pub reason: Reason,
    /// What the client sees in place of `reason`; by reference, as a denial is part of many results.
    pub shown: Option<&'static Reason>,
    /// Short constant text, the `title` of RFC 9457 section 3.1.3.
    pub title: &'static str,
    /// The `id` of the rule that refused, for audit; the client does not see it.
    pub rule: Option<String>,
    /// Further response fields (`www-authenticate`, `retry-after`, `allow`).
    pub headers: Vec<(&'static str, String)>,
    /// What is wrong with which part of the request; an extension member `errors`.
    pub errors: Vec<FieldError>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: `path`, `query`, `header`, `cookie` or `body`.
    pub location: &'static str,
    /// Which: a parameter's name, or a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// The rule that it breaks, as in `type` or `maxLength`; never the value.
    pub rule: String,
}

/// A denial in the client's protocol: what `proxy_send_local_response` takes.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalReply {
    /// HTTP status; 200 for gRPC, whose status is in `grpc_status`.
    pub status: u16,
    /// Response fields.
    pub headers: Headers,
    /// Response body; empty for gRPC and HEAD.
    pub body: Vec<u8>,
    /// `grpc-status`, for gRPC requests only.
    pub grpc_status: Option<u8>,
}

/// RFC 9457 section 3: the members that we send. `type` is absent, which means `about:blank`.
#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Denial {
    /// A denial without rule, fields and error list.
    #[must_use]
    pub const fn new(status: u16, reason: Reason, title: &'static str) -> Self {
        Self { status, reason, shown: None, title, rule: None, headers: Vec::new(), errors: Vec::new() }
    }

    /// The request can't be judged because something that the filter needs failed; `on_error: deny`.
    #[must_use]
    pub const fn unavailable(reason: Reason) -> Self {
        Self::new(503, reason, "Service Unavailable")
    }

    /// Shows the client a more general reason: where the exact one would help to guess a credential.
    #[must_use]
    pub const fn shown_as(mut self, shown: &'static Reason) -> Self {
        self.shown = Some(shown);
        self
    }

    fn shown(&self) -> &'static str {
        self.shown.map_or(self.reason.as_str(), |shown| shown.as_str())
    }

    /// Names the rule that refused.
    #[must_use]
    pub fn by_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds a response field. `value` must not hold request data.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds one entry to `errors`.
    #[must_use]
    pub fn with_error(
        mut self,
        location: &'static str,
        pointer: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        self.errors.push(FieldError { location, pointer: pointer.into(), rule: rule.into() });
        self
    }

    /// Puts the denial into the form that the client of `request` speaks: a gRPC trailers-only answer for
    /// `content-type: application/grpc*`, else `application/problem+json`, without a body for HEAD.
    #[must_use]
    pub fn render(&self, request: Option<&Request>) -> LocalReply {
        let mut headers: Headers = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if request.is_some_and(Request::is_grpc) {
            headers.set(b"content-type", b"application/grpc");
            headers.set(b"grpc-status", self.grpc_status().to_string().as_bytes());
            headers.set(b"grpc-message", self.shown().as_bytes());
            return LocalReply {
                status: 200,
                headers,
                body: Vec::new(),
                grpc_status: Some(self.grpc_status()),
            };
        }
        headers.set(b"content-type", b"application/problem+json");
        headers.set(b"cache-control", b"no-store");
        let body = if request.is_some_and(Request::is_head) { Vec::new() } else { self.problem() };
        LocalReply { status: self.status, headers, body, grpc_status: None }
    }

    /// The gRPC status code for an HTTP status, after the mapping in the gRPC documentation
    /// (doc/http-grpc-status-mapping.md), with 429 as RESOURCE_EXHAUSTED and 400 as INVALID_ARGUMENT since it is
    /// the filter that judges, not a broken transport.
    #[must_use]
    pub const fn grpc_status(&self) -> u8 {
        match self.status {
            400 | 413..=415 | 417 | 431 => 3, // INVALID_ARGUMENT
            401 => 16,                        // UNAUTHENTICATED
            403 => 7,                         // PERMISSION_DENIED
            404 | 405 => 12,                  // UNIMPLEMENTED
            429 => 8,                         // RESOURCE_EXHAUSTED
            502..=504 => 14,                  // UNAVAILABLE
            _ => 2,                           // UNKNOWN
        }
    }

    fn problem(&self) -> Vec<u8> {
        let problem =
            Problem { title: self.title, status: self.status, reason: self.shown(), errors: &self.errors };
        // Serializing strings and numbers into memory cannot fail; an empty body would still be a refusal.
        serde_json::to_vec(&problem).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Request {
        Request::new(pairs.iter().copied().collect(), true)
    }

    fn denial() -> Denial {
        Denial::new(400, Reason("schema.invalid"), "Bad Request")
            .by_rule("orders")
            .with_error("body", "/items/0", "type")
            .with_header("x-hint", "1")
    }

    #[test]
    fn a_denial_is_a_problem_that_hides_the_rule() {
        let reply = denial().render(None);
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"title":"Bad Request","status":400,"reason":"schema.invalid","errors":[{"location":"body","pointer":"/items/0","rule":"type"}]}"#
        );
        assert_eq!(reply.headers.single(b"content-type"), Ok(Some(&b"application/problem+json"[..])));
        assert_eq!(reply.headers.single(b"x-hint"), Ok(Some(&b"1"[..])));
    }

    #[test]
    fn head_gets_no_body() {
        assert!(denial().render(Some(&request(&[(":method", "HEAD")]))).body.is_empty());
    }

    #[test]
    fn grpc_gets_a_trailers_only_answer() {
        for (status, grpc) in [(400, 3), (401, 16), (403, 7), (404, 12), (429, 8), (503, 14), (500, 2)] {
            let reply = Denial::new(status, Reason("x.y"), "No")
                .render(Some(&request(&[("content-type", "application/grpc+proto")])));
            assert_eq!((reply.status, reply.grpc_status), (200, Some(grpc)), "{status}");
            assert!(reply.body.is_empty());
        }
    }
}
