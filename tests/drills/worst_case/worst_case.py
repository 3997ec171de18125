"""What the worst input costs, against the largest ordinary request: `make worst-case`.

docs/reliability.md says what is promised and what was measured.
"""

import argparse
import signal
import statistics
import sys
import time
from collections import defaultdict
from itertools import count, cycle
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parents[3]
# The launcher of Envoy and the identity provider are those of the end-to-end tests.
sys.path += [str(ROOT / "tests" / "drills"), str(ROOT / "tests" / "e2e")]

import process  # noqa: E402
from connection import Connection  # noqa: E402
from harness import config  # noqa: E402
from harness.envoy import Envoy, StartError  # noqa: E402
from harness.project import NotBuilt  # noqa: E402
from inputs import KIB, MARK, MIB, Input, Subject, subjects  # noqa: E402

ROUNDS = 5
# How much processor time one measurement takes: enough for the clock, little enough for many rounds.
MEASURED_SECONDS = 0.08
MOST_REQUESTS = 200
# design: at most 10 times the largest ordinary request; and what is small never costs a hundred ordinary small ones.
AGAINST_LARGEST = 10.0
SMALL, AGAINST_ORDINARY = 10 * KIB, 100.0
SMALL_MEMORY = MIB


# covers: HOST-ALGO-04, HOST-ALGO-07, HOST-TRAP-11, ENV-PATH-24
def main() -> int:
    """Exit status 1 when a promise is broken."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    broken = []
    try:
        for subject in subjects():
            if options.filter in ("", subject.filter):
                broken += _measure(subject)
    except (NotBuilt, StartError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print()
    print("\n".join(f"BROKEN: {problem}" for problem in broken) or "kept")
    return 1 if broken else 0


def _measure(subject: Subject) -> list[str]:
    """Measures one filter, prints its table, returns broken promises."""
    with Envoy(config.bootstrap(subject.setup, {}, "/dev/null"), concurrency=1) as envoy:
        sender = _Sender(envoy)
        print(f"\n{subject.filter + ': input':<50}{'bytes':>10}{'status':>8}{'CPU us':>10}{'ratio':>8}{'low':>8}{'high':>8}{'to small':>10}", flush=True)
        everything = [subject.ordinary, *(each for each in subject.hostile if each.size <= SMALL), subject.largest,
                      *(each for each in subject.hostile if each.size > SMALL)]
        problems, memory = [], 0
        for each in everything:
            if each is subject.largest:
                memory = process.linear_memories(envoy.pid)[0] - memory
            sender.warm_up(each)
            if each is subject.ordinary:
                memory = process.linear_memories(envoy.pid)[0]
        if memory >= SMALL_MEMORY:
            problems.append(f"{subject.filter}: inputs of at most 10 KiB made the VM's memory grow by {memory} bytes")
        costs: dict[int, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for place, each in enumerate(everything):
                costs[place].append(sender.cpu(each))
        by_input = {id(each): costs[place] for place, each in enumerate(everything)}
        largest, ordinary = by_input[id(subject.largest)], by_input[id(subject.ordinary)]
        for title, benign in (("ordinary", subject.ordinary), ("the largest ordinary one", subject.largest)):
            _print(title, benign, sender, by_input[id(benign)], largest, ordinary)
            if (status := sender.status[id(benign)]) != 200:
                problems.append(f"{subject.filter}: {title} is answered {status}, so it is no measure")
        for each in subject.hostile:
            ratio, to_small = _print(each.name, each, sender, by_input[id(each)], largest, ordinary)
            if ratio > AGAINST_LARGEST:
                problems.append(f"{subject.filter}: {each.name}: {ratio:.1f} times the largest ordinary request, bound {AGAINST_LARGEST:.0f}")
            if each.size <= SMALL and to_small > AGAINST_ORDINARY:
                problems.append(f"{subject.filter}: {each.name}: {to_small:.0f} times an ordinary request, bound {AGAINST_ORDINARY:.0f}")
        return problems + [f"{subject.filter}: a trap: {line}" for line in envoy.traps()[:3]]


def _print(name: str, each: Input, sender: "_Sender", costs: list[float], largest: list[float], ordinary: list[float]) -> tuple[float, float]:
    """One line; the median ratios to the largest and to the ordinary request, of rounds each."""
    ratios = [cost / base for cost, base in zip(costs, largest)]
    to_small = statistics.median(cost / base for cost, base in zip(costs, ordinary))
    shown = f"{to_small:>10.1f}" if each.size <= SMALL else ""
    print(f"{name:<50}{each.size:>10,}{sender.status[id(each)]:>8}{statistics.median(costs) * 1e6:>10,.0f}"
          f"{statistics.median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}{shown}", flush=True)
    return statistics.median(ratios), to_small


class _Sender:
    """Sends one request after the other, and asks what they cost Envoy."""

    def __init__(self, envoy: Envoy) -> None:
        self._envoy = envoy
        self._connection = Connection(envoy.port())
        self._requests: dict[int, Iterator[bytes]] = {}
        self._times: dict[int, int] = {}
        self._numbers = count()
        self.status: dict[int, int] = {}

    def warm_up(self, each: Input) -> None:
        """Lets the VM compile what it needs, and finds out how many requests make a measurement."""
        self._requests[id(each)] = cycle(each.requests)
        self._send(each, 3)
        cost = self._cpu(each, 3)
        self._times[id(each)] = max(3, min(MOST_REQUESTS, int(MEASURED_SECONDS / cost)))

    def cpu(self, each: Input) -> float:
        """The processor time of all of Envoy's threads for one request, in seconds."""
        return self._cpu(each, self._times[id(each)])

    def _cpu(self, each: Input, times: int) -> float:
        before = process.cpu_seconds(self._envoy.pid)
        self._send(each, times)
        return (process.cpu_seconds(self._envoy.pid) - before) / times

    def _send(self, each: Input, times: int) -> None:
        for _ in range(times):
            if self._connection.ended:
                self._connection.socket.close()
                self._connection = Connection(self._envoy.port())
            request = next(self._requests[id(each)])
            self._connection.send(request.replace(MARK, b"%016d" % next(self._numbers)))
            while (status := self._connection.receive()) is None:
                pass
            self.status[id(each)] = status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the worst input costs, against the largest ordinary request.")
    parser.add_argument("--filter", default="", help="only this one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
