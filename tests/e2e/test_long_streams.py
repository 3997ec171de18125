"""Streams that outlive the token that opened them."""

import time

from harness import client, config, idp
from harness.stack import Stack
from harness.upstream import Answer, wait_until

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
LIFETIME_SECONDS, OPEN_SECONDS = 2, 10


def without_leeway() -> config.Setup:
    """jwt-auth/upgrades, where a token ends with its `exp`, and routes that set streams no end."""
    setup = config.load("jwt-auth/upgrades")
    setup.filters[0]["config"]["providers"][0]["leeway"] = "0s"
    for route in setup.routes:
        route["route"]["timeout"] = "0s"
    return setup


def expired(stack: Stack, token: str) -> bool:
    """Whether all workers refuse a new request with this token because of its time."""
    with stack.each_worker() as workers:
        since = stack.event_count()
        for worker in workers:
            worker.send(client.with_token(token))
            assert worker.answer().status == 401
        return {event["verdict.jwt-auth"] for event in stack.events(since, len(workers))} == {"deny jwt.expired"}


# covers: JWT-TIM-10
def test_a_websocket_stays_open_when_its_token_expires() -> None:
    with Stack(without_leeway()) as stack, stack.each_worker() as workers:
        stack.upstream.answer = Answer(raw=SWITCHING, behaviour="echo")
        began, token = time.monotonic(), idp.mint({"claims": {"exp": f"${{now+{LIFETIME_SECONDS}}}"}})
        for worker in workers:
            worker.send(client.with_token(token, (b"connection", b"upgrade"), (b"upgrade", b"websocket")))
            assert worker.answer().status == 101
        numbers = 0
        while time.monotonic() < began + OPEN_SECONDS:
            for worker in workers:
                # A masked text frame (RFC 6455 section 5.2): to Envoy and to the filter these are just bytes.
                frame = b"\x81\x84\0\0\0\0%04d" % numbers
                worker.send(frame)
                assert worker.receive(len(frame)) == frame, f"after {time.monotonic() - began:.1f} s"
            numbers += 1
            time.sleep(0.2)
        stack.upstream.answer = Answer()
        assert expired(stack, token)
        assert len(stack.upstream.requests) == len(workers)


# covers: JWT-TIM-10
def test_a_body_goes_on_when_its_token_expires() -> None:
    with Stack(without_leeway()) as stack, stack.each_worker() as workers:
        token = idp.mint({"claims": {"exp": f"${{now+{LIFETIME_SECONDS}}}"}})
        for worker in workers:
            worker.send(client.with_token(token, (b"transfer-encoding", b"chunked"), method="POST") + b"5\r\nfirst\r\n")
        assert wait_until(lambda: len(stack.upstream.requests) == len(workers), 2.0), "before the token's end"
        time.sleep(LIFETIME_SECONDS + 1)
        assert expired(stack, token)
        for worker in workers:
            worker.send(b"6\r\n, last\r\n0\r\n\r\n")
            assert worker.answer().status == 200
        assert [sent.body for sent in stack.upstream.requests] == [b"first, last"] * len(workers)
