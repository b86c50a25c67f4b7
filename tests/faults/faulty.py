"""Stores that fail on demand: the k-th call fails, does its work and loses the answer, or the process dies there.

    plan = Plan.at(3, Fault.LOSE)
    records, blobs = FaultyRecords(inner_records, plan), FaultyBlobs(inner_blobs, plan)

Stores that share a plan share its count. To try every k: go on until a run ends with `plan.met` false.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Literal, TypeVar

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.domain.piece import Piece
from cnr.store.base import Absent, BlobReader, BlobStore, Cursor, Record, RecordStore, Tell, Version

T = TypeVar("T")


class Fault(Enum):
    """What becomes of a call."""

    FAIL = "nothing is done; StoreUnavailable"
    FULL = "a write does nothing; StoreFull. A read works"
    LOSE = "it is done and the answer lost; OutcomeUnknown for a record's write, else StoreUnavailable"
    LOSE_BEFORE = "nothing is done, but nobody can tell; as LOSE"
    CRASH = "nothing is done, by this call or any later one; Crashed"


class Crashed(Exception):
    """The process that made this call would be dead."""


class Plan:
    """Which calls go wrong, counted from 1. `calls` and `log` (the names of methods and keys) tell what was called."""

    def __init__(self, faults: Mapping[int, Fault] | None = None) -> None:
        self.faults = dict(faults or {})
        self.calls = 0
        self.log: list[str] = []
        self.met = False
        self.crashed = False

    @classmethod
    def at(cls, call: int, fault: Fault) -> "Plan":
        """A plan in which one call goes wrong."""
        return cls({call: fault})

    def next(self, name: str) -> Fault | None:
        """Count a call; what is to become of it."""
        self.calls += 1
        self.log.append(name)
        fault = Fault.CRASH if self.crashed else self.faults.get(self.calls)
        self.met = self.met or fault is not None
        self.crashed = self.crashed or fault is Fault.CRASH
        return fault

    async def read(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call that changes nothing."""
        fault = self.next(name)
        if fault is Fault.CRASH:
            raise Crashed(name)
        if fault in (Fault.FAIL, Fault.LOSE, Fault.LOSE_BEFORE):
            raise StoreUnavailable(f"planned: {name}")
        return await call()

    async def write(self, name: str, call: Callable[[], Awaitable[T]], lost: type[Exception] = OutcomeUnknown) -> T:
        """The answer of a call that changes something."""
        fault = self.next(name)
        if fault is Fault.CRASH:
            raise Crashed(name)
        if fault is Fault.FAIL:
            raise StoreUnavailable(f"planned: {name}")
        if fault is Fault.FULL:
            raise StoreFull(f"planned: {name}")
        if fault is Fault.LOSE_BEFORE:
            raise lost(f"planned: {name}")
        answer = await call()
        if fault is Fault.LOSE:
            raise lost(f"planned: {name}")
        return answer


class FaultyRecords:
    """A RecordStore whose calls go by a plan."""

    def __init__(self, inner: RecordStore, plan: Plan) -> None:
        self.inner = inner
        self.plan = plan
        self.orders_durability = inner.orders_durability

    async def get(self, key: str) -> Record:
        return await self.plan.read(f"get {key}", lambda: self.inner.get(key))

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        return await self.plan.write(f"put {key}", lambda: self.inner.put(key, value, expect=expect, durable=durable))

    async def delete(self, key: str, *, expect: Version) -> None:
        await self.plan.write(f"delete {key}", lambda: self.inner.delete(key, expect=expect))

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        return await self.plan.read(f"scan {prefix}", lambda: self.inner.scan(prefix, after=after, limit=limit))

    async def head(self) -> Cursor:
        return await self.plan.read("head", self.inner.head)

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        return await self.plan.read("changes", lambda: self.inner.changes(since, timeout_s=timeout_s))

    async def close(self) -> None:
        await self.inner.close()


class FaultyBlobs:
    """A BlobStore whose calls go by a plan. A blob's bytes, once opened, arrive."""

    def __init__(self, inner: BlobStore, plan: Plan) -> None:
        self.inner = inner
        self.plan = plan

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        return await self.plan.write("put blob", lambda: self.inner.put(blob_id, chunks, tell), StoreUnavailable)

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        return await self.plan.read("open blob", lambda: self.inner.open(blob_id, start, stop))

    async def copy(self, source: str, target: str) -> None:
        await self.plan.write("copy blob", lambda: self.inner.copy(source, target), StoreUnavailable)

    async def delete(self, blob_id: str) -> None:
        await self.plan.write("delete blob", lambda: self.inner.delete(blob_id), StoreUnavailable)

    async def scan(self) -> AsyncIterator[str]:
        await self.plan.read("scan blobs", _nothing)
        async for blob_id in self.inner.scan():
            yield blob_id

    async def close(self) -> None:
        await self.inner.close()


async def _nothing() -> None:
    """What reading the names of blobs is before the first."""
