"""Case 106 of contracts/oci-helm.md: garbage collection during a slow push spares what that push is about to name."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cnr.domain.digest import sha256
from cnr.domain.manifest import MANIFEST_TYPE
from cnr.domain.names import Repository, Tag
from cnr.registry.references import read_manifest

from .gc_world import collect, collector
from .test_gc import DAY, HOUR, World, threads, world
from .test_gc_oci_races import BLOBS, image, once

__all__ = ["threads", "world"]
REPO, OTHER = Repository("ns/slow"), Repository("ns/other")
FIRST, LAST = BLOBS[1], BLOBS[2]
DATA = image(FIRST, LAST)


async def trickle(world: World, hours: int, data: bytes = LAST) -> AsyncIterator[bytes]:
    """`data`, in so many hours, with a collection in each."""
    step = len(data) // hours + 1
    for at in range(0, len(data), step):
        world.now += HOUR
        await collect(world.registry)
        yield data[at : at + step]


async def begin(world: World, repository: Repository = REPO) -> None:
    for blob in BLOBS[:2]:
        await world.registry.uploads.take(repository, sha256(blob), once(blob))


@pytest.mark.parametrize("pause", [0, 20])
async def test_case_106_blobs_wait_for_a_slow_one(world: World, pause: int) -> None:
    """A blob that takes 20 hours, in pieces, and as long a pause before it and after it."""
    uploads = world.registry.uploads
    await begin(world)
    world.now += pause * HOUR
    upload = await uploads.begin(REPO)
    async for piece in trickle(world, 20):
        await uploads.append(REPO, upload.id, once(piece))
    await uploads.finish(REPO, upload.id, sha256(LAST), once(b""))
    world.now += pause * HOUR
    await collect(world.registry)
    await world.registry.images.put(REPO, read_manifest(DATA, MANIFEST_TYPE, sha256(DATA)), Tag("v1"))
    world.now += 9 * DAY
    await collect(world.registry)
    for blob in (FIRST, LAST):
        assert await world.registry.blobs.find(REPO, sha256(blob)) is not None


async def test_a_slow_push_that_is_given_up_holds_nothing_for_long(world: World) -> None:
    uploads = world.registry.uploads
    await begin(world)
    await begin(world, OTHER)
    upload = await uploads.begin(REPO)
    async for piece in trickle(world, 30):
        await uploads.append(REPO, upload.id, once(piece))
    assert await world.registry.blobs.find(REPO, sha256(FIRST)) is not None
    assert await world.registry.blobs.find(OTHER, sha256(FIRST)) is None, "other repositories do not wait"
    await uploads.finish(REPO, upload.id, sha256(LAST), once(b""))
    world.now += 25 * HOUR
    for _ in range(2):
        await collect(world.registry)
    assert await world.registry.blobs.find(REPO, sha256(FIRST)) is None
    assert [key async for key in world.blobs.scan()] == []
    assert await world.records.scan("uploads/") == []


async def test_an_upload_that_broke_off_holds_nothing(world: World) -> None:
    """With a shorter grace than the day after which the upload itself is over."""
    registry = world.make(world.records, world.blobs, timedelta(hours=1))
    await registry.uploads.take(REPO, sha256(FIRST), once(FIRST))
    upload = await registry.uploads.begin(REPO)
    world.now += 2 * HOUR
    await collect(registry)
    assert await registry.blobs.find(REPO, sha256(FIRST)) is None
    assert (await registry.uploads.find(REPO, upload.id)).size == 0


async def test_a_dry_run_says_what_the_real_one_removes(world: World) -> None:
    """Of all that OCI clients leave: blobs, uploads, referrers of deleted manifests, pieces that no record names."""
    registry = world.registry
    await begin(world)
    await registry.uploads.take(REPO, sha256(LAST), once(LAST))
    manifest = read_manifest(DATA, MANIFEST_TYPE, sha256(DATA))
    await registry.images.put(REPO, manifest, Tag("v1"))
    refers = DATA[:-1] + b', "subject": {"mediaType": "a/b", "digest": "%s", "size": 1}}' % sha256(DATA).encode()
    await registry.images.put(REPO, read_manifest(refers, MANIFEST_TYPE, sha256(refers)), Tag("v2"))
    await registry.images.delete(REPO, sha256(refers))
    await registry.uploads.take(REPO, sha256(BLOBS[3]), once(BLOBS[3]))
    await begin(world, OTHER)
    for repository in (REPO, OTHER):
        upload = await registry.uploads.begin(repository)
        await registry.uploads.append(repository, upload.id, once(LAST))
    await world.blobs.put("f" * 32, once(b"nobody's"))
    world.now += 3 * DAY
    await collect(registry)  # sees the bytes that no record names for the first time, and ends the uploads
    for repository in (REPO, OTHER):
        await begin(world, repository)
        await registry.uploads.take(repository, sha256(BLOBS[3]), once(BLOBS[3]))
        await registry.uploads.begin(repository)
    world.now += 3 * DAY
    before = [record.version for record in await world.records.scan("", limit=1000)]
    dry = await collect(registry, dry_run=True)
    assert [record.version for record in await world.records.scan("", limit=1000)] == before
    real = await collector(registry).collect()
    assert {**dry.as_json(), "dry_run": False} == real.as_json()
    assert real.unnamed == 3
    assert {kind for removed in real.repositories.values() for kind in removed.records} == {"blobs", "uploads"}
    assert (await collect(registry)).count == 0
