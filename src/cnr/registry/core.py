"""What every part of the registry works with, passed in once by the composition root."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cnr.domain.errors import CnrError, OutcomeUnknown
from cnr.domain.limits import Limits
from cnr.domain.policy import DEFAULT, UNLIMITED, Policy, Quota
from cnr.registry.catalog import Catalog
from cnr.store import records
from cnr.store.base import BlobStore, RecordNotFound, RecordStore
from cnr.store.update import Updater

T = TypeVar("T")

TRUSTED_GRACE_US = 3_600_000_000
"""Writers count on no more grace than this, however long it is."""
INLINE_WORK_BYTES = 32 * 1024
"""Up to here hashing and gunzip take less time than a hop to the pool."""


class Source(Protocol):
    """Bytes that can be read several times: a spool, a string, a file."""

    @property
    def size(self) -> int:
        """Bytes that `chunks` gives, or an upper bound of them."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All bytes from the beginning, at each call anew. May block: read it in the pool when it is large."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes in memory as a Source."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        yield self.data


@dataclass(frozen=True, slots=True)
class Core:
    """The stores, the views, and the sources of time and chance. `clock` gives microseconds UTC, never twice the same
    unless it was set back; `now_s` is a monotonic clock.

    `grace` is how long garbage collection spares what nothing names. `policy` is for what has none of its own.
    `quota` is a namespace's that has none of its own. An open upload to which nothing came for `upload_idle` may be
    given up. Blobs of at least `redirect_from` bytes may be fetched from their store itself; None: no blob.
    """

    records: RecordStore
    blobs: BlobStore
    updater: Updater
    catalog: Catalog
    clock: Callable[[], int]
    new_id: Callable[[], str]
    pool: Executor
    spool_folder: Path
    limits: Limits
    grace: timedelta = timedelta(hours=24)
    policy: Policy = DEFAULT
    redirect_from: int | None = None
    quota: Quota = UNLIMITED
    upload_idle: timedelta = timedelta(hours=1)
    now_s: Callable[[], float] = time.monotonic

    @property
    def trusted_us(self) -> int:
        """For so long, in microseconds, what was touched can be named without asking whether it is condemned.

        A quarter of the grace, at most of an hour: collectors may then have another grace above that.
        """
        return min(int(self.grace.total_seconds() * 1_000_000), TRUSTED_GRACE_US) // 4

    @property
    def facts_durable(self) -> bool:
        """Whether facts must be made durable by themselves: not where a later durable pointer does it."""
        return not self.records.orders_durability

    async def read(self, key: str, kind: Any) -> Any:
        """The record of `kind` under `key`, or None."""
        try:
            found = await self.records.get(key)
        except RecordNotFound:
            return None
        return records.decode(kind, found.value)

    async def work(self, size_bytes: int, function: Callable[[], T]) -> T:
        """The result of `function`, computed in the pool unless it has little to do."""
        if size_bytes <= INLINE_WORK_BYTES:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self.pool, function)

    async def stream(self, source: Source) -> AsyncIterator[bytes]:
        """The chunks of `source`, each read in the pool."""
        chunks = source.chunks()
        while (chunk := await self.work(source.size, lambda: next(chunks, None))) is not None:
            yield chunk

    @asynccontextmanager
    async def storing(self, blob_id: str | None) -> AsyncIterator[None]:
        """Delete these bytes again if the block fails, unless a record may name them by then."""
        try:
            yield
        except OutcomeUnknown:
            raise
        except CnrError:
            if blob_id is not None:
                await self.blobs.delete(blob_id)
            raise


async def together(*work: Awaitable[Any]) -> list[Any]:
    """The results of `work`, run side by side. All of it has ended when this returns or raises the first error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
