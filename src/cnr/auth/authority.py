"""Who decides about an Access: an open server, or the accounts in the record store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from cnr.auth.caller import ANYBODY, Caller, Callers
from cnr.auth.scopes import actions_in, is_catalog
from cnr.domain.access import EVERYTHING, Access, Grant
from cnr.domain.account import Path, Right
from cnr.domain.audit import ANONYMOUS
from cnr.domain.errors import Denied, Forbidden, InsufficientScope, LoginRequired
from cnr.domain.names import Repository
from cnr.domain.policy import policy_path

IsPublic = Callable[[str], Awaitable[bool]]
"""Whether what is at a path may be pulled by anybody."""
_READING: Final = ("public", "login", "pull", "list", "catalog")


class Authority(Protocol):
    """Decides, before a handler reads the body."""

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        """The grant. Raises Unauthorized for wrong or missing credentials, Forbidden for a missing right."""
        ...


class OpenAuthority:
    """Grants everything but changes by pages of other sites, which a browser that can reach the server would send.

    An Authorization header is ignored. Source: contracts/cnr.md 2.15, auth off.
    """

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        if access.changes:
            _refuse_other_sites(headers)  # or any page could push to the server on its reader's own machine
        return EVERYTHING


class AccountAuthority:
    """Decides by the records of users, groups and tokens, and by the visibility of paths.

    Nothing is asked about what is stored in the registry: so what is private and what is missing cannot be told
    apart, and a right holds for what will be pushed.
    """

    def __init__(self, callers: Callers, is_public: IsPublic) -> None:
        self._callers = callers
        self._is_public = is_public

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        if access.action == "public":
            return Grant(sees=_nothing, has=_nothing, who=ANONYMOUS, caller=ANYBODY)
        caller = await self._callers.of(headers.get("authorization"), access.address)
        try:
            await self._decide(caller, headers, access)
        except Denied as exc:
            exc.who = caller.who
            raise
        lists = access.action in ("list", "login", "catalog")
        return Grant(
            caller.name,
            None
            if caller.admin and caller.scopes is None
            else self._sees(caller, unscoped=_is_unscoped(caller, lists)),
            None if caller.admin else self._sees(caller, unscoped=True),
            caller.who,
            caller,
        )

    async def _decide(self, caller: Caller, headers: Mapping[str, str], access: Access) -> None:
        """Raises Denied."""
        if access.action not in _READING:
            _refuse_other_sites(headers)
        match access.action:
            case "login" | "catalog":
                if caller.is_anybody and caller.scopes is None:
                    raise _login()
                if access.action == "catalog":
                    _check_catalog(caller)
            case "list":
                pass
            case "admin" | "self":
                _check_administration(caller, access)
            case "pull" | "push" | "delete":
                await self._check(caller, access.repository, access.action, access.path)

    async def _check(self, caller: Caller, repository: Repository | None, action: Right, place: Path | None) -> None:
        path: str | None = place
        if path is None and repository is not None:
            path = policy_path(repository)
        allowed = action in caller.rights(path)
        if allowed and _is_in_scope(caller, repository, action):
            return
        if action == "pull" and path is not None and await self._is_public(path):
            return
        if caller.scopes is not None:
            raise InsufficientScope("the bearer token was not made for this", **_details(repository, action))
        if caller.is_anybody:
            raise _login(**_details(repository, action))
        raise Forbidden(f"{caller.name} may not {action} here", **_details(repository, action))

    def _sees(self, caller: Caller, *, unscoped: bool) -> Callable[[Sequence[Repository]], Awaitable[list[bool]]]:
        known: dict[str, bool] = {}

        async def sees_one(repository: Repository) -> bool:
            path = policy_path(repository)
            if "pull" in caller.rights(path) and (unscoped or _is_in_scope(caller, repository, "pull")):
                return True
            return await self._is_public(path)

        async def sees(repositories: Sequence[Repository]) -> list[bool]:
            for repository in repositories:
                if repository not in known:
                    known[repository] = await sees_one(repository)
            return [known[repository] for repository in repositories]

        return sees


async def _nothing(repositories: Sequence[Repository]) -> Sequence[bool]:
    return [False] * len(repositories)


def _is_unscoped(caller: Caller, lists: bool) -> bool:
    """Whether all that the caller may pull counts, and not only what his bearer token was made for."""
    return caller.scopes is None or (lists and any(map(is_catalog, caller.scopes)))


def _check_catalog(caller: Caller) -> None:
    """Raises InsufficientScope, or a client would take the catalog for as empty as its token.

    podman's is: it logs in, and asks for the catalog with the token that it got for nothing in particular.
    """
    if not caller.is_anybody and not _is_unscoped(caller, lists=True):
        raise InsufficientScope("the bearer token was not made for the catalog")


def _check_administration(caller: Caller, access: Access) -> None:
    """Bearer tokens of the token service are for what clients of other protocols do, and administer nothing.

    Raises LoginRequired, InsufficientScope, Forbidden: the same whether what is meant is there or not.
    """
    if caller.scopes is not None:
        raise InsufficientScope("a bearer token of /token administers nothing: show the password or a robot token")
    if caller.is_anybody:
        raise _login()
    if access.action == "admin" and "admin" not in caller.rights(access.path):
        raise Forbidden(f"{caller.name} may not administer this")


def _is_in_scope(caller: Caller, repository: Repository | None, action: Right) -> bool:
    """Whether the caller's bearer token was made for this; True where he showed none.

    What was made for a push also deletes, if its owner may: clients ask for no more. Source: contracts/oci-helm.md 2.
    """
    if caller.scopes is None:
        return True
    if repository is None:
        return False
    actions = actions_in(caller.scopes, repository)
    return bool(actions & {action, "*"}) or (action == "delete" and "push" in actions)


def _refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Refuse a change that a browser makes for another site, with the password that it remembers, or none.

    Source: Fetch Metadata; the Origin header for browsers without it. No other client sends either. Raises Forbidden.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden("a page of another site may not change anything here")
    if site is None and origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Forbidden("a page of another site may not change anything here")


def _login(**details: object) -> LoginRequired:
    return LoginRequired("this needs a user with the right to do it: log in", **details)


def _details(repository: Repository | None, action: str) -> dict[str, object]:
    return {} if repository is None else {"package": repository, "scopes": [action]}
