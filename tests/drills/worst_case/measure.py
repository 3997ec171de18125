"""Measures what one filter's inputs cost Envoy, and compares."""

import statistics
from itertools import count, cycle
from typing import Iterator

import process
from connection import Connection
from harness import config
from harness.envoy import Envoy
from soak.traffic import MARK, unique

from .inputs import KIB, MIB, Input, Subject

# How much processor time one measurement takes: enough for the clock, little enough for many rounds.
MEASURED_SECONDS = 0.08
MOST_REQUESTS = 200
# At most 10 times the largest ordinary request; and what is small never costs a hundred small ordinary ones.
AGAINST_LARGEST = 10.0
SMALL, AGAINST_ORDINARY = 10 * KIB, 100.0
SMALL_MEMORY = MIB


def measure(subject: Subject, rounds: int, slack: float = 1.0, seconds: float = MEASURED_SECONDS) -> list[str]:
    """Prints a table and returns broken promises. Bounds are multiplied by `slack`; `seconds` is the
    processor time of one measurement.

    Every round sends every input; ratios are taken within a round, and their median counts.
    """
    small = [each for each in subject.hostile if each.size <= SMALL]
    everything = [subject.ordinary, *small, subject.largest, *(each for each in subject.hostile if each.size > SMALL)]
    with Envoy(config.bootstrap(subject.setup, {}, "/dev/null"), concurrency=1) as envoy:
        sender = _Sender(envoy, seconds)
        sender.warm_up(subject.ordinary)
        memory = process.linear_memories(envoy.pid)[0]
        for each in small:
            sender.warm_up(each)
        memory = process.linear_memories(envoy.pid)[0] - memory
        for each in everything[1 + len(small):]:
            sender.warm_up(each)
        costs: dict[Input, list[float]] = {each: [] for each in everything}
        for _ in range(rounds):
            for each in everything:
                costs[each].append(sender.cpu(each))
        problems = [f"a trap: {line}" for line in envoy.traps()[:3]]
    if memory >= SMALL_MEMORY:
        problems.append(f"inputs of at most 10 KiB made the memory of the VM grow by {memory} bytes")
    print(f"\n{subject.filter + ': input':<50}{'bytes':>10}{'status':>8}{'CPU us':>10}{'ratio':>8}{'low':>8}{'high':>8}{'to small':>10}")
    for each in [subject.ordinary, subject.largest, *subject.hostile]:
        ratios = [own / base for own, base in zip(costs[each], costs[subject.largest])]
        ratio = statistics.median(ratios)
        to_small = statistics.median(own / base for own, base in zip(costs[each], costs[subject.ordinary]))
        cost, status = statistics.median(costs[each]), sender.status[each]
        print(f"{each.name:<50}{each.size:>10,}{status:>8}{cost * 1e6:>10,.0f}{ratio:>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}"
              + (f"{to_small:>10.1f}" if each.size <= SMALL else ""), flush=True)
        if ratio > AGAINST_LARGEST * slack:
            problems.append(f"{each.name}: {ratio:.1f} times the largest ordinary request, bound {AGAINST_LARGEST * slack:.0f}")
        if each.size <= SMALL and to_small > AGAINST_ORDINARY * slack:
            problems.append(f"{each.name}: {to_small:.0f} times a small ordinary request, bound {AGAINST_ORDINARY * slack:.0f}")
        if each.milliseconds and cost * 1000 > each.milliseconds * slack:
            problems.append(f"{each.name}: {cost * 1000:.1f} ms, bound {each.milliseconds * slack:.1f}")
        if each.statuses and status not in each.statuses:
            problems.append(f"{each.name}: answered {status or 'not at all'}, expected one of {each.statuses}")
    return [f"{subject.filter}: {problem}" for problem in problems]


class _Sender:
    """Sends one request after the other, and asks what they cost Envoy."""

    def __init__(self, envoy: Envoy, seconds: float) -> None:
        self._envoy = envoy
        self._seconds = seconds
        self._connection = Connection(envoy.port())
        self._requests: dict[Input, Iterator[bytes]] = {}
        self._times: dict[Input, int] = {}
        self._numbers = count()
        self.status: dict[Input, int] = {}

    def warm_up(self, each: Input) -> None:
        """Lets the VM compile what it needs, and finds out how many requests make a measurement."""
        self._requests[each] = cycle(each.requests)
        self._send(each, 3)
        self._times[each] = max(3, min(MOST_REQUESTS, int(self._seconds / self._cpu(each, 3))))

    def cpu(self, each: Input) -> float:
        """The processor time of all of Envoy's threads for one request, in seconds."""
        return self._cpu(each, self._times[each])

    def _cpu(self, each: Input, times: int) -> float:
        before = process.cpu_seconds(self._envoy.pid)
        self._send(each, times)
        return (process.cpu_seconds(self._envoy.pid) - before) / times

    def _send(self, each: Input, times: int) -> None:
        for _ in range(times):
            if self._connection.ended:
                self._connection.socket.close()
                self._connection = Connection(self._envoy.port())
            request = next(self._requests[each])
            self._connection.send(request.replace(MARK, unique(next(self._numbers))))
            while (status := self._connection.receive()) is None:
                pass
            self.status[each] = status
