//! What a panic site is called in the budget: where it is in the source, and what kind of panic.

use std::fmt;

use crate::flow;
use crate::module::Module;

/// What the names of this project's crates begin with.
pub const OWN: &str = "portcullis_";

/// A panic site in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Crate and file, `serde_json/read.rs`; crate and function where the compiler left no file, `core/slice/sort/quicksort`.
    pub place: String,
    pub kind: Kind,
    /// Line in that file; 0 when there is no file.
    pub line: u32,
    /// The function of the module that has it, after inlining.
    pub function: String,
}

/// What went wrong when a site is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `a + b` and the like did not fit.
    Overflow,
    /// Division or remainder by zero.
    Division,
    /// An index outside of a slice.
    Index,
    /// A range outside of a slice, or the wrong way round; two slices of different lengths.
    Range,
    /// A range of a string outside of it or within a character.
    Str,
    /// `unwrap` or `expect` without a value.
    Unwrap,
    /// `panic!`, `unreachable!`, `assert!`.
    Explicit,
    /// A `RefCell` in use.
    Borrow,
    /// No memory, or a capacity above the address space.
    Allocation,
    /// A thread-local value during or after its destruction.
    ThreadLocal,
    /// The process ends without a message: reference counts that overflow, C code.
    Abort,
    /// A function that never returns, which this list does not know.
    #[serde(skip)]
    Unknown(String),
}

/// By name of the function that never returns; the first that the name begins with counts.
const KINDS: &[(&str, Kind)] = &[
    ("core::panicking::panic_const::panic_const_div_by_zero", Kind::Division),
    ("core::panicking::panic_const::panic_const_rem_by_zero", Kind::Division),
    ("core::panicking::panic_const::panic_const_async", Kind::Explicit),
    ("core::panicking::panic_const::", Kind::Overflow),
    ("core::panicking::panic_bounds_check", Kind::Index),
    ("core::slice::index::", Kind::Range),
    ("core::slice::copy_from_slice_impl::", Kind::Range),
    ("core::str::slice_error_fail", Kind::Str),
    ("core::option::", Kind::Unwrap),
    ("core::result::", Kind::Unwrap),
    ("core::cell::panic_already", Kind::Borrow),
    ("alloc::raw_vec::", Kind::Allocation),
    ("alloc::alloc::handle_alloc_error", Kind::Allocation),
    ("<alloc::vec::Vec", Kind::Index),
    ("std::thread::local::", Kind::ThreadLocal),
    ("core::slice::sort::shared::smallsort::panic_on_ord_violation", Kind::Explicit),
    ("core::panicking::", Kind::Explicit),
    ("abort", Kind::Abort),
    ("_Exit", Kind::Abort),
];

impl Kind {
    fn of(callee: &str) -> Self {
        let known = KINDS.iter().find(|(name, _)| callee.starts_with(name));
        known.map_or_else(|| Self::Unknown(callee.to_owned()), |(_, kind)| kind.clone())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "overflow",
            Self::Division => "division",
            Self::Index => "index",
            Self::Range => "range",
            Self::Str => "str",
            Self::Unwrap => "unwrap",
            Self::Explicit => "explicit",
            Self::Borrow => "borrow",
            Self::Allocation => "allocation",
            Self::ThreadLocal => "thread-local",
            Self::Abort => "abort",
            Self::Unknown(callee) => return write!(f, "call of {callee}"),
        })
    }
}

impl Site {
    /// Whether it is in this project's own code. Allocations are apart: any code that allocates may find no memory.
    pub fn is_own(&self) -> bool {
        self.place.starts_with(OWN) && self.kind != Kind::Allocation
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{} ({}) in {}", self.place, self.kind, self.function),
            line => write!(f, "{}:{line} ({}) in {}", self.place, self.kind, self.function),
        }
    }
}

/// All sites of a module, sorted.
pub fn all(module: &Module) -> Vec<Site> {
    let mut sites: Vec<Site> = flow::sites(module).into_iter().map(|site| describe(module, site)).collect();
    sites.sort();
    sites
}

fn describe(module: &Module, site: flow::Site) -> Site {
    let name =
        |index: u32| module.functions.get(index as usize).map_or("", |function| function.name.as_str());
    let function = name(site.function).to_owned();
    let kind = site.callee.map_or(Kind::Abort, |callee| Kind::of(name(callee)));
    match site.last_constant.and_then(|address| location(module, address)) {
        Some((file, line)) => Site { place: file, kind, line, function },
        None => Site { place: function_place(&function), kind, line: 0, function },
    }
}

/// Reads a `core::panic::Location`: pointer and length of the file's name, line, column.
fn location(module: &Module, address: u32) -> Option<(String, u32)> {
    let words = module.bytes(address, 16)?.as_chunks::<4>().0;
    let [pointer, len, line, _column] = words else { return None };
    let [pointer, len, line] = [pointer, len, line].map(|word| u32::from_le_bytes(*word));
    let file = std::str::from_utf8(module.bytes(pointer, len)?).ok()?;
    file.ends_with(".rs").then(|| (file_place(file), line))
}

/// `~/.cargo/…/serde_json-1.0.154/src/read.rs` becomes `serde_json/read.rs`, `/rustc/…/library/core/src/time.rs`
/// `core/time.rs`, and a path inside of this repository, `shared/host/src/lib.rs`, `portcullis_host/lib.rs`.
fn file_place(path: &str) -> String {
    // The folder of the registry's sources is called `src` too, so the last one counts; a crate may have more below.
    let outside = path.starts_with(['/', '~']);
    let root = path.find("/registry/src/").map_or(0, |at| at.saturating_add("/registry/src/".len()));
    let (folder, file) = path.get(root..).and_then(|path| path.split_once("/src/")).unwrap_or(("", path));
    let package = folder.rsplit('/').next().unwrap_or_default();
    let name = match package.rsplit_once('-') {
        Some((name, version)) if outside && version.starts_with(|first: char| first.is_ascii_digit()) => name,
        _ => package,
    };
    format!("{}{}/{file}", if outside { "" } else { OWN }, name.replace('-', "_"))
}

/// `<&mut serde_json::de::Deserializer<R> as X>::next` becomes `serde_json/de/Deserializer`, C functions `libc/NAME`.
fn function_place(name: &str) -> String {
    let path = name.trim_start_matches(['<', '&']).trim_start_matches("mut ");
    let end = path.find(['<', '>', ' ', '{']).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default().trim_end_matches(':');
    if path.contains("::") { path.replace("::", "/") } else { format!("libc/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_same_on_every_machine() {
        for (path, expected) in [
            (
                "~/.cargo/registry/src/index-0123456789abcdef/serde_json-1.0.154/src/read.rs",
                "serde_json/read.rs",
            ),
            (
                "/home/me/.cargo/registry/src/x/regex-automata-0.4.19/src/nfa/map.rs",
                "regex_automata/nfa/map.rs",
            ),
            (
                "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/num/bignum.rs",
                "core/num/bignum.rs",
            ),
            ("shared/host/src/runtime.rs", "portcullis_host/runtime.rs"),
            ("filters/rate-limit/src/policy.rs", "portcullis_rate_limit/policy.rs"),
        ] {
            assert_eq!(file_place(path), expected);
        }
        for (name, expected) in [
            ("core::slice::sort::stable::quicksort::quicksort", "core/slice/sort/stable/quicksort/quicksort"),
            (
                "<&mut serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::x",
                "serde_json/de/Deserializer",
            ),
            ("alloc::vec::Vec<T,A>::push", "alloc/vec/Vec"),
            (
                "portcullis_jwt_auth::plugin::JwtFilter::decide::{{closure}}",
                "portcullis_jwt_auth/plugin/JwtFilter/decide",
            ),
            ("dlmalloc", "libc/dlmalloc"),
        ] {
            assert_eq!(function_place(name), expected);
        }
    }

    #[test]
    fn a_panic_has_the_kind_of_the_function_that_makes_it() {
        for (callee, expected) in [
            ("core::panicking::panic_const::panic_const_add_overflow", Kind::Overflow),
            ("core::panicking::panic_const::panic_const_rem_by_zero", Kind::Division),
            ("core::panicking::panic_bounds_check", Kind::Index),
            ("core::slice::index::slice_index_fail", Kind::Range),
            ("core::option::expect_failed", Kind::Unwrap),
            ("core::panicking::panic_fmt", Kind::Explicit),
            ("alloc::raw_vec::handle_error", Kind::Allocation),
            ("mine::fail", Kind::Unknown("mine::fail".into())),
        ] {
            assert_eq!(Kind::of(callee), expected);
        }
    }
}
