"""What all end-to-end tests share."""

import contextlib
import signal
from typing import Iterator, Optional

import pytest

from harness import config
from harness.redis import Redis
from harness.stack import Stack


def pytest_configure() -> None:
    # A terminated run must still end its Envoys: as after Ctrl-C, pytest stops and the `with` blocks end them.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skipped test proves nothing: say which and why, in words."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"SKIPPED, NOT TESTED: {report.nodeid}: {reason}", yellow=True, bold=True)


class Stacks:
    """Keeps the stack that was used last, so that tests in a row with the same configuration share one Envoy."""

    def __init__(self) -> None:
        self._name = ""
        self._running = contextlib.ExitStack()
        self._stack: Optional[Stack] = None

    def __call__(self, name: str) -> Stack:
        """A running stack for configs/<name>.yaml."""
        if self._stack is None or name != self._name:
            self.close()
            self._stack = self._running.enter_context(Stack(config.load(name)))
            self._name = name
        return self._stack

    def close(self) -> None:
        """Ends the stack that runs."""
        self._running.close()
        self._stack = None


@pytest.fixture(scope="session")
def stacks() -> Iterator[Stacks]:
    """Stacks by the name of their configuration."""
    shared = Stacks()
    yield shared
    shared.close()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis, empty; the test is skipped on a machine that has none."""
    if reason := Redis.missing():
        pytest.skip(reason)
    with Redis() as running:
        yield running
