"""The file that holds the projections: its tables, its two connections, and what to do when it is damaged."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cnr.domain.errors import StoreUnavailable
from cnr.store.views import VIEWS_FORMAT

OPEN_WAIT_S: Final = 5.0
"""How long opening waits for another process that is just creating, recovering or closing the file."""
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
_APPLICATION_ID: Final = 0x636E7276
_LOST: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Primary result codes of a file that is damaged or no database."""

_SCHEMA: Final = """
CREATE TABLE place (id INTEGER PRIMARY KEY, cursor TEXT);
INSERT INTO place VALUES (1, NULL);
CREATE TABLE tags (
    repository TEXT, tag TEXT, kind TEXT, version INTEGER,
    PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE TABLE repos (repository TEXT PRIMARY KEY, created_at INTEGER, version INTEGER) WITHOUT ROWID;
CREATE TABLE releases (
    repository TEXT, shown INTEGER, sort BLOB, release TEXT, born TEXT, newest INTEGER, formats BLOB,
    PRIMARY KEY (repository, shown, sort)
) WITHOUT ROWID;
CREATE INDEX releases_newest ON releases (repository, shown, newest);
CREATE TABLE abouts (
    repository TEXT, sort BLOB, keywords TEXT, description TEXT,
    PRIMARY KEY (repository, sort)
) WITHOUT ROWID;
CREATE TABLE channels (
    repository TEXT, name TEXT, current TEXT, live TEXT,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX channels_live ON channels (repository, live);
CREATE TABLE members (
    repository TEXT, tag TEXT, name TEXT, born TEXT, sort BLOB, live INTEGER,
    PRIMARY KEY (repository, tag, name, born)
) WITHOUT ROWID;
CREATE INDEX members_live ON members (repository, name, live, sort);
CREATE TABLE packages (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE package_formats (format TEXT, name TEXT, releases INTEGER, PRIMARY KEY (format, name)) WITHOUT ROWID;
CREATE TABLE charts (
    id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, sort BLOB, version TEXT, seq INTEGER, entry BLOB
);
CREATE UNIQUE INDEX charts_name ON charts (namespace, name, sort);
CREATE UNIQUE INDEX charts_seq ON charts (namespace, seq);
CREATE TABLE chart_places (
    namespace TEXT PRIMARY KEY, lineage TEXT, seq INTEGER, changed_at INTEGER, gone INTEGER
) WITHOUT ROWID;
CREATE TABLE sizes (key TEXT PRIMARY KEY, size INTEGER, version INTEGER) WITHOUT ROWID;
CREATE TABLE uses (path TEXT PRIMARY KEY, tags INTEGER, bytes INTEGER) WITHOUT ROWID;
CREATE VIRTUAL TABLE about USING fts5(keywords, description, tokenize = "unicode61 remove_diacritics 2");
"""
TABLES: Final = (
    *("tags", "repos", "releases", "abouts", "channels", "members"),
    *("packages", "package_formats", "about"),
    *("charts", "chart_places"),
    *("sizes", "uses"),
)
"""What a rebuild empties."""


class NotOurs(sqlite3.DatabaseError):
    """A database that another program, or another format of ours, made."""


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether another process holds a lock that it will let go of."""
    return _code(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_lost(exc: sqlite3.Error) -> bool:
    """Whether the file is damaged or not ours, so that only a new one helps."""
    return isinstance(exc, NotOurs) or _code(exc) in _LOST or str(exc).startswith("no such table")


def is_full(exc: sqlite3.Error) -> bool:
    """Whether the disk takes no more: it is full, a quota is used up, or writing fails."""
    return _code(exc) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _code(exc: sqlite3.Error) -> int:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def memory() -> sqlite3.Connection:
    """Empty projections in memory."""
    db = _connect(":memory:")
    _create(db)
    return db


def path_in(folder: Path) -> Path:
    """Where the file is in a folder."""
    return folder / f"views-{VIEWS_FORMAT}.sqlite"


class ViewFile:
    """`views-<format>.sqlite` in a folder, or memory (None). `reader` sees what is committed, `writer` what is not yet.

    In memory both are one connection. Raises StoreUnavailable where the folder cannot hold the file.
    """

    reader: sqlite3.Connection
    writer: sqlite3.Connection

    def __init__(self, folder: Path | None) -> None:
        self.path = path_in(folder) if folder else None
        self.reopen()

    def reopen(self) -> None:
        """Open the file at the path, made anew if there is none or a damaged one."""
        if self.path is None:
            self.reader = self.writer = memory()
            return
        try:
            # one at a time, or one process would remove what another has just made
            with _turn(self.path.with_suffix(".lock")):
                self._open_or_replace(self.path)
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailable(f"the views' file cannot be opened: {exc}") from exc

    def _open_or_replace(self, path: Path) -> None:
        try:
            self._open(path)
        except sqlite3.DatabaseError as exc:
            if not is_lost(exc):
                raise
            _remove(path)
            self._open(path)

    def _open(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o640))
        writer = _prepared(path, synchronous="OFF")
        try:
            # the last to close copies the log into the file, so the reader, closed last, must sync
            self.reader = _prepared(path, synchronous="NORMAL")
        except BaseException:
            writer.close()
            raise
        self.writer = writer
        self.reader.execute("PRAGMA query_only = ON")
        self._inode = _inode(path)

    def copied(self) -> "ViewFile":
        """What is committed, in memory. Raises sqlite3.Error where it cannot be read."""
        copy = ViewFile(None)
        self.reader.backup(copy.reader)
        # from here on the copy counts changes of charts for itself, and the file may count them otherwise
        copy.writer.execute("UPDATE chart_places SET lineage = lower(hex(randomblob(8)))")
        return copy

    @property
    def isolated(self) -> bool:
        """Whether `reader` does not see what `writer` has not committed."""
        return self.writer is not self.reader

    def begin(self, *, anew: bool) -> None:
        """Begin a transaction of `writer`; with `anew` on empty tables. Raises a busy sqlite3.Error at once."""
        if self.path is None and anew:
            self.writer = memory()
        self.writer.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what `writer` did visible, all at once."""
        self.writer.execute("COMMIT")
        if self.path is None and self.isolated:
            self.reader.close()
            self.reader = self.writer

    def rollback(self) -> None:
        """Undo what `writer` did since `begin`."""
        if self.writer.in_transaction:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                self.writer.execute("ROLLBACK")
        if self.path is None and self.isolated:
            self.writer.close()
            self.writer = self.reader

    def moved(self) -> bool:
        """Whether the path names another file by now, or none."""
        if self.path is None:
            return False
        try:
            return _inode(self.path) != self._inode
        except FileNotFoundError:
            return True

    def discard(self) -> None:
        """Close, and remove the file unless somebody else already replaced it; then open a new one."""
        self.close()
        if self.path is not None:
            with suppress(OSError), _turn(self.path.with_suffix(".lock")):
                if not self.moved():
                    _remove(self.path)
        self.reopen()

    def log_is_long(self) -> bool:
        """Whether the write-ahead log should be copied into the file."""
        if self.path is None:
            return False
        try:
            return _log(self.path).stat().st_size > CHECKPOINT_BYTES
        except FileNotFoundError:
            return False

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file and empty it. Blocks on the disk: run it in a thread."""
        if self.path is None:
            return
        with suppress(sqlite3.Error):  # another process will do it, or the next apply tries again
            db = _connect(str(self.path), wait_s=1.0)
            try:
                # the first does the work beside writers, so that the second stops them only for an instant
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                db.close()

    def close(self) -> None:
        """Close both connections."""
        for db in (self.writer, self.reader):
            with suppress(sqlite3.Error):  # a damaged file cannot be tidied up
                db.close()


def _connect(path: str, *, wait_s: float = 0.0) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False, cached_statements=256)


def _prepared(path: Path, *, synchronous: str) -> sqlite3.Connection:
    db = _connect(str(path), wait_s=OPEN_WAIT_S)
    try:
        if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise sqlite3.OperationalError("its file system has no shared memory for a write-ahead log")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # never on the event loop: see checkpoint()
        db.execute("PRAGMA cache_size = -8192")
        db.execute("PRAGMA temp_store = MEMORY")
        _check_or_create(db)
        db.execute("PRAGMA busy_timeout = 0")
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    ids = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {VIEWS_FORMAT};"
    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {ids} COMMIT;")


def _check_or_create(db: sqlite3.Connection) -> None:
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        _create(db)
    ids = (db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0])
    if ids != (_APPLICATION_ID, VIEWS_FORMAT):
        raise NotOurs("the file was made by another program")
    for table in ("place", *TABLES):
        db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 our own names


def _remove(path: Path) -> None:
    # the log first: a database that finds the log of another would take it for its own
    for file in (_log(path), path.with_name(path.name + "-shm"), path):
        file.unlink(missing_ok=True)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _inode(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
