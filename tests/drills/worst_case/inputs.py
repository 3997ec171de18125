"""The inputs of the worst case: for each filter the largest ordinary request it lets through, and hostile ones."""

import json
import random
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from harness import client, config, idp
from soak.traffic import MARK

KIB, MIB = 1 << 10, 1 << 20
# More than jwt-auth remembers of this size (4 MiB), so that each is verified anew.
TOKENS = 700
LIFETIME = "${now+36000}"
# A connection manager that refuses as little as it can, so that the filter has the work.
WIDE = {"max_request_headers_kb": 96, "common_http_protocol_options": {"max_headers_count": 5000}}
ANSWER = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
# Time is linear: 10 ms of processor time for a MiB of the characters that detectors stumble over, 50 us for a KiB of
# target.
MS_OF_A_MIB, MS_OF_A_TARGET = 10.0, 3.0


@dataclass(frozen=True, eq=False)
class Input:
    """Requests of one kind, sent in turn; all have the same size.

    milliseconds  of processor time that one may cost besides the ratios; 0: no such bound
    statuses      one of these must be the answer; empty: any
    """

    name: str
    requests: Sequence[bytes]
    milliseconds: float = 0.0
    statuses: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """In bytes, everything included."""
        return len(self.requests[0])


@dataclass(frozen=True)
class Subject:
    """One filter. `largest` is answered 200, and so is `ordinary`, a request of about 1 KiB."""

    filter: str
    setup: config.Setup
    largest: Input
    ordinary: Input
    hostile: list[Input] = field(default_factory=list)


def header_guard() -> Subject:
    """At most 100 fields and 32 KiB, those included that Envoy adds."""
    return Subject("header-guard", _setup("header-guard", {}), _largest(_fields(90, 320)), _ordinary(_fields(15, 30)), [
        *_targets((400, 414)),
        _get("5,000 fields", [(b"x-%d" % n, b"1") for n in range(4900)]),
        _get("one value of 80 KiB", [(b"x-a", b"a" * 80 * KIB)]),
        _get("address list of 10,000 entries", [(b"x-forwarded-for", b"1.2.3.4," * 10_000)]),
        _get("connection names 8,000 fields", [(b"connection", b",".join(b"x-%d" % n for n in range(8000)))]),
        _get("98 names with underscores", [(b"x_%d" % n, b"a" * 300) for n in range(98)]),
        _get("98 copies of a single field", [(b"content-type", b"text/plain")] * 98),
        _get("98 forwarding fields of bytes that are no text", [(b"x-forwarded-for", b"\xff" * 300)] * 98),
        _get("cookie of 60,000 semicolons", [(b"cookie", b";" * 60_000)]),
        _get("range of 15,000 parts", [(b"range", b"bytes=" + b"0-1," * 15_000)]),
        _get("8 KiB list where one value is allowed", [(b"authorization", b"Bearer a," * 800)]),
    ])


def rate_limit() -> Subject:
    """Two limits apply to each request: by address from a list, and by a field."""
    setup = _setup("rate-limit", {
        "client_address": {"trusted_hops": 31},
        "limits": [{"id": "a", "requests": 1_000_000, "per": "1s"},
                   {"id": "k", "key": ["client_address", {"header": "x-key"}], "requests": 1_000_000, "per": "1s"},
                   {"id": "p", "match": {"path": "/orders/{id}"}, "key": [], "requests": 1_000_000, "per": "1s"}],
    })
    return Subject("rate-limit", setup, _largest(_fields(98, 300)), _ordinary(_fields(15, 30)), [
        *_targets(),
        _get("address list of 10,000 entries", [(b"x-forwarded-for", b"1.2.3.4," * 10_000)]),
        _get("80 KiB of commas as address list", [(b"x-forwarded-for", b"," * 80 * KIB)]),
        _get("4,000 address lists", [(b"x-forwarded-for", b"1.2.3.4")] * 4000),
        _get("addresses that are none, 60 KiB each", [(b"x-forwarded-for", b":" * 60 * KIB)]),
        _get("a key of 80 KiB", [(b"x-key", MARK + b"k" * 80 * KIB)]),
        _get("a new key each time", [(b"x-key", MARK)]),
        _get("4,000 keys", [(b"x-key", b"a")] * 4000),
    ])


def jwt_auth() -> Subject:
    """Tokens of at most 8 KiB; no two are the same."""
    provider = {"name": "main", "issuer": idp.ISSUER, "audiences": [idp.AUDIENCE], "jwks": {"inline": "${jwks:r1,e1}"}}
    setup = _setup("jwt-auth", {"providers": [provider]})
    groups = ["g" * 20] * 230  # makes it 7.5 KiB
    largest = [idp.mint({"claims": {"sub": f"u{n:05}", "exp": LIFETIME, "groups": groups}}) for n in range(TOKENS)]
    ordinary = [idp.mint({"claims": {"sub": f"u{n:05}", "exp": LIFETIME}}) for n in range(TOKENS)]
    header, claims, signature = largest[0].split(".")
    # The first signature that is replaced by the mark is that of RSA; the mark has 16 bytes.
    forged = f"{header}.{claims}.{MARK.decode()}{signature[16:]}"

    def claims_of(text: str) -> str:
        return f"{header}.{idp.b64(text.encode())}.{MARK.decode()}"

    def header_of(text: str) -> str:
        return f"{idp.b64(text.encode())}.{claims}.{MARK.decode()}"

    return Subject("jwt-auth", setup, _largest(_bearers("", largest)), _ordinary(_bearers("", ordinary)), [
        _bearers("bad signature", [forged]),
        _bearers("bad signature, two keys to try", [_without_kid(groups)]),
        _bearers("unknown kid", [header_of(json.dumps({"alg": "RS256", "kid": "k" * 20}))]),
        _bearers("claims: 6 KiB of [", [claims_of("[" * 6000)]),
        _bearers("claims: 30 levels, 500 times", [claims_of('{"a":[' + ",".join(["[" * 5 + "]" * 5] * 500) + "]}")]),
        _bearers("claims: 600 names, the last one twice",
                 [claims_of("{" + ",".join(f'"{n}":1' for n in range(600)) + ',"599":1}')]),
        _bearers("claims: 6 KiB of escapes", [claims_of('{"a":"' + "\\u0041" * 950 + '","iss":1}')]),
        _bearers("claims: a number of 6,000 digits", [claims_of('{"exp":' + "9" * 5900 + "}")]),
        _bearers("claims: 6 KiB of backslashes", [claims_of('{"a":"' + "\\" * 5800 + '"}')]),
        _bearers("claims: an audience list of 1,000",
                 [claims_of(json.dumps({"iss": idp.ISSUER, "exp": 9e9, "aud": ["b"] * 1000}))]),
        _bearers("a token of 80 KiB", [MARK.decode() + "a" * 80 * KIB]),
        _bearers("8,000 dots", ["." * 8000 + MARK.decode()]),
        _bearers("80 KiB of dots", ["." * 80 * KIB + MARK.decode()]),
        _get("500 credentials", [(b"authorization", b"Bearer " + ordinary[0][:100].encode())] * 500),
        *_targets(),
    ])


def schema_guard() -> Subject:
    """Bodies of at most 1 MiB."""
    order = {"sku": "ABC-1234", "count": 3, "note": "please ring twice", "price": 19.9}
    many = [dict(order, count=n % 90 + 1) for n in range(12_500)]
    one = json.dumps([order]).encode()
    full = json.dumps(many).encode()
    full += b" " * (MIB - 1024 - len(full))
    big = MIB - 1024
    names = b",".join(b'"key%06d":1' % n for n in range(60_000))
    rng = random.Random(1)

    def orders(name: str, body: bytes, milliseconds: float = 0.0) -> Input:
        return Input(name, _post("", b"/orders", body).requests, milliseconds)

    return Subject("schema-guard", _setup("schema-guard", {"document": DOCUMENT, "max_body": "1MiB"}),
                   _largest(orders("", full)), _ordinary(orders("", one)), [
        *(orders(f"1 MiB of {sign}", sign.encode() * big, MS_OF_A_MIB) for sign in "[{'<%"),
        *(orders(f"1 MiB of {sign} in a text", b'["' + sign.encode() * (big - 4) + b'"]', MS_OF_A_MIB) for sign in "\"'<%\\"),
        orders("512 KiB of escaped backslashes", b'["' + b"\\\\" * (big // 2 - 2) + b'"]', MS_OF_A_MIB),
        orders("objects within each other, 1 MiB", b'{"a":' * (big // 5)),
        orders("1 MiB of escapes", b'["' + b"\\u0041" * (big // 6 - 2) + b'"]'),
        orders("1 MiB of surrogates that are alone", b'["' + b"\\ud800" * (big // 6 - 2) + b'"]'),
        orders("1 MiB of bytes that are no text", b'["' + b"\xff" * (big - 4) + b'"]'),
        orders("a number of 1 MiB", b"[" + b"9" * (big - 2) + b"]"),
        orders("1e999999999, 60,000 times", b"[" + b",".join([b"1e999999999"] * 60_000) + b"]"),
        orders("60,000 names, the last one twice", b"[{" + names + b',"key059999":1}]'),
        orders("60,000 names that nobody knows", b"[{" + names + b"}]"),
        orders("13,500 orders, all wrong", json.dumps([dict(order, sku="abc", count=0) for _ in range(13_500)]).encode()),
        _post("unique: 60,000 numbers", b"/unique", json.dumps(rng.sample(range(10**8), 60_000)).encode()),
        _post("unique: 60,000 numbers, the last twice", b"/unique", json.dumps([*range(60_000), 59_999]).encode()),
        _post("unique: 3,900 lists with one beginning", b"/unique", json.dumps([[0] * 14 + [n] for n in range(3_900)]).encode()),
        _post("unique: 3,900 texts with one beginning", b"/unique",
              json.dumps(["a" * 240 + f"{n:05}" for n in range(3_900)]).encode()),
        _post("pattern: (a+)+$ on 1 MiB", b"/pattern", b'"' + b"a" * (big - 4) + b'!"'),
        _post("pattern: 200 alternatives on 1 MiB", b"/alternatives", b'"' + b"ab" * (big // 2 - 4) + b'"'),
        _post("choice of 3, recursive, 60 levels", b"/tree", b'{"a":' * 60 + b"1" + b"}" * 60),
        _post("form of 90,000 fields, which is not looked at", b"/form", b"&".join(b"f%d=%%41" % n for n in range(90_000)),
              b"application/x-www-form-urlencoded"),
        orders("10 KiB of [", b"[" * 9000),
        orders("10 KiB of names, one twice", b"[{" + b",".join(b'"%d":1' % n for n in range(1000)) + b',"9":1}]'),
        _post("choice of 3, recursive, 25 levels", b"/tree", b'{"a":' * 25 + b"1" + b"}" * 25),
        *_targets(),
    ])


def audit() -> Subject:
    """Everything it may write comes from the client."""
    setup = _setup("audit", {"headers": ["user-agent", "referer", "x-note"], "fields": ["path", "bytes", "flags"],
                             "client_address": {"trusted_hops": 31}})
    token = idp.mint({}).encode()
    return Subject("audit", setup, _largest(_fields(98, 300)), _ordinary(_fields(15, 30)), [
        *_targets(),
        _get("agent: 80 KiB of bytes that are no text", [(b"user-agent", b"\xff" * 80 * KIB)]),
        _get("agent: 80 KiB of quotes", [(b"user-agent", b'"' * 80 * KIB)]),
        _get("note: 100 tokens", [(b"x-note", b" ".join([token] * 100))]),
        _get("note: 80 KiB of dots", [(b"x-note", b"." * 80 * KIB)]),
        _get("note: 80 KiB of eyJ", [(b"x-note", b"eyJ" * 27_000)]),
        _get("note: 80 KiB of bidirectional characters", [(b"x-note", "\u202e".encode() * 27_000)]),
        _get("referer: 20,000 parameters", [(b"referer", b"https://a/?" + b"a=b&" * 20_000)]),
        _get("referer: 80 KiB of @", [(b"referer", b"https://" + b"@" * 80_000)]),
        _get("address list of 10,000 entries", [(b"x-forwarded-for", b"1.2.3.4," * 10_000)]),
        _get("path of 4,000 addresses", target=b"/a@b.example" * 4000),
        _get("path of 8,500 names and numbers", target=b"/keys/1" * 8_500),
        _get("path of 30,000 digits", target=b"/1" * 30_000),
        _get("agent: 16,000 words", [(b"user-agent", b"aaa1 " * 16_000)]),
        _get("agent: 16,000 paths", [(b"user-agent", b"/a1 " * 16_000)]),
        _get("agent: 80 KiB of URLs", [(b"user-agent", b"a://b " * 13_000)]),
        _get("path of secrets", target=b"/5f1d7a3c9e2b48d0a6c45f1d7a3c9e2b" * 1500),
        _get("4,900 notes", [(b"x-note", b"1")] * 4900),
    ])


def _largest(made: Input) -> Input:
    return Input("the largest ordinary request", made.requests, statuses=(200,))


def _ordinary(made: Input) -> Input:
    return Input("an ordinary request", made.requests, statuses=(200,))


def _targets(statuses: tuple[int, ...] = ()) -> list[Input]:
    targets = {
        "path: 30,000 segments": b"/a" * 30_000,
        "path: 20,000 times ../": b"/" + b"../" * 20_000,
        "path: 60 KiB of %": b"/" + b"%" * 60_000,
        "path: 20,000 encoded letters": b"/" + b"%41" * 20_000,
        "query: 10,000 parameters": b"/orders/7?" + b"&".join(b"p%04d" % n for n in range(10_000)),
        "query: 60 KiB of &": b"/orders/7?" + b"&" * 60_000,
    }
    return [Input(name, _get("", target=target).requests, MS_OF_A_TARGET, statuses) for name, target in targets.items()]


def _setup(module: str, settings: Any) -> config.Setup:
    return config.Setup(filters=[{"module": module, "config": settings}], connection_manager="bare", routes=ANSWER,
                        options={"use_remote_address": True, **WIDE})


def _get(name: str, fields: client.Fields = [], target: bytes = b"/orders/7") -> Input:
    return Input(name, [client.http1("GET", target, [(b"x-id", MARK), *fields])])


def _fields(count: int, length: int) -> Input:
    return _get("", [(b"x-field-%d" % n, b"v" * length) for n in range(count)])


def _bearers(name: str, tokens: Sequence[str]) -> Input:
    return Input(name, [client.http1("GET", b"/orders/7", [(b"authorization", b"Bearer " + token.encode())]) for token in tokens])


def _without_kid(groups: list[str]) -> str:
    signed, _, signature = idp.mint({"without": ["kid"], "claims": {"exp": LIFETIME, "groups": groups}}).rpartition(".")
    return f"{signed}.{MARK.decode()}{signature[16:]}"


def _post(name: str, target: bytes, body: bytes, media_type: bytes = b"application/json") -> Input:
    return Input(name, [client.http1("POST", target, [(b"content-type", media_type), (b"x-id", MARK)], body)])


def _body(schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    return {"post": {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}},
                     "responses": {"200": {"description": "ok"}}}}


DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Orders", "version": "1"},
    "paths": {
        "/orders/{id}": {"get": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                                 "responses": {"200": {"description": "ok"}}}},
        "/orders": _body({"type": "array", "items": {
            "type": "object", "required": ["sku", "count"], "properties": {
                "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
                "count": {"type": "integer", "minimum": 1, "maximum": 100},
                "note": {"type": "string", "maxLength": 100}, "price": {"type": "number", "minimum": 0}}}}),
        "/unique": _body({"type": "array", "uniqueItems": True}),
        "/pattern": _body({"type": "string", "pattern": "^(a+)+$"}),
        "/alternatives": _body({"type": "string", "pattern": "^(" + "|".join(f"(ab)*{n}" for n in range(200)) + ")$"}),
        "/tree": _body({"$ref": "#/components/schemas/Tree"}),
        "/form": _body({"type": "object", "properties": {"f": {"type": "string"}}}, "application/x-www-form-urlencoded"),
    },
    "components": {"schemas": {"Tree": {"anyOf": [
        {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Tree"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Tree"}}, "required": ["a", "c"]},
        {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Tree"}}, "required": ["a", "d"]}]}}},
}

# In the order of a chain. Called when needed: tokens take a second.
SUBJECTS: dict[str, Callable[[], Subject]] = {
    "header-guard": header_guard, "audit": audit, "rate-limit": rate_limit, "jwt-auth": jwt_auth, "schema-guard": schema_guard,
}
