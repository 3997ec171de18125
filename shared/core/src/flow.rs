//! What a filter wants done with a request: the decision as a value.

use crate::denial::LocalReply;
use crate::headers::Headers;
use crate::{Denial, Reason};

/// The answer of a filter's request callbacks. `portcullis_host` turns it into host calls.
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub enum Flow {
    /// Let the request go on to the next filter.
    Continue,
    /// Answer now with a local reply; also the answer when no decision can be reached safely.
    Deny(Box<Denial>),
    /// Answer now, and nothing is wrong: what is asked for is the filter's own to say, as with a preflight request.
    Answer(Box<Answer>),
    /// Deliver the whole request body, at most this many bytes, to `on_request_body`. A longer body is denied
    /// with 413 before the upstream sees anything.
    NeedBody {
        /// Upper bound in bytes, inclusive.
        limit: usize,
    },
    /// A callout of this filter is in flight; `on_resume` is called when an answer to any of them arrived.
    Wait,
}

/// An answer that is no refusal; it has no body.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// Stable code that says what was answered, for the proxy's response details.
    pub reason: Reason,
    /// Response fields.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    /// The answer as the proxy sends it.
    #[must_use]
    pub fn render(&self) -> LocalReply {
        let headers: Headers = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        LocalReply { status: self.status, headers, body: Vec::new(), grpc_status: None }
    }
}

impl From<Answer> for Flow {
    fn from(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl From<Denial> for Flow {
    fn from(denial: Denial) -> Self {
        Self::Deny(Box::new(denial))
    }
}
