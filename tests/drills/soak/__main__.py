"""Memory and time under hostile traffic: `make soak`. docs/reliability.md says what is promised and what was measured."""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from connection import ANSWER_SECONDS
from harness import config
from harness.envoy import Envoy, StartError
from harness.idp import IdentityProvider
from harness.project import NotBuilt
from harness.rate_limit_service import CLUSTER, Limit, RateLimitService
from harness.upstream import wait_until

from . import figures, streams, traffic
from .generator import Generator, Tally
from .growth import growth

CHECKPOINTS = 40
WARM_UP = 0.3
# The budget of design and documentation for a worker's VM.
LINEAR_MIB = 16.0
# Growth after the warm-up: what a leak of 8 bytes a request would make of 1,000,000 requests is over it.
GROWTH_SHARE, GROWTH_MIB = 0.01, 2.0
# Generator, Envoy and its upstream share the machine, so this is not the latency of a proxy (10 ms is the goal on a
# machine of its own): with the processor taken away now and then, it only shows that no input holds a worker up.
SLOWEST_MS = 1000.0
# Far less than any machine that can build the modules does.
FEWEST_A_SECOND = 500
WORKERS = 2
# `cache` of introspection in configs/soak.yaml.
BELIEVED_SECONDS = 10
# `lease` in configs/soak.yaml is 100.
CALLS_SHARE = 0.03
RESETS = 100_000
SLOW_STREAMS, SLOW_SECONDS = 500, 30


# covers: HOST-CTX-01, HOST-CTX-02, HOST-SDK-13, HOST-OBS-01, HOST-TRAP-10
def main() -> int:
    """Exit status 1 when a promise is broken."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    problems: list[str] = []
    try:
        for title, drill in (
            (f"{options.requests:,} requests through all filters", lambda: _soak(options.requests)),
            (f"{RESETS:,} streams opened and reset", lambda: streams.rapid_resets(RESETS)),
            (f"{SLOW_STREAMS} bodies that do not end, for {SLOW_SECONDS} s", lambda: streams.slow_bodies(SLOW_STREAMS, SLOW_SECONDS)),
        ):
            print(f"\n{title}", flush=True)
            broken = drill()
            print("\n".join(f"BROKEN: {problem}" for problem in broken) or "kept")
            problems += broken
    except (NotBuilt, StartError, RuntimeError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 1 if problems else 0


def _soak(requests: int) -> list[str]:
    """Returns broken promises."""
    tally, measured, problems = _run(requests)
    _print_answers(tally)
    return problems + _judge(tally, measured, requests)


def _run(requests: int) -> tuple[Tally, list[figures.Figures], list[str]]:
    print("making keys, tokens and requests", flush=True)
    kinds = traffic.kinds(seed=1)
    problems: list[str] = []
    with ExitStack() as running:
        idp = running.enter_context(IdentityProvider())
        traffic.tell_issuer(idp)
        upstream = running.enter_context(Envoy(_upstream(), concurrency=1))
        setup = config.load("soak")
        service = running.enter_context(RateLimitService([Limit(**limit) for limit in setup.limits]))
        ports = {"upstream": upstream.port(), "idp": idp.port, "introspection": idp.port, CLUSTER: service.port}
        # What would be written is an event of about 1 KiB for each request; it is made, and thrown away.
        bootstrap = config.bootstrap(setup, ports, "/dev/null")
        # How old `server.memory_allocated` may be.
        envoy = running.enter_context(Envoy({**bootstrap, "stats_flush_interval": "0.5s"}, concurrency=WORKERS))
        tally, measured = Tally(), []
        began = time.monotonic()
        _print_head()
        for report in Generator(envoy.port(), kinds, requests, requests / FEWEST_A_SECOND + 60).reports():
            tally.add(report)
            if tally.requests >= requests * (len(measured) + 1) / CHECKPOINTS:
                measured.append(figures.take(envoy, tally.requests))
                _print_line(measured[-1], tally, time.monotonic() - began)
        if not envoy.is_running():
            problems.append("Envoy ended")
        problems += [f"a trap: {line}" for line in envoy.traps()[:3]]
        # `min_refetch` in configs/soak.yaml is a second, whatever key ids are asked for.
        if idp.fetches > (allowed := time.monotonic() - began + 10):
            problems.append(f"the identity provider was asked {idp.fetches} times, expected {allowed:.0f} at most")
        # An answer is believed for `cache`, by each worker; every other token is in one request only.
        allowed = WORKERS * ((time.monotonic() - began) // BELIEVED_SECONDS + 1)
        for token, asked in Counter(idp.questions).most_common():
            if asked > (most := allowed if token in idp.opaque else 1):
                problems.append(f"{asked} questions about {token[:30]!r}, expected {most:.0f} at most")
                break
        # Every hundredth request asks; where two workers ask at once, or a second ends a lease, a few more.
        if service.calls > (most := requests * CALLS_SHARE):
            problems.append(f"the rate-limit service was asked {service.calls:,} times, expected {most:,.0f} at most")
        reached = upstream.stat("http.ingress.downstream_rq_total")
        if reached != tally.passed():
            problems.append(f"{tally.passed():,} requests were answered by the upstream, but {reached:,} reached it")
        if not wait_until(lambda: envoy.stat("http.ingress.downstream_rq_active") == 0, ANSWER_SECONDS):
            problems.append(f"{envoy.stat('http.ingress.downstream_rq_active')} streams are still open after the last answer")
    return tally, measured, problems


def _upstream() -> dict:
    """An Envoy that answers everything by itself, and counts."""
    # Of these fields each is mended or removed.
    fields = [("set-cookie", "sid=1"), ("set-cookie", "a=1; Domain=.com"), ("location", "//evil.test"), ("server", "x"),
              ("access-control-allow-origin", "*"), ("cache-control", "public")]
    answer = {
        "match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
        "response_headers_to_add": [{"header": {"key": name, "value": value}} for name, value in fields],
    }
    return config.bootstrap(config.Setup(filters=[], connection_manager="bare", routes=[answer]), {}, "/dev/null")


def _judge(tally: Tally, measured: Sequence[figures.Figures], requests: int) -> list[str]:
    problems = []
    for kind, status, request in tally.wrong:
        problems.append(f"`{kind}` got {status or 'no answer'}: {request!r}")
    if (slow := tally.latency_ms(0.9999)) > SLOWEST_MS:
        problems.append(f"99.99 % of the answers within {slow:.0f} ms, expected {SLOWEST_MS:.0f}")
    if tally.requests < requests:
        return problems + [f"time was over after {tally.requests:,} of {requests:,} requests"]
    warm = measured[int(len(measured) * WARM_UP):]
    print(f"\n{'after warm-up':<24}{'first':>10}{'last':>10}{'growth':>10}{'95 %':>10}{'bound':>10}")
    for name in ("resident", "allocated", "linear"):
        points = [getattr(point, name) for point in warm]
        bound = max(GROWTH_MIB, GROWTH_SHARE * points[0])
        found = growth(points)
        interval = f"±{found.interval:.2f}"
        print(f"{name + ', MiB':<24}{points[0]:>10.2f}{points[-1]:>10.2f}{found.rise:>+10.2f}{interval:>10}{bound:>10.2f}")
        if found.exceeds(bound):
            problems.append(f"{name} memory grows: {found.rise:+.2f} MiB {interval} after the warm-up, bound {bound:.2f}")
    if (largest := max(point.linear for point in measured)) > LINEAR_MIB:
        problems.append(f"a VM's linear memory is {largest:.1f} MiB, budget {LINEAR_MIB:.0f}")
    for name in ("vms", "vms_created", "reloads", "statistics"):
        values = {getattr(point, name) for point in warm}
        print(f"{name.replace('_', ' '):<24}{getattr(warm[0], name):>10}{getattr(warm[-1], name):>10}{'':>20}{'constant':>10}")
        if len(values) > 1:
            problems.append(f"{name} is not constant: {sorted(values)}")
    return problems


def _print_head() -> None:
    print(f"{'requests':>10}{'a second':>10}{'RSS MiB':>9}{'heap MiB':>10}{'wasm MiB':>10}{'VMs':>5}{'stats':>7}{'files':>7}"
          f"{'p99 ms':>8}{'p99.99':>8}")


def _print_line(point: figures.Figures, tally: Tally, seconds: float) -> None:
    print(f"{point.requests:>10,}{point.requests / seconds:>10,.0f}{point.resident:>9.1f}{point.allocated:>10.2f}"
          f"{point.linear:>10.2f}{point.vms:>5}{point.statistics:>7}{point.descriptors:>7}"
          f"{tally.latency_ms(0.99):>8.1f}{tally.latency_ms(0.9999):>8.1f}", flush=True)


def _print_answers(tally: Tally) -> None:
    print(f"\n{'kind of request':<36}answers by status")
    for name in dict.fromkeys(name for name, _ in sorted(tally.by_kind)):
        statuses = sorted((status, count) for (kind, status), count in tally.by_kind.items() if kind == name)
        print(f"{name:<36}" + "  ".join(f"{status}: {count:,}" for status, count in statuses))
    print(f"{'reset by the client':<36}{tally.resets:,}")
    print(f"latency in ms: p50 {tally.latency_ms(0.5):.1f}, p99 {tally.latency_ms(0.99):.1f}, p99.99 {tally.latency_ms(0.9999):.1f}, "
          f"slowest {tally.latency_ms(1):.1f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many in all; default 1000000")
    options = parser.parse_args()
    if options.requests < 50_000:
        parser.error("fewer than 50000 requests say nothing about memory")
    return options


if __name__ == "__main__":
    sys.exit(main())
