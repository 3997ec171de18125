"""An identity provider: keys, tokens (good ones and every kind of bad one), and a JWKS server that can fail."""

import base64
import dataclasses
import hashlib
import hmac
import json
import re
import threading
import time
from typing import Any, Mapping, Union

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from .upstream import Answer, Recorded, Server

PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey]

ISSUER = "https://issuer.test/"
OTHER_ISSUER = "https://other.test/"
AUDIENCE = "api://orders"
# Key names say what they are: r* is RSA, e* is EC on P-256, `other-*` belongs to the second issuer, `stranger` is in
# no key set, `weak` has 1024 bits.
KEY_SETS = {"/jwks": ["r1", "e1"], "/other/jwks": ["other-r1"]}
NOW = re.compile(r"\$\{now(?:([+-]\d+))?\}")


_keys: dict[str, PrivateKey] = {}
_keys_lock = threading.Lock()


def private_key(name: str) -> PrivateKey:
    """The key with this name, made on first use and then the same for the whole run."""
    with _keys_lock:  # the server's threads and the test ask for the same keys
        if name not in _keys:
            _keys[name] = _generate(name)
        return _keys[name]


def _generate(name: str) -> PrivateKey:
    kind = name.rsplit("-", 1)[-1]
    if kind.startswith("e"):
        return ec.generate_private_key(ec.SECP256R1())
    # 1024 bits are too few on purpose: key sets that hold such a key must not use it.
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "weak" else 2048)


def algorithm(name: str) -> str:
    """The algorithm of a key by name."""
    return "ES256" if isinstance(private_key(name), ec.EllipticCurvePrivateKey) else "RS256"


def public_jwk(name: str, **members: Any) -> dict[str, Any]:
    """The public key as a JWK (RFC 7517); `members` replace or add, none removes."""
    public = private_key(name).public_key()
    jwk: dict[str, Any] = {"kid": name, "alg": algorithm(name), "use": "sig"}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        jwk.update(kty="EC", crv="P-256", x=b64(point.x.to_bytes(32, "big")), y=b64(point.y.to_bytes(32, "big")))
    else:
        numbers = public.public_numbers()
        jwk.update(kty="RSA", n=b64(_minimal(numbers.n)), e=b64(_minimal(numbers.e)))
    jwk.update(members)
    return {member: value for member, value in jwk.items() if value is not None}


def key_set(*names: str) -> dict[str, Any]:
    """A JWK set of these keys."""
    return {"keys": [public_jwk(name) for name in names]}


def mint(spec: Mapping[str, Any]) -> str:
    """A token, by default a good one of `ISSUER` for `AUDIENCE`, signed with r1. `spec` changes it:

    key           name of the signing key; sets `alg` and `kid` too
    header        members that replace or add to the JOSE header
    claims        claims that replace or add; a value "${now+300}" is a time
    without       names of header members and claims to leave out
    header_text   the whole JOSE header as text, instead of `header`
    claims_text   the whole claims set as text, instead of `claims`
    hmac          sign with HS256 and this secret: `pem`, `der` or `modulus` of the key, `empty`, `text:...`
    signature     `zero` for 64 zero bytes, `twin` for the other valid ECDSA form (n - s)
    form          how the parts are joined, "{h}.{p}.{s}" by default
    """
    unknown = set(spec) - {"key", "header", "claims", "without", "header_text", "claims_text", "hmac", "signature", "form"}
    if unknown:
        raise ValueError(f"unknown token fields: {sorted(unknown)}")
    name = spec.get("key", "r1")
    left_out = set(spec.get("without", []))
    header = {"alg": "HS256" if "hmac" in spec else algorithm(name), "kid": name, "typ": "JWT", **spec.get("header", {})}
    issuer = OTHER_ISSUER if name.startswith("other-") else ISSUER
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": "u1", "iat": "${now}", "exp": "${now+300}",
              "scope": "orders:read", **spec.get("claims", {})}
    header_part = b64(_text(spec.get("header_text"), header, left_out))
    claims_part = b64(_text(spec.get("claims_text"), claims, left_out))
    signed = f"{header_part}.{claims_part}".encode()
    if "hmac" in spec:
        signature = hmac.new(_hmac_secret(spec["hmac"], name), signed, hashlib.sha256).digest()
    elif spec.get("signature") == "zero":
        signature = bytes(64)
    else:
        signature = _sign(private_key(name), signed, twin=spec.get("signature") == "twin")
    return spec.get("form", "{h}.{p}.{s}").format(h=header_part, p=claims_part, s=b64(signature))


def with_times(text: str) -> str:
    """Replaces "${now}", "${now+300}" and "${now-300}" by seconds since the epoch."""
    return NOW.sub(lambda match: str(int(time.time()) + int(match[1] or 0)), text)


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class IdentityProvider(Server):
    """Serves the key sets of `KEY_SETS`, until told to fail."""

    # Answers that a JWKS client must survive. One without a body of its own has the key set as its body, so that only
    # what is wrong with it can be the reason not to use it.
    FAULTS: dict[str, Answer] = {
        "hang": Answer(behaviour="hang"),
        "close": Answer(behaviour="close"),
        "error": Answer(500),
        "not_found": Answer(404),
        "no_content": Answer(204),
        "redirect": Answer(302, [("location", "http://elsewhere.test/jwks")]),
        "html": Answer(200, [("content-type", "text/html")], b"<html>Login</html>"),
        "truncated": Answer(200, [], b'{"keys":[{"kty":"RSA"'),
        "no_keys": Answer(200, [], b'{"keys":[]}'),
        "not_a_set": Answer(200, [], b"{}"),
        "empty": Answer(200, [], b""),
        "garbage": Answer(raw=bytes(range(256)) * 16),
        "huge": Answer(padding=100_000_000),
        "slow": Answer(behaviour="slow_body"),
        "slow_head": Answer(behaviour="slow_head"),
        "reset": Answer(raw=b'HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"keys":[', behaviour="reset"),
    }

    def __init__(self) -> None:
        super().__init__(self._serve_keys)
        self.key_sets: dict[str, list[str]] = {path: list(names) for path, names in KEY_SETS.items()}
        self.fetches = 0
        self.delay = 0.0  # seconds before a key set is served
        self._fault = ""

    def __enter__(self) -> "IdentityProvider":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fail(self, fault: str) -> None:
        """From now on answers with one of `FAULTS`; `down`: takes no connections; empty: works."""
        if (fault == "down") != (self._fault == "down"):
            if fault == "down":
                self.stop()
            else:
                self.start()
        self._fault = fault

    def _serve_keys(self, request: Recorded) -> Answer:
        self.fetches += 1
        names = self.key_sets.get(request.target.decode("latin-1"))
        if names is None:
            return Answer(404)
        keys = json.dumps(key_set(*names)).encode()
        if not self._fault:
            return Answer(200, [("content-type", "application/jwk-set+json")], keys, delay=self.delay)
        fault = self.FAULTS[self._fault]
        return fault if fault.body is not None else dataclasses.replace(fault, body=keys)


def _text(text: Any, members: dict[str, Any], left_out: set[str]) -> bytes:
    if text is not None:
        return with_times(text).encode("utf-8", "surrogatepass")
    kept = {name: _time(value) for name, value in members.items() if name not in left_out}
    return json.dumps(kept, ensure_ascii=False).encode()


def _time(value: Any) -> Any:
    return int(with_times(value)) if isinstance(value, str) and NOW.fullmatch(value) else value


def _sign(key: PrivateKey, data: bytes, twin: bool) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n of P-256
    return r.to_bytes(32, "big") + (order - s if twin else s).to_bytes(32, "big")


def _hmac_secret(form: str, name: str) -> bytes:
    public = private_key(name).public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    if form == "pem":
        return public.public_bytes(serialization.Encoding.PEM, info)
    if form == "der":
        return public.public_bytes(serialization.Encoding.DER, info)
    if form == "modulus":
        return public_jwk(name)["n"].encode()
    if form == "empty":
        return b""
    if form.startswith("text:"):
        return form[len("text:"):].encode()
    raise ValueError(f"hmac: expected pem, der, modulus, empty or text:..., found {form}")


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
