"""What a change does to the tables of views_file.py. Costs O(channels that contain the tag), whatever the repository.

Two things are kept ready to be read: which channel points where (`channels.live`), and which repositories are
packages, with the text by which search finds them. Both are brought up to date by `settle`, once for many changes.
"""

import sqlite3

import msgspec

from cnr.domain.names import Channel, PackageName, Repository, Tag
from cnr.domain.version import LenientVersion, is_release, lenient_key, order_key, release_of
from cnr.store import keys
from cnr.store.base import Cursor, Version
from cnr.store.views import Change, ChannelRow, FormatRow, ReleaseRow, RepoRow, SizeRow
from cnr.store.views_charts import ChartProjection
from cnr.store.views_file import TABLES
from cnr.store.views_uses import UseProjection

_FORMATS = msgspec.msgpack.Decoder(tuple[FormatRow, ...])

_FORMATS_OF = "SELECT formats, shown FROM releases WHERE repository = ? AND shown IN (0, 1, 3) AND sort = ?"
_DELETE = "DELETE FROM releases WHERE repository = ? AND shown IN (0, 1, 3) AND sort = ?"
_IS_LIVE = "SELECT 1 FROM releases WHERE repository = ? AND shown IN (0, 1, 3) AND sort = ? AND born = ?"
_TOP = "SELECT sort FROM releases WHERE repository = ? AND shown = 1 ORDER BY sort DESC LIMIT 1"
_CURRENT = """
SELECT m.tag FROM channels c JOIN members m ON m.repository = c.repository AND m.tag = c.current AND m.name = c.name
WHERE c.repository = ? AND c.name = ? AND m.live
"""
_HIGHEST = "SELECT tag FROM members WHERE repository = ? AND name = ? AND live = 1 ORDER BY sort DESC LIMIT 1"
_COUNT_UP = """
INSERT INTO package_formats VALUES (?, ?, 1) ON CONFLICT (format, name) DO UPDATE SET releases = releases + 1
"""
_COUNT_DOWN = "UPDATE package_formats SET releases = releases - 1 WHERE format = ? AND name = ?"
_UNCOUNTED = "DELETE FROM package_formats WHERE format = ? AND name = ? AND releases = 0"


LENIENT = 2
"""In the column `releases.shown`: a release that only helm takes for one. (0: without formats; 1: a CNR release.)"""
YANKED = 3
"""There, too: a CNR release that is yanked."""


def decode_formats(stored: bytes) -> tuple[FormatRow, ...]:
    """The formats of a release, sorted, from the column `releases.formats`."""
    return _FORMATS.decode(stored)


def package_name(repository: Repository) -> str | None:
    """The `ns/name` that the package views show for a repository, if they show it. Source: contracts/cnr.md 1."""
    package = PackageName.of(repository)
    # "library/x" itself is no package: that name belongs to the repository "x"
    return str(package) if package is not None and package.repository == repository else None


class Projection:
    """Writes changes through a connection that is inside a transaction. `settle` comes before the commit."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._charts = ChartProjection(db)
        self._uses = UseProjection(db)
        self._packages: set[Repository] = set()
        self._channels: set[tuple[Repository, Channel]] = set()

    def clear(self) -> None:
        """Delete every row."""
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 our own names

    def move(self, cursor: Cursor) -> None:
        """Store up to where changes are applied."""
        self._db.execute("UPDATE place SET cursor = ? WHERE id = 1", (cursor,))

    def apply(self, change: Change) -> None:
        """Make the rows of one key what `change` says, unless they are of its Version or a higher one."""
        key = keys.split(change.key)
        if key.kind == "repos":
            self._repo(key.repository, change)
        elif key.kind in ("blobs", "manifests"):
            size = change.row.size if isinstance(change.row, SizeRow) else None
            self._uses.size(change.key, key.repository, size, change.version)
        else:
            self._tag(key.repository, Tag(key.rest), change)

    def _repo(self, repository: Repository, change: Change) -> None:
        if not isinstance(change.row, RepoRow):
            self._db.execute("DELETE FROM repos WHERE repository = ?", (repository,))
            return
        found = self._db.execute("SELECT version FROM repos WHERE repository = ?", (repository,)).fetchone()
        if not _stale(found, change.version):
            row = (repository, change.row.created_at, change.version)
            self._db.execute("INSERT OR REPLACE INTO repos VALUES (?, ?, ?)", row)

    def _tag(self, repository: Repository, tag: Tag, change: Change) -> None:
        sql = "SELECT version, kind FROM tags WHERE repository = ? AND tag = ?"
        found = self._db.execute(sql, (repository, tag)).fetchone()
        if _stale(found, change.version):
            return
        self._charts.apply(repository, tag, change)
        self._uses.tag(repository, (change.row is not None) - (found is not None))
        if found is not None:
            self._retract(repository, tag, found[1], change)
        if change.row is None:
            self._db.execute("DELETE FROM tags WHERE repository = ? AND tag = ?", (repository, tag))
            return
        kind = type(change.row).__name__
        self._db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", (repository, tag, kind, change.version))
        if isinstance(change.row, ReleaseRow):
            self._add_release(change.row)
        elif isinstance(change.row, ChannelRow):
            self._set_channel(change.row)

    def _retract(self, repository: Repository, tag: Tag, kind: str, change: Change) -> None:
        if kind == ReleaseRow.__name__:
            self._remove_release(repository, tag)
        elif kind == ChannelRow.__name__ and not isinstance(change.row, ChannelRow):
            self._db.execute("DELETE FROM channels WHERE repository = ? AND name = ?", (repository, tag))
            self._db.execute("DELETE FROM members WHERE repository = ? AND name = ?", (repository, tag))

    def _add_release(self, row: ReleaseRow) -> None:
        sort = _sort(row.release)
        newest = max((found.created_at for found in row.formats), default=0)
        formats = msgspec.msgpack.encode(sorted(row.formats, key=lambda found: found.format))
        shown = _shown(row)
        values = (row.repository, shown, sort, row.release, row.born, newest, formats)
        self._db.execute("INSERT INTO releases VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        if shown == LENIENT:
            return
        if shown == YANKED:
            self._packages.add(row.repository)
            self._set_live(row.repository, row.tag, row.born)
            return
        if row.formats and (row.description or row.keywords):
            about = (row.repository, sort, "\n".join(row.keywords), row.description)
            self._db.execute("INSERT INTO abouts VALUES (?, ?, ?, ?)", about)
        self._count_formats(row.repository, row.formats, +1)
        self._set_live(row.repository, row.tag, row.born)

    def _remove_release(self, repository: Repository, tag: Tag) -> None:
        sort = _sort(tag.replace("_", "+"))
        if release_of(tag) is None:
            self._db.execute(
                "DELETE FROM releases WHERE repository = ? AND shown = ? AND sort = ?", (repository, LENIENT, sort)
            )
            return
        found = self._db.execute(_FORMATS_OF, (repository, sort)).fetchone()
        self._db.execute(_DELETE, (repository, sort))
        self._db.execute("DELETE FROM abouts WHERE repository = ? AND sort = ?", (repository, sort))
        self._count_formats(repository, decode_formats(found[0]) if found[1] != YANKED else (), -1)
        self._set_live(repository, tag, None)

    def _count_formats(self, repository: Repository, formats: tuple[FormatRow, ...], step: int) -> None:
        self._packages.add(repository)
        name = package_name(repository)
        if name is None:
            return
        pairs = [(row.format, name) for row in formats]
        if step > 0:
            self._db.executemany(_COUNT_UP, pairs)
        else:
            self._db.executemany(_COUNT_DOWN, pairs)
            self._db.executemany(_UNCOUNTED, pairs)

    def _set_live(self, repository: Repository, tag: Tag, born: str | None) -> None:
        sql = "SELECT name FROM members WHERE repository = ? AND tag = ?"
        names = self._db.execute(sql, (repository, tag)).fetchall()
        if names:
            sql = "UPDATE members SET live = (born IS ?) WHERE repository = ? AND tag = ?"
            self._db.execute(sql, (born, repository, tag))
            self._channels.update((repository, Channel(name)) for (name,) in names)

    def _set_channel(self, row: ChannelRow) -> None:
        values = (row.repository, row.name, row.current)
        self._db.execute("INSERT OR REPLACE INTO channels VALUES (?, ?, ?, NULL)", values)
        sql = "SELECT tag, born FROM members WHERE repository = ? AND name = ?"
        before = set(self._db.execute(sql, (row.repository, row.name)).fetchall())
        after = {(tag, born) for tag, born in row.members if release_of(tag)}
        gone = [(row.repository, tag, row.name, born) for tag, born in before - after]
        self._db.executemany("DELETE FROM members WHERE repository = ? AND tag = ? AND name = ? AND born = ?", gone)
        for tag, born in after - before:
            self._add_member(row, tag, born)
        self._channels.add((row.repository, row.name))

    def _add_member(self, row: ChannelRow, tag: Tag, born: str) -> None:
        sort = order_key(tag.replace("_", "+"))
        live = self._db.execute(_IS_LIVE, (row.repository, sort, born)).fetchone() is not None
        values = (row.repository, tag, row.name, born, sort, live)
        self._db.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?)", values)

    def settle(self) -> None:
        """Bring up to date what the changes since the last call may have moved: channels' targets, packages."""
        for repository, name in self._channels:
            self._settle_channel(repository, name)
        for repository in self._packages:
            self._settle_package(repository)
        self._channels.clear()
        self._packages.clear()
        self._uses.settle()

    def _settle_channel(self, repository: Repository, name: Channel) -> None:
        key = (repository, name)
        found = self._db.execute(_CURRENT, key).fetchone() or self._db.execute(_HIGHEST, key).fetchone()
        sql = "UPDATE channels SET live = ? WHERE repository = ? AND name = ?"
        self._db.execute(sql, (found[0] if found else None, *key))

    def _settle_package(self, repository: Repository) -> None:
        name = package_name(repository)
        if name is None:
            return
        known = self._db.execute("SELECT id FROM packages WHERE name = ?", (name,)).fetchone()
        top = self._db.execute(_TOP, (repository,)).fetchone()
        if top is None:
            self._remove_package(known)
            return
        if known is None:
            known = (self._db.execute("INSERT INTO packages (name) VALUES (?)", (name,)).lastrowid,)
        sql = "SELECT keywords, description FROM abouts WHERE repository = ? AND sort = ?"
        self._describe(known[0], self._db.execute(sql, (repository, top[0])).fetchone())

    def _remove_package(self, known: tuple[int] | None) -> None:
        if known is not None:
            self._describe(known[0], None)
            self._db.execute("DELETE FROM packages WHERE id = ?", known)

    def _describe(self, package_id: int, about: tuple[str, str] | None) -> None:
        found = self._db.execute("SELECT keywords, description FROM about WHERE rowid = ?", (package_id,)).fetchone()
        if found == about:
            return
        if found is not None:
            self._db.execute("DELETE FROM about WHERE rowid = ?", (package_id,))
        if about is not None:
            sql = "INSERT INTO about (rowid, keywords, description) VALUES (?, ?, ?)"
            self._db.execute(sql, (package_id, *about))


def _shown(row: ReleaseRow) -> int:
    if not is_release(row.release):
        return LENIENT
    return YANKED if row.yanked and row.formats else bool(row.formats)


def _sort(version: str) -> bytes:
    return order_key(version) if is_release(version) else lenient_key(LenientVersion(version))


def _stale(found: tuple[int, ...] | None, version: Version | None) -> bool:
    return found is not None and version is not None and found[0] >= version
