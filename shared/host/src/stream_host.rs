//! What the runner asks the proxy for on behalf of a stream; filters don't see it.

use portcullis_core::denial::LocalReply;
use portcullis_core::headers::Headers;

use crate::ctx::Edits;
use crate::host::{Host, HostError};

/// The direction whose header map is open in the current callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// The same, behind the body; open from the trailers callback on for as long as it holds the trailers back.
    RequestTrailers,
    /// From the upstream, or from the proxy itself, to the client.
    Response,
}

/// The stream part of a host.
pub trait StreamHost: Host {
    /// The header fields of `direction`.
    ///
    /// # Errors
    /// BadArgument when that map is not open in this phase; a buffer that does not hold what it says.
    fn headers(&self, direction: Direction) -> Result<Headers, HostError>;

    /// Changes the proxy's map.
    ///
    /// # Errors
    /// The first status that is not Ok; the other edits have been applied.
    fn edit_headers(&self, direction: Direction, edits: &Edits) -> Result<(), HostError>;

    /// The first `len` bytes of the request body that the proxy has buffered.
    ///
    /// # Errors
    /// Any status but Ok and NotFound.
    fn request_body(&self, len: usize) -> Result<Vec<u8>, HostError>;

    /// Answers the request instead of the upstream.
    ///
    /// # Errors
    /// Any status but Ok: the client has no answer yet.
    fn send_local_reply(&self, reply: &LocalReply, details: &str) -> Result<(), HostError>;

    /// Lets a paused request go on.
    ///
    /// # Errors
    /// Any status but Ok.
    fn continue_request(&self) -> Result<(), HostError>;

    /// Resets the stream: the last way to end one that can't be answered.
    fn close(&self);

    /// Says which plugin of the chain is about to be called, so that its callouts find their way back.
    fn enter(&self, plugin: usize);
}
