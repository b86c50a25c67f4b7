"""index.yaml of a namespace: entries that were rendered before, joined, and kept until one of them changes.

After a change only what changed is read: the rest is copied from the bytes that were joined last. Every answer is
exact, since the catalog is asked first how far the namespace has come.
"""

import asyncio
import gzip
import hashlib
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final, Literal

import msgspec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from cnr.domain.limits import MIB
from cnr.domain.manifest import rfc3339
from cnr.registry.catalog import Catalog
from cnr.registry.core import Core
from cnr.store.views import ChartChange, ChartPlace

PAGE: Final = 500
"""Changes read before the event loop gets its turn."""
KEPT_BYTES: Final = 64 * MIB
"""Of all joined indexes that a process keeps; the one used last stays, however large it is."""

_HEAD: Final = b'{"apiVersion":"v1","entries":{'
Coding = Literal["zstd", "gzip"]
CODINGS: Final[tuple[Coding, ...]] = ("zstd", "gzip")
"""How a document may be compressed, the better one first: zstd takes a quarter of the time, and a fifth less room."""

_GZIP_LEVEL: Final = 5
_ZSTD_LEVEL: Final = 3
_VERSION_BYTES: Final = 150
"""Of memory for where a version's entry is."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Where a chart's versions are: `sorts` highest first, and `offsets` from the first of them, one more than those.

    From one offset to the next it is an entry and the character behind it.
    """

    sorts: tuple[bytes, ...]
    offsets: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of all entries, with a comma between them."""
        return self.offsets[-1] - 1


@dataclass(slots=True)
class ChartIndex:
    """All charts of a namespace at one place of its history. `entries` is index.yaml without its `tail`.

    `charts` has for each chart, by name, where its entries begin and how they lie from there.
    """

    place: ChartPlace
    entries: bytes
    charts: dict[str, tuple[int, Versions]]
    size: int
    _running: "hashlib._Hash"
    _tags: dict[bytes, str] = field(default_factory=dict)
    _compressed: dict[tuple[bytes, Coding], bytes] = field(default_factory=dict)

    def names(self) -> Iterable[str]:
        """The charts, sorted."""
        return self.charts.keys()

    def chart(self, name: str) -> memoryview | None:
        """The versions of a chart, highest first: entries with commas between them."""
        if name not in self.charts:
            return None
        start, versions = self.charts[name]
        return memoryview(self.entries)[start : start + versions.size]

    def versions(self, name: str) -> Iterator[memoryview]:
        """The entries of a chart, highest first."""
        whole = self.chart(name)
        if whole is not None:
            for start, stop in pairwise(self.charts[name][1].offsets):
                yield whole[start : stop - 1]

    def version(self, name: str, sort: bytes) -> memoryview | None:
        """The entry of one version."""
        whole = self.chart(name)
        if whole is None:
            return None
        versions = self.charts[name][1]
        if sort not in versions.sorts:
            return None
        at = versions.sorts.index(sort)
        return whole[versions.offsets[at] : versions.offsets[at + 1] - 1]

    def tail(self, context_path: str) -> bytes:
        """What ends the document: `context_path` is how `helm cm-push` finds the API."""
        info = b',"serverInfo":' + msgspec.json.encode({"contextPath": context_path}) if context_path else b""
        return b'},"generated":"' + rfc3339(self.place.changed_at).encode() + b'"' + info + b"}\n"

    def etag(self, tail: bytes) -> str:
        """The sha256 of the document, in hex."""
        if tail not in self._tags:
            running = self._running.copy()
            running.update(tail)
            self._tags[tail] = running.hexdigest()
        return self._tags[tail]

    def compressed(self, tail: bytes, coding: Coding) -> bytes:
        """The document in this coding, made once. Takes long: call it in the pool."""
        if (tail, coding) not in self._compressed:
            whole = self.entries + tail
            data = gzip.compress(whole, _GZIP_LEVEL, mtime=0) if coding == "gzip" else zstd.compress(whole, _ZSTD_LEVEL)
            self._compressed[tail, coding] = data
        return self._compressed[tail, coding]


class ChartIndexes:
    """Keeps the indexes of namespaces up to date."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._catalog: Catalog = core.catalog
        self._kept: OrderedDict[str, ChartIndex] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._compressing = asyncio.Lock()
        self._bytes = 0

    async def of(self, namespace: str) -> ChartIndex:
        """The index of a namespace, with every change acknowledged before this call."""
        place = await self._catalog.chart_place(namespace)
        known = self._kept.get(namespace)
        if known is not None and known.place == place:
            self._kept.move_to_end(namespace)
            return known
        turn = self._turns.setdefault(namespace, asyncio.Lock())
        self._waiting[namespace] = self._waiting.get(namespace, 0) + 1
        try:
            async with turn:
                known = self._kept.get(namespace)
                if known is not None and known.place.lineage == place.lineage and known.place.seq >= place.seq:
                    return known
                return await self._brought_up(namespace, known)
        finally:
            self._waiting[namespace] -= 1
            if not self._waiting[namespace]:
                del self._waiting[namespace], self._turns[namespace]

    async def compressed(self, index: ChartIndex, tail: bytes, coding: Coding) -> bytes:
        """An index's document in this coding."""
        async with self._compressing:
            return await self._core.work(len(index.entries), lambda: index.compressed(tail, coding))

    async def _brought_up(self, namespace: str, known: ChartIndex | None) -> ChartIndex:
        place = known.place if known is not None else ChartPlace()
        changes: dict[tuple[str, bytes], ChartChange] = {}
        more = True
        while more:
            page = await self._catalog.chart_changes(namespace, place, limit=PAGE)
            if page.anew:
                known, changes = None, {}
            changes |= {(change.name, change.sort): change for change in page.changes}
            place, more = page.place, page.more
        size = (len(known.entries) if known else 0) + sum(len(change.entry or b"") for change in changes.values())
        index = await self._core.work(size, lambda: joined(known, changes.values(), place))
        self._keep(namespace, index)
        return index

    def _keep(self, namespace: str, index: ChartIndex) -> None:
        replaced = self._kept.pop(namespace, None)
        self._kept[namespace] = index
        self._bytes += index.size - (replaced.size if replaced else 0)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.size


def joined(known: ChartIndex | None, changes: Iterable[ChartChange], place: ChartPlace) -> ChartIndex:
    """`known`, or nothing, with `changes`: charts by name, versions highest first."""
    changed: dict[str, list[ChartChange]] = {}
    for change in changes:
        changed.setdefault(change.name, []).append(change)
    before = known.charts if known is not None else {}
    bodies: dict[str, bytes | memoryview] = {}
    charts = before.copy()
    for name, its in changed.items():
        bodies[name], versions = _chart(known, name, its)
        if versions.sorts:
            charts[name] = (0, versions)
        else:
            charts.pop(name, None)
    if charts.keys() != before.keys():
        charts = dict(sorted(charts.items()))
    pieces: list[bytes | memoryview] = [_HEAD]
    at = len(_HEAD)
    for name, (start, versions) in charts.items():
        lead = _lead(name, first=len(pieces) == 1)
        at += len(lead)
        body = bodies.get(name)
        if body is None:
            assert known is not None
            body = memoryview(known.entries)[start : start + versions.size]
        pieces += (lead, body, b"]")
        charts[name] = (at, versions)
        at += versions.size + 1
    whole = b"".join(pieces)
    size = len(whole) + sum(_VERSION_BYTES * len(versions.sorts) for _, versions in charts.values())
    return ChartIndex(place, whole, charts, size, hashlib.sha256(whole))


def _lead(name: str, *, first: bool) -> bytes:
    """What is before a chart's entries. Names of charts have nothing that JSON would escape."""
    return f'{"" if first else ","}"{name}":['.encode()


def _chart(known: ChartIndex | None, name: str, changes: Iterable[ChartChange]) -> tuple[bytes, Versions]:
    """A chart's joined versions after `changes`."""
    found: dict[bytes, bytes | memoryview] = {}
    if known is not None and name in known.charts:
        found = dict(zip(known.charts[name][1].sorts, known.versions(name), strict=True))
    for change in changes:
        found.pop(change.sort, None)
        if change.entry is not None:
            found[change.sort] = change.entry
    sorts = sorted(found, reverse=True)
    entries = [found[sort] for sort in sorts]
    offsets = tuple(accumulate([len(entry) + 1 for entry in entries], initial=0))
    return b",".join(entries), Versions(tuple(sorts), offsets)
