"""What a deep check remembers: in a file that SQLite makes and removes itself, so that no store is too large."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Final

_SCHEMA: Final = """
CREATE TABLE stored (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE named (id TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID;
CREATE TABLE twins (id TEXT, one TEXT, other TEXT);
CREATE TABLE suspects (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_PAGE: Final = 1000


class Marks:
    """Ids of bytes, those that records name, and keys at which something looked wrong. Close it when done."""

    def __init__(self) -> None:
        # the empty name: a file without one, beyond what the cache takes
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def stored(self, blob_id: str) -> None:
        """The BlobStore has these bytes."""
        self._db.execute("INSERT OR IGNORE INTO stored VALUES (?)", (blob_id,))

    def name(self, blob_id: str, key: str) -> None:
        """The record under `key` names these bytes."""
        if self._db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (blob_id, key)).rowcount:
            return
        sql = "INSERT INTO twins SELECT id, key, ? FROM named WHERE id = ? AND key != ?"
        self._db.execute(sql, (key, blob_id, key))

    def suspect(self, key: str) -> None:
        """Something about `key` looked wrong."""
        self._db.execute("INSERT OR IGNORE INTO suspects VALUES (?)", (key,))

    def suspects(self) -> Iterator[str]:
        """All of them, in byte order; those that come meanwhile above the last one too."""
        after = ""
        while page := self._db.execute(
            "SELECT key FROM suspects WHERE key > ? ORDER BY key LIMIT ?", (after, _PAGE)
        ).fetchall():
            yield from (key for (key,) in page)
            after = page[-1][0]

    def twins(self) -> Iterator[tuple[str, str, str]]:
        """Bytes that two records seemed to name: their id and the two keys."""
        with closing(self._db.execute("SELECT id, one, other FROM twins ORDER BY id")) as rows:
            yield from rows

    def found(self, blob_id: str) -> None:
        """A record names these bytes after all."""
        self._db.execute("DELETE FROM stored WHERE id = ?", (blob_id,))

    def unnamed(self) -> Iterator[str]:
        """Bytes that are there, and that no record names."""
        sql = "SELECT id FROM stored WHERE id NOT IN (SELECT id FROM named) ORDER BY id"
        with closing(self._db.execute(sql)) as rows:
            yield from (blob_id for (blob_id,) in rows)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
