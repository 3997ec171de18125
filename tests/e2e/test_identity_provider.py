"""jwt-auth with fetched keys: rotation, outages and hostile answers of the identity provider."""

import threading
import time
from typing import Any, Iterator, Mapping

import pytest

from harness import client, config, idp
from harness.stack import Stack
from harness.upstream import wait_until

# The fetch's time-out is 1 s; a request that waited for it and one more second of a busy machine.
MAX_SECONDS = 2.5


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A new Envoy each time: what it has fetched is part of the test."""
    with Stack(config.load("jwt-auth/remote")) as running:
        yield running


def ask(stack: Stack, token: str) -> client.Response:
    """One request with the token, answered within the time that a fetch may take."""
    began = time.monotonic()
    [answer] = client.exchange1(
        stack.port, client.http1("GET", b"/orders", [(b"authorization", b"Bearer " + token.encode())]), seconds=5.0)
    assert time.monotonic() - began < MAX_SECONDS
    return answer


def mint(**spec: Any) -> str:
    """A token; see `idp.mint`."""
    return idp.mint(spec)


def until_accepted(stack: Stack, spec: Mapping[str, Any], seconds: float = 5.0) -> bool:
    """Whether a token of this form is accepted within `seconds`."""
    return wait_until(lambda: ask(stack, idp.mint(spec)).status == 200, seconds)


def test_fetched_keys_of_both_providers_work(stack: Stack) -> None:
    for key in ("r1", "e1", "other-r1"):
        assert until_accepted(stack, {"key": key}), key


# covers: JWT-JWKS-03, JWT-JWKS-15, FIRST-FORTY-11, FIRST-FORTY-32
@pytest.mark.parametrize("fault", ["down", *sorted(idp.IdentityProvider.FAULTS)])
def test_without_keys_no_token_passes_and_nothing_hangs(fault: str) -> None:
    with Stack(config.load("jwt-auth/remote"), idp_fault=fault) as stack:
        for _ in range(3):
            answer = ask(stack, mint())
            assert answer.status == 503, answer
            assert b'"jwt.keys_unavailable"' in answer.body
        assert stack.upstream.requests == []
        # Without a token there is nothing to check with keys.
        [answer] = client.exchange1(stack.port, client.http1("GET", b"/orders", []))
        assert answer.status == 401
        stack.idp.fail("")
        assert until_accepted(stack, {}, seconds=10.0), "must recover when the identity provider does"
        assert not stack.envoy.traps()


# covers: JWT-JWKS-03, FIRST-FORTY-11
@pytest.mark.parametrize("fault", ["down", "hang", "no_keys", "truncated", "huge"])
def test_with_keys_an_outage_changes_nothing(stack: Stack, fault: str) -> None:
    assert until_accepted(stack, {})
    stack.idp.fail(fault)
    for _ in range(5):
        assert ask(stack, mint()).status == 200
    # A key id that is not known asks for a refetch, which fails: the good set stays.
    time.sleep(1.1)
    assert ask(stack, mint(key="r2")).status in (401, 503)
    assert ask(stack, mint()).status == 200


# covers: JWT-JWKS-08
def test_a_token_with_a_new_key_is_accepted_after_one_refetch(stack: Stack) -> None:
    assert until_accepted(stack, {})
    time.sleep(1.1)  # min_refetch
    stack.idp.key_sets["/jwks"] = ["r1", "r2", "e1"]
    before = stack.idp.fetches
    assert ask(stack, mint(key="r2")).status == 200
    assert stack.idp.fetches == before + 1
    assert ask(stack, mint(key="r1")).status == 200


def test_a_key_that_was_withdrawn_is_refused_after_a_refetch(stack: Stack) -> None:
    assert until_accepted(stack, {})
    stack.idp.key_sets["/jwks"] = ["r2"]
    time.sleep(1.1)
    assert ask(stack, mint(key="r2")).status == 200
    # Both workers must have let the old key go, one after the other.
    assert wait_until(lambda: all(ask(stack, mint()).status == 401 for _ in range(4)), 3.0)


# covers: FIRST-FORTY-14, JWT-JWKS-09
def test_a_verified_token_is_remembered_as_a_whole_and_with_its_keys(stack: Stack) -> None:
    token = mint()
    assert wait_until(lambda: all(ask(stack, token).status == 200 for _ in range(16)), 5.0), "twice on both workers"
    head, claims, signature = token.split(".")
    other_claims, other_signature = mint(claims={"sub": "admin"}).split(".")[1:]
    for name, forged in [
        ("another signature", f"{head}.{claims}.{other_signature}"),
        ("other claims", f"{head}.{other_claims}.{signature}"),
        ("a signature that ends otherwise", f"{head}.{claims}.{signature[:-4]}AAAA"),
        ("one that is longer", f"{token}AAAA"),
        ("another issuer's claims", mint(key="other-r1").rpartition(".")[0] + f".{signature}"),
    ]:
        for _ in range(4):
            assert ask(stack, forged).status == 401, name
    # The same token, after its key was withdrawn: a fetch that another token causes must be enough.
    time.sleep(1.1)  # min_refetch
    stack.idp.key_sets["/jwks"] = ["r2"]
    assert ask(stack, mint(key="r2")).status == 200
    assert wait_until(lambda: all(ask(stack, token).status == 401 for _ in range(4)), 3.0)


# covers: HOST-SHR-07, HOST-SHR-08
@pytest.mark.parametrize("fault", ["", "error"])
def test_every_worker_ticks_and_one_of_them_fetches(fault: str) -> None:
    setup = config.load("jwt-auth/remote")
    for provider in setup.filters[0]["config"]["providers"]:
        provider["jwks"]["remote"].update(refresh="1s", min_refetch="1s")
    with Stack(setup, concurrency=4, idp_fault=fault) as stack:
        assert wait_until(lambda: stack.idp.fetches >= 2, 5.0), "both providers, at start"
        before, began = stack.idp.fetches, time.monotonic()
        time.sleep(4.0)
        # Two providers, a period of 1 s that jitter shortens by a quarter at most; five plugins tick 10 times a second.
        most = 2 * (1 + (time.monotonic() - began) / 0.75)
        fetches = stack.idp.fetches - before
        assert 2 <= fetches <= most, f"expected 2 to {most:.0f} fetches, found {fetches}"


# covers: FIRST-FORTY-34
def test_the_shortest_time_out_is_one() -> None:
    setup = config.load("jwt-auth/remote")
    for provider in setup.filters[0]["config"]["providers"]:
        provider["jwks"]["remote"]["timeout"] = "10ms"
    with Stack(setup, idp_fault="hang") as stack:
        for _ in range(5):
            began = time.monotonic()
            assert ask(stack, mint()).status == 503
            assert time.monotonic() - began < 1.0
        assert stack.upstream.requests == []


# covers: JWT-JWKS-01, FIRST-FORTY-12
def test_a_flood_of_unknown_key_ids_fetches_at_most_once_in_min_refetch(stack: Stack) -> None:
    assert until_accepted(stack, {})
    before = stack.idp.fetches
    began = time.monotonic()
    for number in range(200):
        assert ask(stack, mint(header={"kid": f"unknown-{number}"})).status == 401
    seconds = time.monotonic() - began
    assert stack.idp.fetches - before <= 1 + seconds  # min_refetch is 1 s
    assert stack.upstream.requests[1:] == []


# covers: JWT-JWKS-02, FIRST-FORTY-12
def test_many_requests_before_the_first_keys_share_one_fetch() -> None:
    with Stack(config.load("jwt-auth/remote"), idp_fault="hang") as stack:
        token, statuses = mint(), []
        threads = [threading.Thread(target=lambda: statuses.append(ask(stack, token).status)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {503}
        # Two providers, a fetch of one second each, at most one at a time.
        assert stack.idp.fetches <= 2 * 4, stack.idp.fetches
        assert stack.upstream.requests == []


# covers: ENV-LIFE-07, HOST-CTX-05, JWT-JWKS-13
def test_an_answer_that_comes_when_the_client_is_gone_is_still_used() -> None:
    with Stack(config.load("jwt-auth/remote"), idp_fault="hang") as stack:
        request = client.http1("GET", b"/orders", [(b"authorization", b"Bearer " + mint().encode())])
        for _ in range(20):
            with pytest.raises(client.NoAnswer):
                client.exchange1(stack.port, request, seconds=0.02)
        stack.idp.fail("")
        assert until_accepted(stack, {})
        assert len(stack.upstream.requests) == 1, "requests of clients that are gone must not reach the upstream"
        assert not stack.envoy.traps()


# covers: JWT-JWKS-14
def test_one_provider_down_leaves_the_other(stack: Stack) -> None:
    stack.idp.key_sets["/jwks"] = []
    assert until_accepted(stack, {"key": "other-r1"})


# covers: JWT-ALG-22, HOST-CALL-04
def test_a_token_never_makes_the_filter_fetch_from_an_address_of_its_own(stack: Stack) -> None:
    assert until_accepted(stack, {})
    before = stack.idp.fetches
    hostile = {"jku": f"http://127.0.0.1:{stack.idp.port}/other/jwks", "x5u": f"http://127.0.0.1:{stack.idp.port}/x"}
    assert ask(stack, mint(key="stranger", header={**hostile, "kid": "r1"})).status == 401
    assert stack.idp.fetches == before
