"""Sends requests for many keys from two processes, and keeps what each key was answered."""

import math
import multiprocessing
import selectors
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from connection import ANSWER_SECONDS, Connection

from .limit import request

PROCESSES = 2
# In all. Both processes send the same keys in the same order, so that those meet at two workers.
CONNECTIONS = 8


@dataclass
class Window:
    """When a key was used, by the system's clock, which is Envoy's too.

    first_refused  when the first request that found no token was answered; infinite if all found one
    last_refused   when the last of them was sent
    """

    first_sent: float
    last_answer: float
    first_refused: float
    last_refused: float
    admitted: int

    def add(self, other: "Window") -> None:
        """Takes in what another process saw of the key."""
        self.first_sent = min(self.first_sent, other.first_sent)
        self.last_answer = max(self.last_answer, other.last_answer)
        self.first_refused = min(self.first_refused, other.first_refused)
        self.last_refused = max(self.last_refused, other.last_refused)
        self.admitted += other.admitted


@dataclass
class Answers:
    """How often each status was answered, and what each key saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    windows: dict[int, Window] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, key: int, window: Window) -> None:
        """Takes in what was seen of the key."""
        if key in self.windows:
            self.windows[key].add(window)
        else:
            self.windows[key] = window


def send(port: int, keys: Sequence[int], requests: int) -> Answers:
    """Sends so many requests for these keys in turn. Raises RuntimeError when an answer is missing."""
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()
    processes = [context.Process(target=_run, args=(results, port, keys, requests // PROCESSES), daemon=True)
                 for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    answers = Answers()
    try:
        for _ in processes:
            result = results.get()
            if isinstance(result, str):
                raise RuntimeError(f"a sender ended: {result}")
            answers.statuses += result.statuses
            for key, window in result.windows.items():
                answers.add(key, window)
            answers.seconds = max(answers.seconds, result.seconds)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return answers


def _run(results: Any, port: int, keys: Sequence[int], requests: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not for this process
    try:
        results.put(_exchange(port, keys, requests))
    except Exception as error:  # noqa: BLE001 a silent end would look like success
        results.put(repr(error))


def _exchange(port: int, keys: Sequence[int], requests: int) -> Answers:
    """On each connection the next request when the answer is there."""
    answers, began, sent = Answers(), time.monotonic(), 0
    selector = selectors.DefaultSelector()

    def send_next(connection: Connection) -> None:
        nonlocal sent
        key = keys[sent % len(keys)]
        sent += 1
        now = time.time()
        connection.send(request(b"%d" % key))
        open_requests[connection] = (key, now)

    open_requests: dict[Connection, tuple[int, float]] = {}
    for _ in range(min(CONNECTIONS // PROCESSES, requests)):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        send_next(connection)
    while open_requests:
        ready = selector.select(timeout=ANSWER_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} s, after {answers.statuses.total():,}")
        for found, _ in ready:
            connection = found.data
            if (status := connection.receive()) is None:
                continue
            key, began_at = open_requests.pop(connection)
            now = time.time()
            refused = (now, began_at) if status == 429 else (math.inf, -math.inf)
            answers.add(key, Window(began_at, now, *refused, int(status == 200)))
            answers.statuses[status] += 1
            if connection.ended:
                raise ConnectionError(f"Envoy ended a connection, after {answers.statuses.total():,} answers")
            if sent < requests:
                send_next(connection)
    answers.seconds = time.monotonic() - began
    return answers
