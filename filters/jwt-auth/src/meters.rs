//! What an operator can watch of a provider's keys. Names come from the configuration alone.

use std::cell::Cell;

use portcullis_host::Host;
use portcullis_host::host::{MetricId, MetricKind};
use portcullis_jose::KeySet;

/// The metrics of one provider; those it shares with the others are defined once by the host.
#[derive(Debug, Default)]
pub struct Meters {
    failed: Cell<Option<MetricId>>,
    fetched: Cell<Option<MetricId>>,
    skipped: Cell<Option<MetricId>>,
    private: Cell<Option<MetricId>>,
    usable: Cell<Option<MetricId>>,
    refetched: Cell<Option<MetricId>>,
}

impl Meters {
    /// Defines them. One that the host refuses is not counted; no verdict depends on it.
    pub fn start(&self, provider: &str, metric: &str, host: &dyn Host) {
        let define = |cell: &Cell<Option<MetricId>>, kind, name: &str| {
            cell.set(host.define_metric(kind, &format!("portcullis.jwt_auth.{name}")).ok());
        };
        define(&self.failed, MetricKind::Counter, "jwks_failed");
        define(&self.fetched, MetricKind::Counter, "jwks_fetched");
        define(&self.skipped, MetricKind::Counter, "keys_skipped");
        define(&self.private, MetricKind::Counter, "private_keys");
        define(&self.usable, MetricKind::Gauge, &format!("provider.{provider}.{metric}"));
        define(&self.refetched, MetricKind::Counter, "unknown_key_refetches");
    }

    /// A fetch brought a usable set.
    pub fn fetched(&self, host: &dyn Host) {
        add(&self.fetched, 1, host);
    }

    /// A fetch brought none.
    pub fn failed(&self, host: &dyn Host) {
        add(&self.failed, 1, host);
    }

    /// A token with an unknown key caused a fetch.
    pub fn refetched(&self, host: &dyn Host) {
        add(&self.refetched, 1, host);
    }

    /// A new set of keys was read.
    pub fn keys_read(&self, keys: &KeySet, host: &dyn Host) {
        add(&self.skipped, keys.skipped().len(), host);
        add(&self.private, keys.private_keys(), host);
    }

    /// How much can be used; 0 when the document has become too old.
    pub fn usable(&self, keys: usize, host: &dyn Host) {
        if let (Some(id), Ok(keys)) = (self.usable.get(), u64::try_from(keys)) {
            let _ = host.record_metric(id, keys);
        }
    }
}

fn add(metric: &Cell<Option<MetricId>>, number: usize, host: &dyn Host) {
    if let (Some(id), Ok(number)) = (metric.get(), i64::try_from(number))
        && number > 0
    {
        let _ = host.increment_metric(id, number);
    }
}
