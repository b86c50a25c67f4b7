"""The API for those who administer: users, groups, roles, robot tokens, rules, keys.

Who may what is decided by the route: `admin` is asked at the path that it names, and without one in the whole
registry; `self` is for everybody who is known, and the handlers show and take only what is his.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.cnr_admin_bodies import NewToken, Rotation, if_match, listing, private, read, versioned
from cnr.api.cnr_admin_people import A, PeopleRoutes, caller_of, place
from cnr.auth.access_control import AccessControl
from cnr.auth.robots import StoredRobots
from cnr.domain.account import Path, parse_label, parse_path
from cnr.domain.errors import Forbidden, InvalidUsage
from cnr.domain.rulebook import QUOTAS, RuleChanges
from cnr.http.audited import note
from cnr.http.routes import Route
from cnr.registry.registry import Registry
from cnr.registry.rulebook import StoredRulebook

OFF: Final = "this server has no accounts (CNR_AUTH=open): whoever reaches it may do everything, and nobody administers"


def admin_routes(registry: Registry, control: AccessControl | None) -> list[Route]:
    """The route table; without accounts every route answers that there are none."""
    if control is not None:
        return [*PeopleRoutes(control).routes(), *AdminRoutes(registry, control).routes()]
    nobody: Any = _Nobody()
    table = [*PeopleRoutes(nobody).routes(), *AdminRoutes(registry, nobody).routes()]
    return [replace(route, handler=_off) for route in table]


class _Nobody:
    """Has accounts, passwords, … of which no handler ever hears."""

    def __getattr__(self, name: str) -> None:
        return None


async def _off(request: Request, **variables: str) -> Response:
    raise Forbidden(OFF)


class AdminRoutes:
    """The handlers for robot tokens, keys and rules."""

    def __init__(self, registry: Registry, control: AccessControl) -> None:
        self._control = control
        self._rulebook = StoredRulebook(registry.policies)

    def routes(self) -> list[Route]:
        """The route table."""
        token, policy = A + "/tokens/{token}", A + "/policies/{path}"
        return [
            Route("GET", A + "/tokens", self.tokens, "self"),
            Route("POST", A + "/tokens", self.make_token, "self"),
            Route("GET", token, self.token, "self"),
            Route("DELETE", token, self.remove_token, "self"),
            Route("POST", A + "/signing-keys", self.rotate, "admin"),
            Route("GET", policy, self.policy, "admin"),
            Route("PATCH", policy, self.change_policy, "admin"),
        ]

    async def tokens(self, request: Request) -> Response:
        limits = listing(request)
        found = await self._robots(request).tokens(after=limits.after, limit=limits.limit)
        response = private(found)
        response.headers.update(limits.link(request, found[-1].id if found else "", len(found)))
        return response

    async def make_token(self, request: Request) -> Response:
        wanted = await read(request, NewToken)
        note(request, scopes=" ".join(f"{path}:{','.join(rights)}" for path, rights in wanted.scopes.items()))
        made = await self._robots(request).make(
            parse_label(wanted.name), wanted.rights(), days=wanted.days, independent=wanted.independent
        )
        note(request, token=made.id)
        return private(made)

    async def token(self, request: Request, token: str) -> Response:
        return versioned(await self._robots(request).token(token))

    async def remove_token(self, request: Request, token: str) -> Response:
        return private(await self._robots(request).remove(token, expect=if_match(request)))

    async def rotate(self, request: Request) -> Response:
        wanted = await read(request, Rotation)
        return private(await self._robots(request).rotate(drop_others=wanted.drop_others))

    async def policy(self, request: Request, path: str) -> Response:
        return versioned(await self._rulebook.rules(parse_path(path)))

    async def change_policy(self, request: Request, path: str) -> Response:
        at, wanted = parse_path(path), (await read(request, RuleChanges)).values()
        if not wanted:
            raise InvalidUsage("there is nothing to set")
        if wanted.keys() & QUOTAS and "admin" not in request.scope["grant"].caller.rights(None):
            raise Forbidden("only who administers the whole registry sets max_tags and max_bytes")
        note(request, rules=" ".join(sorted(wanted)))
        return versioned(await self._rulebook.set_rules(at, wanted, expect=if_match(request)))

    def _robots(self, request: Request) -> StoredRobots:
        return StoredRobots(self._control.tokens, self._control.bearers, caller=caller_of(request))


def admin_place(values: Mapping[str, str]) -> Path | None:
    """Where the right `admin` must be held, by a route's variables."""
    return place(values.get("path"))
