//! Documents that one worker fetches for all: where they come from, how old they may be, who fetches them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_host::{
    CallId, Expected, Host, HostError, HttpAnswer, HttpCall, Level, SharedDataError, SharedValue,
};

use crate::cache_control;
use crate::discovery;
use crate::meters::Meters;
use crate::remote::{Address, Remote};
use crate::schedule::{Need, Schedule};

/// What can be fetched.
pub trait Document: Sized + PartialEq {
    /// What it is read by.
    type Rules;

    /// What it is called in logs, as in `key set`.
    const NOUN: &'static str;

    /// The last part of the names of its metrics, as in `keys`.
    const METRIC: &'static str;

    /// The media types that are asked for.
    const ACCEPT: &'static str;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, without anything of the document.
    fn parse(document: &[u8], rules: &Self::Rules) -> Result<Self, String>;

    /// A text that differs for rules by which a document is read differently: those do not share.
    fn variant(rules: &Self::Rules) -> String;

    /// How much is in it.
    fn size(&self) -> usize;

    /// Tells the operator what is wrong with it, once for each new document.
    fn report(&self, name: &str, meters: &Meters, host: &dyn Host);
}

/// A document of one provider on one worker.
pub struct Fetched<D: Document> {
    name: String,
    rules: D::Rules,
    remote: Option<RemoteDocument>,
    current: Cell<Option<Rc<D>>>,
    /// Counts the documents that differed, so that what was judged with another one is not believed.
    generation: Cell<u64>,
    meters: Meters,
}

/// The part that fetches. The schedule and the last document are in shared data, where every worker finds them.
struct RemoteDocument {
    remote: Remote,
    schedule_key: String,
    document_key: String,
    /// As last seen; the only one if the host has no shared data.
    schedule: Cell<Schedule>,
    /// When the document that is in use was stored.
    loaded: Cell<UnixTime>,
    /// The call of ours that is in flight, and what it fetches.
    call: Cell<Option<(CallId, Step)>>,
    jitter: Cell<u8>,
}

/// What a call fetches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The provider's metadata, which say where the document is.
    Metadata,
    /// The document.
    Document,
}

/// What came of asking for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There is another one now: try again.
    Changed,
    /// A fetch is in flight, here or on another worker.
    Pending,
    /// No: a fetch failed or was done not long ago.
    NotNow {
        /// When the next regular attempt is due, in seconds; at least 1.
        retry_after: u64,
    },
}

impl<D: Document> Fetched<D> {
    /// One that is there already.
    #[must_use]
    pub fn inline(name: &str, rules: D::Rules, document: Rc<D>) -> Self {
        Self::new(name, rules, Some(document), None)
    }

    /// One to fetch.
    #[must_use]
    pub fn remote(name: &str, rules: D::Rules, remote: Remote) -> Self {
        let remote = RemoteDocument::new(remote, &format!("{} {}", D::METRIC, D::variant(&rules)));
        Self::new(name, rules, None, Some(remote))
    }

    fn new(name: &str, rules: D::Rules, current: Option<Rc<D>>, remote: Option<RemoteDocument>) -> Self {
        Self {
            name: name.to_owned(),
            rules,
            remote,
            current: Cell::new(current),
            generation: Cell::new(0),
            meters: Meters::default(),
        }
    }

    /// The document to judge with, and its generation. None when there is none that may still be used.
    #[must_use]
    pub fn current(&self, now: UnixTime) -> Option<(Rc<D>, u64)> {
        let generation = self.generation(now)?;
        Some((self.document()?, generation))
    }

    /// The document in use: taken out and put back, since a `RefCell` could be found in use, which is a panic.
    fn document(&self) -> Option<Rc<D>> {
        let document = self.current.take();
        self.current.set(document.clone());
        document
    }

    /// The generation of the document that may be used, for what was judged before.
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
        self.meters.start(&self.name, D::METRIC, host);
        let Some(remote) = &self.remote else {
            if let Some(document) = self.document() {
                self.report(&document, host);
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

    /// Asks for a newer document.
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
        if need == Need::UnknownKey {
            self.meters.refetched(host);
        }
        let (address, step) = match &remote.remote.discovery {
            Some(_) => (&remote.remote.address, Step::Metadata),
            None => (&remote.remote.address, Step::Document),
        };
        if self.fetch(remote, address, step, host) {
            return Wanted::Pending;
        }
        Wanted::NotNow { retry_after: remote.schedule.get().retry_after(now, timing) }
    }

    /// Begins a call; whether it could be begun.
    fn fetch(&self, remote: &RemoteDocument, address: &Address, step: Step, host: &dyn Host) -> bool {
        let accept = if step == Step::Metadata { "application/json" } else { D::ACCEPT };
        match address.get(accept, remote.remote.timing.timeout, host) {
            Ok(id) => {
                remote.call.set(Some((id, step)));
                true
            }
            Err(error) => {
                let (name, noun) = (&self.name, D::NOUN);
                host.log(Level::Warn, &format!("provider {name}: {noun} can't be fetched: {error}"));
                remote.publish(host, remote.schedule.get().failed());
                false
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

    /// The answer to a fetch of this document; others are not looked at.
    pub fn answered(&self, id: CallId, answer: &HttpAnswer, host: &dyn Host, now: UnixTime) {
        let Some(remote) = self.remote.as_ref() else { return };
        let step = match remote.call.get() {
            Some((own, step)) if own == id => step,
            _ => return,
        };
        remote.call.set(None);
        let judged = match (step, &remote.remote.discovery) {
            (Step::Metadata, Some(discovery)) => {
                body(answer).and_then(|text| discovery::find(text, discovery)).map(Some)
            }
            _ => self.take(remote, answer, host, now).map(|()| None),
        };
        match judged {
            Ok(None) => {}
            // The lease covers both steps.
            Ok(Some(address)) => {
                self.fetch(remote, &address, Step::Document, host);
            }
            Err(problem) => {
                self.meters.failed(host);
                let (name, noun) = (&self.name, D::NOUN);
                host.log(Level::Warn, &format!("provider {name}: {noun} not fetched: {problem}"));
                remote.publish(host, remote.schedule.get().failed());
            }
        }
    }

    fn take(
        &self,
        remote: &RemoteDocument,
        answer: &HttpAnswer,
        host: &dyn Host,
        now: UnixTime,
    ) -> Result<(), String> {
        let text = body(answer)?;
        let document = D::parse(text, &self.rules)?;
        self.meters.fetched(host);
        remote.publish_document(host, now, text);
        remote.publish(host, remote.schedule.get().succeeded(now, cache_control::freshness(&answer.headers)));
        self.replace(document, host);
        remote.loaded.set(now);
        Ok(())
    }

    /// Reads the shared schedule, and the shared document if it is newer than the one in use. Whether there is a newer
    /// one now, and the schedule's value for a later write.
    fn look(&self, remote: &RemoteDocument, host: &dyn Host) -> (bool, Option<SharedValue>) {
        let shared = host.shared_data(&remote.schedule_key).ok().flatten();
        if let Some(schedule) = shared.as_ref().and_then(|value| Schedule::decode(&value.bytes)) {
            remote.schedule.set(schedule);
        }
        let newer = remote.schedule.get().stored() > remote.loaded.get() && self.load(remote, host).is_some();
        (newer, shared)
    }

    fn load(&self, remote: &RemoteDocument, host: &dyn Host) -> Option<()> {
        let value = host.shared_data(&remote.document_key).ok().flatten()?;
        let (stored, document) = value.bytes.split_first_chunk()?;
        let stored = UnixTime::from_nanos(u64::from_le_bytes(*stored));
        if stored <= remote.loaded.get() {
            return None;
        }
        let document = D::parse(document, &self.rules).ok()?;
        self.replace(document, host);
        remote.loaded.set(stored);
        Some(())
    }

    fn replace(&self, document: D, host: &dyn Host) {
        // The same again: what was judged with it still holds.
        if self.document().as_deref() == Some(&document) {
            return self.meters.usable(document.size(), host);
        }
        self.report(&document, host);
        self.generation.set(self.generation.get().wrapping_add(1));
        self.current.set(Some(Rc::new(document)));
    }

    fn report(&self, document: &D, host: &dyn Host) {
        self.meters.usable(document.size(), host);
        let (name, size, metric) = (&self.name, document.size(), D::METRIC);
        host.log(Level::Info, &format!("provider {name}: {size} {metric}"));
        document.report(&self.name, &self.meters, host);
    }
}

/// Only an answer 200 counts: no redirect, and nothing that was cut.
fn body(answer: &HttpAnswer) -> Result<&[u8], String> {
    match answer.status() {
        Some(200) => answer.body.as_deref().ok_or_else(|| "the answer is too large".to_owned()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no answer".to_owned()),
    }
}

impl RemoteDocument {
    /// Shared data is never freed, so its keys come from the configuration alone.
    fn new(remote: Remote, variant: &str) -> Self {
        let name = remote.name(variant);
        Self {
            schedule_key: format!("portcullis.fetched.schedule {name}"),
            document_key: format!("portcullis.fetched.document {name}"),
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

impl Address {
    fn get(&self, accept: &str, timeout: Duration, host: &dyn Host) -> Result<CallId, HostError> {
        let headers = [
            (":method", "GET"),
            (":scheme", self.scheme),
            (":authority", self.authority.as_str()),
            (":path", self.path.as_str()),
            ("accept", accept),
        ];
        host.http_call(&HttpCall { cluster: &self.cluster, headers: &headers, body: b"", timeout })
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
