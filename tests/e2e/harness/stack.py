"""Upstream, identity provider and Envoy together: what nearly every test runs against."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from . import config
from .envoy import Envoy
from .idp import IdentityProvider
from .upstream import Upstream, wait_until


class Stack:
    """Everything for one configuration, used as a context manager. `idp_fault`: see `IdentityProvider.fail`;
    `idp_delay`: in seconds."""

    def __init__(self, setup: config.Setup, concurrency: int = 2, idp_fault: str = "", idp_delay: float = 0.0) -> None:
        self._setup = setup
        self._idp_fault = idp_fault
        self._idp_delay = idp_delay
        self._concurrency = concurrency
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> "Stack":
        with self._exits:
            directory = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-e2e-"))
            self._access_log = Path(directory) / "access.log"
            self.upstream = self._exits.enter_context(Upstream())
            self.idp = self._exits.enter_context(IdentityProvider())
            self.idp.fail(self._idp_fault)
            self.idp.delay = self._idp_delay
            ports = {"upstream": self.upstream.port, "idp": self.idp.port}
            self.envoy = self._exits.enter_context(Envoy(
                config.bootstrap(self._setup, ports, str(self._access_log)), self._concurrency))
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return self.envoy.port()

    def events(self, since: int = 0, count: int = 0, seconds: float = 3.0) -> list[dict[str, Any]]:
        """The access log's lines from number `since` on, after waiting until there are `count`."""
        wait_until(lambda: len(self._lines()) >= since + count, seconds)
        return [json.loads(line) for line in self._lines()[since:]]

    def event_count(self) -> int:
        """How many lines the access log has."""
        return len(self._lines())

    def logs(self) -> str:
        """Envoy's own log and the access log."""
        return self.envoy.log() + self._access_log.read_text(errors="backslashreplace")

    def _lines(self) -> list[str]:
        return self._access_log.read_text(errors="backslashreplace").split("\n")[:-1]
