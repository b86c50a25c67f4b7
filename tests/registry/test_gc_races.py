"""Pushers, deleters and collectors without any grace on one store, in thousands of random orders of their store calls.

After every write of anybody each live release has its bytes; and when all is quiet nothing unnamed is left.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeVar

import pytest
from tests.services.store_check import stores_in_order

from cnr.domain.errors import CnrError
from cnr.domain.limits import Limits
from cnr.domain.piece import Piece
from cnr.registry.catalog import Catalog
from cnr.registry.core import Core
from cnr.registry.registry import Registry
from cnr.store.base import Absent, BlobReader, BlobStore, Cursor, Record, RecordStore, Tell, Version
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

from .conftest import counting_ids
from .gc_world import act, collect, leftovers, losses

T = TypeVar("T")
SCHEDULES = 20_000 if os.environ.get("CNR_LONG") == "1" else 400
BATCHES = 8
HOUR = 3_600_000_000
PACES = ((0, 0, 1, 2, 5), (0, 0, 1, 2, 5, 40), (0, 5, 40), (0, 0, 0, 0, 0, 300))
"""Turns that a call lets pass, of which one is drawn before it and one after it."""


class Shared:
    """What all stores of a schedule share: the order in which calls go on, and what was seen to be lost."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.records = SqliteRecords.in_memory(counting_ids())
        self.blobs = MemoryBlobs()
        self.lost: list[str] = []
        self.now = 1_479_316_387_806_579
        self.ids = counting_ids()

    def clock(self) -> int:
        self.now += 1
        return self.now

    async def losses(self) -> list[str]:
        """What something names and is not there."""
        return await losses(self.records, self.blobs)


class Turns:
    """When the calls of one party go on: each has its own pace, so that any may stall while others do a lot."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._pauses = shared.chance.choice(PACES)

    async def read(self, call: Awaitable[T]) -> T:
        await self._wait()
        answer = await call
        await self._wait()
        return answer

    async def write(self, call: Awaitable[T], name: str) -> T:
        await self._wait()
        answer = await call
        shared = self.shared
        shared.lost += [f"{name}: {loss}" for loss in await shared.losses()]
        await self._wait()
        return answer

    async def _wait(self) -> None:
        for _ in range(self.shared.chance.choice(self._pauses)):
            await asyncio.sleep(0)


class RacingRecords:
    """A RecordStore whose calls wait for their turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._inner = turns, turns.shared.records
        self.orders_durability = self._inner.orders_durability

    async def get(self, key: str) -> Record:
        return await self._turns.read(self._inner.get(key))

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        return await self._turns.write(self._inner.put(key, value, expect=expect, durable=durable), f"put {key}")

    async def delete(self, key: str, *, expect: Version) -> None:
        await self._turns.write(self._inner.delete(key, expect=expect), f"delete {key}")

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        # small pages, so that others write between them
        return await self._turns.read(self._inner.scan(prefix, after=after, limit=min(limit, 2)))

    async def head(self) -> Cursor:
        return await self._inner.head()

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        return await self._inner.changes(since, timeout_s=timeout_s)

    async def close(self) -> None:
        await self._inner.close()


class RacingBlobs:
    """A BlobStore whose calls wait for their turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._inner = turns, turns.shared.blobs

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        return await self._turns.write(self._inner.put(blob_id, chunks, tell), f"put {blob_id}")

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        return await self._turns.read(self._inner.open(blob_id, start, stop))

    async def copy(self, source: str, target: str) -> None:
        await self._turns.write(self._inner.copy(source, target), f"copy {target}")

    async def delete(self, blob_id: str) -> None:
        await self._turns.write(self._inner.delete(blob_id), f"delete {blob_id}")

    async def scan(self) -> AsyncIterator[str]:
        async for blob_id in self._inner.scan():
            await self._turns.read(asyncio.sleep(0))
            yield blob_id

    async def close(self) -> None:
        await self._inner.close()


Make = Callable[[Shared, RecordStore, BlobStore, SqliteViews], Registry]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ThreadPoolExecutor(1) as pool:

        def registry(shared: Shared, records: RecordStore, blobs: BlobStore, views: SqliteViews) -> Registry:
            core = Core(
                records=records,
                blobs=blobs,
                updater=Updater(records, shared.ids),
                catalog=Catalog(records, views),
                clock=shared.clock,
                new_id=shared.ids,
                pool=pool,
                spool_folder=tmp_path,
                limits=Limits(),
                grace=timedelta(0),
            )
            return Registry(core)

        yield registry


Act = Callable[[Registry, random.Random], Awaitable[None]]


async def run(shared: Shared, make: Make, views: Sequence[SqliteViews], act: Act = act) -> int:
    """One schedule; how many pushes and deletes were done."""

    def party(views: SqliteViews) -> Registry:
        turns = Turns(shared)
        return make(shared, RacingRecords(turns), RacingBlobs(turns), views)

    done = 0

    async def work(registry: Registry, chance: random.Random) -> None:
        nonlocal done
        for _ in range(3):
            with suppress(CnrError):
                await act(registry, chance)
                done += 1

    async def sweep(registry: Registry) -> None:
        for _ in range(3):
            await collect(registry)

    seeds = [shared.chance.random() for _ in range(4)]
    workers = [work(party(views[number % 2]), random.Random(seed)) for number, seed in enumerate(seeds)]
    collectors = [sweep(party(views[number])) for number in range(shared.chance.choice((1, 2)))]
    await asyncio.gather(*workers, *collectors)
    return done


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_no_live_release_without_its_bytes(make: Make, batch: int) -> None:
    done = 0
    for number in range(SCHEDULES // BATCHES):
        seed = batch * 1_000_000 + number
        shared = Shared(seed)
        views = [SqliteViews(), SqliteViews()]
        done += await run(shared, make, views)
        assert shared.lost == [], seed
        await stores_in_order(shared.records, shared.blobs)
        quiet = make(shared, shared.records, shared.blobs, views[0])
        await collect(quiet)
        shared.now += 2 * HOUR
        await collect(quiet)
        assert await losses(shared.records, shared.blobs) == [], seed
        assert await leftovers(shared.records, shared.blobs) == [], seed
        assert (await stores_in_order(shared.records, shared.blobs)).findings == [], seed
        await shared.records.close()
        for each in views:
            await each.close()
    assert done > SCHEDULES // BATCHES * 3
