"""What `cnr storage check` finds out about an open store: how it is set up, and how long its calls take."""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from cnr.store.base import ABSENT, BlobStore, Fact, Inspected, RecordStore

ROUNDS: Final = 20
VALUE: Final = bytes(1000)
BLOB: Final = bytes(100_000)
BLOB_ROUNDS: Final = 5

Timer = Callable[[], float]
"""Gives seconds, from any moment on."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a call took, in milliseconds."""

    call: str
    median_ms: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Check:
    """What was found; `facts` may carry warnings."""

    facts: tuple[Fact, ...]
    latencies: tuple[Latency, ...]


async def check_store(records: RecordStore, blobs: BlobStore, *, new_id: Callable[[], str], timer: Timer) -> Check:
    """Ask an open store what it guarantees, and time its calls on records and bytes of this check's own.

    They are removed again. Raises StoreUnavailable, StoreFull.
    """
    facts: list[Fact] = []
    for store in (records, blobs):
        if isinstance(store, Inspected):
            facts += await store.inspect()
    watch = _Watch(timer)
    await _time_records(records, f"meta/check-{new_id()}", watch)
    await _time_blobs(blobs, new_id, watch)
    return Check(tuple(facts), watch.latencies())


async def _time_records(records: RecordStore, key: str, watch: "_Watch") -> None:
    for _ in range(ROUNDS):
        version = await watch.of("put", records.put(key, VALUE, expect=ABSENT))
        await watch.of("get", records.get(key))
        await watch.of("scan", records.scan("meta/", limit=1))
        await watch.of("head", records.head())
        await watch.of("delete", records.delete(key, expect=version))


async def _time_blobs(blobs: BlobStore, new_id: Callable[[], str], watch: "_Watch") -> None:
    for _ in range(BLOB_ROUNDS):
        blob_id = new_id()
        await watch.of("put of a file", blobs.put(blob_id, _once(BLOB)))
        await watch.of("read of a file", _read(blobs, blob_id))
        await watch.of("read of a part of a file", _read(blobs, blob_id, 50_000, 60_000))
        await watch.of("delete of a file", blobs.delete(blob_id))


async def _read(blobs: BlobStore, blob_id: str, start: int = 0, stop: int = len(BLOB)) -> None:
    reader = await blobs.open(blob_id, start, stop)
    size = sum([len(chunk) async for chunk in reader.chunks])
    assert (size, reader.size) == (stop - start, len(BLOB))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


class _Watch:
    """Times what it waits for."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._taken: dict[str, list[float]] = {}

    async def of(self, call: str, work: Awaitable[Any]) -> Any:
        """What `work` returns."""
        begun = self._timer()
        answer = await work
        self._taken.setdefault(call, []).append((self._timer() - begun) * 1000)
        return answer

    def latencies(self) -> tuple[Latency, ...]:
        """One for each call, in the order in which they came first."""
        return tuple(Latency(call, statistics.median(ms), max(ms)) for call, ms in self._taken.items())
