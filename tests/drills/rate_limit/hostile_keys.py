"""Hostile keys: millions of them cost no memory, give a client nothing, and take nothing from those who keep their limit."""

import time
from dataclasses import dataclass

import load
import process
from harness.envoy import Envoy

from .clients import Clients, Record
from .flood import Flood
from .limit import WORKERS, Limit, connections, contended

FEWEST_KEYS = 500_000
# Of the realistic limit, and of one that refills too slowly for its slots.
SLOTS, FEW_SLOTS = 65_536, 16_384
CHECKPOINTS = 10
# After the first tenth of the keys: all slots are in use, and Envoy has what it keeps for itself. 1 % of an Envoy
# is less than this; a byte for each key would be five times as much.
GROWTH_SHARE, GROWTH_MIB = 0.01, 2.0
WELL_BEHAVED = 200
MOST_FALSE_REFUSALS = 0.01
# How often the victim sends: 12 times as often as its limit allows.
VICTIM_SECONDS = 0.05
POLL_SECONDS = 0.2
MIB = 1 << 20


@dataclass(frozen=True)
class Scenario:
    """A limit under a flood of so many keys; 200 clients send every `seconds`. `promised`: false refusals are bounded."""

    name: str
    limit: Limit
    keys: int
    seconds: float
    promised: bool


@dataclass(frozen=True)
class Point:
    """Sizes in MiB; `linear` is the largest linear memory of a VM."""

    keys: int
    resident: float
    allocated: float
    linear: float


# covers: ENV-RL-03, ENV-RL-04, HOST-SHR-01
def drill(keys: int, seed: int) -> list[str]:
    """Returns broken promises."""
    load.require_wrk()
    return [
        f"{scenario.name}: {problem}"
        for scenario in (
            Scenario("100 per 1m, burst 20", Limit(100, 60, burst=20, slots=SLOTS), keys, 5, True),
            # A key is in use for 12 s: several times more keys than slots. Only the bound is promised, and the memory.
            Scenario("5 per 1m, burst 5", Limit(5, 60, burst=5, slots=FEW_SLOTS), max(keys // 10, FEWEST_KEYS), 15, False),
        )
        for problem in _measure(scenario, seed)
    ]


def _measure(scenario: Scenario, seed: int) -> list[str]:
    limit = scenario.limit
    print(f"\n{scenario.name}: {scenario.keys:,} keys, {limit.slots:,} slots, {WORKERS} workers; {WELL_BEHAVED} clients send every "
          f"{scenario.seconds:g} s, a victim every {VICTIM_SECONDS:g} s")
    print(f"{'keys':>12}{'a second':>10}{'RSS MiB':>9}{'heap MiB':>10}{'wasm MiB':>10}{'victim':>8}{'bound':>8}{'false refusals':>16}"
          f"{'contended':>11}", flush=True)
    with limit.envoy() as envoy:
        others = Clients(envoy.port(), [b"client-%d" % number for number in range(WELL_BEHAVED)], scenario.seconds, seed)
        with Clients(envoy.port(), [b"victim"], VICTIM_SECONDS, seed) as victim, others:
            _wait_for_first(victim, others)
            began = time.monotonic()
            points = [_point(envoy, 0)]
            _print_line(points[0], scenario, victim.record(), others.record(), began, contended(envoy))
            with Flood(envoy.port(), seed) as flood:
                while len(points) <= CHECKPOINTS:
                    time.sleep(POLL_SECONDS)
                    sent = _answered(envoy) - victim.record().statuses.total() - others.record().statuses.total()
                    if not flood.is_running():
                        raise RuntimeError("wrk has ended by itself")
                    if sent >= scenario.keys * len(points) / CHECKPOINTS:
                        points.append(_point(envoy, sent))
                        _print_line(points[-1], scenario, victim.record(), others.record(), began, contended(envoy))
                flood_answers = flood.end()
            seen, refused, workers = victim.record(), others.record(), connections(envoy)
        traps = envoy.traps()
    print(f"connections of the workers: {' + '.join(map(str, workers))}; keys admitted: "
          f"{flood_answers['answers'] - flood_answers['refused']:,} of {flood_answers['answers']:,}; "
          f"well-behaved: {dict(sorted(refused.statuses.items()))}; victim: {dict(sorted(seen.statuses.items()))}")
    problems = [f"a trap: {trap}" for trap in traps[:1]]
    if 0 in workers:
        problems.append("one worker had no connection: the drill did not test what it should")
    if flood_answers["broken"]:
        problems.append(f"{flood_answers['broken']} requests of the flood had no answer")
    for name in ("resident", "allocated", "linear"):
        first, *later = [getattr(point, name) for point in points[1:]]
        bound = max(GROWTH_MIB, GROWTH_SHARE * first)
        if (grown := max(later) - first) > bound:
            problems.append(f"{name} memory grew by {grown:.2f} MiB after the first {points[1].keys:,} keys, bound {bound:.2f}")
    if (over := seen.over(limit)) > 0:
        problems.append(f"the victim was admitted {over:.2f} times more than its bound within some time")
    if scenario.promised and refused.refused() > MOST_FALSE_REFUSALS:
        problems.append(f"{refused.refused():.2%} of the requests below the limit were refused, bound {MOST_FALSE_REFUSALS:.0%}")
    return problems


def _wait_for_first(victim: Clients, others: Clients) -> None:
    """Until the VMs are warm and both have been answered."""
    end = time.monotonic() + 20
    while not (victim.record().statuses and others.record().statuses.total() >= WELL_BEHAVED // 10):
        if time.monotonic() > end:
            raise RuntimeError("the clients have no answer")
        time.sleep(POLL_SECONDS)


def _answered(envoy: Envoy) -> int:
    return envoy.stat("http.ingress.downstream_rq_completed")


def _point(envoy: Envoy, keys: int) -> Point:
    return Point(keys, envoy.resident_bytes() / MIB, envoy.stat("server.memory_allocated") / MIB, process.linear_memories(envoy.pid)[0] / MIB)


def _print_line(point: Point, scenario: Scenario, victim: Record, others: Record, began: float, lost: int) -> None:
    window = victim.admitted[-1][1] - victim.admitted[0][0]
    print(f"{point.keys:>12,}{point.keys / (time.monotonic() - began):>10,.0f}{point.resident:>9.1f}{point.allocated:>10.2f}"
          f"{point.linear:>10.2f}{len(victim.admitted):>8,}{scenario.limit.most(window):>8,.0f}{others.refused():>16.3%}{lost:>11,}",
          flush=True)
