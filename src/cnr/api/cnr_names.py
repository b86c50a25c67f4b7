"""Package names in a path: a read of an impossible name is an ordinary 404, a write says which rule it breaks."""

from collections.abc import Mapping

from cnr.domain.errors import InvalidName
from cnr.domain.names import PackageName, Repository
from cnr.registry.tags import no_package


def readable(namespace: str, name: str) -> PackageName:
    """The package of a read. Raises PackageNotFound where no package can have this name."""
    try:
        return PackageName.parse(namespace, name)
    except InvalidName:
        raise no_package(PackageName(namespace, name)) from None


def writable(namespace: str, name: str) -> PackageName:
    """The package of a write. Raises InvalidName."""
    return PackageName.parse(namespace, name).writable()


def locate(values: Mapping[str, str]) -> Repository | None:
    """The repository that a route's variables name, for authorisation."""
    try:
        return PackageName.parse(values["namespace"], values["name"]).repository
    except (KeyError, InvalidName):
        return None
