"""Starts and stops one real Envoy."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Optional, Sequence

from . import project

START_SECONDS = 30
STOP_SECONDS = 10
# What Envoy or a module prints when wasm code trapped. A trap is a bug in every test but those that provoke one.
TRAP = re.compile(
    r"panicked at|Uncaught RuntimeError|wasm trap|Proxy-Wasm plugin in-VM backtrace|Function: proxy_on_\w+ failed"
)


class StartError(Exception):
    """Envoy ended or stayed silent before it was ready; `log` holds what it printed."""

    def __init__(self, problem: str, log: str) -> None:
        super().__init__(f"{problem}\n{_tail(log)}")
        self.log = log


class Envoy:
    """One Envoy process, used as a context manager.

    `bootstrap` is its configuration without the `admin` part. Listeners should bind to port 0; `port` finds the
    port that the kernel chose. `arguments` are added to the command line.
    """

    def __init__(self, bootstrap: dict[str, Any], concurrency: int = 2,
                 environment: Optional[dict[str, str]] = None, arguments: Sequence[str] = ()) -> None:
        self._arguments = arguments
        self._bootstrap = {
            **bootstrap,
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        }
        self._concurrency = concurrency
        self._environment = {**os.environ, **(environment or {})}
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._directory: Optional[Path] = None
        self._admin = ""
        self._ports: dict[str, int] = {}

    def __enter__(self) -> "Envoy":
        self._directory = Path(tempfile.mkdtemp(prefix="portcullis-envoy-"))
        try:
            self._start(self._directory)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def port(self, listener: str = "ingress") -> int:
        """The port of the listener with this name."""
        return self._ports[listener]

    def admin(self, path: str, method: str = "GET") -> str:
        """The answer of the admin interface."""
        request = urllib.request.Request(f"http://{self._admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()

    def stat(self, name: str) -> int:
        """The value of one counter or gauge, 0 when Envoy does not know it."""
        for line in self.admin(f"/stats?filter=^{re.escape(name)}$").splitlines():
            found, _, value = line.partition(": ")
            if found == name:
                return int(value)
        return 0

    def stat_names(self) -> set[str]:
        """The names of all counters, gauges and histograms."""
        return {line.partition(": ")[0] for line in self.admin("/stats").splitlines()}

    def resident_bytes(self) -> int:
        """The memory of the process that is in RAM, in bytes; 0 where there is no /proc."""
        status = Path(f"/proc/{self.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text() if status.exists() else "")
        return int(found[1]) * 1024 if found else 0

    def log(self) -> str:
        """Everything Envoy has printed so far."""
        if self._directory is None:
            return ""
        return (self._directory / "envoy.log").read_text(errors="backslashreplace")

    def traps(self) -> list[str]:
        """The lines of the log that tell of a trap."""
        return [line for line in self.log().splitlines() if TRAP.search(line)]

    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def _start(self, directory: Path) -> None:
        configuration = directory / "bootstrap.json"
        configuration.write_text(json.dumps(self._bootstrap))
        admin_file = directory / "admin"
        with (directory / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [project.envoy_binary(), "--config-path", str(configuration),
                 "--concurrency", str(self._concurrency), "--admin-address-path", str(admin_file),
                 # Shared memory for hot restarts is per machine: without it many Envoys run side by side.
                 "--disable-hot-restart", "--file-flush-interval-msec", "20", "--log-level", "info",
                 *self._arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, cwd=project.ROOT,
            )
        end = time.monotonic() + START_SECONDS
        while not self._is_ready(admin_file):
            if self._process.poll() is not None:
                raise StartError(f"Envoy ended with status {self._process.returncode}", self.log())
            if time.monotonic() > end:
                raise StartError(f"Envoy was not ready after {START_SECONDS} s", self.log())
            time.sleep(0.02)
        for listener in json.loads(self.admin("/listeners?format=json"))["listener_statuses"]:
            self._ports[listener["name"]] = listener["local_address"]["socket_address"]["port_value"]

    def _is_ready(self, admin_file: Path) -> bool:
        if not self._admin:
            # The file appears before the address is in it.
            self._admin = admin_file.read_text() if admin_file.exists() else ""
        try:
            return bool(self._admin) and self.admin("/ready").startswith("LIVE")
        except (urllib.error.URLError, OSError):
            return False

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


def _tail(log: str, lines: int = 25) -> str:
    return "\n".join(log.splitlines()[-lines:])
