"""Clients that send at times of their own, whatever others do: a victim above its limit, others below it."""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connection import Connection

from .limit import Limit, request

# Each client's requests alternate between connections, and so between workers.
CONNECTIONS = 2
# Clients are served by so many threads, so that one answer that is late does not delay them all.
THREADS = 4


@dataclass
class Record:
    """What happened to the requests of a client, or of several.

    admitted  (sent, answered) of each that was admitted, by the system's clock, which is Envoy's too
    """

    statuses: Counter[int] = field(default_factory=Counter)
    admitted: list[tuple[float, float]] = field(default_factory=list)

    def __add__(self, other: "Record") -> "Record":
        return Record(self.statuses + other.statuses, self.admitted + other.admitted)

    def refused(self) -> float:
        """The share that was not admitted."""
        return 1 - self.statuses[200] / max(1, self.statuses.total())

    def over(self, limit: Limit) -> float:
        """How many more than the bound were admitted within any time; below 0 if there was no such time.

        The requests were sent one after the other, so those from one to another were all judged between sending the one
        and the answer to the other: count - rate * time is largest for the best pair, found in one pass.
        """
        worst, start = float("-inf"), float("-inf")
        for place, (sent, answered) in enumerate(self.admitted):
            start = max(start, limit.rate * sent - place)
            worst = max(worst, place + 1 + start - limit.rate * answered - limit.burst)
        return worst


class Clients:
    """Sends while it is used as a context manager; `record` may be read meanwhile."""

    def __init__(self, port: int, keys: Sequence[bytes], seconds: float, seed: int, threads: int = THREADS) -> None:
        """Each key is sent every `seconds`."""
        self._end = threading.Event()
        self._records = [Record() for _ in range(min(threads, len(keys)))]
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(record, port, keys[number::len(self._records)], seconds, seed + number), daemon=True)
            for number, record in enumerate(self._records)
        ]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def record(self) -> Record:
        """What happened so far. Raises RuntimeError when a request had no answer."""
        if self._problems:
            raise RuntimeError(f"a client got no answer: {self._problems[0]!r}")
        return sum(self._records, Record())

    def _run(self, record: Record, port: int, keys: Sequence[bytes], seconds: float, seed: int) -> None:
        try:
            connections = [Connection(port) for _ in range(CONNECTIONS)]
            for place, key in enumerate(self._due(keys, seconds, seed)):
                connection = connections[place // len(keys) % CONNECTIONS]
                sent = time.time()
                connection.send(request(key))
                while (status := connection.receive()) is None:
                    pass
                if connection.ended:
                    raise ConnectionError(f"the connection ended, status {status}")
                if status == 200:
                    record.admitted.append((sent, time.time()))
                record.statuses[status] += 1
        except Exception as problem:  # noqa: BLE001 a silent end would look like success
            self._problems.append(problem)

    def _due(self, keys: Sequence[bytes], seconds: float, seed: int) -> Iterator[bytes]:
        """Each key when it is its turn, until the end. A turn that is late moves the next ones: never two at once."""
        rng = random.Random(seed)
        turns = [(time.monotonic() + rng.uniform(0, seconds), key) for key in keys]
        heapq.heapify(turns)
        while True:
            due, key = turns[0]
            if self._end.wait(max(0.0, due - time.monotonic())):
                return
            yield key
            heapq.heapreplace(turns, (time.monotonic() + seconds, key))
