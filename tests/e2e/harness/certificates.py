"""Makes certificate authorities and certificates for TLS in tests: keys live as long as the folder they are in."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Optional, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

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
