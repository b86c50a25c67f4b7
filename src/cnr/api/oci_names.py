"""Repository names in a path: any for a read, those that every protocol can name for a write."""

from cnr.domain.errors import Forbidden
from cnr.domain.names import LIBRARY, Repository, parse_repository, require_writable


def readable(name: str) -> Repository:
    """The repository of a read. Raises InvalidName."""
    return parse_repository(name)


def writable(name: str) -> Repository:
    """The repository of a write. Raises InvalidName, and Forbidden below `library/`.

    CNR's `library/x` is the repository `x`. Source: contracts/oci-helm.md 6.4 (1), (2).
    """
    repository = parse_repository(name)
    require_writable(repository)
    parts = repository.split("/")
    if len(parts) > 1 and parts[0] == LIBRARY:
        raise Forbidden(f"{LIBRARY}/ stands for repositories without a namespace: push to {'/'.join(parts[1:])}")
    return repository
