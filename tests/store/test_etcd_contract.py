"""The driver for etcd keeps the contract, against a real etcd; and blobs in its records keep theirs."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.services.etcd import Etcd, new_id, open_etcd
from tests.store.contract_blobs import BlobContract
from tests.store.contract_records import HeadBesideContract, NewAddress, SharedRecordContract

from cnr.store.base import BlobStore
from cnr.store.chunked import ChunkedBlobs


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    yield etcd
    etcd.kill()


class TestEtcd(SharedRecordContract, HeadBesideContract):
    open = staticmethod(open_etcd)

    @pytest.fixture
    def new_address(self, etcd: Etcd) -> NewAddress:
        return lambda: etcd.url(new_id())


class TestChunkedOnEtcd(BlobContract):
    @pytest.fixture
    async def blobs(self, etcd: Etcd) -> AsyncIterator[BlobStore]:
        records = await open_etcd(etcd.url(new_id()))
        yield ChunkedBlobs(records, new_id, lambda: time.time_ns() // 1000, limit_bytes=64 << 20)
        await records.close()
