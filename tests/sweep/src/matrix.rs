//! Every host call of every phase, failing in every way.

use std::collections::BTreeSet;

use proxy_wasm_fault_host::{Effect, Ended, Fault, Message, Module, Outcome, Site, Violation, status};

use crate::faults;
use crate::subject::{Case, ROOT, STREAM, Subject};

/// Calls of one site that fail one at a time; later ones only together with all others.
const MAX_NTH: u32 = 8;

/// What a run of the matrix came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Host calls in phases that the exchanges met.
    pub sites: BTreeSet<Site>,
    /// Exchanges with a fault.
    pub runs: u64,
    /// Faults that happened.
    pub faults: u64,
    /// The module trapped.
    pub traps: u64,
    /// A stream was answered twice.
    pub double_replies: u64,
    /// A stream that would never end.
    pub hung: u64,
    /// A request passed that must not, or with other fields than it would without the fault.
    pub passed_wrongly: u64,
    /// A request was refused though the fail mode says that it passes.
    pub refused_wrongly: u64,
    /// Other things that no proxy allows.
    pub other: u64,
    /// The first runs that broke a promise, in words.
    pub broken: Vec<String>,
}

impl Tally {
    /// How many promises were broken.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.traps + self.double_replies + self.hung + self.passed_wrongly + self.refused_wrongly + self.other
    }

    fn note(&mut self, which: fn(&mut Self) -> &mut u64, what: impl FnOnce() -> String) {
        *which(self) += 1;
        if self.broken.len() < 20 {
            self.broken.push(what());
        }
    }
}

/// Runs all exchanges of a subject, each with each fault.
#[must_use]
pub fn sweep(subject: &Subject) -> Tally {
    let module = subject.load();
    let mut tally = Tally::default();
    for case in &subject.cases {
        let (baseline, sites) = without_faults(subject, &module, case);
        for (site, count) in sites {
            tally.sites.insert(site);
            let kinds = [
                (Kind::Failure, faults::failures()),
                (Kind::Lie, faults::lies()),
                (Kind::Reentry, faults::reentries()),
            ];
            for (kind, effects) in kinds {
                for effect in effects.into_iter().filter(|effect| !is_beyond_help(site, effect)) {
                    for fault in placements(site, count, &effect) {
                        let run = Run { subject, module: &module, case, baseline: &baseline, kind, fault };
                        run.check(&mut tally);
                    }
                }
            }
        }
    }
    tally
}

/// A proxy that says that it has answered, ended or turned to a stream, and has not: no module can do anything about
/// that.
fn is_beyond_help(site: Site, effect: &Effect) -> bool {
    let calls = [
        "proxy_send_local_response",
        "proxy_continue_stream",
        "proxy_close_stream",
        "proxy_set_effective_context",
    ];
    *effect == Effect::Status(status::OK) && calls.contains(&site.call)
}

/// All calls of the site, then one at a time.
fn placements(site: Site, count: u32, effect: &Effect) -> Vec<Fault> {
    let mut faults = vec![Fault::at(site, effect.clone())];
    if count > 1 {
        faults.extend((0..count.min(MAX_NTH)).map(|nth| Fault::at_nth(site, nth, effect.clone())));
    }
    faults
}

/// The exchange as it should be, and the calls that it makes.
fn without_faults(subject: &Subject, module: &Module, case: &Case) -> (Outcome, Vec<(Site, u32)>) {
    let name = format!("{}: {}", subject.name, case.name);
    let (mut vm, accepted) = subject.start(module, subject.proxy()).expect("starts");
    assert!(accepted, "{name}: {:?}", vm.proxy().logs);
    let outcome = case.exchange.run(&mut vm, ROOT, STREAM);
    assert_eq!(vm.proxy().violations, [], "{name}");
    let refused = outcome.reply.as_ref().map(|reply| reply.status);
    let passed = outcome.ended == Ended::Passed;
    assert_eq!((refused, passed), (case.refused, case.refused.is_none()), "{name}: {outcome:?}");
    let sites = vm.proxy().faults.seen.iter().map(|(site, count)| (*site, *count)).collect();
    (outcome, sites)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failure,
    Lie,
    Reentry,
}

/// One exchange with one fault.
struct Run<'a> {
    subject: &'a Subject,
    module: &'a Module,
    case: &'a Case,
    baseline: &'a Outcome,
    kind: Kind,
    fault: Fault,
}

impl Run<'_> {
    fn check(&self, tally: &mut Tally) {
        tally.runs += 1;
        let mut proxy = self.subject.proxy();
        proxy.faults.plan = vec![self.fault.clone()];
        let (mut vm, accepted) = match self.subject.start(self.module, proxy) {
            Ok(started) => started,
            Err(trap) => {
                return tally.note(|tally| &mut tally.traps, || self.words(&format!("start: {trap}")));
            }
        };
        let outcome = self.case.exchange.run(&mut vm, ROOT, STREAM);
        tally.faults += vm.proxy().faults.happened;
        match &outcome.ended {
            Ended::Trapped(trap) => tally.note(|tally| &mut tally.traps, || self.words(&trap.to_string())),
            Ended::Hung => tally.note(|tally| &mut tally.hung, || self.words("hung")),
            Ended::Passed => self.check_passed(&outcome, accepted, tally),
            Ended::Replied | Ended::Closed => self.check_refused(&outcome, accepted, tally),
        }
        for violation in &vm.proxy().violations {
            match violation {
                Violation::SecondReply(_) => {
                    tally.note(|tally| &mut tally.double_replies, || self.words("answered twice"));
                }
                violation => tally.note(|tally| &mut tally.other, || self.words(&format!("{violation:?}"))),
            }
        }
    }

    /// What passes is what would have passed, byte for byte, and was judged.
    fn check_passed(&self, outcome: &Outcome, accepted: bool, tally: &mut Tally) {
        let lenient = self.subject.fails_open && accepted;
        // Other bytes than the client's were judged, or the module was given another configuration in between.
        let allowed = self.kind != Kind::Failure && accepted;
        if allowed || lenient {
            return;
        }
        let head = |message: &Message| sorted(&message.headers);
        let same = self.baseline.upstream.as_ref().map(head) == outcome.upstream.as_ref().map(head);
        if self.case.refused.is_some() || !accepted || !same {
            let what = format!("passed as {:?}", outcome.upstream);
            tally.note(|tally| &mut tally.passed_wrongly, || self.words(&what));
        }
    }

    /// What is refused has a status that says so; `on_error: allow` refuses nothing for a failure.
    fn check_refused(&self, outcome: &Outcome, accepted: bool, tally: &mut Tally) {
        let status = outcome.reply.as_ref().map(|reply| reply.status);
        // A swap that is lost again and again is an answer of the host, not its failure.
        let lost_swap = self.fault.call == Some("proxy_set_shared_data")
            && matches!(
                self.fault.effect,
                Effect::Status(status::CAS_MISMATCH) | Effect::Lost(status::CAS_MISMATCH)
            );
        // No module can let a request go on when the proxy does not; then an answer is all there is.
        let is_stuck = self.fault.call == Some("proxy_continue_stream");
        let lenient =
            self.subject.fails_open && accepted && self.kind == Kind::Failure && !lost_swap && !is_stuck;
        // The answer can't be sent, or the proxy itself ended the stream.
        let unanswered = self.fault.call == Some("proxy_send_local_response") || self.kind == Kind::Reentry;
        let is_refusal = |status| status >= 400 || Some(status) == self.case.refused;
        if status.is_some_and(|status| !is_refusal(status)) || (lenient && self.case.refused.is_none()) {
            let body = outcome.reply.as_ref().map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
            let what = format!("refused with {status:?} {body:?}");
            tally.note(|tally| &mut tally.refused_wrongly, || self.words(&what));
        }
        if status.is_none() && !unanswered {
            tally.note(|tally| &mut tally.refused_wrongly, || self.words("closed without an answer"));
        }
    }

    fn words(&self, what: &str) -> String {
        let Fault { call, phase, nth, effect } = &self.fault;
        let effect = format!("{effect:?}");
        let effect: String = effect.chars().take(120).collect();
        let place = nth.map_or_else(|| "all".to_owned(), |nth| format!("number {nth}"));
        let (call, phase) = (call.unwrap_or("any call"), phase.unwrap_or("any phase"));
        format!("{}: {}: {call} in {phase}, {place}, {effect}: {what}", self.subject.name, self.case.name)
    }
}

fn sorted(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = fields.to_vec();
    fields.sort();
    fields
}
