//! The requests that a module answers while its branches are watched: those of the sweep, without faults.

use std::collections::BTreeMap;

use portcullis_module_check::Result;
use portcullis_sweep::subject::{self, ROOT, Subject};
use proxy_wasm_fault_host::{Exchange, Module, Outcome};

/// How often a request that passes is sent for each one that is refused: attacks may cost more than customers.
const PASSING: u32 = 20;
/// Time between two requests.
const PAUSE: u64 = 10_000_000;

/// What browsers and clients of APIs send besides, so that names and values are as long and as many as they are in life.
const ORDINARY: [(&str, &str); 14] = [
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("origin", "https://shop.example.com"),
    ("referer", "https://shop.example.com/account/orders?page=2"),
    ("cookie", "session=5f1d7a3c9e2b48d0a6c4; consent=necessary"),
    ("cache-control", "no-cache"),
    ("dnt", "1"),
    ("priority", "u=1, i"),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("x-request-id", "5f1d7a3c-9e2b-48d0-a6c4-00f067aa0ba9"),
    ("x-forwarded-proto", "https"),
];

/// Sends the requests of every subject of a module to it; how often each branch was taken, and how often not.
///
/// # Errors
/// When it can't be loaded, traps, or judges a request in another way than the sweep says.
pub fn run(module: &str, instrumented: &[u8]) -> Result<BTreeMap<u32, (u64, u64)>> {
    let compiled = Module::new(instrumented)?;
    let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for subject in subject::all().iter().filter(|subject| subject.module == module) {
        for (branch, (taken, not_taken)) in watch(subject, &compiled)? {
            let sum = counts.entry(branch).or_default();
            *sum = (sum.0.saturating_add(taken), sum.1.saturating_add(not_taken));
        }
    }
    if counts.is_empty() {
        return Err("the sweep has no subject of this module".into());
    }
    Ok(counts)
}

fn watch(subject: &Subject, module: &Module) -> Result<BTreeMap<u32, (u64, u64)>> {
    let (mut vm, accepted) = subject.start(module, subject.proxy())?;
    if !accepted {
        return Err(format!("{}: configuration refused", subject.name).into());
    }
    // What reading a configuration does is nothing that requests wait for.
    vm.proxy_mut().branches.clear();
    let mut contexts = ROOT.saturating_add(1)..;
    for round in 0..PASSING {
        let cases = subject.cases.iter().filter(|case| round == 0 || case.refused.is_none());
        for (case, context) in cases.flat_map(|case| [(case, false), (case, true)]).zip(contexts.by_ref()) {
            let (case, is_ordinary) = case;
            let exchange = if is_ordinary { ordinary(&case.exchange) } else { case.exchange.clone() };
            let outcome = exchange.run(&mut vm, ROOT, context);
            // A proof of possession, for one, is good for one request.
            if round == 0 && !is_ordinary && refusal(&outcome) != case.refused {
                return Err(format!("{}: {}: {:?}", subject.name, case.name, outcome.ended).into());
            }
            let proxy = vm.proxy_mut();
            proxy.now = proxy.now.saturating_add(PAUSE);
        }
    }
    Ok(std::mem::take(&mut vm.proxy_mut().branches))
}

fn refusal(outcome: &Outcome) -> Option<u32> {
    outcome.reply.as_ref().and(outcome.status())
}

/// The exchange with the ordinary fields that it does not have.
fn ordinary(exchange: &Exchange) -> Exchange {
    let mut exchange = exchange.clone();
    let fields = &mut exchange.request.headers;
    for (name, value) in ORDINARY {
        if !fields.iter().any(|(known, _)| known == name.as_bytes()) {
            fields.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
    }
    exchange
}
