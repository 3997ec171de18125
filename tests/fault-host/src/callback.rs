//! The calls that a proxy makes into a module.

/// One exported function with its arguments, as a proxy calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Callback {
    /// The export, as in `proxy_on_request_headers`.
    pub export: &'static str,
    /// Its arguments; the first one is the context that host calls act on.
    pub arguments: Vec<u32>,
}

impl Callback {
    fn new(export: &'static str, arguments: &[u32]) -> Self {
        Self { export, arguments: arguments.to_vec() }
    }

    /// A context begins: a root (`parent` 0) or a stream.
    #[must_use]
    pub fn context_create(context: u32, parent: u32) -> Self {
        Self::new("proxy_on_context_create", &[context, parent])
    }

    /// The VM starts; its configuration has `size` bytes.
    #[must_use]
    pub fn vm_start(root: u32, size: u32) -> Self {
        Self::new("proxy_on_vm_start", &[root, size])
    }

    /// A configuration of `size` bytes for a root.
    #[must_use]
    pub fn configure(root: u32, size: u32) -> Self {
        Self::new("proxy_on_configure", &[root, size])
    }

    /// The root's timer.
    #[must_use]
    pub fn tick(root: u32) -> Self {
        Self::new("proxy_on_tick", &[root])
    }

    /// The head of a request.
    #[must_use]
    pub fn request_headers(context: u32, fields: u32, end_of_stream: bool) -> Self {
        Self::new("proxy_on_request_headers", &[context, fields, end_of_stream.into()])
    }

    /// A part of a request's body.
    #[must_use]
    pub fn request_body(context: u32, size: u32, end_of_stream: bool) -> Self {
        Self::new("proxy_on_request_body", &[context, size, end_of_stream.into()])
    }

    /// A request's trailers.
    #[must_use]
    pub fn request_trailers(context: u32, fields: u32) -> Self {
        Self::new("proxy_on_request_trailers", &[context, fields])
    }

    /// The head of a response.
    #[must_use]
    pub fn response_headers(context: u32, fields: u32, end_of_stream: bool) -> Self {
        Self::new("proxy_on_response_headers", &[context, fields, end_of_stream.into()])
    }

    /// A part of a response's body.
    #[must_use]
    pub fn response_body(context: u32, size: u32, end_of_stream: bool) -> Self {
        Self::new("proxy_on_response_body", &[context, size, end_of_stream.into()])
    }

    /// A response's trailers.
    #[must_use]
    pub fn response_trailers(context: u32, fields: u32) -> Self {
        Self::new("proxy_on_response_trailers", &[context, fields])
    }

    /// The answer to a callout of `root`; no fields when there was none.
    #[must_use]
    pub fn http_call_response(root: u32, token: u32, fields: u32, body: u32) -> Self {
        Self::new("proxy_on_http_call_response", &[root, token, fields, body, 0])
    }

    /// The message that a gRPC call of `root` was answered with.
    #[must_use]
    pub fn grpc_receive(root: u32, token: u32, size: u32) -> Self {
        Self::new("proxy_on_grpc_receive", &[root, token, size])
    }

    /// The status that a gRPC call of `root` ended with.
    #[must_use]
    pub fn grpc_close(root: u32, token: u32, status: u32) -> Self {
        Self::new("proxy_on_grpc_close", &[root, token, status])
    }

    /// The end of a stream: time to log.
    #[must_use]
    pub fn log(context: u32) -> Self {
        Self::new("proxy_on_log", &[context])
    }

    /// The end of a context: may it be deleted?
    #[must_use]
    pub fn done(context: u32) -> Self {
        Self::new("proxy_on_done", &[context])
    }

    /// A context is gone.
    #[must_use]
    pub fn delete(context: u32) -> Self {
        Self::new("proxy_on_delete", &[context])
    }
}
