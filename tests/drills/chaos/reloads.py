"""The configuration is replaced again and again while traffic runs; some of the new ones are broken."""

import copy
import dataclasses
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional, Sequence

from harness import config
from harness.stack import DRAIN_SECONDS, Stack
from harness.traffic import Sample, Traffic

from . import faults, kinds
from .drill import FETCHES, Result, Watch, Window, check_fetches, judge, passed_wrongly
from .faults import MIB, Promise

PART = "configuration"
# Between two configurations, on top of what Envoy needs to take one.
PAUSE_SECONDS = 0.02
# One of so many is broken.
BROKEN_EVERY = 4
# After so many the modules get new VMs, as after an upgrade.
UPGRADE_EVERY = 50
# When the last connection of an old listener is gone.
OLD_SECONDS = DRAIN_SECONDS + faults.SLACK_SECONDS
# What may come and go. Each VM has memory and code of its own, which grow in the first minutes under traffic: without
# traffic 165 reloads of 20 VMs add 2 MiB, with it the first 45 add 21 to 30.
MAX_GROWTH = 12 * MIB
MAX_GROWTH_OF_A_VM = int(1.5 * MIB)
ACTIVE_VMS = "wasm.envoy.wasm.runtime.v8.active"
GENERATION = re.compile(rb"\r\nx-generation: (\S+)\r\n")
REALM = re.compile(rb'\r\nwww-authenticate: Bearer realm="([^"]*)"')


@dataclass(frozen=True)
class State:
    """Envoy after so many reloads. `memory` is resident, in bytes; `vms` are those alive, on all threads; `fetches` of
    the key set."""

    reloads: int
    memory: int
    vms: int
    fetches: int
    stats: frozenset[str]


# covers: HOST-SDK-16, ENV-LIFE-14
def run(setup: config.Setup, count: int, rate: float, report: Callable[[State], None]) -> Result:
    """Replaces the configuration `count` times; `report` is told of the state now and then. `rate`: see `Traffic`."""
    with Stack(faults.with_generation(setup, "g0"), dynamic=True) as stack:
        kinds.tell_issuer(stack)
        expected = {kind.name: kind.expected for kind in kinds.make()}
        with Traffic(stack.port, kinds.make(), rate) as traffic:
            Watch(stack, traffic, kinds.make()).until_calm()
            base, recorded, began = _state(stack, 0), len(stack.upstream.requests), time.monotonic()
            report(base)
            states, replaced, rejected = [], {}, 0
            for number in range(1, count + 1):
                before = stack.setup
                broken = number % BROKEN_EVERY == 0
                taken = stack.reload(_broken(setup, number) if broken else _good(setup, number))
                if taken == broken:
                    raise faults.BrokenPromise(f"reload {number}: a {'broken' if broken else 'good'} configuration was "
                                               f"{'taken' if taken else 'refused'}")
                rejected += broken
                if taken:
                    replaced[_generation(before)] = time.monotonic()
                time.sleep(PAUSE_SECONDS)
                if number % (count // 4) == 0:
                    states.append(_state(stack, number))
                    report(states[-1])
            # Until the last old listener is gone.
            time.sleep(OLD_SECONDS)
            window = Window(began, time.monotonic(), time.monotonic())
        end = _state(stack, count)
        report(end)
        result = judge(Promise(), expected, traffic.samples, window)
        result.part, result.fault = PART, f"replaced {count} times"
        result.growth = max(end.memory - states[0].memory, 0)
        result.fetches = end.fetches - base.fetches
        result.passed_wrongly += passed_wrongly(Promise(), stack.upstream.requests[recorded:], [])
        result.breaches += [*_incoherent(traffic.samples, began, replaced), *_compare(base, states[0], end)]
        check_fetches(result, window)
        if result.passed_wrongly:
            result.breaches.append(f"{result.passed_wrongly} requests that had to be refused reached the upstream")
        counted = stack.envoy.stat(faults.REJECTED)
        if counted != rejected:
            result.breaches.append(f"{rejected} broken configurations, Envoy counts {counted}")
        result.breaches += [f"trap: {line}" for line in stack.envoy.traps()[:3]]
        return result


def _good(setup: config.Setup, number: int) -> config.Setup:
    # Another environment is another VM, with the same `vm_id` and so with the same shared data.
    environment = {"UPGRADE": str(number // UPGRADE_EVERY)}
    return dataclasses.replace(faults.with_generation(setup, f"g{number}"), environment=environment)


def _broken(setup: config.Setup, number: int) -> config.Setup:
    """A configuration that would answer with its own generation if anything of it were ever used."""
    good = faults.with_generation(setup, f"broken{number}")
    filters = copy.deepcopy(good.filters)
    entries: list[dict[str, Any]] = (
        filters[0]["config"]["filters"] if filters[0]["module"] == "suite"
        else [{"filter": entry["module"], "config": entry["config"]} for entry in filters])
    by_name = {entry["filter"]: entry["config"] for entry in entries}
    mistakes: list[Callable[[], Any]] = [
        lambda: by_name["jwt-auth"].update(relam="a misspelt field"),
        lambda: by_name["jwt-auth"]["providers"].clear(),
        lambda: by_name["header-guard"].update(zone="a zone that does not exist"),
        lambda: by_name["schema-guard"]["document"].update(openapi="2.0"),
        lambda: by_name["rate-limit"]["limits"][0].update(per="a while"),
    ]
    mistakes[number // BROKEN_EVERY % len(mistakes)]()
    return dataclasses.replace(good, filters=filters)


def _generation(setup: config.Setup) -> bytes:
    [found] = set(re.findall(r"x-generation': '([^']*)'", str(setup.filters)))
    return found.encode()


def _incoherent(samples: Sequence[Sample], began: float, replaced: dict[bytes, float]) -> Iterator[str]:
    """Answers that show parts of two configurations, of a broken one, or of one that was replaced long ago."""
    found: Counter[str] = Counter()
    seen: set[Optional[bytes]] = set()
    for sample in samples:
        generation, realm = GENERATION.search(sample.head), REALM.search(sample.head)
        if sample.began < began or not sample.head:
            continue
        seen.add(generation and generation[1])
        if generation is None:
            found["an answer without header-guard's fields"] += 1
            continue
        if generation[1].startswith(b"broken"):
            found["an answer by a broken configuration"] += 1
        if realm and realm[1] != generation[1]:
            found["an answer by two configurations"] += 1
        if sample.ended - replaced.get(generation[1], sample.ended) > OLD_SECONDS:
            found[f"an answer by a configuration that was replaced more than {OLD_SECONDS} s before"] += 1
    if len(seen) < len(replaced) // 2:
        found[f"only {len(seen)} of {len(replaced)} configurations were seen in answers"] += 1
    return (f"{what} ({count} times)" for what, count in found.items())


def _state(stack: Stack, reloads: int) -> State:
    envoy = stack.envoy
    return State(reloads, envoy.resident_bytes(), envoy.stat(ACTIVE_VMS), envoy.stat(FETCHES), frozenset(envoy.stat_names()))


def _compare(base: State, warm: State, end: State) -> Iterator[str]:
    if end.vms != base.vms:
        yield f"{end.vms} VMs, at the start {base.vms}"
    # Some of Envoy's own come and go with the VMs; none may be added.
    if added := end.stats - base.stats - warm.stats:
        yield f"{len(added)} more figures of Envoy's, such as {sorted(added)[0]}"
    if end.memory - warm.memory > MAX_GROWTH + base.vms * MAX_GROWTH_OF_A_VM:
        yield f"memory grew by {(end.memory - warm.memory) // MIB} MiB after the first {warm.reloads} reloads"
