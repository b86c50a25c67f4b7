"""Several processes over one folder: what one was told is written is in the others' next answer, whatever happens."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Format, Repository
from cnr.registry.catalog import Catalog
from cnr.store import keys, records
from cnr.store.base import ABSENT, Version
from cnr.store.records import FormatEntry, Pointer, ReleaseTag
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

ROUNDS = 10_000 if os.environ.get("CNR_LONG") else 1_000
APP = Repository("ns/app")


class Worker:
    """One process's store, views and catalog over a folder."""

    def __init__(self, folder: Path, *, gone_kept: int = 100_000) -> None:
        self.records = SqliteRecords.in_folder(folder, lambda: uuid4().hex, gone_kept=gone_kept)
        self.views = SqliteViews(folder)
        self.catalog = Catalog(self.records, self.views)

    async def write(self, tag: str, repository: Repository = APP) -> Version:
        pointer = Pointer(Digest("sha256:" + "0" * 64), "m")
        entry = FormatEntry(manifest=pointer, tar_digest=TarDigest("0" * 64), size=1, created_at=1)
        record = ReleaseTag(born="b", manifest=pointer, formats={Format("helm"): entry})
        key = keys.tag(repository, tag)
        return await self.records.put(key, records.encode(record), expect=ABSENT, durable=False)

    async def delete(self, tag: str, version: Version, repository: Repository = APP) -> None:
        await self.records.delete(keys.tag(repository, tag), expect=version)

    async def close(self) -> None:
        await self.catalog.close()
        await self.views.close()
        await self.records.close()


def serve(folder: Path) -> None:
    """The other process: a line in is a thing to do, a line out says that it was done."""
    with asyncio.Runner() as runner:
        worker = runner.run(_opened(folder))
        for line in sys.stdin:
            print(runner.run(_do(worker, *line.split())), flush=True)
        runner.run(worker.close())


async def _opened(folder: Path) -> Worker:
    return Worker(folder)


async def _do(worker: Worker, what: str, tag: str = "") -> str:
    if what == "write":
        await worker.write(tag)
        return tag
    if what == "spin":
        for number in itertools.count():
            await worker.write(f"0.{tag}.{number}")
            await worker.catalog.default(APP)
    found = await worker.catalog.releases(APP)
    return f"{found[0].release} {len(found)}" if found else "nothing"


class Other:
    """Another process that runs `serve`."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()

    def ask(self, *words: str) -> str:
        assert self._process.stdout is not None
        self.tell(*words)
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    found = Worker(tmp_path)
    yield found
    await found.close()


async def test_a_write_in_one_process_is_in_the_other_processs_next_answer(worker: Worker, tmp_path: Path) -> None:
    other = Other(tmp_path)
    for number in range(0, ROUNDS, 2):
        await worker.write(f"1.0.{number}")
        assert other.ask("list") == f"1.0.{number} {number + 1}"
        assert other.ask("write", f"1.0.{number + 1}") == f"1.0.{number + 1}"
        assert await worker.catalog.default(APP) == f"1.0.{number + 1}"
    assert len(await worker.catalog.releases(APP)) == ROUNDS
    other.stop()


async def test_a_killed_process_takes_nothing_with_it(worker: Worker, tmp_path: Path) -> None:
    for life in range(5):
        other = Other(tmp_path)
        assert other.ask("list") == ("nothing" if life == 0 else f"1.0.{life - 1} {await _stored(worker)}")
        other.tell("spin", str(life))
        await asyncio.sleep(0.1 + 0.02 * life)
        other.kill()
        await worker.write(f"1.0.{life}")
        assert await worker.catalog.default(APP) == f"1.0.{life}"
        assert len(await worker.catalog.releases(APP)) == await _stored(worker)


async def _stored(worker: Worker) -> int:
    count, after = 0, ""
    while page := await worker.records.scan(keys.tags(APP), after=after):
        count, after = count + len(page), page[-1].key
    return count


async def test_many_processes_start_at_once_over_a_store_without_views(worker: Worker, tmp_path: Path) -> None:
    for number in range(2000):
        await worker.write(f"1.0.{number}")
    others = [Other(tmp_path) for _ in range(4)]
    for other in others:
        other.tell("list")
    assert await worker.catalog.default(APP) == "1.0.1999"
    for other in others:
        assert other.ask("list") == "1.0.1999 2000"
        other.stop()


async def test_the_feed_is_lost_again_and_again_under_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workers = [Worker(tmp_path, gone_kept=2) for _ in range(2)]

    async def load(number: int) -> None:
        mine = Repository(f"ns/app{number}")
        for turn in range(60):
            one, two = workers[(number + turn) % 2], workers[turn % 2]
            version = await one.write(f"1.0.{turn}", mine)
            assert await two.catalog.default(mine) == f"1.0.{turn}"
            await one.delete(f"1.0.{turn}", version, mine)
            assert mine not in await two.catalog.names()

    await asyncio.gather(*(load(number) for number in range(6)))
    for worker in workers:
        assert await worker.catalog.names() == []
        await worker.close()
    assert caplog.text.count("the feed was lost") > 1


async def test_lists_are_exact_and_cheap_while_others_write(worker: Worker, tmp_path: Path) -> None:
    other = Other(tmp_path)
    assert other.ask("list") == "nothing"
    other.tell("spin", "0")
    for number in range(200):
        await worker.write(f"1.0.{number}")
        assert await worker.catalog.default(APP) == f"1.0.{number}"
    other.kill()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
