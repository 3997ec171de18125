"""Runs a test binary that was compiled to wasm32-wasip1, in wasmtime: cargo's runner for that target.

The functions of a proxy are absent here; whoever calls one gets "unimplemented" (proxy-wasm status 12), as the
crate `portcullis-host` answers on every target without a proxy.
"""

import os
import sys

from wasmtime import Config, Engine, ExitTrap, FuncType, Linker, Module, Store, ValType, WasiConfig

UNIMPLEMENTED = 12


def main() -> int:
    """The exit status of the test binary; 101 when it trapped, as a panic in a test does."""
    path, *arguments = sys.argv[1:]
    engine = Engine(Config())
    module = Module.from_file(engine, path)
    store = Store(engine)
    wasi = WasiConfig()
    wasi.argv = [os.path.basename(path), *arguments]
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.env = [(name, value) for name, value in os.environ.items() if name.startswith(("PORTCULLIS_", "PROPTEST_"))]
    # The tests read the documentation's examples and, where they are at hand, the corpora.
    for folder in {os.getcwd(), os.environ.get("PORTCULLIS_ROOT", os.getcwd()), os.environ.get("PORTCULLIS_CORPORA", os.getcwd())}:
        wasi.preopen_dir(folder, folder)
    store.set_wasi(wasi)

    linker = Linker(engine)
    linker.define_wasi()
    for imported in module.imports:
        if imported.module == "env":
            if not isinstance(imported.type, FuncType) or imported.type.results != [ValType.i32()]:
                raise SystemExit(f"unknown import env.{imported.name}")
            linker.define_func("env", imported.name, imported.type, lambda *_: UNIMPLEMENTED)
    try:
        start = linker.instantiate(store, module).exports(store)["_start"]
        start(store)
    except ExitTrap as ended:
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
