"""A store with one of everything in it, on any driver, and ways to break single things in it."""

import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.registry.conftest import APP, chart
from tests.registry.gc_world import HELM, KPM, LARGE
from tests.registry.oci_pushes import REPO, described, image, index, once, put, put_chart, put_image, take

from cnr.app import random_ids, strict_clock
from cnr.domain.digest import Digest
from cnr.domain.limits import Limits
from cnr.domain.manifest import INDEX_TYPE
from cnr.domain.names import Channel, Tag
from cnr.domain.store_url import StoreUrl
from cnr.domain.version import Release
from cnr.registry.catalog import Catalog
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.check_report import CheckReport
from cnr.registry.core import Core
from cnr.registry.deep_check import DeepCheck
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.open import Stores, open_store
from cnr.store.records import BlobRecord, ManifestRecord, Stored
from cnr.store.update import DELETE, Delete, Updater
from cnr.store.views_sqlite import SqliteViews

LAYER = bytes(range(256)) * 200
"""Above what a record takes."""
SUBJECT_LAYER = b"what a signature is about"


class World:
    """Open stores, a registry over them, and what `fill` puts there."""

    upload: str
    image: Digest
    large: Digest
    index: Digest
    signature: Digest

    def __init__(self, stores: Stores, registry: Registry, pool: Executor) -> None:
        self.stores = stores
        self.registry = registry
        self.pool = pool

    async def check(self) -> CheckReport:
        return await DeepCheck(self.stores.records, self.stores.blobs, pool=self.pool, pause_s=0).run()

    async def fill(self) -> None:
        """Push one of everything."""
        registry = self.registry
        for release in ("1.0.0", "2.0.0"):
            await registry.publisher.publish(APP, Release(release), HELM, chart(release))
        await registry.publisher.publish(APP, Release("2.0.0"), KPM, LARGE)
        await registry.channels.add(APP, Channel("stable"), "1.0.0")
        await put_chart(registry, "3.0.0", "3.0.0", extra=bytes(range(256)) * 80)
        self.image = await put_image(registry, LAYER, "plain")
        other = {"annotations": {"filler": "x" * 150_000}}
        self.large = await put_image(registry, SUBJECT_LAYER, **other)
        children = image(LAYER), image(SUBJECT_LAYER, **other)
        self.index = await put(registry, index(*children), ["latest"], INDEX_TYPE)
        self.signature = await put_image(registry, b"a signature", subject=described(image(LAYER)))
        begun = await registry.uploads.begin(REPO)
        await registry.uploads.append(REPO, begun.id, once(b"u" * 20_000))
        self.upload = begun.id
        await take(registry, b"nobody names this")

    async def read(self, key: str, kind: Any) -> Any:
        return records.decode(kind, (await self.stores.records.get(key)).value)

    async def bytes_of(self, key: str, kind: type[BlobRecord] | type[ManifestRecord]) -> str:
        """The id of the bytes that a record names."""
        blob_id = (await self.read(key, kind)).blob_id
        assert blob_id is not None
        return str(blob_id)

    async def change(self, key: str, kind: Any, change: Callable[[Any], Stored | Delete]) -> None:
        """Swap a record as a server would, with another content."""
        await Updater(self.stores.records, lambda: secrets.token_hex(16)).update(key, kind, change)

    async def drop(self, key: str) -> None:
        await self.change(key, Stored, lambda _: DELETE)

    async def write(self, key: str, value: bytes) -> None:
        """Any bytes in place of a record's value."""
        found = await self.stores.records.get(key)
        await self.stores.records.put(key, value, expect=found.version)


@asynccontextmanager
async def world(place: Path | StoreUrl, folder: Path, blobs: StoreUrl | None = None) -> AsyncIterator[World]:
    """A filled store at `place`; what a server keeps beside it is in `folder`."""
    with ThreadPoolExecutor(4) as pool:
        stores = await open_store(place, pool=pool, blobs=blobs, prefix=f"{secrets.token_hex(4)}/")
        ids = random_ids()
        views = SqliteViews(folder)
        core = Core(
            records=stores.records,
            blobs=stores.blobs,
            updater=Updater(stores.records, ids),
            catalog=Catalog(stores.records, views, ChartEntries(stores.records, stores.blobs, Limits())),
            clock=strict_clock(),
            new_id=ids,
            pool=pool,
            spool_folder=folder,
            limits=Limits(),
        )
        made = World(stores, Registry(core), pool)
        await made.fill()
        await core.catalog.sync()
        try:
            yield made
        finally:
            await views.close()
            await stores.close()


def tag(name: str) -> str:
    return keys.tag(REPO, Tag(name))
