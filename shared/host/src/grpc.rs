//! Unary gRPC calls to other clusters. Their code is in those modules alone that say `grpc` in
//! [`module!`](crate::module).
//!
//! A call ends with one of two callbacks: `proxy_on_grpc_receive` brings the message of a call that succeeded,
//! `proxy_on_grpc_close` the status of one that did not. Envoy never makes both; whatever comes second finds the call
//! answered.

use std::cell::Cell;
use std::time::Duration;

use portcullis_core::protobuf::Message;

use crate::abi;
use crate::host::{CallId, HostError};
use crate::proxy::{Proxy, whole_millis};
use crate::runtime::{self, Callout};

/// Longest message that a peer may answer with, in bytes. Envoy ends the call when more is announced; without a bound it
/// would hold whatever comes.
const MAX_MESSAGE: u64 = 64 * 1024;

/// A unary gRPC call to another cluster, which must speak HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcCall<'a> {
    /// Envoy cluster name, from the configuration; never from a request.
    pub cluster: &'a str,
    /// Full name, as in `envoy.service.ratelimit.v3.RateLimitService`.
    pub service: &'a str,
    /// As in `ShouldRateLimit`.
    pub method: &'a str,
    /// The request, serialized.
    pub message: &'a [u8],
    /// Deadline; the proxy takes whole milliseconds, at least 1 (0 would be no deadline at all).
    pub timeout: Duration,
}

/// The answer to a gRPC call: the peer's message, serialized.
pub type GrpcAnswer = Result<Vec<u8>, GrpcError>;

/// Why a gRPC call has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    /// It ended with this status code of gRPC, known or not: the peer's own, or the proxy's for a call that did not come
    /// that far.
    #[error("gRPC status {0}")]
    Status(u32),
    /// The message is longer than [`Plugin::answer_limit`](crate::Plugin::answer_limit).
    #[error("the message is too long")]
    TooLarge,
    /// The proxy did not hand the message out.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What begins a call.
type Begin = fn(&Proxy, &GrpcCall<'_>) -> Result<CallId, HostError>;

thread_local! {
    /// None in a module that does not say `grpc`: the linker finds nobody who uses the code then, nor the import.
    static BEGIN: Cell<Option<Begin>> = const { Cell::new(None) };
}

/// Makes calls possible; the `module!` macro calls it before all else.
pub fn enable() {
    BEGIN.set(Some(begin));
}

/// Begins a call where calls are possible.
pub(crate) fn call(proxy: &Proxy, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
    match BEGIN.get() {
        Some(begin) => begin(proxy, call),
        None => Err(HostError { call: "proxy_grpc_call", status: abi::UNIMPLEMENTED }),
    }
}

fn begin(proxy: &Proxy, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
    let service = grpc_service(call.cluster);
    let service = service.as_ref();
    proxy.begin_call(Callout::Grpc, "proxy_grpc_call", |token| {
        // SAFETY: pointers and lengths of live slices; `token` outlives the call. No initial metadata.
        unsafe {
            abi::proxy_grpc_call(
                service.as_ptr(),
                service.len(),
                call.service.as_ptr(),
                call.service.len(),
                call.method.as_ptr(),
                call.method.len(),
                [].as_ptr(),
                0,
                call.message.as_ptr(),
                call.message.len(),
                whole_millis(call.timeout),
                token,
            )
        }
    })
}

/// A call succeeded with a message of `len` bytes.
pub fn on_receive(call: u32, len: usize) {
    runtime::answered(Callout::Grpc, CallId(call), |id, plugin, proxy| {
        let answer = if len > plugin.answer_limit() {
            Err(GrpcError::TooLarge)
        } else {
            proxy.grpc_message(len).map_err(GrpcError::Host)
        };
        plugin.on_grpc_call(id, &answer, proxy);
    });
}

/// A call ended without a message, whatever `status` says: 0 is no success either.
pub fn on_close(call: u32, status: u32) {
    runtime::answered(Callout::Grpc, CallId(call), |id, plugin, proxy| {
        plugin.on_grpc_call(id, &Err(GrpcError::Status(status)), proxy);
    });
}

/// `envoy.config.core.v3.GrpcService` with `envoy_grpc.cluster_name` and `envoy_grpc.max_receive_message_length`.
///
/// Not the bare name, which Envoy takes as well: it first tries to read a `GrpcService` in it, and some names are one
/// (`users` is a field that it does not know).
fn grpc_service(cluster: &str) -> Message {
    let limit = Message::default().varint(1, MAX_MESSAGE);
    Message::default().bytes(1, Message::default().bytes(1, cluster).bytes(4, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_protobuf_message_with_the_cluster_and_a_bound() {
        assert_eq!(grpc_service("rls").as_ref(), b"\x0a\x0b\x0a\x03rls\x22\x04\x08\x80\x80\x04");
        let long = "c".repeat(300);
        let service = grpc_service(&long);
        let service = service.as_ref();
        assert_eq!(service[..6], *b"\x0a\xb5\x02\x0a\xac\x02");
        assert_eq!(service.len(), 3 + 3 + 300 + 6);
    }

    #[test]
    fn a_module_that_does_not_say_so_has_no_calls() {
        let proxy = Proxy::for_root(1);
        let asked =
            GrpcCall { cluster: "c", service: "s", method: "m", message: b"", timeout: Duration::ZERO };
        let unimplemented = Err(HostError { call: "proxy_grpc_call", status: abi::UNIMPLEMENTED });
        assert_eq!(call(&proxy, &asked), unimplemented);
        // And one that does has those of its proxy, here none.
        enable();
        assert_eq!(call(&proxy, &asked), unimplemented);
    }

    #[test]
    fn answers_that_nobody_waits_for_change_nothing() {
        on_receive(1, 0);
        on_receive(u32::MAX, usize::MAX);
        on_close(1, 14);
        on_close(0, u32::MAX);
    }
}
