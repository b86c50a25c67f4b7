"""Users, groups, roles, robot tokens and rules over the admin API of a registry: as the store's own, from afar.

The methods are coroutines, as in the interfaces that they keep (domain/people.py, robots.py, rulebook.py), and wait in
place: nothing else runs beside them on a command line.
"""

from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from cnr.client.transport import Connection, decode, reaching
from cnr.domain.account import GroupName, Path, Rights, Role, ScopePath, UserName
from cnr.domain.people import Gone, Group, RoleAt, SubjectKind, User
from cnr.domain.robots import NewRobot, Robot, Rotated
from cnr.domain.rulebook import Rules

T = TypeVar("T")
_ADMIN: Final = "/api/v1/admin"


class AdminClient:
    """People, Robots and Rulebook of one registry. Every method may raise Unreachable, BadAnswer and the Refusals.

    Close it, or use it as a context manager.
    """

    def __init__(self, connection: Connection) -> None:
        self.registry = connection.registry
        self._http = connection.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    async def users(self) -> list[User]:
        """As People.users."""
        return self._pages("/users", list[User])

    async def add_user(self, name: UserName, password: str, *, admin: bool = False) -> User:
        """As People.add_user."""
        return self._call("POST", "/users", User, json={"name": name, "password": password, "admin": admin})

    async def take_over(self, name: UserName, bcrypt: str, *, replace: bool = False) -> User:
        """As People.take_over."""
        return self._call("POST", "/users", User, json={"name": name, "bcrypt": bcrypt, "replace": replace})

    async def set_password(self, name: UserName, password: str) -> User:
        """As People.set_password."""
        return self._call("PATCH", _path("users", name), User, json={"password": password})

    async def set_admin(self, name: UserName, admin: bool) -> User:
        """As People.set_admin."""
        return self._call("PATCH", _path("users", name), User, json={"admin": admin})

    async def remove_user(self, name: UserName) -> Gone:
        """As People.remove_user."""
        return self._call("DELETE", _path("users", name), Gone)

    async def groups(self) -> list[Group]:
        """As People.groups."""
        return self._pages("/groups", list[Group])

    async def add_group(self, name: GroupName) -> Group:
        """As People.add_group."""
        return self._call("POST", "/groups", Group, json={"name": name})

    async def remove_group(self, name: GroupName) -> Gone:
        """As People.remove_group."""
        return self._call("DELETE", _path("groups", name), Gone)

    async def join(self, group: GroupName, user: UserName) -> User:
        """As People.join."""
        return self._call("PUT", _path("groups", group, "members", user), User)

    async def leave(self, group: GroupName, user: UserName) -> User:
        """As People.leave."""
        return self._call("DELETE", _path("groups", group, "members", user), User)

    async def roles(self, path: Path | None = None) -> list[RoleAt]:
        """As People.roles."""
        return self._call("GET", "/roles" if path is None else f"/roles/{path}", list[RoleAt])

    async def give(self, kind: SubjectKind, name: str, path: Path, role: Role) -> RoleAt:
        """As People.give."""
        return self._call("PUT", f"{_path(f'{kind}s', name, 'roles')}/{path}", RoleAt, json={"role": role})

    async def take(self, kind: SubjectKind, name: str, path: Path) -> Gone:
        """As People.take."""
        return self._call("DELETE", f"{_path(f'{kind}s', name, 'roles')}/{path}", Gone)

    async def tokens(self) -> list[Robot]:
        """As Robots.tokens."""
        return self._pages("/tokens", list[Robot])

    async def make(
        self, name: str, scopes: Mapping[ScopePath, Rights], *, days: int | None, independent: bool = False
    ) -> NewRobot:
        """As Robots.make."""
        wanted = {path: sorted(rights) for path, rights in scopes.items()}
        body = {"name": name, "scopes": wanted, "days": days, "independent": independent}
        return self._call("POST", "/tokens", NewRobot, json=body)

    async def remove(self, token_id: str) -> Gone:
        """As Robots.remove."""
        return self._call("DELETE", _path("tokens", token_id), Gone)

    async def rotate(self, *, drop_others: bool = False) -> Rotated:
        """As Robots.rotate."""
        return self._call("POST", "/signing-keys", Rotated, json={"drop_others": drop_others})

    async def rules(self, path: Path) -> Rules:
        """As Rulebook.rules."""
        return self._call("GET", f"/policies/{path}", Rules)

    async def set_rules(self, path: Path, wanted: Mapping[str, Any]) -> Rules:
        """As Rulebook.set_rules."""
        return self._call("PATCH", f"/policies/{path}", Rules, json=dict(wanted))

    def _pages(self, path: str, kind: type[list[T]]) -> list[T]:
        """A whole list, page by page."""
        found: list[T] = []
        params: dict[str, str] = {}
        while True:
            with reaching(self.registry), self._http.stream("GET", _ADMIN + path, params=params) as response:
                found += decode(response, kind)
                following = response.links.get("next", {}).get("url")
            after = httpx.URL(following).params.get("after") if following else None
            if after is None or after == params.get("after"):
                return found
            params = {"after": after}

    def _call(self, method: str, path: str, kind: type[T], **request: Any) -> T:
        with reaching(self.registry), self._http.stream(method, _ADMIN + path, **request) as response:
            return decode(response, kind)


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)
