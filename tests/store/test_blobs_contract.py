"""The drivers of blobs keep the contract."""

from concurrent.futures import Executor
from pathlib import Path

from tests.store.contract_blobs import BlobContract

from cnr.store.base import BlobStore
from cnr.store.files import FileBlobs
from cnr.store.memory_blobs import MemoryBlobs


async def open_memory(address: str, pool: Executor) -> BlobStore:
    return MemoryBlobs()


async def open_folder(address: str, pool: Executor) -> BlobStore:
    return FileBlobs(Path(address), pool)


class TestMemory(BlobContract):
    open = staticmethod(open_memory)


class TestFolder(BlobContract):
    open = staticmethod(open_folder)
