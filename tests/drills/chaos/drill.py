"""Runs the faults of a part while traffic runs, and compares what happened with what is promised."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Iterator, Sequence

from harness import config
from harness.rate_limit_service import Limit, RateLimitService
from harness.redis import Redis
from harness.stack import Stack
from harness.traffic import KIND, Kind, Sample, Traffic
from harness.upstream import Recorded, wait_until

from . import kinds
from .faults import MIB, Fault, Part, Promise, with_generation

# All is well when each kind has been answered as expected for this long.
CALM_SECONDS = 0.6
START_SECONDS = 20.0
NO_ANSWER = frozenset({"lost", "late", "cut"})
# Every completed fetch of a key set, failed ones included. min_refetch in chaos.yaml is 1 s.
FETCHES = "cluster.idp.internal.upstream_rq_completed"
FETCHES_PER_SECOND = 1.0


@dataclass
class Result:
    """What happened under one fault. `answers`: by outcome, of all requests that met the fault."""

    part: str
    fault: str
    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    passed_wrongly: int = 0
    refused_wrongly: int = 0
    longest: float = 0.0
    recovery: float = 0.0
    fetches: int = 0
    growth: int = 0
    breaches: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """When the fault began, ended, and the watching after it ended."""

    began: float
    ended: float
    stopped: float


def run(part: Part, setup: config.Setup, report: Callable[[Result], None]) -> None:
    """Runs all faults of a part; `report` gets each result when it is there."""
    together = [fault for fault in part.faults if not fault.at_start]
    alone = [[fault] for fault in part.faults if fault.at_start]
    for faults in [*([together] if together else []), *alone]:
        for result in _session(part, part.setup(with_generation(setup, "g0")), faults):
            report(result)


def _session(part: Part, setup: config.Setup, faults: Sequence[Fault]) -> Iterator[Result]:
    """One Envoy. A fault that was there before it begins with it; others when all is well."""
    with contextlib.ExitStack() as running:
        service = running.enter_context(_service_with_redis(setup, running)) if part.redis else None
        stack = running.enter_context(
            Stack(setup, idp_fault=faults[0].at_start, dynamic=True, rate_limit_service=service))
        kinds.tell_issuer(stack)
        # In an Envoy without a past nobody is over a limit yet.
        traffic_kinds = [kind for kind in kinds.make() if not (faults[0].at_start and kind.name in kinds.LIMITED)]
        with Traffic(stack.port, traffic_kinds) as traffic:
            watch = Watch(stack, traffic, traffic_kinds)
            if not faults[0].at_start:
                watch.until_calm()
            results = [watch.through(part.name, fault) for fault in faults]
        # What concerns the whole session is told with its last fault.
        results[-1].breaches += _after(stack, traffic.samples, [fault.promise for fault in faults])
        yield from results


def _service_with_redis(setup: config.Setup, running: contextlib.ExitStack) -> RateLimitService:
    redis = running.enter_context(Redis())
    return RateLimitService([Limit(**limit) for limit in setup.limits], redis)


class Watch:
    """Follows the traffic through one fault after the other."""

    def __init__(self, stack: Stack, traffic: Traffic, traffic_kinds: Sequence[Kind]) -> None:
        self._stack = stack
        self._traffic = traffic
        self._expected = {kind.name: kind.expected for kind in traffic_kinds}

    def until_calm(self, seconds: float = START_SECONDS) -> bool:
        """Waits until every kind is answered as while all is well."""
        return wait_until(self._is_calm, seconds)

    def through(self, part: str, fault: Fault) -> Result:
        """Lets the fault happen."""
        stack, promise = self._stack, fault.promise
        recorded, fetches = len(stack.upstream.requests), stack.envoy.stat(FETCHES)
        sign = stack.envoy.stat(fault.sign) if fault.sign else 0
        resident = peak = stack.envoy.resident_bytes()
        began = time.monotonic()
        with fault.context(stack):
            while time.monotonic() < began + fault.seconds:
                time.sleep(0.1)
                peak = max(peak, stack.envoy.resident_bytes())
            met = fault.sign and stack.envoy.stat(fault.sign) > sign
            seen = len(stack.upstream.requests)
            ended = time.monotonic()
        time.sleep(CALM_SECONDS)
        self.until_calm(promise.recovery + 1.0)
        window = Window(began, ended, time.monotonic())
        result = judge(promise, self._expected, self._traffic.samples, window)
        result.part, result.fault = part, fault.name
        upstream = stack.upstream.requests
        result.passed_wrongly += passed_wrongly(promise, upstream[recorded:seen], upstream[seen:])
        result.fetches = stack.envoy.stat(FETCHES) - fetches
        result.growth = max(peak - resident, 0)
        _check_figures(promise, result, window)
        if not (met or not fault.sign and promise.answers & result.answers.keys()):
            result.breaches.append("nothing met the fault, so nothing is shown")
        if not stack.envoy.is_running():
            result.breaches.append("Envoy ended")
        return result

    def _is_calm(self) -> bool:
        since = time.monotonic() - CALM_SECONDS
        recent = [sample for sample in self._traffic.samples[-2000:] if sample.ended > since]
        return ({sample.kind for sample in recent} == set(self._expected)
                and all(sample.outcome == self._expected[sample.kind] for sample in recent))


def judge(promise: Promise, expected: dict[str, str], samples: Sequence[Sample], window: Window) -> Result:
    """What the answers show; what the upstream saw is not part of it."""
    result = Result("", "")
    odd: Counter[str] = Counter()
    for sample in samples:
        if sample.ended < window.began or sample.began > window.stopped:
            continue
        result.requests += 1
        result.answers[sample.outcome] += 1
        result.longest = max(result.longest, sample.ended - sample.began)
        usual = sample.outcome == expected[sample.kind]
        told = sample.kind in promise.kinds and sample.outcome in promise.answers
        if not usual and sample.began >= window.ended:
            result.recovery = max(result.recovery, sample.ended - window.ended)
        if usual and promise.instead and sample.kind in promise.kinds and sample.ended < window.ended:
            odd[f"{sample.kind}: {sample.outcome}"] += 1
        if usual or told:
            continue
        odd[f"{sample.kind}: {sample.outcome}"] += 1
        result.lost += sample.outcome in NO_ANSWER
        result.refused_wrongly += sample.kind in kinds.GOOD and sample.outcome not in NO_ANSWER
        result.passed_wrongly += sample.kind not in kinds.GOOD and sample.outcome.startswith("2")
    result.breaches += [f"{what} ({count} times)" for what, count in odd.most_common()]
    return result


def passed_wrongly(promise: Promise, during: Sequence[Recorded], after: Sequence[Recorded]) -> int:
    """How many requests the upstream saw, during the fault and after it, that had to be refused."""
    barred = promise.kinds if promise.instead else frozenset[str]()
    allowed = kinds.GOOD | ({""} if promise.others else set())
    return (sum(_kind(request) not in allowed - barred for request in during)
            + sum(_kind(request) not in allowed for request in after))


def _kind(request: Recorded) -> str:
    return b",".join(request.values(KIND)).decode("latin-1")


def check_fetches(result: Result, window: Window) -> None:
    """However many requests ask for a key that there is not."""
    most = 2 + FETCHES_PER_SECOND * (window.stopped - window.began)
    if result.fetches > most:
        result.breaches.append(f"{result.fetches} fetches of the key set, promised at most {most:.0f}")


def _check_figures(promise: Promise, result: Result, window: Window) -> None:
    check_fetches(result, window)
    if result.passed_wrongly:
        result.breaches.append(f"{result.passed_wrongly} requests that had to be refused reached the upstream")
    if result.longest > promise.longest:
        result.breaches.append(f"longest answer {result.longest:.2f} s, promised {promise.longest:.2f} s")
    if result.recovery > promise.recovery:
        result.breaches.append(f"recovered after {result.recovery:.2f} s, promised {promise.recovery:.2f} s")
    if result.growth > promise.growth:
        result.breaches.append(f"memory grew by {result.growth // MIB} MiB, promised {promise.growth // MIB} MiB")


def _after(stack: Stack, samples: Sequence[Sample], promises: Sequence[Promise]) -> list[str]:
    """What must hold when the traffic of a session has ended."""
    breaches = []
    active = "http.ingress.downstream_rq_active"
    if not wait_until(lambda: stack.envoy.stat(active) == 0, 5.0):
        breaches.append(f"{stack.envoy.stat(active)} requests are still open")
    if not any(promise.traps for promise in promises):
        breaches += [f"trap: {line}" for line in stack.envoy.traps()[:3]]
    answered = sum(sample.outcome not in NO_ANSWER for sample in samples)
    logged = all(promise.events for promise in promises)
    if logged and not wait_until(lambda: stack.event_count() >= answered, 3.0):
        breaches.append(f"{answered} answers left {stack.event_count()} lines in the access log")
    return breaches
