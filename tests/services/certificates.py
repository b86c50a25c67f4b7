"""An authority of the tests' own, and certificates by it for this machine."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """`ca.pem` in `folder` is its certificate. `name` is shown where one looks who issued something."""

    def __init__(self, folder: Path, name: str = "Tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._below_key = ec.generate_private_key(ec.SECP256R1())
        self._below_name = _name(f"{name}, below")
        root = _signed(self._name, self._name, self._key, self._key, is_authority=True)
        self._below = _signed(self._below_name, self._name, self._below_key, self._key, is_authority=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(_pem(root))

    def issue(self, name: str, *, kind: str = "ec") -> tuple[Path, Path]:
        """The files of a certificate for localhost with the one above it, and of its key. `name` is in its subject."""
        key: Key = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "ec"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        leaf = _signed(_name(name), self._below_name, key, self._below_key, is_authority=False)
        cert_file, key_file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        cert_file.write_bytes(_pem(leaf) + _pem(self._below))
        key_file.write_bytes(_key_pem(key, serialization.NoEncryption()))
        key_file.chmod(0o600)
        return cert_file, key_file

    def encrypted(self, name: str) -> Path:
        """A key that nobody can use without its password."""
        file = self._folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        file.write_bytes(_key_pem(key, serialization.BestAvailableEncryption(b"secret")))
        return file


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _signed(subject: x509.Name, issuer: x509.Name, key: Key, by: Key, *, is_authority: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not is_authority:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(by, hashes.SHA256())
