"""The catalog: lists, search, releases and channels of all packages, from views that are exact at every answer.

Every question first brings the views up to a head() of the store that began after the question was asked. So an
answer shows every write that anybody was told of before, on any server; writers owe the views nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from cnr.domain.access import Sees
from cnr.domain.archive import HELM
from cnr.domain.errors import CnrError, StoreUnavailable
from cnr.domain.names import Channel, Format, PackageName, Repository, Tag
from cnr.domain.policy import Use
from cnr.domain.version import Release
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.rows import change_of, read
from cnr.store import keys
from cnr.store.base import Cursor, CursorLost, Record, RecordNotFound, RecordStore
from cnr.store.records import ReleaseTag
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
    ViewStore,
)

T = TypeVar("T")

VIEWED: Final = (keys.TAGS, keys.REPOS, keys.BLOBS, keys.MANIFESTS)
"""Prefixes of the records that views show."""
READS_AT_ONCE: Final = 50
"""Records read side by side while catching up; also how much is done before the event loop gets its turn."""
PAGE: Final = 200
"""Packages read in one go for an unlimited list: some five milliseconds."""
REMEMBERED: Final = 10_000
"""Answers kept while the feed stands still."""
LOSSES: Final = 3
"""How often one answer may find the feed or the views lost before it gives up."""

_log = logging.getLogger(__name__)


class Catalog:
    """Questions about all packages, answered from `views` and kept exact with the feed of `records`.

    Every question raises StoreUnavailable when the store cannot be asked where its feed is: never old data.
    """

    def __init__(self, records: RecordStore, views: ViewStore, charts: ChartEntries | None = None) -> None:
        self._records = records
        self._views = views
        self.chart_entries = charts
        self._at: Cursor | None = None
        self._turn = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._trouble: CnrError | None = None
        self._running: asyncio.Task[None] | None = None
        self._answers: dict[tuple[str, Repository, str], Any] = {}
        self._remembered_at: Cursor | None = None

    async def sync(self) -> None:
        """Bring the views up to every write acknowledged before this call.

        Callers at the same time share the work of one that began after all of them came.
        """
        came = self._begun
        async with self._turn:
            if self._running is not None:
                # begun for a request that went away
                await asyncio.wait([self._running])
                self._running = None
            if self._ended <= came:
                await self._sync_once()
            if self._trouble is not None:
                raise type(self._trouble)(self._trouble.message, **self._trouble.details) from self._trouble

    async def _sync_once(self) -> None:
        self._begun += 1
        try:
            head = await self._records.head()
            if head != self._at:
                # its own task: a rebuild must come to its end although the request that began it is cancelled
                self._running = asyncio.create_task(self._catch_up(head))
                self._running.add_done_callback(_retrieve)
                await asyncio.shield(self._running)
                self._running = None
            self._trouble = None
        except CnrError as exc:
            self._running = None
            self._trouble = exc
        self._ended = self._begun

    async def _catch_up(self, head: Cursor) -> None:
        """Apply the feed until the views are at `head`, or later: cursors can only be compared for equality."""
        ends = {head}
        losses = 0
        while True:
            try:
                self._at = since = await self._views.cursor()
                if since in ends:
                    return
                await self._step(since, ends)
            except CursorMoved:
                continue
            except ViewsLost as exc:
                losses += 1
                if losses > LOSSES:
                    raise StoreUnavailable("the views' file is lost again and again") from exc

    async def _step(self, since: Cursor | None, ends: set[Cursor]) -> None:
        """Apply a page of the feed, or everything where that cannot be done; add to `ends` where it may end."""
        if since is not None:
            try:
                await self._advance(since, ends)
                return
            except CursorLost:
                _log.warning("the feed was lost: all lists are built anew")
        head = await self._records.head()
        await self._views.rebuild(self.everything(), since=since, until=head)
        ends.add(head)

    async def _advance(self, since: Cursor, ends: set[Cursor]) -> None:
        changed, until = await self._records.changes(since)
        # under load the feed has gone beyond the first head by now: the end is wherever it is next to this page
        ends.add(until if until == since else await self._records.head())
        await self._views.apply(await self.changes_of(changed), since=since, until=until)

    async def changes_of(self, changed: Sequence[str]) -> list[Change]:
        """What stands under these keys now, of those that views show."""
        wanted = [key for key in changed if key.startswith(VIEWED)]
        found: list[Change] = []
        for start in range(0, len(wanted), READS_AT_ONCE):
            found += await asyncio.gather(*map(self._change, wanted[start : start + READS_AT_ONCE]))
        return found

    async def _change(self, key: str) -> Change:
        try:
            record = await self._records.get(key)
        except RecordNotFound:
            return Change(key, None, None)
        return await self._viewed(record)

    async def _viewed(self, record: Record) -> Change:
        found = read(record)
        chart = None
        if self.chart_entries is not None and isinstance(found, ReleaseTag) and HELM in found.formats:
            key, yanked = keys.split(record.key), found.yanked is not None
            chart = await self.chart_entries.entry(key, found.formats[HELM], yanked=yanked)
        return change_of(record, found, chart)

    async def everything(self) -> AsyncIterator[list[Change]]:
        """All that views show, from a scan."""
        for prefix in VIEWED:
            after = ""
            while records := await self._records.scan(prefix, after=after):
                after = records[-1].key
                for start in range(0, len(records), READS_AT_ONCE):
                    page = records[start : start + READS_AT_ONCE]
                    yield await asyncio.gather(*map(self._viewed, page))
                    await asyncio.sleep(0)

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        for _ in range(LOSSES):
            await self.sync()
            try:
                return await question()
            except ViewsLost:
                self._at = None
        raise StoreUnavailable("the views' file is lost again and again")

    async def _remembered(
        self,
        name: str,
        repository: Repository,
        tag: str,
        question: Callable[[], Awaitable[T]],
        *,
        head: Cursor | None = None,
    ) -> T:
        """The answer to a question of every read, kept until the feed moves: show and blob ask one each.

        `head` is one that the caller asked for after the question came.
        """
        if head is None or head != self._at:
            await self.sync()
        at = self._at
        if self._remembered_at is not at or len(self._answers) >= REMEMBERED:
            self._answers.clear()
            self._remembered_at = at
        place = (name, repository, tag)
        if place in self._answers:
            known: T = self._answers[place]
            return known
        try:
            answer = await question()
        except ViewsLost:
            return await self._ask(question)
        if at is not None and self._at is at is self._remembered_at:
            self._answers[place] = answer
        return answer

    async def releases(self, repository: Repository) -> Sequence[ReleaseView]:
        """All live releases that have a format, highest first; empty where there is no package."""
        return await self._ask(lambda: self._views.releases(repository))

    async def default(self, repository: Repository) -> Release | None:
        """The highest release that has a format, pre-releases included."""
        return await self._remembered("default", repository, "", lambda: self._views.default(repository))

    async def exists(self, repository: Repository) -> bool:
        """Whether there is a live release with a format."""
        return await self._remembered("exists", repository, "", lambda: self._views.exists(repository))

    async def newest_seen(self, repository: Repository) -> int:
        """When the newest format that these views show already was created, in microseconds UTC; 0 where there is none.

        Not exact, and free: pushes ask it to keep `created_at` in order when a clock went back. Bringing the views up
        to date for each of them would make every push pay for a list that nobody asked for.
        """
        try:
            return await self._views.newest(repository)
        except ViewsLost:
            return 0

    async def channels_at(self, repository: Repository, tag: Tag, *, head: Cursor | None = None) -> Sequence[Channel]:
        """Names, sorted, of the channels whose live current is the release of this tag.

        `head` is one that was asked for since the request came: where the views are there, it need not be asked again.
        """
        return await self._remembered(
            "channels", repository, tag, lambda: self._views.channels_at(repository, tag), head=head
        )

    async def channels(self, repository: Repository) -> Sequence[ChannelView]:
        """The channels with a live member, by name."""
        return await self._ask(lambda: self._views.channels(repository))

    async def channel(self, repository: Repository, name: Channel) -> ChannelView | None:
        """One channel, if it has a live member."""
        return await self._ask(lambda: self._views.channel(repository, name))

    async def packages(
        self,
        *,
        namespace: str | None = None,
        query: str = "",
        format: Format | None = None,
        after: str = "",
        limit: int | None = None,
        sees: Sees | None = None,
    ) -> Sequence[PackageView]:
        """Packages by name above `after` that pass every filter; all of them without a `limit`.

        `sees` leaves out what the caller may not pull; no answer looks at more than one without a limit does.

        Source: contracts/cnr.md 2.8; see ViewStore.packages for the filters.
        """

        def page(above: str, size: int) -> Awaitable[Sequence[PackageView]]:
            return self._views.packages(namespace=namespace, query=query, format=format, after=above, limit=size)

        shown = _seeing(sees, _package_of)
        return await self._pages(page, after, limit, PAGE, lambda view: str(view.name), shown)

    async def names(
        self, *, query: str = "", after: str = "", limit: int | None = None, sees: Sees | None = None
    ) -> Sequence[str]:
        """`ns/name` of packages with `query` in it, case-insensitively, sorted. Source: contracts/cnr.md 2.9."""

        def page(above: str, size: int) -> Awaitable[Sequence[str]]:
            return self._views.names(query=query, after=above, limit=size)

        return await self._pages(page, after, limit, 10 * PAGE, str, _seeing(sees, _repository_of))

    async def repositories(
        self, *, after: str = "", limit: int | None = None, sees: Sees | None = None
    ) -> Sequence[Repository]:
        """Repositories with anything tagged, of any depth, by name above `after`."""

        def page(above: str, size: int) -> Awaitable[Sequence[Repository]]:
            return self._views.repositories(after=above, limit=size)

        return await self._pages(page, after, limit, 10 * PAGE, str, _seeing(sees, lambda repository: repository))

    async def search(
        self, query: str, *, after: tuple[float, str] | None = None, limit: int, sees: Sees | None = None
    ) -> Sequence[SearchHit]:
        """Packages with all words of `query` in name, keywords or description, best first; see ViewStore.search."""
        shown = _seeing(sees, _package_of)
        if shown is None:
            return await self._ask(lambda: self._views.search(query, after=after, limit=limit))
        found: list[SearchHit] = []
        while len(found) < limit:
            part = await self._ask(partial(self._views.search, query, after=after, limit=PAGE))
            found += await shown(part)
            if len(part) < PAGE:
                break
            after = (part[-1].score, str(part[-1].name))
        return found[:limit]

    async def channel_targets(self, namespace: str, name: Channel) -> Sequence[tuple[str, Release]]:
        """Where the channels of this name in a namespace point: the name of each chart, and the release."""
        return await self._ask(lambda: self._views.channel_targets(namespace, name))

    async def use(self, path: str) -> Use:
        """How many tags and bytes there are at a path and below; see ViewStore.use."""
        return await self._ask(lambda: self._views.use(path))

    async def chart_place(self, namespace: str) -> ChartPlace:
        """How far the charts of a namespace have come; see ViewStore.chart_place."""
        return await self._remembered("charts", Repository(namespace), "", lambda: self._views.chart_place(namespace))

    async def chart_changes(self, namespace: str, since: ChartPlace, *, limit: int) -> ChartChanges:
        """What changed among the charts of a namespace; see ViewStore.chart_changes."""
        return await self._ask(lambda: self._views.chart_changes(namespace, since, limit=limit))

    async def _pages(
        self,
        page: Callable[[str, int], Awaitable[Sequence[T]]],
        after: str,
        limit: int | None,
        size: int,
        name: Callable[[T], str],
        shown: Callable[[Sequence[T]], Awaitable[Sequence[T]]] | None,
    ) -> Sequence[T]:
        """Up to `limit` of what is shown, from as many pages of `size` as that takes; all without a limit."""
        if limit is not None and shown is None:
            return await self._ask(lambda: page(after, limit))
        found: list[T] = []
        while limit is None or len(found) < limit:
            part = await self._ask(partial(page, after, size))
            found += part if shown is None else await shown(part)
            if len(part) < size:
                break
            after = name(part[-1])
            await asyncio.sleep(0)
        return found if limit is None else found[:limit]

    async def close(self) -> None:
        """End the work that was begun for requests. The stores stay open: they belong to the caller."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])


def _seeing(
    sees: Sees | None, repository: Callable[[T], Repository]
) -> Callable[[Sequence[T]], Awaitable[Sequence[T]]] | None:
    """What is left of a page when it may hold only what `sees` is true for; None where that is everything."""
    if sees is None:
        return None

    async def shown(part: Sequence[T]) -> Sequence[T]:
        seen = await sees([repository(each) for each in part])
        return [each for each, visible in zip(part, seen, strict=True) if visible]

    return shown


def _package_of(view: Any) -> Repository:
    """The repository of a PackageView or SearchHit."""
    return view.name.repository  # type: ignore[no-any-return]


def _repository_of(name: str) -> Repository:
    return PackageName(*name.split("/")).repository


def _retrieve(task: asyncio.Task[None]) -> None:
    # a failure nobody waits for any more is met again, and told, at the next request
    if not task.cancelled():
        task.exception()
