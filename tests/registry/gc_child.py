"""Pushes, deletes and collects without any grace in a folder until killed: `python -m tests.registry.gc_child`."""

import asyncio
import os
import random
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from cnr.app import strict_clock
from cnr.domain.errors import CnrError
from cnr.domain.limits import Limits
from cnr.registry.catalog import Catalog
from cnr.registry.core import Core
from cnr.registry.registry import Registry
from cnr.store.open import Stores, open_store
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

from .gc_world import act, collect

WALL = strict_clock()


def registry_of(stores: Stores, folder: Path, pool: ThreadPoolExecutor, *, later_us: int = 0) -> Registry:
    """A registry without grace, whose clock is `later_us` ahead."""
    core = Core(
        records=stores.records,
        blobs=stores.blobs,
        updater=Updater(stores.records, lambda: secrets.token_hex(16)),
        catalog=Catalog(stores.records, SqliteViews(folder)),
        clock=lambda: WALL() + later_us,
        new_id=lambda: secrets.token_hex(16),
        pool=pool,
        spool_folder=folder,
        limits=Limits(),
        grace=timedelta(0),
    )
    return Registry(core)


async def work(folder: Path, seed: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = await open_store(folder, pool=pool)
        registry = registry_of(stores, folder, pool)

        async def push_and_delete(chance: random.Random) -> None:
            while True:
                with suppress(CnrError):
                    await act(registry, chance)
                    os.write(1, b"done\n")

        async def sweep() -> None:
            while True:
                report = await collect(registry)
                if report.count:
                    os.write(1, b"swept\n")

        await asyncio.gather(sweep(), *(push_and_delete(random.Random(seed + number)) for number in range(3)))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
