//! An empty proxy-wasm module with the callbacks of an HTTP filter and nothing in them: what `make bench` compares
//! filters with. It shares no code with them, so that it costs only what the proxy's own calls into wasm cost.

#![cfg(all(feature = "module", target_os = "wasi"))]
#![expect(unsafe_code, reason = "exports by name; there is no other unsafe code here")]

use std::alloc::{Layout, alloc};

#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        _ => std::ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_len: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_root: u32, _configuration_len: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_context: u32, _fields: usize, _end_of_stream: u32) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(_context: u32, _buffered: usize, _end_of_stream: u32) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(_context: u32, _fields: usize) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(_context: u32, _fields: usize, _end_of_stream: u32) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(_context: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(_context: u32) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(_context: u32) {}
