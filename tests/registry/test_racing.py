"""Two servers over one store, their store calls interleaved at random: pushes, deletes and channels at once.

Whenever all is quiet both servers' views are what the records say, nobody who was told ok has lost anything, no
channel shows a dead release, and every file is the one that its release describes.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest
from tests.services.store_check import stores_in_order

from cnr.domain.errors import Conflict, Missing
from cnr.domain.names import Channel, Format, Tag
from cnr.domain.version import Release, order_key, release_of, tag_of
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import AnyTag, ChannelTag, ReleaseTag, Repo, TagRecord
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, MakeRegistry, chart, counting_ids, package

SEEDS = range(40)
WORKERS = 5
STEPS = 5
RELEASES = (Release("1.0.0"), Release("2.0.0"), Release("3.0.0-rc.1"))
FORMATS = (Format("helm"), Format("kpm"))
CHANNELS = (Channel("stable"), Channel("edge"))
KINDS = {
    "releases": ("push", "push", "push", "force", "delete", "add", "add", "remove", "drop"),
    "channels": ("push", "add", "add", "add", "add", "remove", "remove", "drop", "delete"),
    "members": ("add", "add", "add", "remove"),
}
# the same tar in two gzips, too large to stand in its record
SAME_TAR = [package({"data": bytes(range(256)) * 100}, level=level) for level in (0, 1)]


class Yielding:
    """A store whose every call lets other tasks run before and after it, as often as `chance` wants."""

    def __init__(self, store: Any, chance: random.Random) -> None:
        self._store = store
        self._chance = chance
        self.orders_durability = getattr(store, "orders_durability", True)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def yielding(*args: Any, **kwargs: Any) -> Any:
            await self._pause()
            try:
                return await call(*args, **kwargs)
            finally:
                await self._pause()

        return yielding

    async def _pause(self) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 3, 12))):
            await asyncio.sleep(0)


class Interrupted:
    """A store before whose n-th call, counted from 0, `deeds[n]` is done."""

    orders_durability = True

    def __init__(self, store: SqliteRecords, deeds: Mapping[int, Callable[[], Awaitable[object]]]) -> None:
        self._store = store
        self._deeds = deeds
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def interrupted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if deed := self._deeds.get(self.calls - 1):
                await deed()
            return await call(*args, **kwargs)

        return interrupted


@dataclass(frozen=True)
class Deed:
    """What somebody was told ok for, and when: `began` and `ended` count begins and ends of all deeds."""

    what: str
    release: str
    place: str
    began: int
    ended: int


class Race:
    """Two servers, and all that was told ok."""

    def __init__(self, seed: int, kinds: Sequence[str], make: MakeRegistry) -> None:
        self.chance = random.Random(seed)
        self.kinds = kinds
        self.records = SqliteRecords.in_memory(counting_ids())
        self.views = [SqliteViews(), SqliteViews()]
        self.blobs = MemoryBlobs()
        store, blobs = Yielding(self.records, self.chance), Yielding(self.blobs, self.chance)
        self.servers = [make(store, blobs, views) for views in self.views]
        self.deeds: list[Deed] = []
        self._steps = itertools.count()

    async def publish_all(self) -> None:
        for release in RELEASES:
            began = next(self._steps)
            await self.servers[0].publisher.publish(APP, release, FORMATS[0], chart(release))
            self.deeds.append(Deed("push", release, FORMATS[0], began, next(self._steps)))

    async def work(self) -> None:
        """One client: deeds one after another, each at some server."""
        for _ in range(STEPS):
            server = self.chance.choice(self.servers)
            what, release, place, call = self._choice(server)
            began = next(self._steps)
            try:
                await call()
            except (Conflict, Missing):
                continue
            self.deeds.append(Deed(what, release, place, began, next(self._steps)))

    def _choice(self, server: Registry) -> tuple[str, str, str, Callable[[], Awaitable[object]]]:
        release, format = self.chance.choice(RELEASES), self.chance.choice(FORMATS)
        channel = self.chance.choice(CHANNELS if "push" in self.kinds else CHANNELS[:1])
        source = chart(release) if format == "helm" else self.chance.choice(SAME_TAR)
        what = self.chance.choice(self.kinds)
        push = partial(server.publisher.publish, APP, release, format, source)
        calls: dict[str, tuple[str, Callable[[], Awaitable[object]]]] = {
            "push": (format, push),
            "force": (format, partial(push, force=True)),
            "delete": (format, partial(server.packages.delete, APP, release, format)),
            "add": (channel, partial(server.channels.add, APP, channel, release)),
            "remove": (channel, partial(server.channels.remove, APP, channel, release)),
            "drop": (channel, partial(server.channels.delete, APP, channel)),
        }
        return what, release, *calls[what]

    async def tags(self) -> dict[Tag, TagRecord]:
        prefix = keys.tags(APP.repository)
        found = await self.records.scan(prefix)
        return {Tag(entry.key[len(prefix) :]): records.decode(AnyTag, entry.value) for entry in found}

    async def close(self) -> None:
        await self.records.close()
        for views in self.views:
            await views.close()


def releases_of(tags: dict[Tag, TagRecord]) -> dict[Release, ReleaseTag]:
    live = {release_of(tag): record for tag, record in tags.items() if isinstance(record, ReleaseTag)}
    return {release: live[release] for release in sorted(filter(None, live), key=order_key, reverse=True)}


def channels_of(tags: dict[Tag, TagRecord]) -> dict[str, tuple[Release, list[Release]]]:
    """Name: current and members. A member is alive where its release has the same `born`."""
    live = releases_of(tags)
    found: dict[str, tuple[Release, list[Release]]] = {}
    for name, record in sorted(tags.items()):
        if isinstance(record, ChannelTag):
            born = {release_of(member.tag): member.born for member in record.members}
            members = [release for release, entry in live.items() if born.get(release) == entry.born]
            current = release_of(record.current)
            if members:
                found[name] = (current if current in members else members[0], members)
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_two_servers_at_once(kind: str, seed: int, make_registry: MakeRegistry) -> None:
    race = Race(seed, KINDS[kind], make_registry)
    try:
        if "push" not in race.kinds:
            await race.publish_all()
        await asyncio.gather(*(race.work() for _ in range(WORKERS)))
        tags = await race.tags()
        for server in race.servers:
            await views_are_records(server, tags)
            await files_are_what_releases_describe(server, tags)
        await package_is_live_with_a_release(race, tags)
        assert (await stores_in_order(race.records, race.blobs)).count("warning") == 0
        pushes_and_deletes_add_up(race.deeds, tags)
        additions_are_there(race.deeds, tags)
    finally:
        await race.close()


async def views_are_records(server: Registry, tags: dict[Tag, TagRecord]) -> None:
    live, channels = releases_of(tags), channels_of(tags)
    repository = APP.repository
    shown = await server.catalog.releases(repository)
    assert [(view.release, [row.format for row in view.formats]) for view in shown] == [
        (release, sorted(record.formats)) for release, record in live.items()
    ]
    views = await server.catalog.channels(repository)
    assert {view.name: (view.current, list(view.releases)) for view in views} == channels
    for release in live:
        pointing = [name for name, (current, _) in channels.items() if current == release]
        assert await server.catalog.channels_at(repository, tag_of(release)) == pointing


async def files_are_what_releases_describe(server: Registry, tags: dict[Tag, TagRecord]) -> None:
    for release, record in releases_of(tags).items():
        for format, entry in record.formats.items():
            reader = await server.packages.open(APP, entry.tar_digest)
            data = b"".join([chunk async for chunk in reader.chunks])
            assert len(data) == entry.size, (release, format)
            manifest = await server.manifests.find(APP.repository, entry.manifest)
            assert manifest is not None
            layers = msgspec.json.decode(await server.manifests.data(manifest, entry.manifest.digest))["layers"]
            assert len(data) in [layer["size"] for layer in layers], (release, format)


async def package_is_live_with_a_release(race: Race, tags: dict[Tag, TagRecord]) -> None:
    found = await race.records.scan(keys.repo(APP.repository))
    repos: list[Repo] = [records.decode(Repo, entry.value) for entry in found]
    assert any(repo.state == "live" for repo in repos) == bool(releases_of(tags))


def pushes_and_deletes_add_up(deeds: list[Deed], tags: dict[Tag, TagRecord]) -> None:
    """A push without force succeeds where nothing stood, a delete where something stood."""
    for release, format in itertools.product(RELEASES, FORMATS):
        done = [deed.what for deed in deeds if (deed.release, deed.place) == (release, format)]
        record = releases_of(tags).get(release)
        there = record is not None and format in record.formats
        if "force" not in done:
            assert done.count("push") - done.count("delete") == there, (release, format)
        elif "delete" not in done:
            assert there, (release, format)


def additions_are_there(deeds: list[Deed], tags: dict[Tag, TagRecord]) -> None:
    """Who was told that a release is in a channel finds it there, unless somebody took it out since he began."""
    channels = channels_of(tags)
    for added in deeds:
        if added.what == "add" and not any(undoing(deed, added) for deed in deeds if deed.ended > added.began):
            assert Release(added.release) in channels[added.place][1], added


def undoing(deed: Deed, added: Deed) -> bool:
    release, channel = deed.release == added.release, deed.place == added.place
    return {"remove": release and channel, "drop": channel, "delete": release}.get(deed.what, False)


async def test_a_member_that_comes_back_while_another_is_added_stays(make_registry: MakeRegistry) -> None:
    """Between any two store calls of the one who adds, another takes 1.0.0 out and then puts it in again."""
    calls, first = 1, 0
    while first < calls:
        for second in range(first, calls):
            calls = max(calls, await one_comes_back(make_registry, first, second))
        first += 1
    assert calls > 5


async def one_comes_back(make_registry: MakeRegistry, out_at: int, in_at: int) -> int:
    store, blobs, views = SqliteRecords.in_memory(counting_ids()), MemoryBlobs(), [SqliteViews(), SqliteViews()]
    other = make_registry(store, blobs, views[0])
    one, two, channel = RELEASES[0], RELEASES[1], CHANNELS[0]

    async def out_and_in() -> None:
        await other.channels.remove(APP, channel, one)
        await other.channels.add(APP, channel, one)

    deeds: dict[int, Callable[[], Awaitable[object]]] = {
        out_at: partial(other.channels.remove, APP, channel, one),
        in_at: partial(other.channels.add, APP, channel, one),
    }
    for release in (one, two):
        await other.publisher.publish(APP, release, FORMATS[0], chart(release))
    await other.channels.add(APP, channel, one)
    records = Interrupted(store, deeds if out_at < in_at else {out_at: out_and_in})
    await make_registry(records, blobs, views[1]).channels.add(APP, channel, two)
    if records.calls > in_at:
        assert (await other.channels.get(APP, channel)).releases == (two, one), (out_at, in_at)
    await store.close()
    for file in views:
        await file.close()
    return records.calls
