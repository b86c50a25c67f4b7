"""The rules of packages: publishing, finding, formats and deletion."""

import pytest
from tests.faults.faulty import Fault, FaultyRecords, Plan

from cnr.domain.digest import Digest, sha256
from cnr.domain.errors import (
    AmbiguousFormat,
    DataCorrupt,
    InvalidArchive,
    InvalidQuery,
    NameTaken,
    PackageNotFound,
    RecordFull,
    ReleaseExists,
    ReleaseNotFound,
    StoreTrouble,
    StoreUnavailable,
    TooLarge,
)
from cnr.domain.manifest import HELM_CHART_LAYER, HELM_CONFIG, INDEX_TYPE, parse_manifest
from cnr.domain.names import Channel, Format, PackageName, Tag
from cnr.domain.version import Release
from cnr.registry.core import Bytes
from cnr.registry.packages import Published
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.base import ABSENT, Version
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import (
    INLINE_MANIFEST,
    BlobRecord,
    PlainTag,
    Pointer,
    ReferrerRecord,
    ReleaseTag,
    Repo,
    decode,
    encode,
)
from cnr.store.sqlite import SqliteRecords
from cnr.store.views import Change, FormatRow, ReleaseRow
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, MakeRegistry, chart, package

HELM, KPM, COMPOSE = Format("helm"), Format("kpm"), Format("docker-compose")


async def publish(
    registry: Registry, release: str = "1.0.0", format: Format = HELM, source: Bytes | None = None, force: bool = False
) -> Published:
    return await registry.publisher.publish(APP, Release(release), format, source or chart(release), force=force)


async def pulled(registry: Registry, found: Published) -> bytes:
    reader = await registry.packages.open(found.package, found.entry.tar_digest)
    data = b"".join([chunk async for chunk in reader.chunks])
    assert len(data) == reader.size == found.entry.size
    return data


async def stored(records: SqliteRecords) -> list[str]:
    return [record.key for record in await records.scan("")]


async def test_what_is_published_is_found_and_pulled_as_it_was(registry: Registry) -> None:
    source = chart()
    await publish(registry, source=source)
    found = await registry.packages.find(APP, "1.0.0", "helm")
    assert await pulled(registry, found) == source.data


async def test_a_chart_that_helm_can_load_becomes_a_helm_manifest(registry: Registry) -> None:
    source = chart()
    await publish(registry, source=source)
    tag = await registry.tags.release(APP.repository, Tag("1.0.0"))
    assert tag is not None
    record = await registry.manifests.find(APP.repository, tag.manifest)
    assert record is not None
    manifest = parse_manifest(await registry.manifests.data(record, tag.manifest.digest))
    assert manifest.config is not None
    assert manifest.layers is not None
    assert manifest.config.media_type == HELM_CONFIG
    assert [(layer.media_type, layer.digest) for layer in manifest.layers] == [(HELM_CHART_LAYER, sha256(source.data))]
    for digest in (manifest.config.digest, manifest.layers[0].digest):
        reader = await registry.blobs.open(APP.repository, digest)
        assert sha256(b"".join([chunk async for chunk in reader.chunks])) == digest


async def test_a_chart_with_its_files_at_the_root_keeps_its_bytes_and_gets_a_layer_for_helm(registry: Registry) -> None:
    source = chart(top="")
    found = await publish(registry, source=source)
    assert await pulled(registry, found) == source.data
    record = await registry.manifests.find(APP.repository, found.entry.manifest)
    assert record is not None
    layers = parse_manifest(await registry.manifests.data(record, found.entry.manifest.digest)).layers
    assert layers is not None
    assert layers[0].media_type == HELM_CHART_LAYER
    assert layers[0].digest != sha256(source.data)
    assert await registry.blobs.find(APP.repository, layers[0].digest) is not None


async def test_a_release_is_immutable_unless_forced(registry: Registry) -> None:
    first = await publish(registry)
    with pytest.raises(ReleaseExists) as refusal:
        await publish(registry)
    assert refusal.value.details == {"package": "ns/app", "release": "1.0.0", "media_type": "helm"}
    second = await publish(registry, source=chart(extra=b"b: 2\n"), force=True)
    assert second.entry.created_at > first.entry.created_at
    assert (await registry.packages.find(APP, "1.0.0", "-")).entry == second.entry


async def test_force_keeps_channels_other_formats_and_the_age_of_the_package(registry: Registry) -> None:
    await publish(registry)
    await publish(registry, format=KPM, source=package({"manifest.yaml": b"x: 1\n"}))
    await registry.channels.add(APP, Channel("stable"), "1.0.0")
    (before,) = await registry.catalog.packages(limit=10)
    await publish(registry, source=chart(extra=b"c: 3\n"), force=True)
    (after,) = await registry.catalog.packages(limit=10)
    assert after.created_at == before.created_at
    assert [item.format for item in await registry.packages.manifests(APP, "1.0.0")] == ["helm", "kpm"]
    assert await registry.packages.channels_at(APP, Release("1.0.0")) == ["stable"]


@pytest.mark.parametrize("data", [b"", b"text", chart().data[:-9], chart().data + b"junk"])
async def test_a_refused_push_leaves_nothing(
    registry: Registry, records: SqliteRecords, blobs: MemoryBlobs, data: bytes
) -> None:
    with pytest.raises(InvalidArchive):
        await publish(registry, source=Bytes(data))
    assert await stored(records) == []
    assert [blob async for blob in blobs.scan()] == []


async def test_a_push_of_what_exists_leaves_nothing_new(registry: Registry, records: SqliteRecords) -> None:
    await publish(registry)
    before = await stored(records)
    with pytest.raises(ReleaseExists):
        await publish(registry, source=chart(extra=b"other: 1\n"))
    assert await stored(records) == before


async def test_a_package_beyond_a_limit_is_refused(registry: Registry) -> None:
    with pytest.raises(TooLarge):
        await publish(registry, source=chart(extra=b"\0" * (6 << 20)))


async def test_two_gzips_of_one_tar_are_one_file_in_the_package(registry: Registry) -> None:
    first, second = chart("1.0.0", level=9), chart("1.0.0", level=1)
    assert first.data != second.data
    await publish(registry, "1.0.0", source=first)
    other = await publish(registry, "2.0.0", KPM, source=second)
    assert await pulled(registry, other) == first.data
    assert other.entry.size == len(first.data)


async def test_a_large_package_is_stored_outside_the_records(registry: Registry, records: SqliteRecords) -> None:
    source = package({"app/data": bytes(range(256)) * 2000}, level=0)
    found = await publish(registry, source=source)
    assert await pulled(registry, found) == source.data
    record = await records.get(keys.blob(APP.repository, sha256(source.data)))
    blob: BlobRecord = decode(BlobRecord, record.value)
    assert (blob.data, blob.size) == (None, len(source.data))


async def test_two_formats_make_an_index_that_refers_to_the_chart(registry: Registry, records: SqliteRecords) -> None:
    helm = await publish(registry)
    await publish(registry, format=KPM, source=package({"manifest.yaml": b"x: 1\n"}))
    tag = await registry.tags.release(APP.repository, Tag("1.0.0"))
    assert tag is not None
    assert tag.manifest == helm.entry.manifest
    assert tag.index is not None
    record = await registry.manifests.find(APP.repository, tag.index)
    assert record is not None
    assert record.media_type == INDEX_TYPE
    (row,) = await records.scan(keys.referrers(APP.repository, Digest(tag.manifest.digest)))
    referrer: ReferrerRecord = decode(ReferrerRecord, row.value)
    assert (referrer.release, referrer.born) == ("1.0.0", tag.index.born)


async def test_without_a_chart_the_tag_points_at_the_index(registry: Registry) -> None:
    await publish(registry, format=KPM, source=package({"manifest.yaml": b"x: 1\n"}))
    alone = await registry.tags.release(APP.repository, Tag("1.0.0"))
    await publish(registry, format=COMPOSE, source=package({"compose.yaml": b"services: {}\n"}))
    both = await registry.tags.release(APP.repository, Tag("1.0.0"))
    assert alone is not None
    assert both is not None
    assert alone.manifest == alone.formats[KPM].manifest
    assert both.manifest == both.index
    assert both.born == alone.born


async def test_build_metadata_makes_another_release(registry: Registry) -> None:
    await publish(registry, "1.0.0+b1", source=chart("1.0.0+b1"))
    await publish(registry, "1.0.0")
    assert (await registry.packages.find(APP, "1.0.0+b1", "helm")).release == "1.0.0+b1"
    assert (await registry.packages.find(APP, "1.0.0", "helm")).release == "1.0.0"


async def test_queries_that_find_nothing(registry: Registry) -> None:
    with pytest.raises(PackageNotFound):
        await registry.packages.find(APP, "abc", "helm")
    await publish(registry)
    with pytest.raises(InvalidQuery):
        await registry.packages.find(APP, "abc", "helm")
    with pytest.raises(ReleaseNotFound):
        await registry.packages.find(APP, ">99", "helm")
    with pytest.raises(PackageNotFound):
        await registry.packages.find(APP, "default", "kpm")
    await publish(registry, format=KPM, source=package({"manifest.yaml": b"x: 1\n"}))
    with pytest.raises(AmbiguousFormat) as refusal:
        await registry.packages.find(APP, "1.0.0", "-")
    assert refusal.value.details["media_types"] == ["helm", "kpm"]


async def test_deleting_one_format_leaves_the_other(registry: Registry) -> None:
    await publish(registry)
    await publish(registry, format=KPM, source=package({"manifest.yaml": b"x: 1\n"}))
    await registry.packages.delete(APP, "1.0.0", "helm")
    (left,) = await registry.packages.manifests(APP, "1.0.0")
    tag = await registry.tags.release(APP.repository, Tag("1.0.0"))
    assert tag is not None
    assert left.format == KPM
    assert (tag.manifest, tag.index) == (left.entry.manifest, None)


async def test_deleting_the_last_release_ends_the_package(registry: Registry, records: SqliteRecords) -> None:
    found = await publish(registry)
    await registry.packages.delete(APP, "1.0.0", "-")
    for query in ("1.0.0", "default"):
        with pytest.raises(PackageNotFound):
            await registry.packages.find(APP, query, "helm")
    with pytest.raises(PackageNotFound):
        await registry.packages.require(APP, found.entry.tar_digest)
    with pytest.raises(PackageNotFound):
        await registry.packages.delete(APP, "1.0.0", "helm")
    assert await registry.catalog.packages(limit=10) == []
    repo: Repo = decode(Repo, (await records.get(keys.repo(APP.repository))).value)
    assert repo.state == "empty"


async def test_a_package_that_comes_again_is_new(registry: Registry) -> None:
    await publish(registry)
    await registry.channels.add(APP, Channel("stable"), "1.0.0")
    (before,) = await registry.catalog.packages(limit=10)
    await registry.packages.delete(APP, "1.0.0", "helm")
    await publish(registry)
    (after,) = await registry.catalog.packages(limit=10)
    assert after.created_at > before.created_at
    assert await registry.channels.all(APP) == []


async def test_one_package_never_sees_the_files_of_another(registry: Registry) -> None:
    found = await publish(registry)
    other = PackageName("ns", "other")
    await registry.publisher.publish(other, Release("1.0.0"), KPM, package({"x": b"y"}))
    with pytest.raises(PackageNotFound):
        await registry.packages.open(other, found.entry.tar_digest)


async def test_bytes_that_are_gone_are_no_ordinary_absence(registry: Registry, blobs: MemoryBlobs) -> None:
    found = await publish(registry, format=KPM, source=package({"data": bytes(range(256)) * 256}, level=0))
    for blob_id in [blob async for blob in blobs.scan()]:
        await blobs.delete(blob_id)
    with pytest.raises(DataCorrupt):
        await pulled(registry, found)


@pytest.mark.parametrize("format", [HELM, KPM])
async def test_a_push_without_room_in_the_record_leaves_nothing(
    registry: Registry, records: SqliteRecords, format: Format
) -> None:
    large = {"text": "x" * 60_000}
    for number in range(6):
        source = package({"data": b"%d" % number})
        await registry.publisher.publish(APP, Release("1.0.0"), Format(f"f{number}"), source, metadata=large)
    before = await stored(records)
    with pytest.raises(RecordFull):
        await registry.publisher.publish(APP, Release("1.0.0"), format, chart(), metadata=large)
    assert await stored(records) == before


@pytest.mark.parametrize("kind", ["plain", "image"])
async def test_a_push_where_another_kind_of_tag_stands_leaves_nothing(
    registry: Registry, records: SqliteRecords, kind: str
) -> None:
    pointer = Pointer(sha256(b"an image"), "0" * 32)
    tag = PlainTag(manifest=pointer) if kind == "plain" else ReleaseTag(born="0" * 32, manifest=pointer)
    await records.put(keys.tag(APP.repository, "1.0.0"), encode(tag), expect=ABSENT)
    with pytest.raises(NameTaken):
        await publish(registry)
    assert await stored(records) == [keys.tag(APP.repository, "1.0.0")]


async def test_a_list_that_names_what_is_not_there_ends_in_an_error(registry: Registry, views: SqliteViews) -> None:
    await publish(registry)
    await registry.ready()
    cursor = await views.cursor()
    assert cursor is not None
    ghost = ReleaseRow(APP.repository, Tag("2.0.0"), Release("2.0.0"), "0" * 32, (FormatRow(HELM, 1),))
    change = Change(keys.tag(APP.repository, "2.0.0"), Version(1), ghost)
    await views.apply([change], since=cursor, until=cursor)
    with pytest.raises(StoreUnavailable):
        await registry.packages.find(APP, ">=1", "helm")


async def test_a_push_beside_a_record_that_cannot_be_read_is_told_that_it_happened(
    registry: Registry, records: SqliteRecords
) -> None:
    await records.put(keys.tag(APP.repository, "0.1.0"), b"junk", expect=ABSENT)
    await publish(registry)
    assert (await registry.packages.find(APP, "1.0.0", "helm")).release == "1.0.0"
    with pytest.raises(StoreTrouble):
        await registry.packages.find(APP, "0.1.0", "helm")


async def test_a_large_manifest_that_gets_no_record_leaves_no_bytes(
    make_registry: MakeRegistry, records: SqliteRecords, blobs: MemoryBlobs, views: SqliteViews
) -> None:
    data = b"{" + b" " * INLINE_MANIFEST + b"}"
    registry = make_registry(FaultyRecords(records, Plan.at(2, Fault.FAIL)), blobs, views)
    with pytest.raises(StoreUnavailable):
        await registry.manifests.store(APP.repository, data, INDEX_TYPE, origin="client")
    assert [blob_id async for blob_id in blobs.scan()] == []
    stored = await registry.manifests.store(APP.repository, data, INDEX_TYPE, origin="client")
    record = await registry.manifests.find(APP.repository, stored.pointer)
    assert record is not None
    assert await registry.manifests.data(record, stored.pointer.digest) == data
