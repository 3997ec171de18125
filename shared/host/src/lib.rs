//! The only crate that touches the proxy-wasm ABI: it turns the proxy's callbacks into calls of [`Filter`], and a
//! filter's [`Flow`](portcullis_core::Flow) into host calls.
//!
//! ```text
//! proxy -> exports -> runtime (contexts) -> stream (one request) -> Filter
//!   ^                                          |                      |
//!   +------------- proxy (FFI) <---------------+----- Host, Ctx <-----+
//! ```
//! A filter sees [`Host`] (what it may ask the proxy for), [`Ctx`] (what it may do with the current request) and
//! nothing else, so it runs the same on [`fake::FakeHost`] in a unit test.

#![expect(unsafe_code, reason = "the FFI of the proxy-wasm ABI; no other crate has any")]

mod abi;
#[cfg_attr(not(any(test, target_os = "wasi")), expect(dead_code, reason = "natively the system's is fast"))]
mod allocator;
pub mod certificate;
pub mod chain;
pub mod ctx;
mod exports;
pub mod fake;
pub mod filter;
pub mod grpc;
pub mod host;
mod log_limit;
mod memory;
mod proxy;
pub mod runtime;
pub mod stream;
pub mod stream_host;

#[cfg(target_os = "wasi")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

pub use chain::Chain;
pub use ctx::{Change, Ctx, Edits, Exchange, HeaderEdit};
pub use filter::{Configure, Filter, Needs, Plugin};
pub use grpc::{GrpcAnswer, GrpcCall, GrpcError};
pub use host::{
    CallId, Expected, Host, HostError, HttpAnswer, HttpCall, Level, SharedDataError, SharedValue,
};

/// Makes the crate a proxy-wasm module: `module!(configure)` for one filter ([`Configure`]), `module!(configure, log)` for
/// one that needs [`Filter::on_log`], `module!(chain: configure)` for a list of filters ([`runtime::ConfigureChain`]).
#[macro_export]
macro_rules! module {
    (chain: $configure:path) => {
        $crate::module!(@ $crate::runtime::Module::Chain($configure));
        $crate::module!(@log);
    };
    ($configure:path, log) => {
        $crate::module!($configure);
        $crate::module!(@log);
    };
    (@log) => {
        #[cfg(target_os = "wasi")]
        const _: () = {
            #[expect(unsafe_code, reason = "an export by its name in the ABI")]
            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_log(context: u32) {
                $crate::runtime::on_log(context);
            }
        };
    };
    (@ $module:expr) => {
        #[cfg(target_os = "wasi")]
        const _: () = {
            unsafe extern "C" {
                /// Runs the constructors of the C library (environment, file descriptors).
                fn __wasm_call_ctors();
            }

            #[expect(unsafe_code, reason = "the entry point of a WASI reactor, called once by the proxy before all else")]
            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                // SAFETY: called exactly once, first, as WASI demands of a reactor.
                unsafe { __wasm_call_ctors() };
                $crate::runtime::register($module);
            }
        };
    };
    ($configure:path) => {
        $crate::module!(@ $crate::runtime::Module::Filter($configure));
    };
}
