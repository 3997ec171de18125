"""Streams that cost a client little and a proxy much: opened and reset at once, or with bodies that never end."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator

import hpack

import process
from harness import client, config, idp
from harness.stack import Stack
from harness.upstream import wait_until

from . import figures

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HEADERS, RST_STREAM, END_HEADERS_AND_STREAM, CANCEL = 1, 3, 5, 8
# Envoy ends a connection when 250 streams were reset early: half of `overload.premature_reset_total_stream_count`.
STREAMS_OF_A_CONNECTION = 240
SETTLE_SECONDS = 10.0
# How much memory may grow from the first half of the resets to the second.
GROWTH_MIB = 2.0
# Who waits for keys that do not come gets no answer for so long. One who is refused gets it at once.
WAITS_SECONDS = 1.0
# Envoy and the kernel keep something for each connection besides what was sent.
CONNECTION_BYTES = 64 << 10


# covers: ENV-PROTO-11, HOST-CTX-02
def rapid_resets(streams: int) -> list[str]:
    """HTTP/2 streams that are reset at once, on a path that waits for the issuer's keys. Returns broken promises."""
    with Stack(config.load("jwt-auth/slow-issuer"), idp_fault="hang") as stack:
        request = _good_request()
        sent, measured, began = 0, [], time.monotonic()
        print(f"{'streams reset':>14}{'a second':>10}{'RSS MiB':>9}{'wasm MiB':>10}{'active':>8}")
        while sent < streams:
            sent += _reset_streams(stack.port, request)
            if sent >= streams * (len(measured) + 1) / 8:
                wait_until(lambda: _active(stack) == 0, SETTLE_SECONDS)
                resident, linear = stack.envoy.resident_bytes(), process.linear_memories(stack.envoy.pid)[0]
                measured.append((resident / figures.MIB, linear / figures.MIB))
                print(f"{sent:>14,}{sent / (time.monotonic() - began):>10,.0f}"
                      f"{measured[-1][0]:>9.1f}{measured[-1][1]:>10.2f}{_active(stack):>8}", flush=True)
        problems = [f"a trap: {line}" for line in stack.envoy.traps()[:3]]
        if active := _active(stack):
            problems.append(f"{active} streams are still open after {sent:,} resets")
        opened = stack.envoy.stat("http.ingress.downstream_rq_total")
        if opened < streams * 0.95:
            problems.append(f"Envoy has seen {opened:,} streams of {sent:,}: the connections end too early for this drill")
        for place, name in enumerate(("resident", "linear")):
            grown = measured[-1][place] - measured[3][place]
            if grown > GROWTH_MIB:
                problems.append(f"{name} memory grew by {grown:.1f} MiB in the second half of the resets, bound {GROWTH_MIB}")
        # At most 1,000 requests wait at a worker. If those that were reset still counted, nobody could wait any more.
        # Between two fetches nobody waits either, for a few seconds.
        if not wait_until(lambda: _is_kept_waiting(stack.port), SETTLE_SECONDS):
            problems.append("after the resets a request for keys that are on their way is refused at once")
        if stack.upstream.requests:
            problems.append(f"{len(stack.upstream.requests)} requests reached the upstream unjudged")
        return problems


# covers: ENV-PROTO-12
def slow_bodies(streams: int, seconds: float, sent_first: int = 64 << 10) -> list[str]:
    """Bodies of which 64 KiB come at once and then a byte a second. Returns broken promises."""
    with Stack(config.load("soak")) as stack, contextlib.ExitStack() as opened:
        ready = client.exchange1(stack.port, _good_get())[0].status
        problems = [] if ready == 200 else [f"a good request is answered {ready} before the drill"]
        before, linear = stack.envoy.resident_bytes(), process.linear_memories(stack.envoy.pid)[0]
        bound = streams * (sent_first + CONNECTION_BYTES) + (4 << 20)
        fields = [*_authorization(), (b"content-type", b"application/json"), (b"content-length", b"200000")]
        head = client.http1("POST", b"/orders", fields)
        connections = []
        for _ in range(streams):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=5))
            connection.sendall(head + b'{"note":"' + b"a" * (sent_first - 9))
            connections.append(connection)
        print(f"{'seconds':>14}{'streams':>10}{'RSS MiB':>9}{'bound':>9}{'wasm MiB':>10}{'others ms':>11}")
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            for connection in connections:
                connection.sendall(b"a")
            asked = time.monotonic()
            status = client.exchange1(stack.port, _good_get())[0].status
            waited = time.monotonic() - asked
            if status != 200 or waited > WAITS_SECONDS:
                problems.append(f"another client is answered {status} after {waited:.1f} s")
            grown = stack.envoy.resident_bytes() - before
            if grown > bound:
                problems.append(f"{streams} streams took {grown >> 20} MiB, bound {bound >> 20}")
            now_linear = process.linear_memories(stack.envoy.pid)[0]
            if int(now) % 5 == 0:
                print(f"{now:>14.0f}{_active(stack):>10}{(before + grown) / figures.MIB:>9.1f}{(before + bound) / figures.MIB:>9.1f}"
                      f"{now_linear / figures.MIB:>10.2f}{waited * 1000:>11.1f}", flush=True)
            if problems:
                break
            time.sleep(1)
        if (active := _active(stack)) != streams:
            problems.append(f"{active} of {streams} slow streams were open at the end: the drill did not test what it should")
        if now_linear - linear > figures.MIB:
            problems.append(f"a VM's linear memory grew from {linear} to {now_linear} bytes for bodies that were not complete")
        opened.close()
        if not wait_until(lambda: _active(stack) == 0, SETTLE_SECONDS):
            problems.append(f"{_active(stack)} streams are still open after the clients have gone")
        if any(request.method == "POST" for request in stack.upstream.requests):
            problems.append("a request reached the upstream before its body was complete")
        return problems + [f"a trap: {line}" for line in stack.envoy.traps()[:3]]


def _is_kept_waiting(port: int) -> bool:
    try:
        client.exchange1(port, _good_get(), seconds=WAITS_SECONDS)
    except client.NoAnswer:
        return True
    return False


def _reset_streams(port: int, request: bytes) -> int:
    """One connection full of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        with contextlib.suppress(OSError):  # Envoy ends the connection when it has had enough
            connection.sendall(PREFACE + b"".join(_frames(request)))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    return STREAMS_OF_A_CONNECTION


def _frames(request: bytes) -> Iterator[bytes]:
    for stream in range(1, 2 * STREAMS_OF_A_CONNECTION, 2):
        yield _frame(HEADERS, END_HEADERS_AND_STREAM, stream, request)
        yield _frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _good_request() -> bytes:
    """The header block of a good request. Nothing of it goes into the table of the connection, so it is always the same."""
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"api.test"), (b":path", b"/orders/7"), *_authorization()]
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields], huffman=False)


def _good_get() -> bytes:
    return client.http1("GET", b"/orders/7", _authorization())


def _authorization() -> client.Fields:
    return [(b"authorization", b"Bearer " + idp.mint({"claims": {"exp": "${now+3000}"}}).encode())]


def _active(stack: Stack) -> int:
    return stack.envoy.stat("http.ingress.downstream_rq_active")
