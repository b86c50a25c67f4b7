"""Compares two files of projections row by row: one that followed the feed, and one that was just built from a scan."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from cnr.domain.errors import StoreUnavailable
from cnr.store.views_file import TABLES, is_busy, path_in

SHOWN: Final = 100
"""Differences of one table that are told, each way."""
_BUSY_S: Final = 10.0

_COMPARED: Final = {
    "tags": "SELECT repository, tag, kind, version FROM {db}.tags",
    "repos": "SELECT repository, created_at, version FROM {db}.repos",
    "releases": "SELECT repository, release, shown, sort, born, newest, formats FROM {db}.releases",
    "abouts": "SELECT repository, sort, keywords, description FROM {db}.abouts",
    "channels": "SELECT repository, name, current, live FROM {db}.channels",
    "members": "SELECT repository, name, tag, born, sort, live FROM {db}.members",
    # ids are in the order in which packages came
    "packages": (
        "SELECT name, keywords, description FROM {db}.packages LEFT JOIN {db}.about ON about.rowid = packages.id"
    ),
    "package_formats": "SELECT name, format, releases FROM {db}.package_formats",
    # seq is in the order of changes, and what is gone keeps a row where the feed was followed
    "charts": "SELECT namespace, name, version, sort, entry FROM {db}.charts WHERE entry IS NOT NULL",
}
_ALONE: Final = {
    "about": "SELECT rowid FROM about WHERE rowid NOT IN (SELECT id FROM packages)",
    "chart_places": (
        "SELECT c.namespace FROM charts c LEFT JOIN chart_places p ON p.namespace = c.namespace "
        "GROUP BY c.namespace HAVING p.seq IS NULL OR p.seq < max(c.seq) OR p.gone != sum(c.entry IS NULL)"
    ),
}
"""Of one file: rows that its other rows contradict."""


def copy_views(folder: Path, into: Path) -> str | None:
    """Copy the projections of `folder` to `into`, an empty folder, as they are committed now. Blocks.

    Returns what is wrong with the file, "" if nothing is, None where there is none, or none that is complete. Nothing
    in `folder` is changed. Raises StoreUnavailable where another process keeps the file to itself.
    """
    path = path_in(folder)
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as db:
            with closing(sqlite3.connect(path_in(into))) as copy:
                db.backup(copy)
                return _wrong_in(copy)
    except sqlite3.Error as exc:
        if is_busy(exc):
            raise StoreUnavailable("another process holds the views' file") from exc
        return f"the file is damaged: {exc}"


def _wrong_in(db: sqlite3.Connection) -> str | None:
    found = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        return f"the file is damaged: {'; '.join(found)}"
    names = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if missing := sorted({"place", *TABLES} - names):
        return f"the file is damaged: it has no table {missing[0]}"
    db.execute("INSERT INTO about (about) VALUES ('integrity-check')")
    if db.execute("SELECT cursor FROM place").fetchone() in (None, (None,)):
        return None
    return ""


def differences(followed: Path, built: Path) -> Iterator[str]:
    """What is other in the file that followed the feed, in words; both are folders, and nobody writes to them. Blocks.

    At most SHOWN a table, each way.
    """
    with closing(sqlite3.connect(path_in(followed), isolation_level=None)) as db:
        db.execute("ATTACH ? AS built", (str(path_in(built)),))
        for table, select in _COMPARED.items():
            ours, theirs = (select.format(db=name) for name in ("main", "built"))
            for sign, wanted in (("has and should not have", (ours, theirs)), ("lacks", (theirs, ours))):
                sql = f"SELECT * FROM ({wanted[0]} EXCEPT {wanted[1]}) LIMIT {SHOWN}"  # noqa: S608 our own names
                yield from (f"{table} {sign} {_told(row)}" for row in db.execute(sql))
        for table, sql in _ALONE.items():
            yield from (f"{table}: {_told(row)} contradicts other rows" for row in db.execute(f"{sql} LIMIT {SHOWN}"))


def _told(row: tuple[Any, ...]) -> str:
    """A row in one line that is no wider than a screen or two."""
    return "(" + ", ".join(_cell(value) for value in row) + ")"


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:8].hex()}"
    return repr(value)[:80]
