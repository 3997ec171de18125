//! The proxy-wasm ABI 0.2.1, declared once. Every function answers with a status; nothing is assumed about it.
//!
//! Source: the specification's `abi-versions/v0.2.1`. On targets without a proxy (native tests, node) each
//! function answers "unimplemented".

/// Status 0: the call did what it says.
pub const OK: u32 = 0;
/// Status 1: there is no such value.
pub const NOT_FOUND: u32 = 1;
/// Status 8: compare-and-swap lost.
pub const CAS_MISMATCH: u32 = 8;
/// Status 10: what a proxy answers to calls that its capability list forbids; ours for answers that make no sense.
pub const INTERNAL_FAILURE: u32 = 10;
/// Status 12: the proxy has no such function.
pub const UNIMPLEMENTED: u32 = 12;

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        #[cfg(target_os = "wasi")]
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(pub fn $name($($argument: $type),*) -> u32;)*
        }

        $(
            #[cfg(not(target_os = "wasi"))]
            #[allow(clippy::too_many_arguments, reason = "the ABI's own signatures")]
            pub unsafe fn $name($(_: $type),*) -> u32 {
                UNIMPLEMENTED
            }
        )*
    };
}

functions! {
    fn proxy_log(level: u32, message: *const u8, message_len: usize);
    fn proxy_get_current_time_nanoseconds(nanos: *mut u64);
    fn proxy_set_tick_period_milliseconds(period: u32);
    fn proxy_get_property(path: *const u8, path_len: usize, value: *mut *mut u8, value_len: *mut usize);
    fn proxy_set_property(path: *const u8, path_len: usize, value: *const u8, value_len: usize);
    fn proxy_get_header_map_pairs(map: u32, pairs: *mut *mut u8, pairs_len: *mut usize);
    fn proxy_add_header_map_value(map: u32, name: *const u8, name_len: usize, value: *const u8, value_len: usize);
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_len: usize);
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, bytes: *mut *mut u8, bytes_len: *mut usize);
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_len: usize,
        body: *const u8,
        body_len: usize,
        headers: *const u8,
        headers_len: usize,
        grpc_status: i32,
    );
    fn proxy_continue_stream(stream: u32);
    fn proxy_close_stream(stream: u32);
    fn proxy_get_shared_data(key: *const u8, key_len: usize, value: *mut *mut u8, value_len: *mut usize, cas: *mut u32);
    fn proxy_set_shared_data(key: *const u8, key_len: usize, value: *const u8, value_len: usize, cas: u32);
    fn proxy_http_call(
        cluster: *const u8,
        cluster_len: usize,
        headers: *const u8,
        headers_len: usize,
        body: *const u8,
        body_len: usize,
        trailers: *const u8,
        trailers_len: usize,
        timeout_ms: u32,
        token: *mut u32,
    );
    fn proxy_grpc_call(
        target: *const u8,
        target_len: usize,
        service: *const u8,
        service_len: usize,
        method: *const u8,
        method_len: usize,
        metadata: *const u8,
        metadata_len: usize,
        message: *const u8,
        message_len: usize,
        timeout_ms: u32,
        token: *mut u32,
    );
    fn proxy_call_foreign_function(
        name: *const u8,
        name_len: usize,
        argument: *const u8,
        argument_len: usize,
        answer: *mut *mut u8,
        answer_len: *mut usize,
    );
    fn proxy_define_metric(kind: u32, name: *const u8, name_len: usize, id: *mut u32);
    fn proxy_increment_metric(id: u32, offset: i64);
    fn proxy_record_metric(id: u32, value: u64);
    fn proxy_set_effective_context(context: u32);
}

macro_rules! wasi_functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*);)*) => {
        // WASI preview 1; errno 0 is success.
        #[cfg(target_os = "wasi")]
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        unsafe extern "C" {
            $(pub fn $name($($argument: $type),*) -> u32;)*
        }

        $(
            #[cfg(not(target_os = "wasi"))]
            pub unsafe fn $name($(_: $type),*) -> u32 {
                52 // ENOSYS
            }
        )*
    };
}

wasi_functions! {
    fn random_get(buffer: *mut u8, len: usize);
    fn environ_sizes_get(count: *mut usize, size: *mut usize);
    fn environ_get(entries: *mut *mut u8, buffer: *mut u8);
}
