"""The traffic of the drill: requests that must pass, and those that must be refused whatever happens."""

import itertools

from harness import client, idp
from harness.stack import Stack
from harness.traffic import Kind

# The drill takes minutes.
LIFETIME = {"claims": {"exp": "${now+3600}"}}
JSON = (b"content-type", b"application/json")
SESSION = (b"cookie", b"sid=1")
OPAQUE = "mF_9~B5f-4~1JqM"


def bearer(token: str) -> tuple[bytes, bytes]:
    """The field that carries a token."""
    return (b"authorization", b"Bearer " + token.encode())


def tell_issuer(stack: Stack) -> None:
    """Makes the opaque token of the traffic one that its issuer knows."""
    stack.introspection.opaque[OPAQUE] = idp.active(iss=idp.OTHER_ISSUER, **LIFETIME["claims"])


def make() -> tuple[Kind, ...]:
    """All kinds, with fresh tokens. Without keys, those of `KEYED` can't be judged."""
    good = bearer(idp.mint(LIFETIME))
    forged = bearer(idp.mint({**LIFETIME, "key": "stranger", "header": {"kid": "r1"}}))
    expired = bearer(idp.mint({"claims": {"iat": "${now-900}", "exp": "${now-600}"}}))
    numbers = itertools.count()

    def unknown_key() -> bytes:
        # A different key id each time: the flood that makes a naive client fetch each time.
        token = idp.mint({**LIFETIME, "header": {"kid": f"unknown-{next(numbers)}"}, "signature": "zero"})
        return client.http1("GET", b"/orders/7", [bearer(token)])

    def fixed(name: str, expected: str, clients: int, request: bytes) -> Kind:
        return Kind(name, lambda: request, expected, clients)

    return (
        fixed("read", "200", 3, client.http1("GET", b"/orders/7", [good])),
        fixed("create", "200", 1, client.http1("POST", b"/orders", [good, JSON], b'{"item":"tea"}')),
        fixed("opaque", "200", 2, client.http1("GET", b"/orders/7", [bearer(OPAQUE)])),
        fixed("inactive", "401 jwt.invalid_token", 1, client.http1("GET", b"/orders/7", [bearer("unknown")])),
        fixed("health", "200", 1, client.http1("GET", b"/health", [])),
        fixed("no token", "401 jwt.missing", 1, client.http1("GET", b"/orders/7", [])),
        fixed("forged", "401 jwt.invalid_token", 1, client.http1("GET", b"/orders/7", [forged])),
        fixed("expired", "401 jwt.invalid_token", 1, client.http1("GET", b"/orders/7", [expired])),
        Kind("unknown key", unknown_key, "401 jwt.invalid_token", 2),
        fixed("page", "200", 1, client.http1("GET", b"/orders/7", [good, SESSION, (b"origin", b"https://app.test")])),
        fixed("preflight", "204", 1, client.http1("OPTIONS", b"/orders", [
            (b"origin", b"https://app.test"), (b"access-control-request-method", b"POST")])),
        fixed("other site", "403 header.cross_site", 1, client.http1("GET", b"/orders/7", [
            good, SESSION, (b"sec-fetch-site", b"cross-site")])),
        fixed("two sessions", "400 header.duplicate", 1, client.http1("GET", b"/orders/7", [good, SESSION, SESSION])),
        fixed("bad body", "400 schema.invalid", 2, client.http1("POST", b"/orders", [good, JSON], b'{"item":7}')),
        fixed("bad path", "404 schema.unknown_path", 1, client.http1("GET", b"/admin", [good])),
        fixed("login limit", "429 rate.exceeded", 2, client.http1("POST", b"/login", [JSON], b'{"user":"u"}')),
        fixed("shared limit", "429 rate.exceeded", 1, client.http1("GET", b"/shared", [])),
        fixed("user limit", "429 rate.exceeded", 1, client.http1("DELETE", b"/orders/7", [good])),
    )


# Those that must reach the upstream.
GOOD = frozenset({"read", "page", "create", "opaque", "health"})
# Those whose verdict needs a key of the identity provider.
KEYED = frozenset({"read", "page", "create", "forged", "unknown key", "bad body", "bad path", "user limit"})
# Those that an issuer is asked about.
ASKED = frozenset({"opaque", "inactive"})
# Those over a limit, once the limit's first requests have passed.
LIMITED = frozenset({"login limit", "shared limit", "user limit"})
ALL = frozenset(kind.name for kind in make())
