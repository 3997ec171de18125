//! What the check prints.

use std::collections::{BTreeMap, BTreeSet};

use crate::budget::Budget;
use crate::site::Site;

/// One line a module, one column a kind. `own` counts the sites in this project's crates, allocations aside.
pub fn table(modules: &BTreeMap<String, Vec<Site>>, budget: &Budget) {
    let kinds: BTreeSet<_> = modules.values().flatten().map(|site| &site.kind).collect();
    let width = modules.keys().map(String::len).max().unwrap_or_default().max("module".len());
    print!("{:width$}  {:>5}  budget  {:>3}", "module", "sites", "own");
    for kind in &kinds {
        print!("  {kind}");
    }
    println!();
    for (module, sites) in modules {
        let own = sites.iter().filter(|site| site.is_own()).count();
        print!("{module:width$}  {:>5}  {:>6}  {own:>3}", sites.len(), budget.allowed(module));
        for kind in &kinds {
            let count = sites.iter().filter(|site| &site.kind == *kind).count();
            print!("  {count:>0$}", kind.to_string().len());
        }
        println!();
    }
}

/// Every site, a line each: how many, module, where, kind, function.
pub fn list(modules: &BTreeMap<String, Vec<Site>>) {
    for (module, sites) in modules {
        for equal in sites.chunk_by(|a, b| a == b) {
            if let Some(site) = equal.first() {
                println!("{module:<14} {:>3} x {site}", equal.len());
            }
        }
    }
    println!();
}
