"""jwt-auth with a list of revoked tokens that it fetches."""

import time

import pytest

from harness import client, config, idp
from harness.stack import Stack
from harness.upstream import wait_until

# configs/jwt-auth/revocation.yaml: `refresh`, and what a busy machine may take on top of it.
REFRESH_SECONDS, SLACK_SECONDS = 1.0, 1.0
MAX_STALE_SECONDS = 4.0
ID = "3a1f6c7e"


def make(fault: str = "") -> Stack:
    """jwt-auth/revocation. Not running yet."""
    return Stack(config.load("jwt-auth/revocation"), idp_fault=fault)


def bearer(jti: str) -> bytes:
    """A request with a good token of this id."""
    return client.with_token(idp.mint({"claims": {"jti": jti}}))


def until(stack: Stack, request: bytes, status: int, seconds: float) -> bool:
    """Whether all workers answer a request with this status within `seconds`."""
    with stack.each_worker() as workers:
        def answered() -> bool:
            for worker in workers:
                worker.send(request)
            return [worker.answer().status for worker in workers] == [status] * len(workers)
        return wait_until(answered, seconds)


# covers: JWT-CPU-05, JWT-CPU-03, OWASP-ASVS-13
def test_a_token_that_passed_is_refused_once_it_is_in_the_list_and_others_are_not() -> None:
    with make() as stack:
        revoked, other = bearer(ID), bearer("another")
        assert until(stack, revoked, 200, 3.0) and until(stack, other, 200, 3.0)
        stack.idp.revoked = [f"{number:x}" for number in range(1000)] + [ID]
        # The same bytes that every worker has verified and remembered.
        assert until(stack, revoked, 401, REFRESH_SECONDS + SLACK_SECONDS)
        assert until(stack, other, 200, 0.0)
        stack.idp.revoked = []
        assert until(stack, revoked, 200, REFRESH_SECONDS + SLACK_SECONDS)


def test_the_reason_is_told_to_the_operator_only() -> None:
    stack = make()
    stack.idp.revoked = [ID]
    with stack:
        # Without a list nothing passes: the first request may come before it.
        assert wait_until(lambda: stack.judge(bearer("another")) == (200, ""), 3.0)
        assert stack.judge(bearer(ID)) == (401, "deny jwt.revoked")
        assert stack.judge(client.with_token(idp.mint({}))) == (401, "deny jwt.not_revocable")
        [answer] = client.exchange1(stack.port, bearer(ID))
        assert b'"jwt.invalid_token"' in answer.body and b"revoked" not in answer.body


# covers: JWT-CPU-05, OWASP-API-18
@pytest.mark.parametrize("fault", ["down", "error", "hang", "huge", "no_keys", "truncated"])
def test_without_a_list_nothing_passes_until_there_is_one(fault: str) -> None:
    with make(fault) as stack:
        for _ in range(3):
            assert stack.judge(bearer("another")) == (503, "deny jwt.revocation_unavailable")
        assert stack.upstream.requests == []
        stack.idp.fail("")
        assert until(stack, bearer("another"), 200, 6.0)
        assert not stack.envoy.traps()


def test_in_an_outage_the_last_list_serves_until_it_is_stale() -> None:
    stack = make()
    stack.idp.revoked = [ID]
    with stack:
        assert until(stack, bearer("another"), 200, 3.0)
        stack.idp.fail("error")
        began = time.monotonic()
        while time.monotonic() < began + MAX_STALE_SECONDS - 2 * REFRESH_SECONDS:
            assert until(stack, bearer("another"), 200, 0.0) and until(stack, bearer(ID), 401, 0.0)
            time.sleep(0.1)
        assert until(stack, bearer("another"), 503, 2 * REFRESH_SECONDS + SLACK_SECONDS)
        stack.idp.fail("")
        assert until(stack, bearer("another"), 200, 6.0)
