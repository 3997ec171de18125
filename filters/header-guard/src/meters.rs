//! What an operator can watch of what is changed. Names are constants: the proxy never forgets one.

use std::cell::Cell;

use portcullis_host::Host;
use portcullis_host::host::{MetricId, MetricKind};

/// The filter's counters besides those that every filter has.
#[derive(Debug, Default)]
pub struct Meters {
    requests: Cell<Option<MetricId>>,
    responses: Cell<Option<MetricId>>,
}

impl Meters {
    /// Defines them. One that the proxy refuses is not counted; no verdict depends on it.
    pub fn start(&self, host: &dyn Host) {
        let define = |name| host.define_metric(MetricKind::Counter, name).ok();
        self.requests.set(define("portcullis.header_guard.requests_changed"));
        self.responses.set(define("portcullis.header_guard.responses_faulty"));
    }

    /// Fields of a request that goes on were removed or rewritten.
    pub fn request_changed(&self, host: &dyn Host) {
        count(&self.requests, host);
    }

    /// Something was wrong with a response besides what the profile sets on every one.
    pub fn response_faulty(&self, host: &dyn Host) {
        count(&self.responses, host);
    }
}

fn count(metric: &Cell<Option<MetricId>>, host: &dyn Host) {
    if let Some(id) = metric.get() {
        let _ = host.increment_metric(id, 1);
    }
}
