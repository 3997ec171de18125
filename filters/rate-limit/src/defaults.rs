//! Every default, with its reason.

use crate::config::KeyPart;

/// One bucket for each client address: the only key that needs no other filter and that a client can't choose.
#[must_use]
pub fn key() -> Vec<KeyPart> {
    vec![KeyPart::ClientAddress]
}

/// Keys that are counted at once, for each limit: 16,384 take 2,048 shared values, about 0.7 MiB of the proxy's memory
/// when all are in use.
pub const SLOTS: u32 = 16_384;

/// The fewest slots: less would let a handful of clients crowd each other.
pub const MIN_SLOTS: u32 = 64;

/// The most slots: about 45 MiB of the proxy's memory.
pub const MAX_SLOTS: u32 = 1_048_576;

/// The most limits in one configuration. Each that matches a request costs two calls of the proxy.
pub const MAX_LIMITS: usize = 64;

/// The most tokens in a period or a bucket. What is meant to be unlimited needs no limit.
pub const MAX_COUNT: u32 = 1_000_000_000;

/// The longest id, in characters: it is part of the proxy's shared keys and of response fields.
pub const MAX_ID: usize = 64;
