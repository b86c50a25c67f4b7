"""The drivers of records keep the contract."""

import asyncio
import secrets
from pathlib import Path

from tests.store.contract_records import RecordContract, SharedRecordContract

from cnr.store.base import RecordStore
from cnr.store.sqlite import SqliteRecords


def new_id() -> str:
    return secrets.token_hex(16)


async def open_memory(address: str) -> RecordStore:
    return SqliteRecords.in_memory(new_id)


async def open_folder(address: str) -> RecordStore:
    return await asyncio.to_thread(SqliteRecords.in_folder, Path(address), new_id)


class TestMemory(RecordContract):
    open = staticmethod(open_memory)


class TestFolder(SharedRecordContract):
    open = staticmethod(open_folder)
