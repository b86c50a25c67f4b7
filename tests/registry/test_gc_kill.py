"""Two processes push, delete and collect without any grace in one folder; one of them is killed, again and again."""

import asyncio
import os
import random
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.services.store_check import stores_in_order

from cnr.store.open import open_store

from .gc_child import registry_of
from .gc_world import collect, leftovers, losses

KILLS = 200 if os.environ.get("CNR_LONG") == "1" else 20
ROOT = Path(__file__).parents[2]
HOUR = 3_600_000_000


async def begin(folder: Path, seed: int) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "tests.registry.gc_child", str(folder), str(seed))
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline(), "it works"
    return child


async def kill(child: asyncio.subprocess.Process) -> list[bytes]:
    """What it had printed after its first line."""
    child.send_signal(signal.SIGKILL)
    assert child.stdout is not None
    lines = (await child.stdout.read()).splitlines()
    assert await child.wait() == -signal.SIGKILL
    return lines


@pytest.mark.timeout(KILLS * 30)
async def test_no_live_release_without_its_bytes_and_nothing_left(tmp_path: Path) -> None:
    chance = random.Random(2026)
    lines: list[bytes] = []
    with ThreadPoolExecutor(4) as pool:
        children = [await begin(tmp_path, 10 * number) for number in range(2)]
        stores = await open_store(tmp_path, pool=pool)
        try:
            for number in range(KILLS):
                await asyncio.sleep(chance.uniform(0, 0.2))
                lines += await kill(children.pop(0))
                assert await losses(stores.records, stores.blobs) == []
                children.append(await begin(tmp_path, 100 * number + 1000))
        finally:
            for child in children:
                lines += await kill(child)
        assert await losses(stores.records, stores.blobs) == []
        await stores_in_order(stores.records, stores.blobs)
        await collect(registry_of(stores, tmp_path, pool))
        await collect(registry_of(stores, tmp_path, pool, later_us=2 * HOUR))
        assert await losses(stores.records, stores.blobs) == []
        assert await leftovers(stores.records, stores.blobs) == []
        assert (await stores_in_order(stores.records, stores.blobs)).count("garbage") == 0
        await stores.close()
    assert lines.count(b"done") > KILLS
    assert lines.count(b"swept") > 0
