"""Many requests in a short time, on a few connections that are kept alive."""

import contextlib
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Union

HEAD_END = b"\r\n\r\n"


@dataclass
class Outcome:
    """How many answers had which status, and the seconds from before the first request to after the last answer."""

    statuses: Counter[int]
    seconds: float


def flood(port: int, request: Union[bytes, Callable[[int], bytes]], count: int, connections: int = 16,
          seconds: float = 60.0) -> Outcome:
    """Sends `request` (whose answer has no body, so HEAD) `count` times, or what it makes of 1 to `count`: on each
    connection the next one when the answer is there. Not pipelined: Envoy ends connections that pipeline behind a local
    reply."""
    numbered = request if callable(request) else lambda _: request
    statuses: Counter[int] = Counter()
    began = time.monotonic()
    to_send = count
    with contextlib.ExitStack() as opened:
        selector = opened.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=seconds))
            selector.register(connection, selectors.EVENT_READ, (connection, bytearray()))
            connection.sendall(numbered(to_send))
            to_send -= 1
        while statuses.total() < count:
            ready = selector.select(timeout=seconds)
            if not ready:
                raise TimeoutError(f"no answer within {seconds} s, so far {statuses}")
            for key, _ in ready:
                connection, received = key.data
                more = connection.recv(65536)
                if not more:
                    raise ConnectionError(f"Envoy ended the connection, so far {statuses}")
                received += more
                if not received.endswith(HEAD_END):
                    continue
                statuses[int(received[9:12])] += 1
                received.clear()
                if to_send:
                    connection.sendall(numbered(to_send))
                    to_send -= 1
    return Outcome(statuses, time.monotonic() - began)
