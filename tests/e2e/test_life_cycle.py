"""What happens to a request while a filter waits, after it was refused, and between its callbacks."""

import time
from typing import Optional

import pytest

from harness import client, config, idp
from harness.load import flood
from harness.stack import Stack

# An HTTP/2 METADATA frame (type 0x4d, flag END_METADATA) on stream 1: none, and `a: b`.
EMPTY_METADATA = b"\x00\x00\x00\x4d\x04\x00\x00\x00\x01"
METADATA = b"\x00\x00\x05\x4d\x04\x00\x00\x00\x01\x00\x01a\x01b"
DELAY = 0.3


def remote_keys() -> config.Setup:
    """jwt-auth/routes, with the keys of its provider fetched."""
    setup = config.load("jwt-auth/routes")
    setup.filters[0]["config"]["providers"][0]["jwks"] = {
        "remote": {"url": "http://idp.test/jwks", "cluster": "idp", "timeout": "1s", "min_refetch": "1s"}}
    return setup


# covers: ENV-LIFE-02
@pytest.mark.parametrize(("tenant", "route"), [("acme", [b"acme"]), (None, [b"others"])])
def test_a_request_that_waited_for_keys_takes_the_route_of_its_claims(tenant: Optional[str], route: list[bytes]) -> None:
    """Writing the claim into a field makes Envoy choose the route again, here in the answer to a callout."""
    with Stack(remote_keys(), idp_delay=DELAY) as stack:
        token = idp.mint({"claims": {"tenant": tenant} if tenant else {}})
        headers = [(b"authorization", b"Bearer " + token.encode()), (b"x-tenant", b"evil"), (b"x-tenant", b"acme")]
        began = time.monotonic()
        [answer] = client.exchange1(stack.port, client.http1("POST", b"/orders", headers, b"{}"))
        assert time.monotonic() - began > DELAY / 2, "it did not wait, so nothing is proved"
        assert answer.status == 200, answer
        [request] = stack.upstream.requests
        assert request.values("x-route") == route
        assert request.values("x-tenant") == ([tenant.encode()] if tenant else [])
        assert request.body == b"{}"
        assert not stack.envoy.traps()


# covers: ENV-PROTO-02
def test_bytes_behind_an_upgrade_wait_with_it() -> None:
    setup = remote_keys()
    setup.options["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    with Stack(setup, idp_fault="hang") as stack:
        token = idp.mint({}).encode()
        upgrade = [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"authorization", b"Bearer " + token)]
        [answer] = client.exchange1(stack.port, client.http1("GET", b"/socket", upgrade) + b"\x81\x05hello")
        assert answer.status == 503, answer
        assert stack.upstream.requests == []
        assert not stack.envoy.traps()


# A second answer to one request, or none, would leave the connection out of step: `flood` then stops or miscounts.
# covers: FIRST-FORTY-33, ENV-LIFE-04
def test_a_request_that_several_filters_would_refuse_is_answered_once() -> None:
    with Stack(config.load("suite/all")) as stack:
        # No token, an undocumented path, and after three of them no token in the bucket.
        request = b"HEAD /nowhere HTTP/1.1\r\nhost: api.test\r\nx-request-id: a\r\n\r\n"
        assert flood(stack.port, request, 200, connections=2, seconds=1.0).statuses == {401: 200}
        assert stack.upstream.requests == []
        assert not stack.envoy.traps()


# covers: FIRST-FORTY-32, FIRST-FORTY-33, ENV-LIFE-03
@pytest.mark.parametrize("fault", ["down", "close", "error"])
def test_a_refusal_after_a_failed_callout_is_one_answer_and_the_connection_goes_on(fault: str) -> None:
    with Stack(remote_keys(), idp_fault=fault) as stack:
        request = f"HEAD /orders HTTP/1.1\r\nhost: api.test\r\nauthorization: Bearer {idp.mint({})}\r\n\r\n".encode()
        assert flood(stack.port, request, 100, connections=2, seconds=2.0).statuses == {503: 100}
        assert stack.upstream.requests == []
        assert not stack.envoy.traps()


# covers: ENV-PROTO-07
@pytest.mark.parametrize("frames", [EMPTY_METADATA, METADATA, METADATA + EMPTY_METADATA], ids=["empty", "a", "both"])
@pytest.mark.parametrize(("quantity", "status"), [(b"2", 200), (b'"no"', 400)])
def test_metadata_does_not_come_between_a_request_and_its_verdict(frames: bytes, quantity: bytes, status: int) -> None:
    setup = config.load("schema-guard/orders")
    setup.options["http2_protocol_options"] = {"allow_metadata": True}
    with Stack(setup, concurrency=1) as stack:
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/orders"), (b":authority", b"api.test"),
                (b"content-type", b"application/json")]
        body = b'{"item":"tea","quantity":' + quantity + b"}"
        answer = client.exchange2(stack.port, head, body, frames=frames)
        assert answer.status == status, answer
        assert len(stack.upstream.requests) == (status == 200)
        assert not stack.envoy.traps()
