"""How much a namespace may have: what counts, who is refused before anything is written, and what makes room."""

import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cnr.domain.digest import sha256
from cnr.domain.errors import QuotaExceeded
from cnr.domain.manifest import MANIFEST_TYPE
from cnr.domain.names import Channel, Format, PackageName, Repository, Tag
from cnr.domain.policy import Quota, Use
from cnr.domain.version import Release
from cnr.registry.gc import Collector
from cnr.registry.references import Pushed, read_manifest
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.records import PolicyRecord
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, MakeRegistry, chart
from .test_uploads import chunks

REPO = Repository("ns/app")
HELM = Format("helm")


async def limit(registry: Registry, path: str = "ns", **quota: int | str) -> None:
    def change(before: PolicyRecord) -> PolicyRecord:
        return replace(before, **quota)

    await registry.policies.change(path, change)


async def publish(registry: Registry, version: str, package: PackageName = APP, *, force: bool = False) -> None:
    await registry.publisher.publish(package, Release(version), HELM, chart(version), force=force)


async def image(registry: Registry, repository: Repository, layer: bytes, reference: str) -> Pushed:
    """Push an image of one layer by tag."""
    pushed = await parts(registry, repository, layer)
    await registry.images.put(repository, pushed, Tag(reference))
    return pushed


async def parts(registry: Registry, repository: Repository, layer: bytes) -> Pushed:
    """Push what an image names; the image itself is still to come."""
    for data in (b"{}", layer):
        await registry.uploads.take(repository, sha256(data), chunks(data), length=len(data))
    described = [{"mediaType": "application/x", "digest": sha256(d), "size": len(d)} for d in (b"{}", layer)]
    text = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described[1:]}
    data = json.dumps(text).encode()
    return read_manifest(data, MANIFEST_TYPE, sha256(data))


async def everything(records: SqliteRecords) -> dict[str, bytes]:
    found = {}
    for prefix in (keys.TAGS, keys.REPOS, keys.BLOBS, keys.MANIFESTS, keys.CONTENTS, keys.UPLOADS):
        for record in await records.scan(prefix):
            found[record.key] = record.value
    return found


async def test_what_counts(registry: Registry) -> None:
    catalog = registry.catalog
    assert await catalog.use("ns") == Use()
    layer = b"x" * 5000
    pushed = await image(registry, REPO, layer, "one")
    size = 2 + len(layer) + len(pushed.data)
    assert await catalog.use("ns") == await catalog.use("ns/app") == Use(1, size)
    await registry.images.put(REPO, pushed, Tag("two"))
    await image(registry, Repository("ns/deep/er"), layer, "one")
    assert await catalog.use("ns/app") == Use(2, size)
    assert await catalog.use("ns") == Use(3, 2 * size)
    assert await catalog.use("ns/deep") == await catalog.use("ns/deep/er") == Use(1, size)
    await image(registry, Repository("single"), layer, "one")
    assert await catalog.use("library/single") == Use(1, size)
    assert await catalog.use("single") == Use()


async def test_releases_channels_and_other_tags_count(registry: Registry) -> None:
    await publish(registry, "1.0.0")
    await publish(registry, "1.1.0")
    await registry.channels.add(APP, Channel("stable"), "1.0.0")
    assert (await registry.catalog.use("ns")).tags == 3
    await publish(registry, "1.0.0", force=True)
    await registry.channels.add(APP, Channel("stable"), "1.1.0")
    assert (await registry.catalog.use("ns")).tags == 3
    await registry.channels.delete(APP, Channel("stable"))
    await registry.packages.delete(APP, "1.0.0", "helm")
    assert (await registry.catalog.use("ns")).tags == 1


Push = Callable[[Registry], Awaitable[object]]


async def _channel(registry: Registry) -> None:
    await registry.channels.add(APP, Channel("stable"), "1.0.0")


async def _chart(registry: Registry) -> None:
    await registry.chart_uploads.publish("ns", chart("1.1.0"))


@pytest.mark.parametrize(
    "push",
    [
        lambda registry: publish(registry, "1.1.0"),
        lambda registry: publish(registry, "1.1.0", PackageName("ns", "other")),
        _chart,
        _channel,
    ],
    ids=["cnr", "another package", "chartmuseum", "channel"],
)
async def test_a_tag_too_many_is_refused_and_leaves_nothing(
    push: Push, registry: Registry, records: SqliteRecords
) -> None:
    await publish(registry, "1.0.0")
    await limit(registry, max_tags=1)
    before = await everything(records)
    with pytest.raises(QuotaExceeded, match="ns may have 1 tags and has 1: this push would add 1") as caught:
        await push(registry)
    assert caught.value.details == {"path": "ns", "what": "tags", "limit": 1, "used": 1}
    assert await everything(records) == before
    await publish(registry, "1.0.0", force=True)  # what is there may be replaced
    await limit(registry, max_tags=2)
    await push(registry)


async def test_an_images_tag_too_many_is_refused(registry: Registry, records: SqliteRecords) -> None:
    pushed = await image(registry, REPO, b"layer", "one")
    await limit(registry, max_tags=1)
    before = await everything(records)
    with pytest.raises(QuotaExceeded):
        await registry.images.put(REPO, pushed, Tag("two"))
    assert await registry.images.put_by_digest(REPO, pushed, [Tag("two"), Tag("one")]) == [Tag("one")]
    assert (await everything(records)).keys() == before.keys()
    await registry.images.put(REPO, pushed, Tag("one"))
    await registry.images.delete_tag(REPO, Tag("one"))
    await registry.images.put(REPO, pushed, Tag("two"))


async def test_bytes_too_many_are_refused_however_they_come(registry: Registry, records: SqliteRecords) -> None:
    layer = b"x" * 10_000
    pushed = await parts(registry, REPO, layer)
    other = await parts(registry, Repository("elsewhere/app"), b"y" * 10_000)
    used = (await registry.catalog.use("ns")).bytes
    upload = await registry.uploads.begin(REPO)
    await limit(registry, max_bytes=used + 50)
    before = await everything(records)
    big = b"z" * 100
    for refused in (
        lambda: registry.uploads.take(REPO, sha256(big), chunks(big), length=100),
        lambda: registry.uploads.append(REPO, upload.id, chunks(big), length=100),
        lambda: registry.images.put(REPO, pushed, Tag("one")),
        lambda: registry.images.put_by_digest(REPO, pushed, []),
        lambda: registry.blobs.mount(REPO, sha256(b"y" * 10_000), Repository("elsewhere/app")),
        lambda: publish(registry, "1.0.0"),
        lambda: registry.chart_uploads.publish("ns", chart("1.0.0")),
    ):
        with pytest.raises(QuotaExceeded, match="bytes"):
            await refused()
    assert await everything(records) == before
    assert other.digest not in "".join(before)
    # what is there already needs no room
    await registry.uploads.take(REPO, sha256(layer), chunks(layer), length=len(layer))
    await limit(registry, max_bytes="off")
    await registry.images.put(REPO, pushed, Tag("one"))


async def test_an_upload_that_hides_its_length_is_refused_at_its_end(registry: Registry) -> None:
    await limit(registry, max_bytes=1000)
    upload = await registry.uploads.begin(REPO)
    data = b"x" * 2000
    await registry.uploads.append(REPO, upload.id, chunks(data))
    with pytest.raises(QuotaExceeded):
        await registry.uploads.finish(REPO, upload.id, sha256(data), chunks())
    assert await registry.catalog.use("ns") == Use()


async def test_a_full_namespace_begins_no_upload(registry: Registry) -> None:
    await image(registry, REPO, b"layer", "one")
    await limit(registry, max_bytes=10)
    with pytest.raises(QuotaExceeded):
        await registry.uploads.begin(REPO)
    await registry.uploads.begin(Repository("elsewhere/app"))


async def test_all_quotas_on_the_way_count(registry: Registry) -> None:
    await limit(registry, "ns", max_tags=3)
    await limit(registry, "ns/app", max_tags=1)
    await publish(registry, "1.0.0")
    with pytest.raises(QuotaExceeded, match="ns/app may have 1"):
        await publish(registry, "1.1.0")
    await publish(registry, "1.0.0", PackageName("ns", "b"))
    await publish(registry, "1.1.0", PackageName("ns", "b"))
    with pytest.raises(QuotaExceeded, match="ns may have 3"):
        await publish(registry, "1.2.0", PackageName("ns", "b"))


async def test_the_servers_quota_is_for_namespaces_without_their_own(registry: Registry) -> None:
    registry = Registry(dataclasses.replace(registry.core, quota=Quota(max_tags=1)))
    await publish(registry, "1.0.0")
    with pytest.raises(QuotaExceeded, match="ns may have 1"):
        await publish(registry, "1.1.0")
    await limit(registry, max_tags="off")
    await publish(registry, "1.1.0")
    await limit(registry, max_tags=None)  # type: ignore[arg-type]
    with pytest.raises(QuotaExceeded):
        await publish(registry, "1.2.0")


async def test_garbage_collection_gives_bytes_back(registry: Registry) -> None:
    await publish(registry, "1.0.0")
    await registry.packages.delete(APP, "1.0.0", "helm")
    assert (await registry.catalog.use("ns")).bytes > 0
    collector = Collector(registry.core, registry.manifests, timedelta(0))
    await collector.collect()
    await collector.collect()
    assert await registry.catalog.use("ns") == Use()


async def test_counts_of_a_rebuild_are_the_same(
    make_registry: MakeRegistry, records: SqliteRecords, blobs: object, registry: Registry
) -> None:
    for number in range(3):
        await publish(registry, f"1.{number}.0")
        await image(registry, Repository(f"ns/img{number}"), bytes([number]) * 20_000, "latest")
    await registry.packages.delete(APP, "1.1.0", "helm")
    await registry.images.delete_tag(Repository("ns/img1"), Tag("latest"))
    anew = SqliteViews()
    other = make_registry(records, blobs, anew)  # type: ignore[arg-type]
    for path in ("ns", "ns/app", "ns/img1", "ns/img2"):
        assert await other.catalog.use(path) == await registry.catalog.use(path) != Use()
    await anew.close()
