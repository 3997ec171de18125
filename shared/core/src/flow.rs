//! What a filter wants done with a request: the decision as a value.

use crate::Denial;

/// The answer of a filter's request callbacks. `portcullis_host` turns it into host calls.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Let the request go on to the next filter.
    Continue,
    /// Answer now with a local reply; also the answer when no decision can be reached safely.
    Deny(Box<Denial>),
    /// Deliver the whole request body, at most this many bytes, to `on_request_body`. A longer body is denied
    /// with 413 before the upstream sees anything.
    NeedBody {
        /// Upper bound in bytes, inclusive.
        limit: usize,
    },
    /// A callout of this filter is in flight; `on_resume` is called when an answer to any of them arrived.
    Wait,
}

impl From<Denial> for Flow {
    fn from(denial: Denial) -> Self {
        Self::Deny(Box::new(denial))
    }
}
