"""The token service: who may do what, written into a bearer token. Source: contracts/oci-helm.md section 2."""

from collections.abc import Sequence
from dataclasses import dataclass

from cnr.auth.authority import IsPublic
from cnr.auth.bearer import Bearer
from cnr.auth.bearer import Caller as MadeFor
from cnr.auth.caller import ANYBODY, Caller, Callers
from cnr.auth.scopes import Scope, is_catalog, repository_of
from cnr.domain.audit import Who
from cnr.domain.policy import policy_path


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, when it was made (seconds UTC), for whom, and a refresh token where one was asked for and can be had."""

    token: str
    issued_at: int
    who: Who
    refresh_token: str | None = None


class TokenService:
    """Issues bearer tokens."""

    def __init__(self, callers: Callers, bearers: Bearer, is_public: IsPublic) -> None:
        self._callers = callers
        self._bearers = bearers
        self._is_public = is_public

    async def for_header(
        self, authorization: str | None, scopes: Sequence[Scope], *, offline: bool, address: str = ""
    ) -> Issued:
        """For the sender of this header, which is of the scheme Basic. Raises Unauthorized, TooManyFailures."""
        return await self._issue(await self._callers.of(authorization, address), scopes, offline=offline)

    async def for_password(self, name: str, password: str, scopes: Sequence[Scope], *, address: str = "") -> Issued:
        """For a user or a robot token, with a refresh token for a user. Raises Unauthorized, TooManyFailures."""
        return await self._issue(await self._callers.named(name, password, address), scopes, offline=True)

    async def for_refresh(self, token: str, scopes: Sequence[Scope]) -> Issued:
        """For whom a refresh token was made. It comes back as it was. Raises Unauthorized."""
        caller = await self._callers.refreshed(token)
        issued = await self._issue(caller, scopes, offline=False)
        return Issued(issued.token, issued.issued_at, issued.who, token)

    async def _issue(self, caller: Caller, scopes: Sequence[Scope], *, offline: bool) -> Issued:
        if caller.scopes is not None:
            caller = ANYBODY  # a bearer token gets nobody another one
        allowed = [await self._allowed(caller, scope) for scope in scopes]
        token, at = await self._bearers.issue(caller.record, tuple(scope for scope in allowed if scope.actions))
        refresh = None
        if offline and caller.record is not None and caller.record.kind != "robot":
            lasting = MadeFor(caller.record.kind, caller.record.id, caller.record.born, caller.password_id)
            refresh, _ = await self._bearers.issue(lasting, (), use="refresh")
        return Issued(token, at, caller.who, refresh)

    async def _allowed(self, caller: Caller, scope: Scope) -> Scope:
        """What of a scope its caller may have, perhaps nothing."""
        if is_catalog(scope):
            return scope  # a list shows nobody more than he may pull
        repository = repository_of(scope)
        if repository is None:
            return Scope(scope.type, scope.name, ())
        path = policy_path(repository)
        rights: set[str] = {right for right in caller.rights(path) if right != "admin"}
        if "pull" not in rights and await self._is_public(path):
            rights.add("pull")
        wanted = rights if "*" in scope.actions else rights.intersection(scope.actions)
        return Scope(scope.type, scope.name, tuple(sorted(wanted)))
