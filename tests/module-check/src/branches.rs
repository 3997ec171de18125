//! Which way the branches of a module mostly go, and how the engine is told.
//!
//! An engine that knows it lays what seldom runs aside, so that a request passes fewer cache lines of machine code; that
//! is most of what a filter costs. Hints change no result, and an engine that doesn't know them skips the section.
//! Source: WebAssembly branch hinting, the custom section `metadata.code.branch_hint`
//! <https://webassembly.github.io/branch-hinting/core/appendix/custom.html>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use wasmparser::{FunctionBody, Operator, Parser, Payload};

use crate::{Result, function_names, imported_functions};

/// The custom section that carries the hints. It stands before the code.
const SECTION: &str = "metadata.code.branch_hint";
/// Ids of sections in the binary format.
const CUSTOM: u8 = 0;
const CODE: u8 = 10;

/// One function of a module, as far as profiles know it.
#[derive(Debug)]
pub struct Function {
    /// Its index: imported functions come first.
    pub index: u32,
    /// What the profile calls it.
    pub key: Key,
    /// Where its conditional branches are, in bytes from the beginning of its body.
    pub branches: Vec<u32>,
}

/// A function by its name and size. One that was changed has another size nearly always; hints that meet the wrong
/// function cost time and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// As in the source, without the compiler's hashes.
    pub name: String,
    /// How many instructions it has.
    pub instructions: usize,
}

/// Which way a conditional branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is taken, nearly always.
    Taken,
    /// It is not, nearly always.
    NotTaken,
    /// Both, or it was never seen.
    Unknown,
}

/// Which way the branches of functions go, in the order in which they stand there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Profile(pub BTreeMap<Key, Vec<Way>>);

/// A module's hints for the engine.
#[derive(Debug, Default)]
pub struct Hints {
    /// The whole custom section.
    pub section: Vec<u8>,
    /// Functions of the profile.
    pub functions: usize,
    /// How many of them the module has, unchanged.
    pub found: usize,
}

/// Whether an instruction is a branch that can have a hint.
#[must_use]
pub const fn is_conditional(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::If { .. } | Operator::BrIf { .. })
}

/// The functions of a module that still has their names.
///
/// # Errors
/// When it is no module.
pub fn functions(named: &[u8]) -> Result<Vec<Function>> {
    let names = function_names(named)?.unwrap_or_default();
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(named) {
        if let Payload::CodeSectionEntry(body) = payload? {
            bodies.push(body);
        }
    }
    let function = |(index, body): (u32, FunctionBody<'_>)| {
        let name = names.get(&index).cloned().unwrap_or_default();
        let (instructions, branches) = branches(&body)?;
        Ok(Function { index, key: Key { name, instructions }, branches })
    };
    (imported_functions(named)?..).zip(bodies).map(function).collect()
}

fn branches(body: &FunctionBody<'_>) -> Result<(usize, Vec<u32>)> {
    let start = body.range().start;
    let (mut count, mut branches) = (0_usize, Vec::new());
    for operator in body.get_operators_reader()?.into_iter_with_offsets() {
        let (operator, offset) = operator?;
        count = count.saturating_add(1);
        if is_conditional(&operator) {
            branches.push(u32::try_from(offset.saturating_sub(start))?);
        }
    }
    Ok((count, branches))
}

impl Profile {
    /// Reads what [`Profile::to_text`] writes.
    ///
    /// # Errors
    /// With the number of the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut profile = Self::default();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            let entry = || {
                let (ways, rest) = line.split_once(' ')?;
                let (instructions, name) = rest.split_once(' ')?;
                let ways = ways.chars().map(Way::of).collect::<Option<_>>()?;
                Some((Key { name: name.to_owned(), instructions: instructions.parse().ok()? }, ways))
            };
            let (key, ways) = entry().ok_or_else(|| format!("line {number}: not WAYS INSTRUCTIONS NAME"))?;
            profile.0.insert(key, ways);
        }
        Ok(profile)
    }

    /// One line a function, sorted by name.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from("# Written by `make profile`.\n");
        for (Key { name, instructions }, ways) in &self.0 {
            let ways: String = ways.iter().map(|way| way.letter()).collect();
            // INVARIANT: writing to a string does not fail.
            let _ = writeln!(text, "{ways} {instructions} {name}");
        }
        text
    }

    /// The hints for a module that still has its names.
    ///
    /// # Errors
    /// When it is no module, or larger than the format allows.
    pub fn hints(&self, named: &[u8]) -> Result<Hints> {
        let mut found = BTreeSet::new();
        let mut bytes = Vec::new();
        let mut count: u32 = 0;
        for function in functions(named)? {
            let Some(ways) = self.0.get(&function.key).filter(|ways| ways.len() == function.branches.len())
            else {
                continue;
            };
            found.insert(function.key);
            let hinted = function.branches.iter().zip(ways).filter_map(|(at, way)| Some((*at, way.hint()?)));
            let hinted: Vec<(u32, u8)> = hinted.collect();
            if hinted.is_empty() {
                continue;
            }
            count = count.saturating_add(1);
            push_leb128(&mut bytes, function.index);
            push_leb128(&mut bytes, u32::try_from(hinted.len())?);
            for (offset, hint) in hinted {
                push_leb128(&mut bytes, offset);
                bytes.extend([1, hint]); // its length, and itself
            }
        }
        let mut content = Vec::new();
        push_leb128(&mut content, u32::try_from(SECTION.len())?);
        content.extend(SECTION.as_bytes());
        push_leb128(&mut content, count);
        content.extend(bytes);
        let mut section = vec![CUSTOM];
        push_leb128(&mut section, u32::try_from(content.len())?);
        section.extend(content);
        Ok(Hints { section, functions: self.0.len(), found: found.len() })
    }
}

impl Hints {
    /// A module without custom sections, with these hints.
    ///
    /// # Errors
    /// When it is no module, or one without code.
    pub fn put_into(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let mut end_of_last = 8; // the header
        for payload in Parser::new(0).parse_all(plain) {
            if let Some((id, range)) = payload?.as_section() {
                if id == CODE {
                    let (before, behind) = plain.split_at_checked(end_of_last).ok_or("no wasm module")?;
                    return Ok([before, &self.section, behind].concat());
                }
                end_of_last = range.end;
            }
        }
        Err("a module without code".into())
    }
}

impl Way {
    /// The way of a branch that was taken so often, and so often not. Unknown, unless nineteen in twenty went one way.
    #[must_use]
    pub const fn seen(taken: u64, not_taken: u64) -> Self {
        if taken > not_taken.saturating_mul(19) {
            Self::Taken
        } else if not_taken > taken.saturating_mul(19) {
            Self::NotTaken
        } else {
            Self::Unknown
        }
    }

    const fn of(letter: char) -> Option<Self> {
        match letter {
            '+' => Some(Self::Taken),
            '-' => Some(Self::NotTaken),
            '.' => Some(Self::Unknown),
            _ => None,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Taken => '+',
            Self::NotTaken => '-',
            Self::Unknown => '.',
        }
    }

    const fn hint(self) -> Option<u8> {
        match self {
            Self::NotTaken => Some(0),
            Self::Taken => Some(1),
            Self::Unknown => None,
        }
    }
}

/// An unsigned number as the binary format has them.
fn push_leb128(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_known_when_it_is_nearly_always_taken() {
        assert_eq!([Way::seen(20, 1), Way::seen(1, 20)], [Way::Taken, Way::NotTaken]);
        assert_eq!([Way::seen(19, 1), Way::seen(1, 19), Way::seen(0, 0)], [Way::Unknown; 3]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for text in ["+- 7", "+? 7 f", "+- many f", ""] {
            let error = Profile::parse(&format!("# a profile\n{text}\n")).unwrap_err();
            assert_eq!(error.to_string(), "line 2: not WAYS INSTRUCTIONS NAME", "{text}");
        }
        let read = Profile::parse("+-. 7 <a as b>::f\n").unwrap();
        assert_eq!(read.to_text(), "# Written by `make profile`.\n+-. 7 <a as b>::f\n");
    }

    #[test]
    fn numbers_are_written_as_the_binary_format_has_them() {
        let written = |value| {
            let mut bytes = Vec::new();
            push_leb128(&mut bytes, value);
            bytes
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [0x7f]);
        assert_eq!(written(128), [0x80, 1]);
        assert_eq!(written(624_485), [0xe5, 0x8e, 0x26]);
        assert_eq!(written(u32::MAX), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    }
}
