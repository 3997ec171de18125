//! The module's allocator: what a request frees waits for the next one, in a list for each size.
//!
//! A request makes and frees dozens of blocks of the same few sizes. The C library's allocator looks for the best
//! place for each and merges neighbours when it is freed, which was a quarter of all that a verified token cost; taking
//! the head of a list is a few instructions. Lists only grow to what was once needed at the same time, and blocks above
//! 8 KiB are not listed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

/// Sizes of small blocks are multiples of this, up to [`SMALL`].
const FINE: usize = 16;
/// Largest small block, in bytes.
const SMALL: usize = 512;
/// Sizes of larger blocks are multiples of this, up to [`LARGE`].
const COARSE: usize = 256;
/// Largest block that is listed, in bytes.
const LARGE: usize = 8 * 1024;
/// What the system's allocator gives without being asked for more.
const ALIGNMENT: usize = 8;
/// How many lists there are: the small sizes, then the larger ones.
const CLASSES: usize = SMALL / FINE + LARGE / COARSE;

/// A block that nobody uses; its memory holds the address of the next one.
struct Free {
    next: *mut Self,
}

/// Lists of freed blocks by size, before the system's allocator.
pub struct Allocator {
    free: UnsafeCell<[*mut Free; CLASSES]>,
}

// SAFETY: a module has one thread: the proxy runs a VM for each worker.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// Without any blocks.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: UnsafeCell::new([ptr::null_mut(); CLASSES]) }
    }

    /// The head of a list.
    const fn list(&self, class: usize) -> Option<*mut *mut Free> {
        if class >= CLASSES {
            return None;
        }
        // SAFETY: within the array, as was just compared.
        Some(unsafe { self.free.get().cast::<*mut Free>().add(class) })
    }
}

/// The list for a layout, and the size of its blocks.
const fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if layout.align() > ALIGNMENT || size == 0 || size > LARGE {
        return None;
    }
    if size <= SMALL {
        let class = size.saturating_sub(1) / FINE;
        return Some((class, class.saturating_add(1).saturating_mul(FINE)));
    }
    let class = size.saturating_sub(1) / COARSE;
    Some((class.saturating_add(SMALL / FINE), class.saturating_add(1).saturating_mul(COARSE)))
}

// SAFETY: a block is in a list only while nobody uses it, and each is at least as large and as aligned as the layouts of
// its class; all else is the system's.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, size)) = class(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        let Some(list) = self.list(class) else { return ptr::null_mut() };
        // SAFETY: the list is ours, and there is no second thread; its blocks hold the address of the next.
        unsafe {
            let head = *list;
            if head.is_null() {
                return System.alloc(Layout::from_size_align_unchecked(size, ALIGNMENT));
            }
            *list = (*head).next;
            head.cast()
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(list) = class(layout).and_then(|(class, _)| self.list(class)) else {
            // SAFETY: the caller's promise; `alloc` took it from the system too.
            return unsafe { System.dealloc(block, layout) };
        };
        #[expect(clippy::cast_ptr_alignment, reason = "listed blocks are aligned for it")]
        let block = block.cast::<Free>();
        // SAFETY: nobody uses the block any more, and every block of a list has room for an address.
        unsafe {
            (*block).next = *list;
            *list = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that is not zero and does not overflow with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (None, None) => {
                // SAFETY: the caller's promise.
                unsafe { System.realloc(block, layout, size) }
            }
            (Some(own), Some(other)) if own == other => block,
            _ => {
                // SAFETY: the caller's promise; both have room for the smaller of the sizes.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_block_freed_is_the_next_of_its_size() {
        let allocator = Allocator::new();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each block is freed once, with its layout.
        unsafe {
            let (first, second) = (allocator.alloc(layout(20)), allocator.alloc(layout(32)));
            assert_ne!(first, second);
            allocator.dealloc(first, layout(20));
            assert_eq!(allocator.alloc(layout(17)), first, "17 to 32 bytes are one size");
            assert_eq!(allocator.realloc(first, layout(17), 32), first, "it has the room");
            let large = allocator.alloc(layout(LARGE + 1));
            allocator.dealloc(large, layout(LARGE + 1));
            for (block, size) in [(first, 32), (second, 32)] {
                allocator.dealloc(block, layout(size));
            }
        }
    }

    proptest! {
        #[test]
        fn a_class_has_room_for_its_sizes(size in 1_usize..=LARGE) {
            let (list, room) = class(Layout::from_size_align(size, 8).unwrap()).unwrap();
            prop_assert!(list < CLASSES && room >= size && room.saturating_sub(size) < COARSE);
            prop_assert_eq!(class(Layout::from_size_align(room, 8).unwrap()), Some((list, room)));
        }

        /// Grown, shrunk and freed in any order, no block changes what another holds.
        #[test]
        fn blocks_keep_what_is_in_them(steps in proptest::collection::vec((0_usize..8, 1_usize..10_000), 0..200)) {
            let allocator = Allocator::new();
            let mut blocks: [Option<(*mut u8, usize)>; 8] = [None; 8];
            for (number, (place, size)) in steps.into_iter().enumerate() {
                let layout = |size| Layout::from_size_align(size, 1).unwrap();
                let fill = u8::try_from(place).unwrap();
                // SAFETY: every block is used within its size, and freed once with it.
                unsafe {
                    blocks[place] = match blocks[place] {
                        None => Some((allocator.alloc(layout(size)), size)),
                        Some((block, old)) if number % 3 == 0 => {
                            allocator.dealloc(block, layout(old));
                            None
                        }
                        Some((block, old)) => Some((allocator.realloc(block, layout(old), size), size)),
                    };
                    for (place, block) in blocks.iter().enumerate() {
                        let Some((block, size)) = block else { continue };
                        if place == usize::from(fill) {
                            ptr::write_bytes(*block, fill, *size);
                        }
                        let held = std::slice::from_raw_parts(*block, *size);
                        prop_assert!(held.iter().all(|byte| usize::from(*byte) == place));
                    }
                }
            }
            for (block, size) in blocks.into_iter().flatten() {
                // SAFETY: in use until now, with this size.
                unsafe { allocator.dealloc(block, Layout::from_size_align(size, 1).unwrap()) };
            }
        }
    }
}
