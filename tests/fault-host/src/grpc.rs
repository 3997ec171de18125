//! Unary gRPC calls as Envoy makes them: each ends with a message or with a status, never with both.

use crate::callback::Callback;
use crate::proxy::{Proxy, Violation};
use crate::status;
use crate::vm::{Trap, Vm};

/// gRPC's status `UNAVAILABLE`: in Envoy a deadline ends in it too.
const UNAVAILABLE: u32 = 14;

/// How a cluster answers gRPC calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcAnswer {
    /// With this message.
    Message(Vec<u8>),
    /// With this status and no message.
    Status(u32),
    /// Not at all: the deadline passes.
    Silence,
    /// The proxy itself loses the call: no callback, whatever time passes.
    Never,
}

/// A gRPC call in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingGrpcCall {
    /// Its token. HTTP calls are numbered apart, so that one may have the same.
    pub token: u32,
    /// The context that it was made for, which gets the answer.
    pub context: u32,
    /// The cluster.
    pub cluster: String,
    /// The service's full name.
    pub service: String,
    /// The method.
    pub method: String,
    /// The message.
    pub message: Vec<u8>,
    /// When it fails, in nanoseconds since the epoch.
    pub deadline: u64,
}

/// What a module asks for.
pub struct Asked {
    pub target: Vec<u8>,
    pub service: String,
    pub method: String,
    pub message: Vec<u8>,
    /// In milliseconds.
    pub timeout: u32,
}

/// Begins a call; its token, or the status of a refusal.
pub fn begin(proxy: &mut Proxy, asked: Asked) -> Result<u32, u32> {
    let cluster = match envoy_cluster(&asked.target) {
        Some(name) if proxy.grpc_clusters.contains_key(&name) => name,
        Some(_) => return Err(status::INTERNAL_FAILURE),
        None => String::from_utf8(asked.target)
            .ok()
            .filter(|name| proxy.grpc_clusters.contains_key(name))
            .ok_or(status::PARSE_FAILURE)?,
    };
    if asked.timeout == 0 {
        proxy.violate(Violation::NoDeadline(cluster.clone()));
    }
    proxy.grpc_calls_begun = proxy.grpc_calls_begun.saturating_add(1);
    let (token, context) = (proxy.grpc_calls_begun, proxy.context());
    let Asked { service, method, message, timeout, .. } = asked;
    let deadline = proxy.now.saturating_add(u64::from(timeout).saturating_mul(1_000_000));
    proxy.grpc_calls.push(PendingGrpcCall { token, context, cluster, service, method, message, deadline });
    Ok(token)
}

impl Vm {
    /// Answers a gRPC call, in flight or not.
    ///
    /// # Errors
    /// [`Trap`] when the module does not return.
    pub fn answer_grpc(&mut self, call: &PendingGrpcCall, answer: GrpcAnswer) -> Result<(), Trap> {
        let callback = match answer {
            GrpcAnswer::Message(message) => {
                let size = u32::try_from(message.len()).unwrap_or(u32::MAX);
                self.proxy_mut().grpc_message = Some(message);
                Callback::grpc_receive(call.context, call.token, size)
            }
            GrpcAnswer::Status(status) => Callback::grpc_close(call.context, call.token, status),
            GrpcAnswer::Silence => {
                let proxy = self.proxy_mut();
                proxy.now = proxy.now.max(call.deadline);
                Callback::grpc_close(call.context, call.token, UNAVAILABLE)
            }
            GrpcAnswer::Never => return Ok(()),
        };
        self.call(&callback)?;
        self.proxy_mut().grpc_message = None;
        Ok(())
    }
}

/// `envoy_grpc.cluster_name` of a serialized `envoy.config.core.v3.GrpcService`, empty without one; none when the bytes
/// are no protobuf message.
fn envoy_cluster(service: &[u8]) -> Option<String> {
    let name = field(&field(service, 1)?.unwrap_or_default(), 1)?.unwrap_or_default();
    String::from_utf8(name).ok()
}

/// The last field of bytes with this number; none when this is no message.
fn field(mut message: &[u8], wanted: u64) -> Option<Option<Vec<u8>>> {
    let mut found = None;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            1 => drop(message.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let bytes = message.split_off(..length)?;
                if key >> 3 == wanted {
                    found = Some(bytes.to_vec());
                }
            }
            5 => drop(message.split_off(..4)?),
            _ => return None,
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_service_or_a_name() {
        let name = |name: &str| Some(name.to_owned());
        for (target, cluster) in [
            (&b"\x0a\x05\x0a\x03rls"[..], name("rls")),
            (b"\x0a\x0b\x0a\x03rls\x22\x04\x08\x80\x80\x04", name("rls")),
            (b"", name("")),
            // A field that nobody knows.
            (b"users", name("")),
            (b"rls", None),
            (b"\x0a\x05\x0a\x09rls", None),
        ] {
            assert_eq!(envoy_cluster(target), cluster, "{target:?}");
        }
    }
}
