"""Users, groups and their roles as those see them who administer: over HTTP and on the store alike.

The types are also what the API sends. `version` changes with every change, and is the ETag of what it stands in.
"""

from typing import Literal, Protocol

import msgspec

from cnr.domain.account import GroupName, Path, Right, Role, UserName
from cnr.domain.moment import Moment

SubjectKind = Literal["user", "group"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user. `roles` are his own, by path; those of his groups come on top."""

    name: str
    admin: bool
    created_at: Moment
    groups: list[str]
    roles: dict[str, Role]
    version: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group and the roles that its members have."""

    name: str
    created_at: Moment
    roles: dict[str, Role]
    version: str


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A group with the users who are in it, by name."""

    name: str
    created_at: Moment
    roles: dict[str, Role]
    members: list[str]
    version: str


class RoleAt(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody has a role at a path."""

    kind: SubjectKind
    name: str
    path: str
    role: Role


class Self(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks. `roles`: his own and those of his groups, the highest by path; `scopes`: those of a token."""

    name: str
    kind: Literal["user", "token"]
    admin: bool
    groups: list[str]
    roles: dict[str, Role]
    scopes: dict[str, list[Right]]


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to taking something away."""

    name: str
    status: str = "deleted"


class People(Protocol):
    """Users and groups. Every change is one swap of one record, and holds from the next request on."""

    async def users(self) -> list[User]:
        """All users, by name."""
        ...

    async def add_user(self, name: UserName, password: str, *, admin: bool = False) -> User:
        """Make a user. Raises NameTaken."""
        ...

    async def take_over(self, name: UserName, bcrypt: str, *, replace: bool = False) -> User:
        """Make a user with a bcrypt hash; with `replace` one who is there gets it. Raises NameTaken."""
        ...

    async def set_password(self, name: UserName, password: str) -> User:
        """Change a password. Raises AccountNotFound."""
        ...

    async def set_admin(self, name: UserName, admin: bool) -> User:
        """Make a user an administrator, or none. Raises AccountNotFound, LastAdministrator."""
        ...

    async def remove_user(self, name: UserName) -> Gone:
        """Remove a user. Raises AccountNotFound, LastAdministrator."""
        ...

    async def groups(self) -> list[Group]:
        """All groups, by name."""
        ...

    async def add_group(self, name: GroupName) -> Group:
        """Make a group. Raises NameTaken."""
        ...

    async def remove_group(self, name: GroupName) -> Gone:
        """Remove a group. Raises AccountNotFound."""
        ...

    async def join(self, group: GroupName, user: UserName) -> User:
        """Put a user into a group. Raises AccountNotFound, RecordFull."""
        ...

    async def leave(self, group: GroupName, user: UserName) -> User:
        """Take a user out of a group. Raises AccountNotFound."""
        ...

    async def roles(self, path: Path | None = None) -> list[RoleAt]:
        """Who has a role at `path` or below it; None: anywhere."""
        ...

    async def give(self, kind: SubjectKind, name: str, path: Path, role: Role) -> RoleAt:
        """Give a role, in the place of the one there. Raises AccountNotFound, RecordFull."""
        ...

    async def take(self, kind: SubjectKind, name: str, path: Path) -> Gone:
        """Take the role at a path. Raises AccountNotFound."""
        ...
