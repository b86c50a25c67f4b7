"""Who may do what: rights, the roles that bundle them, and the paths at which they hold.

A path is what `policy_path` gives for a repository, or a beginning of it: `shop` is a namespace, `shop/api` one of
its repositories, and `library/x` the repository `x`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NewType, get_args

from cnr.domain.errors import InvalidName, InvalidUsage
from cnr.domain.names import parse_repository

Right = Literal["pull", "push", "delete", "admin"]
"""`admin`: to administer a path and what is below it: roles, rules, tokens."""
RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
Rights = frozenset[Right]
Role = Literal["reader", "writer", "maintainer", "admin"]
ROLES: Final[Mapping[Role, Rights]] = {
    "reader": frozenset(("pull",)),
    "writer": frozenset(("pull", "push")),
    "maintainer": frozenset(("pull", "push", "delete")),
    "admin": frozenset(RIGHTS),
}
RIGHT_OF: Final[Mapping[Role, Right]] = {"reader": "pull", "writer": "push", "maintainer": "delete", "admin": "admin"}
"""The right that a role has and no lesser one."""
ALL: Final[Rights] = frozenset(RIGHTS)
NONE: Final[Rights] = frozenset()

UserName = NewType("UserName", str)
GroupName = NewType("GroupName", str)
Path = NewType("Path", str)
"""A namespace, or a repository in one."""
ScopePath = NewType("ScopePath", str)
"""What a robot token reaches: `ns/name` that repository and what is below it, `ns/*` all that is below `ns`."""

PASSWORD_LIMIT: Final = 1024
"""Characters of a password; hashing takes no more time for long ones, but somebody has to hold them."""
PASSWORD_LEAST: Final = 8
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")


def parse_user(text: str) -> UserName:
    """A user's name. Raises InvalidName."""
    return UserName(_account(text, "user"))


def parse_group(text: str) -> GroupName:
    """A group's name. Raises InvalidName."""
    return GroupName(_account(text, "group"))


def parse_label(text: str) -> str:
    """What people call a robot token. Raises InvalidName."""
    return _account(text, "token")


def _account(text: str, what: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise InvalidName(
            f"a {what}'s name is 1 to 64 lower-case letters, digits, '.', '_', '@' and '-',"
            " and begins and ends with a letter or digit"
        )
    return text


def parse_path(text: str) -> Path:
    """A namespace, or a repository in one. Raises InvalidName."""
    return Path(parse_repository(text))


def parse_scope(text: str) -> ScopePath:
    """`ns/*` or `ns/name`. Raises InvalidName."""
    path = text.removesuffix("/*")
    parse_repository(path)
    if path == text and "/" not in text:
        raise InvalidName(f"a scope is {text}/* for a namespace, or {text}/NAME for one of its repositories")
    return ScopePath(text)


def parse_rights(words: Iterable[str]) -> Rights:
    """Some of RIGHTS, at least one. Raises InvalidUsage."""
    wanted = frozenset(words)
    found: Rights = frozenset(right for right in RIGHTS if right in wanted)
    if not found or len(found) != len(wanted):
        raise InvalidUsage(f"rights are one or more of {', '.join(RIGHTS)}")
    return found


def parse_password(text: str) -> str:
    """A new password as it is. Raises InvalidUsage for one that is too short, or longer than can be kept."""
    if not PASSWORD_LEAST <= len(text) <= PASSWORD_LIMIT:
        raise InvalidUsage(f"a password has {PASSWORD_LEAST} to {PASSWORD_LIMIT} characters")
    return text


def beginnings(path: str) -> Iterator[str]:
    """Every beginning of a path, from its namespace to itself."""
    at = path.find("/")
    while at != -1:
        yield path[:at]
        at = path.find("/", at + 1)
    yield path


def granted(grants: Mapping[Path, Role], path: str) -> Rights:
    """The rights at `path` of who has these roles: each holds at its own path and everywhere below."""
    if not grants:
        return NONE
    found = NONE
    for beginning in beginnings(path):
        role = grants.get(Path(beginning))
        if role is not None:
            found |= ROLES[role]
    return found


def reached(scopes: Mapping[ScopePath, tuple[Right, ...]], path: str) -> Rights:
    """The rights of a robot token with these scopes at `path`; at a namespace itself those of `ns/*`."""
    if "/" not in path:
        return frozenset(scopes.get(ScopePath(f"{path}/*"), ()))
    found = NONE
    for beginning in beginnings(path):
        found |= frozenset(scopes.get(ScopePath(beginning), ()))
        if beginning != path:
            found |= frozenset(scopes.get(ScopePath(f"{beginning}/*"), ()))
    return found
