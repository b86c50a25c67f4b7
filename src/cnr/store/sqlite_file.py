"""The file of the records: its tables, its connections, and the epochs of its history."""

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cnr.store.base import Cursor, CursorLost, StoreRefused

EPOCHS_KEPT: Final = 1000
"""Openings that a cursor may be old before it is lost."""
BUSY_MS: Final = 5000
"""How long a connection waits for a lock that our own flock does not order: recovery, a checkpoint, a stranger."""
_APPLICATION_ID: Final = 0x636E7272
_FORMAT: Final = 1

_SCHEMA: Final = f"""
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,   -- the newest Version given out
    epoch TEXT NOT NULL,        -- the newest row of epochs
    floor INTEGER NOT NULL      -- the newest Version that was trimmed from gone
);
INSERT INTO state VALUES (1, 0, '', 0);
CREATE TABLE epochs (number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, version INTEGER NOT NULL);
CREATE TABLE records (version INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL);
CREATE TABLE gone (version INTEGER PRIMARY KEY, key TEXT NOT NULL);
"""  # noqa: S608 our own words
# The Version is the rowid: live records in the feed's order cost no index of their own, and a write appends.


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection without transactions of its own making; to a database in memory where `path` is None."""
    name = str(path) if path else ":memory:"
    db = sqlite3.connect(
        name, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    if path:
        # never as a part of somebody's commit: see GroupWriter
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA cache_size = -8192")
    return db


def prepare(db: sqlite3.Connection, path: Path | None) -> None:
    """Make the tables where there are none, and the file safe for many processes. One process at a time.

    Raises StoreRefused for a file of somebody else or of a newer format, sqlite3.Error.
    """
    if path and db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise StoreRefused(f"{path}: this file system cannot share memory between processes, which SQLite's log needs")
    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    found = (db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0])
    if found[0] != _APPLICATION_ID:
        raise StoreRefused(f"{path} was made by another program")
    if found[1] != _FORMAT:
        raise StoreRefused(f"{path} has layout {found[1]}, and this version of cnr reads {_FORMAT}")


def create(path: Path) -> None:
    """Make sure that the file exists, with its mode, also after power loss."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o640))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def begin_epoch(db: sqlite3.Connection, new_id: Callable[[], str]) -> None:
    """Name the history that begins now. Cursors of earlier epochs stay good up to the Version that stands now.

    A restored copy, or a file that lost its last writes with the power, gives out Versions a second time; the
    cursors that saw them the first time belong to an epoch that is unknown here, or lie above its end.
    """
    token = new_id()
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("INSERT INTO epochs (token, version) SELECT ?, version FROM state", (token,))
        db.execute("UPDATE state SET epoch = ?", (token,))
        db.execute("DELETE FROM epochs WHERE number <= (SELECT max(number) FROM epochs) - ?", (EPOCHS_KEPT,))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def cursor_at(epoch: str, version: int) -> Cursor:
    """The cursor at a Version of an epoch."""
    return Cursor(f"{epoch}.{version}")


def version_of(db: sqlite3.Connection, cursor: Cursor) -> int:
    """The Version up to which `cursor` has seen this file's history. Raises CursorLost. Inside a transaction."""
    token, _, number = cursor.partition(".")
    epoch = db.execute("SELECT number FROM epochs WHERE token = ?", (token,)).fetchall()
    version = int(number) if re.fullmatch("0|[1-9][0-9]{0,17}", number) else None
    if not epoch or version is None:
        raise CursorLost("the cursor is of another history")
    newest, floor = db.execute("SELECT version, floor FROM state").fetchall()[0]
    after = db.execute("SELECT version FROM epochs WHERE number > ? ORDER BY number LIMIT 1", epoch[0]).fetchall()
    if version > (after[0][0] if after else newest):
        raise CursorLost("the cursor saw writes that are not in this history")
    if version < floor:
        raise CursorLost("deletes since this cursor are forgotten")
    return version
