"""The failing stores do what they say."""

from collections.abc import AsyncIterator

import pytest
from tests.faults.faulty import Crashed, Fault, FaultyBlobs, FaultyRecords, Plan

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.store.base import ABSENT, BlobNotFound, RecordNotFound
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords

BLOB = "ab" * 16


async def put_and_get(fault: Fault) -> tuple[Exception | None, bytes | None]:
    """What a put under this fault raised, and what stands there after it."""
    inner = SqliteRecords.in_memory(lambda: "e" * 32)
    store = FaultyRecords(inner, Plan.at(1, fault))
    raised = None
    try:
        await store.put("tags/a/b", b"1", expect=ABSENT)
    except Exception as exc:
        raised = exc
    try:
        return raised, (await inner.get("tags/a/b")).value
    except RecordNotFound:
        return raised, None


@pytest.mark.parametrize(
    ("fault", "error", "value"),
    [
        (Fault.FAIL, StoreUnavailable, None),
        (Fault.FULL, StoreFull, None),
        (Fault.LOSE, OutcomeUnknown, b"1"),
        (Fault.LOSE_BEFORE, OutcomeUnknown, None),
        (Fault.CRASH, Crashed, None),
    ],
)
async def test_a_put(fault: Fault, error: type[Exception], value: bytes | None) -> None:
    raised, found = await put_and_get(fault)
    assert type(raised) is error
    assert found == value


async def test_nothing_works_after_a_crash_and_all_calls_are_counted_together() -> None:
    plan = Plan.at(2, Fault.CRASH)
    records = FaultyRecords(SqliteRecords.in_memory(lambda: "e" * 32), plan)
    blobs = FaultyBlobs(MemoryBlobs(), plan)
    await records.head()
    with pytest.raises(Crashed):
        await blobs.delete(BLOB)
    with pytest.raises(Crashed):
        await records.head()
    assert plan.log == ["head", "delete blob", "head"]
    assert plan.met


async def test_a_lost_blob_is_there() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"bytes"

    inner = MemoryBlobs()
    with pytest.raises(StoreUnavailable):
        await FaultyBlobs(inner, Plan.at(1, Fault.LOSE)).put(BLOB, chunks())
    assert (await inner.open(BLOB)).size == 5
    with pytest.raises(BlobNotFound):
        await inner.open("cd" * 16)
