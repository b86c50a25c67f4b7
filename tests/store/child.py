"""What other processes do in the tests of stores: `python -m tests.store.child <job> <arguments>`."""

import asyncio
import hashlib
import importlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.store.steps import increment

from cnr.store.base import ABSENT, RecordStore, VersionConflict
from cnr.store.files import FileBlobs
from cnr.store.open import open_store


def content(name: str, size: int) -> bytes:
    """Bytes that only this name and size have."""
    block = hashlib.sha256(f"{name} {size}".encode()).digest()
    return (block * (size // 32 + 1))[:size]


async def chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def count(opener: str, address: str, tasks: str, times: str) -> None:
    """Count two keys up with several tasks; print the Versions."""
    module, _, name = opener.partition(":")
    store: RecordStore = await getattr(importlib.import_module(module), name)(address)
    versions = await asyncio.gather(*(increment(store, f"k{n % 2}", int(times)) for n in range(int(tasks))))
    await store.close()
    print(*(version for each in versions for version in each))


async def race(opener: str, address: str, rounds: str, value: str) -> None:
    """Try to make the key of each round; print those that this process made."""
    module, _, name = opener.partition(":")
    store: RecordStore = await getattr(importlib.import_module(module), name)(address)
    won = []
    for number in range(int(rounds)):
        try:
            await store.put(f"race/{number:06d}", value.encode(), expect=ABSENT)
            won.append(f"race/{number:06d}")
        except VersionConflict:
            pass
    await store.close()
    print(*won)


async def write(folder: str, first: str) -> None:
    """Write records and blobs until killed; a line on stdout for each that was acknowledged."""
    stores = await open_store(folder, pool=ThreadPoolExecutor(4))
    numbers = itertools.count(int(first))

    async def records() -> None:
        while True:
            name = f"{next(numbers):032x}"
            size = int(name, 16) % 3000
            version = await stores.records.put(f"tags/{name}", content(name, size), expect=ABSENT)
            os.write(1, f"record {name} {size} {version}\n".encode())

    async def blobs() -> None:
        while True:
            name = f"{next(numbers):032x}"
            size = int(name, 16) * 7919 % 3_000_000
            await stores.blobs.put(name, chunks(content(name, size), 65536))
            os.write(1, f"blob {name} {size} 0\n".encode())

    await asyncio.gather(records(), records(), records(), blobs(), blobs())


def step_by_step(folder: str) -> None:
    """Store and copy blobs, each time in a process that dies one step later; a line for each that ended by itself."""
    for job in JOBS:
        for steps in itertools.count(1):
            place = Path(folder, f"{job}-{steps}")
            place.mkdir()
            child = os.fork()
            if child == 0:
                asyncio.run(_die(place, job, steps))
                os._exit(0)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
                print(job, steps)
                break


SOURCE, TARGET = "0a" * 16, "0b" * 16
JOBS = {"small": 5000, "large": 2_500_000, "copy": 5000}
"""Kinds of writes, and the size of the blob."""


async def _die(place: Path, job: str, steps: int) -> None:
    left = steps

    def step(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    data = content(TARGET, JOBS[job])
    pool = ThreadPoolExecutor(1)
    if job == "copy":
        await FileBlobs(place, pool).put(SOURCE, chunks(data, 65536))
        await FileBlobs(place, pool, step=step).copy(SOURCE, TARGET)
    else:
        await FileBlobs(place, pool, step=step).put(TARGET, chunks(data, 65536))


def main(job: str, *arguments: str) -> None:
    if job == "steps":
        step_by_step(*arguments)
        return
    jobs: dict[str, Callable[..., Awaitable[None]]] = {"count": count, "race": race, "write": write}

    async def run() -> None:
        await jobs[job](*arguments)

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
