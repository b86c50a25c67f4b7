"""A registry in memory, with a clock that ticks and ids that count, and packages to publish."""

import gzip
import io
import itertools
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnr.domain.limits import Limits
from cnr.domain.names import PackageName
from cnr.registry.catalog import Catalog
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.core import Bytes, Core
from cnr.registry.registry import Registry
from cnr.store.base import BlobStore, RecordStore
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

APP = PackageName("ns", "app")


def counting_ids() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"


def chart(version: str = "1.0.0", *, name: str = "app", top: str = "app/", extra: bytes = b"", level: int = 9) -> Bytes:
    """A helm chart; `top` is where its files lie, `level` the gzip's compression."""
    text = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: An app\nkeywords: [one, two]\n"
    return package({f"{top}Chart.yaml": text.encode(), f"{top}values.yaml": b"a: 1\n" + extra}, level=level)


def package(files: dict[str, bytes], *, level: int = 9) -> Bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return Bytes(gzip.compress(out.getvalue(), level, mtime=0))


MakeRegistry = Callable[[RecordStore, BlobStore, SqliteViews], Registry]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
async def views() -> AsyncIterator[SqliteViews]:
    store = SqliteViews()
    yield store
    await store.close()


@pytest.fixture
async def records() -> AsyncIterator[SqliteRecords]:
    store = SqliteRecords.in_memory(counting_ids())
    yield store
    await store.close()


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def make_registry(pool: ThreadPoolExecutor, tmp_path: Path) -> MakeRegistry:
    """A registry over given stores and views; all of one test share ids and clock."""
    ids = counting_ids()
    ticks = itertools.count(1_479_316_387_806_579, 1_000_000)

    def make(records: RecordStore, blobs: BlobStore, views: SqliteViews) -> Registry:
        core = Core(
            records=records,
            blobs=blobs,
            updater=Updater(records, ids),
            catalog=Catalog(records, views, ChartEntries(records, blobs, Limits())),
            clock=lambda: next(ticks),
            new_id=ids,
            pool=pool,
            spool_folder=tmp_path,
            limits=Limits(),
        )
        return Registry(core)

    return make


@pytest.fixture
def registry(make_registry: MakeRegistry, records: SqliteRecords, blobs: MemoryBlobs, views: SqliteViews) -> Registry:
    return make_registry(records, blobs, views)
