"""Servers that the tests of stores share."""

from collections.abc import Iterator

import pytest
from tests.store.etcd_process import URL, Etcd


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd of one member; `shared_url` finds it, in child processes too."""
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL, f"etcd://{etcd.members[0].endpoint}")
        yield etcd
    etcd.kill()
