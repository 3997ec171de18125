//! What a filter may ask its proxy for, as a trait.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_core::headers::Headers;

use crate::grpc::GrpcCall;

/// A host call that did not succeed. A filter answers it with its `on_error` mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host call {call} failed with status {status}")]
pub struct HostError {
    /// The ABI function, as in `proxy_http_call`.
    pub call: &'static str,
    /// proxy-wasm status code, known or not (1 NotFound, 2 BadArgument, 10 InternalFailure ...).
    pub status: u32,
}

impl HostError {
    /// A result that is less than was announced.
    pub(crate) const fn incomplete(call: &'static str) -> Self {
        Self { call, status: crate::abi::INTERNAL_FAILURE }
    }
}

/// Log levels of the proxy (proxy-wasm ABI `proxy_log_level_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// Ordinary, rare events: a key set was refreshed.
    Info,
    /// Something outside failed; the filter copes.
    Warn,
    /// The operator has to act.
    Error,
}

/// The version of a shared value, for compare-and-swap. Never 0, which would mean "write unconditionally".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub std::num::NonZeroU32);

/// A value that all workers of a `vm_id` share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedValue {
    /// The bytes; another version or another module may have written them.
    pub bytes: Vec<u8>,
    /// What to expect in the next write.
    pub version: Version,
}

/// What must be there for a shared write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No value yet.
    Absent,
    /// Still the value that was read.
    Unchanged(Version),
}

/// Why a shared write did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharedDataError {
    /// Another worker was faster: read again.
    #[error("the shared value changed meanwhile")]
    Conflict,
    /// The host call failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A request to another cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCall<'a> {
    /// Envoy cluster name, from the configuration; never from a request.
    pub cluster: &'a str,
    /// Request fields; `:method`, `:path` and `:authority` must be there.
    pub headers: &'a [(&'a str, &'a str)],
    /// Request body; may be empty.
    pub body: &'a [u8],
    /// Deadline; the proxy takes whole milliseconds, at least 1 (0 would be no deadline at all).
    pub timeout: Duration,
}

/// Names a call in flight. HTTP and gRPC calls are numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// The answer to an HTTP call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpAnswer {
    /// Response fields. Empty when there was no answer: connection refused, reset, timeout.
    pub headers: Headers,
    /// Response body up to the bound asked for in [`Plugin::answer_limit`](crate::Plugin::answer_limit); none when
    /// it was longer.
    pub body: Option<Vec<u8>>,
}

impl HttpAnswer {
    /// `:status` as a number; none when there was no answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        portcullis_core::Response::new(self.headers.clone(), true).status()
    }
}

/// Kinds of metrics (proxy-wasm ABI `proxy_metric_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// A current value.
    Gauge,
}

/// A metric that was defined at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// What a filter may ask its proxy for. Every failure is a value; nothing here panics.
pub trait Host {
    /// The wall clock.
    ///
    /// # Errors
    /// When the host has no clock: whoever judges time must refuse.
    fn now(&self) -> Result<UnixTime, HostError>;

    /// Writes a line to the proxy's log. `message` must not hold request data, tokens or keys; control characters
    /// are escaped. A worker writes 100 lines at once and then one a second; the next line says how many it left out.
    fn log(&self, level: Level, message: &str);

    /// A property of the request, the connection or the proxy, as raw bytes (Envoy's "attributes"; integers are 8
    /// bytes little endian). None when there is no such property in this phase.
    ///
    /// # Errors
    /// Any status but Ok and NotFound.
    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError>;

    /// Sets filter state `wasm.<name>` of this request, for later filters and access loggers.
    ///
    /// # Errors
    /// Any status but Ok.
    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError>;

    /// Reads a value that all workers share. Keys must come from a fixed set: the proxy never forgets one.
    ///
    /// # Errors
    /// Any status but Ok and NotFound.
    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, HostError>;

    /// Writes a shared value if it is still as expected.
    ///
    /// # Errors
    /// [`SharedDataError::Conflict`] when another worker was faster.
    fn set_shared_data(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), SharedDataError>;

    /// Starts a request to another cluster; its answer goes to the plugin's `on_http_call`, and then every request
    /// of this worker that waits on the plugin is resumed.
    ///
    /// # Errors
    /// An unknown cluster, missing pseudo-headers, more than 1,024 fields.
    fn http_call(&self, call: &HttpCall<'_>) -> Result<CallId, HostError>;

    /// Starts a unary gRPC call; its answer goes to the plugin's `on_grpc_call`, and then every request of this worker
    /// that waits on the plugin is resumed.
    ///
    /// # Errors
    /// An unknown cluster; a module without the feature `grpc`.
    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<CallId, HostError>;

    /// Calls a function of the proxy by name, as in Envoy's `verify_signature`.
    ///
    /// # Errors
    /// NotFound when the proxy has no such function; whatever status the function gives.
    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, HostError>;

    /// Defines a metric, or finds the one of that name. Names are constants: metrics never expire.
    ///
    /// # Errors
    /// Any status but Ok.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError>;

    /// Adds to a counter or gauge.
    ///
    /// # Errors
    /// Any status but Ok.
    fn increment_metric(&self, id: MetricId, offset: i64) -> Result<(), HostError>;

    /// Sets a gauge.
    ///
    /// # Errors
    /// Any status but Ok.
    fn record_metric(&self, id: MetricId, value: u64) -> Result<(), HostError>;

    /// Fills `buffer` with random bytes of the operating system.
    ///
    /// # Errors
    /// When there is no source of randomness: whoever needs a secret seed must not start.
    fn random(&self, buffer: &mut [u8]) -> Result<(), HostError>;

    /// An environment variable that the VM's configuration passes on; secrets come by this way. None when it is
    /// not set or not UTF-8.
    fn env(&self, name: &str) -> Option<String>;
}
