"""The faults and what is promised under each, as data: a new part or fault joins by an entry in `PARTS`."""

import contextlib
import dataclasses
import os
import shutil
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator, Mapping, Sequence

from harness import cases, client, config, project
from harness.idp import IdentityProvider
from harness.program import Program
from harness.rate_limit_service import FAULTS, RateLimitService
from harness.redis import Redis
from harness.stack import Stack
from harness.traffic import KIND
from harness.upstream import Answer

from . import kinds

# A machine that does other things too: answers may come this much later than the deadline that ends a fault's wait.
SLACK_SECONDS = 1.5
# Of the fetch of a key set and of the upstream's answer (tests/e2e/configs/chaos.yaml).
DEADLINE_SECONDS = 1.0
# Envoy ends an HTTP/1.1 connection in the middle of an answer only after its `delayed_close_timeout`.
DELAYED_CLOSE_SECONDS = 1.0
MIB = 1024 * 1024
# Counts the configurations that Envoy refused.
REJECTED = "listener_manager.lds.update_rejected"

Context = Callable[[Stack], ContextManager[Any]]


class BrokenPromise(Exception):
    """What can't be told in figures."""


@dataclass(frozen=True)
class Promise:
    """What holds during a fault and after it. Nothing that must be refused passes, ever; no request is lost but by
    `answers`; all other requests are answered as while all is well.

    answers     how else requests of `kinds` may be answered during the fault
    instead     they are answered like that only, and nothing of them reaches the upstream
    longest     of all answers, in seconds
    recovery    from the end of the fault to the last answer that shows it, in seconds
    growth      of Envoy's resident memory, in bytes
    events      every answer leaves a line in the access log
    others      requests that are not of the traffic may reach the upstream
    traps       whether Envoy's log may tell of one
    """

    kinds: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    instead: bool = False
    longest: float = DEADLINE_SECONDS + SLACK_SECONDS
    recovery: float = 1.0
    growth: int = 64 * MIB
    events: bool = True
    others: bool = False
    traps: bool = False


@dataclass(frozen=True)
class Fault:
    """One way in which a part fails.

    context     the fault lasts as long as it, and for `seconds`
    sign        a figure of Envoy's that grows when the fault is met; empty: some requests are answered by
                `promise.answers`. A fault that nothing met would prove nothing
    at_start    a fault of the identity provider that is there before Envoy is; it has an Envoy of its own
    """

    name: str
    promise: Promise
    context: Context
    sign: str = ""
    seconds: float = 2.5
    at_start: str = ""


@dataclass(frozen=True)
class Part:
    """What fails, in one Envoy with this configuration. `redis`: the rate-limit service counts there, not in its memory."""

    name: str
    faults: Sequence[Fault]
    setup: Callable[[config.Setup], config.Setup] = lambda setup: setup
    redis: bool = False


def base(separate: bool = False) -> config.Setup:
    """All filters: as one module and VM, or each as a filter of Envoy's with a VM of its own. Its generation is open."""
    setup = config.load("chaos")
    if not separate:
        return setup
    [suite] = setup.filters
    filters = [{"module": entry["filter"], "name": f"{entry['filter']}-{number}", "config": entry["config"]}
               for number, entry in enumerate(suite["config"]["filters"])]
    return dataclasses.replace(setup, filters=filters)


def with_generation(setup: config.Setup, generation: str) -> config.Setup:
    """The configuration whose answers say that they are of this generation."""
    return dataclasses.replace(setup, filters=_replaced(setup.filters, "${generation}", generation))


def reload(stack: Stack, setup: config.Setup, access_log: str = "", refused: bool = False) -> None:
    """Gives Envoy another configuration, which it takes, or must refuse."""
    if stack.reload(setup, access_log) == refused:
        raise BrokenPromise(f"Envoy {'took a configuration that it must refuse' if refused else 'refused a configuration'}")


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _replaced(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


# --- the identity provider

FAILED_FETCHES = "wasmcustom.portcullis.jwt_auth.jwks_failed"
NO_KEYS = Promise(kinds.KEYED, frozenset({"503 jwt.keys_unavailable"}), instead=True,
                  # Attempts come 1 s, 2 s and 4 s after each other.
                  recovery=4.0 + SLACK_SECONDS)


@contextlib.contextmanager
def _idp(stack: Stack, fault: str) -> Iterator[None]:
    stack.idp.fail(fault)
    yield
    stack.idp.fail("")


def _idp_faults(promise: Promise, at_start: bool) -> list[Fault]:
    return [Fault(name, promise, lambda stack, name=name: _idp(stack, name), FAILED_FETCHES, at_start=name if at_start else "")
            for name in ("down", *IdentityProvider.FAULTS)]


# --- the issuer that is asked about opaque tokens

UNANSWERED = Promise(kinds.ASKED, frozenset({"503 jwt.introspection_unavailable"}),
                     # After failures it is left alone for 1 s, 2 s, 4 s.
                     recovery=4.0 + SLACK_SECONDS)
FAILED_QUESTIONS = "wasmcustom.portcullis.jwt_auth.introspection_failed"


@contextlib.contextmanager
def _introspection(stack: Stack, fault: str) -> Iterator[None]:
    stack.introspection.fail(fault)
    yield
    stack.introspection.fail("")


INTROSPECTION = [Fault(name, UNANSWERED, lambda stack, name=name: _introspection(stack, name), FAILED_QUESTIONS)
                 for name in ("down", *IdentityProvider.FAULTS)]


# --- the service that counts limits which several Envoys share, and its Redis

# The local limit holds in its place, and has its first requests left. They are refused behind it.
UNCOUNTED = Promise(frozenset({"shared limit"}), frozenset({"401 jwt.missing"}),
                    # It is asked again within 4 s and its timeout, by the next request.
                    recovery=4.0 + SLACK_SECONDS)
FAILED_COUNTS = "wasmcustom.portcullis.rate_limit.service_failed"
SLOW_SECONDS = 1.0


def _service(stack: Stack) -> RateLimitService:
    assert stack.rate_limit_service is not None
    return stack.rate_limit_service


@contextlib.contextmanager
def _service_fails(stack: Stack, fault: str = "", delay: float = 0.0) -> Iterator[None]:
    _service(stack).fail(fault, delay)
    yield
    _service(stack).fail()


@contextlib.contextmanager
def _down(program: Program) -> Iterator[None]:
    program.kill()
    yield
    program.start()


@contextlib.contextmanager
def _silent(program: Program) -> Iterator[None]:
    """It keeps its connections, and answers nothing."""
    program.pause()
    yield
    program.resume()


def _redis(stack: Stack) -> Redis:
    redis = _service(stack).redis
    assert redis is not None
    return redis


def _service_fault(name: str, context: Context) -> Fault:
    return Fault(name, UNCOUNTED, context, FAILED_COUNTS)


SERVICE = [
    _service_fault("down", lambda stack: _down(_service(stack))),
    _service_fault("silent", lambda stack: _silent(_service(stack))),
    _service_fault("slow", lambda stack: _service_fails(stack, delay=SLOW_SECONDS)),
    *[_service_fault(name, lambda stack, name=name: _service_fails(stack, name))
      for name in FAULTS if name not in ("", "ok", "over_limit")],
]
REDIS = [
    _service_fault("down", lambda stack: _down(_redis(stack))),
    _service_fault("silent", lambda stack: _silent(_redis(stack))),
]


# --- the upstream


@contextlib.contextmanager
def _upstream(stack: Stack, answer: Answer) -> Iterator[None]:
    stack.upstream.answer = answer
    yield
    stack.upstream.answer = Answer()


@contextlib.contextmanager
def _upstream_down(stack: Stack) -> Iterator[None]:
    stack.upstream.stop()
    yield
    stack.upstream.start()


def _upstream_fault(name: str, answer: Answer, *answers: str, sign: str = "") -> Fault:
    longest = DEADLINE_SECONDS + SLACK_SECONDS + (DELAYED_CLOSE_SECONDS if "cut" in answers else 0)
    promise = Promise(kinds.GOOD, frozenset(answers), longest=longest)
    return Fault(name, promise, lambda stack: _upstream(stack, answer), sign)


UPSTREAM = [
    Fault("down", Promise(kinds.GOOD, frozenset({"503"})), _upstream_down),
    _upstream_fault("close", Answer(behaviour="close"), "503"),
    _upstream_fault("hang", Answer(behaviour="hang"), "504"),
    _upstream_fault("slow_head", Answer(behaviour="slow_head"), "504"),
    # Its head is with the client when the time is over.
    _upstream_fault("slow_body", Answer(behaviour="slow_body"), "cut"),
    _upstream_fault("garbage", Answer(raw=bytes(range(256)) * 16), "502", "503"),
    _upstream_fault("reset in the head", Answer(raw=b"HTTP/1.1 200 O", behaviour="reset"), "502"),
    _upstream_fault("reset in the body", Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", behaviour="reset"), "cut"),
    # Passed on as it comes; what does not fit into the route's time-out is cut.
    _upstream_fault("100 MB", Answer(padding=100_000_000), "cut", "504",
                    sign="cluster.upstream.upstream_flow_control_paused_reading_total"),
]


# --- where audit's events go


@contextlib.contextmanager
def _access_log(stack: Stack, path: str) -> Iterator[None]:
    reload(stack, stack.setup, path)
    yield
    reload(stack, stack.setup)


@contextlib.contextmanager
def _unread_pipe(stack: Stack) -> Iterator[None]:
    """A reader that stops reading: the pipe is full after 64 KiB, and writes to it block."""
    path = stack.access_log.with_name("pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with _access_log(stack, str(path)):
        yield
        # Read again, to the end of the drill: Envoy's thread that writes must not wait for ever.
        os.set_blocking(reader, True)
        threading.Thread(target=_drain, args=(reader,), daemon=True).start()


def _drain(reader: int) -> None:
    while os.read(reader, 1 << 20):
        pass
    os.close(reader)


@contextlib.contextmanager
def _vanished_directory(stack: Stack) -> Iterator[None]:
    """The log's directory is deleted, and Envoy is told to open its logs again, as after a rotation."""
    directory = stack.access_log.with_name("logs")
    directory.mkdir()
    with _access_log(stack, str(directory / "access.log")):
        shutil.rmtree(directory)
        stack.envoy.admin("/reopen_logs", "POST")
        yield


@contextlib.contextmanager
def _refused_log(stack: Stack) -> Iterator[None]:
    """A configuration whose log can't be opened is refused; the one before stays."""
    reload(stack, stack.setup, str(stack.access_log.with_name("nowhere") / "access.log"), refused=True)
    yield


UNLOGGED = Promise(events=False)
AUDIT = [
    Fault("disk full", UNLOGGED, lambda stack: _access_log(stack, "/dev/full"), "filesystem.write_failed"),
    Fault("pipe that nobody reads", UNLOGGED, _unread_pipe, "filesystem.write_total_buffered"),
    Fault("directory deleted", UNLOGGED, _vanished_directory, "filesystem.reopen_failed"),
    Fault("can't be opened", Promise(), _refused_log, REJECTED),
]


# --- a module that traps beside the filters

PANIC = client.http1("GET", b"/health", [(b"x-panic", b"1"), (KIND.encode(), b"panic")])


def _with_probe(setup: config.Setup) -> config.Setup:
    probe = {"module": "test/panic-probe", "name": "panic-probe"}
    return dataclasses.replace(setup, filters=[probe, *setup.filters])


@contextlib.contextmanager
def _repeatedly(action: Callable[[], None], every: float) -> Iterator[None]:
    """Does it now and then again and again."""
    over = threading.Event()

    def work() -> None:
        action()
        while not over.wait(every):
            action()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _panic(stack: Stack) -> None:
    with contextlib.suppress(client.NoAnswer):
        client.exchange1(stack.port, PANIC, seconds=2.0)


NEW_VMS = "wasm.panic-probe.vm_reload_success"
TRAPPED = Promise(kinds.ALL, frozenset({"503"}), recovery=2.0, traps=True)
TRAPS = [
    Fault("one", TRAPPED, lambda stack: _repeatedly(lambda: _panic(stack), every=60.0), NEW_VMS),
    # Connections alternate between the two workers.
    Fault("one a second on each worker", TRAPPED, lambda stack: _repeatedly(lambda: _panic(stack), every=0.5), NEW_VMS, seconds=6.0),
]


# --- requests that might be a query of death


def _send_cases(stack: Stack) -> None:
    """Every request of the end-to-end cases, one after the other, whatever configuration each was written for."""
    for case in cases.load(project.E2E / "cases"):
        for send in cases.requests(case, stack.port):
            with contextlib.suppress(client.NoAnswer, OSError):
                send(0.3)


@contextlib.contextmanager
def _hostile_requests(stack: Stack) -> Iterator[None]:
    thread = threading.Thread(target=_send_cases, args=(stack,))
    thread.start()
    yield
    thread.join()


# --- clients that vanish, and clusters that are not there


def _vanish(stack: Stack, request: bytes, count: int = 200) -> None:
    """So many clients that send a request and are gone before there can be an answer."""
    with contextlib.ExitStack() as connections:
        for _ in range(count):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=2.0))
            connection.sendall(request)
        threading.Event().wait(0.1)


def _gone(stack: Stack) -> ContextManager[None]:
    [read] = [kind for kind in kinds.make() if kind.name == "read"]
    request = read.request().replace(b"\r\n", f"\r\n{KIND}: gone\r\n".encode(), 1)
    return _repeatedly(lambda: _vanish(stack, request), every=0.3)


@contextlib.contextmanager
def _gone_while_keys_are_fetched(stack: Stack) -> Iterator[None]:
    with _gone(stack):
        yield
    stack.idp.fail("")


@contextlib.contextmanager
def _missing_cluster(stack: Stack, name: str) -> Iterator[None]:
    setup = stack.setup
    reload(stack, dataclasses.replace(setup, filters=_replaced(setup.filters, name, "nowhere")))
    yield
    reload(stack, setup)


@contextlib.contextmanager
def _missing_upstream_cluster(stack: Stack) -> Iterator[None]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}}]
    reload(stack, dataclasses.replace(stack.setup, routes=routes), refused=True)
    yield


PARTS = [
    Part("identity provider, keys known", _idp_faults(Promise(), at_start=False)),
    Part("identity provider, no keys yet", [
        *_idp_faults(NO_KEYS, at_start=True),
        Fault("hang, 200 clients vanish", NO_KEYS, _gone_while_keys_are_fetched, FAILED_FETCHES, at_start="hang"),
    ]),
    Part("introspection", INTROSPECTION),
    Part("rate-limit service", SERVICE),
    Part("Redis of the rate-limit service", REDIS, redis=True),
    Part("upstream", UPSTREAM),
    Part("audit's log", AUDIT),
    Part("a module traps", TRAPS, _with_probe),
    # covers: HOST-TRAP-02
    Part("hostile requests", [
        Fault("all of the cases", Promise(others=True), _hostile_requests, "http.ingress.downstream_rq_4xx", seconds=10.0),
    ]),
    Part("clusters", [
        Fault("of the keys is missing", dataclasses.replace(NO_KEYS, instead=False, recovery=1.0),
              lambda stack: _missing_cluster(stack, "idp")),
        Fault("of introspection is missing", dataclasses.replace(UNANSWERED, recovery=1.0),
              lambda stack: _missing_cluster(stack, "introspection")),
        Fault("of the route is missing", Promise(), _missing_upstream_cluster, REJECTED),
    ]),
]
