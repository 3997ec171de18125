"""Makes certificate authorities and certificates for TLS in tests: keys live as long as the folder they are in."""

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .config import TYPE

VALID_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM files.

    names     what the certificate says, without which an authority can't sign
    digest    SHA-256 of the certificate in DER, as in `cnf.x5t#S256` before its encoding
    """

    certificate: Path
    key: Path
    names: x509.Name
    digest: bytes


def authority(folder: Path, name: str = "ca") -> Pair:
    """A certificate authority that vouches for itself."""
    return _make(folder, name, [], None, is_authority=True)


def issue(folder: Path, name: str, names: Sequence[x509.GeneralName], issuer: Optional[Pair] = None) -> Pair:
    """A certificate with these subject alternative names, signed by `issuer` or, without one, by itself."""
    return _make(folder, name, names, issuer, is_authority=False)


def listener(server: Pair, trusted: Pair, **validation: Any) -> dict[str, Any]:
    """The transport socket of a listener that asks clients for a certificate and refuses those that `trusted` did not
    sign, if `validation` says nothing else."""
    return {"name": "tls", "typed_config": {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": {"filename": str(server.certificate)},
                                  "private_key": {"filename": str(server.key)}}],
            "validation_context": {"trusted_ca": {"filename": str(trusted.certificate)}, **validation},
        },
    }}


def client(pair: Optional[Pair]) -> ssl.SSLContext:
    """How a client with this certificate connects, or one without. It trusts every server: those are ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def _make(folder: Path, name: str, names: Sequence[x509.GeneralName], issuer: Optional[Pair],
          is_authority: bool) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = key
    if issuer is not None:
        loaded = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    # The clock of another process may be a little behind.
    start = datetime.now(timezone.utc) - timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.names if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key", subject, certificate.fingerprint(hashes.SHA256()))
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    pair.key.chmod(0o600)
    return pair
