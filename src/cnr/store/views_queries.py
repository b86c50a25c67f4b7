"""What is read from the tables of views_file.py: functions of a connection, each an indexed statement or a few."""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, TypeVar

from cnr.domain.names import NAME_LIMIT, Channel, Format, PackageName, Repository, Tag
from cnr.domain.version import Release, release_of
from cnr.store import views_search
from cnr.store.base import Cursor
from cnr.store.views import ChannelView, PackageView, ReleaseView, SearchHit
from cnr.store.views_projection import decode_formats

T = TypeVar("T")

_CURSOR = "SELECT cursor FROM place WHERE id = 1"
_RELEASES = "SELECT release, formats FROM releases WHERE repository = ? AND shown = 1 ORDER BY sort DESC"
_TOP = f"{_RELEASES} LIMIT 1"
_EXISTS = "SELECT 1 FROM releases WHERE repository = ? AND shown IN (1, 3) LIMIT 1"
_NEWEST = "SELECT max(newest) FROM releases WHERE repository = ? AND shown = 1"
_CHANNELS_AT = "SELECT name FROM channels WHERE repository = ? AND live = ? ORDER BY name"
_CHANNELS = """
SELECT c.name, c.live, m.tag FROM channels c JOIN members m ON m.repository = c.repository AND m.name = c.name
WHERE c.repository = ? AND m.live = 1 ORDER BY c.name, m.sort DESC
"""
_CHANNEL = """
SELECT c.name, c.live, m.tag FROM channels c JOIN members m ON m.repository = c.repository AND m.name = c.name
WHERE c.repository = ? AND c.name = ? AND m.live = 1 ORDER BY m.sort DESC
"""
_CHANNEL_TARGETS = """
SELECT repository, live FROM channels
WHERE repository > ? AND repository < ? AND instr(substr(repository, ?), '/') = 0 AND name = ? AND live IS NOT NULL
ORDER BY repository
"""
_NAMES = "SELECT name FROM packages WHERE name > ? AND name < ? AND instr(name, ?) ORDER BY name LIMIT ?"
_NAMES_WITH = """
SELECT name FROM package_formats WHERE format = ? AND name > ? AND name < ? AND instr(name, ?) ORDER BY name LIMIT ?
"""
_CREATED = "SELECT created_at FROM repos WHERE repository = ?"
_DESCRIPTION = "SELECT description FROM about WHERE rowid = ?"
# a seek for each repository: DISTINCT would read every tag
_REPOSITORIES = """
WITH RECURSIVE found (name) AS (
    SELECT min(repository) FROM tags WHERE repository > ?
    UNION ALL SELECT (SELECT min(repository) FROM tags WHERE repository > name) FROM found WHERE name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL LIMIT ?
"""
_ABOVE_NAMES: Final = "~"
_ABOVE_SCORES: Final = (float("inf"), "")


def in_snapshot(db: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    """What several statements find in one state of the database."""
    if db.in_transaction:
        return read(db)
    db.execute("BEGIN")
    try:
        return read(db)
    finally:
        db.execute("ROLLBACK")


def cursor(db: sqlite3.Connection) -> Cursor | None:
    """Up to where changes are applied."""
    found: str | None = db.execute(_CURSOR).fetchone()[0]
    return None if found is None else Cursor(found)


def releases(db: sqlite3.Connection, repository: Repository) -> tuple[ReleaseView, ...]:
    """See ViewStore, as for all that follow."""
    found = db.execute(_RELEASES, (repository,)).fetchall()
    return tuple([ReleaseView(release, decode_formats(formats)) for release, formats in found])


def default(db: sqlite3.Connection, repository: Repository) -> Release | None:
    found = db.execute(_TOP, (repository,)).fetchone()
    return Release(found[0]) if found else None


def exists(db: sqlite3.Connection, repository: Repository) -> bool:
    return db.execute(_EXISTS, (repository,)).fetchone() is not None


def newest(db: sqlite3.Connection, repository: Repository) -> int:
    found: int | None = db.execute(_NEWEST, (repository,)).fetchone()[0]
    return found or 0


def channels_at(db: sqlite3.Connection, repository: Repository, tag: Tag) -> list[Channel]:
    return [Channel(name) for (name,) in db.execute(_CHANNELS_AT, (repository, tag)).fetchall()]


def channels(db: sqlite3.Connection, repository: Repository) -> list[ChannelView]:
    return _channel_views(db.execute(_CHANNELS, (repository,)).fetchall())


def channel(db: sqlite3.Connection, repository: Repository, name: Channel) -> ChannelView | None:
    found = _channel_views(db.execute(_CHANNEL, (repository, _storable(name))).fetchall())
    return found[0] if found else None


def channel_targets(db: sqlite3.Connection, namespace: str, name: Channel) -> list[tuple[str, Release]]:
    low, high = (
        (f"{namespace}/", f"{namespace}0") if namespace else ("", _ABOVE_NAMES)
    )  # "0" is the character after "/"
    found = db.execute(_CHANNEL_TARGETS, (low, high, len(low) + 1, _storable(name))).fetchall()
    return [(repository[len(low) :], _release(live)) for repository, live in found]


def packages(
    db: sqlite3.Connection, *, namespace: str | None, query: str, format: Format | None, after: str, limit: int
) -> list[PackageView]:
    low, high = _range(namespace, after)
    sql, first = (_NAMES, ()) if format is None else (_NAMES_WITH, (_storable(format),))
    found = db.execute(sql, (*first, low, high, _part(query), max(limit, 0))).fetchall()
    return [_package(db, name, format) for (name,) in found]


def names(db: sqlite3.Connection, *, query: str, after: str, limit: int) -> list[str]:
    low, high = _range(None, after)
    return [name for (name,) in db.execute(_NAMES, (low, high, _part(query), max(limit, 0))).fetchall()]


def search(db: sqlite3.Connection, query: str, *, after: tuple[float, str] | None, limit: int) -> list[SearchHit]:
    words = views_search.words(query)
    if not words:
        return []
    score, name = after or _ABOVE_SCORES
    values = views_search.values(words) | {"score": score, "name": _storable(name)}
    found: list[tuple[int, str, int]] = []
    for sql in views_search.statements(words):
        if len(found) < limit:
            found += db.execute(sql, values | {"limit": limit - len(found)}).fetchall()
    return [_hit(db, *row) for row in found]


def repositories(db: sqlite3.Connection, *, after: str, limit: int) -> list[Repository]:
    found = db.execute(_REPOSITORIES, (_storable(after), max(limit, 0))).fetchall()
    return [Repository(name) for (name,) in found]


def _package(db: sqlite3.Connection, name: str, format: Format | None) -> PackageView:
    package = PackageName(*name.split("/"))
    found = releases(db, package.repository)
    created = db.execute(_CREATED, (package.repository,)).fetchone()
    # a push makes the release visible first, and then the record that says since when the package exists
    created_at = created[0] if created else min(row.created_at for view in found for row in view.formats)
    shown = found if format is None else _only(format, found)
    return PackageView(package, created_at, newest(db, package.repository), shown)


def _only(format: Format, found: tuple[ReleaseView, ...]) -> tuple[ReleaseView, ...]:
    return tuple([ReleaseView(view.release, (row,)) for view in found for row in view.formats if row.format == format])


def _hit(db: sqlite3.Connection, package_id: int, name: str, score: int) -> SearchHit:
    package = PackageName(*name.split("/"))
    release, formats = db.execute(_TOP, (package.repository,)).fetchone()
    about = db.execute(_DESCRIPTION, (package_id,)).fetchone()
    tokens = tuple([row.format for row in decode_formats(formats)])
    return SearchHit(package, Release(release), about[0] if about else "", tokens, float(score))


def _channel_views(rows: Sequence[tuple[str, str, str]]) -> list[ChannelView]:
    return [
        ChannelView(Channel(name), _release(live), tuple([_release(tag) for _, _, tag in members]))
        for (name, live), members in groupby(rows, key=lambda row: row[:2])
    ]


def _release(tag: str) -> Release:
    release = release_of(tag)
    assert release is not None, "only releases are stored as members"
    return release


def _range(namespace: str | None, after: str) -> tuple[str, str]:
    """Names lie between these two, both exclusive."""
    after = _storable(after)
    if namespace is None:
        return after, _ABOVE_NAMES
    namespace = _storable(namespace)
    return max(after, namespace + "/"), namespace + "0"  # the character after "/"


def _part(query: str) -> str:
    """The part of a name that `query` asks for, folded as names are: they are lower-case ASCII."""
    # too long for any name, however large the query is
    return _storable(query[: NAME_LIMIT + 1]).lower()


def _storable(text: str) -> str:
    """`text` without surrogates, which SQLite cannot take; they are in no name."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
