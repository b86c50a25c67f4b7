"""How much there is at each path: tags and bytes, for quotas. Counted up and down with each change, never anew."""

import sqlite3

from cnr.domain.names import Repository
from cnr.domain.policy import Use, beginnings, policy_path

_ADD = """
INSERT INTO uses VALUES (?, ?, ?)
ON CONFLICT (path) DO UPDATE SET tags = tags + excluded.tags, bytes = bytes + excluded.bytes
"""
_EMPTY = "DELETE FROM uses WHERE path = ? AND tags = 0 AND bytes = 0"


class UseProjection:
    """Counts through a connection that is inside a transaction. `settle` comes before the commit."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tags: dict[Repository, int] = {}
        self._bytes: dict[Repository, int] = {}

    def tag(self, repository: Repository, step: int) -> None:
        """One tag more, one less, or as many as before."""
        if step:
            self._tags[repository] = self._tags.get(repository, 0) + step

    def size(self, key: str, repository: Repository, size: int | None, version: int | None) -> None:
        """The blob or manifest under `key` has this size now; None: it is gone. Of an older Version nothing counts."""
        found = self._db.execute("SELECT size, version FROM sizes WHERE key = ?", (key,)).fetchone()
        if found is not None and version is not None and found[1] >= version:
            return
        if size is None:
            self._db.execute("DELETE FROM sizes WHERE key = ?", (key,))
        else:
            self._db.execute("INSERT OR REPLACE INTO sizes VALUES (?, ?, ?)", (key, size, version))
        step = (size or 0) - (found[0] if found else 0)
        if step:
            self._bytes[repository] = self._bytes.get(repository, 0) + step

    def settle(self) -> None:
        """Write what was counted."""
        for repository in self._tags.keys() | self._bytes.keys():
            steps = (self._tags.get(repository, 0), self._bytes.get(repository, 0))
            for path in beginnings(policy_path(repository)):
                self._db.execute(_ADD, (path, *steps))
                self._db.execute(_EMPTY, (path,))
        self._tags.clear()
        self._bytes.clear()


def use(db: sqlite3.Connection, path: str) -> Use:
    """See ViewStore.use."""
    found = db.execute("SELECT tags, bytes FROM uses WHERE path = ?", (path,)).fetchone()
    return Use(*found) if found else Use()
