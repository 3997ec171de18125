"""Clients that send exactly the bytes they are given."""

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import Iterator, Optional

import h2.config
import h2.connection
import h2.events

Fields = list[tuple[bytes, bytes]]


class NoAnswer(Exception):
    """No complete answer came: the connection ended, or the time was over."""


@dataclass
class Response:
    """One answer. Field names are lower-case; values keep their bytes (latin-1)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """All values of a header field."""
        return [value for found, value in self.headers if found == name.lower()]


def http1(method: str, target: bytes, headers: Fields, body: bytes = b"") -> bytes:
    """The bytes of an HTTP/1.1 request, as given: only the missing `host` and `content-length` are added."""
    names = {name.lower() for name, _ in headers}
    added: Fields = []
    if b"host" not in names:
        added.append((b"host", b"api.test"))
    if body and not names & {b"content-length", b"transfer-encoding"}:
        added.append((b"content-length", str(len(body)).encode()))
    lines = [method.encode("latin-1") + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in [*added, *headers]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def with_token(token: str, *fields: tuple[bytes, bytes], method: str = "GET", path: str = "/orders",
               scheme: str = "Bearer") -> bytes:
    """An HTTP/1.1 request with this token in `authorization`."""
    return http1(method, path.encode(), [(b"authorization", f"{scheme} {token}".encode()), *fields])


def exchange1(port: int, data: bytes, seconds: float = 5.0, answers: int = 1, peer: str = "",
              tls: Optional[ssl.SSLContext] = None) -> list[Response]:
    """Sends bytes on a new connection and reads that many final answers. `peer`, `tls`: see `_connect`."""
    with _connect(port, seconds, peer, tls) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # refused before all was sent; the answer may still be there
        reader = connection.makefile("rb")
        is_head = data.startswith(b"HEAD ")
        try:
            return [_read1(reader, is_head) for _ in range(answers)]
        except OSError as error:
            raise NoAnswer(f"no answer after {seconds} s: {error}") from error


class Open1:
    """An HTTP/1.1 connection that a test keeps open: for tunnels, and for bodies that come in pieces."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # Unbuffered: what comes behind an answer is not the answer's.
        self._reader = connection.makefile("rb", buffering=0)

    def send(self, data: bytes) -> None:
        """Sends these bytes."""
        self._connection.sendall(data)

    def answer(self) -> Response:
        """The next answer."""
        return _read1(self._reader, False)

    def receive(self, length: int) -> bytes:
        """So many bytes; fewer when the connection ended."""
        received = b""
        while len(received) < length and (more := self._reader.read(length - len(received))):
            received += more
        return received


@contextlib.contextmanager
def open1(port: int, seconds: float = 5.0) -> Iterator[Open1]:
    """A new connection, on which each wait takes at most `seconds`."""
    with _connect(port, seconds) as connection:
        yield Open1(connection)


def exchange2(port: int, headers: Fields, body: bytes = b"", seconds: float = 5.0,
              trailers: Optional[Fields] = None, peer: str = "", frames: bytes = b"") -> Response:
    """One HTTP/2 request with prior knowledge; `headers` holds the pseudo-headers too. Nothing is checked or added.
    `frames` are sent as they are, behind the head. The answer to a CONNECT that opens a tunnel is its head."""
    configuration = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False,
        validate_inbound_headers=False,
    )
    http = h2.connection.H2Connection(configuration)
    http.initiate_connection()
    stream = http.get_next_available_stream_id()
    http.send_headers(stream, headers, end_stream=not body and not trailers)
    head = http.data_to_send() + frames
    if body:
        http.send_data(stream, body, end_stream=not trailers)
    if trailers:
        http.send_headers(stream, trailers, end_stream=True)
    answer = Response(0, [], b"", [])
    with _connect(port, seconds, peer) as connection:
        connection.sendall(head + http.data_to_send())
        while True:
            try:
                received = connection.recv(65536)
            except OSError as error:
                raise NoAnswer(f"no answer after {seconds} s: {error}") from error
            if not received:
                raise NoAnswer("the connection ended")
            for event in http.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    answer.headers = _text(event.headers)
                    answer.status = int(answer.values(":status")[0])
                    if answer.status == 200 and (b":method", b"CONNECT") in headers:
                        return answer
                elif isinstance(event, h2.events.DataReceived):
                    answer.body += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.TrailersReceived):
                    answer.trailers = _text(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    return answer
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise NoAnswer(f"refused by HTTP/2: {event}")
            connection.sendall(http.data_to_send())


def _connect(port: int, seconds: float, peer: str = "", tls: Optional[ssl.SSLContext] = None) -> socket.socket:
    """A connection, with `tls` over TLS. With `peer` it begins with the PROXY protocol's line, which makes that the
    client's address."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if peer:
        family, own = ("TCP6", "::1") if ":" in peer else ("TCP4", "127.0.0.1")
        connection.sendall(f"PROXY {family} {peer} {own} 40000 80\r\n".encode())
    return tls.wrap_socket(connection) if tls else connection


def _read1(reader, is_head: bool) -> Response:  # type: ignore[no-untyped-def]
    status, headers = _read_head1(reader)
    while 100 <= status < 200 and status != 101:  # interim answers are followed by a final one
        status, headers = _read_head1(reader)
    answer = Response(status, headers, b"", [])
    if is_head or status in (101, 204, 304):
        return answer
    if "chunked" in answer.values("transfer-encoding"):
        while size := int(reader.readline().split(b";")[0] or b"0", 16):
            answer.body += reader.read(size)
            reader.readline()
        while (line := reader.readline().strip()):
            answer.trailers.append(_field(line))
    elif lengths := answer.values("content-length"):
        answer.body = reader.read(int(lengths[0]))
        if len(answer.body) < int(lengths[0]):
            raise NoAnswer("the connection ended in the body of the answer")
    else:
        answer.body = reader.read()
    return answer


def _read_head1(reader) -> tuple[int, list[tuple[str, str]]]:  # type: ignore[no-untyped-def]
    first = reader.readline()
    if not first:
        raise NoAnswer("the connection ended without an answer")
    headers = []
    while (line := reader.readline().strip()):
        headers.append(_field(line))
    return int(first.split(b" ")[1]), headers


def _field(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


def _text(headers: Fields) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
