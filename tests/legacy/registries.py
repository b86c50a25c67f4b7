"""Registries to import into and export from: in memory, each with an engine of its own."""

import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cnr.domain.limits import Limits
from cnr.domain.names import PackageName
from cnr.legacy.importer import Importer
from cnr.legacy.old_package import OldSource, written
from cnr.legacy.report import Report
from cnr.registry.catalog import Catalog
from cnr.registry.core import Core
from cnr.registry.registry import Registry
from cnr.store.base import RecordStore
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

NOW = 1_700_000_000_000_000
"""When the tests' imports take place: microseconds UTC."""


@asynccontextmanager
async def registry_in_memory(
    spool: Path, *, limits: Limits | None = None, wrap: Callable[[RecordStore], RecordStore] = lambda store: store
) -> AsyncIterator[Registry]:
    """An empty registry; `wrap` may put something around its records."""
    numbers = itertools.count(1)

    def new_id() -> str:
        return f"{next(numbers):032x}"

    ticks = itertools.count(NOW)
    with ThreadPoolExecutor(2) as pool:
        inner = SqliteRecords.in_memory(new_id)
        records, views = wrap(inner), SqliteViews()
        yield Registry(
            Core(
                records=records,
                blobs=MemoryBlobs(),
                updater=Updater(records, new_id),
                catalog=Catalog(records, views),
                clock=lambda: next(ticks),
                new_id=new_id,
                pool=pool,
                spool_folder=spool,
                limits=limits or Limits(),
            )
        )
        await views.close()
        await inner.close()


async def take(registry: Registry, source: OldSource, **options: Any) -> Report:
    """The report of an import."""
    return await Importer(registry, lambda: NOW, **options).run(source, done=lambda old, count: None)


async def content(registry: Registry) -> dict[str, Any]:
    """All that a registry shows: each package with its time, manifests, file bytes and channels."""
    found: dict[str, Any] = {}
    for view in await registry.catalog.packages(limit=1000):
        found[str(view.name)] = {
            "created_at": written(view.created_at),
            "manifests": {
                (item.release, item.format): (
                    item.entry.tar_digest,
                    item.entry.size,
                    written(item.entry.created_at),
                    item.entry.metadata,
                    await file(registry, view.name, item.entry.tar_digest),
                )
                for item in await registry.packages.all(view.name)
            },
            "channels": {
                channel.name: (channel.current, channel.releases) for channel in await registry.channels.all(view.name)
            },
        }
    return found


async def file(registry: Registry, package: PackageName, digest: Any) -> bytes:
    """A package file's bytes."""
    reader = await registry.packages.open(package, digest)
    return b"".join([chunk async for chunk in reader.chunks])
