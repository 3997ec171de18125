"""The requests: exact bytes, the same for both sides of a comparison."""

import json
import time
from pathlib import Path

from harness import idp

# More than any cache of verified tokens holds, and sent in turn: a token has long left the cache when it comes again.
UNIQUE_TOKENS = 20_000
# Longer than a run of the benchmark.
LIFETIME = 3 * 3600

# What a browser sends for a call of a single-page application, behind a CDN that adds `traceparent`; together with
# `host` and `authorization` these are 20 fields.
HEADERS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "accept": "application/json, text/plain, */*",
    "accept-language": "en-GB,en;q=0.9,de;q=0.8",
    "accept-encoding": "gzip, deflate, br, zstd",
    "origin": "https://shop.example.com",
    "referer": "https://shop.example.com/account/orders?page=2",
    "cookie": "session=5f1d7a3c9e2b48d0a6c4; consent=necessary; theme=dark",
    "cache-control": "no-cache",
    "pragma": "no-cache",
    "dnt": "1",
    "priority": "u=1, i",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-site",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
ADDRESS = {"name": "Ada Lovelace", "street": "12 St James's Square", "city": "London", "postcode": "SW1Y 4JH", "country": "GB"}
ORDER = {
    "customerId": "3f2b7c1e-8a54-4a0f-9d6e-2c1b5a7f9e10",
    "currency": "EUR",
    "express": False,
    "placedAt": "2026-05-04T09:31:07Z",
    "email": "ada@example.com",
    "note": "Please ring twice, the bell is hard to hear in the garden.",
    "shipTo": ADDRESS,
    "billTo": ADDRESS,
    "items": [
        {"sku": f"ABC-{number:05}", "quantity": number, "price": 19.9 * number, "title": "Difference engine, spare wheel"}
        for number in range(1, 7)
    ],
}


def request(method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request, with the fields of `HEADERS` before `headers`."""
    fields = [("host", "api.example.com"), *HEADERS.items(), *headers]
    if body:
        fields += [("content-type", "application/json"), ("content-length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def get(bearer: str, path: str = "/orders/4711?expand=items") -> bytes:
    """The request that every listener but those for bodies gets."""
    return request("GET", path, ("authorization", f"Bearer {bearer}"))


def post(order: object) -> bytes:
    """An order as JSON, about 1 KiB."""
    return request("POST", "/orders", body=json.dumps(order).encode())


def token(key: str, number: int, **spec: object) -> str:
    """A token as an identity provider makes them; another `number` is another token."""
    now = int(time.time())
    claims = {"jti": f"{number:012}", "iat": now, "exp": now + LIFETIME, "client_id": "shop-web",
              "scope": "orders:read orders:write", "roles": ["user", "customer"]}
    return idp.mint({"key": key, "claims": claims, **spec})


class Traffic:
    """The kinds of requests by name, each made when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._requests: dict[str, list[bytes]] = {}

    def requests(self, name: str) -> list[bytes]:
        """The requests of this kind; wrk sends them in turn."""
        if name not in self._requests:
            self._requests[name] = _make(name)
        return self._requests[name]

    def file(self, name: str) -> Path:
        """The same for wrk, in the form that load.lua reads."""
        path = self._directory / f"{name}.requests"
        if not path.exists():
            path.write_bytes(b"".join(b"%d\n%s" % (len(item), item) for item in self.requests(name)))
        return path


def _make(name: str) -> list[bytes]:
    match name:
        case "one token":
            return [get(token("r1", 0))]
        case "RS256 tokens":
            return [get(token("r1", number)) for number in range(UNIQUE_TOKENS)]
        case "ES256 tokens":
            return [get(token("e1", number)) for number in range(UNIQUE_TOKENS)]
        case "orders":
            return [post(ORDER)]
        case _:
            raise ValueError(f"unknown kind of requests: {name}")
