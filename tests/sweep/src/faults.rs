//! The ways in which a host call can go wrong.

use proxy_wasm_fault_host::{Callback, Effect, status};

use crate::subject::{ROOT, STREAM};

/// Failures: the call did not happen, or its answer was lost. Nothing that is refused without them may pass with one.
#[must_use]
pub fn failures() -> Vec<Effect> {
    let lost = [status::NOT_FOUND, status::CAS_MISMATCH, status::INTERNAL_FAILURE, 99].map(Effect::Lost);
    status::FAILURES.map(Effect::Status).into_iter().chain(lost).collect()
}

/// Answers that lie about the request. A filter can't know better; it must neither trap nor hang.
#[must_use]
pub fn lies() -> Vec<Effect> {
    let pairs = |count: u32, length: u32, rest: &[u8]| {
        let mut bytes = count.to_le_bytes().to_vec();
        for _ in 0..2 {
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend(rest);
        Effect::Bytes(bytes)
    };
    vec![
        // Says that it has done its work.
        Effect::Status(status::OK),
        Effect::Bytes(Vec::new()),
        Effect::Bytes(vec![0]),
        Effect::Bytes(vec![0xff; 8]),
        Effect::Bytes(vec![0xff; 70_000]),
        Effect::Bytes(vec![0; 8 * 1024 * 1024]),
        // Header maps: a count without fields, lengths beyond the end, a field of bytes that are no text.
        pairs(u32::MAX, 0, b""),
        pairs(1, u32::MAX, b""),
        pairs(1, 2, b"\xff\xfe\0\xff\xfe\0"),
        pairs(2, 1, b"a\0b\0"),
        // A result in memory that was not allocated for it: low, at the end, longer than all memory.
        Effect::Elsewhere { address: 1, length: 16 },
        Effect::Elsewhere { address: 1024 * 1024, length: 64 },
        Effect::Elsewhere { address: u32::MAX - 15, length: 16 },
        Effect::Elsewhere { address: 16, length: u32::MAX },
        Effect::Elsewhere { address: 0, length: 16 },
    ]
}

/// Calls back into the module while one of its calls is at work.
#[must_use]
pub fn reentries() -> Vec<Effect> {
    [
        vec![Callback::log(STREAM)],
        vec![Callback::done(STREAM), Callback::delete(STREAM)],
        vec![Callback::request_headers(STREAM, 6, true)],
        vec![Callback::request_body(STREAM, 100, true)],
        vec![Callback::response_headers(STREAM, 4, true)],
        vec![Callback::tick(ROOT)],
        vec![Callback::http_call_response(ROOT, 1, 0, 0)],
        vec![Callback::grpc_receive(ROOT, 1, 0)],
        vec![Callback::grpc_close(ROOT, 1, 14)],
        vec![Callback::context_create(STREAM + 1, ROOT), Callback::request_headers(STREAM + 1, 6, true)],
        vec![Callback::configure(ROOT, 2)],
        vec![Callback::delete(ROOT)],
    ]
    .into_iter()
    .map(Effect::Reenter)
    .collect()
}
