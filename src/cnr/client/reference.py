"""References: `[http(s)://]HOST[:PORT]/namespace/name[:channel|@release|@range|@sha256:digest]`.

Source: contracts/cnr.md section 1 (row "appr CLI") and section 7; names are checked as this project's servers do.
"""

import ipaddress
import re
from dataclasses import dataclass

from cnr.client.errors import InvalidReference
from cnr.domain.digest import TarDigest, parse_tar_digest
from cnr.domain.errors import BadInput
from cnr.domain.names import Channel, PackageName
from cnr.domain.version import DEFAULT, parse_channel, resolve

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]+))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT_LIMIT = 65535
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """Where a registry is. `host` is lower case, an IPv6 address in brackets; `port` None for the scheme's own."""

    scheme: str
    host: str
    port: int | None = None

    @property
    def authority(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def is_loopback(self) -> bool:
        """Whether the address can only mean this machine."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return self.authority


@dataclass(frozen=True, slots=True)
class AtRelease:
    """A release or a range of them, in the syntax of contracts/cnr.md section 3; `default` is the highest."""

    query: str = DEFAULT


@dataclass(frozen=True, slots=True)
class AtChannel:
    """The current release of a channel."""

    channel: Channel


@dataclass(frozen=True, slots=True)
class AtDigest:
    """The content with this digest of its uncompressed tar."""

    digest: TarDigest


Selector = AtRelease | AtChannel | AtDigest


@dataclass(frozen=True, slots=True)
class Reference:
    """A package in a registry, and which of its releases; `selector` is None where the text names none."""

    registry: RegistryAddress
    package: PackageName
    selector: Selector | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where to push: what the text leaves out is read from the package."""

    registry: RegistryAddress
    namespace: str | None = None
    name: str | None = None
    release: str | None = None


def parse_registry(text: str) -> RegistryAddress:
    """`text` as the address of a registry, without a path. Raises InvalidReference.

    Without a scheme it is https, but http for localhost, 127.0.0.0/8 and [::1]. Source: observed from appr.
    """
    address, path = split_address(text)
    if path:
        raise InvalidReference(f"{shown(text)} must be the address of a registry only: HOST[:PORT]")
    return address


def parse_namespace(text: str) -> tuple[RegistryAddress, str | None]:
    """`text` as HOST[:PORT][/namespace]. Raises InvalidReference."""
    address, path = split_address(text)
    if "/" in path:
        raise InvalidReference(f"{shown(text)} must be HOST[:PORT] or HOST[:PORT]/namespace")
    return address, path or None


def parse_reference(text: str) -> Reference:
    """`text` as a package in a registry. Raises InvalidReference, with the rule that is broken."""
    address, path = split_address(text)
    parts = path.split("/")
    if len(parts) != 2 or not all(parts):
        raise InvalidReference(f"{shown(text)} must be HOST[:PORT]/namespace/name[:channel or @release]")
    name, mark, rest = _cut(parts[1])
    try:
        return Reference(address, PackageName.parse(parts[0], name), _selector(mark, rest) if mark else None)
    except BadInput as exc:
        raise InvalidReference(f"{shown(text)}: {exc.message}") from None


def parse_target(text: str) -> Target:
    """`text` as HOST[:PORT][/namespace[/name[@release]]]. Raises InvalidReference; names are checked when complete."""
    address, path = split_address(text)
    namespace, _, rest = path.partition("/")
    name, mark, release = _cut(rest)
    if "/" in rest or mark == ":" or (mark and not (name and release)) or "@" in namespace or ":" in namespace:
        raise InvalidReference(f"{shown(text)} must be HOST[:PORT][/namespace[/name[@release]]]")
    return Target(address, namespace or None, name or None, release or None)


def parse_selector(text: str) -> Selector:
    """`text` as `:channel`, `sha256:digest`, or a release or range. Raises BadInput."""
    return _selector(":", text[1:]) if text.startswith(":") else _selector("@", text.removeprefix("@"))


def _selector(mark: str, text: str) -> Selector:
    if mark == ":":
        return AtChannel(parse_channel(text))
    if text.startswith("sha256:"):
        return AtDigest(parse_tar_digest(text))
    resolve(text, ())
    return AtRelease(text)


def _cut(text: str) -> tuple[str, str, str]:
    """`text` at its first ':' or '@': before, the mark, behind."""
    at = min((index for index in (text.find(":"), text.find("@")) if index >= 0), default=len(text))
    return text[:at], text[at : at + 1], text[at + 1 :]


def split_address(text: str) -> tuple[RegistryAddress, str]:
    """`text` as an address and the path behind it, without a last `/`. Raises InvalidReference."""
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise InvalidReference(
            "an address takes no user name or password, because others on this machine could read it:"
            " put a token into the variable CNR_TOKEN"
        )
    if scheme and scheme["scheme"].lower() not in ("http", "https"):
        raise InvalidReference(f"{shown(text)}: the scheme must be http or https")
    host, port = _host_and_port(authority)
    chosen = scheme["scheme"].lower() if scheme else ("http" if _is_loopback(host) else "https")
    return RegistryAddress(chosen, host, port), path.removesuffix("/")


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if not match or not _is_host(match["host"].lower()):
        raise InvalidReference(f"{shown(authority)} is not the address of a registry: HOST or HOST:PORT is needed")
    port = match["port"]
    if port is None:
        return match["host"].lower(), None
    if len(port) > 5 or not 0 < int(port) <= _PORT_LIMIT:
        raise InvalidReference(f"{shown(authority)}: a port is a number from 1 to {_PORT_LIMIT}")
    return match["host"].lower(), int(port)


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return _address(host) is not None
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def shown(text: str) -> str:
    """`text` as it may stand in a sentence."""
    return ascii(text[:_SHOWN])
