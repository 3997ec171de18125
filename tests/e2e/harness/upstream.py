"""An upstream that records the exact bytes of every request, and answers, stalls or fails as it is told."""

import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

HEAD_END = b"\r\n\r\n"
# `padding` is sent in pieces, so that an answer of 100 MB costs the server no memory.
PADDING = b" " * 1_000_000


@dataclass
class Recorded:
    """One request as it arrived. `headers` and `trailers` keep order, case and duplicates."""

    head: bytes
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """All values of a header, names compared without case."""
        wanted = name.lower().encode("latin-1")
        return [value for found, value in self.headers if found.lower() == wanted]


@dataclass
class Answer:
    """What the upstream does with a request.

    `raw` is sent as it is, instead of status, headers and body; `padding` is how many spaces follow the body.
    `behaviour` is `answer`, `close` (the connection ends without an answer), `hang` (no answer at all), `slow_head` or
    `slow_body` (from there on one byte a second), `reset` (the connection is reset when all was sent: with a `raw`
    that is not a whole answer, in the middle of it), or `echo` (behind the answer every byte comes back, as from the
    other end of a tunnel).
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Optional[bytes] = None
    raw: Optional[bytes] = None
    padding: int = 0
    delay: float = 0.0
    behaviour: str = "answer"


class Listener:
    """A free loopback port, with a thread for each connection."""

    def __init__(self) -> None:
        self._listener: Optional[socket.socket] = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.port = 0

    def start(self) -> None:
        """Listens; on the port of last time when it was stopped before."""
        self.stopping.clear()
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuses new connections and resets those that are open."""
        self.stopping.set()
        if self._listener is not None:
            # `shutdown` wakes the thread in accept(); `close` alone leaves the port open until then.
            _shut(self._listener)
            self._listener = None
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # Answers are small writes; Nagle's algorithm would add 40 ms to some.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:
            pass  # the proxy closed, or `stop` did
        finally:
            with self._lock:
                self._connections.discard(connection)
            _shut(connection)

    def _serve(self, connection: socket.socket) -> None:
        """Serves one connection until it ends."""
        raise NotImplementedError


class Server(Listener):
    """A threaded HTTP/1.1 server; `handle` gets each request and returns an answer."""

    def __init__(self, handle: Callable[[Recorded], Answer]) -> None:
        super().__init__()
        self._handle = handle

    def _serve(self, connection: socket.socket) -> None:
        reader = _Reader(connection)
        while (request := _read_request(reader, self._recorded)) is not None:
            answer = self._handle(request)
            if answer.delay:
                self.stopping.wait(answer.delay)
            if answer.behaviour == "hang":
                while connection.recv(65536):  # until the proxy gives up, or `stop` comes
                    pass
            if answer.behaviour in ("close", "hang") or self.stopping.is_set():
                return
            self._send(connection, answer, request)
            if answer.behaviour == "echo":
                reader.echo()

    def _send(self, connection: socket.socket, answer: Answer, request: Recorded) -> None:
        head, body = _render(answer, request)
        if answer.behaviour == "slow_head":
            self._trickle(connection, head + body)
        elif answer.behaviour == "slow_body":
            connection.sendall(head)
            self._trickle(connection, body)
        else:
            connection.sendall(head + body)
            for sent in range(0, answer.padding, len(PADDING)):
                connection.sendall(PADDING[: answer.padding - sent])
        if answer.behaviour == "reset":
            # A close that does not linger sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def _trickle(self, connection: socket.socket, data: bytes) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            if self.stopping.wait(1.0):
                return

    def _recorded(self, request: Recorded) -> None:
        """Called when the head of a request is complete, before its body."""


class Upstream(Server):
    """Records requests and answers all with `answer`; by default an echo of what arrived as JSON."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.requests: list[Recorded] = []
        self.answer = Answer()

    def __enter__(self) -> "Upstream":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _recorded(self, request: Recorded) -> None:
        self.requests.append(request)

    def _reply(self, request: Recorded) -> Answer:
        if self.answer.body is not None or self.answer.raw is not None:
            return self.answer
        echo = {"method": request.method, "target": request.target.decode("latin-1")}
        return replace(self.answer, headers=[("content-type", "application/json"), *self.answer.headers],
                       body=json.dumps(echo).encode())


class _Reader:
    """Reads from a socket up to a mark or a length."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def until(self, mark: bytes) -> Optional[bytes]:
        """Bytes up to and with `mark`; none when the connection ended before anything came."""
        while mark not in self._buffer:
            if not self._more():
                return None
        end = self._buffer.index(mark) + len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def exactly(self, length: int) -> bytes:
        """`length` bytes, fewer when the connection ended."""
        while len(self._buffer) < length and self._more():
            pass
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def echo(self) -> None:
        """Sends back whatever comes, until the connection ends."""
        while self._buffer or self._more():
            self._connection.sendall(self._buffer)
            self._buffer = b""

    def _more(self) -> bool:
        received = self._connection.recv(65536)
        self._buffer += received
        return bool(received)


def _read_request(reader: _Reader, recorded: Callable[[Recorded], None]) -> Optional[Recorded]:
    head = reader.until(HEAD_END)
    if head is None:
        return None
    first, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    method, target, _ = first.split(b" ", 2)
    request = Recorded(head, method.decode("latin-1"), target, [_field(line) for line in lines])
    recorded(request)
    if b"chunked" in b",".join(request.values("transfer-encoding")):
        request.body, request.trailers = _read_chunks(reader)
    elif lengths := request.values("content-length"):
        request.body = reader.exactly(int(lengths[0]))
    return request


def _read_chunks(reader: _Reader) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and its trailers."""
    body, trailers = b"", []
    while size := int((reader.until(b"\r\n") or b"0").split(b";")[0], 16):
        body += reader.exactly(size)
        reader.exactly(2)
    while (line := reader.until(b"\r\n")) not in (b"\r\n", None):
        trailers.append(_field(line[:-2]))
    return body, trailers


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


def _render(answer: Answer, request: Recorded) -> tuple[bytes, bytes]:
    """Head and body, without `padding`."""
    if answer.raw is not None:
        return answer.raw, b""
    body = answer.body or b""
    lines = [f"HTTP/1.1 {answer.status} Answer", *(f"{name}: {value}" for name, value in answer.headers)]
    if answer.status not in (204, 304):
        lines.append(f"content-length: {len(body) + answer.padding}")
    head = "\r\n".join(lines).encode("latin-1") + HEAD_END
    has_body = request.method != "HEAD" and answer.status not in (204, 304)
    return head, body if has_body else b""


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` became true within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
