"""Where a store is: `redis://user:password@host:6379/0`, `etcd://h1:2379,h2:2379/prefix`, `s3://bucket/prefix`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

FILE: Final = "file"
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Host:
    """A host's name or address (or a bucket), and its port where one was given."""

    name: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Host":
        """From `host`, `host:port` or `[v6]:port`. Raises ValueError."""
        found = _HOST.fullmatch(text)
        if found is None or int(found[3] or 0) > 65535:
            raise ValueError("use a host such as localhost or localhost:6379")
        return cls(found[1] or found[2], int(found[3]) if found[3] else None)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A store's URL taken apart. `path` is decoded and begins with a slash, or is empty.

    Shown as text it has no user, no password and no query: it may go into messages and logs.
    """

    scheme: str
    hosts: tuple[Host, ...] = ()
    path: str = ""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> "StoreUrl":
        """From a URL with one host, several with commas between them, or none. Raises ValueError, without secrets."""
        scheme, there, rest = text.partition("://")
        if not there or _SCHEME.fullmatch(scheme.lower()) is None:
            raise ValueError("use a URL such as redis://host:6379/0")
        rest, _, query = rest.partition("#")[0].partition("?")
        authority, slash, path = rest.partition("/")
        user, _, hosts = authority.rpartition("@")
        name, _, password = user.partition(":")
        return cls(
            scheme.lower(),
            tuple(Host.parse(host) for host in hosts.split(",") if host),
            unquote(slash + path),
            unquote(name),
            unquote(password),
            dict(parse_qsl(query, keep_blank_values=True)),
        )

    @classmethod
    def of_folder(cls, folder: Path) -> "StoreUrl":
        """The URL of an absolute folder."""
        return cls(FILE, path=str(folder))

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(map(str, self.hosts))}{quote(self.path)}"


def without_secrets(text: str) -> str:
    """A setting's text as it may be shown: of a URL without its user, its password and its query.

    Also of one that cannot be parsed.
    """
    scheme, there, rest = text.partition("://")
    if not there:
        return text
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'…@' if at else ''}{place.partition('?')[0]}"
