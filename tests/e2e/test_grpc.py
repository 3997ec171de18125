"""Unary gRPC calls of a filter: each end that a call can have is one answer to the filter, and the request that waited for it
goes on once. `tests/modules/grpc-probe` makes a call for each request."""

import contextlib
import time
from typing import Iterator

import pytest

from harness import client, config
from harness.grpc import Answer, frame
from harness.stack import Stack

# A name that is a protobuf message too: given as it is, it would end Envoy.
CLUSTER = "users"


@pytest.fixture(scope="module", name="stack")
def running() -> Iterator[Stack]:
    """One Envoy for all calls."""
    setup = config.Setup([{"module": "test/grpc-probe"}], grpc_cluster=CLUSTER)
    with Stack(setup) as stack:
        yield stack


def outcome(stack: Stack, message: bytes = b"question", cluster: str = CLUSTER, timeout: str = "4000") -> str:
    """What came of the call of one request, which reached the upstream, once."""
    stack.upstream.requests.clear()
    fields = [(b"x-cluster", cluster.encode()), (b"x-message", message), (b"x-timeout", timeout.encode())]
    [answer] = client.exchange1(stack.port, client.http1("GET", b"/", fields))
    assert answer.status == 200
    [request] = stack.upstream.requests
    [found] = request.values("x-outcome")
    return found.decode()


def answers(stack: Stack) -> int:
    """How many answers the filter was given."""
    return stack.envoy.stat("wasmcustom.portcullis.grpc_probe.answers")


@contextlib.contextmanager
def one_answer(stack: Stack) -> Iterator[None]:
    """The filter gets one answer meanwhile, no more."""
    before = answers(stack)
    yield
    time.sleep(0.1)
    assert answers(stack) == before + 1
    assert not stack.envoy.traps()


EXHAUSTED = "gRPC status 8"
INTERNAL = "gRPC status 13"
UNAVAILABLE = "gRPC status 14"
TOO_LONG = "the message is too long"

# How a call ends, and what Envoy makes of it.
ENDS = {
    "a message": (Answer(b"yes"), 'message "yes"'),
    "an empty one": (Answer(b""), 'message ""'),
    "one at the filter's limit": (Answer(b"x" * 1024), 'message "' + "x" * 1024 + '"'),
    "one above it": (Answer(b"x" * 1025), TOO_LONG),
    "one at the limit of all filters": (Answer(b"x" * 65_536), TOO_LONG),
    "one above that": (Answer(b"x" * 65_537), EXHAUSTED),
    "much more": (Answer(b"x" * 500_000), EXHAUSTED),
    "4 GiB announced": (Answer(raw=b"\x00\xff\xff\xff\xffyes"), EXHAUSTED),
    "two messages": (Answer(raw=frame(b"one") + frame(b"two")), 'message "two"'),
    "a status behind a message": (Answer(b"yes", b"5", b"\xff"), "gRPC status 5"),
    "a status alone": (Answer(None, b"7"), "gRPC status 7"),
    "success without a message": (Answer(None, b"0"), INTERNAL),
    "a status that nobody knows": (Answer(None, b"4711"), "gRPC status 4294967295"),
    "a status that is no number": (Answer(None, b"x"), "gRPC status 4294967295"),
    "no status": (Answer(b"yes", behaviour="no_trailers"), "gRPC status 2"),
    "a compressed message": (Answer(raw=frame(b"yes", compressed=1)), INTERNAL),
    "a flag that nobody knows": (Answer(raw=frame(b"yes", compressed=2)), INTERNAL),
    "half a message": (Answer(raw=frame(b"yes")[:-1]), INTERNAL),
    "garbage": (Answer(raw=b"garbage"), INTERNAL),
    "another media type": (Answer(b"yes", headers=[(b":status", b"200"), (b"content-type", b"text/html")]), 'message "yes"'),
    "an HTTP error": (Answer(headers=[(b":status", b"503")]), UNAVAILABLE),
    "a stream that is reset": (Answer(behaviour="reset"), UNAVAILABLE),
    "a connection that ends": (Answer(behaviour="close"), UNAVAILABLE),
}


# covers: HOST-CALL-03, HOST-SDK-05
@pytest.mark.parametrize("end", ENDS)
def test_each_end_of_a_call_is_one_answer(stack: Stack, end: str) -> None:
    stack.grpc.answer, expected = ENDS[end]
    with one_answer(stack):
        assert outcome(stack) == expected


def test_the_server_gets_the_message_and_no_more(stack: Stack) -> None:
    stack.grpc.answer = Answer(b"yes")
    for message in (b"\xffquestion", b"", b"x" * 10_000):
        stack.grpc.calls.clear()
        assert outcome(stack, message) == 'message "yes"'
        [call] = stack.grpc.calls
        assert (call.path, call.message) == ("/test.v1.Oracle/Ask", message)
        # Nothing of the client's.
        assert {name for name, _ in call.headers if not name.startswith(b":")} == {
            b"te", b"grpc-timeout", b"content-type", b"x-envoy-internal", b"x-envoy-expected-rq-timeout-ms"}


# covers: HOST-SDK-11
def test_the_deadline_ends_a_call(stack: Stack) -> None:
    stack.grpc.answer = Answer(behaviour="hang")
    # Envoy counts from when its event loop woke up, which may be a moment before the request came: 299.85 ms were seen.
    for timeout, least in [("300", 0.295), ("0", 0.0)]:
        began = time.monotonic()
        with one_answer(stack):
            assert outcome(stack, timeout=timeout) == UNAVAILABLE
            assert least <= time.monotonic() - began < 2.0


def test_an_answer_behind_the_deadline_is_lost(stack: Stack) -> None:
    stack.grpc.answer = Answer(b"late", delay=0.3)
    with one_answer(stack):
        assert outcome(stack, timeout="100") == UNAVAILABLE
        time.sleep(0.4)


# covers: HOST-CALL-02
def test_a_cluster_that_does_not_exist_fails_at_once(stack: Stack) -> None:
    before = answers(stack)
    for cluster in ("unknown", "", "x" * 5000):
        assert outcome(stack, cluster=cluster) == "host call proxy_grpc_call failed with status 10"
    assert answers(stack) == before


def test_a_server_that_is_not_there_is_an_answer_at_once_and_comes_back(stack: Stack) -> None:
    stack.grpc.answer = Answer(b"yes")
    stack.grpc.stop()
    try:
        began = time.monotonic()
        with one_answer(stack):
            assert outcome(stack) == UNAVAILABLE
        assert time.monotonic() - began < 2.0
    finally:
        stack.grpc.start()
    assert outcome(stack) == 'message "yes"'
