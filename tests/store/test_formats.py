"""A store's format: what a newer and an older version make of it. Source: docs/adr/010-formats-last.md."""

import asyncio
import secrets

import pytest

from cnr.store.base import RecordStore, StoreRefused
from cnr.store.probe import check_format, raise_format, read_format
from cnr.store.sqlite import SqliteRecords


def new_id() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def store() -> RecordStore:
    return SqliteRecords.in_memory(new_id)


async def formats(store: RecordStore) -> tuple[int, int]:
    found = await read_format(store)
    return found.read_format, found.write_format


async def test_a_newer_version_goes_on_in_the_old_format(store: RecordStore) -> None:
    await check_format(store, new_id, known=1)
    await check_format(store, new_id, known=2)
    assert await formats(store) == (1, 1)
    await check_format(store, new_id, known=1)


async def test_raising_keeps_older_versions_out(store: RecordStore) -> None:
    await check_format(store, new_id, known=1)
    assert await raise_format(store, new_id, known=2) == (1, 2)
    assert await formats(store) == (2, 2)
    assert await raise_format(store, new_id, known=2) == (2, 2)
    for known in (0, 1):
        with pytest.raises(StoreRefused, match="format 2, written by a newer version"):
            await check_format(store, new_id, known=known)
        with pytest.raises(StoreRefused, match="newer"):
            await raise_format(store, new_id, known=known)
    assert await formats(store) == (2, 2)


async def test_an_empty_store_begins_in_the_newest_format(store: RecordStore) -> None:
    await check_format(store, new_id, known=3)
    assert await formats(store) == (3, 3)


async def test_several_at_once_are_one(store: RecordStore) -> None:
    await check_format(store, new_id, known=1)
    done = await asyncio.gather(*(raise_format(store, new_id, known=2) for _ in range(8)))
    assert (1, 2) in done
    assert await formats(store) == (2, 2)
