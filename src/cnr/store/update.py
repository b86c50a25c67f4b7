"""`Updater.update(key, change)`: read, decide, swap, again. The one place that retries a write."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from cnr.domain.errors import CnrError, OutcomeUnknown, StoreUnavailable
from cnr.store import records
from cnr.store.base import ABSENT, Record, RecordNotFound, RecordStore, VersionConflict

T = TypeVar("T", bound=records.Stored)

DEADLINE_S = 10.0
"""How long one update goes on against competitors before it gives its caller a 503."""
UNKNOWN_S = 5.0
"""How long a lost answer is looked for before the caller is told that the outcome is unknown."""
_PAUSE_S = 0.02


class Keep:
    """What a change returns to leave the record as it is."""


KEEP = Keep()


class Delete:
    """What a change returns to delete the record."""


DELETE = Delete()

Change = Callable[[T | None], T | Keep | Delete]
"""Gets the record as it is (None: absent), returns the wanted one. Pure: it may run several times."""


class Swap(msgspec.Struct, Generic[T], frozen=True):
    """What an update found, and what stands there now (None: absent)."""

    before: T | None
    after: T | None


class _Turns:
    """A lock per key, gone when nobody wants it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def enter(self, key: str) -> asyncio.Lock:
        lock, users = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = (lock, users + 1)
        return lock

    def leave(self, key: str) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)


class Updater:
    """Compare-and-swap with retries over a RecordStore. One update per key per process at a time.

    `new_id` gives the write ids by which an update recognises its own write after a lost answer.
    """

    def __init__(self, store: RecordStore, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._turns = _Turns()

    async def update(self, key: str, kind: Any, change: "Change[T]", *, durable: bool = True) -> "Swap[T]":
        """Apply `change` to the record of `kind` under `key`, atomically.

        Raises what `change` raises (nothing changed), OutcomeUnknown, StoreUnavailable (no turn within 10 s).
        """
        lock = self._turns.enter(key)
        try:
            async with lock:
                async with asyncio.timeout(DEADLINE_S + UNKNOWN_S):
                    return await self._retry(key, kind, change, durable)
        except TimeoutError:
            raise StoreUnavailable(f"no turn to write within {DEADLINE_S:.0f} s; try again") from None
        finally:
            self._turns.leave(key)

    async def _retry(self, key: str, kind: Any, change: "Change[T]", durable: bool) -> "Swap[T]":
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE_S
        unknown = False
        while loop.time() < deadline:
            found = await self._read(key, kind)
            before: T | None = found[0] if found else None
            try:
                wanted = change(before)
            except CnrError as exc:
                if unknown:
                    raise OutcomeUnknown("the answer to a write was lost; it is safe to repeat the request") from exc
                raise
            if isinstance(wanted, Keep):
                return Swap(before, before)
            write = self._new_id()
            after: T | None = None if isinstance(wanted, Delete) else msgspec.structs.replace(wanted, write=write)
            try:
                await self._swap(key, found[1] if found else None, after, durable)
            except VersionConflict:
                continue
            except OutcomeUnknown:
                unknown = True
                if not await self._landed(key, kind, write if after is not None else None):
                    continue
            return Swap(before, after)
        raise StoreUnavailable(f"no turn to write within {DEADLINE_S:.0f} s; try again")

    async def _read(self, key: str, kind: Any) -> tuple[Any, Record] | None:
        try:
            record = await self._store.get(key)
        except RecordNotFound:
            return None
        return records.decode(kind, record.value), record

    async def _swap(self, key: str, found: Record | None, after: T | None, durable: bool) -> None:
        if after is not None:
            expect = found.version if found else ABSENT
            await self._store.put(key, records.encode(after), expect=expect, durable=durable)
        elif found is not None:
            await self._store.delete(key, expect=found.version)

    async def _landed(self, key: str, kind: Any, write: str | None) -> bool:
        """Whether the write with this id (None: the delete) is what stands there, once the store answers again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UNKNOWN_S
        while True:
            try:
                found = await self._read(key, kind)
            except (StoreUnavailable, OutcomeUnknown):
                if loop.time() >= deadline:
                    raise OutcomeUnknown("the answer to a write was lost; it is safe to repeat the request") from None
                await asyncio.sleep(_PAUSE_S)
                continue
            return (found[0].write if found else None) == write
