"""Steady traffic of several kinds of requests, good and bad ones, and what became of each of them."""

import asyncio
import re
import threading
import time
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

# Longer than anything in front of the client may take; an answer after that is none.
PATIENCE_SECONDS = 6.0
# The header field by which the upstream's record tells which kind of request it was.
KIND = "x-drill-kind"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
REASON = re.compile(rb'"reason":"([\w.-]+)"')


@dataclass(frozen=True)
class Kind:
    """One kind of request.

    request     makes the bytes of the next one; the harness adds the `KIND` field
    expected    its outcome while all is well, in the form of `Sample.outcome`
    clients     how many connections send it
    """

    name: str
    request: Callable[[], bytes]
    expected: str
    clients: int = 1


@dataclass(frozen=True)
class Sample:
    """One request. Times are of `time.monotonic`.

    `outcome`: the status, and the reason code if the body has one: `200`, `401 jwt.missing`. Or `lost` (no byte of an
    answer), `cut` (an answer that ended early) or `late` (none within `PATIENCE_SECONDS`). `head`: that of the answer.
    """

    kind: str
    began: float
    ended: float
    outcome: str
    head: bytes = b""


class Traffic:
    """Clients that each send one request after the other, `rate` a second, until the `with` block ends.

    A client whose answer takes longer than its turn sends the next request when the answer is there. Connections are kept
    while the proxy keeps them.
    """

    def __init__(self, port: int, kinds: Sequence[Kind], rate: float = 15.0) -> None:
        self._port = port
        self._kinds = kinds
        self._rate = rate
        self._samples: list[Sample] = []
        self._running = True
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    @property
    def samples(self) -> list[Sample]:
        """Every request that has ended so far, in the order in which they ended."""
        return list(self._samples)

    async def _all(self) -> None:
        clients = [kind for kind in self._kinds for _ in range(kind.clients)]
        await asyncio.gather(*(self._client(kind, number / len(clients)) for number, kind in enumerate(clients)))

    async def _client(self, kind: Kind, phase: float) -> None:
        connection = _Connection(self._port)
        turn = time.monotonic() + phase / self._rate
        while self._running:
            await asyncio.sleep(max(turn - time.monotonic(), 0))
            request = kind.request().replace(b"\r\n", f"\r\n{KIND}: {kind.name}\r\n".encode(), 1)
            began = time.monotonic()
            outcome, head = await connection.exchange(request)
            ended = time.monotonic()
            self._samples.append(Sample(kind.name, began, ended, outcome, head))
            turn = max(turn + 1 / self._rate, ended)
        connection.close()


class _Connection:
    """One connection at a time, opened again when it has ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: Optional[asyncio.StreamReader] = None
        self._writer: Optional[asyncio.StreamWriter] = None

    async def exchange(self, request: bytes) -> tuple[str, bytes]:
        """Outcome and head of the answer, as in `Sample`."""
        heads: list[bytes] = []
        try:
            return await asyncio.wait_for(self._exchange(request, heads), PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            self.close()
            return "late", b"".join(heads)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            partial = isinstance(error, asyncio.IncompleteReadError) and error.partial
            return "cut" if heads or partial else "lost", b"".join(heads)

    async def _exchange(self, request: bytes, heads: list[bytes]) -> tuple[str, bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        status = int(head[9:12])
        body = await self._body(head)
        if CLOSE.search(head):
            self.close()
        reason = REASON.search(body)
        return f"{status} {reason[1].decode()}" if reason and status >= 400 else str(status), head

    async def _body(self, head: bytes) -> bytes:
        """The body; of one with a length the first 64 KiB, with all of it read."""
        assert self._reader is not None
        first = b""
        if CHUNKED.search(head):
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                first += await self._exactly(size)
                await self._reader.readexactly(2)
            await self._reader.readuntil(b"\r\n")
        elif length := LENGTH.search(head):
            first = await self._exactly(int(length[1]))
        return first

    async def _exactly(self, length: int) -> bytes:
        """The first 64 KiB of so many bytes; the rest is read and let go."""
        assert self._reader is not None
        first = await self._reader.readexactly(min(length, 65536))
        left = length - len(first)
        while left:
            piece = await self._reader.read(min(left, 1 << 20))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
        return first

    def close(self) -> None:
        """Ends the connection that is open."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
