"""The issuers whose tokens both implementations judge, and their keys."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Union

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ROOT = Path(__file__).resolve().parents[2]
# Keys that were made for tests, and one that the fixture lacks.
FIXTURE = json.loads((ROOT / "shared" / "jose" / "src" / "testing_keys.json").read_text())
NOW = 1_700_000_000
LEEWAY = 30
MAX_LIFETIME = 24 * 3600
AUDIENCES = ["api://orders", "api://billing"]
RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
PUBLIC = [*RSA, "ES256", "ES384", "EdDSA", "Ed25519"]
SECRET = ["HS256", "HS384", "HS512"]
# The key that signs with an algorithm, and one of the same kind that nobody trusts.
OWN_KEY = {**dict.fromkeys(RSA, "r1"), "ES256": "e1", "ES384": "e384", "EdDSA": "ed1", "Ed25519": "ed1",
           "HS256": "secret", "HS384": "secret", "HS512": "secret"}
STRANGER = {"r1": "other", "e1": "e2", "e384": "stranger-e384", "ed1": "stranger-ed1", "secret": "stranger-secret"}

PrivateKey = Union[rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, bytes]


@dataclass(frozen=True)
class Key:
    """A key of an issuer: its `kid` if it has one, its only algorithm, its name in `private_key`.

    `says_algorithm`: whether the JWK has `alg`; without it the key is for the first algorithm of the policy that fits it.
    """

    kid: Optional[str]
    algorithm: str
    name: str
    says_algorithm: bool = True

    def jwk(self) -> dict[str, Any]:
        """What both implementations load."""
        members = {"kid": self.kid, "alg": self.algorithm if self.says_algorithm else None}
        return {**public_jwk(self.name), **{name: value for name, value in members.items() if value}}


@dataclass(frozen=True)
class Policy:
    """What tokens of an issuer must look like; the fields are those of `ProviderSetup` in src/main.rs."""

    issuer: str
    algorithms: list[str]
    keys: list[Key]
    types: Optional[list[str]] = None
    required_claims: list[str] = field(default_factory=list)
    strict_header: bool = False

    def setup(self) -> dict[str, Any]:
        """For the program of src/main.rs."""
        return {"issuer": self.issuer, "audiences": AUDIENCES, "algorithms": self.algorithms,
                "jwks": {"keys": [key.jwk() for key in self.keys]}, "types": self.types,
                "required_claims": self.required_claims, "strict_header": self.strict_header}


def _keys(algorithms: list[str]) -> list[Key]:
    return [Key("key-" + algorithm, algorithm, OWN_KEY[algorithm]) for algorithm in algorithms]


POLICIES = [
    Policy("https://public.test/", PUBLIC, _keys(PUBLIC)),
    # Has keys for all, and takes two.
    Policy("https://two.test/", ["RS256", "ES256"], _keys(PUBLIC)),
    Policy("https://secrets.test/", SECRET, _keys(SECRET)),
    Policy("https://unnamed.test/", ["PS256", "ES384", "Ed25519", "EdDSA", "RS256"],
           [Key(None, name, OWN_KEY[name], says_algorithm=False) for name in ("PS256", "ES384", "Ed25519")]),
    Policy("https://strict.test/", ["RS256", "ES256", "EdDSA"], _keys(["RS256", "ES256", "EdDSA"]), types=["at+jwt"],
           required_claims=["iss", "exp", "aud", "sub", "client_id", "iat", "jti"], strict_header=True),
]


@lru_cache(maxsize=None)
def private_key(name: str) -> PrivateKey:
    """The key of this name; the same in every run."""
    if name.endswith("secret"):
        return hashlib.sha512(name.encode()).digest()
    seed = hashlib.sha384(name.encode()).digest()
    if name == "stranger-e384":
        return ec.derive_private_key(int.from_bytes(seed[:47], "big"), ec.SECP384R1())
    if name == "stranger-ed1":
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed[:32])
    jwk = FIXTURE[name]
    if jwk["kty"] == "OKP":
        return ed25519.Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"]))
    number = {member: int.from_bytes(unb64(jwk[member]), "big") for member in ("n", "e", "d", "p", "q") if member in jwk}
    if jwk["kty"] == "EC":
        return ec.derive_private_key(number["d"], ec.SECP256R1() if jwk["crv"] == "P-256" else ec.SECP384R1())
    p, q, d = number["p"], number["q"], number["d"]
    public = rsa.RSAPublicNumbers(number["e"], number["n"])
    return rsa.RSAPrivateNumbers(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q),
                                 public).private_key()


def public_jwk(name: str) -> dict[str, Any]:
    """The public half, or the secret, without `kid`, `alg` and `use`."""
    key = private_key(name)
    if isinstance(key, bytes):
        return {"kty": "oct", "k": b64(key)}
    return {member: value for member, value in FIXTURE[name].items() if member in ("kty", "crv", "n", "e", "x", "y")}


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
