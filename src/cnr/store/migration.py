"""All records and blobs of one store into another, which is empty: values as they are, blobs under their ids.

Pointers name (key, born) and blobs are named by id, so nothing that a value says depends on its store; Versions are the
target's own. While a migration is not finished its target has `meta/migration`, and no server opens it: neither half
of a registry is ever served. Running it again goes on where it ended.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

from cnr.domain.digest import Digest
from cnr.domain.errors import DataCorrupt, TooLarge
from cnr.store import keys, records
from cnr.store.base import (
    ABSENT,
    BlobNotFound,
    BlobReader,
    Cursor,
    CursorLost,
    Record,
    RecordNotFound,
    RecordStore,
    StoreRefused,
    VersionConflict,
)
from cnr.store.open import Stores
from cnr.store.probe import read_format, write_format
from cnr.store.records import BlobRecord, ManifestRecord, Migration

LEFT: Final = ("uploads", "chunked", "chunks", "meta")
"""Kinds of keys that are no part of a registry's content. An open upload begins anew."""
PAGE: Final = 500
ROUNDS: Final = 5
"""Times that changes made meanwhile are fetched, before a source counts as in use."""


class SourceInUse(StoreRefused):
    """Somebody goes on writing to the source. What was copied stays, for the next run."""


@dataclass(frozen=True, slots=True)
class Named:
    """Bytes that a record names."""

    blob_id: str
    digest: Digest
    size: int


@dataclass(slots=True)
class Tally:
    """Records, blobs, and their bytes; and what could not be copied, each with its key and a reason."""

    records: int = 0
    blobs: int = 0
    size: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


async def survey(store: RecordStore) -> Tally:
    """What there is to copy, by what the records say."""
    tally = Tally()
    async for record in content(store):
        tally.records += 1
        try:
            named = named_by(record)
        except DataCorrupt as exc:
            tally.damaged[record.key] = exc.message
            continue
        if named is not None:
            tally.blobs, tally.size = tally.blobs + 1, tally.size + named.size
    return tally


async def content(store: RecordStore) -> AsyncIterator[Record]:
    """Every record that is part of a registry's content, also of kinds that this code does not know."""
    after = ""
    while found := await store.scan("", after=after, limit=PAGE):
        for record in found:
            kind = _kind(record.key)
            if kind in LEFT:
                after = f"{kind}/~"  # over all of them at once
                break
            yield record
            after = record.key


def named_by(record: Record) -> Named | None:
    """The bytes outside of the record that it names. Raises DataCorrupt for one that cannot be read."""
    kinds: dict[str, Any] = {"blobs": BlobRecord, "manifests": ManifestRecord}
    if (kind := kinds.get(_kind(record.key))) is None:
        return None
    found: BlobRecord | ManifestRecord = records.decode(kind, record.value)
    if found.blob_id is None:
        return None
    return Named(found.blob_id, Digest(keys.split(record.key).rest), found.size)


class Migrator:
    """Copies `source` to `target`, `jobs` things at a time. `passed` is told bytes as they are copied.

    `name` says which source it is: only the same one may go on with an unfinished migration. With `leave_damaged`
    what is damaged in the source is no obstacle: records are copied as they are, bytes that do not hash to their
    digest are left out, and reading them fails as it does now.
    """

    def __init__(
        self,
        source: Stores,
        target: Stores,
        name: str,
        *,
        new_id: Callable[[], str],
        pool: Executor,
        jobs: int = 8,
        leave_damaged: bool = False,
        passed: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._source = source
        self._target = target
        self._name = name
        self._new_id = new_id
        self._pool = pool
        self._jobs = jobs
        self._leave_damaged = leave_damaged
        self._passed = passed
        self._durable = not target.records.orders_durability
        self._again = False
        self._done = Tally()

    async def run(self) -> Tally:
        """Copy everything. Where nothing is `damaged`, or that is left, the target can be served when this returns.

        Raises StoreRefused for a target that is not empty, SourceInUse, and what the stores raise; all of these
        leave an unfinished target, as a process that dies does.
        """
        await self._begin()
        since = await self._source.records.head()
        await self._all()
        await self._catch_up(since)
        if not self._done.damaged or self._leave_damaged:
            await write_format(self._target.records, await read_format(self._source.records), self._new_id)
            mark = await self._target.records.get(keys.META_MIGRATION)
            await self._target.records.delete(mark.key, expect=mark.version)  # durable, and all before it
        return self._done

    async def _begin(self) -> None:
        target = self._target.records
        try:
            mark: Migration = records.decode(Migration, (await target.get(keys.META_MIGRATION)).value)
        except RecordNotFound:
            if await _holds_anything(self._target):
                raise StoreRefused("the target is not empty; a store is migrated into one of its own") from None
            ours = Migration(source=self._name, write=self._new_id())
            await target.put(keys.META_MIGRATION, records.encode(ours), expect=ABSENT)
            return
        if mark.source != self._name:
            raise StoreRefused(f"the target holds an unfinished migration of another store: {mark.source}")
        self._again = True

    async def _all(self) -> None:
        if self._again:
            await self._each(content(self._target.records), self._drop_if_gone)
        await self._each(content(self._source.records), self._copy)

    async def _catch_up(self, since: Cursor) -> None:
        """Follow the source until it stands still. Raises SourceInUse."""
        for _ in range(ROUNDS):
            try:
                changed, since = await self._changed(since)
            except CursorLost:
                since, self._again = await self._source.records.head(), True
                await self._all()
                continue
            if not changed:
                return
            for key in sorted(changed):
                await self._renew(key)
        raise SourceInUse("the source is being written to: stop its servers, and run this again to finish")

    async def _changed(self, since: Cursor) -> tuple[set[str], Cursor]:
        changed: set[str] = set()
        while True:
            found, until = await self._source.records.changes(since)
            changed.update(key for key in found if _kind(key) not in LEFT)
            if not found:
                return changed, until
            since = until

    async def _renew(self, key: str) -> None:
        try:
            await self._copy(await self._source.records.get(key))
        except RecordNotFound:
            await self._drop(key)

    async def _each(self, found: AsyncIterator[Record], work: Callable[[Record], Any]) -> None:
        """Work on all, `jobs` at a time. The first error ends it, and what was begun."""
        turns = asyncio.Semaphore(self._jobs)

        async def one(record: Record) -> None:
            try:
                await work(record)
            finally:
                turns.release()

        try:
            async with asyncio.TaskGroup() as group:
                async for record in found:
                    await turns.acquire()
                    group.create_task(one(record))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _copy(self, record: Record) -> None:
        """The bytes, then the record."""
        self._done.damaged.pop(record.key, None)
        try:
            named = named_by(record)
            if named is not None and not (self._again and await self._there(named)):
                await self._copy_bytes(record, named)
        except DataCorrupt as exc:
            self._done.damaged[record.key] = exc.message
            if not self._leave_damaged:
                return
        await self._put(record)
        self._done.records += 1

    async def _copy_bytes(self, record: Record, named: Named) -> None:
        try:
            reader = await self._source.blobs.open(named.blob_id)
        except BlobNotFound:
            if await self._is_current(record):
                raise DataCorrupt("its bytes are gone") from None
            return  # deleted meanwhile: the feed says so
        try:
            await self._target.blobs.put(named.blob_id, self._checked(reader, named.digest))
        except TooLarge as exc:
            raise StoreRefused(f"the target does not take {named.size:,} bytes of {record.key}: {exc.message}") from exc
        self._done.blobs, self._done.size = self._done.blobs + 1, self._done.size + named.size

    async def _checked(self, reader: BlobReader, digest: Digest) -> AsyncIterator[bytes]:
        """Raises DataCorrupt at the end, where the target can still take all of it back."""
        algorithm, _, expected = digest.partition(":")
        running = hashlib.new(algorithm)
        loop = asyncio.get_running_loop()
        async for piece in reader.chunks:
            await loop.run_in_executor(self._pool, running.update, piece)
            yield piece
            self._passed(len(piece))
        if running.hexdigest() != expected:
            raise DataCorrupt("its bytes do not hash to its digest")

    async def _there(self, named: Named) -> bool:
        """Whether an earlier run copied these bytes: they came whole, and had the digest."""
        try:
            reader: Any = await self._target.blobs.open(named.blob_id)
        except BlobNotFound:
            return False
        if hasattr(reader.chunks, "aclose"):
            await reader.chunks.aclose()
        self._passed(named.size)
        return bool(reader.size == named.size)

    async def _is_current(self, record: Record) -> bool:
        try:
            return (await self._source.records.get(record.key)).version == record.version
        except RecordNotFound:
            return False

    async def _put(self, record: Record) -> None:
        target = self._target.records
        try:
            await target.put(record.key, record.value, expect=ABSENT, durable=self._durable)
        except VersionConflict:
            there = await target.get(record.key)
            if there.value != record.value:
                await target.put(record.key, record.value, expect=there.version, durable=self._durable)

    async def _drop_if_gone(self, record: Record) -> None:
        try:
            await self._source.records.get(record.key)
        except RecordNotFound:
            await self._drop(record.key)

    async def _drop(self, key: str) -> None:
        self._done.damaged.pop(key, None)
        try:
            there = await self._target.records.get(key)
        except RecordNotFound:
            return
        await self._target.records.delete(key, expect=there.version)  # its bytes are garbage collection's


async def _holds_anything(stores: Stores) -> bool:
    async for _ in content(stores.records):
        return True
    async for _ in stores.blobs.scan():
        return True
    return False


def _kind(key: str) -> str:
    return key.partition("/")[0]
