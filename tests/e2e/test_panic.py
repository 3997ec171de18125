"""What the example configurations do when a filter panics: the request is refused, and service comes back."""

import time

import pytest

from harness import client, config
from harness.stack import Stack
from harness.upstream import wait_until

PLAIN = client.http1("GET", b"/plain", [])
PANIC = client.http1("GET", b"/panic", [(b"x-panic", b"1")])
RECOVERY_SECONDS = 2.0


def status(stack: Stack, request: bytes) -> int:
    """The status of the answer; the time-out of the client bounds it."""
    return client.exchange1(stack.port, request, seconds=2.0)[0].status


# covers: ENV-LIFE-13, FIRST-FORTY-37
@pytest.mark.parametrize("policy", ["FAIL_CLOSED", "FAIL_RELOAD"])
@pytest.mark.parametrize("where", [b"head", b"body"])
def test_a_request_that_makes_a_filter_panic_is_answered_at_once(where: bytes, policy: str) -> None:
    setup = config.load("panic-probe")
    setup.filters[0]["failure_policy"] = policy
    with Stack(setup, concurrency=1) as stack:
        began = time.monotonic()
        assert status(stack, client.http1("POST", b"/panic", [(b"x-panic", where)], b"{}")) == 503
        assert time.monotonic() - began < 1.0
        assert stack.envoy.traps(), "the panic must be in the log"
        assert stack.upstream.requests == []

# covers: HOST-TRAP-01, ENV-LIFE-12, FIRST-FORTY-37
@pytest.mark.parametrize("panics", [1, 5])
def test_after_a_panic_service_comes_back_and_nothing_passes_unjudged(panics: int) -> None:
    with Stack(config.load("panic-probe"), concurrency=1) as stack:
        assert status(stack, PLAIN) == 200
        for _ in range(panics):
            assert status(stack, PANIC) == 503
        assert stack.envoy.traps(), "the panic must be in the log"
        began = time.monotonic()
        assert wait_until(lambda: status(stack, PLAIN) == 200, RECOVERY_SECONDS), "stayed down"
        assert time.monotonic() - began <= RECOVERY_SECONDS
        # Every request is either judged by a running filter, or refused.
        assert [request.target for request in stack.upstream.requests if request.target != b"/plain"] == []
        assert stack.envoy.is_running()
