"""How long Envoy takes from its start to the first answer, with each module and without any."""

import socket
import tempfile
import time
from pathlib import Path

import listeners
from harness import project
from harness.envoy import Envoy
from report import Result, result

# Module, and the listener that loads just that one.
MODULES = ("header-guard", "rate-limit", "audit", "jwt-auth", "schema-guard", "suite")
WITHOUT = "no filters"


def measure(starts: int) -> tuple[list[Result], dict[str, int]]:
    """Starts Envoy with each module some times, in turn; the times, and the sizes in bytes."""
    seconds: dict[str, list[float]] = {name: [] for name in (WITHOUT, *MODULES)}
    for _ in range(starts):
        for name, found in seconds.items():
            found.append(_start(name))
    results = [
        result(f"start-up-{name}", WITHOUT, "s", seconds[name], seconds[WITHOUT], more_is_better=False)
        for name in MODULES
    ]
    return results, {name: project.module_path(name).stat().st_size for name in MODULES}


def _start(name: str) -> float:
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as logs:
        bootstrap = listeners.bootstrap({name: listeners.build(name)}, Path(logs))
        began = time.monotonic()
        with Envoy(bootstrap, concurrency=1) as envoy:
            with socket.create_connection(("127.0.0.1", envoy.port(name)), timeout=30) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nhost: api.example.com\r\n\r\n")
                connection.recv(1)
            return time.monotonic() - began
