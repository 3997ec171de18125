//! Memory that the proxy fills for us: it calls [`allocate`], writes, and hands the address back in a result.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr;

thread_local! {
    /// The allocation that the proxy asked for last and that nobody has taken yet.
    static LAST: Cell<(*mut u8, usize)> = const { Cell::new((ptr::null_mut(), 0)) };
}

/// Gives the proxy `size` bytes to write to; null when there is no memory, which the proxy reports as a failed call.
pub fn allocate(size: usize) -> *mut u8 {
    let Ok(layout) = Layout::array::<u8>(size) else {
        return ptr::null_mut();
    };
    if size == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the layout's size is not zero.
    let address = unsafe { alloc(layout) };
    let (forgotten, forgotten_size) = LAST.replace((address, size));
    if let (false, Ok(layout)) = (forgotten.is_null(), Layout::array::<u8>(forgotten_size)) {
        // The proxy allocated twice within one call and returned only the second: the first would leak.
        // SAFETY: allocated above with this layout; nobody took it, since `take` clears `LAST`.
        unsafe { dealloc(forgotten, layout) };
    }
    address
}

/// Takes over what the proxy returned as `(address, len)`. None when it isn't what was allocated for it: a length
/// that we believed would be memory that we don't own.
pub fn take(address: *mut u8, len: usize) -> Option<Vec<u8>> {
    if address.is_null() || len == 0 {
        return Some(Vec::new());
    }
    let (expected, size) = LAST.replace((ptr::null_mut(), 0));
    if address != expected || len > size {
        return None;
    }
    // SAFETY: `address` was allocated with alignment 1 and capacity `size`; the proxy has written `len` bytes of it
    // (bytes that it left out are whatever the allocator had there, which for u8 from wasm memory is initialised).
    Some(unsafe { Vec::from_raw_parts(address, len, size) })
}

/// Compares memory, for every comparison of texts and slices in the module. The C library's own goes byte by byte, which
/// for a remembered token was a third of all that a request cost; this one takes eight at once.
///
/// # Safety
/// Both must have `len` readable bytes, as in C.
#[cfg(target_os = "wasi")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    let (left, right) =
        unsafe { (std::slice::from_raw_parts(left, len), std::slice::from_raw_parts(right, len)) };
    compare(left, right)
}

/// The order of two slices of the same length: negative, 0 or positive.
#[cfg_attr(not(any(test, target_os = "wasi")), expect(dead_code, reason = "natively the C library is fast"))]
fn compare(left: &[u8], right: &[u8]) -> i32 {
    let ((words, rest), (other_words, other_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    for (word, other) in words.iter().zip(other_words) {
        // Big-endian numbers have the order of their bytes.
        let (word, other) = (u64::from_be_bytes(*word), u64::from_be_bytes(*other));
        if word != other {
            return if word < other { -1 } else { 1 };
        }
    }
    for (byte, other) in rest.iter().zip(other_rest) {
        if byte != other {
            return i32::from(*byte).wrapping_sub(i32::from(*other));
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_allocated_is_taken() {
        assert_eq!(take(ptr::null_mut(), 5), Some(Vec::new()));
        let address = allocate(4);
        // SAFETY: four bytes were just allocated there.
        unsafe { ptr::copy_nonoverlapping(b"abcd".as_ptr(), address, 4) };
        assert_eq!(take(address, 3).unwrap(), b"abc");
        assert_eq!(take(address, 3), None, "twice");
        let address = allocate(4);
        assert_eq!(take(address, 5), None, "longer than allocated");
        assert!(allocate(0).is_null());
        assert!(allocate(usize::MAX).is_null());
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_bytes(left in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), byte: u8) {
            let mut right = left.clone();
            if !right.is_empty() {
                let at = at.index(right.len());
                right[at] = byte;
            }
            prop_assert_eq!(compare(&left, &right).signum(), left.cmp(&right) as i32);
        }
    }
}
