//! Status codes of the ABI (`proxy_status_t`), by the numbers that Envoy uses.

/// The call did what it says.
pub const OK: u32 = 0;
/// No such value.
pub const NOT_FOUND: u32 = 1;
/// An argument makes no sense, or not in this phase.
pub const BAD_ARGUMENT: u32 = 2;
/// Bytes that are not in the form that they should be.
pub const PARSE_FAILURE: u32 = 4;
/// An address outside of the module's memory.
pub const INVALID_MEMORY_ACCESS: u32 = 6;
/// A compare-and-swap that lost.
pub const CAS_MISMATCH: u32 = 8;
/// The host failed; also what a capability list forbids.
pub const INTERNAL_FAILURE: u32 = 10;
/// The host doesn't have this call.
pub const UNIMPLEMENTED: u32 = 12;

/// Every status of the ABI but Ok, and some that it does not know.
pub const FAILURES: [u32; 17] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99, 255, 0x7fff_ffff, 0xffff_ffff];
