"""The views' file may be damaged, foreign, deleted or busy at any time: it is only thrown away, never believed."""

import asyncio
import os
import resource
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cnr.domain.errors import StoreUnavailable
from cnr.domain.names import Format, Repository
from cnr.domain.version import Release, tag_of
from cnr.store import keys, views_file
from cnr.store.base import Cursor, Version
from cnr.store.views import Change, ChartPlace, CursorMoved, FormatRow, ReleaseRow, ViewsLost
from cnr.store.views_sqlite import SqliteViews

NAME = "views-3.sqlite"
APP = Repository("ns/app")


def release(number: int, repository: Repository = APP, text: str = "") -> Change:
    name = Release(f"1.0.{number}")
    row = ReleaseRow(repository, tag_of(name), name, "b", (FormatRow(Format("helm"), number),), text)
    return Change(keys.tag(repository, row.tag), Version(number), row)


async def pages(*changes: Sequence[Change]) -> AsyncIterator[Sequence[Change]]:
    for page in changes:
        yield page


async def filled(folder: Path, count: int = 1) -> SqliteViews:
    views = SqliteViews(folder)
    changes = [release(number) for number in range(1, count + 1)]
    await views.rebuild(pages(changes), since=await views.cursor(), until=Cursor("1"))
    return views


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 5000, b"SQLite format 3\x00" + b"\xff" * 9000, os.urandom(20_000), b"x"],
    ids=["empty", "zeros", "header", "noise", "a byte"],
)
async def test_what_is_no_database_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    views = await filled(tmp_path)
    assert await views.default(APP) == "1.0.1"
    await views.close()


async def test_the_database_of_another_program_is_replaced(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / NAME)
    other.executescript("CREATE TABLE place (id INTEGER, cursor TEXT); INSERT INTO place VALUES (1, 'x');")
    other.close()
    views = SqliteViews(tmp_path)
    assert await views.cursor() is None
    await views.close()


@pytest.mark.parametrize("statement", ["DROP TABLE members", "PRAGMA user_version = 99", "PRAGMA application_id = 5"])
async def test_a_database_that_is_not_quite_ours_is_replaced(tmp_path: Path, statement: str) -> None:
    await (await filled(tmp_path)).close()
    other = sqlite3.connect(tmp_path / NAME)
    other.execute(statement)
    other.close()
    views = SqliteViews(tmp_path)
    assert await views.cursor() is None
    await views.close()


def damage(file: Path) -> None:
    """Overwrite all but the first page."""
    with file.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xff" * (size(file) - 4096))


async def test_damage_found_by_a_read_loses_the_views(tmp_path: Path) -> None:
    await (await filled(tmp_path, 2000)).close()
    views = SqliteViews(tmp_path)
    assert await views.cursor() == "1"
    damage(tmp_path / NAME)
    with pytest.raises(ViewsLost):
        await views.releases(APP)
    with pytest.raises(ViewsLost):
        await views.default(APP)
    assert await views.cursor() is None
    await views.rebuild(pages([release(7)]), since=None, until=Cursor("2"))
    assert await views.default(APP) == "1.0.7"
    await views.close()


async def test_damage_found_by_a_write_loses_the_views(tmp_path: Path) -> None:
    await (await filled(tmp_path, 2000)).close()
    views = SqliteViews(tmp_path)
    assert await views.cursor() == "1"
    damage(tmp_path / NAME)
    with pytest.raises(ViewsLost):
        await views.apply([release(3000)], since=Cursor("1"), until=Cursor("2"))
    with pytest.raises(ViewsLost):
        await views.default(APP)
    assert await views.cursor() is None
    await views.close()


async def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    for file in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
        (tmp_path / file).unlink()
    assert await views.default(APP) == "1.0.1", "still open, and still true"
    assert await views.cursor() is None
    assert (tmp_path / NAME).exists()
    await views.close()


async def test_one_throws_away_what_another_has_open(tmp_path: Path) -> None:
    first, second = await filled(tmp_path), SqliteViews(tmp_path)
    assert await second.cursor() == "1"
    for file in (NAME, f"{NAME}-wal", f"{NAME}-shm"):
        (tmp_path / file).unlink()
    assert await first.cursor() is None
    await first.rebuild(pages([release(5)]), since=None, until=Cursor("5"))
    await second.close()
    third = SqliteViews(tmp_path)
    assert await third.cursor() == "5"
    assert await third.default(APP) == "1.0.5"
    await first.close()
    await third.close()


async def test_a_place_that_cannot_hold_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteViews(tmp_path / "missing")
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteViews(tmp_path)


async def test_the_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (NAME, f"{NAME}-wal", "views-3.lock")]
    assert [mode & 0o137 for mode in modes] == [0, 0, 0]
    await views.close()


async def test_many_open_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: SqliteViews(tmp_path), range(16)))
    await opened[0].rebuild(pages([release(1)]), since=None, until=Cursor("1"))
    assert [await views.cursor() for views in opened] == ["1"] * 16
    for views in opened:
        await views.close()


async def test_a_write_waits_for_another_without_stopping_the_loop(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(views.apply([release(2)], since=Cursor("1"), until=Cursor("2")))
    for _ in range(20):
        await asyncio.sleep(0.001)
        assert await views.default(APP) == "1.0.1"
    assert not waiting.done()
    other.execute("UPDATE place SET cursor = 'elsewhere'")
    other.execute("COMMIT")
    other.close()
    with pytest.raises(CursorMoved):
        await waiting
    await views.close()


async def test_a_cancelled_write_leaves_nothing_and_lets_go(tmp_path: Path) -> None:
    views = await filled(tmp_path)

    async def endless() -> AsyncIterator[Sequence[Change]]:
        yield [release(9)]
        await asyncio.Event().wait()

    task = asyncio.create_task(views.rebuild(endless(), since=Cursor("1"), until=Cursor("9")))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await views.cursor() == "1"
    await views.apply([release(2)], since=Cursor("1"), until=Cursor("2"))
    assert await views.default(APP) == "1.0.2"
    await views.close()


async def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    log, longest, at = tmp_path / f"{NAME}-wal", 0, Cursor("1")
    for number in range(2, 400):
        until = Cursor(str(number))
        await views.apply([release(number, text=os.urandom(20_000).hex())], since=at, until=until)
        at, longest = until, max(longest, size(log))
        await asyncio.sleep(0.002)
    assert longest > views_file.CHECKPOINT_BYTES
    await views.close()
    assert longest < 4 * views_file.CHECKPOINT_BYTES
    assert size(log) == 0


@contextmanager
def no_room_beyond(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond `size_bytes`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_reads_go_on_exactly_while_the_disk_is_full(tmp_path: Path) -> None:
    views, other = await filled(tmp_path), SqliteViews(tmp_path)
    with no_room_beyond(size(tmp_path / f"{NAME}-wal")):
        await views.apply([release(2)], since=Cursor("1"), until=Cursor("2"))
        await views.apply([release(3)], since=Cursor("2"), until=Cursor("3"))
        assert (await views.cursor(), await views.default(APP)) == ("3", "1.0.3")
        assert (await other.cursor(), await other.default(APP)) == ("1", "1.0.1")
        with pytest.raises(CursorMoved):
            await views.apply([], since=Cursor("1"), until=Cursor("4"))
    await views.apply([release(4)], since=Cursor("3"), until=Cursor("4"))
    assert [(await other.cursor(), len(await other.releases(APP)))] == [("4", 4)]
    assert [(await views.cursor(), len(await views.releases(APP)))] == [("4", 4)]
    await other.apply([release(5)], since=Cursor("4"), until=Cursor("5"))
    assert await views.default(APP) == "1.0.5"
    await views.close()
    await other.close()


async def test_a_copy_counts_changes_of_charts_for_itself(tmp_path: Path) -> None:
    """A list that was joined from the copy must not pass for one of the file, which may count otherwise."""
    views = await filled(tmp_path)
    changes = [Change(keys.tag(APP, f"2.0.{at}"), Version(50 + at), release(50 + at).row, b"entry") for at in (0, 1)]
    await views.apply(changes[:1], since=Cursor("1"), until=Cursor("2"))
    place = await views.chart_place("ns")
    with no_room_beyond(size(tmp_path / f"{NAME}-wal")):
        await views.apply(changes[1:], since=Cursor("2"), until=Cursor("3"))
        copied = await views.chart_place("ns")
    assert (place.seq, copied.seq) == (1, 2)
    assert copied.lineage != place.lineage
    await views.apply([], since=Cursor("3"), until=Cursor("4"))
    assert await views.chart_place("ns") == ChartPlace(place.lineage, 2, 0)
    await views.close()


async def test_a_disk_that_stays_full_is_closed_and_opened_where_it_was(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    with no_room_beyond(size(tmp_path / f"{NAME}-wal")):
        await views.apply([release(2)], since=Cursor("1"), until=Cursor("2"))
    await views.close()
    again = SqliteViews(tmp_path)
    assert (await again.cursor(), await again.default(APP)) == ("1", "1.0.1")
    await again.close()


async def test_another_worker_may_bring_the_file_up_meanwhile(tmp_path: Path) -> None:
    views, other = await filled(tmp_path), SqliteViews(tmp_path)
    assert await other.cursor() == "1"
    with no_room_beyond(size(tmp_path / f"{NAME}-wal")):
        await views.apply([release(2)], since=Cursor("1"), until=Cursor("2"))
    await other.apply([release(2), release(3)], since=Cursor("1"), until=Cursor("3"))
    await views.apply([release(3), release(4)], since=Cursor("2"), until=Cursor("4"))
    assert [(await other.cursor(), len(await other.releases(APP)))] == [("4", 4)]
    await other.apply([release(5)], since=Cursor("4"), until=Cursor("5"))
    assert await views.default(APP) == "1.0.5"
    await views.close()
    await other.close()


async def test_a_rebuild_goes_to_the_file_again_and_says_that_it_is_full(tmp_path: Path) -> None:
    views = await filled(tmp_path)
    with no_room_beyond(size(tmp_path / f"{NAME}-wal")):
        await views.apply([release(2)], since=Cursor("1"), until=Cursor("2"))
        with pytest.raises(CursorMoved):
            await views.rebuild(pages([release(3)]), since=Cursor("2"), until=Cursor("3"))
        with pytest.raises(StoreUnavailable, match="takes no changes"):
            await views.rebuild(pages([release(3)]), since=await views.cursor(), until=Cursor("3"))
    await views.rebuild(pages([release(3)]), since=await views.cursor(), until=Cursor("3"))
    assert await views.default(APP) == "1.0.3"
    await views.close()
