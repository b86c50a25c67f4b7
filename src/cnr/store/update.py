"""`Updater.update(key, change)`: read, decide, swap, again. The one place that retries a write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec

from cnr.domain.errors import CnrError, OutcomeUnknown, StoreTrouble, StoreUnavailable
from cnr.store import records
from cnr.store.base import ABSENT, RecordNotFound, RecordStore, RecordTooLarge, Version, VersionConflict

T = TypeVar("T", bound=records.Stored)

DEADLINE_S = 10.0
"""How long one update goes on against competitors before it gives its caller a 503."""
UNKNOWN_S = 5.0
"""How long a lost answer is looked for before the caller is told that the outcome is unknown."""
_PAUSE_S = 0.02
_LOST: Final = "the answer to a write was lost; it is safe to repeat the request"


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


class Updater:
    """Compare-and-swap with retries over a RecordStore. One update per key per process at a time.

    `new_id` gives the write ids by which an update recognises its own write after a lost answer.
    """

    def __init__(
        self,
        store: RecordStore,
        new_id: Callable[[], str],
        *,
        deadline_s: float = DEADLINE_S,
        unknown_s: float = UNKNOWN_S,
    ) -> None:
        self._store = store
        self._new_id = new_id
        self._deadline_s = deadline_s
        self._unknown_s = unknown_s
        self._turns: dict[str, _Turn] = {}

    async def update(self, key: str, kind: Any, change: "Change[T]", *, durable: bool = True) -> "Swap[T]":
        """Apply `change` to the record of `kind` under `key`, once and atomically.

        A write whose answer was lost counts as done where its id stands in the record, and as not done where the
        record is as it was. Raises what `change` raises and StoreUnavailable, StoreFull (nothing changed), and
        OutcomeUnknown: no answer for 5 s, or somebody wrote after a lost answer, so that nothing tells.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline_s
        doubt: _Doubt[T] = _Doubt()
        try:
            async with self._turn(key, end), asyncio.timeout_at(end + self._unknown_s):
                return await self._retry(key, kind, change, durable, end, doubt)
        except TimeoutError:
            if doubt.writes:
                raise OutcomeUnknown(_LOST) from None
            raise StoreUnavailable(f"no turn to write within {self._deadline_s:.0f} s; try again") from None
        except CnrError as exc:
            if doubt.writes:
                raise OutcomeUnknown(_LOST) from exc
            raise

    @asynccontextmanager
    async def _turn(self, key: str, end: float) -> AsyncIterator[None]:
        """Alone with `key` in this process. Raises TimeoutError at `end`."""
        turn = self._turns.setdefault(key, _Turn())
        turn.wanted += 1
        try:
            async with asyncio.timeout_at(end):
                await turn.lock.acquire()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[key]

    async def _retry(
        self, key: str, kind: Any, change: "Change[T]", durable: bool, end: float, doubt: "_Doubt[T]"
    ) -> "Swap[T]":
        loop = asyncio.get_running_loop()
        while True:
            found = await (self._read_at_last(key, kind) if doubt.writes else self._read(key, kind))
            if doubt.writes and (swap := doubt.settle(found)) is not None:
                return swap
            if loop.time() >= end:
                raise TimeoutError
            wanted = change(found.content)
            if isinstance(wanted, Keep) or (isinstance(wanted, Delete) and found.content is None):
                return Swap(found.content, found.content)
            write = self._new_id()
            after = None if isinstance(wanted, Delete) else msgspec.structs.replace(wanted, write=write)
            doubt.begin(write, found, after)
            try:
                await self._swap(key, found.version, after, durable)
            except OutcomeUnknown:
                continue
            except (VersionConflict, RecordTooLarge, StoreTrouble) as exc:
                doubt.end(write)
                if not isinstance(exc, VersionConflict):
                    raise
                continue
            return Swap(found.content, after)

    async def _swap(self, key: str, version: Version | None, after: T | None, durable: bool) -> None:
        if after is not None:
            expect = ABSENT if version is None else version
            await self._store.put(key, records.encode(after), expect=expect, durable=durable)
        elif version is not None:
            await self._store.delete(key, expect=version)

    async def _read(self, key: str, kind: Any) -> "_Found[Any]":
        try:
            record = await self._store.get(key)
        except RecordNotFound:
            return _Found(None, None)
        return _Found(records.decode(kind, record.value), record.version)

    async def _read_at_last(self, key: str, kind: Any) -> "_Found[Any]":
        """What stands there, as soon as the store answers again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._unknown_s
        while True:
            try:
                return await self._read(key, kind)
            except StoreTrouble:
                if loop.time() >= end:
                    raise
                await asyncio.sleep(_PAUSE_S)


@dataclass(slots=True)
class _Turn:
    """A lock for a key while `wanted` tasks hold it or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    """What was read; None and None where there is no record."""

    content: T | None
    version: Version | None


@dataclass(slots=True)
class _Doubt(Generic[T]):
    """Writes under way, or whose answer was lost. All of them expect `before`, so at most one can have happened."""

    writes: dict[str, T | None] = field(default_factory=dict)
    before: _Found[T] = field(default_factory=lambda: _Found(None, None))

    def begin(self, write: str, before: _Found[T], after: T | None) -> None:
        """A write is about to be sent."""
        self.writes[write] = after
        self.before = before

    def end(self, write: str) -> None:
        """The store said that this write did not happen."""
        del self.writes[write]

    def settle(self, now: _Found[T]) -> "Swap[T] | None":
        """What the lost write did, seen from the record `now`; None: nothing so far, it may be tried again.

        Raises OutcomeUnknown where another write came after: ours may have been before it. (A record that was
        absent and is absent counts as untouched: to be made and deleted within a lost answer is not told apart.)
        """
        if now.version == self.before.version:
            return None
        if now.content is None:
            if None in self.writes.values():
                return Swap(self.before.content, None)
        elif now.content.write in self.writes:
            return Swap(self.before.content, self.writes[now.content.write])
        raise OutcomeUnknown(_LOST)
