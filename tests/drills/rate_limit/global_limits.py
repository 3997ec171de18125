"""Global limits: two Envoys, a rate-limit service for each, and one Redis in which both count."""

import contextlib
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from harness import config
from harness.load import Outcome, flood
from harness.rate_limit_service import CLUSTER, Limit, RateLimitService
from harness.redis import Redis
from harness.stack import Stack
from harness.upstream import wait_until
from connection import Connection

from .limit import ANSWER, WORKERS

ENVOYS = 2
LEASE = 20
TIMEOUT_SECONDS = 0.1
RECOVERY_SECONDS = 5.0
# A request waits for the service at most once; the rest is for a machine that does something else.
HANG_SECONDS = TIMEOUT_SECONDS + 1.0
LOCAL_BURST = 50
FIELD = "x-key"


def setup() -> config.Setup:
    """One limit for each value of a field, by the service; while that is down a burst of 50 in each Envoy, so slow to refill
    that time does not matter."""
    limit = {"id": "shared", "key": [{"header": FIELD}], "requests": LOCAL_BURST, "per": "1h", "global": {"lease": LEASE, "lease_for": "1s"}}
    service = {"cluster": CLUSTER, "timeout": f"{TIMEOUT_SECONDS * 1000:.0f}ms"}
    module = {"module": "rate-limit", "config": {"headers": "off", "rate_limit_service": service, "limits": [limit]}}
    return config.Setup(filters=[module], routes=ANSWER, options={"access_log": []})


def drill(requests: int, seed: int) -> list[str]:
    """Returns broken promises. `seed` is not used: no order is chosen."""
    del seed
    most = requests // 4
    limit = Limit("portcullis", most, 3600, variables=[f"descriptors[0]['{FIELD}']"])
    with contextlib.ExitStack() as running:
        redis = running.enter_context(Redis())
        services = [running.enter_context(RateLimitService([limit], redis)) for _ in range(ENVOYS)]
        stacks = [running.enter_context(Stack(setup(), WORKERS, rate_limit_service=service)) for service in services]
        problems = _together(stacks, services, requests // ENVOYS, most)
        problems += _cut_off(stacks, services)
        problems += [f"a trap: {trap}" for stack in stacks for trap in stack.envoy.traps()[:1]]
    return problems


# covers: ENV-RL-05, HOST-CALL-06
def _together(stacks: list[Stack], services: list[RateLimitService], requests: int, most: int) -> list[str]:
    """Both Envoys at once until nothing is left."""
    outcomes = _flood(stacks, requests)
    admitted = sum(outcome.statuses[200] for outcome in outcomes)
    calls = sum(service.calls for service in services)
    # A worker whose question for a whole lease is refused asks for single tokens; what others hold ends unused.
    least = most - slack()
    sent = requests * ENVOYS
    print(f"{'two Envoys, one limit':<34}{sent:>10,} requests {admitted:>8,} admitted, least {least:,}, most {most:,}; "
          f"{calls:,} calls, {calls / max(1, admitted):.3f} for each that was admitted", flush=True)
    problems = []
    if admitted > most:
        problems.append(f"{admitted:,} admitted by two Envoys together, bound {most:,}")
    if admitted < least:
        problems.append(f"{admitted:,} admitted, at least {least:,} expected")
    if others := sum((outcome.statuses for outcome in outcomes), Counter()).keys() - {200, 429, 503}:
        problems.append(f"answers with status {sorted(others)}")
    if 0 in (outcome.statuses[200] for outcome in outcomes):
        problems.append("one Envoy admitted nothing: the drill did not test what it should")
    return problems


def slack() -> int:
    """How many tokens may end unused: a lease for each worker, which had it when the traffic ended or took it in another's
    place."""
    return ENVOYS * WORKERS * LEASE


def _cut_off(stacks: list[Stack], services: list[RateLimitService]) -> list[str]:
    """The service of one Envoy is killed, and comes back."""
    cut, (stack, other) = services[0], stacks
    cut.kill()
    with Watch(stack.port) as watch:
        outcome = flood(stack.port, _request("HEAD", "cut"), 2_000)
        elsewhere = flood(other.port, _request("HEAD", "cut"), 200)
        admitted = outcome.statuses[200] + watch.statuses[200]
        cut.start()
        cut_back = time.monotonic()
        recovered = wait_until(lambda: cut.calls > 0, RECOVERY_SECONDS * 3)
        recovery = time.monotonic() - cut_back
    longest = max(watch.seconds)
    print(f"{'one cut off from its service':<34}{2_000:>10,} requests {admitted:>8,} admitted, most {LOCAL_BURST}; "
          f"longest answer {longest:.2f} s; asked again after {recovery:.1f} s; the other Envoy admitted {elsewhere.statuses[200]}", flush=True)
    problems = []
    if admitted > LOCAL_BURST or outcome.statuses[200] == 0:
        problems.append(f"{admitted} admitted while the service was down, at most {LOCAL_BURST} expected")
    if longest > HANG_SECONDS:
        problems.append(f"a request waited {longest:.2f} s, promised {HANG_SECONDS:.2f}")
    if not recovered or recovery > RECOVERY_SECONDS:
        problems.append(f"the service was asked again after {recovery:.1f} s, promised {RECOVERY_SECONDS:.0f}")
    if elsewhere.statuses != {200: 200}:
        problems.append(f"the other Envoy, whose service works, answered {elsewhere.statuses}")
    return problems


def _flood(stacks: list[Stack], requests: int) -> list[Outcome]:
    with ThreadPoolExecutor() as pool:
        floods = [pool.submit(flood, stack.port, _request("HEAD", "together"), requests) for stack in stacks]
        return [found.result() for found in floods]


def _request(method: str, key: str) -> bytes:
    return f"{method} / HTTP/1.1\r\nhost: api.test\r\n{FIELD}: {key}\r\n\r\n".encode()


@dataclass
class Watch:
    """Sends a request ten times a second while it is used as a context manager, and keeps how long each answer took."""

    port: int
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __enter__(self) -> "Watch":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if not self.seconds:
            raise RuntimeError("a request was not answered")

    def _run(self) -> None:
        connection = Connection(self.port)
        while not self._end.wait(0.1):
            began = time.monotonic()
            connection.send(_request("GET", "cut"))
            while (status := connection.receive()) is None:
                pass
            self.seconds.append(time.monotonic() - began)
            self.statuses[status] += 1
