"""The driver for etcd keeps the contract, against a real etcd; and blobs in its records keep theirs."""

import time
from concurrent.futures import Executor

import pytest
from tests.store.contract_blobs import BlobContract
from tests.store.contract_records import SharedRecordContract
from tests.store.etcd_process import new_id, open_etcd, shared_url

from cnr.store.base import BlobStore, RecordStore
from cnr.store.chunked import ChunkedBlobs


class OwnBlobs(ChunkedBlobs):
    """Blobs that close the records they are in."""

    async def close(self) -> None:
        await self._store.close()


async def open_records(address: str) -> RecordStore:
    return await open_etcd(shared_url(address))


async def open_blobs(address: str, pool: Executor) -> BlobStore:
    return OwnBlobs(await open_records(address), new_id, lambda: time.time_ns() // 1000, limit_bytes=64 << 20)


@pytest.mark.usefixtures("etcd")
class TestEtcd(SharedRecordContract):
    open = staticmethod(open_records)


@pytest.mark.usefixtures("etcd")
class TestBlobsInEtcd(BlobContract):
    open = staticmethod(open_blobs)
