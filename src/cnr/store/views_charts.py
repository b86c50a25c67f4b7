"""Charts by namespace, for the classic Helm repository: what a change does to their rows, and how they are read.

Every change of a namespace's charts gets the next number there, so that whoever keeps a joined list reads only what is
new since. A version that is gone keeps its row, without an entry, until there are many; then all begins anew, under
another lineage. (The names of lineages are random: those of another file, or of one built anew, are others.)
"""

import sqlite3
from typing import Final

from cnr.domain.chart_version import chart_order, version_of
from cnr.domain.names import Repository, Tag
from cnr.store.views import Change, ChartChange, ChartChanges, ChartPlace, yanked_in

GONE_LIMIT: Final = 1000
"""Rows without an entry that a namespace keeps."""

_KNOWN = "SELECT entry FROM charts WHERE namespace = ? AND name = ? AND sort = ?"
_NEXT = """
INSERT INTO chart_places VALUES (?, lower(hex(randomblob(8))), 1, ?, ?)
ON CONFLICT (namespace) DO UPDATE SET
    seq = seq + 1, changed_at = max(changed_at, excluded.changed_at), gone = gone + excluded.gone
RETURNING seq, gone
"""
_PUT = """
INSERT INTO charts (namespace, name, sort, version, seq, entry) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, name, sort) DO UPDATE SET seq = excluded.seq, entry = excluded.entry
"""
_FORGET = "DELETE FROM charts WHERE namespace = ? AND entry IS NULL"
_NEW_LINEAGE = "UPDATE chart_places SET lineage = lower(hex(randomblob(8))), gone = 0 WHERE namespace = ?"
_PLACE = "SELECT lineage, seq, changed_at FROM chart_places WHERE namespace = ?"
_CHANGES = """
SELECT seq, name, sort, version, entry FROM charts WHERE namespace = ? AND seq > ? ORDER BY seq LIMIT ?
"""


def namespace_of(repository: Repository) -> tuple[str, str]:
    """The namespace of a chart's repository, and the chart's name."""
    namespace, _, name = repository.rpartition("/")
    return namespace, name


class ChartProjection:
    """Writes changes of charts through a connection that is inside a transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def apply(self, repository: Repository, tag: Tag, change: Change) -> None:
        """Make the row of a tag what `change` says; the caller knows that it is no older than what is there."""
        version = version_of(tag)
        if version is None:
            return
        namespace, name = namespace_of(repository)
        row = (name, chart_order(version), version)
        self._put(namespace, row, None if change.yanked else change.chart, change.at)
        self._put(yanked_in(namespace), row, change.chart if change.yanked else None, change.at)

    def _put(self, namespace: str, row: tuple[str, bytes, str], entry: bytes | None, at: int) -> None:
        found = self._db.execute(_KNOWN, (namespace, *row[:2])).fetchone()
        before = found[0] if found is not None else None
        if entry == before:
            return
        step = (entry is None) - (found is not None and before is None)
        seq, gone = self._db.execute(_NEXT, (namespace, at, step)).fetchone()
        self._db.execute(_PUT, (namespace, *row, seq, entry))
        if gone > GONE_LIMIT:
            self._db.execute(_FORGET, (namespace,))
            self._db.execute(_NEW_LINEAGE, (namespace,))


def place(db: sqlite3.Connection, namespace: str) -> ChartPlace:
    """As ViewStore.chart_place."""
    found = db.execute(_PLACE, (namespace,)).fetchone()
    return ChartPlace(*found) if found else ChartPlace()


def changes(db: sqlite3.Connection, namespace: str, since: ChartPlace, *, limit: int) -> ChartChanges:
    """As ViewStore.chart_changes."""
    now = place(db, namespace)
    anew = now.lineage != since.lineage
    found = db.execute(_CHANGES, (namespace, 0 if anew else since.seq, limit)).fetchall()
    more = len(found) == limit
    reached = ChartPlace(now.lineage, found[-1][0] if more else now.seq, now.changed_at)
    return ChartChanges(reached, [ChartChange(*row[1:]) for row in found], more, anew)
