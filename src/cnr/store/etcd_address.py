"""`etcd://user:password@host1:2379,host2:2379/prefix?ca=file` as what a connection needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cnr.domain.store_url import Host, StoreUrl
from cnr.store.base import StoreRefused

PORT: Final = 2379
PREFIX_LIMIT: Final = 200
_FILES: Final = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files' contents in PEM: whom to trust (None: who the system trusts), and who we are (None: nobody)."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is (`host:port` as gRPC takes it), how to get in, and what our keys begin with."""

    endpoints: tuple[str, ...]
    prefix: str
    tls: Tls | None = None
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """For messages: without the password."""
        return f"etcd at {', '.join(self.endpoints)}"


def address_of(url: StoreUrl, prefix: str) -> Address:
    """The address in `url`; reads the files that it names.

    `etcds://`, or any of ca, cert and key, means TLS. A path in `url` replaces `prefix`; keys are
    below it. Raises StoreRefused with a sentence that does not repeat the password.
    """
    if not url.hosts:
        raise StoreRefused(f"{url} names no host; it looks like etcd://host:2379,host:2379/prefix")
    if bool(url.username) != bool(url.password):
        raise StoreRefused(f"{url} needs both a user and a password, or neither")
    if path := url.path.strip("/"):
        prefix = f"{path}/"
    if not (len(prefix) <= PREFIX_LIMIT and prefix.isascii() and (prefix.isprintable() or not prefix)):
        raise StoreRefused(f"{url} has a prefix that is not up to {PREFIX_LIMIT} printable ASCII characters")
    tls = _tls(url, url.query)
    return Address(tuple(map(_endpoint, url.hosts)), prefix, tls, url.username, url.password)


def _endpoint(host: Host) -> str:
    return str(Host(host.name, host.port or PORT))


def _tls(url: StoreUrl, options: Mapping[str, str]) -> Tls | None:
    if unknown := sorted(options.keys() - set(_FILES)):
        raise StoreRefused(f"{url} has an unknown option {unknown[0]!r}; there are {', '.join(_FILES)}")
    if ("cert" in options) != ("key" in options):
        raise StoreRefused(f"{url} needs both cert and key, or neither")
    if url.scheme != "etcds" and not options:
        return None
    return Tls(*(_read(options[name], name) if name in options else None for name in _FILES))


def _read(path: str, name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise StoreRefused(f"the {name} file of etcd, {path}, cannot be read: {exc.strerror}") from exc
