"""The ViewStore on SQLite: one file per host (views_file.py), written through views_projection.py, read here.

Reads run on the event loop: each is one indexed statement, or a few in one snapshot. Nothing in them waits for a
lock, and no statement stays open across an await.

While the disk is full a copy in memory stands in for the file, one per process, so that reads go on and stay exact.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from cnr.domain.errors import StoreUnavailable
from cnr.domain.names import Channel, Format, Repository, Tag
from cnr.domain.policy import Use
from cnr.domain.version import Release
from cnr.store import views_charts, views_uses
from cnr.store import views_queries as queries
from cnr.store.base import Cursor
from cnr.store.views import (
    Change,
    ChannelView,
    ChartChanges,
    ChartPlace,
    CursorMoved,
    PackageView,
    ReleaseView,
    SearchHit,
    ViewsLost,
)
from cnr.store.views_file import ViewFile, is_busy, is_full, is_lost
from cnr.store.views_projection import Projection

T = TypeVar("T")

SLICE: Final = 50
"""Changes applied before the event loop gets its turn: about two milliseconds."""
WRITE_WAIT_S: Final = 60.0
"""How long a write waits for another worker's: the rebuild of a large store may take that long."""
READ_WAIT_S: Final = 5.0
"""How long a read waits for another process that recovers or closes the file."""
_PAUSE_S: Final = 0.002

_log = logging.getLogger(__name__)


class _DiskFull(StoreUnavailable):
    """The file takes no changes; nothing was applied."""


class SqliteViews:
    """ViewStore in `folder`, or in memory (None). Make one per process, after the fork.

    Raises StoreUnavailable where the folder cannot hold the file. A damaged or foreign file is replaced.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = ViewFile(folder)
        self._full: ViewFile | None = None
        self._missed: list[Change] = []
        self._complete = False
        self._writing = asyncio.Lock()
        self._checkpoint: asyncio.Future[None] | None = None

    async def cursor(self) -> Cursor | None:
        if self._file.moved():
            self._replace(self._file.reopen)
        found = await self._read(queries.cursor)
        self._complete = found is not None
        return found

    async def apply(self, changes: Sequence[Change], *, since: Cursor, until: Cursor) -> None:
        try:
            await self._apply(changes, since, until)
        except _DiskFull as exc:
            self._stand_in(exc)
            await self._apply(changes, since, until)
        if self._full is not None:
            self._try_the_file(self._full, changes, until)

    async def rebuild(self, pages: AsyncIterable[Sequence[Change]], *, since: Cursor | None, until: Cursor) -> None:
        if self._full is not None:
            self._return_to(self._full)  # what it missed is unknown from now on
        async with self._transaction(since, until, anew=True) as projection:
            async for page in pages:
                await self._project(projection, page)

    async def releases(self, repository: Repository) -> Sequence[ReleaseView]:
        return await self._view(lambda db: queries.releases(db, repository))

    async def default(self, repository: Repository) -> Release | None:
        return await self._view(lambda db: queries.default(db, repository))

    async def exists(self, repository: Repository) -> bool:
        return await self._view(lambda db: queries.exists(db, repository))

    async def newest(self, repository: Repository) -> int:
        return await self._view(lambda db: queries.newest(db, repository))

    async def channels_at(self, repository: Repository, tag: Tag) -> Sequence[Channel]:
        return await self._view(lambda db: queries.channels_at(db, repository, tag))

    async def channels(self, repository: Repository) -> Sequence[ChannelView]:
        return await self._view(lambda db: queries.channels(db, repository))

    async def channel(self, repository: Repository, name: Channel) -> ChannelView | None:
        return await self._view(lambda db: queries.channel(db, repository, name))

    async def packages(
        self,
        *,
        namespace: str | None = None,
        query: str = "",
        format: Format | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PackageView]:
        def read(db: sqlite3.Connection) -> list[PackageView]:
            return queries.packages(db, namespace=namespace, query=query, format=format, after=after, limit=limit)

        return await self._view(lambda db: queries.in_snapshot(db, read))

    async def names(self, *, query: str = "", after: str = "", limit: int) -> Sequence[str]:
        return await self._view(lambda db: queries.names(db, query=query, after=after, limit=limit))

    async def search(self, query: str, *, after: tuple[float, str] | None = None, limit: int) -> Sequence[SearchHit]:
        def read(db: sqlite3.Connection) -> list[SearchHit]:
            return queries.search(db, query, after=after, limit=limit)

        return await self._view(lambda db: queries.in_snapshot(db, read))

    async def repositories(self, *, after: str = "", limit: int) -> Sequence[Repository]:
        return await self._view(lambda db: queries.repositories(db, after=after, limit=limit))

    async def chart_place(self, namespace: str) -> ChartPlace:
        return await self._view(lambda db: views_charts.place(db, namespace))

    async def chart_changes(self, namespace: str, since: ChartPlace, *, limit: int) -> ChartChanges:
        def read(db: sqlite3.Connection) -> ChartChanges:
            return views_charts.changes(db, namespace, since, limit=limit)

        return await self._view(lambda db: queries.in_snapshot(db, read))

    async def channel_targets(self, namespace: str, name: Channel) -> Sequence[tuple[str, Release]]:
        return await self._view(lambda db: queries.channel_targets(db, namespace, name))

    async def use(self, path: str) -> Use:
        return await self._view(lambda db: views_uses.use(db, path))

    async def close(self) -> None:
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        self._file.close()
        if self._full is not None:
            self._full.close()

    async def _view(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if not self._complete:
            raise ViewsLost
        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        deadline = None
        while True:
            try:
                return read(self._file.reader)
            except sqlite3.DatabaseError as exc:
                self._judge(exc)
            deadline = await _wait(deadline, READ_WAIT_S)

    @asynccontextmanager
    async def _transaction(
        self, since: Cursor | None, until: Cursor, *, anew: bool = False
    ) -> AsyncIterator[Projection]:
        async with self._writing:
            await self._begin(anew)
            try:
                # the reader sees what stands: nobody can commit now
                if queries.cursor(self._file.reader) != since:
                    raise CursorMoved
                projection = Projection(self._file.writer)
                if anew:
                    projection.clear()
                yield projection
                projection.move(until)
                self._file.commit()
            except sqlite3.DatabaseError as exc:
                self._file.rollback()
                if is_full(exc):
                    raise _DiskFull(f"the views' file takes no changes: {exc}") from exc
                self._judge(exc)
                raise StoreUnavailable("the views' file is busy; try again") from exc
            except BaseException:
                self._file.rollback()
                raise
            self._complete = True
            self._tidy()

    async def _apply(self, changes: Sequence[Change], since: Cursor, until: Cursor) -> None:
        async with self._transaction(since, until) as projection:
            await self._project(projection, changes)

    def _stand_in(self, full: _DiskFull) -> None:
        """Answer from memory until the file takes changes again. Raises `full` where that cannot be."""
        if self._full is not None:
            return  # another request was here meanwhile
        if self._file.path is None:
            raise full
        try:
            copy = self._file.copied()
        except sqlite3.Error:
            raise full from None
        self._file, self._full = copy, self._file
        self._missed = []
        _log.warning("%s: lists and search are answered from memory until it does", full.message)

    def _try_the_file(self, file: ViewFile, changes: Sequence[Change], until: Cursor) -> None:
        """A record was written, so there may be room again: give the file what it missed, and return to it.

        Another worker may have given it more; what is there already changes nothing.
        """
        self._missed.extend(changes)
        try:
            if file.moved() or queries.cursor(file.reader) is None:
                return
            file.begin(anew=False)
            projection = Projection(file.writer)
            for change in self._missed:
                projection.apply(change)
            projection.settle()
            projection.move(until)
            file.commit()
        except sqlite3.DatabaseError:
            file.rollback()
            return
        self._return_to(file)

    def _return_to(self, file: ViewFile) -> None:
        self._file.close()
        self._file, self._full, self._missed = file, None, []

    async def _begin(self, anew: bool) -> None:
        deadline = None
        while True:
            try:
                return self._file.begin(anew=anew)
            except sqlite3.DatabaseError as exc:
                self._file.rollback()
                self._judge(exc)
            deadline = await _wait(deadline, WRITE_WAIT_S)

    async def _project(self, projection: Projection, changes: Sequence[Change]) -> None:
        for start in range(0, len(changes), SLICE):
            for change in changes[start : start + SLICE]:
                projection.apply(change)
            projection.settle()
            if self._file.isolated and len(changes) > SLICE:
                await asyncio.sleep(0)

    def _judge(self, exc: sqlite3.DatabaseError) -> None:
        """Return where it helps to try again; else raise what the caller should know."""
        if is_busy(exc):
            return
        if is_lost(exc):
            self._replace(self._file.discard)
            raise ViewsLost from exc
        raise StoreUnavailable(f"the views' file cannot be used: {exc}") from exc

    def _replace(self, how: Callable[[], None]) -> None:
        self._complete = False
        how()

    def _tidy(self) -> None:
        if self._file.log_is_long() and (self._checkpoint is None or self._checkpoint.done()):
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(None, self._file.checkpoint)


async def _wait(deadline: float | None, wait_s: float) -> float:
    """A pause; then the deadline that the first one set. Raises StoreUnavailable after it."""
    now = asyncio.get_running_loop().time()
    if deadline is not None and now > deadline:
        raise StoreUnavailable(f"another process holds the views' file for more than {wait_s:.0f} s")
    await asyncio.sleep(_PAUSE_S)
    return now + wait_s if deadline is None else deadline
