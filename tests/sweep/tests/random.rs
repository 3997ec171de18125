//! Random callbacks over all filters, as a table. `STEPS=` for all of them together, `SEED=` to begin elsewhere, `FILTER=`
//! chooses subjects by their name.
#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a report of a native test: it prints, counts, takes the time and what it is asked for"
)]

use std::process::ExitCode;
use std::time::Instant;

use portcullis_sweep::random::walk;
use portcullis_sweep::subject;

/// Enough to find what one change breaks; a nightly run makes a million and more.
const STEPS: usize = 150_000;

// covers: HOST-SDK-08, HOST-CTX-03
fn main() -> ExitCode {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let filter = std::env::var("FILTER").unwrap_or_default();
    let mut subjects = subject::all();
    subjects.retain(|subject| subject.name.contains(&filter));
    let steps = number("STEPS").and_then(|steps| usize::try_from(steps).ok()).unwrap_or(STEPS);
    let each = steps.div_ceil(subjects.len().max(1));
    println!("{:<30}{:>10}{:>8}{:>6}", "callbacks in any order", "steps", "broken", "s");
    let mut broken = 0;
    for subject in &subjects {
        let began = Instant::now();
        let report = walk(subject, &subject.load(), number("SEED").unwrap_or(1), each);
        let seconds = began.elapsed().as_secs_f64();
        println!("{:<30}{:>10}{:>8}{seconds:>6.1}", subject.name, report.steps, report.broken.len());
        for words in &report.broken {
            println!("  {words}");
        }
        broken += report.broken.len();
    }
    if broken > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
