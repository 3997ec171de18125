"""A program that runs beside Envoy: started, ended and stopped for a while by its process id."""

import abc
import os
import signal
import subprocess
from typing import IO, Optional

END_SECONDS = 5


class Program(abc.ABC):
    """One process, used as a context manager. It can be killed and started again in between."""

    def __init__(self) -> None:
        self.process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> "Program":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts the program and returns when it is ready."""
        self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Ends the program at once, without a word to its clients."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(END_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            _close(stream)
        self.process = None

    def pause(self) -> None:
        """From now on it takes connections and answers nothing, until `resume`."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    @abc.abstractmethod
    def command(self) -> list[str]:
        """The command line."""

    @abc.abstractmethod
    def wait_until_ready(self) -> None:
        """Returns when the program can be used; fails when it ended."""


def _close(stream: Optional[IO[str]]) -> None:
    try:
        if stream is not None:
            stream.close()
    except BrokenPipeError:
        pass  # what was not yet written has no reader
