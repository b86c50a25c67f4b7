"""kill -9 at random moments, and between any two steps: what was acknowledged is there, and nothing in half."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.store.child import JOBS, SOURCE, TARGET, content
from tests.store.contract_blobs import names, whole
from tests.store.contract_records import ROOT
from tests.store.steps import everything

from cnr.store.files import FileBlobs
from cnr.store.open import Stores, open_store

ROUNDS = 200 if os.environ.get("CNR_LONG") == "1" else 20
CHILD = [sys.executable, "-m", "tests.store.child"]


async def kill_a_writer(folder: Path, first: int, after_s: float) -> list[str]:
    """Have a process write until `after_s` after its first answer; the lines that it got out."""
    child = await asyncio.create_subprocess_exec(
        *CHILD, "write", str(folder), str(first), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    begun = await child.stdout.readline()
    asyncio.get_running_loop().call_later(after_s, child.send_signal, signal.SIGKILL)
    rest = await child.stdout.read()
    assert await child.wait() == -signal.SIGKILL
    return [line for line in (begun + rest).decode().splitlines(keepends=True) if line.endswith("\n")]


async def check(stores: Stores, acknowledged: dict[tuple[str, str], int]) -> None:
    """Everything acknowledged is there, and everything that is there is whole."""
    records = await everything(stores.records, "tags/")
    for record in records:
        name = record.key.removeprefix("tags/")
        assert record.value == content(name, int(name, 16) % 3000)
    blobs = await names(stores.blobs)
    for name in blobs:
        assert await whole(await stores.blobs.open(name)) == content(name, int(name, 16) * 7919 % 3_000_000)
    there = {("record", record.key.removeprefix("tags/")) for record in records} | {("blob", name) for name in blobs}
    assert acknowledged.keys() <= there


async def test_killed_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(2026)
    acknowledged: dict[tuple[str, str], int] = {}
    with ThreadPoolExecutor(4) as pool:
        for number in range(ROUNDS):
            lines = await kill_a_writer(tmp_path, number * 1_000_000, chance.uniform(0, 0.15))
            for line in lines:
                kind, name, size, _ = line.split()
                acknowledged[kind, name] = int(size)
            stores = await open_store(tmp_path, pool=pool)
            await check(stores, acknowledged)
            await stores.close()
            assert os.listdir(tmp_path / "blobs" / "drafts") == []
            if number % 5 == 4:  # keep a round short
                for name in await names(stores.blobs):
                    await stores.blobs.delete(name)
                acknowledged = {key: size for key, size in acknowledged.items() if key[0] == "record"}
    db = sqlite3.connect(tmp_path / "records.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert len(acknowledged) > ROUNDS


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Folders in which a writer died at its first, second, ... step, and how many steps the whole job has."""
    folder = tmp_path_factory.mktemp("steps")
    command = [*CHILD, "steps", str(folder)]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return folder, {job: int(number) for job, number in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("job", JOBS)
async def test_killed_between_any_two_steps(steps: tuple[Path, dict[str, int]], job: str) -> None:
    folder, counts = steps
    data = content(TARGET, JOBS[job])
    seen = []
    assert counts[job] > 8
    with ThreadPoolExecutor(1) as pool:
        for number in range(1, counts[job] + 1):
            blobs = FileBlobs(folder / f"{job}-{number}", pool)
            there = await names(blobs)
            assert os.listdir(folder / f"{job}-{number}" / "blobs" / "drafts") == []
            for name in there:
                assert await whole(await blobs.open(name)) == data
            assert (SOURCE in there) == (job == "copy")
            seen.append(TARGET in there)
    assert seen == sorted(seen), "once it is there it stays"
    assert seen[-1], "the last one was acknowledged"
    assert not seen[0]
