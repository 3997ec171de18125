"""Measures every case, round after round, in one Envoy."""

import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import checks
import listeners
import load
from comparisons import Case, Comparison
from harness.envoy import Envoy
from report import Rounds
from traffic import Traffic

# So that the module is compiled by V8's second compiler, connections are known and caches are full.
WARM_UP_SECONDS = 1
_BEGAN = time.monotonic()


def progress(text: str) -> None:
    """Says what is going on; a run takes minutes."""
    print(f"[{time.monotonic() - _BEGAN:5.0f} s] {text}", flush=True)


def measure(comparisons: Sequence[Comparison], rounds: int, seconds: int) -> Rounds:
    """All measurements of the cases that these comparisons need.

    Raises `harness.project.NotBuilt`, `checks.CheckFailed` or `load.LoadFailed`, named by the case.
    """
    cores = load.choose_cores()
    cases = list(dict.fromkeys(case for item in comparisons for case in (item.subject, item.against)))
    built = {case.listener: listeners.build(case.listener) for case in cases}
    measured: Rounds = {case: [] for case in cases}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="portcullis-bench-")))
        traffic = Traffic(directory)
        for kind in dict.fromkeys(case.requests for case in cases):
            progress(f"making requests: {kind}")
            traffic.file(kind)
        progress(f"starting Envoy with {len(built)} listeners on core {cores.envoy}; wrk runs on core {cores.load}")
        with load.pinned(cores.envoy):
            envoy = stack.enter_context(Envoy(listeners.bootstrap(built, directory), concurrency=1))

        def run(case: Case, duration: int) -> load.Measurement:
            found = load.measure(envoy.port(case.listener), traffic.file(case.requests), duration, envoy.pid, cores.load)
            if built[case.listener].log_format is not None:
                os.truncate(listeners.log_file(directory, case.listener), 0)  # it grows by tens of megabytes a second
            return found

        for case in cases:
            progress(f"checking and warming up: {case}")
            with _named(case):
                checks.check(built[case.listener], envoy.port(case.listener), traffic.requests(case.requests),
                             listeners.log_file(directory, case.listener))
                run(case, WARM_UP_SECONDS)
        for number in range(1, rounds + 1):
            for place, case in enumerate(_shuffled(comparisons), 1):
                with _named(case):
                    found = run(case, seconds)
                measured[case].append(found)
                progress(f"round {number} of {rounds}, {place} of {len(cases)}: {case}: "
                         f"{found.requests_per_second:,.0f} requests/s")
        if traps := envoy.traps():
            raise checks.CheckFailed(f"a module trapped: {traps[0]}")
    return measured


def _shuffled(comparisons: Sequence[Comparison]) -> list[Case]:
    """Every case once, in a new order each time, with partners near each other."""
    order: list[Case] = []
    for comparison in random.sample(comparisons, len(comparisons)):
        pair = (comparison.subject, comparison.against)
        order += [case for case in random.sample(pair, 2) if case not in order]
    return order


class _named:
    """Puts the case before the message of what went wrong with it."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, (checks.CheckFailed, load.LoadFailed)):
            raise type(problem)(f"{self._case}: {problem}") from problem
