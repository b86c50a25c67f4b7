"""Redis keeps the contract of records, and blobs in pieces over it that of blobs."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.services.redis import RedisServer
from tests.store.contract_blobs import BlobContract
from tests.store.contract_records import HeadBesideContract, NewAddress, SharedRecordContract

from cnr.domain.store_url import StoreUrl
from cnr.store.base import BlobStore, RecordStore
from cnr.store.chunked import ChunkedBlobs
from cnr.store.drivers import Given
from cnr.store.redis import open_records


def new_id() -> str:
    return secrets.token_hex(16)


def now() -> int:
    return time.time_ns() // 1000


async def open_redis(address: str) -> RecordStore:
    """A store under the prefix that follows the URL: `redis://host:port some/prefix`."""
    url, _, prefix = address.partition(" ")
    return await open_records(StoreUrl.parse(url), Given(prefix, new_id, now, ThreadPoolExecutor(1)))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()


class TestRedis(SharedRecordContract, HeadBesideContract):
    open = staticmethod(open_redis)

    @pytest.fixture
    def new_address(self, redis: RedisServer) -> NewAddress:
        return lambda: f"{redis.url} {new_id()}"


class TestChunkedOnRedis(BlobContract):
    @pytest.fixture
    async def blobs(self, redis: RedisServer, tmp_path: Path, pool: Executor) -> AsyncIterator[BlobStore]:
        records = await open_redis(f"{redis.url} {new_id()}")
        yield ChunkedBlobs(records, new_id, now, limit_bytes=64 << 20)
        await records.close()
