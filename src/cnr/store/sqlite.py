"""SqliteRecords: the records in one SQLite file for all processes of a host, or in memory for one."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Literal

from cnr.domain.errors import StoreUnavailable
from cnr.store.base import (
    PAGE_BYTES,
    Absent,
    Cursor,
    Fact,
    Record,
    RecordNotFound,
    StoreRefused,
    Version,
    check_write,
)
from cnr.store.keys import UNFED
from cnr.store.sqlite_file import begin_epoch, connect, create, cursor_at, prepare, version_of
from cnr.store.sqlite_transaction import Transaction, Write
from cnr.store.sqlite_writer import LOG_BYTES, WAIT_S, FileLock, GroupWriter, InlineWriter

GONE_KEPT: Final = 100_000
"""Deletes that the feed remembers."""
FEED_PAGE: Final = 1000
WRONG_TOLD: Final = 20
"""Things wrong in the file that `examine` tells."""
READ_BUSY_MS: Final = 1000
"""How long a read, on the event loop, waits for another process that recovers the file after a crash."""
_POLL_S: Final = (0.005, 0.05)
"""The first and the longest pause between two looks at the feed: a look takes some microseconds."""

_GET: Final = "SELECT version, value FROM records WHERE key = ?"
_SCAN: Final = "SELECT key, value, version FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_STATE: Final = "SELECT epoch, version FROM state"
_FED: Final = " AND ".join(f"NOT (key >= '{prefix}' AND key < '{prefix[:-1]}0')" for prefix in UNFED)
"""A condition; the digit is what follows the slash in byte order."""
_CHANGES: Final = (
    f"SELECT version, key FROM records WHERE version > :since AND {_FED} "  # noqa: S608 our own words
    "UNION ALL SELECT version, key FROM gone WHERE version > :since ORDER BY version LIMIT :page"
)
_BEYOND: Final = "\x7f"
"""Above every key."""


class SqliteRecords:
    """RecordStore in `records.sqlite` of a folder. Open one in each process, after the fork, for one event loop.

    `orders_durability`: there is one log. Reads are answered where they are asked, without a thread; no statement
    stays open over an await. Writes wait for the next group (sqlite_writer). With durable=False a write survives
    kill -9 and, once any later durable one has returned, power loss.
    """

    orders_durability = True

    def __init__(self, reader: sqlite3.Connection, writer: GroupWriter | InlineWriter) -> None:
        self._db = reader
        self._writer = writer

    @classmethod
    def in_memory(cls, new_id: Callable[[], str], *, gone_kept: int = GONE_KEPT) -> "SqliteRecords":
        """An empty store that ends with this object."""
        db = connect(None)
        prepare(db, None)
        begin_epoch(db, new_id)
        return cls(db, InlineWriter(Transaction(db, gone_kept, syncs=False)))

    @classmethod
    def in_folder(
        cls,
        folder: Path,
        new_id: Callable[[], str],
        *,
        gone_kept: int = GONE_KEPT,
        wait_s: float = WAIT_S,
        log_bytes: int = LOG_BYTES,
    ) -> "SqliteRecords":
        """The store in an existing folder, made if there is none. Blocks. `new_id` names the epoch.

        Raises StoreRefused for a file that is damaged or not ours, StoreUnavailable where it cannot be opened.
        """
        path, lock_path = folder / "records.sqlite", folder / "records.lock"
        try:
            db, reader = _open(path, lock_path, new_id)
            writer = GroupWriter(
                path, lock_path, Transaction(db, gone_kept, syncs=True), wait_s=wait_s, log_bytes=log_bytes
            )
        except OSError as exc:
            raise StoreUnavailable(f"{path} cannot be opened: {exc.strerror}") from exc
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StoreRefused(f"{path} is damaged or not a store of cnr: {exc}") from exc
            raise StoreUnavailable(f"{path} cannot be opened: {exc}") from exc
        return cls(reader, writer)

    async def get(self, key: str) -> Record:
        """As RecordStore.get."""
        found = self._read(_GET, (key,)) if key.isascii() else ()
        for version, value in found:
            return Record(key, value, version)
        raise RecordNotFound(key)

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        """As RecordStore.put."""
        check_write(key, value)
        version = await self._writer.write(Write(key, value, expect, durable))
        assert version is not None
        return version

    async def delete(self, key: str, *, expect: Version) -> None:
        """As RecordStore.delete."""
        check_write(key)
        await self._writer.write(Write(key, None, expect, durable=True))

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """As RecordStore.scan."""
        # the next key that there can be: a space is the first of the legal characters
        start = max(prefix, after + " " if after else "")
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else _BEYOND
        if not (start + end).isascii():
            return []
        page: list[Record] = []
        size = 0
        try:
            rows = self._db.execute(_SCAN, (start, end, limit))
            try:
                for row in rows:
                    size += len(row[1])
                    if size > PAGE_BYTES:  # no value alone is that long
                        break
                    page.append(Record(*row))
            finally:
                rows.close()
        except sqlite3.Error as exc:
            raise _unreadable(exc) from exc
        return page

    async def head(self) -> Cursor:
        """As RecordStore.head."""
        return cursor_at(*self._read(_STATE)[0])

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        """As RecordStore.changes. Looks at the file again and again while it waits."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause = _POLL_S[0]
        while True:
            # asked first: at its head a cursor needs no proof
            if cursor_at(*self._read(_STATE)[0]) != since:
                found, since = self._changes(since)
                if found:
                    return found, since
            left = deadline - loop.time()
            if left <= 0:
                return (), since
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_S[1])

    def _changes(self, since: Cursor) -> tuple[Sequence[str], Cursor]:
        try:
            self._db.execute("BEGIN")
            try:
                version = version_of(self._db, since)
                rows = self._db.execute(_CHANGES, {"since": version, "page": FEED_PAGE}).fetchall()
                epoch, head = self._db.execute(_STATE).fetchall()[0]
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            raise _unreadable(exc) from exc
        until = rows[-1][0] if len(rows) == FEED_PAGE else head
        return list(dict.fromkeys(key for _, key in rows)), cursor_at(epoch, until)

    def _read(self, question: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(question, values).fetchall()
        except sqlite3.Error as exc:
            raise _unreadable(exc) from exc

    async def inspect(self) -> Sequence[Fact]:
        """As Inspected.inspect."""
        syncs = "an acknowledged write survives a power loss: the write-ahead log is synced before the answer"
        path = self._read("PRAGMA database_list")[0][2]
        return [
            Fact("engine", f"SQLite {sqlite3.sqlite_version}"),
            Fact("durability", syncs if path else "none: the records are in memory"),
        ]

    async def examine(self) -> Sequence[str]:
        """As SelfExamining.examine: SQLite's own check, which also holds the index against the records."""
        path = self._read("PRAGMA database_list")[0][2]
        return await asyncio.to_thread(_wrong_in, Path(path)) if path else []

    async def close(self) -> None:
        """As RecordStore.close."""
        await asyncio.to_thread(self._writer.close)
        self._db.close()


def _open(path: Path, lock_path: Path, new_id: Callable[[], str]) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """The writer's and the reader's connection to a file that is ready, in an epoch of its own."""
    create(path)
    with closing(FileLock(lock_path)) as lock, lock.held(), ExitStack() as undo:
        writer = undo.enter_context(closing(connect(path)))
        prepare(writer, path)
        begin_epoch(writer, new_id)
        reader = undo.enter_context(closing(connect(path)))
        reader.execute("PRAGMA query_only = ON")
        reader.execute(f"PRAGMA busy_timeout = {READ_BUSY_MS}")
        undo.pop_all()
    return writer, reader


def _wrong_in(path: Path) -> list[str]:
    try:
        with closing(connect(path)) as db:
            found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({WRONG_TOLD})")]
    except sqlite3.Error as exc:
        return [str(exc)]
    return [] if found == ["ok"] else found


def _unreadable(exc: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the record store cannot be read: {exc}")
