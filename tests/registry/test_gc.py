"""Garbage collection, rule by rule."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.faulty import Crashed, Fault, FaultyBlobs, FaultyRecords, Plan

from cnr.domain.digest import TarDigest, sha256
from cnr.domain.errors import StoreTrouble, UploadNotFound
from cnr.domain.limits import Limits
from cnr.domain.manifest import INDEX_TYPE, MANIFEST_TYPE, Child, release_index
from cnr.domain.names import Channel, PackageName, Tag
from cnr.registry.catalog import Catalog
from cnr.registry.core import Bytes, Core
from cnr.registry.gc import Collector
from cnr.registry.gc_report import Report
from cnr.registry.gc_schedule import LEASE_US, Schedule
from cnr.registry.manifests import Manifests
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.base import ABSENT, BlobStore, RecordStore
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import AnyTag, BlobRecord, ContentsRecord, ManifestRecord, PlainTag
from cnr.store.sqlite import SqliteRecords
from cnr.store.update import Updater
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, chart, counting_ids
from .gc_world import HELM, KPM, LARGE, RELEASES, collect, collector, leftovers, losses, read

ONE, TWO = RELEASES
GRACE = timedelta(hours=24)
HOUR, DAY = 3_600_000_000, 86_400_000_000


class World:
    """One pair of stores under a clock that is set by hand, and ticks with each look."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path) -> None:
        self._pool, self._folder = pool, folder
        self._ids = counting_ids()
        self.now = 1_479_316_387_806_579
        self.records = SqliteRecords.in_memory(counting_ids())
        self.blobs = MemoryBlobs()
        self.views = SqliteViews()
        self.registry = self.make(self.records, self.blobs)

    def clock(self) -> int:
        self.now += 1
        return self.now

    def make(self, store: RecordStore, blobs: BlobStore, grace: timedelta = GRACE) -> Registry:
        core = Core(
            records=store,
            blobs=blobs,
            updater=Updater(store, self._ids, unknown_s=0.2),
            catalog=Catalog(store, self.views),
            clock=self.clock,
            new_id=self._ids,
            pool=self._pool,
            spool_folder=self._folder,
            limits=Limits(),
            grace=grace,
        )
        return Registry(core)

    async def check(self, *left: str) -> None:
        assert await losses(self.records, self.blobs) == []
        assert await leftovers(self.records, self.blobs) == list(left)

    async def close(self) -> None:
        await self.records.close()
        await self.views.close()


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
async def world(threads: ThreadPoolExecutor, tmp_path: Path) -> AsyncIterator[World]:
    made = World(threads, tmp_path)
    yield made
    await made.close()


async def push_all(registry: Registry) -> None:
    """Two releases, one of them in two formats; the other's tar is among them."""
    await registry.publisher.publish(APP, ONE, HELM, chart(ONE))
    await registry.publisher.publish(APP, ONE, KPM, LARGE)
    await registry.publisher.publish(APP, TWO, KPM, LARGE)


async def delete(registry: Registry, *releases: str) -> None:
    for release in releases:
        for found in await registry.packages.manifests(APP, release):
            await registry.packages.delete(APP, release, found.format)


async def test_what_live_releases_name_stays(world: World) -> None:
    await push_all(world.registry)
    world.now += 30 * DAY
    report = await collect(world.registry)
    assert (report.count, report.unnamed) == (0, 0)
    await world.check()


async def test_a_deleted_package_goes_with_all_its_bytes(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    world.now += 2 * DAY
    report = await collect(world.registry)
    await world.check()
    assert [key async for key in world.blobs.scan()] == []
    removed = report.repositories[APP.repository]
    assert removed.records["tags"] == 2
    assert removed.records["referrers"] == 1
    assert removed.records["contents"] == 2
    assert removed.size > len(LARGE.data)
    assert (await collect(world.registry)).count == 0


async def test_what_another_release_names_stays(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE)
    world.now += 2 * DAY
    report = await collect(world.registry)
    # helm and kpm manifest and the index of the deleted one; of its blobs the chart and its config
    removed = report.repositories[APP.repository].records
    assert removed == {"tags": 1, "manifests": 3, "referrers": 1, "contents": 1, "blobs": 2}
    await world.check()


async def test_nothing_younger_than_the_grace_goes(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    world.now += DAY - HOUR
    assert (await collect(world.registry)).count == 0
    world.now += 2 * HOUR
    assert (await collect(world.registry)).count > 0


async def test_a_push_of_what_is_old_makes_it_young(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    world.now += 2 * DAY
    await world.registry.publisher.publish(APP, TWO, KPM, LARGE)
    await delete(world.registry, TWO)
    await collect(world.registry)
    tar = TarDigest(hashlib.sha256(gzip.decompress(LARGE.data)).hexdigest())
    key = keys.contents(APP.repository, tar)
    contents = await read(world.records, key, ContentsRecord)
    assert contents.state == "live"
    assert (await read(world.records, keys.blob(APP.repository, contents.digest), BlobRecord)).state == "live"


async def test_a_dry_run_says_the_same_and_changes_nothing(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE)
    await world.blobs.put("ab" * 16, world.registry.core.stream(Bytes(b"lost")))
    await collect(world.registry)
    world.now += 2 * DAY
    before = await everything(world.records)
    said = await collect(world.registry, dry_run=True)
    assert await everything(world.records) == before
    done = await collect(world.registry)
    assert said.as_json() == done.as_json() | {"dry_run": True}
    assert said.count == 8
    assert (said.unnamed, said.unnamed_size) == (1, 4)


async def everything(store: RecordStore) -> list[tuple[str, int]]:
    return [(record.key, record.version) for record in await store.scan("", limit=1000)]


async def test_a_client_s_manifest_and_what_it_names_stay(world: World) -> None:
    await push_all(world.registry)
    children = []
    for found in await world.registry.packages.manifests(APP, ONE):
        record = await world.registry.manifests.find(APP.repository, found.entry.manifest)
        assert record is not None
        data = await world.registry.manifests.data(record, found.entry.manifest.digest)
        children.append(Child(found.format, found.entry.manifest.digest, record.media_type, data))
    index = release_index(children, TWO)
    stored = await world.registry.manifests.store(APP.repository, index, INDEX_TYPE, origin="client")
    await delete(world.registry, ONE, TWO)
    world.now += 2 * DAY
    await collect(world.registry)
    assert await world.registry.manifests.find(APP.repository, stored.pointer) is not None
    for child in children:
        assert await read(world.records, keys.manifest(APP.repository, child.digest), ManifestRecord) is not None
    assert len([key for key, _ in await everything(world.records) if key.startswith(keys.BLOBS)]) == 4


async def test_a_plain_tag_keeps_its_manifest(world: World) -> None:
    await push_all(world.registry)
    pointer = (await world.registry.packages.manifests(APP, TWO))[0].entry.manifest
    value = records.encode(PlainTag(manifest=pointer, write="x"))
    await world.records.put(keys.tag(APP.repository, Tag("pinned")), value, expect=ABSENT)
    await delete(world.registry, ONE, TWO)
    world.now += 2 * DAY
    await collect(world.registry)
    assert await world.registry.manifests.find(APP.repository, pointer) is not None


async def test_channels_stay(world: World) -> None:
    await push_all(world.registry)
    await world.registry.channels.add(APP, Channel("stable"), ONE)
    await delete(world.registry, ONE)
    world.now += 2 * DAY
    await collect(world.registry)
    assert await world.registry.tags.get(APP.repository, Tag("stable")) is not None


async def test_a_repository_that_cannot_be_read_is_left_alone(world: World) -> None:
    other = PackageName("zz", "app")
    data = b"not a manifest"
    await world.registry.manifests.store(APP.repository, data, MANIFEST_TYPE, origin="client")
    await world.registry.publisher.publish(other, ONE, KPM, LARGE)
    await world.registry.packages.delete(other, ONE, "-")
    world.now += 2 * DAY
    report = await collect(world.registry)
    assert list(report.failed) == [APP.repository]
    assert list(report.repositories) == [other.repository]
    assert await read(world.records, keys.manifest(APP.repository, sha256(data)), ManifestRecord) is not None


async def test_a_record_that_cannot_be_decoded_keeps_all_bytes(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    await world.blobs.put("ab" * 16, world.registry.core.stream(Bytes(b"lost")))
    other = PackageName("zz", "app").repository
    await world.records.put(keys.blob(other, sha256(b"")), b"\x01\xc1", expect=ABSENT)
    await collect(world.registry)
    world.now += 2 * DAY
    report = await collect(world.registry)
    assert list(report.failed) == [other]
    assert list(report.repositories) == [APP.repository]
    assert [blob_id async for blob_id in world.blobs.scan()] == ["ab" * 16]


async def test_bytes_without_a_record_go_an_hour_after_they_were_first_seen(world: World) -> None:
    await push_all(world.registry)
    await world.blobs.put("ab" * 16, world.registry.core.stream(Bytes(b"lost")))
    run = collector(world.registry, timedelta(0)).collect
    assert (await run()).unnamed == 0
    world.now += HOUR - 1_000_000
    assert (await run()).unnamed == 0
    world.now += 2_000_000
    report = await run()
    assert (report.unnamed, report.unnamed_size) == (1, 4)
    assert await read(world.records, keys.META_GC_UNNAMED, records.Unnamed) is None
    await world.check()


async def announced_only(world: World, crash_at: int = 0) -> tuple[str, Plan]:
    """Have a push die at a call; the key of its tag, and the calls that it made."""
    plan = Plan({crash_at: Fault.CRASH})
    hasty = world.make(FaultyRecords(world.records, plan), world.blobs, timedelta(0))
    with suppress(Crashed):
        await hasty.publisher.publish(APP, ONE, KPM, LARGE)
    return keys.tag(APP.repository, Tag(ONE)), plan


async def test_an_announcement_keeps_all_until_it_is_taken_back(
    world: World, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    whole = World(threads, tmp_path)
    tag, plan = await announced_only(whole)
    await whole.close()
    first, second = (number for number, name in enumerate(plan.log, 1) if name == f"put {tag}")
    assert first < second
    await announced_only(world, crash_at=second)
    announced = await read(world.records, tag, AnyTag)
    (pointer,) = announced.announced.manifests
    world.now += HOUR
    await collect(world.registry)
    assert await world.registry.manifests.complete(APP.repository, pointer)
    world.now += 2 * DAY
    await collect(world.registry)
    await world.check()
    assert await read(world.records, tag, AnyTag) is None
    assert not await world.registry.manifests.complete(APP.repository, pointer)


@pytest.mark.parametrize("fault", Fault)
async def test_any_call_of_a_collector_may_fail(fault: Fault, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    call, met = 0, True
    while met:
        call += 1
        world = World(threads, tmp_path)
        await push_all(world.registry)
        await delete(world.registry, ONE)
        world.now += 2 * DAY
        plan = Plan.at(call, fault)
        broken = world.make(FaultyRecords(world.records, plan), FaultyBlobs(world.blobs, plan))
        with suppress(StoreTrouble, Crashed):
            await collect(broken)
        assert await losses(world.records, world.blobs) == [], plan.log
        await collect(world.registry)
        world.now += 2 * DAY
        await collect(world.registry)
        await world.check()
        await world.registry.publisher.publish(APP, ONE, HELM, chart(ONE))
        assert await losses(world.records, world.blobs) == []
        met = plan.met
        await world.close()
    assert call > 20


async def test_one_process_collects_and_once_in_an_interval(world: World) -> None:
    first, second = (Schedule(world.registry.core, collector(world.registry), 3600) for _ in range(2))
    assert await first.run_if_due() is not None
    assert await second.run_if_due() is None
    world.now += HOUR
    assert await second.run_if_due() is not None


async def test_a_dead_collector_is_followed_by_another(world: World) -> None:
    await push_all(world.registry)
    plan = Plan()
    broken = world.make(FaultyRecords(world.records, plan), world.blobs)
    dying = Schedule(broken.core, collector(broken), 3600)
    plan.faults = {8: Fault.CRASH}
    with pytest.raises(Crashed):
        await dying.run_if_due()
    other = Schedule(world.registry.core, collector(world.registry), 3600)
    assert await other.run_if_due() is None
    world.now += LEASE_US
    assert await other.run_if_due() is not None


class Slow(Collector):
    """Waits before it collects, as one does that has a lot to look at."""

    def __init__(self, core: Core, manifests: Manifests) -> None:
        super().__init__(core, manifests)
        self.go_on = asyncio.Event()

    async def collect(self, *, dry_run: bool = False) -> Report:
        await self.go_on.wait()
        return await super().collect(dry_run=dry_run)


async def test_a_slow_collector_is_left_alone(world: World) -> None:
    core = world.registry.core
    slow = Slow(core, world.registry.manifests)
    running = asyncio.create_task(Schedule(core, slow, 3600, renew_s=0.001).run_if_due())
    other = Schedule(core, collector(world.registry), 3600)
    for _ in range(3):
        world.now += LEASE_US - 1_000_000
        while (found := await read(world.records, keys.META_GC, records.Collection)) is None or (
            found.until < world.now + LEASE_US // 2
        ):
            await asyncio.sleep(0.001)
        assert await other.run_if_due() is None
    slow.go_on.set()
    assert await running is not None
    world.now += HOUR
    assert await other.run_if_due() is not None


async def test_it_runs_in_the_background(world: World) -> None:
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    world.now += 2 * DAY
    async with Schedule(world.registry.core, collector(world.registry), 3600, look_s=0.001).running():
        while (found := await read(world.records, keys.META_GC, records.Collection)) is None or not found.finished_at:
            await world.registry.core.work(1 << 20, lambda: None)
    await world.check()


async def test_an_upload_to_which_nothing_came_for_a_day_ends(world: World) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield bytes(range(256)) * 256

    uploads = world.registry.uploads
    upload = await uploads.begin(APP.repository)
    await uploads.append(APP.repository, upload.id, half())
    for _ in range(3):
        world.now += 7 * HOUR
        report = await collect(world.registry)
        assert (report.count, report.unnamed) == (0, 0)
    assert (await uploads.find(APP.repository, upload.id)).size == 65536
    world.now += 4 * HOUR
    said = await collect(world.registry, dry_run=True)
    assert said.count == 1
    assert (await collect(world.registry)).repositories[APP.repository].records == {"uploads": 1}
    with pytest.raises(UploadNotFound):
        await uploads.find(APP.repository, upload.id)
    world.now += 2 * DAY
    assert (await collect(world.registry)).unnamed == 1
    assert [blob async for blob in world.blobs.scan()] == []


async def test_what_clients_push_stays_untagged_or_not(world: World) -> None:
    """Production pins digests. Source: contracts/oci-helm.md 6.4 (10)."""
    blob = b"layer"
    await world.registry.blobs.store(APP.repository, sha256(blob), len(blob), Bytes(blob))
    config = {"mediaType": "application/x.config", "digest": sha256(blob), "size": len(blob)}
    image = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    inner = await world.registry.manifests.store(APP.repository, image, MANIFEST_TYPE, origin="client")
    strange = await world.registry.manifests.store(
        APP.repository, b'{"config": 1}', "application/x.own", origin="client"
    )
    world.now += 3 * DAY
    await collect(world.registry)
    assert await world.registry.manifests.find(APP.repository, inner.pointer) is not None
    assert await world.registry.manifests.find(APP.repository, strange.pointer) is not None
    assert await world.registry.blobs.find(APP.repository, sha256(blob)) is not None
