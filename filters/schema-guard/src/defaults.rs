//! Defaults and bounds, each with its reason.

use portcullis_core::config::ByteSize;

/// 1 MiB: Envoy's own default for buffers (`per_connection_buffer_limit_bytes`), above which it answers by itself.
pub(crate) const fn max_body() -> ByteSize {
    ByteSize::new(1 << 20)
}

/// 16 MiB: a body is in memory as text and as values, in each of a worker's requests at a time.
pub(crate) const MAX_BODY: ByteSize = ByteSize::new(16 << 20);
