"""Blobs in pieces: what dead writers leave, what the end of a long reader is, and the cap."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.faults.faulty import Fault, FaultyRecords, Plan
from tests.store.contract_blobs import chunks, content, cut, names, new_id, whole
from tests.store.steps import everything

from cnr.domain.errors import DataCorrupt, StoreTrouble, StoreUnavailable, TooLarge
from cnr.store import keys
from cnr.store.base import BlobNotFound, RecordStore
from cnr.store.chunked import PIECE, READING_US, WRITING_US, ChunkedBlobs
from cnr.store.sqlite import SqliteRecords

ID = "ab" * 16
LIMIT = 4 * PIECE


class Clock:
    """Microseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def records() -> AsyncIterator[RecordStore]:
    records = SqliteRecords.in_memory(new_id)
    yield records
    await records.close()


def over(records: RecordStore, clock: Clock) -> ChunkedBlobs:
    return ChunkedBlobs(records, new_id, clock, limit_bytes=LIMIT)


async def pieces(records: RecordStore) -> list[str]:
    return [record.key for record in await everything(records, "chunks/")]


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1, 3 * LIMIT])
async def test_the_cap(records: RecordStore, clock: Clock, size: int) -> None:
    blobs = over(records, clock)
    if size <= LIMIT:
        assert await blobs.put(ID, cut(content(size), 100_000)) == size
        assert len(await pieces(records)) == 4
        return
    with pytest.raises(TooLarge) as caught:
        await blobs.put(ID, cut(content(size), 100_000))
    assert caught.value.details["limit"] == LIMIT
    assert await everything(records) == []


async def test_a_part_costs_its_pieces_only(records: RecordStore, clock: Clock) -> None:
    await over(records, clock).put(ID, chunks(content(LIMIT)))
    plan = Plan()
    blobs = over(FaultyRecords(records, plan), clock)
    assert await whole(await blobs.open(ID, PIECE - 1, PIECE + 1)) == content(LIMIT)[PIECE - 1 : PIECE + 1]
    assert plan.log == [f"get {key}" for key in (keys.chunked(ID), keys.chunk(ID, 0), keys.chunk(ID, 1))]
    plan.log.clear()
    reader = await blobs.open(ID)
    assert reader.size == LIMIT
    assert plan.log == [f"get {keys.chunked(ID)}"]
    await reader.chunks.aclose()  # type: ignore[attr-defined]


async def test_room_is_free_once_readers_had_their_time(records: RecordStore, clock: Clock) -> None:
    blobs = over(records, clock)
    await blobs.put(ID, chunks(content(LIMIT)))
    reader, late = await blobs.open(ID), await blobs.open(ID)
    await blobs.delete(ID)
    clock.now += READING_US
    await blobs.delete(ID)  # does not begin the time anew
    assert await names(blobs) == []
    assert await whole(reader) == content(LIMIT)
    clock.now += 1
    assert await names(blobs) == []
    assert await everything(records) == []
    with pytest.raises(StoreUnavailable):
        await whole(late)


async def test_a_piece_that_is_gone_is_told(records: RecordStore, clock: Clock) -> None:
    blobs = over(records, clock)
    await blobs.put(ID, chunks(content(PIECE)))
    found = await records.get(keys.chunk(ID, 0))
    await records.delete(found.key, expect=found.version)
    with pytest.raises(DataCorrupt):
        await blobs.open(ID)


async def test_what_a_dead_writer_left_goes_after_a_day(records: RecordStore, clock: Clock) -> None:
    for call in range(1, 20):
        plan = Plan.at(call, Fault.CRASH)
        with suppress(Exception):
            await over(FaultyRecords(records, plan), clock).put(new_id(), cut(content(LIMIT), PIECE))
    blobs = over(records, clock)
    there = await names(blobs)
    assert await pieces(records)
    clock.now += WRITING_US + 1
    assert await names(blobs) == there
    kept = {keys.chunked(name) for name in there} | {keys.chunk(name, n) for name in there for n in range(4)}
    assert {record.key for record in await everything(records)} == kept


async def test_a_writer_that_was_taken_for_dead_fails(records: RecordStore, clock: Clock) -> None:
    blobs = over(records, clock)

    async def slow() -> AsyncIterator[bytes]:
        yield content(PIECE)
        clock.now += WRITING_US + 1
        assert await names(blobs) == []
        yield content(PIECE)

    with pytest.raises(StoreUnavailable):
        await blobs.put(ID, slow())
    assert await everything(records) == []


@pytest.mark.parametrize("fault", [Fault.FAIL, Fault.FULL, Fault.LOSE, Fault.LOSE_BEFORE])
async def test_any_call_that_fails_leaves_the_blob_whole_or_absent(
    records: RecordStore, clock: Clock, fault: Fault
) -> None:
    data = content(2 * PIECE + 5)
    for call in range(1, 100):
        plan = Plan.at(call, fault)
        blob_id = new_id()
        told = False
        with suppress(StoreTrouble):
            told = await over(FaultyRecords(records, plan), clock).put(blob_id, cut(data, PIECE)) == len(data)
        blobs = over(records, clock)
        if told:
            assert await whole(await blobs.open(blob_id)) == data
        else:
            with pytest.raises(BlobNotFound):
                await blobs.open(blob_id)
        if not plan.met:
            break
    clock.now += WRITING_US + 1
    whole_ones = await names(over(records, clock))
    assert {record.key.split("/")[1] for record in await everything(records)} == set(whole_ones)


async def test_two_sweepers_at_once(records: RecordStore, clock: Clock) -> None:
    blobs = over(records, clock)
    for _ in range(5):
        blob_id = new_id()
        await blobs.put(blob_id, chunks(content(LIMIT)))
        await blobs.delete(blob_id)
    clock.now += READING_US + 1
    await asyncio.gather(*(names(over(records, clock)) for _ in range(3)))
    assert await everything(records) == []
