"""The driver of object stores keeps the contract on real servers."""

from concurrent.futures import Executor

import pytest
from tests.services.object_stores import ObjectServer
from tests.store.contract_blobs import BlobContract, new_id

from cnr.domain.store_url import StoreUrl
from cnr.store.base import BlobStore
from cnr.store.drivers import Given
from cnr.store.objects import open_blobs


async def open_bucket(address: str, pool: Executor) -> BlobStore:
    return await open_blobs(StoreUrl.parse(address), Given("", new_id, lambda: 0, pool))


class TestS3(BlobContract):
    KEPT = 8
    open = staticmethod(open_bucket)

    @pytest.fixture
    def address(self, s3: ObjectServer) -> str:
        return s3.address()


class TestAzure(BlobContract):
    KEPT = 8
    open = staticmethod(open_bucket)

    @pytest.fixture
    def address(self, azure: ObjectServer) -> str:
        return azure.address()
