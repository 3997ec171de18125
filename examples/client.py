"""An HTTP/1.1 client that sends exactly what it is told, duplicate and non-UTF-8 fields too, and the forged tokens."""

import hashlib
import hmac
import json
import secrets
import socket
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

sys.path.append(str(Path(__file__).parent / "identity-provider"))
from tokens import SigningKey, base64url, compact  # noqa: E402

TIMEOUT = 12  # seconds; above every time-out of the bootstraps, so that only a hang reaches it


@dataclass
class Answer:
    """A response; status 0 when there was none, and `error` says why."""

    status: int
    headers: list
    body: bytes
    error: str = ""

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name)

    def count(self, name: str) -> int:
        return sum(key.lower() == name for key, _ in self.headers)

    def names(self) -> set:
        return {key.lower() for key, _ in self.headers}

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def send(port: int, method: str, target: str, *fields: tuple, body: bytes | None = None) -> Answer:
    """One request on a connection of its own. Names and values are text, sent as ISO 8859-1."""
    lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and not any(name == "content-length" for name, _ in fields):
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
            try:
                connection.sendall(head + (body or b""))
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the whole body was read; the answer is there
            response = HTTPResponse(connection, method=method)
            response.begin()
            return Answer(response.status, response.getheaders(), response.read())
    except (OSError, HTTPException) as error:
        return Answer(0, [], b"", f"{type(error).__name__}: {error}")


def bearer(token: str) -> tuple:
    return ("authorization", f"Bearer {token}")


def get_token(idp_port: int, client: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": f"{client}-secret"}
    answer = send(idp_port, "POST", "/token", body=urlencode(form).encode())
    if answer.status != 200:
        raise SystemExit(f"the identity provider gave no token: {answer}")
    return answer.json()["access_token"]


def claims(**changes) -> dict:
    """The claims of a good token for alice, with changes; a claim changed to None is left out."""
    now = int(time.time())
    good = {
        "iss": "https://idp.example", "aud": "orders", "sub": "alice", "client_id": "alice",
        "scope": "orders:read orders:write", "iat": now, "exp": now + 600, "jti": secrets.token_urlsafe(12),
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


class Forger:
    """Makes the tokens that must be refused. It borrows the provider's own keys where only the claims are wrong."""

    def __init__(self, keys: Path):
        self.key = next(SigningKey.from_pem(file.read_bytes()) for file in sorted(keys.glob("*-RS256.pem")))

    def with_claims(self, **changes) -> str:
        return self.key.token(claims(**changes))

    def unsigned(self) -> str:
        return compact({"alg": "none", "typ": "at+jwt"}, claims(), lambda _: b"")

    def signed_with_public_key(self) -> str:
        """HS256 with the RSA public key as the secret: a verifier that trusts `alg` accepts it."""
        secret = self.key.public_pem()
        header = {"alg": "HS256", "typ": "at+jwt", "kid": self.key.kid}
        return compact(header, claims(), lambda signed: hmac.digest(secret, signed, hashlib.sha256))

    def tampered(self) -> str:
        """A good signature under other claims."""
        header, _, signature = self.with_claims().split(".")
        return ".".join([header, base64url(json.dumps(claims(sub="bob")).encode()), signature])

    def own_key(self) -> str:
        """The attacker's key, announced as it is."""
        return SigningKey.generate("RS256").token(claims())

    def own_key_as_providers(self) -> str:
        """The attacker's key under the provider's key id."""
        return SigningKey.generate("RS256").token(claims(), kid=self.key.kid)
