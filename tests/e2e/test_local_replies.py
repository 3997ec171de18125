"""Answers that Envoy makes by itself, before any filter is asked or after: which ones header-guard sees
(docs/header-guard.md), and that the bootstraps of envoy-config/ give all of them its profile, each field once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

import pytest

from harness import client, examples, profile
from harness.envoy import Envoy
from harness.idp import IdentityProvider
from harness.upstream import Answer, Upstream

HARDENED = [path for path in examples.FILES if path.stem in ("header-guard", "chain", "suite")]
GOOD2 = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"api.test")]


@dataclass(frozen=True)
class Reply:
    """What is sent, by HTTP/1.1 or as the fields of HTTP/2, and the status that it gets. `seen`: by header-guard."""

    name: str
    status: int
    raw: bytes = b""
    fields: Optional[client.Fields] = None
    seen: bool = False


def get(target: bytes = b"/health", *fields: tuple[bytes, bytes]) -> bytes:
    return client.http1("GET", target, list(fields))


REPLIES = [
    Reply("no HTTP", 400, b"GARBAGE\r\n\r\n"),
    Reply("TLS to a port without", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 60),
    Reply("a method that is no token", 400, b"G@T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    Reply("a space in a name", 400, get(b"/", (b"x a", b"1"))),
    Reply("NUL in a value", 400, get(b"/", (b"x-a", b"a\0"))),
    Reply("an underscore in a name", 400, get(b"/", (b"x_a", b"1"))),
    Reply("two lengths", 400, get(b"/", (b"content-length", b"1"), (b"content-length", b"2"))),
    Reply("a length and chunks", 400, get(b"/", (b"content-length", b"1"), (b"transfer-encoding", b"chunked"))),
    Reply("no host", 400, b"GET / HTTP/1.1\r\n\r\n"),
    Reply("an escaped slash", 400, get(b"/a%2fb")),
    Reply("an escaped slash in HTTP/2", 400, fields=[*GOOD2, (b":path", b"/a%2fb")]),
    Reply("an escaped slash in gRPC", 200, fields=[*GOOD2, (b":path", b"/a%2fb"), (b"content-type", b"application/grpc")]),
    Reply("no absolute path", 404, b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"),
    Reply("an upgrade that is not configured", 403, get(b"/", (b"connection", b"upgrade"), (b"upgrade", b"websocket"))),
    Reply("a head that does not end", 408, b"GET / HTTP/1.1\r\nhost: a\r\n"),
    Reply("HTTP/1.0", 426, b"GET / HTTP/1.0\r\n\r\n"),
    Reply("too many fields", 431, get(b"/", *[(b"x-%d" % number, b"1") for number in range(101)])),
    Reply("too large a head", 431, get(b"/", (b"x-a", b"a" * 33_000))),
    Reply("an unknown coding", 501, get(b"/", (b"transfer-encoding", b"gzip"))),
    Reply("no route", 404, b"GET /health HTTP/1.1\r\nhost: nobody.test\r\n\r\n", seen=True),
    Reply("a broken chunk", 400, get(b"/health", (b"transfer-encoding", b"chunked")) + b"zz\r\n", seen=True),
    Reply("no answer of the upstream", 503, get(), seen=True),
]


@pytest.fixture(scope="module", params=HARDENED, ids=[path.stem for path in HARDENED])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A bootstrap as it is."""
    yield from _run(request.param, tmp_path_factory.mktemp("logs"), local_replies=True)


@pytest.fixture(scope="module")
def bare_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The bootstrap of header-guard without its `local_reply_config`."""
    [path] = (path for path in HARDENED if path.stem == "header-guard")
    yield from _run(path, tmp_path_factory.mktemp("logs"), local_replies=False)


# covers: HG-RSP-01
@pytest.mark.parametrize("reply", REPLIES, ids=[reply.name for reply in REPLIES])
def test_an_answer_of_envoys_own_has_the_profile_once(port: int, reply: Reply) -> None:
    answer = _exchange(port, reply)
    assert answer.status == reply.status and profile.compare("api-2026", answer) == [], answer
    assert answer.values("content-type") in (["application/problem+json"], ["application/grpc"])


@pytest.mark.parametrize("reply", REPLIES, ids=[reply.name for reply in REPLIES])
def test_without_local_reply_config_it_has_it_where_filters_are_asked(bare_port: int, reply: Reply) -> None:
    answer = _exchange(bare_port, reply)
    assert answer.status == reply.status
    assert profile.compare("api-2026" if reply.seen else "absent", answer) == [], answer


def _run(path: Path, directory: Path, local_replies: bool) -> Iterator[int]:
    with Upstream() as upstream, IdentityProvider() as idp:
        upstream.answer = Answer(behaviour="close")
        bootstrap = examples.load(path, upstream.port, idp.port, directory)
        manager = examples.connection_manager(bootstrap)
        manager["request_headers_timeout"] = "0.5s"
        manager["route_config"]["virtual_hosts"][0]["domains"] = ["a", "api.test"]
        if not local_replies:
            del manager["local_reply_config"]
        with Envoy(bootstrap) as envoy:
            yield envoy.port("api")
            assert not envoy.traps()


def _exchange(port: int, reply: Reply) -> client.Response:
    if reply.fields is not None:
        return client.exchange2(port, reply.fields)
    [answer] = client.exchange1(port, reply.raw)
    return answer
