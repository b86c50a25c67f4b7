"""Whatever is written in whatever order, the views equal what a full scan of the records says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, product
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Format, PackageName, Repository, Tag
from cnr.domain.version import Release, highest, order_key, release_of, tag_of
from cnr.registry.catalog import Catalog
from cnr.store import keys, records
from cnr.store.base import ABSENT, Absent, Cursor, CursorLost, Record, RecordNotFound, RecordStore, Version
from cnr.store.records import ChannelTag, DeletedTag, FormatEntry, Member, PlainTag, Pointer, ReleaseTag, Repo
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

REPOSITORIES = [Repository(name) for name in ("ns/app", "ns/web", "redis", "a/b/c", "library/x")]
ONE_OF_THEM = st.one_of(st.just(REPOSITORIES[0]), st.sampled_from(REPOSITORIES))
RELEASES = [Release(text) for text in ("1.0.0", "1.0.0+b", "1.10.0", "2.0.0-rc.1", "2.0.0")]
TAGS = [tag_of(release) for release in RELEASES]
CHANNELS = [Tag("stable"), Tag("dev")]
WORDS = ["alpha", "beta", "gamma"]
POINTER = Pointer(Digest("sha256:" + "0" * 64), "m")


class Forgetful:
    """A record store whose feed is lost when it is told so."""

    orders_durability = True

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.forget = False
        self.get, self.put, self.delete = store.get, store.put, store.delete
        self.scan, self.head, self.close = store.scan, store.head, store.close

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        if self.forget:
            self.forget = False
            raise CursorLost(since)
        return await self._store.changes(since, timeout_s=timeout_s)


@dataclass
class World:
    """The store, what writes to it, and two catalogs over one file of views."""

    store: Forgetful
    catalogs: list[Catalog]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def found(self, key: str, kind: Any) -> tuple[Any, Version | Literal[Absent.ABSENT]]:
        try:
            record = await self.store.get(key)
        except RecordNotFound:
            return None, ABSENT
        return records.decode(kind, record.value), record.version

    async def write(self, key: str, record: records.Stored) -> None:
        _, version = await self.found(key, Repo if key.startswith(keys.REPOS) else records.AnyTag)
        await self.store.put(key, records.encode(record), expect=version)

    async def remove(self, key: str) -> None:
        _, version = await self.found(key, records.AnyTag)
        if version is not ABSENT:
            await self.store.delete(key, expect=version)


Step = Callable[[World], Any]


@st.composite
def releases(draw: st.DrawFn) -> Step:
    repository, tag = draw(ONE_OF_THEM), draw(st.sampled_from(TAGS))
    formats = draw(st.sets(st.sampled_from(["helm", "kpm", "appr"])))
    word, again = draw(st.sampled_from(["", *WORDS])), draw(st.booleans())

    async def step(world: World) -> None:
        key = keys.tag(repository, tag)
        before, _ = await world.found(key, records.AnyTag)
        kept = again and isinstance(before, ReleaseTag)
        born = before.born if kept else f"born-{next(world.numbers)}"
        entries = {
            Format(name): FormatEntry(
                manifest=POINTER,
                tar_digest=TarDigest("0" * 64),
                size=1,
                created_at=next(world.numbers),
                description=word,
            )
            for name in formats
        }
        await world.write(key, ReleaseTag(born=born, manifest=POINTER, formats=entries))

    return step


@st.composite
def channels(draw: st.DrawFn) -> Step:
    repository, name = draw(ONE_OF_THEM), draw(st.sampled_from(CHANNELS))
    wanted = draw(st.lists(st.tuples(st.sampled_from(TAGS), st.booleans()), unique_by=lambda pair: pair[0]))
    current = draw(st.sampled_from([tag for tag, _ in wanted] or TAGS))

    async def step(world: World) -> None:
        members = []
        for tag, living in wanted:
            found, _ = await world.found(keys.tag(repository, tag), records.AnyTag)
            born = found.born if living and isinstance(found, ReleaseTag) else "of a release long gone"
            members.append(Member(tag, born))
        await world.write(keys.tag(repository, name), ChannelTag(current=current, members=tuple(members)))

    return step


@st.composite
def others(draw: st.DrawFn) -> Step:
    repository, tag = draw(ONE_OF_THEM), draw(st.sampled_from([*TAGS, *CHANNELS]))
    what = draw(st.sampled_from(["remove", "mark deleted", "plain", "live", "empty"]))
    key = keys.tag(repository, tag)

    async def step(world: World) -> None:
        match what:
            case "remove":
                await world.remove(key)
            case "mark deleted":
                await world.write(key, DeletedTag())
            case "plain":
                await world.write(key, PlainTag(manifest=POINTER))
            case "live":
                await world.write(keys.repo(repository), Repo(state="live", created_at=next(world.numbers)))
            case "empty":
                await world.write(keys.repo(repository), Repo(state="empty", created_at=1))

    return step


@st.composite
def checks(draw: st.DrawFn) -> Step:
    index, lost = draw(st.integers(0, 1)), draw(st.integers(0, 9)) == 0

    async def step(world: World) -> None:
        world.store.forget = lost
        await check(world.catalogs[index], world.store)

    return step


STEPS = st.lists(st.one_of(releases(), releases(), channels(), others(), checks()), min_size=10, max_size=40)


@pytest.mark.parametrize("shared", [True, False], ids=["one file", "memory each"])
@given(steps=STEPS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_views_equal_a_full_scan(
    steps: list[Step], shared: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("views") if shared else None
    store = Forgetful(SqliteRecords.in_memory(lambda: "e" * 32))
    views = [SqliteViews(folder), SqliteViews(folder)]
    world = World(store, [Catalog(store, found) for found in views])
    for step in steps:
        await step(world)
    for catalog in world.catalogs:
        await check(catalog, store)
        await catalog.close()
    for found in views:
        await found.close()
    await store.close()


async def check(catalog: Catalog, store: RecordStore) -> None:
    """Hold every answer of the catalog against the records."""
    model = Model(await store.scan(keys.TAGS), await store.scan(keys.REPOS))
    assert await catalog.repositories() == model.repositories()
    assert await catalog.names() == sorted(model.names())
    for format in (None, Format("helm")):
        found = await catalog.packages(format=format)
        assert {str(view.name): _plain(view) for view in found} == model.packages(format)
    for word in WORDS:
        assert {str(hit.name) for hit in await catalog.search(word, limit=100)} == model.described(word)
    for repository in REPOSITORIES:
        assert await catalog.default(repository) == highest(model.released(repository))
        assert await catalog.newest_seen(repository) == model.newest(repository)
        shown = {view.name: (view.current, view.releases) for view in await catalog.channels(repository)}
        assert shown == model.channels(repository)
    for repository, tag in product(REPOSITORIES, TAGS):
        current = {name for name, (at, _) in model.channels(repository).items() if tag_of(at) == tag}
        assert await catalog.channels_at(repository, tag) == sorted(current)


def _plain(view: Any) -> tuple[Any, ...]:
    releases = [(found.release, [(row.format, row.created_at) for row in found.formats]) for found in view.releases]
    return view.created_at, view.updated_at, releases


class Model:
    """The answers, computed from all records in the plainest way."""

    def __init__(self, tags: Sequence[Record], repos: Sequence[Record]) -> None:
        self._tags: dict[Repository, dict[str, Any]] = {}
        for record in tags:
            key = keys.split(record.key)
            found: Any = records.decode(records.AnyTag, record.value)
            if not isinstance(found, DeletedTag):
                self._tags.setdefault(key.repository, {})[key.rest] = found
        self._created: dict[Repository, int] = {}
        for record in repos:
            repo: Repo = records.decode(Repo, record.value)
            if repo.state == "live":
                self._created[keys.split(record.key).repository] = repo.created_at

    def repositories(self) -> list[Repository]:
        return sorted(self._tags)

    def released(self, repository: Repository) -> dict[Release, ReleaseTag]:
        """Live releases that have a format."""
        return {
            release: found
            for tag, found in self._tags.get(repository, {}).items()
            if isinstance(found, ReleaseTag) and found.formats and (release := release_of(tag))
        }

    def names(self) -> dict[str, Repository]:
        shown = {"ns/app": "ns/app", "ns/web": "ns/web", "library/redis": "redis"}
        return {name: Repository(found) for name, found in shown.items() if self.released(Repository(found))}

    def newest(self, repository: Repository) -> int:
        return max(self._times(repository), default=0)

    def _times(self, repository: Repository) -> list[int]:
        return [entry.created_at for found in self.released(repository).values() for entry in found.formats.values()]

    def packages(self, format: Format | None) -> dict[str, tuple[Any, ...]]:
        packages = {}
        for name, repository in self.names().items():
            found = [
                (release, [(token, entry.created_at) for token, entry in sorted(record.formats.items())])
                for release, record in sorted(
                    self.released(repository).items(), key=lambda pair: order_key(pair[0]), reverse=True
                )
            ]
            if format is not None:
                found = [(release, [row for row in rows if row[0] == format]) for release, rows in found]
                found = [(release, rows) for release, rows in found if rows]
            created = self._created.get(repository, min(self._times(repository)))
            packages[name] = (created, self.newest(repository), found)
        return {name: view for name, view in packages.items() if view[2]}

    def described(self, word: str) -> set[str]:
        found = set()
        for name, repository in self.names().items():
            released = self.released(repository)
            top = highest(released)
            assert top is not None
            if any(entry.description == word for entry in released[top].formats.values()):
                found.add(name)
        return found

    def channels(self, repository: Repository) -> dict[str, tuple[Release, tuple[Release, ...]]]:
        tags = self._tags.get(repository, {})
        views = {}
        for name, record in tags.items():
            if not isinstance(record, ChannelTag):
                continue
            living = [
                release
                for member in record.members
                if isinstance(found := tags.get(member.tag), ReleaseTag) and found.born == member.born
                if (release := release_of(member.tag))
            ]
            ordered = tuple(sorted(living, key=order_key, reverse=True))
            current = release_of(record.current)
            if ordered:
                views[name] = (current if current in ordered else ordered[0], ordered)
        return views


def test_the_model_knows_what_the_package_rules_say() -> None:
    shown = [PackageName.of(repository) for repository in REPOSITORIES]
    assert [str(name) for name in shown] == ["ns/app", "ns/web", "library/redis", "None", "library/x"]
