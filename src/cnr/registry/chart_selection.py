"""Parts of an index: some charts, the newest versions, what is newer than a moment, what a channel points at."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cnr.domain.chart_version import chart_order, is_stable
from cnr.domain.limits import MIB
from cnr.domain.manifest import rfc3339
from cnr.domain.names import Channel
from cnr.domain.version import Release, tag_of
from cnr.registry.chart_index import ChartIndex, ChartIndexes, joined
from cnr.registry.core import Core
from cnr.store.views import ChartChange, ChartPlace, yanked_in

KEPT: Final = 32
"""Selections that a process keeps."""
KEPT_BYTES: Final = MIB
"""Of a selection that is kept; a larger one is made at each request."""

Targets = tuple[tuple[str, Release], ...]
"""Charts and the releases that a channel points at."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted of an index; all of it together. `since` in microseconds UTC.

    `charts`: only these (all, if there are none). `latest`: of each chart so many stable versions, the highest, and the
    pre-releases above the last of them. `oci_host`: archives are named by OCI references at that host.
    `yanked`: with the yanked ones.
    """

    charts: tuple[str, ...] = ()
    latest: int | None = None
    since: int | None = None
    channel: Channel | None = None
    oci_host: str = ""
    yanked: bool = False


EVERYTHING: Final = Selection()


class _Shown(msgspec.Struct):
    version: Release
    created: str


_shown = msgspec.json.Decoder(_Shown)
_encoder = msgspec.json.Encoder(order="sorted")


class ChartSelections:
    """Makes selections, and keeps some small ones as long as the index is the same."""

    def __init__(self, core: Core, indexes: ChartIndexes) -> None:
        self._core = core
        self._indexes = indexes
        self._kept: OrderedDict[tuple[str, Selection, Targets | None], tuple[ChartIndex, ChartIndex]] = OrderedDict()

    async def of(self, namespace: str, selection: Selection) -> ChartIndex:
        """The part of a namespace's index; as exact as that."""
        targets: Targets | None = None
        if selection.channel is not None:
            targets = tuple(await self._core.catalog.channel_targets(namespace, selection.channel))
        index = await self._indexes.of(namespace)
        if selection.yanked:
            index = with_all(index, await self._indexes.of(yanked_in(namespace)))
        key = (namespace, selection, targets)
        source, known = self._kept.get(key, (None, None))
        if known is None or source is not index:
            known = await self._core.work(len(index.entries), lambda: selected(index, namespace, selection, targets))
            self._keep(key, index, known)
        return known

    def _keep(self, key: tuple[str, Selection, Targets | None], index: ChartIndex, found: ChartIndex) -> None:
        if found.size > KEPT_BYTES:
            return
        self._kept[key] = (index, found)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def with_all(index: ChartIndex, other: ChartIndex) -> ChartIndex:
    """`index` with what is in `other`."""
    if not other.charts:
        return index
    changes = [
        ChartChange(name, sort, "", bytes(entry))
        for name in other.names()
        for sort, entry in zip(other.charts[name][1].sorts, other.versions(name), strict=True)
    ]
    place = replace(index.place, changed_at=max(index.place.changed_at, other.place.changed_at))
    return joined(index, changes, place)


def only(index: ChartIndex, names: Iterable[str]) -> ChartIndex:
    """`index` with these charts alone, and of the time of the newest of them: nothing tells of the others."""
    changes: list[ChartChange] = []
    newest = ""
    for name in names:
        for sort, entry in zip(index.charts[name][1].sorts, index.versions(name), strict=True):
            shown = _shown.decode(entry)
            newest = max(newest, shown.created)
            changes.append(ChartChange(name, sort, shown.version, bytes(entry)))
    place = replace(ChartPlace(), changed_at=_microseconds(newest) if newest else 0)
    return joined(None, changes, place)


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def selected(index: ChartIndex, namespace: str, selection: Selection, targets: Targets | None) -> ChartIndex:
    """The part of `index`; `targets` where only what a channel points at counts."""
    changes = _changes(index, namespace, selection, None if targets is None else dict(targets))
    return joined(None, changes, index.place)


def _changes(
    index: ChartIndex, namespace: str, selection: Selection, targets: Mapping[str, Release] | None
) -> Iterator[ChartChange]:
    for name in selection.charts or list(index.names()):
        if name not in index.charts or (targets is not None and name not in targets):
            continue
        only = chart_order(targets[name]) if targets is not None else None
        left = selection.latest
        for sort, entry in zip(index.charts[name][1].sorts, index.versions(name), strict=True):
            if only is not None and sort != only:
                continue
            shown = _shown.decode(entry)
            if selection.since is not None and shown.created < rfc3339(selection.since):
                continue
            if left is not None and left <= 0:
                break
            if left is not None and is_stable(shown.version):
                left -= 1
            yield ChartChange(name, sort, shown.version, _placed(entry, namespace, name, shown.version, selection))


def _placed(entry: memoryview, namespace: str, name: str, version: Release, selection: Selection) -> bytes:
    if not selection.oci_host:
        return bytes(entry)
    found = msgspec.json.decode(entry)
    repository = f"{namespace}/{name}" if namespace else name
    return _encoder.encode({**found, "urls": [f"oci://{selection.oci_host}/{repository}:{tag_of(version)}"]})
