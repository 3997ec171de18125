"""jwt-auth while its identity provider is flooded, down, or changes its keys, with two workers and traffic that goes on."""

import itertools
import time

import pytest

from harness import client, config, idp
from harness.load import flood
from harness.stack import Stack
from harness.traffic import Kind, Traffic
from harness.upstream import wait_until

# Times at the provider are those of its threads, which a busy machine may hold up.
SLACK_SECONDS = 0.1
UNKNOWN_KEYS, ONE_GOOD_IN = 10_000, 101
REFRESH_SECONDS, OUTAGE_SECONDS = 1, 6


def setup(**times: str) -> config.Setup:
    """jwt-auth/remote with other times and one provider."""
    changed = config.load("jwt-auth/remote")
    providers = changed.filters[0]["config"]["providers"]
    del providers[1:]
    providers[0]["jwks"]["remote"].update(times)
    return changed


def until_accepted(stack: Stack) -> None:
    """Waits until all workers have keys."""
    with stack.each_worker() as workers:
        for worker in workers:
            worker.send(client.with_token(idp.mint({})))
            assert worker.answer().status == 200


# covers: JWT-JWKS-01, FIRST-FORTY-12
def test_10000_unknown_key_ids_are_one_fetch_a_period_and_good_tokens_pass() -> None:
    period = 1
    with Stack(setup(min_refetch=f"{period}s")) as stack:
        until_accepted(stack)
        time.sleep(period + SLACK_SECONDS)  # so that the first of them may cause a fetch
        good = client.with_token(idp.mint({}), method="HEAD")

        def numbered(number: int) -> bytes:
            if number % ONE_GOOD_IN == 0:
                return good
            unknown = idp.mint({"header": {"kid": f"unknown-{number}"}, "signature": "zero"})
            return client.with_token(unknown, method="HEAD")

        good_ones = UNKNOWN_KEYS // (ONE_GOOD_IN - 1)
        outcome = flood(stack.port, numbered, UNKNOWN_KEYS + good_ones)
        assert outcome.statuses == {401: UNKNOWN_KEYS, 200: good_ones}
        fetched = stack.idp.times("/jwks")
        assert 2 <= len(fetched) <= 2 + outcome.seconds / period, f"{len(fetched)} fetches in {outcome.seconds:.1f} s"
        gaps = [later - earlier for earlier, later in itertools.pairwise(fetched)]
        assert all(gap > period - SLACK_SECONDS for gap in gaps), gaps
        assert not stack.envoy.traps()


# covers: JWT-JWKS-03, FIRST-FORTY-11, HOST-CALL-06
@pytest.mark.parametrize("fault", ["down", "hang", "error"])
def test_an_outage_longer_than_the_refresh_loses_no_request(fault: str) -> None:
    with Stack(setup(refresh=f"{REFRESH_SECONDS}s")) as stack:
        until_accepted(stack)
        # One token that is remembered, and ones that are verified anew each time.
        remembered = client.with_token(idp.mint({}))
        traffic = [
            Kind("remembered", lambda: remembered, "200", clients=4),
            Kind("new", lambda: client.with_token(idp.mint({"key": "e1"})), "200", clients=4),
        ]
        with Traffic(stack.port, traffic) as running:
            failed = stack.envoy.stat("wasmcustom.portcullis.jwt_auth.jwks_failed")
            stack.idp.fail(fault)
            time.sleep(OUTAGE_SECONDS)
            failures = stack.envoy.stat("wasmcustom.portcullis.jwt_auth.jwks_failed") - failed
            stack.idp.fail("")
            fetched = stack.idp.fetches
            assert wait_until(lambda: stack.idp.fetches > fetched, OUTAGE_SECONDS), "must ask again"
        outcomes = {(sample.kind, sample.outcome) for sample in running.samples}
        assert outcomes == {("remembered", "200"), ("new", "200")}
        assert len(running.samples) > 8 * OUTAGE_SECONDS
        # Attempts come once a period at most, however many requests there are.
        assert 2 <= failures <= OUTAGE_SECONDS / REFRESH_SECONDS + 1
        assert not stack.envoy.traps()


# covers: JWT-JWKS-08
def test_first_tokens_of_a_new_key_pass_at_once_on_both_workers_by_one_fetch() -> None:
    with Stack(setup()) as stack:
        until_accepted(stack)
        time.sleep(1.0 + SLACK_SECONDS)  # min_refetch
        # So slow that the second worker's token comes while the first one's fetch is in flight.
        stack.idp.key_sets["/jwks"], stack.idp.delay = ["r1", "r2"], 0.3
        fetched = stack.idp.fetches
        with stack.each_worker() as workers:
            for worker in workers:
                worker.send(client.with_token(idp.mint({"key": "r2"})))
            assert [worker.answer().status for worker in workers] == [200] * len(workers)
        assert stack.idp.fetches == fetched + 1
