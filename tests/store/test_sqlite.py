"""What only the SQLite driver does: epochs, trimmed deletes, groups, full disks, other people's files."""

import asyncio
import itertools
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.store.steps import everything, feed

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.store.base import ABSENT, CursorLost, RecordNotFound, StoreRefused, Version, VersionConflict
from cnr.store.sqlite import SqliteRecords
from cnr.store.sqlite_file import EPOCHS_KEPT, begin_epoch, connect, prepare
from cnr.store.sqlite_transaction import Transaction, Write
from cnr.store.sqlite_writer import FileLock, InlineWriter


def ids(prefix: str = "e") -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"{prefix}{next(numbers):031x}"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRecords]:
    store = SqliteRecords.in_folder(tmp_path, ids())
    yield store
    await store.close()


async def test_files_are_not_for_everybody(store: SqliteRecords, tmp_path: Path) -> None:
    await store.put("k", b"", expect=ABSENT)
    modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
    assert set(modes) == {"records.sqlite", "records.sqlite-wal", "records.sqlite-shm", "records.lock"}
    assert all(mode & ~0o640 == 0 for mode in modes.values())


async def test_a_cursor_before_forgotten_deletes_is_lost(tmp_path: Path) -> None:
    store = SqliteRecords.in_folder(tmp_path, ids(), gone_kept=5)
    start = await store.head()
    cursors = []
    for number in range(10):
        version = await store.put(f"k{number}", b"", expect=ABSENT, durable=False)
        await store.delete(f"k{number}", expect=version)
        cursors.append(await store.head())
    assert (await feed(store, cursors[5]))[0] == ["k6", "k7", "k8", "k9"]
    assert (await feed(store, cursors[4]))[0] == ["k5", "k6", "k7", "k8", "k9"]
    for lost in (start, *cursors[:4]):
        with pytest.raises(CursorLost):
            await store.changes(lost)
    await store.close()


async def test_cursors_of_writes_that_a_restored_copy_does_not_have_are_lost(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    store = SqliteRecords.in_folder(live, ids("a"))
    await store.put("kept", b"", expect=ABSENT)
    good = await store.head()
    await store.close()
    shutil.copytree(live, copy)
    store = SqliteRecords.in_folder(live, ids("b"))
    unknown_epoch = await store.head()
    await store.put("lost", b"", expect=ABSENT)
    unknown_too = await store.head()
    await store.close()
    restored = SqliteRecords.in_folder(copy, ids("c"))
    await restored.put("new", b"", expect=ABSENT)  # the Version that "lost" had
    assert (await feed(restored, good))[0] == ["new"]
    for lost in (unknown_epoch, unknown_too):
        with pytest.raises(CursorLost):
            await restored.changes(lost)
    await restored.close()


async def test_cursors_of_writes_that_a_power_loss_took_are_lost(tmp_path: Path) -> None:
    """The log as it was at some moment, put back under an epoch that went on."""
    live, after = tmp_path / "live", tmp_path / "after"
    live.mkdir()
    store = SqliteRecords.in_folder(live, ids("a"))
    await store.put("kept", b"", expect=ABSENT)
    good = await store.head()
    shutil.copytree(live, after)
    (after / "records.sqlite-shm").unlink()
    await store.put("lost", b"", expect=ABSENT, durable=False)
    lost = await store.head()
    await store.close()
    again = SqliteRecords.in_folder(after, ids("b"))
    await again.put("new", b"", expect=ABSENT)
    await again.put("newer", b"", expect=ABSENT)
    assert set((await feed(again, good))[0]) == {"new", "newer"}
    with pytest.raises(CursorLost):
        await again.changes(lost)
    await again.close()


async def test_old_epochs_are_forgotten(tmp_path: Path) -> None:
    store = SqliteRecords.in_folder(tmp_path, ids("a"))
    old = await store.head()
    db = connect(tmp_path / "records.sqlite")
    db.execute("PRAGMA synchronous = OFF")
    new_id = ids("b")
    for _ in range(EPOCHS_KEPT - 1):
        begin_epoch(db, new_id)
    assert not (await store.changes(old))[0]
    begin_epoch(db, new_id)
    assert db.execute("SELECT count(*) FROM epochs").fetchone() == (EPOCHS_KEPT,)
    db.close()
    with pytest.raises(CursorLost):
        await store.changes(old)
    await store.close()


async def test_writes_of_a_group_each_get_their_own_answer(store: SqliteRecords) -> None:
    """What one loop turn sends goes into few transactions; who loses there is told so, alone."""
    answers = await asyncio.gather(
        *(store.put(f"k{number // 4}", b"%d" % number, expect=ABSENT) for number in range(40)), return_exceptions=True
    )
    for key in range(10):
        assert [type(answer) for answer in answers[key * 4 : key * 4 + 4]] == [int, *[VersionConflict] * 3]
    assert [record.value for record in await store.scan("k")] == [b"%d" % (key * 4) for key in range(10)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file that may not grow beyond some pages, as on a disk that is nearly full."""
    path = tmp_path / "records.sqlite"
    db = connect(path)
    prepare(db, path)
    begin_epoch(db, ids())
    db.execute("PRAGMA max_page_count = 30")
    yield db
    db.close()


async def test_a_full_disk_refuses_writes_and_changes_nothing(small: sqlite3.Connection) -> None:
    store = SqliteRecords(small, InlineWriter(Transaction(small, 10, syncs=True)))
    version = await store.put("k", b"1", expect=ABSENT)
    head = await store.head()
    with pytest.raises(StoreFull):
        await store.put("large", bytes(200_000), expect=ABSENT)
    with pytest.raises(StoreFull):
        await store.put("k", bytes(200_000), expect=version)
    assert [record.version for record in await everything(store)] == [version]
    assert await store.head() == head
    await store.put("k", b"2", expect=version)


def test_a_large_write_does_not_take_the_small_ones_of_its_group_with_it(small: sqlite3.Connection) -> None:
    group = [Write(f"k{number}", bytes(200_000 if number == 1 else 10), ABSENT, True) for number in range(3)]
    outcomes = Transaction(small, 10, syncs=True).run(group)
    assert [type(outcome) for outcome in outcomes] == [int, StoreFull, int]


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writes fail as those of a broken disk do."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_that_fails_on_the_disk_is_in_doubt_and_the_store_goes_on(
    store: SqliteRecords, tmp_path: Path
) -> None:
    version = await store.put("k", b"1", expect=ABSENT)
    with limited_files((tmp_path / "records.sqlite-wal").stat().st_size):
        with pytest.raises(OutcomeUnknown):
            await store.put("k", b"2", expect=version)
        assert (await store.get("k")).value == b"1"
    await store.put("k", b"3", expect=version)
    assert (await store.get("k")).value == b"3"


async def test_a_write_that_never_has_its_turn_is_not_made_later(tmp_path: Path) -> None:
    store = SqliteRecords.in_folder(tmp_path, ids(), wait_s=0.1)
    lock = FileLock(tmp_path / "records.lock")
    with lock.held():
        # the first is with the thread, which waits for the lock; the others wait for the thread
        answers = await asyncio.gather(
            *(store.put(f"k{number}", b"", expect=ABSENT) for number in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
        with pytest.raises(RecordNotFound):
            await store.get("k0")  # reads go on
    lock.close()
    await store.put("last", b"", expect=ABSENT)
    assert [record.key for record in await everything(store)] == ["last"]
    await store.close()


async def test_a_long_log_is_cut(tmp_path: Path) -> None:
    store = SqliteRecords.in_folder(tmp_path, ids(), log_bytes=200_000)
    log = tmp_path / "records.sqlite-wal"
    await asyncio.gather(
        *(store.put(f"k{number}", bytes(10_000), expect=ABSENT, durable=False) for number in range(100))
    )
    for number in itertools.count():
        await store.put(f"l{number}", b"", expect=ABSENT)
        if log.stat().st_size <= 200_000:
            break
        await asyncio.sleep(0.02)
    assert len(await everything(store, "k")) == 100
    await store.close()
    assert not log.exists()


async def test_writes_under_way_are_finished_by_close(tmp_path: Path) -> None:
    store = SqliteRecords.in_folder(tmp_path, ids())
    writes = [asyncio.create_task(store.put(f"k{number}", b"", expect=ABSENT)) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert len(set(await asyncio.gather(*writes))) == 20
    again = SqliteRecords.in_folder(tmp_path, ids("f"))
    assert len(await everything(again)) == 20
    await again.close()


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "records.sqlite") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoreRefused, match="another program"):
        SqliteRecords.in_folder(tmp_path, ids())


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(StoreRefused, match="damaged"):
        SqliteRecords.in_folder(tmp_path, ids())


async def test_a_newer_layout_is_refused(store: SqliteRecords, tmp_path: Path) -> None:
    db = connect(tmp_path / "records.sqlite")
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(StoreRefused, match="layout 2"):
        SqliteRecords.in_folder(tmp_path, ids("f"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteRecords.in_folder(tmp_path / "missing", ids())


async def test_a_store_in_memory_ends_with_its_object() -> None:
    store = SqliteRecords.in_memory(ids())
    await store.put("k", b"", expect=ABSENT)
    with pytest.raises(VersionConflict):
        await store.delete("k", expect=Version(7))
    await store.close()
    assert not await everything(SqliteRecords.in_memory(ids()))
