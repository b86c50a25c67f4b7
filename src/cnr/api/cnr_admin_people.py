"""The API's users, groups and roles: handlers."""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.cnr_admin_bodies import (
    Given,
    NewGroup,
    NewUser,
    OwnPassword,
    UserChanges,
    if_match,
    listing,
    private,
    read,
    versioned,
)
from cnr.auth.access_control import AccessControl
from cnr.auth.caller import Caller
from cnr.auth.people import StoredPeople
from cnr.domain.account import GroupName, Path, UserName, parse_group, parse_password, parse_path, parse_user
from cnr.domain.errors import AccountNotFound, ChangedMeanwhile, Forbidden, InvalidName, InvalidUsage, Unauthorized
from cnr.domain.people import Self
from cnr.http.admission import address_of
from cnr.http.audited import note
from cnr.http.routes import Route

A = "/api/v1/admin"


class PeopleRoutes:
    """The handlers."""

    def __init__(self, control: AccessControl) -> None:
        self._control = control
        self._people = StoredPeople(control.accounts, control.passwords, keeps_admin=True)

    def routes(self) -> list[Route]:
        """The route table."""
        user, group = A + "/users/{user}", A + "/groups/{group}"
        return [
            Route("GET", A + "/me", self.me, "self"),
            Route("PUT", A + "/me/password", self.own_password, "self"),
            Route("GET", A + "/users", self.users, "admin"),
            Route("POST", A + "/users", self.add_user, "admin"),
            Route("GET", user, self.user, "admin"),
            Route("PATCH", user, self.change_user, "admin"),
            Route("DELETE", user, self.remove_user, "admin"),
            Route("PUT", user + "/roles/{path}", self.give_user, "admin"),
            Route("DELETE", user + "/roles/{path}", self.take_user, "admin"),
            Route("GET", A + "/groups", self.groups, "admin"),
            Route("POST", A + "/groups", self.add_group, "admin"),
            Route("GET", group, self.group, "admin"),
            Route("DELETE", group, self.remove_group, "admin"),
            Route("PUT", group + "/members/{user}", self.join, "admin"),
            Route("DELETE", group + "/members/{user}", self.leave, "admin"),
            Route("PUT", group + "/roles/{path}", self.give_group, "admin"),
            Route("DELETE", group + "/roles/{path}", self.take_group, "admin"),
            Route("GET", A + "/roles", self.roles, "admin"),
            Route("GET", A + "/roles/{path}", self.roles, "admin"),
        ]

    async def me(self, request: Request) -> Response:
        caller = caller_of(request)
        made_for = caller.record
        assert made_for is not None
        found = await self._control.accounts.user(made_for.id) if made_for.kind == "user" else None
        return private(
            Self(
                name=caller.name or "",
                kind="token" if caller.is_robot else "user",
                admin=caller.admin,
                groups=[each.group for each in found.record.groups] if found is not None else [],
                roles=caller.roles(),
                scopes={path: list(rights) for path, rights in caller.reach.items()},
            )
        )

    async def own_password(self, request: Request) -> Response:
        made_for = caller_of(request).record
        if made_for is None or made_for.kind != "user":
            raise Forbidden("only a user who is kept here has a password here")
        wanted = await read(request, OwnPassword)
        found = await self._control.accounts.user(made_for.id)
        if found is None or found.record.born != made_for.born:
            raise ChangedMeanwhile("you were changed meanwhile: log in again")
        stored, version, address = found.record.password, found.version, address_of(request.scope)
        try:
            await self._control.callers.require_right(made_for.id, wanted.old, stored, version, address=address)
        except Unauthorized:
            raise Forbidden("the old password is wrong") from None
        expect = frozenset((found.record.write,))
        name = UserName(made_for.id)
        return versioned(await self._people.change(name, password=parse_password(wanted.new), expect=expect))

    async def users(self, request: Request) -> Response:
        limits = listing(request)
        found = await self._people.users(after=limits.after, limit=limits.limit)
        response = private(found)
        response.headers.update(limits.link(request, found[-1].name if found else "", len(found)))
        return response

    async def add_user(self, request: Request) -> Response:
        wanted = await read(request, NewUser)
        name = parse_user(wanted.name)
        note(request, user=name, admin=wanted.admin)
        if (wanted.password is None) == (wanted.bcrypt is None):
            raise InvalidUsage("a new user has either password or bcrypt")
        if wanted.bcrypt is None:
            if wanted.replace:
                raise InvalidUsage("replace goes with bcrypt; a password is changed by PATCH")
            return versioned(
                await self._people.add_user(name, parse_password(wanted.password or ""), admin=wanted.admin)
            )
        if wanted.admin:
            raise InvalidUsage("who comes from an htpasswd file becomes an administrator by PATCH")
        return versioned(await self._people.take_over(name, wanted.bcrypt, replace=wanted.replace))

    async def user(self, request: Request, user: str) -> Response:
        return versioned(await self._people.user(known_user(user)))

    async def change_user(self, request: Request, user: str) -> Response:
        wanted = await read(request, UserChanges)
        if wanted.password is None and wanted.admin is None:
            raise InvalidUsage("there is nothing to change: give password, admin or both")
        password = parse_password(wanted.password) if wanted.password is not None else None
        note(request, password=password is not None, **({} if wanted.admin is None else {"admin": wanted.admin}))
        return versioned(
            await self._people.change(known_user(user), password=password, admin=wanted.admin, expect=if_match(request))
        )

    async def remove_user(self, request: Request, user: str) -> Response:
        return private(await self._people.remove_user(known_user(user), expect=if_match(request)))

    async def groups(self, request: Request) -> Response:
        limits = listing(request)
        found = await self._people.groups(after=limits.after, limit=limits.limit)
        response = private(found)
        response.headers.update(limits.link(request, found[-1].name if found else "", len(found)))
        return response

    async def add_group(self, request: Request) -> Response:
        name = parse_group((await read(request, NewGroup)).name)
        note(request, group=name)
        return versioned(await self._people.add_group(name))

    async def group(self, request: Request, group: str) -> Response:
        return versioned(await self._people.group(known_group(group)))

    async def remove_group(self, request: Request, group: str) -> Response:
        return private(await self._people.remove_group(known_group(group), expect=if_match(request)))

    async def join(self, request: Request, group: str, user: str) -> Response:
        return versioned(await self._people.join(known_group(group), known_user(user), expect=if_match(request)))

    async def leave(self, request: Request, group: str, user: str) -> Response:
        return versioned(await self._people.leave(known_group(group), known_user(user), expect=if_match(request)))

    async def roles(self, request: Request, path: str | None = None) -> Response:
        return private(await self._people.roles(None if path is None else parse_path(path)))

    async def give_user(self, request: Request, user: str, path: str) -> Response:
        role, expect = (await read(request, Given)).role, if_match(request)
        note(request, role=role)
        return private(await self._people.give("user", known_user(user), parse_path(path), role, expect=expect))

    async def take_user(self, request: Request, user: str, path: str) -> Response:
        expect = if_match(request)
        return private(await self._people.take("user", known_user(user), parse_path(path), expect=expect))

    async def give_group(self, request: Request, group: str, path: str) -> Response:
        role, expect = (await read(request, Given)).role, if_match(request)
        note(request, role=role)
        return private(await self._people.give("group", known_group(group), parse_path(path), role, expect=expect))

    async def take_group(self, request: Request, group: str, path: str) -> Response:
        expect = if_match(request)
        return private(await self._people.take("group", known_group(group), parse_path(path), expect=expect))


def caller_of(request: Request) -> Caller:
    """Who asks: the accounts' own idea of him, since only they let anybody come here."""
    return cast("Caller", request.scope["grant"].caller)


def known_user(text: str) -> UserName:
    """The user of this name. Raises AccountNotFound where nobody can have it."""
    try:
        return parse_user(text)
    except InvalidName:
        raise AccountNotFound("there is no such user") from None


def known_group(text: str) -> GroupName:
    """The group of this name. Raises AccountNotFound where none can have it."""
    try:
        return parse_group(text)
    except InvalidName:
        raise AccountNotFound("there is no such group") from None


def place(path: str | None) -> Path | None:
    """The path at which a route asks for a right; None where it names none, or one that cannot be."""
    try:
        return None if path is None else parse_path(path)
    except InvalidName:
        return None
