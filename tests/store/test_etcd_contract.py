"""The driver for etcd keeps the contract, against a real etcd."""

import secrets

import pytest
from tests.store.contract_records import SharedRecordContract
from tests.store.etcd_process import shared_url

from cnr.store.base import RecordStore
from cnr.store.etcd import open_records


def new_id() -> str:
    return secrets.token_hex(16)


async def open_etcd(address: str) -> RecordStore:
    return await open_records(shared_url(address), new_id=new_id)


@pytest.mark.usefixtures("etcd")
class TestEtcd(SharedRecordContract):
    open = staticmethod(open_etcd)
