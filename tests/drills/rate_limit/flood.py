"""Makes up a key for each request, as fast as answers come: wrk."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Optional

from connection import ANSWER_SECONDS

from .limit import FIELD

THREADS, CONNECTIONS = 2, 16
# wrk wants a duration; it is interrupted when all keys were sent.
LONGEST = "24h"
SCRIPT = Path(__file__).with_name("flood.lua")


class Flood:
    """wrk while it runs, used as a context manager. Keys begin with `seed`."""

    def __init__(self, port: int, seed: int) -> None:
        self._command = ["wrk", "--threads", str(THREADS), "--connections", str(CONNECTIONS), "--duration", LONGEST,
                         "--timeout", f"{ANSWER_SECONDS:.0f}s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}", "--", FIELD, str(seed)]
        self._process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> "Flood":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def is_running(self) -> bool:
        """Whether it still sends."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> dict[str, int]:
        """Ends it: how many answers it got, how many of them were refusals, and how many requests were broken.

        Raises RuntimeError when wrk says nothing.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate(timeout=60)
        try:
            return json.loads(output.splitlines()[-1])
        except (IndexError, ValueError):
            raise RuntimeError(f"wrk ended with status {self._process.returncode}: {output}") from None
