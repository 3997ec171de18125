"""The requests of the soak: exact bytes, good and hostile, each kind with the statuses that are right for it."""

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import Callable, Iterable, Optional

from harness import client, idp

# Stands in a template where each request gets text of its own. It has 16 letters and digits, and so has what replaces
# it: lengths stay true. That text is itself base64url of 12 digits and letters, so the place may be within a token.
MARK = b"TWFya09mRWFjaFJx"
MARK_TEXT = base64.b64decode(MARK).decode()
# More than a worker remembers (1,000 verified tokens), so that tokens are pushed out and come back.
GOOD_TOKENS = 3_000
# So few that each is asked about again and again, when the time is over for which an answer is believed.
OPAQUE_TOKENS = 300
VARIANTS = 200
# More clients than a limit has slots (16,384), so that buckets are pushed out.
ADDRESSES = 30_000
# Six days and more: longer than a soak takes, and within `max_lifetime` of configs/soak.yaml.
LIFETIME = "${now+600000}"
# Origins of configs/soak.yaml, and some that only look like them.
OWN = [b"https://app.test", b"https://APP.test:443", b"https://" + MARK.lower() + b".shop.test"]
FOREIGN = [b"null", b"https://app.test." + MARK.lower(), b"https://a." + MARK + b".shop.test", b"http://app.test", MARK,
           b"https://app.test/" + MARK]
JSON = (b"content-type", b"application/json")
PASSED = frozenset({200})
LIMITED = frozenset({200, 429})
# Refused by Envoy or by a filter, whoever comes first. Never 200, and never 500 or 503: nobody is down.
REFUSED = frozenset({400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 426, 429, 431, 501})


@dataclass(frozen=True)
class Kind:
    """One kind of request.

    share       of all requests, in per mille
    templates   what is sent, with `MARK` where each request differs
    expected    the statuses that are right
    reset       the client goes away instead of waiting for the answer; the template is then not a whole request
    """

    name: str
    share: int
    templates: list[bytes]
    expected: frozenset[int] = REFUSED
    reset: bool = False


def unique(number: int) -> bytes:
    """What stands in for `MARK` in the request with this number, below 2^48."""
    return base64.b64encode(b"%012x" % number)


def tell_issuer(provider: idp.IdentityProvider) -> None:
    """Makes the opaque tokens that must pass ones that their issuer knows."""
    provider.opaque.update({token: idp.active(iss=idp.OTHER_ISSUER, sub=token, exp=LIFETIME) for token in _opaque()})


def _opaque() -> list[str]:
    return [f"opaque-{number}" for number in range(OPAQUE_TOKENS)]


def kinds(seed: int) -> list[Kind]:
    """All kinds; the shares add up to 1000."""
    rng = random.Random(seed)
    good = [idp.mint({"key": rng.choice(["r1", "e1"]), "claims": {"sub": f"u{n}", "exp": LIFETIME}}) for n in range(GOOD_TOKENS)]
    maker = _Maker(rng, good)
    return [
        Kind("good: read an order", 100, [maker.get(f"/orders/{n + 1}", token) for n, token in enumerate(good)], PASSED),
        Kind("good: list with a query", 50, maker.many(maker.listing), PASSED),
        Kind("good: create", 50, maker.many(lambda: maker.order(MARK_TEXT)), PASSED),
        Kind("good: large body", 3, maker.many(lambda: maker.order("é" * 20_000), 10), PASSED),
        Kind("limited: login from any address", 50, maker.many(maker.login, ADDRESSES), LIMITED),
        Kind("limited: any partner key", 40, maker.many(lambda: maker.get("/orders/7", None, (b"x-api-key", MARK))), LIMITED),
        Kind("good: opaque token", 15, [maker.get("/orders/7", token) for token in _opaque()], PASSED),
        Kind("token: opaque, not active", 10, maker.many(lambda: maker.get("/orders/7", MARK.decode()))),
        Kind("token: another kid", 70, maker.many(maker.unknown_kid)),
        Kind("token: bad signature", 70, [maker.get("/orders/7", token) for token in maker.forged()]),
        Kind("token: wrong in form", 65, [maker.get("/orders/7", token) for token in maker.malformed()]),
        Kind("token: huge", 10, maker.many(maker.huge_token)),
        Kind("path", 70, maker.many(maker.path)),
        Kind("query", 50, maker.many(maker.query)),
        Kind("header fields, refused", 60, maker.many(maker.bad_fields)),
        Kind("header fields, harmless", 50, maker.many(maker.odd_fields), PASSED),
        Kind("page: preflight", 10, maker.many(maker.preflight), frozenset({204})),
        Kind("page: preflight, refused", 10, maker.many(maker.bad_preflight), frozenset({400, 403})),
        Kind("page: of an own origin", 10, maker.many(maker.own_page), PASSED),
        Kind("page: of another site", 10, maker.many(maker.foreign_page), frozenset({400, 403})),
        Kind("cookies: two of a session", 10, maker.many(maker.two_sessions), frozenset({400})),
        Kind("body: wrong", 80, maker.many(maker.body)),
        Kind("body: chunked and wrong", 30, maker.many(lambda: maker.chunked(maker.wrong_json()))),
        Kind("method", 27, maker.many(maker.method)),
        Kind("reset: within the header fields", 20, maker.many(lambda: maker.cut(maker.get("/orders/7"))), reset=True),
        Kind("reset: within the body", 30, maker.many(maker.cut_body), reset=True),
    ]


class _Maker:
    """Makes templates; all chance comes from `rng`."""

    def __init__(self, rng: random.Random, good: list[str]) -> None:
        self._rng = rng
        self._good = good

    def many(self, make: Callable[[], bytes], count: int = VARIANTS) -> list[bytes]:
        return [make() for _ in range(count)]

    def text(self, length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(self._rng.choices(alphabet, k=length))

    def get(self, target: str, token: Optional[str] = None, *fields: tuple[bytes, bytes], method: str = "GET",
            body: bytes = b"") -> bytes:
        """A request with a good token, or another one; always with a trace and a user agent of its own."""
        bearer = (token or self._rng.choice(self._good)).encode("latin-1")
        headers = [(b"authorization", b"Bearer " + bearer), (b"user-agent", b"soak/" + MARK), *fields]
        return client.http1(method, target.encode("latin-1"), headers, body)

    def listing(self) -> bytes:
        return self.get(f"/orders?limit={self._rng.randint(1, 100)}&state=open")

    def order(self, note: str) -> bytes:
        """A good order."""
        order = json.dumps({"item": "tea", "quantity": self._rng.randint(1, 9), "note": note}, ensure_ascii=False)
        return self.post(order.encode().replace(MARK_TEXT.encode(), MARK))

    def post(self, body: bytes) -> bytes:
        return self.get("/orders", None, JSON, method="POST", body=body)

    def login(self) -> bytes:
        address = self._rng.choice([
            ".".join(str(self._rng.randint(1, 223)) for _ in range(4)),
            ":".join(f"{self._rng.randint(0x2000, 0xffff):x}" for _ in range(8)),
        ])
        forwarded = f"{self.text(9)}, 10.0.0.1, {address}".encode()
        fields = [(b"x-forwarded-for", forwarded), (b"x-note", MARK), JSON]
        return client.http1("POST", b"/login", fields, b'{"user":"' + MARK + b'"}')

    def huge_token(self) -> bytes:
        return self.get("/orders/7", f"{self.text(self._rng.randint(8_300, 30_000))}.{MARK.decode()}.x")

    def unknown_kid(self) -> bytes:
        header = json.dumps({"alg": "RS256", "kid": MARK_TEXT, "typ": "JWT"}, separators=(",", ":"))
        # `kid` must begin at a multiple of 3 bytes, so that its base64 is one piece.
        shift = -header.index(MARK_TEXT) % 3
        token = idp.b64((header[0] + " " * shift + header[1:]).encode())
        assert MARK.decode() in token
        return self.get("/orders/7", ".".join([token, *self._rng.choice(self._good).split(".")[1:]]))

    def forged(self) -> list[str]:
        """Tokens whose only fault is the signature."""
        tokens = [
            idp.mint({"key": "stranger", "header": {"kid": "r1", "alg": "RS256"}, "claims": {"exp": LIFETIME}}),
            idp.mint({"key": "e1", "signature": "zero", "claims": {"exp": LIFETIME}}),
        ]
        for token in self._good[:VARIANTS]:
            signed, _, signature = token.rpartition(".")
            tokens.append(f"{signed}.{MARK.decode()}{signature[16:]}")
        return tokens

    def malformed(self) -> list[str]:
        """Tokens that must not get as far as a signature; all of them hold the mark."""
        signature = MARK.decode() + self._good[0].rpartition(".")[2][16:]

        def made(header: str, claims: str) -> str:
            return f"{idp.b64(header.encode())}.{idp.b64(idp.with_times(claims).encode())}.{signature}"

        header = '{"alg":"RS256","kid":"r1"}'
        claims = '"iss":"https://issuer.test/","aud":"api://orders","sub":"u1","exp":${now+9000}'
        return [
            *(made(text, "{" + claims + "}") for text in (
                '{"alg":"RS256","kid":"r1","crit":["exp"]}', '{"alg":"RS256","kid":"r1","crit":["b64"],"b64":false}',
                '{"alg":"none"}', '{"alg":"HS256","kid":"r1"}', '{"alg":"RS256","alg":"none","kid":"r1"}', '{"alg":5}', "[]",
                "{",
                '{"alg":"RS256","kid":"' + "k" * 3000 + '"}', '{"alg":"RS256","jwk":{"kty":"oct","k":"AA"}}', "\x00",
                '{"alg":"RS256","zip":"DEF"}',
            )),
            *(made(header, text) for text in (
                "{" + claims + ',"sub":"admin"}', "{" + claims + ',"exp":1e999}', "[" * 300, "{" * 300,
                '{"iss":"https://evil.test/"}',
                '{"iss":["https://issuer.test/"],"aud":"api://orders","exp":99999999999}', "null", '"' + "a" * 4000 + '"',
                "{" + claims.replace("orders", "other") + "}",
                "{" + claims.replace("${now+9000}", "-1") + "}", "{" + claims.replace("${now+9000}", "${now+90000000}") + "}",
                '{"a":' * 60 + "1" + "}" * 60,
            )),
            "." * 50 + MARK.decode(), MARK.decode(), MARK.decode() + ".." + MARK.decode(), "=.=." + MARK.decode(),
            "%00." + MARK.decode() + ".\xff",
        ]

    def path(self) -> bytes:
        piece = MARK.decode()
        return self.get(self._rng.choice([
            f"/orders/../{piece}", f"/orders/%2e%2e/{piece}", f"/orders/{piece};a=b/7", f"/orders/7;{piece}=1",
            f"/orders/%2f{piece}",
            f"/orders/{piece}", f"/orders/7%00{piece}", f"/orders//7/{piece}", f"/{piece}", f"/orders/%{piece}",
            f"/orders\\{piece}",
            f"/orders/..;{piece}", f"/%6frders/%37{piece}", f"/orders/-{self._rng.randint(1, 9)}?{piece}",
            f"/orders/%c0%af{piece}",
            "/orders" + f"/{piece}" * self._rng.randint(2, 400), "/orders/" + "9" * 300 + piece,
            "/orders/" + "../" * 900 + piece,
            f"/orders/7%252e{piece}", f"/Orders/{piece}", f"*{piece}", f"/orders/7.json.{piece}",
        ]))

    def query(self) -> bytes:
        piece = MARK.decode()
        return self.get("/orders?" + self._rng.choice([
            f"{piece}=1", f"limit={piece}", "limit=1e999&" + piece, "limit=0&a=" + piece, f"limit=1&limit=2&{piece}",
            "&".join(f"p{n}={piece}" for n in range(self._rng.randint(20, 400))), "&" * 3000 + piece, f"state=%zz{piece}",
            f"state=open%00{piece}", f"limit=%31%30%31&{piece}", f"limit=1%26state=sent{piece}", "=" * 500 + piece,
            f"state=sent;limit=1{piece}",
            f"limit={'1' * 2000}&{piece}", f"a[{piece}][b][c]=1", f"state=%F0%9F%92%A9{piece}", f"state=\xff{piece}",
        ]))

    def bad_fields(self) -> bytes:
        return self.get("/orders/7", None, *self._rng.choice([
            [(b"x-a\x01" + MARK, b"1")], [(b"content-length", b"5, 5"), (b"x-a", MARK)], [(b"x-a", MARK + b"\x00")],
            [(b"x-a", MARK + b"\x7f")],
            [(b"connection", b"close, authorization, " + MARK)], [(b"authorization", b"Basic " + MARK)], [(b"x_user_id", MARK)],
            [(b"x-" + str(n).encode(), MARK) for n in range(self._rng.randint(101, 400))], [(b"x-a" * 90, MARK)],
            [(b"x-a", MARK * 600)],
            [(b"content-type", MARK)], [(b"expect", MARK)], [(b"x-" + str(n).encode(), MARK * 60) for n in range(50)],
            [(b"host", MARK + b":0")],
            [(b"transfer-encoding", b"chunked"), (b"content-length", b"3"), (b"x-a", MARK)],
            [(b"content-type", b"a/b"), (b"content-type", MARK)],
        ]))

    def odd_fields(self) -> bytes:
        """Fields that are none of the filters' business, or are removed: the request passes."""
        return self.get("/orders/7", None, *self._rng.choice([
            [(b"x-note", b"\xff\xfe\x80" + MARK)], [(b"x-note", "é\u202e".encode() + MARK)], [(b"x-user-id", MARK)],
            [(b"x-forwarded-host", MARK)],
            [(b"x-envoy-" + MARK.lower(), b"1")], [(b"x-forwarded-user", MARK), (b"x-auth-request-user", MARK)],
            [(b"connection", b"x-a, " + MARK), (b"x-a", b"1")],
            [(b"x-forwarded-for", b", ".join(b"%d.%d.3.4" % (n % 223 + 1, n % 250) for n in range(300)))],
            [(b"x-" + str(n).encode(), MARK) for n in range(self._rng.randint(5, 80))], [(MARK, MARK)],
            [(b"cookie", b"a=" + MARK + b"; b")],
            [(b"cookie", b";" * 700 + MARK)], [(b"x-note", MARK * 400)], [(b"traceparent", MARK), (b"traceparent", MARK)],
            [(b"range", b"bytes=" + b"0-," * 90 + MARK)],
        ]))

    def preflight(self) -> bytes:
        origin, method = self._rng.choice(OWN), self._rng.choice([b"GET", b"POST", b"DELETE"])
        return self._ask(origin, method, b"content-type, authorization", (b"user-agent", MARK))

    def bad_preflight(self) -> bytes:
        own = self._rng.choice(OWN)
        return self._ask(*self._rng.choice([
            *((origin, b"GET", b"content-type") for origin in FOREIGN), (own, MARK, b"content-type"), (own, b"GET", MARK),
            (own, b"PUT", b""), (own, b"GET", b"content-type," * 200 + MARK),
        ]))

    def _ask(self, origin: bytes, method: bytes, names: bytes, *fields: tuple[bytes, bytes]) -> bytes:
        asked = [(b"origin", origin), (b"access-control-request-method", method), (b"access-control-request-headers", names)]
        return client.http1("OPTIONS", self._rng.choice([b"/orders", b"/orders/7"]), [*asked, *fields])

    def own_page(self) -> bytes:
        return self.get(self._rng.choice(["/orders/7", "/orders"]), None, (b"cookie", b"a=1; sid=" + MARK), *self._rng.choice([
            [(b"sec-fetch-site", b"same-origin")], [(b"sec-fetch-site", b"none")],
            *([(b"sec-fetch-site", b"cross-site"), (b"origin", origin)] for origin in OWN),
        ]))

    def foreign_page(self) -> bytes:
        return self.get(self._rng.choice(["/orders/7", "/orders"]), None, (b"cookie", b"sid=" + MARK), *self._rng.choice([
            [(b"sec-fetch-site", b"cross-site")], [(b"sec-fetch-site", MARK)],
            *([(b"origin", origin)] for origin in FOREIGN),
        ]))

    def two_sessions(self) -> bytes:
        name, other = self._rng.choice([(b"sid", b"SID"), (b"app-" + MARK, b"app-" + MARK), (b"__Host-a", b"__host-a")])
        return self.get("/orders/7", None, (b"cookie", name + b"=1; " + b"b=2; " * self._rng.randint(0, 60) + other + b"=" + MARK))

    def wrong_json(self) -> bytes:
        mark = MARK
        ordinary = b'"item":"tea","quantity":1'
        return self._rng.choice([
            b"[" * 5000 + mark, b'{"a":' * 2000 + mark, b"{" + ordinary + b',"quantity":2,"note":"' + mark + b'"}',
            b'{"item":"' + mark,
            b"{" + ordinary + b',"' + mark + b'":1}', b"{" + ordinary + b',"tags":["' + mark + b'","' + mark + b'"]}',
            b'{"item":"tea","quantity":1e400,"note":"' + mark + b'"}',
            b'{"item":"tea","quantity":' + b"9" * 3000 + b',"note":"' + mark + b'"}',
            b'{"item":"tea","quantity":"' + mark + b'"}', b'{"item":{"' + mark + b'":1},"quantity":1}',
            b'{"item":"\\ud800' + mark + b'","quantity":1}', b"{" + ordinary + b',"note":"\xff' + mark + b'"}',
            b'"' + b"\\" * 2001 + mark, b'"' * 3001 + mark,
            b"{" + b",".join(b'"k%d":"%s"' % (n, mark) for n in range(300)) + b"}",
            b"{" + ordinary + b',"address":{"town":"' + mark + b'"}}', b"\x00" * 500 + mark,
            b"{" + ordinary + b',"tags":[' + b",".join(b'"%d"' % n for n in range(400)) + b',"1","' + mark + b'"]}',
            b"{" + ordinary + b',"price":-1,"note":"' + mark + b'"}',
        ])

    def body(self) -> bytes:
        if self._rng.random() < 0.2:
            kind = self._rng.choice([b"text/plain", b"application/xml", b"application/json; charset=utf-16", b"multipart/form-data"])
            body = b'{"item":"tea","quantity":1,"note":"' + MARK + b'"}'
            return self.get("/orders", None, (b"content-type", kind), method="POST", body=body)
        return self.post(self.wrong_json())

    def chunked(self, body: bytes) -> bytes:
        head = self.get("/orders", None, JSON, (b"transfer-encoding", b"chunked"), method="POST")
        pieces = [body[at:at + 700] for at in range(0, len(body), 700)]
        return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    def method(self) -> bytes:
        return self.get("/orders/7", None, (b"x-note", MARK), method=self._rng.choice(
            ["PATCH", "PUT", "TRACE", "TRACK", "OPTIONS", "PROPFIND", "get", MARK.decode(), "CONNECT"]))

    def cut(self, request: bytes) -> bytes:
        return request[:self._rng.randint(1, len(request) - 3)]

    def cut_body(self) -> bytes:
        request = self.order(MARK_TEXT + self.text(3000))
        return request[:self._rng.randint(request.index(b"\r\n\r\n") + 4, len(request) - 1)]


def by_share(found: Iterable[Kind]) -> tuple[list[Kind], list[int]]:
    """The kinds and their weights, as `random.choices` takes them."""
    listed = list(found)
    if sum(kind.share for kind in listed) != 1000:
        raise ValueError(f"expected shares that add up to 1000, found {sum(kind.share for kind in listed)}")
    return listed, [kind.share for kind in listed]
