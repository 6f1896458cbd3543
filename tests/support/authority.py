"""A certificate authority for a test, and what it signs for loopback servers and their clients."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = datetime.timedelta(hours=1)
_PEM = serialization.Encoding.PEM


class Authority:
    """A root of its own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, self._name, self._key, _LIFE)
        self.certificate = (
            builder.add_extension(constraints, critical=True)
            .sign(self._key, hashes.SHA256())
            .public_bytes(_PEM)
        )

    def issue(self, *, host: str = "", life: datetime.timedelta = _LIFE) -> tuple[bytes, bytes]:
        """Certificate and key, for 127.0.0.1 or a host's name alone; it has ended if life < 0."""
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName(host) if host else loopback])
        builder = _builder(_name(host or "loopback"), self._name, key, life)
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        text = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(_PEM), text


class SecretVolume:
    """A folder as Kubernetes mounts a Secret: files are links through `..data`, a link too."""

    def __init__(self, directory: Path, **files: bytes) -> None:
        self._directory = directory
        self._versions = 0
        directory.mkdir()
        self.swap(**files)
        for name in files:
            (directory / name).symlink_to(Path("..data") / name)

    def __getitem__(self, name: str) -> Path:
        return self._directory / name

    def swap(self, **files: bytes) -> None:
        """Exchange all files at once."""
        self._versions += 1
        version = self._directory / f"..{self._versions}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
        draft = self._directory / "..draft"
        draft.symlink_to(version.name)
        draft.replace(self._directory / "..data")


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _LIFE)
        .not_valid_after(now + life)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
