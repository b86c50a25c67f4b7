"""The catalog is exact at every answer, whatever happens to the feed, the views and the requests."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import StoreUnavailable
from cnr.domain.names import Channel, Format, PackageName, Repository, Tag
from cnr.domain.version import Release
from cnr.registry.catalog import PAGE, Catalog
from cnr.store import keys, records
from cnr.store.base import (
    ABSENT,
    Absent,
    Cursor,
    CursorLost,
    Record,
    RecordNotFound,
    Version,
    VersionConflict,
)
from cnr.store.records import ChannelTag, DeletedTag, FormatEntry, Member, PlainTag, Pointer, ReleaseTag, Repo
from cnr.store.views import ChannelView
from cnr.store.views_sqlite import SqliteViews

APP = Repository("ns/app")
POINTER = Pointer(Digest("sha256:" + "0" * 64), "m")


class MemoryRecords:
    """A RecordStore in a dict, whose feed can be lost, stopped and counted."""

    orders_durability = True

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._changed: dict[str, int] = {}
        self._version = 0
        self._epoch = 0
        self.calls: Counter[str] = Counter()
        self.heads, self.scans = asyncio.Event(), asyncio.Event()
        self.heads.set()
        self.scans.set()
        self.broken = False
        self.others_writes = 0

    async def get(self, key: str) -> Record:
        self.calls["get"] += 1
        if key not in self._records:
            raise RecordNotFound(key)
        return self._records[key]

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        found = self._records.get(key)
        if (found.version if found else ABSENT) != expect:
            raise VersionConflict(key)
        self._touch(key)
        self._records[key] = Record(key, value, Version(self._version))
        return Version(self._version)

    async def delete(self, key: str, *, expect: Version) -> None:
        if key not in self._records or self._records[key].version != expect:
            raise VersionConflict(key)
        self._touch(key)
        del self._records[key]

    def _touch(self, key: str) -> None:
        self._version += 1
        self._changed[key] = self._version

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        self.calls["scan"] += 1
        await self.scans.wait()
        found = sorted(key for key in self._records if key.startswith(prefix) and key > after)
        return [self._records[key] for key in found[:limit]]

    async def head(self) -> Cursor:
        self.calls["head"] += 1
        if self.broken:
            raise StoreUnavailable("no store", why="a test")
        found = Cursor(f"{self._epoch}:{self._version}")
        self._write_of_another()
        await self.heads.wait()
        return found

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        self.calls["changes"] += 1
        epoch, _, version = since.partition(":")
        if int(epoch) != self._epoch:
            raise CursorLost(since)
        later = sorted((at, key) for key, at in self._changed.items() if at > int(version))[:1000]
        until = later[-1][0] if len(later) == 1000 else self._version
        self._write_of_another()
        return [key for _, key in later], Cursor(f"{self._epoch}:{until}")

    def _write_of_another(self) -> None:
        if self.others_writes:
            self.others_writes -= 1
            self._touch("manifests/other/x")

    async def close(self) -> None: ...

    def lose_feed(self) -> None:
        """Make every cursor from before worthless, as a restored backup does."""
        self._epoch += 1

    async def write(self, key: str, record: records.Stored | bytes) -> None:
        found = self._records.get(key)
        value = record if isinstance(record, bytes) else records.encode(record)
        await self.put(key, value, expect=found.version if found else ABSENT)

    async def remove(self, key: str) -> None:
        if key in self._records:
            await self.delete(key, expect=self._records[key].version)


def entry(at: int = 1, description: str = "", keywords: tuple[str, ...] = ()) -> FormatEntry:
    return FormatEntry(
        manifest=POINTER,
        tar_digest=TarDigest("0" * 64),
        size=1,
        created_at=at,
        description=description,
        keywords=keywords,
    )


def release(born: str = "b", **formats: FormatEntry) -> ReleaseTag:
    return ReleaseTag(
        born=born,
        manifest=POINTER,
        formats={Format(name): found for name, found in (formats or {"helm": entry()}).items()},
    )


def channel(current: str, *members: tuple[str, str]) -> ChannelTag:
    return ChannelTag(current=Tag(current), members=tuple(Member(Tag(tag), born) for tag, born in members))


def tag(name: str, repository: Repository = APP) -> str:
    return keys.tag(repository, name)


def view_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("views-*.sqlite*"))


@pytest.fixture
def store() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
async def views() -> AsyncIterator[SqliteViews]:
    found = SqliteViews()
    yield found
    await found.close()


@pytest.fixture
async def catalog(store: MemoryRecords, views: SqliteViews) -> AsyncIterator[Catalog]:
    found = Catalog(store, views)
    yield found
    await found.close()


async def test_an_empty_store_has_nothing(catalog: Catalog) -> None:
    assert await catalog.names() == []
    assert await catalog.exists(APP) is False
    assert await catalog.newest_seen(APP) == 0


async def test_every_kind_of_record_means_what_it_says(store: MemoryRecords, catalog: Catalog) -> None:
    await store.write(keys.repo(APP), Repo(state="live", created_at=7))
    await store.write(tag("1.0.0_x"), release(helm=entry(8, "A web app", ("web",)), kpm=entry(9)))
    await store.write(tag("2.0.0"), DeletedTag(contents={}))
    await store.write(tag("stable"), channel("1.0.0_x", ("1.0.0_x", "b"), ("2.0.0", "b")))
    await store.write(tag("latest", Repository("image")), PlainTag(manifest=POINTER))
    (package,) = await catalog.packages()
    assert (package.name, package.created_at, package.updated_at) == (PackageName("ns", "app"), 7, 9)
    assert [view.release for view in await catalog.releases(APP)] == ["1.0.0+x"]
    assert (await catalog.default(APP), await catalog.newest_seen(APP), await catalog.exists(APP)) == (
        "1.0.0+x",
        9,
        True,
    )
    expected = ChannelView(Channel("stable"), Release("1.0.0+x"), (Release("1.0.0+x"),))
    assert await catalog.channels(APP) == [expected]
    assert await catalog.channel(APP, Channel("stable")) == expected
    assert await catalog.channels_at(APP, Tag("1.0.0_x")) == ["stable"]
    assert await catalog.repositories() == ["image", "ns/app"]
    (hit,) = await catalog.search("web", limit=10)
    assert (hit.description, hit.formats) == ("A web app", ("helm", "kpm"))


async def test_an_empty_package_that_lives_again_is_new(store: MemoryRecords, catalog: Catalog) -> None:
    await store.write(keys.repo(APP), Repo(state="empty", created_at=7))
    await store.write(tag("1.0.0"), release(helm=entry(50)))
    assert [view.created_at for view in await catalog.packages()] == [50]


async def test_the_next_question_sees_a_write_and_a_delete(store: MemoryRecords, catalog: Catalog) -> None:
    for _ in range(3):
        await store.write(tag("1.0.0"), release())
        assert await catalog.names() == [APP]
        await store.remove(tag("1.0.0"))
        assert await catalog.names() == []


async def test_without_a_change_only_the_head_is_read(store: MemoryRecords, catalog: Catalog) -> None:
    await store.write(tag("1.0.0"), release())
    await catalog.names()
    store.calls.clear()
    await catalog.names()
    await catalog.default(APP)
    assert store.calls == {"head": 2}


async def test_records_that_no_view_shows_are_not_read(store: MemoryRecords, catalog: Catalog) -> None:
    await catalog.names()
    store.calls.clear()
    await store.write("contents/ns!app/sha256:00", b"\x01")
    await store.write("policy/ns", b"\x01")
    await catalog.names()
    assert (store.calls["changes"], store.calls["get"], store.calls["scan"]) == (1, 0, 0)


async def test_questions_at_the_same_time_share_a_head_begun_after_they_came(
    store: MemoryRecords, catalog: Catalog
) -> None:
    await catalog.sync()
    store.calls.clear()
    store.heads.clear()
    first = [asyncio.create_task(catalog.default(APP)) for _ in range(10)]
    await asyncio.sleep(0)
    await store.write(tag("1.0.0"), release())
    second = [asyncio.create_task(catalog.default(APP)) for _ in range(10)]
    await asyncio.sleep(0)
    store.heads.set()
    assert await asyncio.gather(*second) == ["1.0.0"] * 10
    await asyncio.gather(*first)
    # one for the first to come, one for all that came while it ran, one beside the page of the feed
    assert store.calls["head"] <= 3


async def test_an_unreachable_store_gives_no_old_data(store: MemoryRecords, catalog: Catalog) -> None:
    await store.write(tag("1.0.0"), release())
    assert await catalog.names() == [APP]
    store.broken = True
    found = await asyncio.gather(*(catalog.names() for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailable] * 5
    with pytest.raises(StoreUnavailable) as error:
        await catalog.names()
    assert error.value.details == {"why": "a test"}
    store.broken = False
    assert await catalog.names() == [APP]


async def test_a_rebuild_goes_on_when_its_request_goes_away(store: MemoryRecords, catalog: Catalog) -> None:
    await store.write(tag("1.0.0"), release())
    store.scans.clear()
    question = asyncio.create_task(catalog.names())
    while not store.calls["scan"]:
        await asyncio.sleep(0)
    question.cancel()
    await asyncio.wait([question])
    assert question.cancelled()
    store.scans.set()
    assert await catalog.names() == [APP]
    assert store.calls["scan"] == 5, "two pages of tags/, one each of repos/, blobs/ and manifests/, once"


async def test_closing_ends_a_rebuild(store: MemoryRecords, views: SqliteViews) -> None:
    catalog = Catalog(store, views)
    store.scans.clear()
    question = asyncio.create_task(catalog.names())
    while not store.calls["scan"]:
        await asyncio.sleep(0)
    await catalog.close()
    with pytest.raises(asyncio.CancelledError):
        await question
    assert await views.cursor() is None


async def test_a_lost_feed_is_built_anew(
    store: MemoryRecords, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(tag("1.0.0"), release())
    await store.write(tag("1.0.0", Repository("ns/gone")), release())
    assert await catalog.names() == ["ns/app", "ns/gone"]
    await store.remove(tag("1.0.0", Repository("ns/gone")))
    store.lose_feed()
    with caplog.at_level(logging.WARNING):
        assert await catalog.names() == [APP]
    assert "feed" in caplog.text


async def test_a_feed_that_runs_ahead_is_followed_to_its_end(store: MemoryRecords, catalog: Catalog) -> None:
    await catalog.sync()
    await store.write(tag("1.0.0"), release())
    store.others_writes = 20
    assert await catalog.names() == [APP]
    assert store.others_writes == 0


async def test_more_changes_than_a_page(store: MemoryRecords, catalog: Catalog) -> None:
    await catalog.sync()
    for number in range(2500):
        await store.write(tag(f"1.0.{number}", Repository(f"ns/p{number % 500}")), release())
    assert len(await catalog.names()) == 500
    assert store.calls["changes"] == 3
    assert len(await catalog.releases(Repository("ns/p499"))) == 5


async def test_unlimited_lists_have_everything(store: MemoryRecords, catalog: Catalog) -> None:
    names = sorted(f"ns/p{number}" for number in range(10 * PAGE + PAGE // 2))
    for name in names:
        await store.write(tag("1.0.0", Repository(name)), release())
    assert await catalog.names() == names
    assert await catalog.repositories() == names
    assert [str(view.name) for view in await catalog.packages()] == names
    assert await catalog.names(limit=3, after=names[5]) == names[6:9]
    assert [str(view.name) for view in await catalog.packages(after=names[-3])] == names[-2:]
    assert len(await catalog.packages(query="P1", limit=7)) == 7


async def test_a_record_that_cannot_be_read_hides_only_itself(
    store: MemoryRecords, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(tag("1.0.0"), release())
    await store.write(tag("2.0.0"), bytes([records.FORMAT]) + b"\xc1")
    await store.write(tag("3.0.0"), b"")
    assert await catalog.default(APP) == "1.0.0"
    assert tag("2.0.0") in caplog.text
    assert tag("3.0.0") in caplog.text


async def test_two_catalogs_over_one_file(store: MemoryRecords, tmp_path: Path) -> None:
    views = [SqliteViews(tmp_path) for _ in range(2)]
    both = [Catalog(store, found) for found in views]
    for number in range(200):
        await store.write(tag(f"1.0.{number}"), release())
        found = await asyncio.gather(*(catalog.default(APP) for catalog in both * 3))
        assert found == [f"1.0.{number}"] * 6
    for catalog, found_views in zip(both, views, strict=True):
        await catalog.close()
        await found_views.close()


async def test_views_that_are_damaged_while_in_use_are_built_anew(store: MemoryRecords, tmp_path: Path) -> None:
    views = SqliteViews(tmp_path)
    catalog = Catalog(store, views)
    await store.write(tag("1.0.0"), release())
    assert await catalog.names() == [APP]
    for file in view_files(tmp_path):
        file.write_bytes(b"\xff" * 50_000)
    await store.write(tag("2.0.0"), release())
    assert await catalog.default(APP) == "2.0.0"
    assert await catalog.names() == [APP]
    await catalog.close()
    await views.close()


async def test_views_that_are_deleted_while_in_use_are_built_anew(store: MemoryRecords, tmp_path: Path) -> None:
    views = SqliteViews(tmp_path)
    catalog = Catalog(store, views)
    await store.write(tag("1.0.0"), release())
    assert await catalog.names() == [APP]
    for file in view_files(tmp_path):
        file.unlink()
    assert await catalog.names() == [APP]
    await store.write(tag("2.0.0"), release())
    assert await catalog.default(APP) == "2.0.0"
    assert view_files(tmp_path)[0].name == "views-3.sqlite"
    await catalog.close()
    await views.close()
