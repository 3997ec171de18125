//! Callbacks in any order: legal and illegal, twice, late, for contexts that nobody announced, with faults in between
//! and a clock that jumps. A sequence that breaks a promise is made as short as it goes before it is shown.

use std::collections::BTreeSet;

use proxy_wasm_fault_host::{Callback, Effect, Fault, GrpcAnswer, Module, Random, Stream, Vm};

use crate::faults;
use crate::subject::{NOW, ROOT, Subject};

/// Steps between two starts of the VM.
pub const SEQUENCE: usize = 120;

/// Contexts that steps choose from: roots, streams, ids at the end of their range, nothing.
const CONTEXTS: [u32; 8] = [ROOT, 2, 3, 4, 77, u32::MAX - 1, u32::MAX, 0];
const ROOTS: [u32; 3] = [ROOT, 77, 0];
const CALLS: [&str; 14] = [
    "proxy_get_header_map_pairs",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_call_foreign_function",
    "proxy_send_local_response",
    "proxy_log",
];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Call(Callback),
    /// A stream is announced, with the request of this case.
    Announce {
        context: u32,
        parent: u32,
        case: usize,
    },
    /// The plugin gets another configuration.
    Configure {
        root: u32,
        document: Document,
    },
    /// A callout that was begun is answered.
    Answer {
        which: usize,
        with: bool,
    },
    /// A gRPC call that was begun is answered.
    AnswerGrpc {
        which: usize,
        answer: GrpcAnswer,
    },
    Clock(u64),
    /// From now on this goes wrong; none: nothing.
    Fault(Option<Fault>),
}

#[derive(Clone, Copy, Debug)]
enum Document {
    Good,
    Empty,
    Garbage,
}

/// What random sequences came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Callbacks made.
    pub steps: usize,
    /// Sequences that broke a promise: seed, promise, shortest steps.
    pub broken: Vec<String>,
}

/// Makes `steps` random steps with a subject, beginning with `seed`.
#[must_use]
pub fn walk(subject: &Subject, module: &Module, seed: u64, steps: usize) -> Report {
    let mut report = Report::default();
    let mut seed = seed;
    while report.steps < steps && report.broken.len() < 3 {
        let sequence = sequence(subject, seed);
        report.steps += sequence.len();
        if let Err(promise) = play(subject, module, &sequence) {
            let (promise, shortest) = shorten(subject, module, sequence, promise);
            let list: Vec<_> = shortest.iter().map(|step| format!("    {}", brief(step))).collect();
            report.broken.push(format!("{}, seed {seed}: {promise}\n{}", subject.name, list.join("\n")));
        }
        seed = seed.wrapping_add(1);
    }
    report
}

fn sequence(subject: &Subject, seed: u64) -> Vec<Step> {
    let mut random = Choice(Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut effects = faults::failures();
    effects.extend(faults::lies());
    effects.extend(faults::reentries());
    (0..SEQUENCE).map(|_| step(&mut random, subject, &effects)).collect()
}

fn step(random: &mut Choice, subject: &Subject, effects: &[Effect]) -> Step {
    let context = *random.of(&CONTEXTS);
    let root = *random.of(&ROOTS);
    let size = *random.of(&[0, 1, 20, 100, 5000, u32::MAX]);
    let end = random.below(2) == 0;
    match random.below(34) {
        0..=5 => Step::Announce { context, parent: root, case: random.below(subject.cases.len()) },
        6..=12 => Step::Call(Callback::request_headers(context, size, end)),
        13..=15 => Step::Call(Callback::request_body(context, size, end)),
        16 => Step::Call(Callback::request_trailers(context, size)),
        17..=18 => Step::Call(Callback::response_headers(context, size, end)),
        19 => Step::Call(Callback::response_body(context, size, end)),
        20 => Step::Call(Callback::log(context)),
        21 => Step::Call(Callback::done(context)),
        22 => Step::Call(Callback::delete(context)),
        23 => Step::Call(Callback::tick(root)),
        24 => Step::Call(Callback::http_call_response(root, size, size, size)),
        25..=26 => Step::Answer { which: random.below(4), with: end },
        27 => Step::Configure {
            root,
            document: *random.of(&[Document::Good, Document::Good, Document::Empty, Document::Garbage]),
        },
        28 => {
            let second = 1_000_000_000;
            let now = NOW * second;
            Step::Clock(*random.of(&[now, now + second, now + 60 * second, now - 3600 * second, 0, u64::MAX]))
        }
        29 => Step::Fault(None),
        30 => Step::Call(if end {
            Callback::grpc_receive(root, size, size)
        } else {
            Callback::grpc_close(root, size, size)
        }),
        31 => {
            let garbage = vec![0xff; usize::try_from(size % 100_000).unwrap_or(0)];
            let answer = if end { GrpcAnswer::Message(garbage) } else { GrpcAnswer::Status(size) };
            Step::AnswerGrpc { which: random.below(4), answer }
        }
        _ => {
            let call = if random.below(4) == 0 { None } else { Some(*random.of(&CALLS)) };
            Step::Fault(Some(Fault { call, phase: None, nth: None, effect: random.of(effects).clone() }))
        }
    }
}

/// Plays a sequence; the promise that it broke.
fn play(subject: &Subject, module: &Module, sequence: &[Step]) -> Result<(), String> {
    let (mut vm, accepted) = subject.start(module, subject.proxy()).map_err(|trap| trap.to_string())?;
    assert!(accepted, "{}", subject.name);
    let keys = vm.proxy().shared.len() + 64;
    let mut judged = BTreeSet::new();
    for step in sequence {
        let action =
            happen(subject, &mut vm, step, &mut judged).map_err(|trap| format!("trapped: {trap}"))?;
        if let (Some((context, 0)), Step::Call(callback)) = (action, step) {
            let stream = vm.proxy().streams.get(&context);
            if stream.is_some_and(Stream::is_ended) {
                return Err(format!("{} goes on after it was answered", callback.export));
            }
            if !judged.contains(&context) {
                return Err(format!("{} passes unjudged", callback.export));
            }
        }
        if let Some(violation) = vm.proxy().violations.first() {
            return Err(format!("{violation:?}"));
        }
    }
    // rate-limit's table grows by the buckets that are in use; nothing else may.
    if vm.proxy().shared.len() > keys + sequence.len() {
        return Err(format!("{} keys in shared data", vm.proxy().shared.len()));
    }
    Ok(())
}

/// Lets one step happen. For callbacks of a request: its context, and what the module wants done with it.
fn happen(
    subject: &Subject,
    vm: &mut Vm,
    step: &Step,
    judged: &mut BTreeSet<u32>,
) -> Result<Option<(u32, u32)>, proxy_wasm_fault_host::Trap> {
    match step {
        Step::Announce { context, parent, case } => {
            if *parent != 0 {
                let exchange = &subject.cases[*case].exchange;
                let mut stream =
                    Stream { root: *parent, request: exchange.request.clone(), ..Stream::default() };
                stream.response = exchange.response.clone();
                stream.open.request_headers = true;
                stream.open.response_headers = true;
                vm.proxy_mut().streams.entry(*context).or_insert(stream);
            }
            vm.call(&Callback::context_create(*context, *parent))?;
        }
        Step::Call(callback) => {
            let context = callback.arguments.first().copied().unwrap_or(0);
            let known = vm.proxy().streams.contains_key(&context);
            let action = vm.call(callback)?;
            let of_request = callback.export.starts_with("proxy_on_request_");
            if callback.export == "proxy_on_request_headers" && known {
                judged.insert(context);
            }
            if callback.export == "proxy_on_delete" {
                vm.proxy_mut().streams.remove(&context);
                judged.remove(&context);
            }
            return Ok((known && of_request).then_some((context, action)));
        }
        Step::Configure { root, document } => {
            let document = match document {
                Document::Good => subject.configuration.to_string().into_bytes(),
                Document::Empty => Vec::new(),
                Document::Garbage => b"\xff{\"limits\": [".to_vec(),
            };
            let size = u32::try_from(document.len()).unwrap_or(u32::MAX);
            vm.proxy_mut().plugin_configuration = document;
            vm.call(&Callback::configure(*root, size))?;
        }
        Step::Answer { which, with } => {
            let proxy = vm.proxy_mut();
            if *which < proxy.calls.len() {
                let call = proxy.calls.remove(*which);
                let keys = b"{\"keys\": [{\"kty\": \"RSA\"}, 7]}".to_vec();
                let fields = vec![
                    (b":status".to_vec(), b"200".to_vec()),
                    (b"grpc-message".to_vec(), b"\xff".to_vec()),
                ];
                proxy.answer = with.then_some((fields, keys));
                let size = if *with { 28 } else { 0 };
                vm.call(&Callback::http_call_response(call.context, call.token, size / 14, size))?;
                vm.proxy_mut().answer = None;
            }
        }
        Step::AnswerGrpc { which, answer } => {
            let calls = &mut vm.proxy_mut().grpc_calls;
            if *which < calls.len() {
                let call = calls.remove(*which);
                vm.answer_grpc(&call, answer.clone())?;
            }
        }
        Step::Clock(now) => vm.proxy_mut().now = *now,
        Step::Fault(fault) => vm.proxy_mut().faults.plan = fault.iter().cloned().collect(),
    }
    Ok(None)
}

/// Leaves out steps as long as a promise is still broken.
fn shorten(
    subject: &Subject,
    module: &Module,
    mut steps: Vec<Step>,
    mut promise: String,
) -> (String, Vec<Step>) {
    let mut place = steps.len();
    while place > 0 {
        place -= 1;
        let mut fewer = steps.clone();
        fewer.remove(place);
        if let Err(broken) = play(subject, module, &fewer) {
            (steps, promise) = (fewer, broken);
        }
    }
    (promise, steps)
}

fn brief(step: &Step) -> String {
    format!("{step:?}").chars().take(200).collect()
}

/// Choices by random numbers.
struct Choice(Random);

impl Choice {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_number() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
