"""Robot tokens: `cnr_<id>_<secret>`, made for machines, with rights of their own.

Kept is the SHA-256 of the secret: it has 256 random bits, so nothing slower is needed. A token is shown once, when
it is made.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from cnr.auth.accounts import Accounts, Expect, Read, require_version
from cnr.domain.account import Right, Rights, ScopePath
from cnr.domain.errors import AccountNotFound, StoreTrouble
from cnr.store import keys, records
from cnr.store.base import RecordStore
from cnr.store.records import TokenRecord, TokenUse
from cnr.store.update import DELETE, KEEP, Delete, Keep, Updater

USED_S: Final = 600
"""How exact the time of the last use is: each server writes it down at most this often."""
SHAPE: Final = re.compile(r"cnr_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_ID: Final = re.compile("[0-9a-f]{16}")
_US: Final = 1_000_000
_NOTED: Final = 10_000
_PAGE: Final = 500


class Tokens:
    """Makes, checks and ends robot tokens."""

    def __init__(
        self,
        store: RecordStore,
        updater: Updater,
        accounts: Accounts,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._updater = updater
        self._accounts = accounts
        self._clock = clock
        self._new_id = new_id
        self._noted: dict[str, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def make(
        self,
        name: str,
        scopes: Mapping[ScopePath, Rights],
        *,
        lifetime_s: int | None,
        created_by: str,
        owner: tuple[str, str] = ("", ""),
    ) -> tuple[str, str]:
        """A new token's id, and the token. `lifetime_s` None: it does not expire.

        `owner`: name and `born` of the user whose rights bound the token's.
        """
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        now = self._clock()
        ordered: dict[ScopePath, tuple[Right, ...]] = {path: tuple(sorted(scopes[path])) for path in sorted(scopes)}
        record = TokenRecord(
            born=self._new_id(),
            name=name,
            secret=_hash(secret),
            scopes=ordered,
            created_at=now,
            expires_at=0 if lifetime_s is None else now + lifetime_s * _US,
            created_by=created_by,
            owner=owner[0],
            owner_born=owner[1],
        )
        await self._updater.update(keys.token(token_id), TokenRecord, lambda _: record)
        return token_id, f"cnr_{token_id}_{secret}"

    async def check(self, token: str) -> tuple[str, Read[TokenRecord]] | None:
        """The id and record of a token that is right and not expired, else None."""
        parts = SHAPE.fullmatch(token)
        if parts is None:
            return None
        found = await self.valid(parts[1])
        given = _hash(parts[2])
        if found is None or not secrets.compare_digest(found.record.secret, given):
            return None
        self._note(parts[1])
        return parts[1], found

    async def valid(self, token_id: str) -> Read[TokenRecord] | None:
        """The record of a token that is there and not expired, else None."""
        found = await self._accounts.read(keys.token(token_id), TokenRecord)
        if found is None or 0 < found.record.expires_at <= self._clock():
            return None
        return found

    async def find(self, token_id: str) -> TokenRecord | None:
        """The record of a token, be it expired or not; None where there is none."""
        found = await self._accounts.read(keys.token(token_id), TokenRecord) if _ID.fullmatch(token_id) else None
        return None if found is None else found.record

    async def remove(self, token_id: str, *, expect: Expect = None) -> None:
        """End a token, at once and everywhere. Raises AccountNotFound, ChangedMeanwhile."""
        if _ID.fullmatch(token_id) is None:
            raise no_token()

        def change(before: TokenRecord | None) -> TokenRecord | Delete:
            if before is None:
                raise no_token()
            require_version(before, expect)
            return DELETE

        await self._updater.update(keys.token(token_id), TokenRecord, change)

        def forget(before: TokenUse | None) -> TokenUse | Delete:
            return DELETE

        await self._updater.update(keys.token_use(token_id), TokenUse, forget, durable=False)

    async def all(self, *, after: str = "") -> AsyncIterator[tuple[str, TokenRecord]]:
        """All tokens above the id `after`, by id."""
        last = keys.token(after) if after else ""
        while page := await self._store.scan(keys.TOKENS, after=last, limit=_PAGE):
            last = page[-1].key
            for each in page:
                record: TokenRecord = records.decode(TokenRecord, each.value)
                yield each.key.removeprefix(keys.TOKENS), record

    async def last_used(self, token_id: str) -> int | None:
        """When a token was used last, in microseconds UTC, to USED_S."""
        found = await self._accounts.read(keys.token_use(token_id), TokenUse)
        return None if found is None else found.record.at

    def _note(self, token_id: str) -> None:
        """Write down that a token was used, if that was not done lately. Nobody waits for it."""
        now = self._clock()
        if now - self._noted.get(token_id, -USED_S * _US) < USED_S * _US:
            return
        if len(self._noted) >= _NOTED:
            self._noted.clear()
        self._noted[token_id] = now
        task = asyncio.create_task(self._write_use(token_id, now))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_use(self, token_id: str, now: int) -> None:
        def change(before: TokenUse | None) -> TokenUse | Keep:
            return KEEP if before is not None and before.at >= now - USED_S * _US else TokenUse(at=now)

        try:
            await self._updater.update(keys.token_use(token_id), TokenUse, change, durable=False)
        except StoreTrouble:
            self._noted.pop(token_id, None)  # it is no reason to fail a request

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            await asyncio.wait(self._writing)


def no_token() -> AccountNotFound:
    """There is no such token, or none that the caller may know of."""
    return AccountNotFound("there is no such token")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
