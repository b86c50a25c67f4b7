"""The drivers of blobs keep the contract."""

import time
from concurrent.futures import Executor
from pathlib import Path

from tests.store.contract_blobs import BlobContract, new_id

from cnr.store.base import BlobStore
from cnr.store.chunked import ChunkedBlobs
from cnr.store.files import FileBlobs
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords


async def open_memory(address: str, pool: Executor) -> BlobStore:
    return MemoryBlobs()


async def open_folder(address: str, pool: Executor) -> BlobStore:
    return FileBlobs(Path(address), pool)


async def open_chunked(address: str, pool: Executor) -> BlobStore:
    return ChunkedBlobs(SqliteRecords.in_memory(new_id), new_id, lambda: time.time_ns() // 1000, limit_bytes=64 << 20)


class TestMemory(BlobContract):
    open = staticmethod(open_memory)


class TestFolder(BlobContract):
    open = staticmethod(open_folder)


class TestChunked(BlobContract):
    """Over records in memory; over those of redis and etcd where their own tests are."""

    open = staticmethod(open_chunked)
