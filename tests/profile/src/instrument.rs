//! Makes a module report its conditional branches to the host.

use std::convert::Infallible;

use portcullis_module_check::branches::is_conditional;
use portcullis_module_check::{Result, imported_functions};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{EntityType, Function, ImportSection, Instruction, Module, TypeSection, ValType};
use wasmparser::{FunctionBody, ImportSectionReader, Parser, TypeSectionReader};

/// The module with a call of `trace.branch` before each conditional branch. It gives the condition and the branch's
/// number, counted from 0 through all functions, and takes the condition back.
///
/// # Errors
/// When it is no module.
pub fn instrument(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut instrumenting = Instrumenting { imported: imported_functions(wasm)?, r#type: 0, branches: 0 };
    let mut module = Module::new();
    utils::parse_core_module(&mut instrumenting, &mut module, Parser::new(0), wasm)
        .map_err(|error| error.to_string())?;
    Ok(module.finish())
}

struct Instrumenting {
    /// Functions that the module imports; `trace.branch` becomes the one behind them.
    imported: u32,
    /// The type of `trace.branch`.
    r#type: u32,
    /// Branches so far.
    branches: i32,
}

type Done<T = ()> = std::result::Result<T, Error<Infallible>>;

impl Reencode for Instrumenting {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Done<u32> {
        Ok(if index < self.imported { index } else { index.saturating_add(1) })
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Done {
        utils::parse_type_section(self, types, section)?;
        self.r#type = types.len();
        types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Done {
        utils::parse_import_section(self, imports, section)?;
        imports.import("trace", "branch", EntityType::Function(self.r#type));
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut wasm_encoder::CodeSection, body: FunctionBody<'_>) -> Done {
        let mut function: Function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            if is_conditional(&operator) {
                function.instruction(&Instruction::I32Const(self.branches));
                function.instruction(&Instruction::Call(self.imported));
                self.branches = self.branches.saturating_add(1);
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}
