"""A real Redis server, which keeps nothing on disk."""

import shutil
import socket
import tempfile
import time

from .program import Program

START_SECONDS = 10


class Redis(Program):
    """One redis-server on a free loopback port, used as a context manager. When it is started again it is empty, and on
    the same port."""

    def __init__(self) -> None:
        super().__init__()
        self.port = _free_port()
        self._directory = ""

    def __enter__(self) -> "Redis":
        self._directory = tempfile.mkdtemp(prefix="portcullis-redis-")
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._directory, ignore_errors=True)

    @staticmethod
    def missing() -> str:
        """What to do where there is no redis-server; empty where there is one."""
        return "" if shutil.which("redis-server") else "no redis-server (Debian, Ubuntu: apt install redis-server)"

    @property
    def url(self) -> str:
        """Where it is, in the words of its clients."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
                "--dir", self._directory, "--logfile", "redis.log"]

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"redis-server did not answer on port {self.port} within {START_SECONDS} s")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


def _free_port() -> int:
    """A port that nobody has now. Redis cannot pick one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
