"""The API behind the chain fails: the client gets a defined answer in bounded time."""

import time

import pytest
from conftest import Stacks

from harness import cases, client, idp
from harness.upstream import Answer


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("down", 503), (Answer(behaviour="close"), 503), (Answer(behaviour="hang"), 504)],
    ids=["down", "ends the connection", "hangs"],
)
def test_a_failing_upstream_is_answered(stacks: Stacks, fault: object, expected: int) -> None:
    stack = stacks("suite/all")
    events = stack.event_count()
    token = idp.mint({})
    request = client.http1("GET", b"/orders/7", [(b"authorization", f"Bearer {token}".encode())])
    if isinstance(fault, Answer):
        stack.upstream.answer = fault
    else:
        stack.upstream.stop()
    began = time.monotonic()
    try:
        [answer] = client.exchange1(stack.port, request, seconds=6.0)
    finally:
        stack.upstream.answer = Answer()
        if fault == "down":
            stack.upstream.start()
    assert answer.status == expected
    assert time.monotonic() - began < 5.0
    # Answers that Envoy makes by itself carry the security headers and an event too.
    assert answer.values("x-content-type-options") == ["nosniff"]
    [event] = stack.events(events, 1)
    assert cases.subset("audit", {"status": expected}, cases.json.loads(event["audit"])) == []
