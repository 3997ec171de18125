//! One request and its response, as the proxy has them.

use std::collections::BTreeMap;

use crate::pairs::Pairs;

/// One direction of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Header fields, pseudo-header fields among them.
    pub headers: Pairs,
    /// The body, as far as the proxy has it.
    pub body: Vec<u8>,
    /// Trailers; none is not the same as empty ones.
    pub trailers: Option<Pairs>,
}

impl Message {
    /// A message without a body.
    #[must_use]
    pub fn new(fields: &[(&str, &str)]) -> Self {
        Self { headers: crate::pairs::of(fields), ..Self::default() }
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let field = self.headers.iter().find(|(found, _)| found == name.as_bytes());
        field.map(|(_, value)| value.as_slice())
    }
}

/// A local reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u32,
    /// Header fields besides `:status`.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
    /// What the access log gets to know.
    pub details: Vec<u8>,
    /// gRPC status, -1 for none.
    pub grpc_status: i32,
}

/// The header maps that are open: the others answer `BadArgument`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four maps, each open or not")]
pub struct Open {
    /// Map 0.
    pub request_headers: bool,
    /// Map 1.
    pub request_trailers: bool,
    /// Map 2.
    pub response_headers: bool,
    /// Map 3.
    pub response_trailers: bool,
}

/// What the proxy knows of one stream context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The root context it belongs to.
    pub root: u32,
    /// What the client sent, with the module's edits.
    pub request: Message,
    /// What the client gets, with the module's edits.
    pub response: Message,
    /// Which header maps are open.
    pub open: Open,
    /// Properties by their path, the parts joined by NUL; those that the module set among them.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Local replies of the module; a second one hangs the stream in a real proxy.
    pub replies: Vec<Reply>,
    /// Whether the module let the request go on by `proxy_continue_stream`.
    pub continued: bool,
    /// Whether the module closed the stream.
    pub closed: bool,
    /// Whether the proxy gave it up in the middle of a callback: host calls for it then fail.
    pub abandoned: bool,
}

impl Stream {
    /// Whether the module has ended it (answered it or closed it), or the proxy has.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.closed || self.abandoned || !self.replies.is_empty()
    }
}
