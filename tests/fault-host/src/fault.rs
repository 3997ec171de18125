//! What goes wrong, and where.

use std::collections::BTreeMap;

use crate::callback::Callback;

/// A host call in a phase; the phase is the export that the proxy called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The export, as in `proxy_on_request_headers`.
    pub phase: &'static str,
    /// The host call, as in `proxy_get_property`.
    pub call: &'static str,
}

/// What a host call does instead of its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing; it answers with this status.
    Status(u32),
    /// Its work, but the answer is this status: the module believes that it failed.
    Lost(u32),
    /// It succeeds with these bytes as its result. Calls without a result do their work.
    Bytes(Vec<u8>),
    /// It succeeds with a result at an address that the module did not give.
    Elsewhere {
        /// Where the result is said to be.
        address: u32,
        /// How long it is said to be.
        length: u32,
    },
    /// It first calls back into the module, then does its work. Not again while one is at it.
    Reenter(Vec<Callback>),
}

/// An [`Effect`] at some host calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The host call; none for all of them.
    pub call: Option<&'static str>,
    /// The phase; none for all of them.
    pub phase: Option<&'static str>,
    /// Which one of the calls at a site, from 0; none for all of them.
    pub nth: Option<u32>,
    /// What happens there.
    pub effect: Effect,
}

impl Fault {
    /// All calls at a site.
    #[must_use]
    pub fn at(site: Site, effect: Effect) -> Self {
        Self { call: Some(site.call), phase: Some(site.phase), nth: None, effect }
    }

    /// One call at a site.
    #[must_use]
    pub fn at_nth(site: Site, nth: u32, effect: Effect) -> Self {
        Self { nth: Some(nth), ..Self::at(site, effect) }
    }
}

/// The faults in force, and the calls that were made.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The first one that matches happens.
    pub plan: Vec<Fault>,
    /// How often each site was called.
    pub seen: BTreeMap<Site, u32>,
    /// How many faults happened.
    pub happened: u64,
}

impl Faults {
    /// Notes a call; what happens to it.
    pub(crate) fn meet(&mut self, site: Site) -> Option<Effect> {
        let count = self.seen.entry(site).or_insert(0);
        let nth = *count;
        *count = nth.saturating_add(1);
        let fault = self.plan.iter().find(|fault| {
            fault.call.is_none_or(|call| call == site.call)
                && fault.phase.is_none_or(|phase| phase == site.phase)
                && fault.nth.is_none_or(|wanted| wanted == nth)
        })?;
        self.happened = self.happened.saturating_add(1);
        Some(fault.effect.clone())
    }
}
