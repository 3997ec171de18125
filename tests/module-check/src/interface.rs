//! What a module asks of the proxy and offers to it, and where its stack lies.

use std::collections::BTreeSet;

use crate::Result;
use crate::module::Module;

/// Bytes of stack, as the Makefile tells the linker.
const STACK: u32 = 1 << 20;

/// Names that a file allows in a module, one a line; `#` begins a comment. Modules behind a name: it is for them alone.
pub fn names(text: &str, module: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.collect::<Vec<_>>()))
    });
    words
        .filter(|(_, modules)| modules.is_empty() || modules.contains(&module))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// What is not as it has to be, a line each.
pub fn problems(module: &Module, imports: &BTreeSet<String>, exports: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let imported = module.imports.iter().cloned().collect();
    let exported = module.exports.keys().cloned().collect();
    problems.extend(difference("import", "imports.txt", &imported, imports));
    problems.extend(difference("export", "exports.txt", &exported, exports));
    problems.extend(stack(module).err().map(|error| error.to_string()));
    problems.extend(forbidden(module));
    problems
}

fn difference(what: &str, file: &str, found: &BTreeSet<String>, allowed: &BTreeSet<String>) -> Vec<String> {
    let more = found.difference(allowed).map(|name| format!("{what} {name} is not in {file}"));
    let less = allowed.difference(found).map(|name| format!("{what} {name} of {file} is not in the module"));
    more.chain(less).collect()
}

/// The stack has its size and ends at address 0, below all data: one that overflows leaves the memory and traps,
/// where it would overwrite data otherwise.
fn stack(module: &Module) -> Result<()> {
    let top = module.stack_top.ok_or("the stack pointer is not the first global")?;
    if top != STACK {
        return Err(format!("the stack has {top} bytes, expected {STACK}").into());
    }
    match module.data.iter().find(|segment| segment.address < top) {
        Some(segment) => {
            Err(format!("data at {} lies in the stack, which begins at {top}", segment.address).into())
        }
        None => Ok(()),
    }
}

/// What must not be linked in at all.
fn forbidden(module: &Module) -> Vec<String> {
    // With panic=abort nothing is caught, so code that counts on it would be wrong. A call may have been inlined; that
    // no instruction of exception handling is there at all is checked where they are read.
    const FUNCTIONS: [&str; 3] = ["catch_unwind", "__rust_try", "resume_unwind"];
    // Envoy's foreign function, which inflates without a limit.
    const TEXTS: [&str; 1] = ["uncompress"];
    let functions =
        module.functions.iter().filter(|function| FUNCTIONS.iter().any(|name| function.name.contains(name)));
    let functions = functions.map(|function| format!("{} is linked in", function.name));
    let texts = TEXTS.iter().filter(|text| {
        module
            .data
            .iter()
            .any(|segment| segment.bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    });
    functions.chain(texts.map(|text| format!("the name `{text}` is in the data"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{Function, Segment};

    fn module() -> Module {
        Module {
            imports: vec!["env.proxy_log".to_owned()],
            exports: [("memory".to_owned(), None)].into(),
            data: vec![Segment { address: STACK, bytes: b"verify_signature".to_vec() }],
            stack_top: Some(STACK),
            ..Module::default()
        }
    }

    fn problems_of(module: &Module) -> Vec<String> {
        problems(module, &names("env.proxy_log # why\n\n# all\n", "a"), &names("memory\nmore b", "a"))
    }

    // covers: HOST-TRAP-03, HOST-SHR-05, HOST-CALL-07, SUP-BLD-03
    #[test]
    fn what_is_not_on_the_lists_is_a_problem() {
        assert_eq!(problems_of(&module()), [""; 0]);
        let changed = |change: fn(&mut Module)| {
            let mut module = module();
            change(&mut module);
            problems_of(&module).join("\n")
        };
        for (found, expected) in [
            (
                changed(|module| module.imports.push("env.proxy_enqueue_shared_queue".into())),
                "proxy_enqueue_shared_queue is not in imports.txt",
            ),
            (changed(|module| module.imports.clear()), "env.proxy_log of imports.txt is not in the module"),
            (
                changed(|module| module.exports.extend([("proxy_on_queue_ready".to_owned(), None)])),
                "proxy_on_queue_ready is not in exports.txt",
            ),
            (changed(|module| module.stack_top = Some(65_536)), "the stack has 65536 bytes"),
            (changed(|module| module.stack_top = None), "the stack pointer is not the first global"),
            (
                changed(|module| module.data.push(Segment { address: 1024, bytes: vec![0] })),
                "data at 1024 lies in the stack",
            ),
            (
                changed(|module| {
                    module.data.push(Segment { address: 2 << 20, bytes: b"uncompress".to_vec() })
                }),
                "`uncompress`",
            ),
            (
                changed(|module| {
                    module
                        .functions
                        .push(Function { name: "std::panicking::catch_unwind".into(), operators: vec![] })
                }),
                "catch_unwind is linked in",
            ),
        ] {
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
