"""Signatures by every algorithm of JWS, right ones and wrong ones."""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from policies import private_key, public_jwk

HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
# Order of the curve, by the bytes of a number (NIST FIPS 186-4 section D.1.2).
ORDERS = {
    32: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    48: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


def sign(algorithm: str, key_name: str, message: bytes, salt: int = -1) -> bytes:
    """The signature that JWS wants. A key of another kind signs in its own way. `salt`: bytes, for PSS; -1: as it must be."""
    key, digest = private_key(key_name), HASHES.get(algorithm[2:], hashes.SHA256())
    if isinstance(key, bytes):
        return hmac_tag(algorithm, key, message)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm.startswith("PS"):
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size if salt < 0 else salt)
        return key.sign(message, scheme, digest)
    return key.sign(message, padding.PKCS1v15(), digest)


def hmac_tag(algorithm: str, secret: bytes, message: bytes) -> bytes:
    """By the hash of the algorithm's name."""
    return hmac.new(secret, message, f"sha{algorithm[2:]}" if algorithm[2:] in HASHES else "sha256").digest()


def public_texts(key_name: str) -> list[bytes]:
    """What an attacker may have of a public key, to use as an HMAC secret (RFC 8725 section 2.1)."""
    key = private_key(key_name)
    if isinstance(key, bytes):
        return [b"", hashlib.sha256(key).digest()]
    public, info = key.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
    encoded = [public.public_bytes(encoding, info) for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)]
    return [*encoded, encoded[0].strip(), public_jwk(key_name).get("n", "").encode(), b""]


def twin(signature: bytes) -> bytes:
    """The other form of an ECDSA signature, with n - s in place of s; of another kind: the halves exchanged."""
    half = len(signature) // 2
    if half not in ORDERS:
        return signature[half:] + signature[:half]
    return signature[:half] + (-int.from_bytes(signature[half:], "big") % ORDERS[half]).to_bytes(half, "big")


def der(signature: bytes) -> bytes:
    """An ECDSA signature as DER."""
    half = len(signature) // 2
    return utils.encode_dss_signature(*(int.from_bytes(part, "big") for part in (signature[:half], signature[half:])))
