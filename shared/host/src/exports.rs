//! The callbacks by the names that the proxy knows (proxy-wasm ABI 0.2.1). Linked into every module that uses
//! [`module!`](crate::module), which adds `proxy_on_log` where a filter needs it: the proxy calls whatever is there, for
//! every request. `proxy_on_done` is not there at all: nothing is owed after the end of a stream.

#[cfg(feature = "grpc")]
use crate::grpc;
use crate::memory;
use crate::runtime;
use crate::stream::Action;

/// `proxy_action_t`.
const fn action(action: Action) -> u32 {
    match action {
        Action::Continue => 0,
        Action::Pause => 1,
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    runtime::on_context_create(context, parent);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_len: usize) -> bool {
    // The VM's configuration is not used: it is part of what makes plugins share a VM.
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, configuration_len: usize) -> bool {
    runtime::on_configure(root, configuration_len)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    runtime::on_tick(root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _fields: usize, end_of_stream: u32) -> u32 {
    action(runtime::on_request_headers(context, end_of_stream != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, buffered: usize, end_of_stream: u32) -> u32 {
    action(runtime::on_request_body(context, buffered, end_of_stream != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _fields: usize) -> u32 {
    action(runtime::on_request_trailers(context))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _fields: usize, end_of_stream: u32) -> u32 {
    action(runtime::on_response_headers(context, end_of_stream != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    _context: u32,
    call: u32,
    fields: usize,
    body_len: usize,
    _trailer_fields: usize,
) {
    runtime::on_http_call_response(call, fields, body_len);
}

#[cfg(feature = "grpc")]
#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(_context: u32, call: u32, len: usize) {
    grpc::on_receive(call, len);
}

#[cfg(feature = "grpc")]
#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(_context: u32, call: u32, status: u32) {
    grpc::on_close(call, status);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    runtime::on_delete(context);
}
