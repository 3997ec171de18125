//! A provider's keys at run time: where they come from, how old they may be, who fetches them.

use std::cell::Cell;
use std::rc::Rc;

use portcullis_core::UnixTime;
use portcullis_host::{CallId, Expected, Host, HttpAnswer, HttpCall, Level, SharedDataError, SharedValue};
use portcullis_jose::{Algorithm, KeySet};

use crate::meters::Meters;
use crate::provider::Keys;
use crate::remote::Remote;
use crate::schedule::{Need, Schedule};
use crate::source::Source;

/// The keys of one provider on one worker.
pub struct KeySource {
    name: String,
    algorithms: Vec<Algorithm>,
    remote: Option<RemoteKeys>,
    keys: Cell<Option<Rc<KeySet>>>,
    /// Counts the sets that differed, so that what was verified with another one is not believed.
    generation: Cell<u64>,
    meters: Meters,
}

/// The part that fetches. The schedule and the last document are in shared data, where every worker finds them.
struct RemoteKeys {
    remote: Remote,
    schedule_key: String,
    document_key: String,
    /// As last seen; the only one if the host has no shared data.
    schedule: Cell<Schedule>,
    /// When the set that is in use was stored.
    loaded: Cell<UnixTime>,
    call: Cell<Option<CallId>>,
    jitter: Cell<u8>,
}

/// What came of asking for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There is another set now: try again.
    Changed,
    /// A fetch is in flight, here or on another worker.
    Pending,
    /// No: a fetch failed or was done not long ago.
    NotNow {
        /// When the next regular attempt is due, in seconds; at least 1.
        retry_after: u64,
    },
}

impl KeySource {
    /// For a source; none for one without keys.
    #[must_use]
    pub fn new(source: &Source) -> Option<Self> {
        let provider = source.provider()?;
        let algorithms = provider.tokens.algorithms.clone();
        let (keys, remote) = match &provider.keys {
            Keys::Inline(keys) => (Some(Rc::clone(keys)), None),
            Keys::Remote(remote) => (None, Some(RemoteKeys::new(remote.clone(), &algorithms))),
        };
        Some(Self {
            name: source.name.clone(),
            algorithms,
            remote,
            keys: Cell::new(keys),
            generation: Cell::new(0),
            meters: Meters::default(),
        })
    }

    /// The set to verify with, and its generation. None when there is none that may still be used.
    #[must_use]
    pub fn current(&self, now: UnixTime) -> Option<(Rc<KeySet>, u64)> {
        let generation = self.generation(now)?;
        Some((self.keys()?, generation))
    }

    /// The set in use: taken out and put back, since a `RefCell` could be found in use, which is a panic.
    fn keys(&self) -> Option<Rc<KeySet>> {
        let keys = self.keys.take();
        self.keys.set(keys.clone());
        keys
    }

    /// The generation of the set that may be used, for what was verified before.
    #[must_use]
    pub fn generation(&self, now: UnixTime) -> Option<u64> {
        let remote = self.remote.as_ref();
        let stale =
            remote.is_some_and(|remote| now.since(remote.loaded.get()) >= remote.remote.timing.max_stale);
        (!stale).then(|| self.generation.get())
    }

    /// Whether it has anything to fetch.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Prepares the source; fetches nothing, since not every instance that starts lives to see the answer.
    pub fn start(&self, host: &dyn Host) {
        self.meters.start(&self.name, host);
        let Some(remote) = &self.remote else {
            if let Some(keys) = self.keys() {
                self.report(&keys, host);
            }
            return;
        };
        let mut jitter = [0];
        if host.random(&mut jitter).is_ok() {
            remote.jitter.set(jitter[0]);
        }
        self.look(remote, host);
    }

    /// Takes over what other workers fetched, and fetches when it is time.
    pub fn tick(&self, host: &dyn Host, now: UnixTime) {
        self.want(Need::Refresh, host, now);
        if self.is_remote() && self.current(now).is_none() {
            self.meters.usable(0, host);
        }
    }

    /// Asks for newer keys.
    pub fn want(&self, need: Need, host: &dyn Host, now: UnixTime) -> Wanted {
        let Some(remote) = &self.remote else {
            return Wanted::NotNow { retry_after: 1 };
        };
        let timing = &remote.remote.timing;
        let (changed, shared) = self.look(remote, host);
        if changed {
            return Wanted::Changed;
        }
        let schedule = remote.schedule.get();
        if schedule.is_pending(now, timing) {
            return Wanted::Pending;
        }
        if !schedule.is_due(need, now, timing, remote.jitter.get()) {
            return Wanted::NotNow { retry_after: schedule.retry_after(now, timing) };
        }
        let begun = schedule.begun(now, timing);
        match write(host, &remote.schedule_key, &begun.encode(), shared.as_ref()) {
            // Another worker was faster; it fetches.
            Err(SharedDataError::Conflict) => {
                let (changed, _) = self.look(remote, host);
                return if changed { Wanted::Changed } else { Wanted::Pending };
            }
            // Without shared data each worker fetches for itself.
            Ok(()) | Err(SharedDataError::Host(_)) => remote.schedule.set(begun),
        }
        match remote.remote.fetch(host) {
            Ok(id) => {
                remote.call.set(Some(id));
                Wanted::Pending
            }
            Err(error) => {
                host.log(Level::Warn, &format!("provider {}: key set can't be fetched: {error}", self.name));
                remote.publish(host, begun.failed());
                Wanted::NotNow { retry_after: remote.schedule.get().retry_after(now, timing) }
            }
        }
    }

    /// When the fetch began that is in flight, here or on another worker, by what this worker saw last.
    #[must_use]
    pub fn fetching_since(&self, now: UnixTime) -> Option<UnixTime> {
        let remote = self.remote.as_ref()?;
        let schedule = remote.schedule.get();
        schedule.is_pending(now, &remote.remote.timing).then(|| schedule.attempted())
    }

    /// The answer to a fetch of this source; others are not looked at.
    pub fn answered(&self, id: CallId, answer: &HttpAnswer, host: &dyn Host, now: UnixTime) {
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.call.get() == Some(id)) else {
            return;
        };
        remote.call.set(None);
        let schedule = remote.schedule.get();
        match self.read(answer) {
            Ok((keys, document)) => {
                self.meters.fetched(host);
                remote.publish_document(host, now, document);
                remote.publish(host, schedule.succeeded(now));
                self.replace(keys, host);
                remote.loaded.set(now);
            }
            Err(problem) => {
                self.meters.failed(host);
                host.log(Level::Warn, &format!("provider {}: key set not fetched: {problem}", self.name));
                remote.publish(host, schedule.failed());
            }
        }
    }

    /// Only an answer 200 with a usable set counts: no redirect, no empty set (CVE-2026-31837 made keys up).
    fn read<'a>(&self, answer: &'a HttpAnswer) -> Result<(KeySet, &'a [u8]), String> {
        match answer.status() {
            Some(200) => {}
            Some(status) => return Err(format!("status {status}")),
            None => return Err("no answer".to_owned()),
        }
        let document = answer.body.as_deref().ok_or("the answer is too large")?;
        let keys = KeySet::parse(document, &self.algorithms).map_err(|error| error.to_string())?;
        Ok((keys, document))
    }

    /// Reads the shared schedule, and the shared set if it is newer than the one in use. Whether there is a newer
    /// set now, and the schedule's value for a later write.
    fn look(&self, remote: &RemoteKeys, host: &dyn Host) -> (bool, Option<SharedValue>) {
        let shared = host.shared_data(&remote.schedule_key).ok().flatten();
        if let Some(schedule) = shared.as_ref().and_then(|value| Schedule::decode(&value.bytes)) {
            remote.schedule.set(schedule);
        }
        let newer = remote.schedule.get().stored() > remote.loaded.get() && self.load(remote, host).is_some();
        (newer, shared)
    }

    fn load(&self, remote: &RemoteKeys, host: &dyn Host) -> Option<()> {
        let value = host.shared_data(&remote.document_key).ok().flatten()?;
        let (stored, document) = value.bytes.split_first_chunk()?;
        let stored = UnixTime::from_nanos(u64::from_le_bytes(*stored));
        if stored <= remote.loaded.get() {
            return None;
        }
        let keys = KeySet::parse(document, &self.algorithms).ok()?;
        self.replace(keys, host);
        remote.loaded.set(stored);
        Some(())
    }

    fn replace(&self, keys: KeySet, host: &dyn Host) {
        // The same keys again: what was verified with them still holds.
        if self.keys().as_deref() == Some(&keys) {
            return self.meters.usable(keys.keys().len(), host);
        }
        self.report(&keys, host);
        self.generation.set(self.generation.get().wrapping_add(1));
        self.keys.set(Some(Rc::new(keys)));
    }

    fn report(&self, keys: &KeySet, host: &dyn Host) {
        self.meters.in_use(keys, host);
        host.log(Level::Info, &format!("provider {}: {} keys", self.name, keys.keys().len()));
        for (index, problem) in keys.skipped() {
            host.log(Level::Warn, &format!("provider {}: keys[{index}] is not used: {problem}", self.name));
        }
        if keys.private_keys() > 0 {
            let text = "publishes private keys; they are known to everybody and must be replaced";
            host.log(Level::Error, &format!("provider {} {text}", self.name));
        }
    }
}

impl RemoteKeys {
    /// Shared data is never freed, so its keys come from the configuration alone. Sets for other algorithms are
    /// judged differently, so they do not share.
    fn new(remote: Remote, algorithms: &[Algorithm]) -> Self {
        let Remote { cluster, scheme, authority, path, .. } = &remote;
        let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let name = format!("{cluster} {scheme}://{authority}{path} {}", names.join(","));
        Self {
            schedule_key: format!("portcullis.jwks.schedule {name}"),
            document_key: format!("portcullis.jwks.document {name}"),
            schedule: Cell::default(),
            loaded: Cell::default(),
            call: Cell::default(),
            jitter: Cell::default(),
            remote,
        }
    }

    fn publish(&self, host: &dyn Host, schedule: Schedule) {
        self.schedule.set(schedule);
        overwrite(host, &self.schedule_key, &schedule.encode());
    }

    /// The time comes first, so that a reader takes a document only once.
    fn publish_document(&self, host: &dyn Host, now: UnixTime, document: &[u8]) {
        overwrite(host, &self.document_key, &[&now.as_nanos().to_le_bytes(), document].concat());
    }
}

impl Remote {
    fn fetch(&self, host: &dyn Host) -> Result<CallId, portcullis_host::HostError> {
        let headers = [
            (":method", "GET"),
            (":scheme", self.scheme),
            (":authority", self.authority.as_str()),
            (":path", self.path.as_str()),
            ("accept", "application/jwk-set+json, application/json"),
        ];
        host.http_call(&HttpCall {
            cluster: &self.cluster,
            headers: &headers,
            body: b"",
            timeout: self.timing.timeout,
        })
    }
}

fn write(
    host: &dyn Host,
    key: &str,
    bytes: &[u8],
    seen: Option<&SharedValue>,
) -> Result<(), SharedDataError> {
    let expected = seen.map_or(Expected::Absent, |value| Expected::Unchanged(value.version));
    host.set_shared_data(key, bytes, expected)
}

/// Writes over whatever is there. Only the worker that holds the lease does; a second conflict can't come but from one
/// whose lease ran out, and then its value is as good.
fn overwrite(host: &dyn Host, key: &str, bytes: &[u8]) {
    for _ in 0..2 {
        let seen = host.shared_data(key).ok().flatten();
        match write(host, key, bytes, seen.as_ref()) {
            Err(SharedDataError::Conflict) => {}
            Ok(()) => return,
            // Each worker then fetches for itself.
            Err(SharedDataError::Host(_)) => return,
        }
    }
}
