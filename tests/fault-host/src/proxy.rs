//! What the proxy holds for a module, and what it saw the module do. Everything is open for tests to set and to read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::fault::Faults;
use crate::grpc::{GrpcAnswer, PendingGrpcCall};
use crate::pairs::Pairs;
use crate::random::Random;
use crate::stream::Stream;

/// What answers a foreign function: bytes, or a status.
pub type ForeignFunction = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, u32> + Send + Sync>;

/// How a cluster answers a callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With these fields (`:status` among them) and this body.
    With(Pairs, Vec<u8>),
    /// Not at all: the deadline passes.
    Silence,
}

/// A callout in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// Its token.
    pub token: u32,
    /// The context that it was made for, which gets the answer.
    pub context: u32,
    /// The cluster.
    pub cluster: String,
    /// Its header fields.
    pub headers: Pairs,
    /// Its body.
    pub body: Vec<u8>,
    /// When it fails, in nanoseconds since the epoch.
    pub deadline: u64,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Counter 0, gauge 1, histogram 2.
    pub kind: u32,
    /// Its value.
    pub value: i64,
}

/// What no proxy allows, or what hurts in a real one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A second local reply on a stream: Envoy then never ends it.
    SecondReply(u32),
    /// A stream was let go on after it had been answered or closed.
    ContinueAfterEnd(u32),
    /// Header fields were changed after the stream had been answered or closed.
    EditAfterEnd(u32),
    /// A callout without a deadline.
    NoDeadline(String),
    /// A bulk write that Envoy refuses and that leaves the map empty: above 1,024 fields or 1 MiB.
    BulkWriteTooLarge(usize),
    /// A compare-and-swap that is none: with version 0 a write is unconditional.
    UnconditionalWrite(String),
    /// A log line with a control character: request data can forge lines.
    RawLog(Vec<u8>),
}

/// The proxy. A clone is a copy of all it knows, as for a second worker; shared data is then no longer shared.
#[derive(Clone, Default)]
pub struct Proxy {
    /// The wall clock, in nanoseconds since the epoch.
    pub now: u64,
    /// Environment variables of the VM.
    pub environment: BTreeMap<String, String>,
    /// The VM's configuration.
    pub vm_configuration: Vec<u8>,
    /// The plugin's configuration.
    pub plugin_configuration: Vec<u8>,
    /// Properties of all contexts, by their path joined with NUL; those of streams come first.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Streams by their context.
    pub streams: BTreeMap<u32, Stream>,
    /// Shared data with versions.
    pub shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Metrics; the id is the place in the list.
    pub metrics: Vec<Metric>,
    /// Clusters that exist, and how each answers.
    pub clusters: BTreeMap<String, Answer>,
    /// Callouts in flight.
    pub calls: Vec<PendingCall>,
    /// How many callouts were begun.
    pub calls_begun: u32,
    /// The answer that is being delivered.
    pub answer: Option<(Pairs, Vec<u8>)>,
    /// Clusters that speak gRPC, and how each answers.
    pub grpc_clusters: BTreeMap<String, GrpcAnswer>,
    /// gRPC calls in flight.
    pub grpc_calls: Vec<PendingGrpcCall>,
    /// How many gRPC calls were begun.
    pub grpc_calls_begun: u32,
    /// The message that is being delivered.
    pub grpc_message: Option<Vec<u8>>,
    /// Foreign functions by name.
    pub functions: BTreeMap<String, ForeignFunction>,
    /// The tick period in milliseconds; 0 for none.
    pub tick_period: u32,
    /// Log lines with their level.
    pub logs: Vec<(u32, Vec<u8>)>,
    /// What the module printed, a panic's message for one.
    pub printed: Vec<u8>,
    /// What `random_get` gives: a fixed sequence.
    pub random: Random,
    /// Branches of an instrumented module by their number: how often each was taken, and how often not.
    pub branches: BTreeMap<u32, (u64, u64)>,
    /// How often the proxy asked the module for memory.
    pub allocations: u64,
    /// What the module did that it must not.
    pub violations: Vec<Violation>,
    /// What goes wrong, and what was called.
    pub faults: Faults,
    pub(crate) frames: Vec<Frame>,
}

/// A call into the module that has not returned yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) export: &'static str,
    /// The context that host calls act on.
    pub(crate) context: u32,
}

impl Proxy {
    /// A proxy with the clock at `seconds` since the epoch.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        Self {
            now: seconds.saturating_mul(1_000_000_000),
            random: Random::new(0x9e37_79b9_7f4a_7c15),
            ..Self::default()
        }
    }

    /// Sets a property that all contexts see, as in `source.address`.
    pub fn set_property(&mut self, path: &str, value: impl Into<Vec<u8>>) {
        self.properties.insert(path.replace('.', "\0").into_bytes(), value.into());
    }

    /// The context that host calls act on now.
    pub(crate) fn context(&self) -> u32 {
        self.frames.last().map_or(0, |frame| frame.context)
    }

    /// The stream that host calls act on now.
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        let context = self.context();
        self.streams.get_mut(&context).filter(|stream| !stream.abandoned)
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("now", &self.now)
            .field("streams", &self.streams)
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}
