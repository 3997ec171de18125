"""Sends the traffic of the soak from several processes, and compares every answer with what is right for its request."""

import multiprocessing
import queue
import random
import selectors
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connection import ANSWER_SECONDS, Connection

from . import traffic

CONNECTIONS = 12
# How often a process reports.
REPORT_SECONDS = 0.5
# Connections on which half a request was sent; the oldest is reset when there are more, so that Envoy has seen it.
LINGERING = 40
# The resolution of latencies: 0.1 ms.
TICKS = 10_000
EXAMPLES = 5


@dataclass
class Tally:
    """What happened since the last report.

    by_kind    how many answers of a status each kind of request got: {(kind, status): count}; 0 is no answer
    latencies  of answers, in ticks of 0.1 ms: {ticks: count}
    resets     requests that were ended by the client on purpose
    wrong      examples: (kind, status, beginning of the request)
    """

    by_kind: Counter[tuple[str, int]] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    resets: int = 0
    wrong: list[tuple[str, int, bytes]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Adds the other's counts to this one."""
        self.by_kind += other.by_kind
        self.latencies += other.latencies
        self.resets += other.resets
        self.wrong = (self.wrong + other.wrong)[:EXAMPLES]

    @property
    def requests(self) -> int:
        """How many requests are over."""
        return self.by_kind.total() + self.resets

    def passed(self) -> int:
        """How many requests were answered by the upstream."""
        return sum(count for (_, status), count in self.by_kind.items() if status == 200)

    def latency_ms(self, share: float) -> float:
        """The latency that this share of the answers did not exceed, in milliseconds."""
        left = share * self.latencies.total()
        for ticks in sorted(self.latencies):
            left -= self.latencies[ticks]
            if left <= 0:
                return (ticks + 1) * 1000 / TICKS
        return 0.0


class Generator:
    """The processes that send; `reports` yields what they have done until all is sent or `seconds` are over."""

    def __init__(self, port: int, kinds: Sequence[traffic.Kind], requests: int, seconds: float, processes: int = 2) -> None:
        # Keys and tokens are made once, in this process, and inherited.
        context = multiprocessing.get_context("fork")
        self._queue: Any = context.Queue()
        share, left = divmod(requests, processes)
        end = time.monotonic() + seconds
        self._processes = [
            context.Process(target=_run, args=(self._queue, port, kinds, number, share + (number < left), end), daemon=True)
            for number in range(processes)
        ]

    def reports(self) -> Iterator[Tally]:
        """Raises RuntimeError when a process fails or is silent."""
        with self._running():
            ended = 0
            while ended < len(self._processes):
                try:
                    report = self._queue.get(timeout=ANSWER_SECONDS * 3)
                except queue.Empty:
                    report = "no report"
                if isinstance(report, str):
                    raise RuntimeError(f"a process of the load generator ended: {report}")
                if report is None:
                    ended += 1
                else:
                    yield report

    @contextmanager
    def _running(self) -> Iterator[None]:
        for process in self._processes:
            process.start()
        try:
            yield
        finally:
            for process in self._processes:
                process.terminate()
                process.join()


def _run(reports: Any, port: int, kinds: Sequence[traffic.Kind], number: int, requests: int, end: float) -> None:
    try:
        _Sender(reports, port, kinds, number).run(requests, end)
        reports.put(None)
    except Exception as error:  # noqa: BLE001 a silent end would look like success
        reports.put(repr(error))


class _Sender:
    """One process: on each connection the next request when the answer is there.

    Not pipelined: Envoy ends connections that pipeline behind a local reply.
    """

    def __init__(self, reports: Any, port: int, kinds: Sequence[traffic.Kind], number: int) -> None:
        self._reports = reports
        self._port = port
        self._rng = random.Random(number)
        self._kinds, self._weights = traffic.by_share(kinds)
        # A process has texts of its own for `traffic.MARK`, and begins elsewhere in every run.
        self._unique = (number << 44) + random.SystemRandom().randrange(1 << 43)
        self._selector = selectors.DefaultSelector()
        self._lingering: deque[Connection] = deque()
        self._tally = Tally()
        self._reported = time.monotonic()

    def run(self, requests: int, end: float) -> None:
        """Sends that many requests, or fewer if the time `end` (monotonic) comes first."""
        self._left = requests
        self._end = end
        for _ in range(CONNECTIONS):
            self._next(Connection(self._port))
        while self._selector.get_map():
            for key, _ in self._selector.select(timeout=1.0):
                connection, kind = key.data
                status = connection.receive()
                if status is not None:
                    self._selector.unregister(connection.socket)
                    self._judge(connection, kind, status)
                    self._next(connection)
            if time.monotonic() > self._reported + REPORT_SECONDS:
                self._give_up_on_silent()
                self._report()
        for connection in self._lingering:
            connection.reset()
        self._report()

    def _next(self, connection: Connection) -> None:
        """Sends the next request, on a new connection if this one has ended. Resets go on connections of their own."""
        if connection.ended:
            connection.socket.close()
        while self._left > 0 and time.monotonic() < self._end:
            self._left -= 1
            kind = self._rng.choices(self._kinds, self._weights)[0]
            self._unique += 1
            request = self._rng.choice(kind.templates).replace(traffic.MARK, traffic.unique(self._unique))
            if not kind.reset:
                connection = Connection(self._port) if connection.ended else connection
                connection.send(request)
                self._selector.register(connection.socket, selectors.EVENT_READ, (connection, kind))
                return
            self._send_and_leave(request)
        connection.socket.close()

    def _send_and_leave(self, request: bytes) -> None:
        connection = Connection(self._port)
        connection.send(request)
        self._tally.resets += 1
        self._lingering.append(connection)
        if len(self._lingering) > LINGERING:
            self._lingering.popleft().reset()

    def _judge(self, connection: Connection, kind: traffic.Kind, status: int) -> None:
        tally = self._tally
        tally.latencies[int((time.perf_counter() - connection.began) * TICKS)] += 1
        tally.by_kind[kind.name, status] += 1
        if status not in kind.expected and len(tally.wrong) < EXAMPLES:
            tally.wrong.append((kind.name, status, connection.request[:300]))

    def _give_up_on_silent(self) -> None:
        """A request without an answer is one with status 0."""
        for key in list(self._selector.get_map().values()):
            connection, kind = key.data
            if time.perf_counter() - connection.began > ANSWER_SECONDS:
                self._selector.unregister(connection.socket)
                connection.ended = True
                self._judge(connection, kind, 0)
                self._next(connection)

    def _report(self) -> None:
        self._reports.put(self._tally)
        self._tally = Tally()
        self._reported = time.monotonic()
