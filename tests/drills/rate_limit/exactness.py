"""Exactness: two workers admit as many requests as one bucket for each key would."""

import math
import random
from collections.abc import Collection
from dataclasses import dataclass

from .limit import Limit, connections, contended
from .senders import Window, send

# With fewer a bucket that refills would hardly be empty.
FEWEST_REQUESTS = 20_000
# How much fewer than the model's may be admitted.
TOLERANCE = 0.001
DEFAULT_SLOTS, MOST_SLOTS, WAYS = 16_384, 1_048_576, 8
# A token in 5 minutes: a line takes less, or sees one of each key. Slower, and 100,000 tokens would take over a year.
NO_REFILL = (12, 3600)


@dataclass(frozen=True)
class Line:
    """`keys` with a bucket each, under this limit."""

    name: str
    keys: int
    limit: Limit


@dataclass(frozen=True)
class Expected:
    """What the model admits: at least, and at most."""

    least: float
    most: int


def lines(requests: int) -> list[Line]:
    """Half of the requests find a token in the lines without refill. Where there is one, a bucket takes 2 s to fill: no
    moment in which the machine does something else may be so long."""
    half = requests // 2
    return [
        Line("1 key, no refill", 1, Limit(*NO_REFILL, burst=half, slots=DEFAULT_SLOTS)),
        Line("1 key, 1000 a second", 1, Limit(1000, 1, burst=2000, slots=DEFAULT_SLOTS)),
        Line("100 keys, no refill", 100, Limit(*NO_REFILL, burst=half // 100, slots=DEFAULT_SLOTS)),
        Line("100 keys, 10 a second each", 100, Limit(10, 1, burst=20, slots=DEFAULT_SLOTS)),
        Line(f"{half:,} keys, {MOST_SLOTS:,} slots", half, Limit(*NO_REFILL, burst=1, slots=MOST_SLOTS)),
        Line(f"{half:,} keys, {_twice(half):,} slots", half, Limit(*NO_REFILL, burst=1, slots=_twice(half))),
    ]


# covers: ENV-RL-01, ENV-RL-02, HOST-SHR-02
def drill(requests: int, seed: int) -> list[str]:
    """Returns broken promises."""
    print(f"{'keys, refill, slots':<34}{'requests':>10}{'a second':>10}{'admitted':>10}{'least':>10}{'most':>10}"
          f"{'over most':>11}{'contended':>11}{'connections':>13}")
    return [f"{line.name}: {problem}" for line in lines(requests) for problem in _measure(line, requests, seed)]


def _measure(line: Line, requests: int, seed: int) -> list[str]:
    order = list(range(line.keys))
    random.Random(seed).shuffle(order)
    print(f"{line.name:<34}", end="", flush=True)
    with line.limit.envoy() as envoy:
        answers = send(envoy.port(), order, requests)
        lost, workers, traps = contended(envoy), connections(envoy), envoy.traps()
    expected = model(line.limit, answers.windows.values())
    admitted = answers.statuses[200]
    over = max(0, admitted - expected.most)
    print(f"{requests:>10,}{requests / answers.seconds:>10,.0f}{admitted:>10,}{expected.least:>10,.0f}{expected.most:>10,}"
          f"{over:>11,}{lost:>11,}{' + '.join(map(str, workers)):>13}", flush=True)
    problems = [f"a trap: {trap}" for trap in traps[:1]]
    if 0 in workers:
        problems.append("one worker had no connection: the drill did not test what it should")
    if others := answers.statuses.keys() - {200, 429, 503}:
        problems.append(f"answers with status {sorted(others)}")
    if answers.statuses[503] != lost:
        problems.append(f"{answers.statuses[503]} answers with status 503, of which {lost} are counted as contended")
    for key, window in answers.windows.items():
        if window.admitted > (most := _most(line.limit, window)):
            problems.append(f"key {key} was admitted {window.admitted} times, bound {most}")
            break
    # A request that lost every try leaves its token, so it may be missing at the end.
    if admitted + lost < expected.least * (1 - TOLERANCE):
        problems.append(f"{admitted:,} admitted and {lost:,} contended, expected {expected.least:,.0f} at least")
    return problems


def model(limit: Limit, windows: Collection[Window]) -> Expected:
    """A bucket for each key, as far as a client's clock can tell: a request was judged between sending and answer."""
    least = sum(_least(limit, window) for window in windows) - limit.burst * _crowded_out(len(windows), limit.slots)
    return Expected(least, sum(_most(limit, window) for window in windows))


def _least(limit: Limit, window: Window) -> int:
    """With every refusal the bucket was empty. Before the first one it may have been full now and then, and lost refill."""
    if math.isinf(window.first_refused):
        return window.admitted
    return math.floor(limit.most(max(0.0, window.last_refused - window.first_refused)))


def _most(limit: Limit, window: Window) -> int:
    return math.floor(limit.most(window.last_answer - window.first_sent))


def _crowded_out(keys: int, slots: int) -> float:
    """How many of the keys find the eight places of their set taken, as keys fall by chance.

    Without refill they find no token: docs/rate-limit.md, "When eight buckets are taken".
    """
    sets = slots // WAYS
    mean = keys / sets
    probability, beyond = math.exp(-mean), 0.0
    for count in range(1, 200):
        probability *= mean / count
        beyond += probability * max(0, count - WAYS)
    return sets * beyond


def _twice(keys: int) -> int:
    """The power of two that is at least twice as many."""
    return 1 << (2 * keys - 1).bit_length()
