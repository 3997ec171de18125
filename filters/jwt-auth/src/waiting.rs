//! Requests that wait for keys, or for what an issuer says of a token, in bounded number.

use std::rc::Rc;

use portcullis_core::UnixTime;
use portcullis_host::CallId;

use crate::defaults;
use crate::plugin::JwtAuth;

/// A place among the requests that wait; free again when it is dropped.
pub struct Place {
    plugin: Rc<JwtAuth>,
    awaited: Awaited,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The fetch of a source's keys that is in flight.
    Keys {
        /// Index of the source.
        source: usize,
    },
    /// What the issuer says of a token.
    Introspection {
        /// Index of the source.
        source: usize,
        /// The call that asks.
        call: CallId,
    },
    /// The fetch of a source's keys that began at this time.
    Fetch {
        /// Index of the source.
        source: usize,
        /// When it began.
        since: UnixTime,
    },
}

impl Place {
    /// Takes a place; none when there is nothing to wait for, or no place.
    #[must_use]
    pub fn take(plugin: &Rc<JwtAuth>, awaited: Awaited, now: UnixTime) -> Option<Self> {
        let awaited = match awaited {
            Awaited::Keys { source } => Awaited::Fetch { source, since: plugin.fetching_since(source, now)? },
            awaited => awaited,
        };
        let taken = plugin.waiting.get();
        if taken >= defaults::MAX_WAITING {
            return None;
        }
        plugin.waiting.set(taken.saturating_add(1));
        Some(Self { plugin: Rc::clone(plugin), awaited })
    }

    /// Whether it is still to come. Another fetch that followed at once is not waited for: each has its deadline, and a
    /// provider that hangs would hold a request for all of them.
    #[must_use]
    pub fn may_hope(&self, now: UnixTime) -> bool {
        match self.awaited {
            Awaited::Keys { .. } => false,
            Awaited::Fetch { source, since } => self.plugin.fetching_since(source, now) == Some(since),
            Awaited::Introspection { source, call } => self
                .plugin
                .introspector(source)
                .is_some_and(|introspector| introspector.is_pending(call, now)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.plugin.waiting.set(self.plugin.waiting.get().saturating_sub(1));
    }
}
