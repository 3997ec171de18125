"""Upstream, identity provider and Envoy together: what nearly every test runs against."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from . import config
from .dynamic import DynamicListeners
from .envoy import Envoy
from .idp import IdentityProvider
from .upstream import Upstream, wait_until

# After a reload, connections of the old listener are told to end with their next answer, and closed after so long. A
# worker that starts VMs on a busy machine needs a second or two before it can tell; Envoy's default is ten minutes.
DRAIN_SECONDS = 5
DRAIN = ["--drain-time-s", str(DRAIN_SECONDS), "--drain-strategy", "immediate"]


class Stack:
    """Everything for one configuration, used as a context manager. `idp_fault`: see `IdentityProvider.fail`;
    `idp_delay`: in seconds.

    `dynamic`: the listener comes from a file, so that `reload` can change it.
    """

    def __init__(self, setup: config.Setup, concurrency: int = 2, idp_fault: str = "", idp_delay: float = 0.0,
                 dynamic: bool = False) -> None:
        self._dynamic = dynamic
        self.setup = setup
        self._idp_fault = idp_fault
        self._idp_delay = idp_delay
        self._concurrency = concurrency
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> "Stack":
        with self._exits:
            directory = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-e2e-"))
            self.access_log = Path(directory) / "access.log"
            self.upstream = self._exits.enter_context(Upstream())
            self.idp = self._exits.enter_context(IdentityProvider())
            self.idp.fail(self._idp_fault)
            self.idp.delay = self._idp_delay
            bootstrap, arguments = self._bootstrap(self.setup, str(self.access_log)), []
            if self._dynamic:
                watched = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-lds-")))
                self._listeners = DynamicListeners(watched)
                bootstrap, arguments = self._listeners.bootstrap(bootstrap), DRAIN
            self.envoy = self._exits.enter_context(Envoy(bootstrap, self._concurrency, arguments=arguments))
            self._exits = self._exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def reload(self, setup: config.Setup, access_log: str = "") -> bool:
        """Gives the running Envoy another configuration, and maybe another access log; whether it took it."""
        taken = self._listeners.replace(self._bootstrap(setup, access_log or str(self.access_log)), self.envoy)
        self.setup = setup if taken else self.setup
        return taken

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
        return self.envoy.log() + self.access_log.read_text(errors="backslashreplace")

    def _bootstrap(self, setup: config.Setup, access_log: str) -> dict[str, Any]:
        return config.bootstrap(setup, {"upstream": self.upstream.port, "idp": self.idp.port}, access_log)

    def _lines(self) -> list[str]:
        return self.access_log.read_text(errors="backslashreplace").split("\n")[:-1]
