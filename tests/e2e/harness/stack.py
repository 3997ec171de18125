"""Upstream, identity provider, Envoy, and a rate-limit service when there are limits: what nearly every test runs against."""

import contextlib
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional

from . import client, config
from .dynamic import DynamicListeners
from .envoy import Envoy
from .grpc import GrpcServer
from .idp import IdentityProvider
from .rate_limit_service import CLUSTER, Limit, RateLimitService
from .upstream import Upstream, wait_until

# After a reload, connections of the old listener are told to end with their next answer, and closed after so long. A
# worker that starts VMs on a busy machine needs a second or two before it can tell; Envoy's default is ten minutes.
DRAIN_SECONDS = 5
DRAIN = ["--drain-time-s", str(DRAIN_SECONDS), "--drain-strategy", "immediate"]


class Stack:
    """Everything for one configuration, used as a context manager. `idp_fault`: see `IdentityProvider.fail`;
    `idp_delay`: in seconds. `introspection` is a server of its own, so that it can fail while the keys are there.

    `dynamic`: the listener comes from a file, so that `reload` can change it. `rate_limit_service`: one that runs, with its
    own storage say, in the place of the one that the setup's `limits` make.
    """

    def __init__(self, setup: config.Setup, concurrency: int = 2, idp_fault: str = "", idp_delay: float = 0.0,
                 dynamic: bool = False, rate_limit_service: Optional[RateLimitService] = None) -> None:
        self._dynamic = dynamic
        self.setup = setup
        self._idp_fault = idp_fault
        self._idp_delay = idp_delay
        self._concurrency = concurrency
        self._exits = contextlib.ExitStack()
        # Not started yet: what they say can be changed before Envoy asks.
        self.idp = IdentityProvider()
        self.introspection = IdentityProvider()
        self.rate_limit_service = rate_limit_service
        self.grpc = GrpcServer()

    def __enter__(self) -> "Stack":
        with self._exits:
            directory = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-e2e-"))
            self.access_log = Path(directory) / "access.log"
            self.upstream = self._exits.enter_context(Upstream())
            self._exits.enter_context(self.idp)
            self.idp.fail(self._idp_fault)
            self.idp.delay = self._idp_delay
            self._exits.enter_context(self.introspection)
            if self.rate_limit_service is None and self.setup.limits:
                self.rate_limit_service = RateLimitService([Limit(**limit) for limit in self.setup.limits])
                self._exits.enter_context(self.rate_limit_service)
            if self.setup.grpc_cluster:
                self._exits.enter_context(self.grpc)
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

    def judge(self, request: bytes, tls: Optional[ssl.SSLContext] = None) -> tuple[int, str]:
        """One request: its answer's status, and jwt-auth's verdict in the access log, empty if it passed. Not right behind
        requests by other means, whose lines may be late."""
        since = self.event_count()
        [answer] = client.exchange1(self.port, request, tls=tls)
        [event] = self.events(since, 1)
        return answer.status, event["verdict.jwt-auth"] or ""

    @contextlib.contextmanager
    def each_worker(self) -> Iterator[list[client.Open1]]:
        """A connection to each worker: a new one goes to the worker with the fewest."""
        for _ in range(20):
            with contextlib.ExitStack() as opened:
                before = self._connections()
                connections = [opened.enter_context(client.open1(self.port)) for _ in before]
                wanted = [count + 1 for count in before]
                if wait_until(lambda: self._connections() == wanted, 1.0):
                    yield connections
                    return
            # Connections that had just ended still counted for a worker: two new ones went to another.
        raise TimeoutError(f"connections by worker: {self._connections()}, expected {wanted}")

    def _connections(self) -> list[int]:
        """How many connections each worker has had so far."""
        lines = self.envoy.admin(r"/stats?filter=^listener\..*\.worker_\d%2B\.downstream_cx_total$").splitlines()
        return [int(line.partition(": ")[2]) for line in lines]

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
        ports = {"upstream": self.upstream.port, "idp": self.idp.port, "introspection": self.introspection.port}
        if self.rate_limit_service is not None:
            ports[CLUSTER] = self.rate_limit_service.port
        if setup.grpc_cluster:
            ports[setup.grpc_cluster] = self.grpc.port
        return config.bootstrap(setup, ports, access_log)

    def _lines(self) -> list[str]:
        return self.access_log.read_text(errors="backslashreplace").split("\n")[:-1]
