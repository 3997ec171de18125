//! An ordered list of configured filters that share one snapshot of each request.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_core::verdict::{OnError, Outcome};

use crate::filter::{Needs, Plugin};
use crate::host::{Host, Level, MetricId, MetricKind};

/// One configured plugin in its place.
struct Link {
    plugin: Rc<dyn Plugin>,
    // As the plugin says; asking it for each request would cost more than it costs to know.
    name: &'static str,
    needs: Needs,
    last_tick: Cell<UnixTime>,
    denied: Cell<Option<MetricId>>,
    reported: Cell<Option<MetricId>>,
}

/// The filters of one root context: a single filter, or the suite's list.
pub struct Chain {
    links: Vec<Link>,
    needs: Needs,
    publish: bool,
}

impl Chain {
    /// One filter in a module of its own: what it finds out is published for the filters of other VMs.
    #[must_use]
    pub fn single(plugin: Rc<dyn Plugin>) -> Self {
        Self::new(vec![plugin], true)
    }

    /// Several filters, called in this order for requests and in the reverse order for responses, as Envoy does.
    ///
    /// `publish` says whether identity and verdicts also go to filter state, for other VMs and for Envoy's own
    /// filters and loggers; within the chain they pass in memory anyway.
    #[must_use]
    pub fn new(plugins: Vec<Rc<dyn Plugin>>, publish: bool) -> Self {
        let nothing = Needs { request_headers: false, ..Needs::default() };
        let needs = plugins.iter().map(|plugin| plugin.needs()).fold(nothing, |all, one| Needs {
            request_headers: all.request_headers || one.request_headers,
            request_trailers: all.request_trailers || one.request_trailers,
            response_headers: all.response_headers || one.response_headers,
            log: all.log || one.log,
        });
        let link = |plugin: Rc<dyn Plugin>| Link {
            name: plugin.name(),
            needs: plugin.needs(),
            plugin,
            last_tick: Cell::default(),
            denied: Cell::default(),
            reported: Cell::default(),
        };
        Self { links: plugins.into_iter().map(link).collect(), needs, publish }
    }

    /// Begins the plugins' work; see [`Plugin::start`]. How often [`Chain::tick`] must be called.
    pub(crate) fn start(&self, host: &dyn Host, enter: impl Fn(usize)) -> Option<Duration> {
        for (index, link) in self.links.iter().enumerate() {
            enter(index);
            let name = link.name.replace('-', "_");
            // Names are constants: metrics are never freed by the host.
            link.denied
                .set(host.define_metric(MetricKind::Counter, &format!("portcullis.{name}.denied")).ok());
            link.reported
                .set(host.define_metric(MetricKind::Counter, &format!("portcullis.{name}.reported")).ok());
            link.plugin.start(host);
        }
        let shortest = self.links.iter().filter_map(|link| link.plugin.tick_period()).min();
        shortest.map(|period| period.max(MIN_TICK))
    }

    /// Calls the plugins whose period has passed.
    pub(crate) fn tick(&self, host: &dyn Host, enter: impl Fn(usize)) {
        let now = match host.now() {
            Ok(now) => now,
            Err(error) => return host.log(Level::Error, &format!("no periodic work: {error}")),
        };
        for (index, link) in self.links.iter().enumerate() {
            let Some(period) = link.plugin.tick_period() else {
                continue;
            };
            // A clock that stepped back must not stop the ticks until it is where it was.
            let last = link.last_tick.get().min(now);
            link.last_tick.set(last);
            // Timers fire a little early or late; half a period of tolerance keeps every beat.
            if now.since(last).saturating_mul(2) >= period {
                link.last_tick.set(now);
                enter(index);
                link.plugin.on_tick(host);
            }
        }
    }

    /// Counts a verdict of the plugin at `index`.
    pub(crate) fn count(&self, host: &dyn Host, index: usize, outcome: Outcome) {
        let Some(link) = self.links.get(index) else {
            return;
        };
        let metric = match outcome {
            Outcome::Deny => link.denied.get(),
            Outcome::Report => link.reported.get(),
            Outcome::Allow => None,
        };
        if let Some(metric) = metric {
            // A metric that can't be counted must not change the verdict.
            let _ = host.increment_metric(metric, 1);
        }
    }

    /// The plugins in order.
    pub fn plugins(&self) -> impl Iterator<Item = &Rc<dyn Plugin>> {
        self.links.iter().map(|link| &link.plugin)
    }

    /// The plugin at `index`.
    #[must_use]
    pub fn plugin(&self, index: usize) -> Option<&Rc<dyn Plugin>> {
        self.links.get(index).map(|link| &link.plugin)
    }

    /// The name of the plugin at `index`, and what it needs.
    pub(crate) fn traits(&self, index: usize) -> Option<(&'static str, Needs)> {
        self.links.get(index).map(|link| (link.name, link.needs))
    }

    /// What any of the filters needs.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        self.needs
    }

    /// Whether identity and verdicts go to filter state.
    #[must_use]
    pub const fn publishes(&self) -> bool {
        self.publish
    }

    /// What happens to a request that nobody could judge: refused as soon as one filter demands it.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        let deny = self.plugins().any(|plugin| plugin.on_error() == OnError::Deny);
        if deny || self.links.is_empty() { OnError::Deny } else { OnError::Allow }
    }
}

/// Envoy's timers are not exact below (envoy: 1 ms asked for was 4 ms).
const MIN_TICK: Duration = Duration::from_millis(10);
