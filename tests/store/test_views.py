"""The ViewStore contract, held in memory and on disk."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnr.domain.names import Channel, Format, PackageName, Repository, Tag
from cnr.domain.version import Release, release_of, tag_of
from cnr.store import keys
from cnr.store.base import Cursor, Version
from cnr.store.views import (
    Change,
    ChannelRow,
    ChannelView,
    ChartPlace,
    CursorMoved,
    FormatRow,
    PlainRow,
    ReleaseRow,
    ReleaseView,
    RepoRow,
    ViewsLost,
    ViewStore,
    yanked_in,
)
from cnr.store.views_charts import GONE_LIMIT
from cnr.store.views_sqlite import SqliteViews

APP = Repository("ns/app")
HELM = FormatRow(Format("helm"), 5)
KPM = FormatRow(Format("kpm"), 3)


class Writer:
    """Feeds changes to views as a catalog does, with rising versions and cursors."""

    def __init__(self, views: ViewStore) -> None:
        self.views = views
        self._versions = count(1)

    async def write(self, *changes: Change) -> None:
        since = await self.views.cursor()
        until = Cursor(str(next(self._versions)))
        if since is None:
            await self.views.rebuild(pages(changes), since=None, until=until)
        else:
            await self.views.apply(changes, since=since, until=until)

    def next_version(self) -> int:
        return next(self._versions)

    def release(
        self,
        repository: str,
        version: str,
        *formats: FormatRow,
        born: str = "b",
        description: str = "",
        keywords: tuple[str, ...] = (),
    ) -> Change:
        name, release = Repository(repository), Release(version)
        row = ReleaseRow(name, tag_of(release), release, born, formats, description, keywords)
        return Change(keys.tag(name, row.tag), Version(next(self._versions)), row)

    def channel(self, repository: str, name: str, current: str, *members: tuple[str, str]) -> Change:
        row = ChannelRow(
            Repository(repository), Channel(name), Tag(current), tuple((Tag(tag), born) for tag, born in members)
        )
        return Change(keys.tag(row.repository, name), Version(next(self._versions)), row)

    def plain(self, repository: str, tag: str) -> Change:
        row = PlainRow(Repository(repository), Tag(tag))
        return Change(keys.tag(row.repository, tag), Version(next(self._versions)), row)

    def created(self, repository: str, at: int) -> Change:
        row = RepoRow(Repository(repository), at)
        return Change(keys.repo(row.repository), Version(next(self._versions)), row)


async def pages(*changes: Sequence[Change]) -> AsyncIterator[Sequence[Change]]:
    for page in changes:
        yield page


def gone(repository: str, tag: str) -> Change:
    return Change(keys.tag(Repository(repository), tag), None, None)


@pytest.fixture(params=["memory", "disk"])
async def views(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteViews]:
    store = SqliteViews(None if request.param == "memory" else tmp_path)
    yield store
    await store.close()


@pytest.fixture
def writer(views: SqliteViews) -> Writer:
    return Writer(views)


async def search(views: ViewStore, query: str, limit: int = 100) -> list[str]:
    return [str(hit.name) for hit in await views.search(query, limit=limit)]


async def test_empty_views_have_no_cursor_and_answer_nothing(views: SqliteViews) -> None:
    assert await views.cursor() is None
    with pytest.raises(ViewsLost):
        await views.names(limit=1)


async def test_apply_moves_the_cursor_and_refuses_another_place(writer: Writer, views: SqliteViews) -> None:
    await writer.write()
    since = await views.cursor()
    assert since is not None
    await views.apply([writer.release(APP, "1.0.0", HELM)], since=since, until=Cursor("x"))
    with pytest.raises(CursorMoved):
        await views.apply([writer.release(APP, "2.0.0", HELM)], since=since, until=Cursor("y"))
    assert await views.cursor() == "x"
    assert await views.default(APP) == "1.0.0"


async def test_a_rebuild_replaces_everything(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release("ns/old", "1.0.0", HELM, description="ancient"), writer.created("ns/old", 1))
    since = await views.cursor()
    first, second = [writer.release("ns/a", "1.0.0", HELM)], [writer.plain("ns/b", "latest")]
    await views.rebuild(pages(first, second), since=since, until=Cursor("z"))
    assert await views.names(limit=10) == ["ns/a"]
    assert await views.repositories(limit=10) == ["ns/a", "ns/b"]
    assert await search(views, "ancient") == []
    assert await views.cursor() == "z"


async def test_a_rebuild_from_another_place_or_that_fails_changes_nothing(writer: Writer, views: SqliteViews) -> None:
    async def failing() -> AsyncIterator[Sequence[Change]]:
        yield [writer.release("ns/new", "1.0.0", HELM)]
        raise ZeroDivisionError

    await writer.write(writer.release(APP, "1.0.0", HELM))
    since = await views.cursor()
    with pytest.raises(CursorMoved):
        await views.rebuild(pages(), since=None, until=Cursor("z"))
    with pytest.raises(ZeroDivisionError):
        await views.rebuild(failing(), since=since, until=Cursor("z"))
    assert await views.cursor() == since
    assert await views.names(limit=10) == [APP]


async def test_readers_see_the_old_rows_until_a_rebuild_is_complete(writer: Writer, views: SqliteViews) -> None:
    seen: list[Sequence[str]] = []

    async def looking() -> AsyncIterator[Sequence[Change]]:
        for name in ("ns/a", "ns/b"):
            yield [writer.release(name, "1.0.0", HELM)]
            seen.append(await views.names(limit=10))

    await writer.write(writer.release(APP, "1.0.0", HELM))
    await views.rebuild(looking(), since=await views.cursor(), until=Cursor("z"))
    assert seen == [[APP], [APP]]
    assert await views.names(limit=10) == ["ns/a", "ns/b"]


async def test_a_row_is_only_replaced_by_one_of_a_higher_version(writer: Writer, views: SqliteViews) -> None:
    older, newer = writer.release(APP, "1.0.0", HELM), writer.release(APP, "1.0.0", HELM, KPM)
    old_repo, new_repo = writer.created(APP, 1), writer.created(APP, 2)
    await writer.write(newer, new_repo)
    await writer.write(older, old_repo)
    (view,) = await views.packages(limit=10)
    assert view.releases == (ReleaseView(Release("1.0.0"), (HELM, KPM)),)
    assert view.created_at == 2


async def test_releases_are_sorted_by_precedence_and_carry_sorted_formats(writer: Writer, views: SqliteViews) -> None:
    ordered = ["10.0.0-alpha", "2.0.0", "2.0.0-rc.2", "1.10.0", "1.9.0", "1.0.0+b", "1.0.0+a", "1.0.0"]
    await writer.write(*(writer.release(APP, version, KPM, HELM) for version in sorted(ordered)))
    assert await views.releases(APP) == tuple(ReleaseView(Release(version), (HELM, KPM)) for version in ordered)
    assert await views.default(APP) == "10.0.0-alpha"


async def test_newest_is_the_latest_creation_of_a_format(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "2.0.0", KPM), writer.release(APP, "1.0.0", KPM, HELM))
    assert await views.newest(APP) == 5
    await writer.write(gone(APP, "1.0.0"))
    assert await views.newest(APP) == 3
    assert await views.newest(Repository("ns/none")) == 0


async def test_a_release_without_formats_makes_no_package(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", description="an image"))
    assert await views.releases(APP) == ()
    assert await views.default(APP) is None
    assert await views.names(limit=10) == []
    assert await search(views, "image") == []
    assert await views.repositories(limit=10) == [APP]
    await writer.write(writer.release(APP, "0.9.0", HELM), writer.release(APP, "2.0.0"))
    assert await views.default(APP) == "0.9.0"
    assert [view.release for view in await views.releases(APP)] == ["0.9.0"]
    await writer.write(writer.release(APP, "1.0.0", HELM))
    assert await views.default(APP) == "1.0.0"


async def test_repositories_of_one_component_are_in_library_and_deep_ones_hidden(
    writer: Writer, views: SqliteViews
) -> None:
    names = ["redis", "a/b", "a/b/c", "library/x"]
    await writer.write(*(writer.release(name, "1.0.0", HELM) for name in names))
    assert await views.names(limit=10) == ["a/b", "library/redis"]
    assert [view.name for view in await views.packages(limit=10)] == [
        PackageName("a", "b"),
        PackageName("library", "redis"),
    ]
    assert await search(views, "redis") == ["library/redis"]
    assert await views.repositories(limit=10) == ["a/b", "a/b/c", "library/x", "redis"]
    assert await views.default(Repository("a/b/c")) == "1.0.0"


async def test_repositories_are_those_with_any_tag(writer: Writer, views: SqliteViews) -> None:
    await writer.write(
        *(writer.plain("b", "latest"), writer.release("a", "1.0.0"), writer.channel("c/d", "stable", "1.0.0")),
        *(writer.release("a", "1.1.0", HELM), writer.created("empty/one", 1)),
    )
    assert await views.repositories(limit=10) == ["a", "b", "c/d"]
    assert await views.repositories(limit=1) == ["a"]
    assert await views.repositories(after="a", limit=1) == ["b"]
    await writer.write(gone("a", "1.0.0"), gone("b", "latest"))
    assert await views.repositories(limit=10) == ["a", "c/d"]


async def test_a_channel_follows_its_current_while_that_lives(writer: Writer, views: SqliteViews) -> None:
    versions = ("1.0.0", "2.0.0", "3.0.0")
    await writer.write(
        *(writer.release(APP, version, HELM) for version in versions),
        writer.channel(APP, "stable", "1.0.0", *((version, "b") for version in versions)),
    )
    expected = ChannelView(Channel("stable"), Release("1.0.0"), (Release("3.0.0"), Release("2.0.0"), Release("1.0.0")))
    assert await views.channel(APP, Channel("stable")) == expected
    assert await views.channels_at(APP, Tag("1.0.0")) == ["stable"]
    await writer.write(gone(APP, "1.0.0"))
    assert await views.channels_at(APP, Tag("1.0.0")) == []
    assert await views.channels_at(APP, Tag("3.0.0")) == ["stable"]
    assert await views.channel(APP, Channel("stable")) == ChannelView(
        Channel("stable"), Release("3.0.0"), (Release("3.0.0"), Release("2.0.0"))
    )
    await writer.write(gone(APP, "2.0.0"), gone(APP, "3.0.0"))
    assert await views.channel(APP, Channel("stable")) is None
    assert await views.channels(APP) == []


async def test_a_release_born_again_is_no_member(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", HELM), writer.channel(APP, "stable", "1.0.0", ("1.0.0", "b")))
    await writer.write(writer.release(APP, "1.0.0", HELM, born="other"))
    assert await views.channels_at(APP, Tag("1.0.0")) == []
    assert await views.channel(APP, Channel("stable")) is None
    await writer.write(writer.channel(APP, "stable", "1.0.0", ("1.0.0", "other")))
    assert await views.channels_at(APP, Tag("1.0.0")) == ["stable"]


async def test_a_channel_may_come_before_its_releases(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.channel(APP, "stable", "2.0.0", ("1.0.0", "b"), ("2.0.0", "b"), ("not-a-release", "b")))
    await writer.write(writer.release(APP, "1.0.0"))
    assert await views.channels_at(APP, Tag("1.0.0")) == ["stable"]
    await writer.write(writer.release(APP, "2.0.0"))
    assert await views.channels_at(APP, Tag("2.0.0")) == ["stable"]


async def test_channels_are_sorted_and_leave_with_their_tag(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0+x", HELM))
    await writer.write(*(writer.channel(APP, name, "1.0.0_x", ("1.0.0_x", "b")) for name in ("dev", "beta", "Zed")))
    assert await views.channels_at(APP, Tag("1.0.0_x")) == ["Zed", "beta", "dev"]
    assert [view.name for view in await views.channels(APP)] == ["Zed", "beta", "dev"]
    await writer.write(gone(APP, "dev"), writer.plain(APP, "beta"))
    assert [view.name for view in await views.channels(APP)] == ["Zed"]
    await writer.write(writer.channel(APP, "dev", "1.0.0_x"))
    assert await views.channel(APP, Channel("dev")) is None


async def test_packages_show_creation_update_and_releases(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", KPM), writer.release(APP, "0.9.0", HELM))
    (view,) = await views.packages(limit=10)
    assert (view.created_at, view.updated_at) == (3, 5)
    await writer.write(writer.created(APP, 2))
    (view,) = await views.packages(limit=10)
    assert (view.created_at, view.updated_at) == (2, 5)
    assert [item.release for item in view.releases] == ["1.0.0", "0.9.0"]


async def test_package_filters_combine(writer: Writer, views: SqliteViews) -> None:
    await writer.write(
        *(writer.release("ns/app", "1.0.0", HELM, KPM), writer.release("ns/app", "2.0.0", KPM)),
        *(writer.release("ns/web", "1.0.0", KPM), writer.release("ns-2/app", "1.0.0", HELM)),
    )

    async def found(**filters: object) -> list[str]:
        return [str(view.name) for view in await views.packages(limit=10, **filters)]  # type: ignore[arg-type]

    assert await found() == ["ns-2/app", "ns/app", "ns/web"]
    assert await found(namespace="ns") == ["ns/app", "ns/web"]
    assert await found(namespace="") == await found(namespace="n") == await found(namespace="ns/app") == []
    assert await found(query="S/A") == ["ns/app"]
    assert await found(query="app", format="helm") == ["ns-2/app", "ns/app"]
    assert await found(format="helm", namespace="ns") == ["ns/app"]
    assert await found(format="") == await found(format="-") == await found(format="HELM") == []
    assert await found(after="ns/app") == ["ns/web"]
    assert await found(namespace="ns", after="ns/app", format="kpm") == ["ns/web"]
    (helm,) = await views.packages(namespace="ns", format=Format("helm"), limit=10)
    assert helm.releases == (ReleaseView(Release("1.0.0"), (HELM,)),)
    await writer.write(gone("ns/app", "1.0.0"))
    assert await found(format="helm") == ["ns-2/app"]


async def test_lists_are_paged_in_byte_order(writer: Writer, views: SqliteViews) -> None:
    names = sorted(f"{ns}/{name}" for ns in ("a", "a-b", "a.b", "b0") for name in ("x", "x-1", "x.1", "x1"))
    await writer.write(*(writer.release(name, "1.0.0", HELM) for name in names))
    paged: list[str] = []
    while page := await views.names(after=paged[-1] if paged else "", limit=3):
        paged += page
    assert paged == names
    assert await views.names(limit=0) == []


HOSTILE = ["(", ".*", "[", "'", '"', "%", "_", "\x00", "\ud800", "İ", "app\x00", "a" * 1_000_000, "((((a+)+)+)+$"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
async def test_text_of_strangers_is_literal(writer: Writer, views: SqliteViews, text: str) -> None:
    await writer.write(writer.release(APP, "1.0.0", HELM, description="about nothing"))
    assert await views.names(query=text, limit=10) == []
    assert await views.packages(query=text, limit=10) == []
    assert await views.packages(namespace=text, limit=10) == []
    assert await views.packages(format=Format(text), limit=10) == []
    assert await views.channel(APP, Channel(text)) is None
    assert await views.names(after="ns/z" + text, limit=10) == []
    assert await views.repositories(after="z" + text, limit=10) == []
    assert await views.search(text, after=(9.0, text), limit=10) == []


async def test_a_deleted_package_leaves_every_list(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", HELM, description="words", keywords=("key",)))
    assert await search(views, "words") == await search(views, "key") == await search(views, "app") == [APP]
    deleted = Change(keys.tag(APP, "1.0.0"), Version(99), None)
    await writer.write(deleted)
    for found in (views.names(limit=10), views.packages(limit=10), views.repositories(limit=10)):
        assert list(await found) == []
    assert await views.packages(format=Format("helm"), limit=10) == []
    assert await search(views, "words") == await search(views, "key") == await search(views, "app") == []


async def test_tags_may_change_their_kind(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", HELM), writer.channel(APP, "x", "1.0.0", ("1.0.0", "b")))
    await writer.write(writer.plain(APP, "x"), writer.plain(APP, "1.0.0"))
    assert await views.names(limit=10) == []
    assert await views.channels(APP) == []
    await writer.write(writer.channel(APP, "x", "1.0.0", ("1.0.0", "b")), writer.release(APP, "1.0.0", HELM))
    assert [view.name for view in await views.channels(APP)] == ["x"]
    assert release_of("x") is None


async def test_many_changes_in_one_apply(writer: Writer, views: SqliteViews) -> None:
    await writer.write()
    await writer.write(*(writer.release(f"ns/p{n % 100:02}", f"1.0.{n}", HELM) for n in range(1000)))
    assert len(await views.names(limit=1000)) == 100
    assert len(await views.releases(Repository("ns/p42"))) == 10


async def test_cursor_and_rows_outlive_the_process(tmp_path: Path) -> None:
    first = SqliteViews(tmp_path)
    await Writer(first).write(Writer(first).release(APP, "1.0.0", HELM))
    cursor = await first.cursor()
    await first.close()
    second = SqliteViews(tmp_path)
    assert await second.cursor() == cursor
    assert await second.names(limit=10) == [APP]
    await second.close()


async def test_search_ranks_names_above_keywords_above_descriptions(writer: Writer, views: SqliteViews) -> None:
    await writer.write(
        writer.release("a/says-so", "1.0.0", HELM, description="Like Redis, but slower"),
        writer.release("b/tagged", "1.0.0", HELM, description="redis too", keywords=("Redis", "cache")),
        writer.release("c/my-redis", "1.0.0", HELM),
        writer.release("d/redis-cluster", "1.0.0", HELM),
        writer.release("e/redis-ha", "1.0.0", HELM),
        writer.release("f/redis", "1.0.0", HELM, KPM, description="In memory"),
        writer.release("g/other", "1.0.0", HELM),
    )
    ranked = ["f/redis", "e/redis-ha", "d/redis-cluster", "c/my-redis", "b/tagged", "a/says-so"]
    assert await search(views, "REDIS") == ranked
    hits = await views.search("redis", limit=10)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    best = hits[0]
    assert (best.default, best.description, best.formats) == ("1.0.0", "In memory", ("helm", "kpm"))
    assert await search(views, "f/redis") == ["f/redis"]


async def test_search_needs_every_word_somewhere(writer: Writer, views: SqliteViews) -> None:
    await writer.write(
        writer.release("a/redis", "1.0.0", HELM, description="A fast database", keywords=("nosql",)),
        writer.release("b/mongo", "1.0.0", HELM, description="A slow database (or two)"),
    )
    assert await search(views, "database") == ["a/redis", "b/mongo"]
    assert await search(views, "  data\tred\n") == ["a/redis"]
    assert await search(views, "fast nosql") == ["a/redis"]
    assert await search(views, "fast mongo") == []
    assert await search(views, "a") == ["a/redis", "b/mongo"]
    assert await search(views, "da") == [], "two letters are no prefix"
    assert await search(views, "") == await search(views, " \t") == []


async def test_search_follows_the_default_release(writer: Writer, views: SqliteViews) -> None:
    await writer.write(
        writer.release(APP, "1.0.0", HELM, description="old text"),
        writer.release(APP, "2.0.0", KPM, description="new text"),
    )
    assert (await search(views, "old"), await search(views, "new")) == ([], [APP])
    (hit,) = await views.search("text", limit=10)
    assert (hit.default, hit.description, hit.formats) == ("2.0.0", "new text", ("kpm",))
    await writer.write(gone(APP, "2.0.0"))
    assert (await search(views, "old"), await search(views, "new")) == ([APP], [])
    await writer.write(writer.release(APP, "3.0.0", HELM))
    (hit,) = await views.search("app", limit=10)
    assert (hit.default, hit.description) == ("3.0.0", "")
    assert await search(views, "old") == []


async def test_search_is_paged_by_score_and_name(writer: Writer, views: SqliteViews) -> None:
    for part, keywords in (("redis", ()), ("my-redis", ("redis",)), ("x", ()), ("y", ("redis",))):
        for ns in "abc":
            await writer.write(writer.release(f"{ns}/{part}", "1.0.0", HELM, description="redis db", keywords=keywords))
    for query in ("redis", "redis db"):
        everything = [(hit.score, str(hit.name)) for hit in await views.search(query, limit=100)]
        assert len(everything) == 12
        assert everything == sorted(everything, key=lambda hit: (-hit[0], hit[1]))
        for limit in (1, 2, 5):
            paged: list[tuple[float, str]] = []
            while page := await views.search(query, after=paged[-1] if paged else None, limit=limit):
                paged += [(hit.score, str(hit.name)) for hit in page]
            assert paged == everything


OPERATORS = [
    *('"', '"redis', "redis*", "redis OR mongo", "NEAR(redis mongo)", "^redis", "-redis", "keywords:redis", "{redis}"),
    *("redis)", "((((", "AND", "NOT redis", "re\x00dis", "redis\ud800!", "%", "*", "''", "x" * 1_000_000),
]


@pytest.mark.parametrize("query", OPERATORS, ids=lambda text: ascii(text[:20]))
async def test_search_has_no_query_language(writer: Writer, views: SqliteViews, query: str) -> None:
    await writer.write(writer.release("a/mongo", "1.0.0", HELM, description="mongo"))
    assert await search(views, query) == []


@given(query=st.text(max_size=40))
@settings(deadline=None, max_examples=200)
async def test_search_takes_any_text(query: str) -> None:
    views = SqliteViews()
    await Writer(views).write(Writer(views).release(APP, "1.0.0", HELM, description=query, keywords=(query,)))
    assert len(await views.search(query, limit=10)) <= 1
    await views.close()


async def test_search_takes_only_so_many_words(writer: Writer, views: SqliteViews) -> None:
    await writer.write(writer.release(APP, "1.0.0", HELM, description="word"))
    eight = "app ap p ns s/a /app n word"
    assert await search(views, f"{eight} missing") == [APP]
    assert await search(views, f"missing {eight}") == []
    assert await search(views, "word " * 50 + "missing") == [], "the same word again is no other word"


def listed(repository: str, tag: str, number: int, entry: bytes | None, at: int = 0) -> Change:
    name = Repository(repository)
    row = PlainRow(name, Tag(tag)) if entry is not None else None
    return Change(keys.tag(name, tag), Version(number), row, entry, at)


async def charts(views: ViewStore, namespace: str, since: ChartPlace | None = None, limit: int = 100) -> list[object]:
    found = await views.chart_changes(namespace, since or ChartPlace(), limit=limit)
    return [(each.name, each.version, each.entry) for each in found.changes]


async def test_charts_by_namespace(writer: Writer, views: SqliteViews) -> None:
    await writer.write(listed("ns/app", "1.0.0", 1, b"a", 5), listed("app", "v1_b", 2, b"b", 7))
    await writer.write(listed("ns/deep/app", "1.0.0", 3, b"c"), listed("ns/app", "latest", 4, None))
    assert await charts(views, "ns") == [("app", "1.0.0", b"a")]
    assert await charts(views, "") == [("app", "v1+b", b"b")]
    assert await charts(views, "ns/deep") == [("app", "1.0.0", b"c")]
    assert await charts(views, "nobody") == []
    assert (await views.chart_place("ns")).changed_at == 5
    assert await views.chart_place("nobody") == ChartPlace()


async def test_changes_of_charts_since_a_place(writer: Writer, views: SqliteViews) -> None:
    await writer.write(*[listed("ns/app", f"1.0.{number}", number + 1, b"%d" % number) for number in range(5)])
    place = await views.chart_place("ns")
    assert await charts(views, "ns", place) == []
    await writer.write(listed("ns/app", "1.0.2", 10, b"new", 9), listed("ns/app", "1.0.3", 11, None, 8))
    assert await charts(views, "ns", place) == [("app", "1.0.2", b"new"), ("app", "1.0.3", None)]
    moved = await views.chart_place("ns")
    assert (moved.lineage, moved.changed_at) == (place.lineage, 9)
    await writer.write(listed("ns/app", "1.0.2", 12, b"new"), listed("ns/app", "1.0.0", 1, b"old"))
    assert await views.chart_place("ns") == moved
    page = await views.chart_changes("ns", ChartPlace(), limit=2)
    assert (page.more, page.anew) == (True, True)
    rest = await views.chart_changes("ns", page.place, limit=100)
    assert (rest.more, rest.anew, len(page.changes) + len(rest.changes)) == (False, False, 5)
    assert rest.place == moved


async def test_a_rebuild_begins_another_lineage(writer: Writer, views: SqliteViews) -> None:
    await writer.write(listed("ns/app", "1.0.0", 1, b"a"), listed("ns/old", "1.0.0", 2, b"a"))
    place = await views.chart_place("ns")
    await views.rebuild(pages([listed("ns/app", "1.0.0", 1, b"a")]), since=await views.cursor(), until=Cursor("x"))
    found = await views.chart_changes("ns", place, limit=100)
    assert found.anew
    assert [each.name for each in found.changes] == ["app"]


async def test_charts_that_are_gone_do_not_pile_up(writer: Writer, views: SqliteViews) -> None:
    await writer.write(listed("ns/app", "1.0.0", 1, b"a"))
    place = await views.chart_place("ns")
    for number in range(GONE_LIMIT + 5):
        await writer.write(listed("ns/app", f"2.0.{number}", 2 * number + 2, b"b"))
        await writer.write(listed("ns/app", f"2.0.{number}", 2 * number + 3, None))
    found = await views.chart_changes("ns", place, limit=10 * GONE_LIMIT)
    assert found.anew
    assert len(found.changes) <= 10
    assert [each.version for each in found.changes if each.entry] == ["1.0.0"]


async def test_a_release_that_only_helm_takes_is_in_no_list(writer: Writer, views: SqliteViews) -> None:
    lenient = [writer.release(APP, version, HELM, description="lenient") for version in ("v1.0.0", "1.0", "v2")]
    await writer.write(*lenient, writer.channel(APP, "stable", "v2", ("v2", "b")))
    assert await views.names(limit=10) == []
    assert await views.releases(APP) == ()
    assert (await views.default(APP), await views.newest(APP)) == (None, 0)
    assert await search(views, "lenient") == []
    assert await views.packages(format=Format("helm"), limit=10) == []
    assert await views.channels(APP) == []
    assert await views.repositories(limit=10) == [APP]
    await writer.write(writer.release(APP, "1.0.0", KPM))
    assert [view.release for view in await views.releases(APP)] == ["1.0.0"]
    await writer.write(writer.release(APP, "v1.0.0", KPM), writer.plain(APP, "1.0"), gone(APP, "v2"))
    assert [view.release for view in await views.releases(APP)] == ["1.0.0"]
    await writer.write(gone(APP, "v1.0.0"), gone(APP, "1.0.0"), gone(APP, "1.0"), gone(APP, "stable"))
    assert (await views.repositories(limit=10), await views.names(limit=10)) == ([], [])


async def test_a_yanked_release_exists_and_is_in_no_list(writer: Writer, views: SqliteViews) -> None:
    live = writer.release(APP, "1.0.0", HELM, KPM, description="words")
    await writer.write(live, writer.channel(APP, "stable", "1.0.0", ("1.0.0", "b")))
    for yanked in (True, False, True):
        assert isinstance(live.row, ReleaseRow)
        version = Version(writer.next_version())
        again = Change(live.key, version, replace(live.row, yanked=yanked), b"entry", 0, yanked)
        await writer.write(again)
        assert await views.names(limit=10) == ([] if yanked else [APP])
        assert len(await views.releases(APP)) == (0 if yanked else 1)
        assert len(await views.packages(format=Format("kpm"), limit=10)) == (0 if yanked else 1)
        assert await search(views, "words") == ([] if yanked else [APP])
        assert await views.exists(APP)
        assert [view.current for view in await views.channels(APP)] == ["1.0.0"]
        where, elsewhere = ("ns", yanked_in("ns")) if not yanked else (yanked_in("ns"), "ns")
        assert await charts(views, where) == [("app", "1.0.0", b"entry")]
        assert await charts(views, elsewhere) in ([], [("app", "1.0.0", None)])
    await writer.write(gone(APP, "1.0.0"))
    assert not await views.exists(APP)
    assert await charts(views, yanked_in("ns")) == [("app", "1.0.0", None)]
