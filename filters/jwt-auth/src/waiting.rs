//! Requests that wait for keys, in bounded number.

use std::rc::Rc;

use portcullis_core::UnixTime;

use crate::defaults;
use crate::plugin::JwtAuth;

/// A place among the requests that wait; free again when it is dropped.
pub struct Place {
    plugin: Rc<JwtAuth>,
    source: usize,
    /// When the fetch that it waits for began.
    fetch: UnixTime,
}

impl Place {
    /// Takes a place for the fetch of a source that is in flight; none when there is no such fetch, or no place.
    #[must_use]
    pub fn take(plugin: &Rc<JwtAuth>, source: usize, now: UnixTime) -> Option<Self> {
        let fetch = plugin.keys.get(source)?.as_ref()?.fetching_since(now)?;
        let taken = plugin.waiting.get();
        if taken >= defaults::MAX_WAITING {
            return None;
        }
        plugin.waiting.set(taken.saturating_add(1));
        Some(Self { plugin: Rc::clone(plugin), source, fetch })
    }

    /// Whether that fetch is still in flight. Another one that followed it at once is not waited for: each has its
    /// deadline, and a provider that hangs would hold a request for all of them.
    #[must_use]
    pub fn may_hope(&self, now: UnixTime) -> bool {
        let source = self.plugin.keys.get(self.source).and_then(Option::as_ref);
        source.and_then(|source| source.fetching_since(now)) == Some(self.fetch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.plugin.waiting.set(self.plugin.waiting.get().saturating_sub(1));
    }
}
