"""ViewStore: projections of the feed, in a file of their own that may be thrown away at any time.

A view answers what no single record can: lists, search, which channels point at a release. It is exact because
every answer first applies the feed up to head() (registry/catalog.py); what decides a write is read from its
record, never from here.
"""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from cnr.domain.names import Channel, Format, PackageName, Repository, Tag
from cnr.domain.policy import Use
from cnr.domain.version import LenientVersion, Release
from cnr.store.base import Cursor, Version

VIEWS_FORMAT: Final = 3
"""In the file's name: another format is another file, built anew."""
TERM_LIMIT: Final = 8
"""Different words of a search that count; the rest is ignored."""


def yanked_in(namespace: str) -> str:
    """The name of the list of a namespace's yanked charts: no namespace has a question mark."""
    return f"{namespace}?yanked"


class CursorMoved(Exception):
    """Another worker applied changes in the meantime. Nothing was written: read cursor() and begin again."""


class ViewsLost(Exception):
    """The projections are gone (a damaged or deleted file): read cursor(), which is None now, and rebuild."""


class FormatRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One format of a release, as lists need it. `created_at` in microseconds UTC."""

    format: Format
    created_at: int


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A live release of a repository. One that only helm takes for a release is in no list of the CNR view."""

    repository: Repository
    tag: Tag
    release: Release | LenientVersion
    born: str
    formats: tuple[FormatRow, ...]
    description: str = ""
    keywords: tuple[str, ...] = ()
    yanked: bool = False


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel's record: its members are (tag, born), live or not."""

    repository: Repository
    name: Channel
    current: Tag
    members: tuple[tuple[Tag, str], ...]


@dataclass(frozen=True, slots=True)
class PlainRow:
    """A tag that is neither a release nor a channel: all it does is make its repository one with a tag."""

    repository: Repository
    tag: Tag


@dataclass(frozen=True, slots=True)
class RepoRow:
    """A repository and when its package was created."""

    repository: Repository
    created_at: int


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Bytes that a repository has: a blob or a manifest."""

    repository: Repository
    size: int


Row = ReleaseRow | ChannelRow | PlainRow | RepoRow | SizeRow


@dataclass(frozen=True, slots=True)
class Change:
    """What stands under a key now: `row` None means nothing that a view shows (a deleted release, an empty package).

    `version` None means that there is no record at all. `chart`: the JSON by which the classic Helm repository lists a
    release that is a chart. `at`: since when the record says what it does, in microseconds UTC; 0 if it does not tell.
    """

    key: str
    version: Version | None
    row: Row | None
    chart: bytes | None = None
    at: int = 0
    yanked: bool = False


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel with live members, highest release first; `current` is the live one that it points at."""

    name: Channel
    current: Release
    releases: tuple[Release, ...]


class ChartChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a chart's version is now: `entry` None where it is gone. `sort` orders the versions of a chart."""

    name: str
    sort: bytes
    version: str
    entry: bytes | None


@dataclass(frozen=True, slots=True)
class ChartPlace:
    """How far the charts of a namespace have come: `seq` counts their changes within a `lineage`.

    `changed_at` in microseconds UTC; 0 where nobody knows.
    """

    lineage: str = ""
    seq: int = 0
    changed_at: int = 0


@dataclass(frozen=True, slots=True)
class ChartChanges:
    """Changes up to `place`; with `more` there may be others after it. `anew`: they begin with the first there is."""

    place: ChartPlace
    changes: list[ChartChange]
    more: bool
    anew: bool


class ReleaseView(msgspec.Struct, frozen=True):
    """A release and its formats, sorted. (A Struct, as FormatRow: a list of 100 packages makes 2,000 of them.)"""

    release: Release
    formats: tuple[FormatRow, ...]


@dataclass(frozen=True, slots=True)
class PackageView:
    """A package with at least one (matching) release, highest first. Times in microseconds UTC.

    `updated_at` is that of the newest push, whatever the filter.
    """

    name: PackageName
    created_at: int
    updated_at: int
    releases: tuple[ReleaseView, ...]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A ranked search result; a higher score (a whole number) is a better match."""

    name: PackageName
    default: Release
    description: str
    formats: tuple[Format, ...]
    score: float


class ViewStore(Protocol):
    """One host's projections, shared by its workers. Rows are read by any, written by one at a time.

    What is read was committed whole: never half of an `apply` or `rebuild`. Any read raises ViewsLost where this
    process has not seen complete projections; any method StoreUnavailable where the file cannot be used.
    """

    async def cursor(self) -> Cursor | None:
        """Up to where changes are applied; None for an empty or unreadable file, which needs a rebuild.

        Moves only forward, except that a lost file begins at None.
        """
        ...

    async def apply(self, changes: Sequence[Change], *, since: Cursor, until: Cursor) -> None:
        """Apply `changes` and move the cursor from `since` to `until`, in one transaction.

        A row is only replaced by one of a higher Version. Raises CursorMoved where the cursor is not `since`;
        what a change says must have been read after that cursor was.
        """
        ...

    async def rebuild(self, pages: AsyncIterable[Sequence[Change]], *, since: Cursor | None, until: Cursor) -> None:
        """Replace every row by those of `pages` and the cursor by `until`, in one transaction; readers see the old.

        `until` must be a head() taken before the first page. Raises CursorMoved where the cursor is not `since`,
        and what `pages` raises; nothing was written then.
        """
        ...

    async def releases(self, repository: Repository) -> Sequence[ReleaseView]:
        """All live releases, highest first; empty where there is none. Not those without formats, nor yanked ones."""
        ...

    async def default(self, repository: Repository) -> Release | None:
        """The highest release of `releases`."""
        ...

    async def exists(self, repository: Repository) -> bool:
        """Whether there is a live release with a format, yanked or not."""
        ...

    async def newest(self, repository: Repository) -> int:
        """When the newest format of `releases` was created, in microseconds UTC; 0 where there is none."""
        ...

    async def channels_at(self, repository: Repository, tag: Tag) -> Sequence[Channel]:
        """Names, sorted, of the channels whose live current is this release."""
        ...

    async def channels(self, repository: Repository) -> Sequence[ChannelView]:
        """The channels with a live member, by name."""
        ...

    async def channel(self, repository: Repository, name: Channel) -> ChannelView | None:
        """One channel, if it has a live member."""
        ...

    async def packages(
        self,
        *,
        namespace: str | None = None,
        query: str = "",
        format: Format | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PackageView]:
        """Packages by name (`ns/name`, byte order) above `after`; the filters combine with AND.

        `query`: a literal, case-insensitive part of `ns/name`. `format`: only releases that have it count.
        """
        ...

    async def names(self, *, query: str = "", after: str = "", limit: int) -> Sequence[str]:
        """`ns/name` of packages, as `packages` would list them."""
        ...

    async def search(self, query: str, *, after: tuple[float, str] | None = None, limit: int) -> Sequence[SearchHit]:
        """Packages in which every word of `query` is part of the name, or begins a word of keywords or description.

        Ranked: the name itself, how it begins, a part of it, keywords, description. Best first, ties by name.
        `after` (score, name) is exclusive. Text is taken literally: there is no query language. Only the first
        TERM_LIMIT words count, and none finds nothing.
        """
        ...

    async def repositories(self, *, after: str = "", limit: int) -> Sequence[Repository]:
        """Repositories with anything tagged, by name (byte order), of any depth."""
        ...

    async def chart_place(self, namespace: str) -> ChartPlace:
        """How far the charts of a namespace have come: other than before, if and only if its charts are.

        `namespace` is what repositories have before their last component; "" for those of one component. Yanked
        charts are in a list of their own: `yanked_in(namespace)`.
        """
        ...

    async def chart_changes(self, namespace: str, since: ChartPlace, *, limit: int) -> ChartChanges:
        """At most `limit` versions that changed after `since`, the oldest change first, each once, as it is now.

        Where `since` is of another lineage, everything that there is. One that changes again moves to the end.
        """
        ...

    async def channel_targets(self, namespace: str, name: Channel) -> Sequence[tuple[str, Release]]:
        """The live currents of the channels of this name in a namespace, each with its chart's name, sorted by that."""
        ...

    async def use(self, path: str) -> Use:
        """What there is at a path and below it: a namespace, or a repository by its `policy_path`."""
        ...

    async def close(self) -> None:
        """Let go of the file."""
        ...
