//! A proxy-wasm host that misbehaves on purpose, to test filters with.
//!
//! It loads a module as it ships, drives it as a proxy does, and can make every host call fail with every status,
//! answer with malformed bytes, lose its answer or call back into the module; time jumps, callbacks come in any order,
//! memory and instructions are bounded. What the module did is recorded: its replies, edits, calls, shared data, metrics
//! and logs, and what no proxy allows ([`Violation`]).
//!
//! ```text
//! test -> Exchange (one request, in the order of a proxy) -> Vm (one callback) -> module
//!                                                             ^                      |
//!                                     Fault (what goes wrong) +---- imports <--------+---> Proxy (what it did)
//! ```
//! The README has an example. The ABI is 0.2.0/0.2.1 as Envoy has it.

mod callback;
pub mod exchange;
mod fault;
mod grpc;
mod guest;
mod imports;
mod pairs;
mod proxy;
mod random;
pub mod status;
mod stream;
mod vm;
mod wasi;

pub use callback::Callback;
pub use exchange::{Ended, Exchange, Outcome};
pub use fault::{Effect, Fault, Site};
pub use grpc::{GrpcAnswer, PendingGrpcCall};
pub use pairs::Pairs;
pub use proxy::{Answer, ForeignFunction, Metric, PendingCall, Proxy, Violation};
pub use random::Random;
pub use stream::{Message, Reply, Stream};
pub use vm::{LoadError, Module, Trap, TrapKind, Vm};
