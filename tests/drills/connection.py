"""A client's connection that is kept alive: cheap enough to send thousands of requests a second."""

import socket
import struct
import time
from typing import Optional

# How long one answer may take.
ANSWER_SECONDS = 20.0
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
# A close that does not linger sends RST.
RESET = struct.pack("ii", 1, 0)


class Connection:
    """A connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.request = b""
        self.began = 0.0
        self.ended = False

    def send(self, request: bytes) -> None:
        """Begins an exchange."""
        self.request = request
        self.began = time.perf_counter()
        try:
            self.socket.sendall(request)
        except OSError:
            pass  # refused before all was sent; the answer may still be there

    def receive(self) -> Optional[int]:
        """Reads what is there. The status when the answer is complete, 0 when the connection ended without one."""
        try:
            more = self.socket.recv(65536)
        except OSError:
            more = b""
        self.received += more
        end = self.received.find(HEAD_END)
        if end >= 0:
            head = bytes(self.received[:end])
            at = head.find(LENGTH)
            length = int(head[at + len(LENGTH):].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self.received) >= end + len(HEAD_END) + length:
                self.received.clear()
                self.ended = not more or b"connection: close" in head
                return int(head[9:12])
        self.ended = not more
        return 0 if self.ended else None

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()
