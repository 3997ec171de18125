"""jwt-auth asks an issuer about opaque tokens (RFC 7662)."""

import time
from typing import Any

import pytest

from harness import client, config, idp
from harness.stack import Stack
from harness.traffic import Kind, Traffic
from harness.upstream import wait_until

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
# configs/jwt-auth/introspection.yaml
CACHE_SECONDS, NEGATIVE_CACHE_SECONDS, TIMEOUT_SECONDS = 2, 1, 1
ASKED = "wasmcustom.portcullis.jwt_auth.introspected"


def make(**introspection: Any) -> Stack:
    """jwt-auth/introspection with this changed; its issuer knows `TOKEN`. Not running yet."""
    setup = config.load("jwt-auth/introspection")
    setup.filters[0]["config"]["providers"][0]["introspection"].update(introspection)
    stack = Stack(setup)
    stack.introspection.opaque[TOKEN] = idp.active()
    return stack


def questions(stack: Stack) -> int:
    """How often the issuer was asked."""
    return len(stack.introspection.times(idp.INTROSPECTION))


def status(stack: Stack, token: str = TOKEN) -> int:
    """The status of one request."""
    [answer] = client.exchange1(stack.port, client.with_token(token))
    return answer.status


def on_each_worker(stack: Stack, token: str, count: int = 1) -> list[int]:
    """The statuses of so many requests on each worker, one after the other."""
    statuses = []
    with stack.each_worker() as workers:
        for worker in workers * count:
            worker.send(client.with_token(token))
            statuses.append(worker.answer().status)
    return statuses


@pytest.fixture(scope="module")
def shared() -> Any:
    """A stack for tests that do not care what was asked before."""
    with make() as stack:
        yield stack


def test_an_active_token_passes_with_its_identity_and_another_one_does_not(shared: Stack) -> None:
    assert shared.judge(client.with_token(TOKEN)) == (200, "")
    assert shared.upstream.requests[-1].values("x-user-id") == [b"u1"]
    assert shared.judge(client.with_token(TOKEN, path="/write")) == (403, "deny jwt.insufficient_scope write")
    seen = len(shared.upstream.requests)
    assert shared.judge(client.with_token("unknown+/~.-_=")) == (401, "deny jwt.inactive")
    assert len(shared.upstream.requests) == seen


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ({"iss": idp.OTHER_ISSUER}, "deny jwt.issuer_unknown"),
        ({"aud": "api://billing"}, "deny jwt.audience_mismatch"),
        ({"aud": None}, "deny jwt.audience_mismatch"),
        ({"exp": "${now-1}"}, "deny jwt.expired"),
        ({"nbf": "${now+60}"}, "deny jwt.not_yet_valid"),
        ({"exp": "tomorrow"}, "deny jwt.claims_invalid"),
        ({"sub": "u1\r\nx-admin: 1"}, "deny jwt.claims_invalid"),
        ({"active": False}, "deny jwt.inactive"),
    ],
    ids=str,
)
def test_what_the_issuer_says_is_judged_as_in_a_signed_token(shared: Stack, claims: dict[str, Any], verdict: str) -> None:
    token = idp.b64(str(claims).encode())
    shared.introspection.opaque[token] = idp.active(**claims)
    seen = len(shared.upstream.requests)
    assert shared.judge(client.with_token(token)) == (401, verdict)
    assert len(shared.upstream.requests) == seen


# covers: JWT-POP-03
def test_what_the_issuer_says_of_a_key_binds_an_opaque_token() -> None:
    stack = make()
    stack.setup.filters[0]["config"]["binding"] = {"dpop": {}}
    key, url = "client-e1", "http://api.test/orders"
    stack.introspection.opaque[TOKEN] = idp.active(cnf={"jkt": idp.thumbprint(key)})
    with stack:
        assert stack.judge(client.with_token(TOKEN)) == (401, "deny jwt.dpop_scheme_mismatch")
        proof = (b"dpop", idp.proof(key, "GET", url, TOKEN).encode())
        # The issuer is asked before the proof is used up.
        assert stack.judge(client.with_token(TOKEN, proof, scheme="DPoP")) == (200, "")
        assert stack.judge(client.with_token(TOKEN, proof, scheme="DPoP")) == (401, "deny jwt.dpop_replayed")


# covers: OWASP-API-14
def test_tokens_that_are_signed_or_no_tokens_are_never_sent_to_the_issuer(shared: Stack) -> None:
    before = questions(shared)
    assert shared.judge(client.with_token(idp.mint({"key": "other-r1"}))) == (200, "")
    for token in (idp.mint({}), "a.b.c", "a.b.c.d.e", "", "a b", "t%C3%B6ken", "a,b", "k" * 4097):
        assert shared.judge(client.with_token(token))[0] in (400, 401), token
    assert questions(shared) == before


# covers: HOST-CALL-05
def test_each_worker_asks_once_in_the_time_that_an_answer_is_believed() -> None:
    with make() as stack:
        began = time.monotonic()
        assert set(on_each_worker(stack, TOKEN, 20)) == {200}
        assert set(on_each_worker(stack, "unknown", 20)) == {401}
        assert time.monotonic() - began < NEGATIVE_CACHE_SECONDS, "too slow: nothing is shown"
        assert questions(stack) == 2 * 2
        # Taken back: refused on all workers as soon as they ask again.
        stack.introspection.opaque.clear()
        time.sleep(CACHE_SECONDS)
        assert set(on_each_worker(stack, TOKEN)) == {401}
        assert questions(stack) == 3 * 2


def test_a_token_is_not_believed_beyond_its_end() -> None:
    with make(cache="1h") as stack:
        stack.introspection.opaque[TOKEN] = idp.active(exp="${now+2}")
        assert stack.judge(client.with_token(TOKEN)) == (200, "")
        time.sleep(2.1)
        assert stack.judge(client.with_token(TOKEN)) == (401, "deny jwt.expired")


# covers: HOST-CALL-05
def test_requests_with_the_same_token_wait_for_one_answer() -> None:
    with make() as stack:
        stack.introspection.delay = 0.5
        with Traffic(stack.port, [Kind("same", lambda: client.with_token(TOKEN), "200", clients=40)]) as running:
            assert wait_until(lambda: len(running.samples) >= 40, 3.0)
        assert {sample.outcome for sample in running.samples} == {"200"}
        assert questions(stack) == 2, "each worker has to ask"


# covers: OWASP-API-18, HOST-CALL-03
@pytest.mark.parametrize("fault", ["down", *sorted(idp.IdentityProvider.FAULTS)])
def test_without_an_answer_a_token_does_not_pass_and_nothing_hangs(fault: str) -> None:
    with make() as stack:
        stack.introspection.fail(fault)
        for _ in range(3):
            began = time.monotonic()
            [answer] = client.exchange1(stack.port, client.with_token(TOKEN))
            assert answer.status == 503 and b'"jwt.introspection_unavailable"' in answer.body, answer
            assert answer.values("retry-after") != []
            assert time.monotonic() - began < TIMEOUT_SECONDS + 1.5
        assert stack.upstream.requests == []
        # What is signed by somebody else has nothing to do with it.
        assert status(stack, idp.mint({"key": "other-r1"})) == 200
        stack.introspection.fail("")
        assert wait_until(lambda: status(stack) == 200, 5.0)
        assert not stack.envoy.traps()


# covers: HOST-CALL-06
def test_an_outage_leaves_remembered_tokens_alone_and_is_not_asked_into() -> None:
    with make(cache="1m") as stack:
        assert set(on_each_worker(stack, TOKEN)) == {200}
        before = stack.envoy.stat(ASKED)
        stack.introspection.fail("error")
        other = [Kind("remembered", lambda: client.with_token(TOKEN), "200", clients=2),
                 Kind("another", lambda: client.with_token("another"), "503 jwt.introspection_unavailable", clients=2)]
        with Traffic(stack.port, other, rate=50.0) as running:
            time.sleep(5.0)
        outcomes = {(sample.kind, sample.outcome) for sample in running.samples}
        assert outcomes == {(kind.name, kind.expected) for kind in other}
        # At once, then 1 s and 2 s after the last time, on each of two workers.
        assert stack.envoy.stat(ASKED) - before <= 2 * 3


# covers: ENV-LIFE-07
def test_an_answer_for_a_client_that_is_gone_serves_the_next_one() -> None:
    with make() as stack:
        stack.introspection.delay = 0.3
        for _ in range(10):
            with pytest.raises(client.NoAnswer):
                client.exchange1(stack.port, client.with_token(TOKEN), seconds=0.02)
        assert set(on_each_worker(stack, TOKEN)) == {200}
        assert len(stack.upstream.requests) == 2, "requests of clients that are gone must not reach the upstream"
        assert questions(stack) <= 2
        assert not stack.envoy.traps()
