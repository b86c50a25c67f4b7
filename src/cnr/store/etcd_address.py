"""`etcd://user:password@host1:2379,host2:2379/prefix?ca=file` taken apart."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from cnr.store.base import StoreRefused

PORT: Final = 2379
PREFIX: Final = "cnr"
_FILES: Final = ("ca", "cert", "key")
_FORM: Final = "etcd://host:2379,host:2379/prefix"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files' contents in PEM: whom to trust (None: who the system trusts), and who we are (None: nobody)."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is, how to get in, and under which prefix our keys are."""

    endpoints: tuple[str, ...]
    prefix: str
    tls: Tls | None = None
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """For messages: without the password."""
        return f"etcd at {', '.join(self.endpoints)}"


def parse(url: str) -> Address:
    """The address in `url`; reads the files that it names.

    `etcds://`, or any of ca, cert and key, means TLS. User and password are percent-encoded. Raises StoreRefused with a
    sentence that does not repeat the password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StoreRefused(f"the address of etcd cannot be read; it looks like {_FORM}") from None
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if bool(user) != bool(password):
        raise StoreRefused("the address of etcd needs both a user and a password, or neither")
    return Address(
        tuple(_endpoint(host) for host in hosts.split(",")),
        _prefix(unquote(parts.path)),
        _tls(parts.query, parts.scheme == "etcds"),
        unquote(user),
        unquote(password),
    )


def _endpoint(host: str) -> str:
    """`host:port`, as gRPC takes it."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, str(PORT)
    bare = name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name
    if not bare or (":" in name and bare == name) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise StoreRefused(f"the address of etcd has an endpoint that is no host and port; it looks like {_FORM}")
    return f"{name}:{port}"


def _prefix(path: str) -> str:
    prefix = path.strip("/") or PREFIX
    if not (prefix.isascii() and prefix.isprintable() and len(prefix) <= 200):
        raise StoreRefused("the prefix of the keys in etcd has to be at most 200 printable ASCII characters")
    return prefix


def _tls(query: str, wanted: bool) -> Tls | None:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(_FILES)):
        raise StoreRefused(f"the address of etcd has an unknown option {unknown[0]!r}; there are {', '.join(_FILES)}")
    if ("cert" in options) != ("key" in options):
        raise StoreRefused("the address of etcd needs both cert and key, or neither")
    if not (wanted or options):
        return None
    return Tls(*(_read(options[name], name) if name in options else None for name in _FILES))


def _read(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise StoreRefused(f"the {name} file of etcd, {path}, cannot be read: {exc.strerror}") from exc
