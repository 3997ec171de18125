//! A module, reduced to what the checks look at: control flow and calls of its functions, imports, exports, data.

use std::collections::BTreeMap;

use wasmparser::{
    DataKind, ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef,
};

use portcullis_module_check::function_names;

use crate::Result;

/// A module with the names of its functions.
#[derive(Default)]
pub struct Module {
    /// By function index: imported ones first, as in the binary.
    pub functions: Vec<Function>,
    /// `module.name`, sorted.
    pub imports: Vec<String>,
    /// Everything exported, with the index of each function.
    pub exports: BTreeMap<String, Option<u32>>,
    /// Functions whose index is in a table: `call_indirect` may reach each of them.
    pub in_table: Vec<u32>,
    /// What lies in memory before the first instruction runs.
    pub data: Vec<Segment>,
    /// Where the stack begins; it grows down from there to address 0.
    pub stack_top: Option<u32>,
}

/// One function; an imported one has no operators.
#[derive(Default)]
pub struct Function {
    /// Demangled, without the compiler's hashes.
    pub name: String,
    pub operators: Vec<Op>,
}

/// What matters of an instruction.
pub enum Op {
    Block,
    Loop,
    If,
    Else,
    End,
    Branch(u32),
    BranchIf(u32),
    BranchTable(Vec<u32>),
    Return,
    Unreachable,
    /// A call, and the constant that was pushed just before it: for a panic, where its `Location` is.
    Call {
        callee: u32,
        last_constant: Option<u32>,
    },
}

/// Bytes that are in memory from the start.
pub struct Segment {
    pub address: u32,
    pub bytes: Vec<u8>,
}

impl Module {
    /// Reads a module.
    /// # Errors
    /// When it is no module, has no name section, or has instructions that no build of ours has (exceptions).
    pub fn read(wasm: &[u8]) -> Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        module.imports.push(format!("{}.{}", import.module, import.name));
                        if matches!(import.ty, TypeRef::Func(_)) {
                            module.functions.push(Function::default());
                        }
                    }
                    module.imports.sort();
                }
                Payload::GlobalSection(section) => {
                    // The linker makes the stack pointer the first global.
                    if let Some(global) = section.into_iter().next() {
                        module.stack_top = constant(&global?.init_expr)?;
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let function = (export.kind == ExternalKind::Func).then_some(export.index);
                        module.exports.insert(export.name.to_owned(), function);
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element?;
                        match (element.kind, element.items) {
                            (ElementKind::Active { .. }, ElementItems::Functions(functions)) => {
                                module.in_table.extend(functions.into_iter().collect::<std::result::Result<
                                    Vec<_>,
                                    _,
                                >>(
                                )?);
                            }
                            _ => {
                                return Err(
                                    "an element segment of a form that the linker does not write".into()
                                );
                            }
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    module.functions.push(Function { name: String::new(), operators: operators(&body)? });
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment?;
                        let DataKind::Active { offset_expr, .. } = segment.kind else {
                            return Err("a passive data segment, which the linker does not write".into());
                        };
                        let address =
                            constant(&offset_expr)?.ok_or("a data segment without a constant address")?;
                        module.data.push(Segment { address, bytes: segment.data.to_vec() });
                    }
                }
                Payload::StartSection { .. } => {
                    return Err("a start function: Envoy calls `_initialize`".into());
                }
                _ => {}
            }
        }
        let names =
            function_names(wasm)?.ok_or("it has no names: is `strip` of the release profile `debuginfo`?")?;
        for (index, name) in names {
            if let Some(function) = module.functions.get_mut(index as usize) {
                function.name = name;
            }
        }
        Ok(module)
    }

    /// The bytes at an address, when the module has data there.
    #[must_use]
    pub fn bytes(&self, address: u32, len: u32) -> Option<&[u8]> {
        self.data.iter().find_map(|segment| {
            let start = address.checked_sub(segment.address)? as usize;
            segment.bytes.get(start..start.checked_add(len as usize)?)
        })
    }
}

/// The module without its custom sections: names and what tools noted about themselves. Nothing else changes.
pub fn without_custom_sections(wasm: &[u8]) -> Result<Vec<u8>> {
    const HEADER: usize = 8;
    let mut plain = wasm.get(..HEADER).ok_or("no wasm module")?.to_vec();
    let mut start = HEADER;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        // Entries of the code section come one by one, after their section.
        if let Some((id, range)) = payload.as_section() {
            const CUSTOM: u8 = 0;
            if id != CUSTOM {
                plain.extend(wasm.get(start..range.end).ok_or("a section outside of the file")?);
            }
            start = range.end;
        }
    }
    Ok(plain)
}

fn operators(body: &FunctionBody<'_>) -> Result<Vec<Op>> {
    let mut operators = Vec::new();
    let mut last_constant = None;
    for operator in body.get_operators_reader()? {
        let constant = last_constant.take();
        operators.push(match operator? {
            Operator::Block { .. } => Op::Block,
            Operator::Loop { .. } => Op::Loop,
            Operator::If { .. } => Op::If,
            Operator::Else => Op::Else,
            Operator::End => Op::End,
            Operator::Br { relative_depth } => Op::Branch(relative_depth),
            Operator::BrIf { relative_depth } => Op::BranchIf(relative_depth),
            Operator::BrTable { targets } => {
                let mut depths = targets.targets().collect::<std::result::Result<Vec<_>, _>>()?;
                depths.push(targets.default());
                Op::BranchTable(depths)
            }
            Operator::Return => Op::Return,
            Operator::Unreachable => Op::Unreachable,
            Operator::Call { function_index } => Op::Call { callee: function_index, last_constant: constant },
            Operator::I32Const { value } => {
                last_constant = Some(value.cast_unsigned());
                continue;
            }
            Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                return Err("a tail call: the scan of control flow does not know it".into());
            }
            Operator::TryTable { .. } | Operator::Throw { .. } | Operator::ThrowRef => {
                return Err("exception handling: the modules are built with panic=abort".into());
            }
            _ => continue,
        });
    }
    Ok(operators)
}

fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<u32>> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Some(value.cast_unsigned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with a function that is called `f` (in the name section) and does nothing.
    const NAMED: &[u8] = b"\0asm\x01\0\0\0\
        \x01\x04\x01\x60\0\0\
        \x03\x02\x01\0\
        \x0a\x04\x01\x02\0\x0b\
        \0\x0b\x04name\x01\x04\x01\0\x01f";

    #[test]
    fn only_custom_sections_are_left_out() {
        let plain = without_custom_sections(NAMED).unwrap();
        assert_eq!(plain, NAMED[..NAMED.len() - 13]);
        assert_eq!(without_custom_sections(&plain).unwrap(), plain);
        assert!(without_custom_sections(b"\0asm").is_err());
    }

    #[test]
    fn a_module_without_names_can_not_be_judged() {
        assert_eq!(Module::read(NAMED).unwrap().functions[0].name, "f");
        let error = Module::read(&without_custom_sections(NAMED).unwrap()).err().unwrap();
        assert!(error.to_string().contains("no names"), "{error}");
    }
}
