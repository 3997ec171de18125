"""Each module works with the host functions and callbacks of its committed lists alone; without one, nothing passes.

Envoy's `capability_restriction_config` refuses calls and silently leaves out callbacks that it does not name.
"""

from dataclasses import dataclass
from typing import Any, Mapping

import pytest

from harness import client, config, idp, project
from harness.stack import Stack

LISTS = project.ROOT / "tests" / "module-check"
TOKEN = b"Bearer " + idp.mint({}).encode()
TOKEN_RULES = {"providers": [{"name": "main", "issuer": idp.ISSUER, "audiences": [idp.AUDIENCE],
                              "jwks": {"inline": "${jwks:r1}"}}]}
PATTERN = {"name": "q", "in": "query", "schema": {"type": "string", "pattern": "^[a-z]+$"}}
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"},
            "paths": {"/orders": {"get": {"parameters": [PATTERN], "responses": {"200": {"description": "ok"}}}}}}


@dataclass
class Use:
    """A configuration of a module, a request that it lets through and one that it refuses with this status."""

    config: Mapping[str, Any]
    passes: bytes = client.http1("GET", b"/orders", [])
    refused: bytes = b""
    status: int = 0


USES = {
    # It refuses nothing by itself.
    "audit": Use({}),
    "header-guard": Use({}, refused=client.http1("GET", b"/orders", [(b"accept", b"\xff")]),
                        status=400),
    "jwt-auth": Use(TOKEN_RULES, passes=client.http1("GET", b"/orders", [(b"authorization", TOKEN)]),
                    refused=client.http1("GET", b"/orders", []), status=401),
    # The same request a second time.
    "rate-limit": Use({"limits": [{"id": "one", "key": ["client_address"], "requests": 1, "per": "1h"}]},
                      refused=client.http1("GET", b"/orders", []), status=429),
    "schema-guard": Use({"document": DOCUMENT}, refused=client.http1("GET", b"/orders?q=1", []), status=400),
    "suite": Use({"filters": [{"filter": "header-guard"}, {"filter": "audit"},
                              {"filter": "jwt-auth", "config": TOKEN_RULES},
                              {"filter": "schema-guard", "config": {"document": DOCUMENT}}]},
                 passes=client.http1("GET", b"/orders", [(b"authorization", TOKEN)]),
                 refused=client.http1("GET", b"/orders", []), status=401),
}


def capabilities() -> list[str]:
    """What an operator allows: every import, and every callback that is exported."""
    imports, exports = (_names(LISTS / file) for file in ("imports.txt", "exports.txt"))
    return [name.split(".")[1] for name in imports] + [name for name in exports if name.startswith("proxy_on_")]


def _names(path: Any) -> list[str]:
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    # Behind a name are the modules that it is for; to allow it to others is harmless.
    return [words[0] for words in lines if words]


def stack_without(module: str, missing: str = "") -> Stack:
    """The module in an Envoy that allows it its lists but for one name."""
    allowed = [name for name in capabilities() if name != missing]
    return Stack(config.Setup([{"module": module, "config": USES[module].config, "capabilities": allowed}]), concurrency=1)


def status(stack: Stack, request: bytes) -> int:
    """The status of the one answer."""
    [answer] = client.exchange1(stack.port, request)
    return answer.status


# covers: HOST-CTX-11, SUP-BLD-03
@pytest.mark.parametrize("module", USES)
def test_a_module_needs_nothing_beyond_its_lists(module: str) -> None:
    with stack_without(module) as stack:
        assert status(stack, USES[module].passes) == 200
        assert len(stack.upstream.requests) == 1
        if USES[module].refused:
            assert status(stack, USES[module].refused) == USES[module].status
            assert len(stack.upstream.requests) == 1
        # Envoy says so when a module calls what it may not.
        assert "restricted proxy-wasm capability" not in stack.logs()
        assert not stack.envoy.traps()


@pytest.mark.parametrize("missing", ["proxy_on_configure", "proxy_on_request_headers"])
@pytest.mark.parametrize("module", USES)
def test_a_callback_that_is_not_allowed_does_not_open_the_way(module: str, missing: str) -> None:
    with stack_without(module, missing) as stack:
        assert status(stack, USES[module].passes) == 503
        # Without the request callback the request reaches the upstream; its answer does not reach the client.
        if missing == "proxy_on_configure":
            assert stack.upstream.requests == []
        # The callback for a body is one before the upstream sees anything.
        seen = len(stack.upstream.requests)
        assert status(stack, client.http1("POST", b"/orders", [], b"{}")) == 503
        assert len(stack.upstream.requests) == seen
        assert not stack.envoy.traps()


# The seeds of hash tables were once taken by the standard library, which panics when there is no randomness.
@pytest.mark.parametrize("module", USES)
def test_without_randomness_no_module_traps(module: str) -> None:
    with stack_without(module, "random_get") as stack:
        # rate-limit can't make the secret seed of its buckets, and refuses.
        assert status(stack, USES[module].passes) == (503 if module == "rate-limit" else 200)
        if module != "rate-limit" and USES[module].refused:
            assert status(stack, USES[module].refused) == USES[module].status
        assert not stack.envoy.traps()
