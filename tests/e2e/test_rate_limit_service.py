"""The rate-limit service of the tests, asked by Envoy's own filter: it speaks the protocol, counts exactly and fails as told."""

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from harness import cases, client
from harness.config import TYPE, Setup
from harness.load import flood
from harness.rate_limit_service import CLUSTER, Limit, RateLimitService
from harness.redis import Redis
from harness.stack import Stack
from harness.upstream import wait_until

REQUESTS, BURST = 400, 100
# A machine that is busy with other tests may keep a call waiting.
TIMEOUT_SECONDS = 10.0
FILTER = TYPE + "envoy.extensions.filters.http.ratelimit.v3.RateLimit"
LIMIT = Limit("shop", BURST, 3600, variables=["descriptors[0]['user']"], name="by user")
# What Envoy's filter answers when it is not told a verdict and refuses then.
NO_VERDICT = 500


def setup(timeout: float = TIMEOUT_SECONDS) -> Setup:
    """Envoy's filter, with one descriptor for each request; one to /many is as many hits as its field says."""
    filter_config: dict[str, Any] = {
        "@type": FILTER,
        "domain": "shop",
        "timeout": f"{timeout}s",
        "failure_mode_deny": True,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limit_service": {"transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}}},
    }
    rate_limit = {"actions": [{"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}]}
    many = {**rate_limit, "hits_addend": {"format": "%REQ(x-hits)%"}}
    return Setup(
        filters=[{"envoy": {"name": "ratelimit", "typed_config": filter_config}}],
        routes=[{"match": {"prefix": prefix}, "route": {"cluster": "upstream"},
                 "typed_per_filter_config": {"ratelimit": {"@type": FILTER + "PerRoute", "rate_limits": [limit]}}}
                for prefix, limit in [("/many", many), ("/", rate_limit)]],
    )


def request(user: str, path: str = "/orders", hits: int = 1) -> bytes:
    return f"HEAD {path} HTTP/1.1\r\nhost: api.test\r\nx-user: {user}\r\nx-hits: {hits}\r\n\r\n".encode()


def answer(stack: Stack, user: str, path: str = "/orders", hits: int = 1) -> client.Response:
    [found] = client.exchange1(stack.port, request(user, path, hits))
    return found


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> Optional[Redis]:
    """Where the service counts: none is its memory."""
    found: Optional[Redis] = request.getfixturevalue("redis") if request.param == "redis" else None
    return found


@pytest.fixture
def stack(storage: Optional[Redis]) -> Iterator[Stack]:
    with RateLimitService([LIMIT], storage) as service, Stack(setup(), rate_limit_service=service) as running:
        yield running


def test_a_limit_holds_exactly_for_each_value(stack: Stack) -> None:
    outcome = flood(stack.port, lambda number: request("even" if number % 2 == 0 else "odd"), REQUESTS)
    assert outcome.statuses == {200: 2 * BURST, 429: REQUESTS - 2 * BURST}, outcome
    service = stack.rate_limit_service
    assert service is not None and (service.calls, service.hits) == (REQUESTS, REQUESTS)
    last = service.last
    assert last is not None and last["domain"] == "shop"
    assert [entry["key"] for entry in last["descriptors"][0]["entries"]] == ["user"]


def test_what_is_left_is_told(stack: Stack) -> None:
    for left in (BURST - 1, BURST - 2):
        headers = dict(answer(stack, "anna").headers)
        assert headers["x-ratelimit-remaining"] == str(left)
        assert headers["x-ratelimit-limit"] == f'{BURST}, {BURST};w=3600;name="by user"'
        assert 3590 <= int(headers["x-ratelimit-reset"]) <= 3600


def test_hits_that_do_not_fit_are_not_counted(stack: Stack) -> None:
    answers = [answer(stack, "anna", "/many", hits) for hits in (BURST - 2, 3, 0, 2, 0, 1)]
    assert [found.status for found in answers] == [200, 429, 200, 200, 200, 429]
    assert [found.values("x-ratelimit-remaining") for found in answers] == [["2"], ["2"], ["2"], ["0"], ["0"], ["0"]]


def test_only_counters_in_redis_outlive_the_service(stack: Stack, storage: Optional[Redis]) -> None:
    flood(stack.port, request("anna"), BURST)
    service = stack.rate_limit_service
    assert service is not None
    service.kill()
    assert answer(stack, "anna").status == NO_VERDICT
    service.start()
    expected = 429 if storage else 200
    assert wait_until(lambda: answer(stack, "anna").status == expected, 5.0)


@pytest.mark.parametrize(
    ("fault", "delay", "status"),
    [
        ("ok", 0.0, 200),
        ("over_limit", 0.0, 429),
        ("unknown", 0.0, 200),
        ("cut", 0.0, NO_VERDICT),
        ("malformed", 0.0, NO_VERDICT),
        ("internal", 0.0, NO_VERDICT),
        ("unavailable", 0.0, NO_VERDICT),
        ("unauthenticated", 0.0, NO_VERDICT),
        ("", 0.2, 200),
    ],
)
@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_it_fails_as_told(stack: Stack, fault: str, delay: float, status: int) -> None:
    service = stack.rate_limit_service
    assert service is not None
    service.fail(fault, delay)
    assert answer(stack, "anna").status == status
    service.fail()
    assert answer(stack, "anna").status == 200
    assert service.calls == 2


def test_an_answer_that_comes_late_is_none() -> None:
    with_limits = dataclasses.replace(setup(timeout=0.5), limits=[dataclasses.asdict(LIMIT)])
    with Stack(with_limits) as running:
        step = {"rate_limit_service": {"delay": 1.0}, "request": {"headers": {"x-user": "anna"}}, "expect": {"status": NO_VERDICT}}
        assert cases.run(cases.Case(Path("x.yaml"), "", "x", [], [step]), running) == []


@pytest.mark.parametrize("storage", ["redis"], indirect=True)
def test_without_redis_there_is_no_verdict_until_it_is_back(stack: Stack, redis: Redis) -> None:
    assert answer(stack, "anna").status == 200
    redis.kill()
    assert answer(stack, "anna").status == NO_VERDICT
    redis.start()
    assert wait_until(lambda: answer(stack, "anna").status == 200, 10.0)


def test_services_with_the_same_redis_share_a_limit(redis: Redis) -> None:
    with contextlib.ExitStack() as running, ThreadPoolExecutor() as pool:
        services = [running.enter_context(RateLimitService([LIMIT], redis)) for _ in range(2)]
        stacks = [running.enter_context(Stack(setup(), rate_limit_service=service)) for service in services]
        floods = [pool.submit(flood, stack.port, request("anna"), REQUESTS) for stack in stacks]
        outcomes = [found.result().statuses for found in floods]
    assert outcomes[0] + outcomes[1] == {200: BURST, 429: 2 * REQUESTS - BURST}, outcomes
