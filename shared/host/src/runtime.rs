//! The contexts of one VM, and the proxy's callbacks as they reach them.
//!
//! The proxy-wasm SDK's dispatcher panics on unknown contexts and tokens and on re-entrant calls, and it drops the
//! answers of calls that it did not start; each would be an outage here. So the callbacks are our own: an unknown
//! id is answered by the safe action, a re-entrant call on a stream finds it busy and does nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_core::denial::LocalReply;
use portcullis_core::{ConfigError, Denial};

use crate::chain::Chain;
use crate::filter::{Configure, Plugin};
use crate::host::{CallId, Host, HttpAnswer, Level};
use crate::proxy::{Proxy, StartedCalls};
use crate::stream::{Action, Stream, UNEXPECTED};
use crate::stream_host::StreamHost;

/// Reads a configuration into a chain.
///
/// # Errors
/// [`ConfigError`] with the path of the mistake.
pub type ConfigureChain = fn(configuration: &[u8], host: &dyn Host) -> Result<Chain, ConfigError>;

/// What this module does with a configuration.
#[derive(Clone, Copy)]
pub enum Module {
    /// One filter.
    Filter(Configure),
    /// An ordered list of filters.
    Chain(ConfigureChain),
}

/// Streams of one worker that may wait for callouts at the same time; one more is refused at once.
const MAX_WAITING: usize = 4096;

/// A root context: one configured plugin instance.
#[derive(Default)]
struct Root {
    /// None until a configuration was accepted.
    chain: Option<Rc<Chain>>,
    /// Streams that wait for a callout.
    waiting: Vec<u32>,
}

/// A stream context.
#[derive(Clone)]
struct Entry {
    root: u32,
    stream: Rc<RefCell<Stream>>,
}

/// Kinds of callouts. A proxy may number each kind for itself (Envoy does not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Callout {
    /// `proxy_http_call`.
    Http,
    /// `proxy_grpc_call`.
    Grpc,
}

/// A callout in flight.
#[derive(Clone, Copy)]
struct Call {
    root: u32,
    plugin: usize,
}

/// All contexts of this VM. Ordered maps: they need no random seed, which a capability list may deny.
struct Runtime {
    module: Option<Module>,
    roots: BTreeMap<u32, Root>,
    streams: BTreeMap<u32, Entry>,
    calls: BTreeMap<(Callout, CallId), Call>,
}

thread_local! {
    // A constant: nothing runs when it is first used, and nothing that could fail.
    static RUNTIME: RefCell<Runtime> = const {
        RefCell::new(Runtime {
            module: None,
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
        })
    };
}

/// Works on the tables for a moment; never across a call of a filter or of the proxy. None would mean that such a
/// call got in between, which no code here does.
fn tables<T>(work: impl FnOnce(&mut Runtime) -> T) -> Option<T> {
    RUNTIME
        .try_with(|runtime| runtime.try_borrow_mut().ok().map(|mut runtime| work(&mut runtime)))
        .ok()
        .flatten()
}

/// Says what this module is; the `module!` macro calls it first of all.
pub fn register(module: Module) {
    tables(|runtime| runtime.module = Some(module));
}

/// A context begins: a root (`parent` 0) or a stream of `parent`.
pub fn on_context_create(context: u32, parent: u32) {
    if parent == 0 {
        tables(|runtime| {
            runtime.roots.entry(context).or_default();
        });
        return;
    }
    let chain = tables(|runtime| {
        // An id that is announced twice keeps its stream: a second one would forget the verdict of the first.
        let is_new = !runtime.streams.contains_key(&context);
        is_new.then(|| runtime.roots.get(&parent).and_then(|root| root.chain.clone()))
    });
    let Some(Some(chain)) = chain else {
        return;
    };
    // Made outside of the tables: it runs code of the filters. Without a configuration it refuses everything.
    let stream =
        Rc::new(RefCell::new(Stream::new(chain.unwrap_or_else(|| Rc::new(Chain::new(Vec::new(), false))))));
    tables(|runtime| runtime.streams.insert(context, Entry { root: parent, stream }));
}

/// A configuration for a root context; whether it was accepted. A refused one leaves everything as it was.
pub fn on_configure(root: u32, len: usize) -> bool {
    let proxy = Proxy::for_root(root);
    let Some(Some(module)) = tables(|runtime| runtime.module) else {
        return false;
    };
    let chain = match read_configuration(&proxy, module, len) {
        Ok(chain) => Rc::new(chain),
        Err(error) => {
            // The proxy gives no reason of its own: this line is all that the operator gets.
            proxy.log_always(Level::Error, &format!("configuration refused: {error}"));
            return false;
        }
    };
    let tick = chain.start(&proxy, |plugin| proxy.enter(plugin));
    if let Some(period) = tick
        && let Err(error) = proxy.set_tick_period(period)
    {
        proxy.log_always(Level::Error, &format!("configuration refused: {error}"));
        return false;
    }
    let stored = tables(|runtime| runtime.roots.entry(root).or_default().chain = Some(chain));
    keep_started(&proxy, root);
    stored.is_some()
}

fn read_configuration(proxy: &Proxy, module: Module, len: usize) -> Result<Chain, ConfigError> {
    let document =
        proxy.plugin_configuration(len).map_err(|error| ConfigError::new("", error.to_string()))?;
    match module {
        Module::Filter(configure) => configure(&document, proxy).map(Chain::single),
        Module::Chain(configure) => configure(&document, proxy),
    }
}

/// The root's timer.
pub fn on_tick(root: u32) {
    let Some(Some(chain)) = tables(|runtime| runtime.roots.get(&root)?.chain.clone()) else {
        return;
    };
    let proxy = Proxy::for_root(root);
    chain.tick(&proxy, |plugin| proxy.enter(plugin));
    keep_started(&proxy, root);
    // A tick is also when a plugin gives up on an answer that does not come.
    resume_waiting(root, None);
}

/// An answer to an HTTP call. `fields` is 0 when there was none.
pub fn on_http_call_response(call: u32, fields: usize, body_len: usize) {
    answered(Callout::Http, CallId(call), |id, plugin, proxy| {
        let mut answer = HttpAnswer::default();
        if fields > 0 {
            answer.headers = proxy.http_call_headers().unwrap_or_default();
            if body_len <= plugin.answer_limit() {
                answer.body = proxy.http_call_body(body_len).ok();
            }
        }
        plugin.on_http_call(id, &answer, proxy);
    });
}

/// Hands an answer to the plugin that asked, and resumes the requests that wait on it.
pub fn answered(callout: Callout, id: CallId, hand_over: impl FnOnce(CallId, &dyn Plugin, &Proxy)) {
    // Unknown: answered twice, or begun by a configuration that is gone.
    let Some(Some(Call { root, plugin })) = tables(|runtime| runtime.calls.remove(&(callout, id))) else {
        return;
    };
    let Some(Some(chain)) = tables(|runtime| runtime.roots.get(&root)?.chain.clone()) else {
        return;
    };
    let Some(target) = chain.plugin(plugin) else {
        return;
    };
    let proxy = Proxy::for_root(root);
    proxy.enter(plugin);
    hand_over(id, target.as_ref(), &proxy);
    keep_started(&proxy, root);
    resume_waiting(root, Some(plugin));
}

/// The head of a request.
pub fn on_request_headers(context: u32, end_of_stream: bool) -> Action {
    with_stream(context, &mut |stream, proxy| stream.on_request_headers(proxy, end_of_stream))
}

/// A part of a request's body; `buffered` bytes are there.
pub fn on_request_body(context: u32, buffered: usize, end_of_stream: bool) -> Action {
    with_stream(context, &mut |stream, proxy| stream.on_request_body(proxy, buffered, end_of_stream))
}

/// A request's trailers.
pub fn on_request_trailers(context: u32) -> Action {
    with_stream(context, &mut |stream, proxy| stream.on_request_trailers(proxy))
}

/// The head of a response.
pub fn on_response_headers(context: u32, end_of_stream: bool) -> Action {
    with_stream(context, &mut |stream, proxy| stream.on_response_headers(proxy, end_of_stream))
}

/// The end of a stream.
pub fn on_log(context: u32) {
    let Some(entry) = entry_of(context) else {
        return;
    };
    if let Ok(mut stream) = entry.stream.try_borrow_mut() {
        stream.on_log(&Proxy::for_stream(entry.root, context));
    }
}

/// A context is gone.
pub fn on_delete(context: u32) {
    let removed = tables(|runtime| {
        let entry = runtime.streams.remove(&context);
        if let Some(root) = entry.as_ref().and_then(|entry| runtime.roots.get_mut(&entry.root)) {
            root.waiting.retain(|waiting| *waiting != context);
        }
        if runtime.roots.remove(&context).is_some() {
            runtime.calls.retain(|_, call| call.root != context);
        }
        entry
    });
    // Dropped outside of the tables: it runs code of the filters.
    drop(removed);
}

/// Runs one callback of a stream; refuses where there is none. One copy for all kinds of callbacks, as each is fetched into
/// the processor anew for every request.
#[inline(never)]
fn with_stream(context: u32, callback: &mut dyn FnMut(&mut Stream, &Proxy) -> Action) -> Action {
    let Some(Entry { root, stream }) = entry_of(context) else {
        return refuse(context);
    };
    let proxy = Proxy::for_stream(root, context);
    // Busy: the proxy called back while this stream's filters run. Keep the data, the running callback decides.
    let Ok(mut stream) = stream.try_borrow_mut() else {
        return Action::Pause;
    };
    let action = callback(&mut stream, &proxy);
    keep_started(&proxy, root);
    if stream.waits_for().is_some() && !remember_waiting(root, context) {
        return stream.on_crowded(&proxy);
    }
    action
}

#[inline(never)]
fn entry_of(context: u32) -> Option<Entry> {
    tables(|runtime| runtime.streams.get(&context).cloned()).flatten()
}

/// Answers for a context that nobody announced.
fn refuse(context: u32) -> Action {
    let proxy = Proxy::for_stream(0, context);
    let reply: LocalReply = Denial::unavailable(UNEXPECTED).render(None);
    if proxy.send_local_reply(&reply, UNEXPECTED.as_str()).is_err() {
        proxy.close();
    }
    Action::Pause
}

fn keep_started(proxy: &Proxy, root: u32) {
    let started = proxy.take_started();
    if !started.is_empty() {
        remember_started(started, root);
    }
}

#[inline(never)]
fn remember_started(started: StartedCalls, root: u32) {
    tables(|runtime| {
        let calls = started.into_iter();
        runtime.calls.extend(calls.map(|(callout, id, plugin)| ((callout, id), Call { root, plugin })));
    });
}

fn remember_waiting(root: u32, context: u32) -> bool {
    tables(|runtime| {
        let Some(root) = runtime.roots.get_mut(&root) else {
            return false;
        };
        if !root.waiting.contains(&context) {
            if root.waiting.len() >= MAX_WAITING {
                return false;
            }
            root.waiting.push(context);
        }
        true
    })
    .unwrap_or(false)
}

/// Resumes the streams of `root` that wait for `plugin` (for any one, if none is named).
fn resume_waiting(root: u32, plugin: Option<usize>) {
    let waiting =
        tables(|runtime| runtime.roots.get_mut(&root).map(|root| std::mem::take(&mut root.waiting)));
    for context in waiting.flatten().unwrap_or_default() {
        let Some(Entry { stream, .. }) = entry_of(context) else {
            continue;
        };
        let Ok(mut stream) = stream.try_borrow_mut() else {
            continue;
        };
        let Some(waits_for) = stream.waits_for() else {
            continue;
        };
        if plugin.is_none_or(|plugin| plugin == waits_for) {
            let proxy = Proxy::for_stream(root, context);
            if let Err(error) = proxy.set_effective_context(context) {
                // Host calls would act on another stream, which must not get this one's verdict. Later, then.
                proxy.log(Level::Error, &error.to_string());
                drop(stream);
                remember_waiting(root, context);
                continue;
            }
            let action = stream.on_resume(&proxy);
            keep_started(&proxy, root);
            if action == Action::Continue
                && let Err(error) = proxy.continue_request()
            {
                stream.on_stuck(&proxy, error);
            }
        }
        let waits = stream.waits_for().is_some();
        drop(stream);
        if waits {
            remember_waiting(root, context);
        }
    }
}
