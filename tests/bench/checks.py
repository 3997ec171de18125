"""Before anything is timed: does each listener let the good requests pass and refuse the bad ones?

A filter that lets everything pass is fast.
"""

import json
import socket
import time
from pathlib import Path

import traffic
from listeners import Listener, SECURITY_FIELDS

LOG_SECONDS = 5


class CheckFailed(Exception):
    """A listener does not do what its numbers would be published for."""


def check(listener: Listener, port: int, good: list[bytes], log: Path) -> None:
    """Raises [`CheckFailed`] unless all answers are as expected."""
    for request in (good[0], good[-1]):
        status, head = _answer(port, request)
        _expect("a good request", 200, status)
        if listener.hardens:
            missing = [name for name in SECURITY_FIELDS if name not in head]
            if missing:
                raise CheckFailed(f"expected security fields on an answer, missing {', '.join(missing)}")
    if listener.log_format is not None:
        _check_log(log)
    for name, expected in listener.refuses.items():
        for request in _bad_requests(name):
            status, _ = _answer(port, request)
        _expect(name, expected, status)


def _bad_requests(name: str) -> list[bytes]:
    """What to send; the last one has to be refused."""
    token = traffic.token("r1", 0)
    match name:
        case "no token":
            return [traffic.request("GET", "/orders/4711")]
        case "forged token":
            # Another key's signature under the name of ours.
            return [traffic.get(traffic.token("stranger", 0, header={"kid": "r1"}))]
        case "two credentials":
            return [traffic.request("GET", "/orders/4711", ("authorization", f"Bearer {token}"), ("authorization", "Basic YTpi"))]
        case "second login":
            return [traffic.get(token, "/login")] * 2
        case "undocumented path":
            return [traffic.get(token, "/internal/debug")]
        case "wrong type":
            return [traffic.post({**traffic.ORDER, "express": "no"})]
        case _:
            raise ValueError(f"unknown bad request: {name}")


def _check_log(log: Path) -> None:
    """The lines come a moment after the answers, and each has to be an object that knows the request's status."""
    end = time.monotonic() + LOG_SECONDS
    while not log.read_bytes().endswith(b"\n"):
        if time.monotonic() > end:
            raise CheckFailed("no line in the access log")
        time.sleep(0.05)
    line = log.read_text().splitlines()[0]
    try:
        known = "200" in json.dumps(json.loads(line))
    except ValueError:
        known = False
    if not known:
        raise CheckFailed(f"expected a JSON object with the status in the access log, found `{line[:80]}`")


def _answer(port: int, request: bytes) -> tuple[int, str]:
    """Status and lower-case head of the answer."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                raise CheckFailed("the connection ended before the answer")
            received += more
    head = received.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    return int(head.split()[1]), head


def _expect(name: str, expected: int, found: int) -> None:
    if found != expected:
        raise CheckFailed(f"{name}: expected status {expected}, found {found}")
