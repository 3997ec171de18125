//! One request as the filters see it.

use std::cell::OnceCell;

use crate::Denial;
use crate::headers::Headers;
use crate::path::{CanonicalPath, PathError};

/// The head of a request: header fields, and the views that every filter needs, each computed once at most.
#[derive(Debug, Default)]
pub struct Request {
    headers: Headers,
    end_of_stream: bool,
    path: OnceCell<Result<CanonicalPath, PathError>>,
}

impl Request {
    /// From a header snapshot; `end_of_stream` when no body follows.
    #[must_use]
    pub const fn new(headers: Headers, end_of_stream: bool) -> Self {
        Self { headers, end_of_stream, path: OnceCell::new() }
    }

    /// The header fields, pseudo-headers included.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, to apply edits. Pseudo-headers must stay as they are: the path is judged once.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Whether the request has no body.
    #[must_use]
    pub const fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    /// `:method`; empty when absent, which no rule matches.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.headers.first(b":method").unwrap_or_default()
    }

    /// `:authority`; empty when absent.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.headers.first(b":authority").unwrap_or_default()
    }

    /// `:scheme`; empty when absent.
    #[must_use]
    pub fn scheme(&self) -> &[u8] {
        self.headers.first(b":scheme").unwrap_or_default()
    }

    /// `:path` as it came, query included; empty when absent (CONNECT).
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.headers.first(b":path").unwrap_or_default()
    }

    /// The query without its `?`, as it came; none when there is no `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        let mark = target.iter().position(|byte| *byte == b'?')?;
        target.get(mark.checked_add(1)?..)
    }

    /// The canonical path, the only one that rules are matched against.
    ///
    /// # Errors
    /// A 400 denial (414 for a path over the limit) when the path has more than one reading; see
    /// [`CanonicalPath::parse`].
    pub fn path(&self) -> Result<&CanonicalPath, Denial> {
        let parsed = self.path.get_or_init(|| CanonicalPath::parse(self.target()));
        parsed.as_ref().map_err(|error| error.denial())
    }

    /// Whether the client speaks gRPC, by its content type.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        let Some(content_type) = self.headers.first(b"content-type") else {
            return false;
        };
        let rest = content_type.strip_prefix(b"application/grpc");
        // `application/grpc-web` is answered over plain HTTP.
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }

    /// Whether an answer must have no body (RFC 9110 section 9.3.2).
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Request {
        Request::new(pairs.iter().copied().collect(), true)
    }

    #[test]
    fn absent_pseudo_headers_are_empty_and_match_nothing() {
        let request = request(&[]);
        assert_eq!((request.method(), request.target(), request.query()), (&b""[..], &b""[..], None));
        assert_eq!(request.path().unwrap_err().status, 400);
    }

    #[test]
    fn the_query_starts_behind_the_first_question_mark() {
        for (target, query) in [("/a", None), ("/a?", Some("")), ("/a?b?c", Some("b?c"))] {
            assert_eq!(request(&[(":path", target)]).query(), query.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(request(&[("content-type", content_type)]).is_grpc(), expected, "{content_type}");
        }
    }
}
