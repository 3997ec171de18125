"""A gRPC server for unary calls, that records them, and answers, stalls or fails as it is told."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Callable, Optional

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from .upstream import Listener

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@dataclass
class Call:
    """One call as it arrived."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def message(self) -> bytes:
        """The message, without the five bytes in front of it."""
        return self.body[5:]


@dataclass
class Answer:
    """What the server does with a call.

    `message` none: there is none, only a status. `raw` is sent as it is, instead of the message in its frame.
    `behaviour` is `answer`, `hang` (nothing comes), `no_trailers` (the stream ends behind the message), `reset` (the stream
    is reset), or `close` (the connection ends).
    """

    message: Optional[bytes] = b""
    status: bytes = b"0"
    details: bytes = b""
    raw: Optional[bytes] = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: list(HEAD))
    delay: float = 0.0
    behaviour: str = "answer"


def frame(message: bytes, compressed: int = 0) -> bytes:
    """A message as gRPC sends it."""
    return struct.pack(">BI", compressed, len(message)) + message


class GrpcServer(Listener):
    """Answers every call as `handle` says, by default with `answer`. Each call waits and is answered on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.answer = Answer()
        self.handle: Callable[[Call], Answer] = lambda _call: self.answer

    def __enter__(self) -> "GrpcServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, connection: socket.socket) -> None:
        _Connection(self, connection).run()


class _Connection:
    """One HTTP/2 connection."""

    def __init__(self, server: GrpcServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False))
        # Guards the connection's state, and tells of windows that have grown.
        self._changed = threading.Condition()
        self._calls: dict[int, Call] = {}

    def run(self) -> None:
        """Reads until the connection ends."""
        with self._changed:
            self._http.initiate_connection()
            self._flush()
        while received := self._socket.recv(65536):
            with self._changed:
                for event in self._http.receive_data(received):
                    self._take(event)
                self._flush()
                self._changed.notify_all()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            path = dict(event.headers)[b":path"].decode()
            self._calls[event.stream_id] = Call(path, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._calls[event.stream_id].body += event.data
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            call = self._calls.pop(event.stream_id)
            self._server.calls.append(call)
            threading.Thread(target=self._answer, args=(event.stream_id, call), daemon=True).start()

    def _answer(self, stream: int, call: Call) -> None:
        answer = self._server.handle(call)
        if self._server.stopping.wait(answer.delay) or answer.behaviour == "hang":
            return
        try:
            with self._changed:
                self._send(stream, answer)
        except (OSError, h2.exceptions.ProtocolError):
            pass  # the proxy gave up on the call or the connection

    def _send(self, stream: int, answer: Answer) -> None:
        if answer.behaviour == "close":
            self._socket.shutdown(socket.SHUT_RDWR)
            return
        if answer.behaviour == "reset":
            self._http.reset_stream(stream)
            self._flush()
            return
        trailers = [(b"grpc-status", answer.status), (b"grpc-message", answer.details)]
        body = answer.raw if answer.raw is not None else b"" if answer.message is None else frame(answer.message)
        if not body and answer.message is None:
            self._http.send_headers(stream, answer.headers + trailers, end_stream=True)
        else:
            self._http.send_headers(stream, answer.headers)
            self._send_body(stream, body)
            if answer.behaviour == "no_trailers":
                self._http.end_stream(stream)
            else:
                self._http.send_headers(stream, trailers, end_stream=True)
        self._flush()

    def _send_body(self, stream: int, body: bytes) -> None:
        while body:
            self._flush()
            if not self._changed.wait_for(lambda: self._http.local_flow_control_window(stream) > 0, 5.0):
                raise TimeoutError("the proxy takes no more")
            size = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)
            self._http.send_data(stream, body[:size])
            body = body[size:]

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())
