//! The matrix of faults over all filters, as a table. `FILTER=` chooses subjects by their name.
#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "a report of a native test: it prints, counts, takes the time and what it is asked for"
)]

use std::process::ExitCode;
use std::time::Instant;

use portcullis_sweep::matrix::sweep;
use portcullis_sweep::subject;

// covers: HOST-SDK-01, HOST-SDK-02, HOST-SDK-07, HOST-SDK-09, HOST-SDK-10, HOST-OBS-02
fn main() -> ExitCode {
    let filter = std::env::var("FILTER").unwrap_or_default();
    println!(
        "{:<30}{:>6}{:>8}{:>8}{:>7}{:>8}{:>6}{:>8}{:>9}{:>7}{:>6}",
        "every fault of the host",
        "sites",
        "runs",
        "faults",
        "traps",
        "double",
        "hung",
        "passed",
        "refused",
        "other",
        "s"
    );
    println!(
        "{:<30}{:>6}{:>8}{:>8}{:>7}{:>8}{:>6}{:>8}{:>9}{:>7}",
        "", "", "", "", "", "replies", "", "wrongly", "wrongly", ""
    );
    let mut broken = 0;
    for subject in subject::all().iter().filter(|subject| subject.name.contains(&filter)) {
        let began = Instant::now();
        let tally = sweep(subject);
        println!(
            "{:<30}{:>6}{:>8}{:>8}{:>7}{:>8}{:>6}{:>8}{:>9}{:>7}{:>6.1}",
            subject.name,
            tally.sites.len(),
            tally.runs,
            tally.faults,
            tally.traps,
            tally.double_replies,
            tally.hung,
            tally.passed_wrongly,
            tally.refused_wrongly,
            tally.other,
            began.elapsed().as_secs_f64()
        );
        for words in &tally.broken {
            println!("  {words}");
        }
        broken += tally.failures();
    }
    if broken > 0 {
        println!("{broken} promises broken");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
