"""Repository names in a path: any for a read, those that every protocol can name for a write."""

from cnr.domain.errors import Forbidden, InvalidName
from cnr.domain.names import LIBRARY, RESERVED, Repository, parse_repository


def readable(name: str) -> Repository:
    """The repository of a read. Raises InvalidName."""
    return parse_repository(name)


def writable(name: str) -> Repository:
    """The repository of a write. Raises InvalidName, and Forbidden below `library/`.

    CNR's `library/x` is the repository `x`. Source: contracts/oci-helm.md 6.4 (1), (2).
    """
    repository = parse_repository(name)
    parts = repository.split("/")
    if len(parts) > 1 and parts[0] in RESERVED:
        raise InvalidName(f"the namespace {parts[0]!r} is reserved: choose another")
    if len(parts) > 2 and parts[1] == "channels":
        raise InvalidName("'channels' is reserved as the second of three or more parts: choose another name")
    if len(parts) > 1 and parts[0] == LIBRARY:
        raise Forbidden(f"{LIBRARY}/ stands for repositories without a namespace: push to {'/'.join(parts[1:])}")
    return repository
