"""Robot tokens in the store: who may make, see and end which.

A token that a user makes is bounded by him, at every request: what he may not do any more, it may not, and when he is
removed it is refused. One that is `independent` has its rights by itself: an administrator's word, or the store's.
"""

from collections.abc import Mapping
from typing import Final

from cnr.auth.accounts import Expect
from cnr.auth.bearer import Bearer
from cnr.auth.caller import Caller
from cnr.auth.tokens import Tokens, no_token
from cnr.domain.account import Right, Rights, ScopePath
from cnr.domain.errors import Forbidden
from cnr.domain.moment import timestamp
from cnr.domain.people import Gone
from cnr.domain.robots import NewRobot, Robot, Rotated
from cnr.store.records import TokenRecord

DAY_S: Final = 86400


class StoredRobots:
    """The Robots of a store, as `caller` may handle them; None: whoever has the store itself, called `operator`."""

    def __init__(self, tokens: Tokens, bearers: Bearer, *, caller: Caller | None = None, operator: str = "") -> None:
        self._tokens = tokens
        self._bearers = bearers
        self._caller = caller
        self._operator = operator

    async def tokens(self, *, after: str = "", limit: int | None = None) -> list[Robot]:
        """As Robots.tokens, those above the id `after`."""
        found: list[Robot] = []
        async for token_id, record in self._tokens.all(after=after):
            if len(found) == limit:
                break
            if self._knows(record):
                found.append(await self._shown(token_id, record))
        return found

    async def token(self, token_id: str) -> Robot:
        """One token. Raises AccountNotFound, also for one that the caller may not know of."""
        return await self._shown(token_id, await self._known(token_id))

    async def make(
        self, name: str, scopes: Mapping[ScopePath, Rights], *, days: int | None, independent: bool = False
    ) -> NewRobot:
        """As Robots.make. Raises Forbidden for rights that the caller does not have."""
        owner = self._owner(scopes, independent)
        token_id, token = await self._tokens.make(
            name,
            scopes,
            lifetime_s=None if days is None else days * DAY_S,
            created_by=self._operator if self._caller is None else self._caller.name or "",
            owner=owner,
        )
        record = await self._tokens.find(token_id)
        if record is None:
            raise no_token()
        return NewRobot(
            id=token_id, name=name, token=token, scopes=_scopes(record), expires_at=_moment(record.expires_at)
        )

    def _owner(self, scopes: Mapping[ScopePath, Rights], independent: bool) -> tuple[str, str]:
        """Name and `born` of whom a new token depends on. Raises Forbidden."""
        caller = self._caller
        if caller is None:
            return "", ""
        if caller.record is None or caller.is_robot:
            raise Forbidden("a robot token makes no tokens: a user does")
        if independent and not caller.admin:
            raise Forbidden("only an administrator makes tokens that do not depend on him")
        for path, rights in scopes.items():
            if missing := sorted(rights - caller.rights(path.removesuffix("/*"))):
                raise Forbidden(f"{caller.name} has not himself, at {path}: {', '.join(missing)}")
        return ("", "") if independent else (caller.record.id, caller.record.born)

    async def remove(self, token_id: str, *, expect: Expect = None) -> Gone:
        """As Robots.remove. Raises ChangedMeanwhile."""
        if self._caller is not None:
            await self._known(token_id)
        await self._tokens.remove(token_id, expect=expect)
        return Gone(name=token_id)

    async def rotate(self, *, drop_others: bool = False) -> Rotated:
        """As Robots.rotate."""
        await self._bearers.rotate(drop_others=drop_others)
        return Rotated()

    async def _known(self, token_id: str) -> TokenRecord:
        record = await self._tokens.find(token_id)
        if record is None or not self._knows(record):
            raise no_token()
        return record

    def _knows(self, token: TokenRecord) -> bool:
        """Whether the caller may see and end it: an administrator, its owner, who administers all that it reaches."""
        caller = self._caller
        if caller is None or caller.admin:
            return True
        made_for = caller.record
        if made_for is None:
            return False
        if not caller.is_robot and token.owner and (token.owner, token.owner_born) == (made_for.id, made_for.born):
            return True
        return bool(token.scopes) and all("admin" in caller.rights(path.removesuffix("/*")) for path in token.scopes)

    async def _shown(self, token_id: str, token: TokenRecord) -> Robot:
        return Robot(
            id=token_id,
            name=token.name,
            scopes=_scopes(token),
            created_at=timestamp(token.created_at),
            created_by=token.created_by,
            owner=token.owner or None,
            expires_at=_moment(token.expires_at),
            last_used=_moment(await self._tokens.last_used(token_id)),
            version=token.write,
        )


def _scopes(token: TokenRecord) -> dict[str, list[Right]]:
    return {path: list(rights) for path, rights in token.scopes.items()}


def _moment(at: int | None) -> str | None:
    return timestamp(at) if at else None
