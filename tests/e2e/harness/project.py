"""Where things are: the repository, the built modules, the Envoy binary."""

import os
import shutil
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
E2E = ROOT / "tests" / "e2e"
# Where the modules are; another folder for those of a release, say.
DIST = Path(os.environ.get("DIST") or ROOT / "dist")


class NotBuilt(Exception):
    """A wasm module is not there."""


def module_path(name: str) -> Path:
    """The built module `name`: `jwt-auth` is dist/jwt-auth.wasm, `test/panic-probe` dist/test/panic-probe.wasm."""
    path = DIST / f"{name}.wasm"
    if not path.is_file():
        raise NotBuilt(f"{path} is missing: run `make build`")
    return path


def envoy_binary() -> str:
    """Envoy from `ENVOY=`, else from PATH, else from the project's virtual environment."""
    named = os.environ.get("ENVOY") or shutil.which("envoy", path=_path_without_venv())
    if named:
        return named
    packaged = ROOT / ".venv" / "lib"
    for binary in packaged.glob("python*/site-packages/envoy/_bin/envoy"):
        return str(binary)
    raise FileNotFoundError("no Envoy: set ENVOY=, put `envoy` on PATH, or run python3 tests/tools/setup.py")


def _path_without_venv() -> str:
    """PATH without the virtual environment, whose `envoy` is a Python script around the binary."""
    scripts = sysconfig.get_path("scripts")
    return os.pathsep.join(part for part in os.environ.get("PATH", "").split(os.pathsep) if part != scripts)
