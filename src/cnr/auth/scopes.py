"""Scopes of bearer tokens: `repository:shop/api:pull,push registry:catalog:*`.

Source: distribution's token specification; contracts/oci-helm.md section 2.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from cnr.domain.errors import InvalidName
from cnr.domain.names import Repository, parse_repository

SCOPES_LIMIT: Final = 50
"""Scopes that one token may have."""
CATALOG: Final = "registry:catalog:*"


class Scope(msgspec.Struct, frozen=True):
    """Actions on one thing, as a token has them in its claim `access`."""

    type: str
    name: str
    actions: tuple[str, ...]


def parse_scopes(texts: Iterable[str]) -> list[Scope]:
    """Scopes of any number of parameters, each with any number of scopes. What is malformed asks for nothing.

    A name may hold a port's colon, so a scope is split at its first and its last one.
    """
    found: list[Scope] = []
    for word in (word for text in texts for word in text.split()):
        type, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        if name and actions and len(found) < SCOPES_LIMIT:
            found.append(Scope(type.partition("(")[0], name, tuple(dict.fromkeys(actions.split(",")))))
    return found


def repository_of(scope: Scope) -> Repository | None:
    """The repository of a scope that is for one; None for any other."""
    if scope.type != "repository":
        return None
    try:
        return parse_repository(scope.name)
    except InvalidName:
        return None


def is_catalog(scope: Scope) -> bool:
    """Whether a scope asks for lists of repositories."""
    return (scope.type, scope.name) == ("registry", "catalog") and "*" in scope.actions


def actions_in(scopes: Sequence[Scope], repository: Repository) -> frozenset[str]:
    """What a token with these scopes may do in `repository`."""
    return frozenset(
        action
        for scope in scopes
        if scope.name == repository and scope.type == "repository"
        for action in scope.actions
    )
