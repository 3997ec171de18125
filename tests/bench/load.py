"""Runs wrk against one listener and reads what it cost Envoy."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("load.lua")


class LoadFailed(Exception):
    """Not every answer was a good one, so the numbers mean nothing."""


@dataclass(frozen=True)
class Measurement:
    """One run of wrk.

    `cpu` is the processor time of all of Envoy's threads in microseconds a request: other work on the machine
    changes it less than the throughput. `envoy_busy` and `wrk_busy` are the shares of their cores that the two had.
    """

    requests_per_second: float
    cpu: float
    p50_ms: float
    p99_ms: float
    envoy_busy: float
    wrk_busy: float


@dataclass(frozen=True)
class Cores:
    """Which core is whose, so that the load generator takes nothing from Envoy."""

    envoy: int
    load: int


def choose_cores() -> Cores:
    """Two cores, as far apart as there are: neighbours may be two threads of one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("the benchmark needs two cores: one for Envoy, one for wrk")
    return Cores(envoy=cores[-1], load=cores[0])


def require_wrk() -> None:
    """Ends with status 2 when wrk is missing."""
    if shutil.which("wrk") is None:
        print("wrk is missing: apt-get install wrk")
        raise SystemExit(2)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started inside stay on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(port: int, requests: Path, seconds: int, envoy_pid: int, core: int) -> Measurement:
    """Sends the requests of a file for some seconds over `CONNECTIONS` connections, each waiting for its answer."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s",
               "--script", str(SCRIPT), f"http://127.0.0.1:{port}", "--", str(requests)]
    envoy_before, wrk_before = _cpu_seconds(envoy_pid), _children_seconds()
    with pinned(core):
        run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    envoy_used, wrk_used = _cpu_seconds(envoy_pid) - envoy_before, _children_seconds() - wrk_before
    if run.returncode != 0:
        raise LoadFailed(f"wrk ended with status {run.returncode}: {run.stdout}{run.stderr}")
    result = json.loads(run.stdout.splitlines()[-1])
    if result["refused"] or result["broken"] or not result["requests"]:
        raise LoadFailed(f"of {result['requests']} requests {result['refused']} were refused, {result['broken']} broken")
    elapsed = result["duration"] / 1e6
    return Measurement(
        requests_per_second=result["requests"] / elapsed,
        cpu=envoy_used * 1e6 / result["requests"],
        p50_ms=result["p50"] / 1e3,
        p99_ms=result["p99"] / 1e3,
        envoy_busy=envoy_used / elapsed,
        wrk_busy=wrk_used / elapsed,
    )


def _cpu_seconds(pid: int) -> float:
    # schedstat counts nanoseconds; /proc/PID/stat only ticks of 10 ms.
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _children_seconds() -> float:
    # Only children that have ended and were waited for: Envoy is not among them while it runs.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
