//! The host as a proxy-wasm proxy gives it: every call of the ABI, wrapped once, each status looked at.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::ptr;
use std::time::Duration;

use portcullis_core::denial::LocalReply;
use portcullis_core::headers::Headers;
use portcullis_core::{UnixTime, redact};

use crate::abi;
use crate::ctx::{Edits, HeaderEdit};
use crate::grpc::{self, GrpcCall};
use crate::host::{
    CallId, Expected, Host, HostError, HttpCall, Level, MetricId, MetricKind, SharedDataError, SharedValue,
    Version,
};
use crate::log_limit::LogLimit;
use crate::memory;
use crate::runtime::Callout;
use crate::stream_host::{Direction, StreamHost};

/// Header maps of the ABI (`proxy_map_type_t`).
mod map {
    pub const REQUEST: u32 = 0;
    pub const REQUEST_TRAILERS: u32 = 1;
    pub const RESPONSE: u32 = 2;
    pub const HTTP_CALL_RESPONSE: u32 = 6;
}

/// Buffers of the ABI (`proxy_buffer_type_t`).
mod buffer {
    pub const REQUEST_BODY: u32 = 0;
    pub const HTTP_CALL_RESPONSE_BODY: u32 = 4;
    pub const GRPC_CALL_MESSAGE: u32 = 5;
    pub const PLUGIN_CONFIGURATION: u32 = 7;
}

/// Streams of the ABI (`proxy_stream_type_t`).
const STREAM_REQUEST: u32 = 0;

thread_local! {
    /// One for all plugins of the worker's VM: they write to the same log.
    static LOG_LIMIT: Cell<LogLimit> = const { Cell::new(LogLimit::new()) };
}

/// How often the way back to a stream's own context is tried.
const TRIES: u32 = 3;

/// What the runtime learns from the callouts of one callback.
pub type StartedCalls = Vec<(Callout, CallId, usize)>;

/// The proxy, seen from one root context and, within a stream, from that stream.
pub struct Proxy {
    root: u32,
    stream: Option<u32>,
    plugin: Cell<usize>,
    started: Cell<StartedCalls>,
}

impl Proxy {
    /// For callbacks of a root context.
    pub const fn for_root(root: u32) -> Self {
        Self { root, stream: None, plugin: Cell::new(0), started: Cell::new(Vec::new()) }
    }

    /// For callbacks of a stream.
    pub const fn for_stream(root: u32, stream: u32) -> Self {
        Self { root, stream: Some(stream), plugin: Cell::new(0), started: Cell::new(Vec::new()) }
    }

    /// The callouts begun through this proxy, with the plugin each belongs to.
    pub fn take_started(&self) -> StartedCalls {
        self.started.take()
    }

    /// The document that the operator wrote for this plugin.
    ///
    /// # Errors
    /// Any status but Ok and NotFound, and other than the `len` bytes that were announced.
    pub fn plugin_configuration(&self, len: usize) -> Result<Vec<u8>, HostError> {
        // Nothing is a full configuration for some filters, and not what the operator wrote.
        announced_bytes(buffer::PLUGIN_CONFIGURATION, len)
    }

    /// Header fields of the callout's answer; `None` fields when there was none.
    ///
    /// # Errors
    /// Any status but Ok and NotFound.
    pub fn http_call_headers(&self) -> Result<Headers, HostError> {
        header_pairs(map::HTTP_CALL_RESPONSE)
    }

    /// Body of the callout's answer.
    ///
    /// # Errors
    /// Any status but Ok and NotFound.
    pub fn http_call_body(&self, len: usize) -> Result<Vec<u8>, HostError> {
        buffer_bytes(buffer::HTTP_CALL_RESPONSE_BODY, len)
    }

    /// The message that a gRPC call was answered with.
    ///
    /// # Errors
    /// Any status but Ok, and other than the `len` bytes that were announced.
    pub fn grpc_message(&self, len: usize) -> Result<Vec<u8>, HostError> {
        announced_bytes(buffer::GRPC_CALL_MESSAGE, len)
    }

    /// Writes a line that must not be left out: what the operator waits for.
    #[expect(clippy::unused_self, reason = "a call of the proxy, like the others")]
    pub fn log_always(&self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        let line = redact::escape(message.as_bytes());
        // SAFETY: pointer and length of one live string. A failed log has no remedy.
        let _ = unsafe { abi::proxy_log(level, line.as_ptr(), line.len()) };
    }

    /// Asks for ticks; a period below 1 ms would mean none, so it becomes 1 ms.
    pub fn set_tick_period(&self, period: Duration) -> Result<(), HostError> {
        // SAFETY: no pointers.
        let status = unsafe { abi::proxy_set_tick_period_milliseconds(whole_millis(period)) };
        check("proxy_set_tick_period_milliseconds", status)
    }

    /// Makes host calls act on `context` until the callback returns.
    pub fn set_effective_context(&self, context: u32) -> Result<(), HostError> {
        // SAFETY: no pointers.
        let status = unsafe { abi::proxy_set_effective_context(context) };
        check("proxy_set_effective_context", status)
    }
}

impl Proxy {
    /// Makes a call for the root: its answer must arrive even if the stream that asked is gone.
    fn as_root(&self, call: impl FnOnce() -> u32) -> Result<u32, HostError> {
        let Some(stream) = self.stream else {
            return Ok(call());
        };
        let status = self.set_effective_context(self.root).map(|()| call());
        // Whatever came of it, the stream's next call must not act on the root. A host that failed once may not again.
        (0..TRIES).find(|_| self.set_effective_context(stream).is_ok());
        status
    }

    /// Begins a callout of the plugin that is at work, for the root. `call` writes the id.
    pub fn begin_call(
        &self,
        callout: Callout,
        name: &'static str,
        call: impl FnOnce(*mut u32) -> u32,
    ) -> Result<CallId, HostError> {
        let mut token = 0;
        let status = self.as_root(|| call(&raw mut token))?;
        check(name, status)?;
        let mut started = self.started.take();
        started.push((callout, CallId(token), self.plugin.get()));
        self.started.set(started);
        Ok(CallId(token))
    }
}

impl Host for Proxy {
    fn now(&self) -> Result<UnixTime, HostError> {
        let mut nanos = 0u64;
        // SAFETY: `nanos` outlives the call.
        let status = unsafe { abi::proxy_get_current_time_nanoseconds(&raw mut nanos) };
        check("proxy_get_current_time_nanoseconds", status)?;
        Ok(UnixTime::from_nanos(nanos))
    }

    fn log(&self, level: Level, message: &str) {
        let mut limit = LOG_LIMIT.get();
        let admitted = limit.admit(self.now().ok());
        LOG_LIMIT.set(limit);
        match admitted {
            None => {}
            Some(0) => self.log_always(level, message),
            Some(left_out) => {
                self.log_always(level, &format!("{message} ({left_out} lines left out before)"));
            }
        }
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        let joined;
        let path = match path {
            [single] => single.as_bytes(),
            parts => {
                joined = joined_by_nul(parts);
                &joined
            }
        };
        let (mut value, mut len) = (ptr::null_mut(), 0);
        // SAFETY: all pointers outlive the call.
        let status =
            unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), &raw mut value, &raw mut len) };
        found("proxy_get_property", status)?.then(|| taken("proxy_get_property", value, len)).transpose()
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        // SAFETY: pointers and lengths of live slices.
        let status =
            unsafe { abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
        check("proxy_set_property", status)
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        let (mut value, mut len, mut cas) = (ptr::null_mut(), 0, 0);
        // SAFETY: all pointers outlive the call.
        let status = unsafe {
            abi::proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut value, &raw mut len, &raw mut cas)
        };
        if !found("proxy_get_shared_data", status)? {
            return Ok(None);
        }
        let bytes = taken("proxy_get_shared_data", value, len)?;
        // A version of 0 would turn the next write into an unconditional one; the host never hands it out.
        let version = NonZeroU32::new(cas)
            .ok_or(HostError { call: "proxy_get_shared_data", status: abi::INTERNAL_FAILURE })?;
        Ok(Some(SharedValue { bytes, version: Version(version) }))
    }

    fn set_shared_data(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), SharedDataError> {
        let cas = match expected {
            // Envoy's host inserts a missing key whatever version is given, and compares for one that exists; a
            // version that it hands out last makes this "insert if absent" (shared_data.cc in proxy-wasm-cpp-host).
            Expected::Absent => u32::MAX,
            Expected::Unchanged(Version(version)) => version.get(),
        };
        // SAFETY: pointers and lengths of live slices.
        let status =
            unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) };
        swapped(status)
    }

    fn http_call(&self, call: &HttpCall<'_>) -> Result<CallId, HostError> {
        let headers: Headers = call.headers.iter().copied().collect();
        let (headers, trailers) = (headers.to_pairs(), Headers::default().to_pairs());
        self.begin_call(Callout::Http, "proxy_http_call", |token| {
            // SAFETY: pointers and lengths of live slices; `token` outlives the call.
            unsafe {
                abi::proxy_http_call(
                    call.cluster.as_ptr(),
                    call.cluster.len(),
                    headers.as_ptr(),
                    headers.len(),
                    call.body.as_ptr(),
                    call.body.len(),
                    trailers.as_ptr(),
                    trailers.len(),
                    whole_millis(call.timeout),
                    token,
                )
            }
        })
    }

    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<CallId, HostError> {
        if cfg!(feature = "grpc") {
            grpc::begin(self, call)
        } else {
            Err(HostError { call: "proxy_grpc_call", status: abi::UNIMPLEMENTED })
        }
    }

    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Vec<u8>, HostError> {
        let (mut answer, mut len) = (ptr::null_mut(), 0);
        // SAFETY: all pointers outlive the call.
        let status = unsafe {
            abi::proxy_call_foreign_function(
                name.as_ptr(),
                name.len(),
                argument.as_ptr(),
                argument.len(),
                &raw mut answer,
                &raw mut len,
            )
        };
        check("proxy_call_foreign_function", status)?;
        taken("proxy_call_foreign_function", answer, len)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, HostError> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
        };
        let mut id = 0;
        // SAFETY: pointer and length of a live string; `id` outlives the call.
        let status = unsafe { abi::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
        check("proxy_define_metric", status)?;
        Ok(MetricId(id))
    }

    fn increment_metric(&self, id: MetricId, offset: i64) -> Result<(), HostError> {
        // SAFETY: no pointers.
        check("proxy_increment_metric", unsafe { abi::proxy_increment_metric(id.0, offset) })
    }

    fn record_metric(&self, id: MetricId, value: u64) -> Result<(), HostError> {
        // SAFETY: no pointers.
        check("proxy_record_metric", unsafe { abi::proxy_record_metric(id.0, value) })
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), HostError> {
        // The host refuses more than 64 KiB at once.
        for chunk in buffer.chunks_mut(4096) {
            // SAFETY: pointer and length of a live slice.
            let errno = unsafe { abi::random_get(chunk.as_mut_ptr(), chunk.len()) };
            check("random_get", errno)?;
        }
        Ok(())
    }

    fn env(&self, name: &str) -> Option<String> {
        let environment = environment()
            .inspect_err(|error| self.log(Level::Error, &format!("no environment: {error}")))
            .ok()?;
        let mut entries = environment.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        String::from_utf8(value.to_vec()).ok()
    }
}

/// Most variables, and bytes of all of them, that are read.
const MAX_ENVIRONMENT: (usize, usize) = (4096, 1024 * 1024);

/// The VM's environment: `NAME=value`, each with a NUL at its end. Not by the standard library, which ends the VM when
/// the proxy gives none.
fn environment() -> Result<Vec<u8>, HostError> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: out-pointers to live numbers.
    let errno = unsafe { abi::environ_sizes_get(&raw mut count, &raw mut size) };
    check("environ_sizes_get", errno)?;
    let (most, longest) = MAX_ENVIRONMENT;
    if count > most || size > longest {
        return Err(HostError::incomplete("environ_sizes_get"));
    }
    let (mut entries, mut buffer) = (vec![std::ptr::null_mut(); count], vec![0; size]);
    // SAFETY: as many places and bytes as the proxy says that it needs.
    let errno = unsafe { abi::environ_get(entries.as_mut_ptr(), buffer.as_mut_ptr()) };
    check("environ_get", errno)?;
    Ok(buffer)
}

impl StreamHost for Proxy {
    fn headers(&self, direction: Direction) -> Result<Headers, HostError> {
        header_pairs(map_of(direction))
    }

    /// One call for each edit. Writing the whole map at once costs as much as nine edits (measured), and from a map of more
    /// than 1,024 fields or 1 MiB it would leave nothing (limits.h of proxy-wasm-cpp-host).
    fn edit_headers(&self, direction: Direction, edits: &Edits) -> Result<(), HostError> {
        let map = map_of(direction);
        let mut done = Ok(());
        for edit in edits.iter() {
            let edited = match edit {
                // Replacing changes the first copy only (proxy-wasm-cpp-host), so the others go first.
                HeaderEdit::Set(name, value) => remove(map, name).and(add(map, name, value)),
                HeaderEdit::Append(name, value) => add(map, name, value),
                HeaderEdit::Remove(name) => remove(map, name),
            };
            // All of them, whatever becomes of one.
            done = done.and(edited);
        }
        done
    }

    fn request_body(&self, len: usize) -> Result<Vec<u8>, HostError> {
        buffer_bytes(buffer::REQUEST_BODY, len)
    }

    fn send_local_reply(&self, reply: &LocalReply, details: &str) -> Result<(), HostError> {
        let headers = reply.headers.to_pairs();
        // SAFETY: pointers and lengths of live slices. -1 means "no gRPC status".
        let status = unsafe {
            abi::proxy_send_local_response(
                u32::from(reply.status),
                details.as_ptr(),
                details.len(),
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                reply.grpc_status.map_or(-1, i32::from),
            )
        };
        check("proxy_send_local_response", status)
    }

    fn continue_request(&self) -> Result<(), HostError> {
        // SAFETY: no pointers.
        check("proxy_continue_stream", unsafe { abi::proxy_continue_stream(STREAM_REQUEST) })
    }

    fn close(&self) {
        // SAFETY: no pointers. There is nothing left to do if even this fails.
        let _ = unsafe { abi::proxy_close_stream(STREAM_REQUEST) };
    }

    fn enter(&self, plugin: usize) {
        self.plugin.set(plugin);
    }
}

/// A path of a property. As `join` of the standard library, in half of its instructions.
fn joined_by_nul(parts: &[&str]) -> Vec<u8> {
    let mut path = Vec::with_capacity(64);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            path.push(0);
        }
        path.extend_from_slice(part.as_bytes());
    }
    path
}

const fn map_of(direction: Direction) -> u32 {
    match direction {
        Direction::Request => map::REQUEST,
        Direction::RequestTrailers => map::REQUEST_TRAILERS,
        Direction::Response => map::RESPONSE,
    }
}

fn add(map: u32, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    // SAFETY: pointers and lengths of live slices.
    let status = unsafe {
        abi::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    check("proxy_add_header_map_value", status)
}

fn remove(map: u32, name: &[u8]) -> Result<(), HostError> {
    // SAFETY: pointer and length of a live slice.
    let status = unsafe { abi::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
    check("proxy_remove_header_map_value", status)
}

fn header_pairs(map: u32) -> Result<Headers, HostError> {
    const CALL: &str = "proxy_get_header_map_pairs";
    let (mut pairs, mut len) = (ptr::null_mut(), 0);
    // SAFETY: both pointers outlive the call.
    let status = unsafe { abi::proxy_get_header_map_pairs(map, &raw mut pairs, &raw mut len) };
    check(CALL, status)?;
    Headers::from_pairs(taken(CALL, pairs, len)?)
        .map_err(|_| HostError { call: CALL, status: abi::INTERNAL_FAILURE })
}

fn buffer_bytes(buffer: u32, len: usize) -> Result<Vec<u8>, HostError> {
    const CALL: &str = "proxy_get_buffer_bytes";
    if len == 0 {
        return Ok(Vec::new());
    }
    let (mut bytes, mut bytes_len) = (ptr::null_mut(), 0);
    // SAFETY: both pointers outlive the call.
    let status = unsafe { abi::proxy_get_buffer_bytes(buffer, 0, len, &raw mut bytes, &raw mut bytes_len) };
    if !found(CALL, status)? {
        return Ok(Vec::new());
    }
    taken(CALL, bytes, bytes_len)
}

/// All of the `len` bytes that the proxy announced: one that can't hand them out has failed.
fn announced_bytes(buffer: u32, len: usize) -> Result<Vec<u8>, HostError> {
    let bytes = buffer_bytes(buffer, len)?;
    if bytes.len() == len { Ok(bytes) } else { Err(HostError::incomplete("proxy_get_buffer_bytes")) }
}

fn taken(call: &'static str, address: *mut u8, len: usize) -> Result<Vec<u8>, HostError> {
    memory::take(address, len).ok_or(HostError { call, status: abi::INTERNAL_FAILURE })
}

const fn check(call: &'static str, status: u32) -> Result<(), HostError> {
    if status == abi::OK { Ok(()) } else { Err(HostError { call, status }) }
}

/// Whether a compare-and-swap took place.
fn swapped(status: u32) -> Result<(), SharedDataError> {
    match status {
        abi::CAS_MISMATCH => Err(SharedDataError::Conflict),
        status => Ok(check("proxy_set_shared_data", status)?),
    }
}

/// Whether there is a value; NotFound is an answer, everything else an error.
const fn found(call: &'static str, status: u32) -> Result<bool, HostError> {
    match status {
        abi::OK => Ok(true),
        abi::NOT_FOUND => Ok(false),
        status => Err(HostError { call, status }),
    }
}

/// Whole milliseconds, at least 1: for timeouts and ticks the ABI takes 0 as "unlimited" and "off".
pub fn whole_millis(duration: Duration) -> u32 {
    // Envoy reads the timeout as a signed number.
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).clamp(1, i32::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: HOST-SDK-11
    #[test]
    fn no_duration_becomes_unlimited_or_off() {
        for (duration, millis) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(500), 1),
            (Duration::from_millis(1500), 1500),
            (Duration::MAX, i32::MAX.unsigned_abs()),
        ] {
            assert_eq!(whole_millis(duration), millis, "{duration:?}");
        }
    }

    #[test]
    fn a_lost_swap_is_a_conflict_and_every_other_failure_an_error() {
        for (status, expected) in [
            (0, Ok(())),
            (8, Err(SharedDataError::Conflict)),
            (7, Err(SharedDataError::Host(HostError { call: "proxy_set_shared_data", status: 7 }))),
            (99, Err(SharedDataError::Host(HostError { call: "proxy_set_shared_data", status: 99 }))),
        ] {
            assert_eq!(swapped(status), expected, "{status}");
        }
    }

    #[test]
    fn without_a_proxy_every_call_is_an_error_and_nothing_else() {
        let proxy = Proxy::for_stream(1, 2);
        assert_eq!(proxy.now().unwrap_err().status, 12);
        assert!(proxy.property(&["a", "b"]).is_err());
        assert!(proxy.headers(Direction::Request).is_err());
        assert!(matches!(
            proxy.set_shared_data("k", b"", Expected::Absent),
            Err(SharedDataError::Host(HostError { status: 12, .. }))
        ));
        // WASI itself has randomness, with or without a proxy.
        assert_eq!(proxy.random(&mut [0; 8]).is_ok(), cfg!(target_os = "wasi"));
        proxy.log(Level::Warn, "a\nb");
        proxy.close();
    }
}
