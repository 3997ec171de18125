"""Starts and stops what the demo needs: identity provider, Orders API and Envoy, as processes or by Docker Compose."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from client import send

EXAMPLES = Path(__file__).resolve().parent
ROOT = EXAMPLES.parent
# The ports of the files in envoy-config/ and of the servers' defaults.
PORTS = {"api": 10000, "admin": 9901, "orders": 8080, "idp": 8081, "records": 8082}
START_SECONDS = 30


def wait_until(what: str, ready, seconds: float = START_SECONDS):
    """Returns the first true answer of `ready`; ends the demo after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ready():
            return answer
        time.sleep(0.05)
    raise SystemExit(f"{what} did not happen within {seconds:.0f} s; see the logs in .run/")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports() -> dict:
    probes = {name: socket.create_server(("127.0.0.1", 0)) for name in PORTS}
    ports = {name: probe.getsockname()[1] for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return ports


def find_envoy() -> str:
    beside = Path(sys.executable).parent / "envoy"  # of the PyPI package, in the same virtual environment
    named = os.environ.get("ENVOY")
    envoy = shutil.which(named) if named else shutil.which("envoy") or shutil.which(beside)
    if envoy is None:
        raise SystemExit("no envoy found: run `make setup`, put one on PATH, or name it: ENVOY=/path/to/envoy")
    return envoy


class Stack:
    """What both ways of running have in common: readiness, the API's record of requests, the audit log.

    `name` is a folder of .run/ for keys and logs, emptied at the start.
    """

    def __init__(self, name: str, ports: dict):
        self.ports = ports
        self.folder = ROOT / ".run" / name
        self.keys = self.folder / "keys"
        self.audit_log = self.folder / "audit.log"
        self.folder.parent.mkdir(exist_ok=True)
        self.lock = open(self.folder.with_suffix(".lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another demo is running in this folder; stop it first") from None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.keys.mkdir(parents=True)
        self.audit_log.touch()
        self.events_read = 0

    def wait_for_envoy(self):
        wait_until("start of Envoy", lambda: self.ended() or send(self.ports["admin"], "GET", "/ready").status == 200)

    def wait_for_idp(self):
        wait_until("start of the identity provider",
                   lambda: send(self.ports["idp"], "GET", "/.well-known/jwks.json").status == 200)

    def wait_for_orders(self):
        wait_until("start of the Orders API", lambda: send(self.ports["records"], "GET", "/records").status == 200)

    def ended(self) -> str | None:
        """The name of a service that is gone though nobody stopped it."""

    def upstream_requests(self) -> list:
        """What reached the Orders API since the last call; nothing while it is stopped."""
        return send(self.ports["records"], "GET", "/records").json() or []

    def next_events(self, count: int) -> list:
        """The next lines of the audit log that are events; fewer if they don't come within 3 s."""
        deadline = time.monotonic() + 3
        while True:
            lines = [line for line in self.audit_log.read_text(errors="replace").splitlines() if line.startswith("{")]
            new = lines[self.events_read:]
            if len(new) >= count or time.monotonic() > deadline:
                self.events_read = len(lines)
                return [json.loads(line) for line in new]
            time.sleep(0.01)


class Processes(Stack):
    """Everything on this machine, on loopback."""

    def __init__(self, bootstrap: Path, fixed_ports: bool):
        fixed = fixed_ports and all(is_free(port) for port in PORTS.values())
        super().__init__("demo-up" if fixed_ports else "demo", PORTS if fixed else free_ports())
        self.bootstrap = bootstrap
        self.running = {}

    def start(self):
        config = self.bootstrap.read_text()
        # The file as it is; only the ports are others.
        for name in ["api", "admin", "orders", "idp"]:
            config = config.replace(f"port_value: {PORTS[name]}}}", f"port_value: {self.ports[name]}}}")
        (self.folder / "envoy.yaml").write_text(config)
        self.start_service("idp")
        self.start_service("orders")
        # The modules' paths in the file are relative to the root. Log lines go out at once, not every 10 s.
        command = [find_envoy(), "-c", str(self.folder / "envoy.yaml"), "--concurrency", "2", "--disable-hot-restart",
                   "--file-flush-interval-msec", "20", "--log-level", "warning"]
        self.run("envoy", command, stdout=self.audit_log)
        self.wait_for_envoy()
        if self.ended():
            log = (self.folder / "envoy.log").read_text(errors="replace")
            raise SystemExit(f"Envoy did not start. The end of its log:\n{log[-3000:]}")

    def start_service(self, name: str):
        port = ["--port", str(self.ports[name])]
        if name == "idp":
            server = EXAMPLES / "identity-provider" / "server.py"
            self.run(name, [sys.executable, str(server), *port, "--keys", str(self.keys)])
            self.wait_for_idp()
        else:
            server = EXAMPLES / "orders-api" / "server.py"
            self.run(name, [sys.executable, str(server), *port, "--records-port", str(self.ports["records"])])
            self.wait_for_orders()

    def run(self, name: str, command: list, stdout: Path | None = None):
        file = self.folder / f"{name}.log"
        with open(file, "ab") as log, open(stdout or file, "ab") as out:
            # A session of its own: Ctrl-C reaches the demo, which then stops the others in order.
            self.running[name] = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                                  start_new_session=True)

    def ended(self) -> str | None:
        return next((name for name, process in self.running.items() if process.poll() is not None), None)

    def stop_service(self, name: str):
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        for name in list(self.running):
            self.stop_service(name)


class Compose(Stack):
    """The same by Docker Compose with the official Envoy image, on the ports that its file publishes."""

    COMMAND = ["docker", "compose", "--file", str(ROOT / "envoy-config" / "docker" / "docker-compose.yaml")]

    def __init__(self):
        super().__init__("demo-docker", PORTS)
        version = ["docker", "compose", "version"]
        if shutil.which("docker") is None or subprocess.run(version, capture_output=True).returncode != 0:
            raise SystemExit("docker with its plugin `compose` is needed")
        # The services write into mounted folders, so they run as the caller.
        self.environment = {**os.environ, "PORTCULLIS_USER": f"{os.getuid()}:{os.getgid()}"}
        self.log_reader = None

    def start(self):
        self.compose("up", "--build", "--detach")
        with open(self.audit_log, "ab") as out:
            command = [*self.COMMAND, "logs", "--follow", "--no-log-prefix", "--no-color", "envoy"]
            self.log_reader = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=out)
        self.wait_for_idp()
        self.wait_for_orders()
        self.wait_for_envoy()

    def compose(self, *arguments: str):
        subprocess.run([*self.COMMAND, *arguments], env=self.environment, check=True)

    def start_service(self, name: str):
        self.compose("start", name)
        self.wait_for_idp() if name == "idp" else self.wait_for_orders()
        time.sleep(6)  # Envoy asks for the address, which may be new, every 5 s

    def stop_service(self, name: str):
        self.compose("stop", "--timeout", "2", name)

    def close(self):
        if self.log_reader:
            self.log_reader.terminate()
            self.log_reader.wait()
        self.compose("down", "--timeout", "2")
