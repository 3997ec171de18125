"""rate-limit admits exactly what the bucket holds, whichever worker sees the requests."""

import json
import math

import pytest

from harness import config
from harness.load import flood
from harness.stack import Stack

REQUEST = b"HEAD /orders HTTP/1.1\r\nhost: api.test\r\n\r\n"
COUNT = 20_000
BURST = 100
KEYS = 40_000


# covers: ENV-RL-01, ENV-RL-02, FIRST-FORTY-31
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


# covers: FIRST-FORTY-30, ENV-RL-03, HOST-SHR-01
def test_keys_that_clients_make_up_do_not_stay_in_the_proxys_memory() -> None:
    """Shared data has no delete: what 40,000 keys leave there would show in what the proxy has allocated."""
    setup = config.load("rate-limit/hourly")
    setup.filters[0]["config"] = {"slots": 1024, "limits": [{"id": "a", "key": [{"header": "x-api-key"}], "requests": 9, "per": "1h"}]}

    def request(number: int) -> bytes:
        return b"HEAD /orders HTTP/1.1\r\nhost: api.test\r\nx-api-key: %d-%s\r\n\r\n" % (number, b"k" * 200)

    with Stack(setup, concurrency=2) as stack:
        flood(stack.port, request, 5_000)  # fills the slots, and what Envoy keeps for itself
        before = allocated(stack)
        flood(stack.port, lambda number: request(number + 1_000_000), KEYS)
        grown = allocated(stack) - before
        # 40,000 keys of 200 bytes would be 8 MB, their hashes with a bucket each not much less.
        assert grown < 2_000_000, f"{grown} bytes for {KEYS} keys"
        assert not stack.envoy.traps()


def allocated(stack: Stack) -> int:
    """Bytes that Envoy has allocated, as its own allocator counts them."""
    return int(json.loads(stack.envoy.admin("/memory"))["allocated"])
