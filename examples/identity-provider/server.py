"""Identity provider for the examples: an OAuth 2.0 token endpoint for two demo clients, and its keys.

    server.py --port 8081 --keys DIRECTORY

    GET  /.well-known/jwks.json    the public keys
    POST /token                    client credentials (RFC 6749 section 4.4), form-encoded:
                                   grant_type=client_credentials&client_id=alice&client_secret=alice-secret
    POST /rotate?old=keep|remove   new signing keys; the old public keys stay published, or go at once

Tokens are access tokens after RFC 9068. alice's are signed with RS256, bob's with ES256. The keys lie as PEM files in
DIRECTORY and outlive a restart. The standard library and `cryptography` only; stops on SIGTERM.
"""

import argparse
import hmac
import json
import os
import secrets
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tokens import SigningKey

LIFETIME = 600  # seconds
SCOPE = "orders:read orders:write"
CLIENTS = {
    "alice": {"secret": "alice-secret", "algorithm": "RS256", "roles": ["customer"]},
    "bob": {"secret": "bob-secret", "algorithm": "ES256", "roles": ["customer", "manager"]},
}


class Keys:
    """The key pairs of a directory, one file each, oldest first; the newest of an algorithm signs."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.lock = threading.Lock()
        if not self.files():
            self.rotate(keep_old=True)

    def files(self):
        return sorted(self.directory.glob("*.pem"))

    def all(self):
        with self.lock:
            return [SigningKey.from_pem(file.read_bytes()) for file in self.files()]

    def newest(self, algorithm):
        return [key for key in self.all() if key.algorithm == algorithm][-1]

    def rotate(self, keep_old):
        with self.lock:
            old = self.files()
            for algorithm in ["RS256", "ES256"]:
                file = self.directory / f"{time.time_ns()}-{algorithm}.pem"
                with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as out:
                    out.write(SigningKey.generate(algorithm).to_pem())
            if not keep_old:
                for file in old:
                    file.unlink()


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet
    timeout = 300  # seconds an idle connection stays open
    keys: Keys
    issuer: str

    def do_GET(self):
        if self.path == "/.well-known/jwks.json":
            self.answer(200, {"keys": [key.jwk() for key in self.keys.all()]})
        else:
            self.answer(404, {"error": "not_found"})

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 10_000))
        url = urlsplit(self.path)
        if url.path == "/token":
            self.token({name: values[0] for name, values in parse_qs(body.decode()).items()})
        elif url.path == "/rotate":
            self.keys.rotate(keep_old=parse_qs(url.query).get("old", ["keep"])[0] == "keep")
            self.answer(200, {"keys": [key.kid for key in self.keys.all()]})
        else:
            self.answer(404, {"error": "not_found"})

    def token(self, form):
        client = CLIENTS.get(form.get("client_id", ""))
        if form.get("grant_type") != "client_credentials":
            return self.answer(400, {"error": "unsupported_grant_type"})
        if client is None or not hmac.compare_digest(client["secret"], form.get("client_secret", "")):
            return self.answer(401, {"error": "invalid_client"})
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": form["client_id"],
            "client_id": form["client_id"],
            "aud": "orders",
            "scope": SCOPE,
            "roles": client["roles"],
            "iat": now,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(12),
        }
        token = self.keys.newest(client["algorithm"]).token(claims)
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME, "scope": SCOPE}
        self.answer(200, answer)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--issuer", default="https://idp.example")
    parser.add_argument("--keys", type=Path, required=True, help="directory of the PEM files")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: exit(0))
    Provider.issuer = arguments.issuer
    Provider.keys = Keys(arguments.keys)
    ThreadingHTTPServer((arguments.host, arguments.port), Provider).serve_forever()


if __name__ == "__main__":
    main()
