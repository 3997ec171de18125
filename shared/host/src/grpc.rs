//! Unary gRPC calls to other clusters. They are in those modules alone that switch on the feature `grpc`: the others need
//! neither the import nor the callbacks.
//!
//! A call ends with one of two callbacks: `proxy_on_grpc_receive` brings the message of a call that succeeded,
//! `proxy_on_grpc_close` the status of one that did not. Envoy never makes both; whatever comes second finds the call
//! answered.

use std::time::Duration;

use portcullis_core::protobuf::Message;

use crate::abi;
use crate::host::{CallId, HostError};
use crate::proxy::{Proxy, whole_millis};
use crate::runtime::{self, Callout};

/// Longest message that a peer may answer with, in bytes. Envoy ends the call with status 8 when more is announced;
/// without a bound it would hold whatever comes.
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
    /// It ended with this status code of gRPC, known or not: the peer's own, or the proxy's. Envoy 1.40 says 14 when the
    /// peer is not there, resets the stream or lets the deadline pass, 13 for a frame that is malformed or compressed and
    /// for a success without a message, 8 for more than 64 KiB, and `u32::MAX` for a status that is no number.
    #[error("gRPC status {0}")]
    Status(u32),
    /// The message is longer than [`Plugin::answer_limit`](crate::Plugin::answer_limit).
    #[error("the message is too long")]
    TooLarge,
    /// The proxy did not hand the message out.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Begins a call for the plugin that is at work.
///
/// # Errors
/// As [`Host::grpc_call`](crate::Host::grpc_call) says.
pub(crate) fn begin(proxy: &Proxy, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
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

/// A call ended without a message: even 0 is no success then.
pub fn on_close(call: u32, status: u32) {
    runtime::answered(Callout::Grpc, CallId(call), |id, plugin, proxy| {
        plugin.on_grpc_call(id, &Err(GrpcError::Status(status)), proxy);
    });
}

/// `envoy.config.core.v3.GrpcService` with `envoy_grpc.cluster_name` and `envoy_grpc.max_receive_message_length`.
///
/// Not the bare name, which Envoy takes as well: it first tries to read a `GrpcService` in it, and some names are one
/// without a target (`users` is a field that it does not know). Envoy 1.40 then ends, the whole process.
fn grpc_service(cluster: &str) -> Message {
    let limit = Message::default().varint(1, MAX_MESSAGE);
    Message::default().bytes(1, Message::default().bytes(1, cluster).bytes(4, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Host as _;

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
    fn without_a_proxy_there_are_no_calls() {
        let asked =
            GrpcCall { cluster: "c", service: "s", method: "m", message: b"", timeout: Duration::ZERO };
        let unimplemented = Err(HostError { call: "proxy_grpc_call", status: abi::UNIMPLEMENTED });
        assert_eq!(begin(&Proxy::for_root(1), &asked), unimplemented);
        assert_eq!(Proxy::for_stream(1, 2).grpc_call(&asked), unimplemented);
    }

    #[test]
    fn answers_that_nobody_waits_for_change_nothing() {
        on_receive(1, 0);
        on_receive(u32::MAX, usize::MAX);
        on_close(1, 14);
        on_close(0, u32::MAX);
    }
}
