"""jwt-auth with keys from where the issuer's metadata say that they are."""

import time
from typing import Any

import pytest

from harness import client, config, idp
from harness.stack import Stack
from harness.upstream import wait_until

MOVED = "/moved/jwks"


def make(fault: str = "", **metadata: Any) -> Stack:
    """jwt-auth/discovery, with these metadata changed and this fault at the provider. Not running yet."""
    stack = Stack(config.load("jwt-auth/discovery"), idp_fault=fault)
    stack.idp.metadata = idp.metadata(**metadata)
    return stack


def until_accepted(stack: Stack) -> bool:
    """Whether a good token is accepted within a few seconds."""
    return wait_until(lambda: stack.judge(client.with_token(idp.mint({})))[0] == 200, 8.0)


def test_the_keys_are_where_the_metadata_of_a_provider_say() -> None:
    with make() as stack:
        assert stack.judge(client.with_token(idp.mint({}))) == (200, ""), "the first request waits for both calls"
        forged = idp.mint({"key": "stranger", "header": {"kid": "r1"}})
        assert stack.judge(client.with_token(forged)) == (401, "deny jwt.signature_invalid")
        # One worker has asked for both, once.
        assert (len(stack.idp.times(idp.METADATA)), len(stack.idp.times("/jwks"))) == (1, 1)


# covers: JWT-JWKS-08
def test_the_first_tokens_of_a_new_key_pass_also_when_the_keys_have_moved() -> None:
    with make() as stack:
        assert until_accepted(stack)
        time.sleep(1.1)  # min_refetch
        stack.idp.key_sets[MOVED] = ["r1", "r2"]
        stack.idp.metadata["jwks_uri"] = "https://issuer.test" + MOVED
        with stack.each_worker() as workers:
            for worker in workers:
                worker.send(client.with_token(idp.mint({"key": "r2"})))
            assert [worker.answer().status for worker in workers] == [200] * len(workers)
        assert [len(stack.idp.times(path)) for path in (idp.METADATA, MOVED, "/jwks")] == [2, 1, 1]


# covers: JWT-JWKS-11, OWASP-API-14
@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://other.test/"},
        {"issuer": "https://issuer.test"},
        {"jwks_uri": "https://elsewhere.test/jwks"},
        {"jwks_uri": "http://issuer.test/jwks"},
        {"jwks_uri": "https://issuer.test@169.254.169.254/jwks"},
        {"jwks_uri": "file:///jwks"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_metadata_of_another_issuer_or_place_are_not_followed(wrong: dict[str, Any]) -> None:
    with make(**wrong) as stack:
        for _ in range(3):
            assert stack.judge(client.with_token(idp.mint({}))) == (503, "deny jwt.keys_unavailable")
        assert stack.idp.times(idp.METADATA), "it was not asked, so nothing is shown"
        assert stack.idp.times("/jwks") == []
        assert stack.upstream.requests == []


# covers: JWT-JWKS-03, JWT-JWKS-15, OWASP-API-18
@pytest.mark.parametrize("fault", ["down", "error", "hang", "huge", "not_a_set", "redirect", "slow_head", "truncated"])
def test_without_metadata_no_token_passes_until_they_are_there(fault: str) -> None:
    with make(fault) as stack:
        for _ in range(2):
            assert stack.judge(client.with_token(idp.mint({}))) == (503, "deny jwt.keys_unavailable")
        assert stack.idp.times("/jwks") == [] and stack.upstream.requests == []
        stack.idp.fail("")
        assert until_accepted(stack)
        assert not stack.envoy.traps()


# covers: JWT-JWKS-03
def test_with_metadata_but_without_keys_no_token_passes_until_they_are_there() -> None:
    stack = make()
    keys = stack.idp.key_sets.pop("/jwks")
    with stack:
        assert stack.judge(client.with_token(idp.mint({}))) == (503, "deny jwt.keys_unavailable")
        assert stack.idp.times("/jwks"), "they were not asked for, so nothing is shown"
        stack.idp.key_sets["/jwks"] = keys
        assert until_accepted(stack)
