"""Names: repositories, packages, formats, channels and tags, checked once at the edge.

The grammar is OCI's, so that every package is also an OCI repository. Source: contracts/cnr.md section 1
(row "R accept"), contracts/oci-helm.md sections 1.1 and 6.4.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NewType

from cnr.domain.errors import InvalidName

Repository = NewType("Repository", str)
"""A repository path of one or more components joined by `/`, at most 200 characters."""

Format = NewType("Format", str)
"""A package format's short token: `helm`, `kpm`, `docker-compose`, …"""

Channel = NewType("Channel", str)
"""A channel's name: a tag that is no SemVer."""

Tag = NewType("Tag", str)
"""An OCI tag. A release's tag is its version with `_` for `+`."""

NAME_LIMIT = 200
COMPONENT_LIMIT = 128
LIBRARY = "library"
RESERVED = frozenset({"api", "v2", "charts", "channels", "health", "info", "cnr", "helm"})

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_FORMAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MEDIA_TYPE = re.compile(
    r"application/vnd\.(?:cnr|appr)\.package(?:-manifest)?\.(?P<format>[^/]+?)\.v\d+\.(?:json|tar\+gzip)"
)


@dataclass(frozen=True)
class PackageName:
    """`namespace/name`, both one component of the OCI grammar."""

    namespace: str
    name: str

    @classmethod
    @lru_cache(maxsize=4096)  # every request asks for its package's name twice
    def parse(cls, namespace: str, name: str) -> "PackageName":
        """The package of these two components. Raises InvalidName with the rule that was broken."""
        _check_component(namespace, "namespace")
        _check_component(name, "name")
        if len(namespace) + 1 + len(name) > NAME_LIMIT:
            raise InvalidName(f"namespace/name is longer than {NAME_LIMIT} characters")
        return cls(namespace, name)

    @classmethod
    def of(cls, repository: Repository) -> "PackageName | None":
        """The package that the CNR view shows for `repository`; None for one of three or more components."""
        parts = repository.split("/")
        if len(parts) > 2:
            return None
        return cls(*parts) if len(parts) == 2 else cls(LIBRARY, parts[0])

    @classmethod
    def stored_in(cls, repository: Repository) -> "PackageName":
        """The package that is stored in `repository`, of any depth; the CNR view shows those of one and two components.

        Of a deeper one the namespace has several components.
        """
        namespace, _, name = repository.rpartition("/")
        return cls(namespace or LIBRARY, name)

    @cached_property
    def repository(self) -> Repository:
        """Where the package is stored: `library/x` is the one-level repository `x`."""
        return Repository(self.name if self.namespace == LIBRARY else f"{self.namespace}/{self.name}")

    def writable(self) -> "PackageName":
        """Itself. Raises InvalidName if the namespace is one that a write must refuse."""
        if self.namespace in RESERVED:
            raise InvalidName(f"the namespace {self.namespace!r} is reserved: choose another")
        return self

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def _check_component(text: str, what: str) -> None:
    if _COMPONENT.fullmatch(text) and len(text) <= COMPONENT_LIMIT:
        return
    if len(text) > COMPONENT_LIMIT:
        rule = f"is longer than {COMPONENT_LIMIT} characters"
    elif text != text.lower():
        rule = f"has upper-case letters: use {text.lower()!r}"
    else:
        rule = "must be lower-case letters and digits, separated by single '.', '_', '__' or dashes"
    raise InvalidName(f"the {what} {text[:NAME_LIMIT]!r} {rule}")


@lru_cache(maxsize=4096)  # every request asks for its repository's name twice
def parse_repository(text: str) -> Repository:
    """`text` as a repository path of any depth. Raises InvalidName. Source: OCI distribution 1.1, pulling manifests."""
    if len(text) > NAME_LIMIT:
        raise InvalidName(f"the repository name is longer than {NAME_LIMIT} characters")
    for component in text.split("/"):
        _check_component(component, "repository component")
    return Repository(text)


def require_writable(repository: Repository) -> None:
    """Raises InvalidName for a repository below a reserved name. Source: contracts/oci-helm.md 6.4 (1)."""
    parts = repository.split("/")
    if len(parts) > 1 and parts[0] in RESERVED:
        raise InvalidName(f"the namespace {parts[0]!r} is reserved: choose another")
    if len(parts) > 2 and parts[1] == "channels":
        raise InvalidName("'channels' is reserved as the second of three or more parts: choose another name")


def parse_format(text: str) -> Format:
    """A format's token, from itself or from a full CNR media type of either vendor and any version.

    Raises InvalidName. Source: contracts/cnr.md 2.4.
    """
    full = _MEDIA_TYPE.fullmatch(text)
    token = full["format"] if full else text
    if not _FORMAT.fullmatch(token):
        raise InvalidName(
            f"the format {text[:NAME_LIMIT]!r} must be at most 64 letters, digits, '_' and '-',"
            " and begin with a letter or digit"
        )
    return Format(token)


@lru_cache(maxsize=4096)
def parse_tag(text: str, *, what: str = "tag") -> Tag:
    """`text` as an OCI tag; `what` is the word for it in the error. Raises InvalidName.

    Source: OCI distribution 1.1, "Pulling manifests".
    """
    if not _TAG.fullmatch(text):
        raise InvalidName(
            f"a {what} is at most 128 letters, digits, '_', '.' and '-', and begins with neither '.' nor '-'"
        )
    return Tag(text)
