//! A module in an engine: loading it, and calling it with bounds on memory and instructions.

use std::fmt;
use std::path::Path;

use wasmtime::{
    AsContextMut, Config, Engine, ExternType, Instance, Linker, Memory, Store, StoreLimits,
    StoreLimitsBuilder, Val,
};

use crate::callback::Callback;
use crate::proxy::{Frame, Proxy};
use crate::{imports, wasi};

/// Instructions that one callback may take, by wasmtime's count: about a second.
const FUEL: u64 = 2_000_000_000;
/// Memory of a VM unless a test asks for less.
const MEMORY: usize = 256 * 1024 * 1024;

/// A compiled module.
#[derive(Clone)]
pub struct Module {
    module: wasmtime::Module,
    linker: Linker<State>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

/// Why a module can't be loaded.
#[derive(Debug)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl Module {
    /// Compiles a module, in binary or in text form.
    ///
    /// # Errors
    /// [`LoadError`] when it is no module, or imports a function that this host does not know.
    pub fn new(wasm: &[u8]) -> Result<Self, LoadError> {
        let error = |error: wasmtime::Error| LoadError(format!("{error:#}"));
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(error)?;
        let module = wasmtime::Module::new(&engine, wasm).map_err(error)?;
        let mut linker = Linker::new(&engine);
        imports::define(&mut linker).map_err(error)?;
        wasi::define(&mut linker).map_err(error)?;
        linker.instantiate_pre(&module).map_err(error)?;
        Ok(Self { module, linker })
    }

    /// Reads and compiles a module.
    ///
    /// # Errors
    /// [`LoadError`] with the path.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let wasm = std::fs::read(path).map_err(|error| LoadError(format!("{}: {error}", path.display())))?;
        Self::new(&wasm).map_err(|error| LoadError(format!("{}: {error}", path.display())))
    }

    /// The functions that it imports, as `(module, name)`.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.module.imports().map(|import| (import.module(), import.name()))
    }

    /// The functions that it exports.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        let functions = self.module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        functions.map(|export| export.name())
    }
}

/// Why a callback did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// `unreachable`: in Rust a panic, or an allocation that failed.
    Unreachable,
    /// More instructions than a callback may take.
    TooLong,
    /// The call stack is used up.
    StackOverflow,
    /// An access outside of the memory.
    OutOfBounds,
    /// Anything else.
    Other,
}

/// A callback that did not return; a real proxy then has lost the whole VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Why.
    pub kind: TrapKind,
    /// The engine's words, and what the module printed.
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Trap {}

/// What the engine keeps beside the module.
pub struct State {
    pub proxy: Proxy,
    pub memory: Option<Memory>,
    instance: Option<Instance>,
    limits: StoreLimits,
}

/// A running module.
pub struct Vm {
    store: Store<State>,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("proxy", self.proxy()).finish_non_exhaustive()
    }
}

impl Vm {
    /// Starts a module and lets it initialize itself.
    ///
    /// # Errors
    /// [`Trap`] when it does not come up.
    pub fn start(module: &Module, proxy: Proxy) -> Result<Self, Trap> {
        Self::start_with_memory(module, proxy, MEMORY)
    }

    /// The same with at most `memory` bytes of linear memory; growing beyond them fails, as it does in a proxy that
    /// has none left.
    ///
    /// # Errors
    /// [`Trap`] when it does not come up.
    pub fn start_with_memory(module: &Module, proxy: Proxy, memory: usize) -> Result<Self, Trap> {
        let limits = StoreLimitsBuilder::new().memory_size(memory).build();
        let state = State { proxy, memory: None, instance: None, limits };
        let mut store = Store::new(module.module.engine(), state);
        store.limiter(|state| &mut state.limits);
        let started =
            store.set_fuel(FUEL).and_then(|()| module.linker.instantiate(&mut store, &module.module));
        let mut vm = Self { store };
        let instance = started.map_err(|error| vm.trap(&error))?;
        let memory = instance.get_memory(&mut vm.store, "memory");
        let state = vm.store.data_mut();
        (state.instance, state.memory) = (Some(instance), memory);
        for export in ["_initialize", "_start"] {
            let frame = Frame { export, context: 0 };
            if vm.enter(frame, export, &[])?.is_some() {
                break;
            }
        }
        Ok(vm)
    }

    /// The proxy.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.store.data().proxy
    }

    /// The proxy, to set what it answers.
    pub fn proxy_mut(&mut self) -> &mut Proxy {
        &mut self.store.data_mut().proxy
    }

    /// Bytes of the module's linear memory; it never shrinks.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Makes one callback. Its result; 0 when the module doesn't export it.
    ///
    /// # Errors
    /// [`Trap`] when it does not return. The VM must not be used any more: a real one is gone.
    pub fn call(&mut self, callback: &Callback) -> Result<u32, Trap> {
        let frame =
            Frame { export: callback.export, context: callback.arguments.first().copied().unwrap_or(0) };
        Ok(self.enter(frame, callback.export, &callback.arguments)?.unwrap_or(0))
    }

    /// How many instructions the last callback took, by wasmtime's count: the same for the same input everywhere.
    #[must_use]
    pub fn last_cost(&self) -> u64 {
        FUEL.saturating_sub(self.store.get_fuel().unwrap_or(0))
    }

    fn enter(&mut self, frame: Frame, export: &str, arguments: &[u32]) -> Result<Option<u32>, Trap> {
        self.proxy_mut().frames = vec![frame];
        let result =
            self.store.set_fuel(FUEL).and_then(|()| invoke_export(&mut self.store, export, arguments));
        self.proxy_mut().frames.clear();
        result.map_err(|error| self.trap(&error))
    }

    fn trap(&self, error: &wasmtime::Error) -> Trap {
        let kind = match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::UnreachableCodeReached) => TrapKind::Unreachable,
            Some(wasmtime::Trap::OutOfFuel) => TrapKind::TooLong,
            Some(wasmtime::Trap::StackOverflow) => TrapKind::StackOverflow,
            Some(wasmtime::Trap::MemoryOutOfBounds) => TrapKind::OutOfBounds,
            _ => TrapKind::Other,
        };
        let printed = String::from_utf8_lossy(&self.proxy().printed);
        Trap { kind, message: format!("{error:#}\n{printed}") }
    }
}

/// Calls an export with the bounds that are in force; its result (0 if it has none), or none if there is no such
/// export.
pub fn invoke_export(
    mut store: impl AsContextMut<Data = State>,
    export: &str,
    arguments: &[u32],
) -> wasmtime::Result<Option<u32>> {
    let instance = store.as_context().data().instance;
    let Some(function) = instance.and_then(|instance| instance.get_func(&mut store, export)) else {
        return Ok(None);
    };
    let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(argument.cast_signed())).collect();
    let mut results = vec![Val::I32(0); function.ty(&store).results().len()];
    function.call(&mut store, &arguments, &mut results)?;
    Ok(Some(results.first().and_then(Val::i32).map_or(0, i32::cast_unsigned)))
}

/// Calls back into the module from within a host call.
pub fn reenter(mut store: impl AsContextMut<Data = State>, callback: &Callback) -> wasmtime::Result<()> {
    let context = callback.arguments.first().copied().unwrap_or(0);
    let frame = Frame { export: callback.export, context };
    store.as_context_mut().data_mut().proxy.frames.push(frame);
    invoke_export(&mut store, callback.export, &callback.arguments)?;
    let mut store = store.as_context_mut();
    let proxy = &mut store.data_mut().proxy;
    proxy.frames.pop();
    // A proxy that deletes a context (a root: with all its streams), or answers by itself, has given the stream up.
    if ["proxy_on_delete", "proxy_on_response_headers"].contains(&callback.export) {
        for (stream, known) in &mut proxy.streams {
            known.abandoned |= *stream == context || known.root == context;
        }
    }
    Ok(())
}
