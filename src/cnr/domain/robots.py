"""Robot tokens as those see them who make them. The types are also what the API sends."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from cnr.domain.account import Right, Rights, ScopePath
from cnr.domain.moment import Moment
from cnr.domain.people import Gone


class Robot(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret, which is nowhere kept.

    `owner` is the user whose rights bound the token's; null: it has them by itself. `expires_at` null: never.
    """

    id: str
    name: str
    scopes: dict[str, list[Right]]
    created_at: Moment
    created_by: str
    owner: str | None
    expires_at: Moment | None
    last_used: Moment | None
    version: str


class NewRobot(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just made. `token` is shown this once."""

    id: str
    name: str
    token: str
    scopes: dict[str, list[Right]]
    expires_at: Moment | None


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a new signing key."""

    status: str = "rotated"


class Robots(Protocol):
    """Robot tokens, and the keys that sign bearer tokens."""

    async def tokens(self) -> list[Robot]:
        """The tokens that the caller may see, by id."""
        ...

    async def make(
        self, name: str, scopes: Mapping[ScopePath, Rights], *, days: int | None, independent: bool = False
    ) -> NewRobot:
        """A new token; `days` None: it does not expire. Its rights are bounded by its maker's, if not `independent`."""
        ...

    async def remove(self, token_id: str) -> Gone:
        """End a token. Raises AccountNotFound."""
        ...

    async def rotate(self, *, drop_others: bool = False) -> Rotated:
        """Sign with a new key; `drop_others`: what was signed before is worth nothing."""
        ...
