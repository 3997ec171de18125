"""rate-limit admits exactly what the bucket holds, whichever worker sees the requests."""

import math

import pytest

from harness import config
from harness.load import flood
from harness.stack import Stack

REQUEST = b"HEAD /orders HTTP/1.1\r\nhost: api.test\r\n\r\n"
COUNT = 20_000
BURST = 100


# covers: ENV-RL-01, ENV-RL-02
def test_20000_requests_on_two_workers_are_admitted_100_times() -> None:
    with Stack(config.load("rate-limit/hourly"), concurrency=2) as stack:
        outcome = flood(stack.port, REQUEST, COUNT)
        assert outcome.statuses == {200: BURST, 429: COUNT - BURST}, outcome
        assert len(stack.upstream.requests) == BURST
        assert not stack.envoy.traps()


def test_a_bucket_that_refills_admits_its_burst_and_the_refill() -> None:
    with Stack(config.load("rate-limit/per-second"), concurrency=2) as stack:
        outcome = flood(stack.port, REQUEST, COUNT)
        # One token each 10 ms. The window is measured around the requests, so the bucket saw a little less of it:
        # the refill of the last moments may be missing, never more admitted.
        most = BURST + math.floor(outcome.seconds * 100)
        admitted = outcome.statuses[200]
        assert most - 5 <= admitted <= most, f"expected {most - 5} to {most}, found {admitted}: {outcome}"
        assert admitted + outcome.statuses[429] == COUNT
        assert len(stack.upstream.requests) == admitted


@pytest.mark.parametrize("concurrency", [1, 2])
def test_both_workers_take_part(concurrency: int) -> None:
    """Without this the test above would prove nothing: requests reach as many workers as there are."""
    with Stack(config.load("rate-limit/hourly"), concurrency) as stack:
        flood(stack.port, REQUEST, 400)
        busy = sum(stack.envoy.stat(f"listener.127.0.0.1_0.worker_{worker}.downstream_cx_total") > 0 for worker in range(2))
        assert busy == concurrency
