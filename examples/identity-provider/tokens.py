"""Signing keys, JSON Web Keys and JSON Web Tokens (RFC 7515, 7517, 7519), as far as the example provider needs them."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PEM = serialization.Encoding.PEM


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int) -> str:
    return base64url(value.to_bytes(size, "big"))


class SigningKey:
    """A private key with its algorithm (`RS256` or `ES256`) and key id."""

    def __init__(self, private):
        self.private = private
        self.algorithm = "RS256" if isinstance(private, rsa.RSAPrivateKey) else "ES256"
        # RFC 7638: the key id is the key's own digest, so that two keys never share one.
        required = json.dumps(self._public_members(), separators=(",", ":"), sort_keys=True)
        self.kid = base64url(hashlib.sha256(required.encode()).digest())[:16]

    @classmethod
    def generate(cls, algorithm: str):
        if algorithm == "RS256":
            return cls(rsa.generate_private_key(65537, 2048))
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, text: bytes):
        return cls(serialization.load_pem_private_key(text, None))

    def to_pem(self) -> bytes:
        return self.private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self) -> dict:
        return {**self._public_members(), "alg": self.algorithm, "use": "sig", "kid": self.kid}

    def sign(self, signed: bytes) -> bytes:
        if self.algorithm == "RS256":
            return self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")  # RFC 7518 section 3.4

    def token(self, claims: dict, **header) -> str:
        """A signed token; `header` adds to or replaces the JOSE header's members."""
        header = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **header}
        return compact(header, claims, self.sign)

    def _public_members(self) -> dict:
        numbers = self.private.public_key().public_numbers()
        if self.algorithm == "RS256":
            return {"kty": "RSA", "n": number(numbers.n, 256), "e": number(numbers.e, 3)}
        return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}


def compact(header: dict, claims: dict, sign) -> str:
    """The compact serialization (RFC 7515 section 7.1); `sign` makes the signature's bytes."""
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url(sign(signed.encode()))}"
