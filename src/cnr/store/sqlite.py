"""Records in SQLite: one file, any number of processes on one host.

One writer thread per process takes all waiting writes into one transaction, under an flock that makes the processes
take turns: busy_timeout alone let one writer wait for seconds. Reads run where they are asked for, on a connection
of their own: a record in a few microseconds, always the newest committed one (WAL).
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnr.domain.errors import CnrError, OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.store import keys
from cnr.store.base import (
    ABSENT,
    KEY_LIMIT,
    PAGE_BYTES,
    VALUE_LIMIT,
    Absent,
    Cursor,
    CursorLost,
    Record,
    RecordNotFound,
    RecordTooLarge,
    Version,
    VersionConflict,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS records_version ON records (version);
CREATE TABLE IF NOT EXISTS gone (version INTEGER PRIMARY KEY, key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, epoch TEXT, floor INTEGER);
CREATE TABLE IF NOT EXISTS epochs (epoch TEXT PRIMARY KEY, first INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0, '', 0);
"""

GONE_LIMIT = 100_000
"""Deletes that the feed remembers; who is further behind scans."""
EPOCHS_LIMIT = 1_000
CHECKPOINT_BYTES = 64 * 1024 * 1024
CHANGES_LIMIT = 1_000
_POLL_S = 0.02


@dataclass(slots=True)
class _Write:
    """A put (`value` is bytes) or a delete (None) that waits for its turn."""

    key: str
    value: bytes | None
    expect: Version | Absent
    durable: bool
    done: "asyncio.Future[Version]"
    result: Version | BaseException | None = None


class SqliteRecords:
    """A RecordStore in `folder`/records.sqlite; None: in memory, for one process and one event loop."""

    orders_durability = True

    def __init__(self, folder: Path | None, *, new_epoch: Callable[[], str]) -> None:
        self._path = folder / "records.sqlite" if folder else None
        self._lock = os.open(folder / "records.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640) if folder else None
        self._reader = self._connect()
        self._writer = self._reader if self._path is None else self._connect()
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        self._begin_epoch(new_epoch())
        self._thread: threading.Thread | None = None
        if self._path is not None:
            self._thread = threading.Thread(target=self._run, name="cnr-records", daemon=True)
            self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        target = str(self._path) if self._path else ":memory:"
        database = sqlite3.connect(target, isolation_level=None, check_same_thread=False, timeout=10)
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=4000; PRAGMA synchronous=FULL")
        return database

    def _begin_epoch(self, epoch: str) -> None:
        with _Turn(self._lock):
            self._writer.executescript(_SCHEMA)
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("INSERT INTO epochs SELECT ?, version FROM state", (epoch,))
            self._writer.execute("UPDATE state SET epoch = ?", (epoch,))
            self._writer.execute(
                "DELETE FROM epochs WHERE rowid <= (SELECT max(rowid) FROM epochs) - ?", (EPOCHS_LIMIT,)
            )
            self._writer.execute("COMMIT")

    async def get(self, key: str) -> Record:
        found = self._read("SELECT value, version FROM records WHERE key = ?", (key,))
        if not found:
            raise RecordNotFound(key)
        return Record(key, found[0][0], found[0][1])

    def _read(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            raise _trouble(exc) from exc

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        if len(value) > VALUE_LIMIT or len(key) > KEY_LIMIT:
            raise RecordTooLarge(f"{key[:80]}: {len(value):,} bytes")
        return await self._submit(key, value, expect, durable)

    async def delete(self, key: str, *, expect: Version) -> None:
        await self._submit(key, None, expect, True)

    async def _submit(self, key: str, value: bytes | None, expect: Version | Absent, durable: bool) -> Version:
        done = asyncio.get_running_loop().create_future()
        write = _Write(key, value, expect, durable, done)
        if self._thread is None:
            self._commit([write])
            _settle([write])
        else:
            self._queue.put(write)
        return await asyncio.shield(done)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            stop = False
            while not self._queue.empty():
                write = self._queue.get()
                if write is None:
                    stop = True
                    break
                group.append(write)
            self._commit(group)
            for loop in {write.done.get_loop() for write in group}:
                own = [write for write in group if write.done.get_loop() is loop]
                loop.call_soon_threadsafe(_settle, own)
            if stop:
                return

    def _commit(self, group: Sequence[_Write]) -> None:
        """One transaction for all of `group`; each write's result is set."""
        committing = False
        try:
            with _Turn(self._lock):
                durable = any(write.durable for write in group)
                self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._writer.execute("BEGIN IMMEDIATE")
                self._apply(group)
                committing = True
                self._writer.execute("COMMIT")
                self._checkpoint()
        except sqlite3.Error as exc:
            trouble: CnrError = _trouble(exc)
            if committing and not isinstance(trouble, StoreFull):
                trouble = OutcomeUnknown("a write may or may not have happened; it is safe to repeat the request")
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for write in group:
                write.result = trouble

    def _apply(self, group: Sequence[_Write]) -> None:
        execute = self._writer.execute
        version = first = execute("SELECT version FROM state").fetchone()[0]
        for write in group:
            found = execute("SELECT version FROM records WHERE key = ?", (write.key,)).fetchone()
            if (found[0] if found else ABSENT) != write.expect:
                write.result = VersionConflict(write.key)
                continue
            version += 1
            if write.value is None:
                execute("DELETE FROM records WHERE key = ?", (write.key,))
                if not write.key.startswith(keys.UNFED):
                    execute("INSERT INTO gone VALUES (?, ?)", (version, write.key))
            elif found:
                execute("UPDATE records SET version = ?, value = ? WHERE key = ?", (version, write.value, write.key))
            else:
                execute("INSERT INTO records VALUES (?, ?, ?)", (write.key, version, write.value))
            write.result = Version(version)
        if version != first:
            execute("UPDATE state SET version = ?", (version,))
            self._trim()

    def _trim(self) -> None:
        low, high, _ = self._writer.execute("SELECT min(version), max(version), 0 FROM gone").fetchone()
        if (
            low is None
            or high - low < GONE_LIMIT
            or not self._writer.execute("SELECT count(*) > ? FROM gone", (GONE_LIMIT,)).fetchone()[0]
        ):
            return
        floor = self._writer.execute(
            "SELECT version FROM gone ORDER BY version LIMIT 1 OFFSET ?", (GONE_LIMIT // 2,)
        ).fetchone()[0]
        self._writer.execute("DELETE FROM gone WHERE version <= ?", (floor,))
        self._writer.execute("UPDATE state SET floor = ?", (floor,))

    def _checkpoint(self) -> None:
        if self._path is None:
            return
        log = self._path.with_name(self._path.name + "-wal")
        if log.exists() and log.stat().st_size > CHECKPOINT_BYTES:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        first, end = max(prefix, after), prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\x7f\x7f"
        rows = self._read(
            "SELECT key, value, version FROM records WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
            (after, first, end, min(limit, 1000)),
        )
        page: list[Record] = []
        total = 0
        for key, value, version in rows:
            total += len(value)
            if page and total > PAGE_BYTES:
                break
            page.append(Record(key, value, version))
        return page

    async def head(self) -> Cursor:
        version, epoch = self._read("SELECT version, epoch FROM state")[0]
        return Cursor(f"{epoch}.{version}")

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            found, cursor = self._changes(since)
            if found or loop.time() >= deadline:
                return found, cursor
            await asyncio.sleep(_POLL_S)

    def _changes(self, since: Cursor) -> tuple[list[str], Cursor]:
        epoch, _, number = since.rpartition(".")
        if not number.isdigit():
            raise CursorLost(since)
        at = int(number)
        # the head is read first: what is written after it is only seen earlier, never missed
        top, newest, floor = self._read("SELECT version, epoch, floor FROM state")[0]
        self._check_epoch(epoch, at)
        if at < floor or at > top:
            raise CursorLost(since)
        rows = self._read(
            "SELECT version, key FROM records WHERE version > ? UNION ALL SELECT version, key FROM gone"
            " WHERE version > ? ORDER BY version LIMIT ?",
            (at, at, CHANGES_LIMIT),
        )
        until = rows[-1][0] if len(rows) == CHANGES_LIMIT else max(top, rows[-1][0] if rows else 0)
        fed = [key for _, key in rows if not key.startswith(keys.UNFED)]
        return fed, Cursor(f"{newest}.{until}")

    def _check_epoch(self, epoch: str, at: int) -> None:
        first = self._read("SELECT rowid FROM epochs WHERE epoch = ?", (epoch,))
        if not first:
            raise CursorLost(epoch)
        following = self._read("SELECT first FROM epochs WHERE rowid > ? ORDER BY rowid LIMIT 1", (first[0][0],))
        if following and at > following[0][0]:
            raise CursorLost(epoch)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._writer.close()
        self._reader.close()
        if self._lock is not None:
            os.close(self._lock)


class _Turn:
    """The flock that one process at a time writes under."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _settle(group: Sequence[_Write]) -> None:
    for write in group:
        if write.done.done():
            continue
        if isinstance(write.result, BaseException):
            write.done.set_exception(write.result)
        else:
            assert write.result is not None
            write.done.set_result(write.result)


def _trouble(exc: sqlite3.Error) -> StoreFull | StoreUnavailable:
    if getattr(exc, "sqlite_errorname", "").startswith("SQLITE_FULL"):
        return StoreFull("no space left where records are stored")
    return StoreUnavailable(f"the record store cannot be used: {exc}")
