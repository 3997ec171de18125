"""An identity provider: keys, tokens and proofs (good ones and every kind of bad one), and a server that can fail for
key sets, metadata, introspection and revoked tokens."""

import base64
import dataclasses
import hashlib
import hmac
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections import defaultdict
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
METADATA, INTROSPECTION, REVOKED = "/.well-known/openid-configuration", "/introspect", "/revoked"
# Who may ask about tokens. The secret has what a form must encode (RFC 6749 section 2.3.1).
CLIENT_ID, CLIENT_SECRET = "orders-api", "s3cret +:/%é"
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


def proof(key: str, method: str, url: str, token: str, **spec: Any) -> str:
    """A DPoP proof (RFC 9449 section 4.2) by this key for one request with this token; `spec` changes it as in `mint`."""
    header = {"typ": "dpop+jwt", "jwk": public_jwk(key, kid=None, alg=None, use=None), **spec.pop("header", {})}
    claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "ath": _hash(token), **spec.pop("claims", {})}
    without = ["kid", "iss", "aud", "sub", "exp", "scope", *spec.pop("without", [])]
    return mint({"key": key, "header": header, "claims": claims, "without": without, **spec})


def thumbprint(key: str) -> str:
    """The thumbprint of a key (RFC 7638), as in `cnf.jkt`."""
    jwk = public_jwk(key)
    members = {name: jwk[name] for name in sorted({"kty", "crv", "x", "y", "n", "e"} & jwk.keys())}
    return _hash(json.dumps(members, separators=(",", ":")))


def with_times(text: str) -> str:
    """Replaces "${now}", "${now+300}" and "${now-300}" by seconds since the epoch."""
    return NOW.sub(lambda match: str(int(time.time()) + int(match[1] or 0)), text)


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def metadata(**members: Any) -> dict[str, Any]:
    """What a provider says of itself, as large as from one in use; `members` replace or add (OpenID Connect Discovery
    1.0 section 3)."""
    algorithms = [f"{kind}{size}" for kind in ("PS", "RS", "ES", "HS") for size in (256, 384, 512)]
    base = ISSUER + "protocol/openid-connect"
    return {
        "issuer": ISSUER, "jwks_uri": ISSUER + "jwks", "introspection_endpoint": ISSUER + "introspect",
        **{f"{name}_endpoint": f"{base}/{name}" for name in ("authorization", "token", "userinfo", "end_session", "revocation")},
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "response_types_supported": ["code", "none", "id_token", "token", "code id_token token"],
        "subject_types_supported": ["public", "pairwise"],
        **{f"{use}_signing_alg_values_supported": algorithms
           for use in ("id_token", "userinfo", "request_object", "token_endpoint_auth", "introspection_endpoint_auth")},
        "scopes_supported": ["openid", "profile", "email", "orders:read"],
        "claims_supported": ["aud", "sub", "iss", "auth_time", "name", "given_name", "family_name", "email", "acr"],
        "claims_parameter_supported": True, "require_request_uri_registration": False,
        "mtls_endpoint_aliases": {"token_endpoint": f"{base}/token"},
        "tls_client_certificate_bound_access_tokens": True, "dpop_signing_alg_values_supported": algorithms[:9],
        **members,
    }


def active(**claims: Any) -> dict[str, Any]:
    """What introspection says of a good token of `ISSUER` for `AUDIENCE`; `claims` replace or add, times as in `mint`."""
    return {"active": True, "token_type": "Bearer", "client_id": "app", "username": "u1", "iss": ISSUER, "aud": AUDIENCE,
            "sub": "u1", "iat": "${now}", "exp": "${now+300}", "scope": "orders:read", **claims}


class IdentityProvider(Server):
    """Serves documents until told to fail.

    key_sets    names of keys by path; at first `KEY_SETS`
    metadata    at `METADATA`
    opaque      what `INTROSPECTION` says of a token, as `active`; others are not active (RFC 7662 section 2.2)
    revoked     ids of tokens in the list at `REVOKED`
    delay       seconds before a document is served
    questions   the opaque tokens that it was asked about, in order
    """

    # Answers that a client must survive. One without a body of its own has the good document as its body, so that only
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
        super().__init__(self._answer)
        self.key_sets: dict[str, list[str]] = {path: list(names) for path, names in KEY_SETS.items()}
        self.metadata = metadata()
        self.opaque: dict[str, dict[str, Any]] = {}
        self.revoked: list[str] = []
        self.delay = 0.0
        self.questions: list[str] = []
        self._times: defaultdict[str, list[float]] = defaultdict(list)
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

    @property
    def fetches(self) -> int:
        """How often it was asked for anything but about a token."""
        return sum(len(times) for path, times in list(self._times.items()) if path != INTROSPECTION)

    def times(self, path: str) -> list[float]:
        """When it was asked for this path, in order, as `time.monotonic` tells."""
        return list(self._times[path])

    def _answer(self, request: Recorded) -> Answer:
        path = request.target.decode("latin-1")
        self._times[path].append(time.monotonic())
        answer = self._introspect(request) if path == INTROSPECTION else self._document(path)
        if answer.status != 200:
            return answer
        if not self._fault:
            return dataclasses.replace(answer, delay=self.delay)
        fault = self.FAULTS[self._fault]
        return fault if fault.body is not None else dataclasses.replace(fault, body=answer.body)

    def _document(self, path: str) -> Answer:
        if path == METADATA:
            return _json(self.metadata)
        if path == REVOKED:
            return _json({"revoked": self.revoked})
        names = self.key_sets.get(path)
        return Answer(404) if names is None else _json(key_set(*names), "application/jwk-set+json")

    def _introspect(self, request: Recorded) -> Answer:
        """RFC 7662 section 2: a form by POST, from a client with its own credentials."""
        if request.method != "POST" or request.values("authorization") != [_basic(CLIENT_ID, CLIENT_SECRET)]:
            return Answer(401)
        form = urllib.parse.parse_qs(request.body.decode("latin-1"), strict_parsing=True)
        [token] = form["token"]
        self.questions.append(token)
        return _json({name: _time(value) for name, value in self.opaque.get(token, {"active": False}).items()})


def _json(document: Any, media_type: str = "application/json") -> Answer:
    return Answer(200, [("content-type", media_type)], json.dumps(document).encode())


def _basic(client_id: str, secret: str) -> bytes:
    pair = f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(secret, safe='')}"
    return b"Basic " + base64.b64encode(pair.encode())


def _hash(text: str) -> str:
    return b64(hashlib.sha256(text.encode()).digest())


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
