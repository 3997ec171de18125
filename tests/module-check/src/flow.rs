//! Which functions never return, and where one that can return calls one that can't: that is where it may panic.
//!
//! Every panic of Rust ends in an `unreachable` instruction, and every function on the way to it has no way back to
//! its caller. So the sites are found by the form of the code, not by a list of names: a panic of a new kind is found
//! too.

use crate::module::{Module, Op};

/// A place where a function that can return traps, or calls what traps.
#[derive(Clone, Copy)]
pub struct Site {
    /// The function that has it, by index.
    pub function: u32,
    /// The function that never returns; none for an `unreachable` of its own.
    pub callee: Option<u32>,
    /// The constant before the call.
    pub last_constant: Option<u32>,
}

/// By function index: whether it never returns.
pub fn never_returning(module: &Module) -> Vec<bool> {
    let mut never = vec![false; module.functions.len()];
    loop {
        let mut changed = false;
        for (index, function) in module.functions.iter().enumerate() {
            let known = never.get(index).copied().unwrap_or_default();
            if !known && !function.operators.is_empty() && !scan(&function.operators, &never, |_, _| {}) {
                if let Some(never) = never.get_mut(index) {
                    *never = true;
                }
                changed = true;
            }
        }
        if !changed {
            return never;
        }
    }
}

/// The sites of all functions that the proxy can reach: by an export or a table, then by calls. What only a panic
/// reaches does not count: it would be a panic while one is under way.
pub fn sites(module: &Module) -> Vec<Site> {
    let never = never_returning(module);
    let is_never = |function: u32| never.get(function as usize).copied().unwrap_or_default();
    let mut seen = vec![false; module.functions.len()];
    let mut found = Vec::new();
    let mut todo: Vec<u32> = module.exports.values().flatten().chain(&module.in_table).copied().collect();
    // A root that never returns traps whoever calls it.
    let mut roots: Vec<u32> = todo.iter().copied().filter(|root| is_never(*root)).collect();
    roots.sort_unstable();
    roots.dedup();
    found.extend(roots.into_iter().map(|function| Site {
        function,
        callee: Some(function),
        last_constant: None,
    }));
    while let Some(function) = todo.pop() {
        let Some(seen) = seen.get_mut(function as usize) else { continue };
        if std::mem::replace(seen, true) || is_never(function) {
            continue;
        }
        let Some(body) = module.functions.get(function as usize) else { continue };
        scan(&body.operators, &never, |callee, last_constant| match callee {
            Some(callee) if !is_never(callee) => todo.push(callee),
            _ => found.push(Site { function, callee, last_constant }),
        });
    }
    found
}

/// A block that is open while the scan goes through it.
struct Frame {
    /// Branches to a loop go to its start, all others to the end.
    is_loop: bool,
    /// Whether its first instruction is reached.
    entered: bool,
    /// Whether its end is reached by a branch, or past the `then` part.
    end_reached: bool,
    /// An `if` without an `else` so far.
    may_skip: bool,
}

impl Frame {
    const fn new(is_loop: bool, may_skip: bool, entered: bool) -> Self {
        Self { is_loop, entered, end_reached: false, may_skip }
    }
}

/// Walks through the reachable instructions; true when the end of the function is reached by one of them.
///
/// `visit` gets each call (the callee and the constant before it) and each `unreachable` (no callee).
fn scan(operators: &[Op], never: &[bool], mut visit: impl FnMut(Option<u32>, Option<u32>)) -> bool {
    let mut frames = vec![Frame::new(false, false, true)];
    let mut reachable = true;
    for operator in operators {
        match operator {
            Op::Block => frames.push(Frame::new(false, false, reachable)),
            Op::Loop => frames.push(Frame::new(true, false, reachable)),
            Op::If => frames.push(Frame::new(false, true, reachable)),
            Op::Else => {
                if let Some(frame) = frames.last_mut() {
                    frame.end_reached |= reachable;
                    frame.may_skip = false;
                    reachable = frame.entered;
                }
            }
            Op::End => {
                if let Some(frame) = frames.pop() {
                    reachable |= (frame.end_reached && !frame.is_loop) || (frame.may_skip && frame.entered);
                }
            }
            _ if !reachable => {}
            Op::Branch(depth) => {
                branch(&mut frames, *depth);
                reachable = false;
            }
            Op::BranchIf(depth) => branch(&mut frames, *depth),
            Op::BranchTable(depths) => {
                for depth in depths {
                    branch(&mut frames, *depth);
                }
                reachable = false;
            }
            Op::Return => {
                if let Some(frame) = frames.first_mut() {
                    frame.end_reached = true;
                }
                reachable = false;
            }
            Op::Unreachable => {
                visit(None, None);
                reachable = false;
            }
            Op::Call { callee, last_constant } => {
                visit(Some(*callee), *last_constant);
                reachable = !never.get(*callee as usize).copied().unwrap_or_default();
            }
        }
    }
    reachable
}

fn branch(frames: &mut [Frame], depth: u32) {
    if let Some(frame) = frames.iter_mut().rev().nth(depth as usize) {
        frame.end_reached = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Function;

    const PANIC: u32 = 0;
    const LAYER: u32 = 1;

    fn call(callee: u32) -> Op {
        Op::Call { callee, last_constant: None }
    }

    /// A module whose function 0 panics, 1 calls 0, and 2 is exported and has these operators.
    fn module(operators: Vec<Op>) -> Module {
        let function = |operators| Function { name: String::new(), operators };
        let functions = vec![
            function(vec![Op::Unreachable, Op::End]),
            function(vec![call(PANIC), Op::Unreachable, Op::End]),
            function(operators),
        ];
        Module { functions, exports: [("f".to_owned(), Some(2))].into(), ..Module::default() }
    }

    fn sites_of(operators: Vec<Op>) -> Vec<(u32, Option<u32>)> {
        sites(&module(operators)).into_iter().map(|site| (site.function, site.callee)).collect()
    }

    #[test]
    fn a_site_is_where_a_function_that_can_return_does_not() {
        let panics = vec![(2, Some(LAYER))];
        for (name, operators, expected) in [
            ("nothing", vec![Op::End], vec![]),
            (
                "a check before a panic",
                vec![Op::Block, Op::BranchIf(0), call(LAYER), Op::Unreachable, Op::End, Op::End],
                panics.clone(),
            ),
            (
                "in one arm",
                vec![Op::If, call(LAYER), Op::Unreachable, Op::Else, Op::End, Op::End],
                panics.clone(),
            ),
            ("an if without else", vec![Op::If, call(LAYER), Op::Unreachable, Op::End, Op::End], panics),
            (
                "an instruction of its own",
                vec![Op::Block, Op::BranchIf(0), Op::Unreachable, Op::End, Op::End],
                vec![(2, None)],
            ),
            (
                "the default of a table",
                vec![
                    Op::Block,
                    Op::Block,
                    Op::BranchTable(vec![1, 0]),
                    Op::End,
                    Op::Unreachable,
                    Op::End,
                    Op::End,
                ],
                vec![(2, None)],
            ),
            (
                "two",
                vec![
                    Op::Block,
                    Op::Block,
                    Op::BranchIf(1),
                    Op::BranchIf(0),
                    call(PANIC),
                    Op::End,
                    call(LAYER),
                    Op::End,
                    Op::End,
                ],
                vec![(2, Some(PANIC)), (2, Some(LAYER))],
            ),
            ("behind a return", vec![Op::Return, call(PANIC), Op::End], vec![]),
            ("an exported function that always panics", vec![call(LAYER), Op::End], vec![(2, Some(2))]),
            ("an endless loop", vec![Op::Loop, Op::Branch(0), Op::End, Op::End], vec![(2, Some(2))]),
            ("a loop that ends", vec![Op::Loop, Op::BranchIf(0), Op::End, Op::End], vec![]),
        ] {
            assert_eq!(sites_of(operators), expected, "{name}");
        }
    }

    #[test]
    fn what_nothing_reaches_has_no_sites_and_tables_reach_all_of_theirs() {
        let check = || vec![Op::Block, Op::BranchIf(0), call(PANIC), Op::End, Op::End];
        let mut module = module(vec![Op::End]);
        module.functions.push(Function { name: String::new(), operators: check() });
        assert_eq!(sites(&module).len(), 0);
        module.in_table.push(3);
        assert_eq!(sites(&module).len(), 1);
        module.in_table.push(LAYER);
        assert_eq!(sites(&module).len(), 2, "a call through the table would not return");
    }
}
