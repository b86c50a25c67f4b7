"""OCI clients and collectors without any grace that take untagged manifests at once, in random orders of their calls.

When all is quiet every tag has its manifest, with all that it reaches; and what no tag reaches goes.
"""

import os
import random

import msgspec
import pytest
from tests.services.store_check import stores_in_order

from cnr.domain.digest import Digest
from cnr.domain.manifest import INDEX_TYPE, needed_blobs, parse_manifest
from cnr.domain.names import Tag
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.records import AnyTag, BlobRecord, ManifestRecord, PlainTag, ReleaseTag
from cnr.store.views_sqlite import SqliteViews

from .gc_world import collect, decoded, losses, read
from .oci_pushes import REPO, image, index, put, put_chart, put_image
from .test_gc_races import HOUR, Make, Shared, make, run

__all__ = ["make"]
SCHEDULES = 20_000 if os.environ.get("CNR_LONG") == "1" else 240
BATCHES = 8
LAYERS = (b"1", b"2")
TAGS = ("latest", "other", "1.0.0")


async def act(registry: Registry, chance: random.Random) -> None:
    """What a client does. Raises what that raises."""
    layer, tag = chance.choice(LAYERS), chance.choice(TAGS)
    match chance.randrange(6):
        case 0:
            await put_image(registry, layer)
        case 1:
            await put_image(registry, layer, tag)
        case 2:
            await put_chart(registry, "1.0.0", chance.choice(("1.0.0", "stable")))
        case 3:
            await put_image(registry, layer)
            await put(registry, index(image(layer)), [tag], INDEX_TYPE)
        case 4:
            await put(registry, image(layer), [tag])
        case 5:
            await registry.images.delete_tag(REPO, Tag(chance.choice((*TAGS, "stable"))))


async def dangling(shared: Shared) -> list[str]:
    """What tags reach and is not there."""
    lost = await losses(shared.records, shared.blobs)
    async for key, tag in decoded(shared.records, keys.tags(REPO), AnyTag):
        if isinstance(tag, PlainTag | ReleaseTag):
            lost += [f"{key} lost {each}" for each in await missing(shared, tag.manifest.digest)]
    return lost


async def missing(shared: Shared, digest: Digest) -> list[str]:
    record = await read(shared.records, keys.manifest(REPO, digest), ManifestRecord)
    if record is None:
        return [digest]
    manifest = parse_manifest(record.data)
    blobs = needed_blobs(manifest)
    lost: list[str] = [blob for blob in blobs if await read(shared.records, keys.blob(REPO, blob), BlobRecord) is None]
    for child in manifest.manifests or ():
        lost += await missing(shared, child.digest)
    return lost


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_no_tag_without_its_manifest(make: Make, batch: int) -> None:
    done = 0
    for number in range(SCHEDULES // BATCHES):
        seed = batch * 1_000_000 + number
        shared, views = Shared(seed), [SqliteViews(), SqliteViews()]
        quiet = make(shared, shared.records, shared.blobs, views[0])
        immutability = shared.chance.choice(("none", "releases", "strict"))
        await quiet.policies.change(
            "ns",
            lambda before, chosen=immutability: msgspec.structs.replace(  # type: ignore[misc]
                before, immutability=chosen, untagged_after=0
            ),
        )
        done += await run(shared, make, views, act)
        assert await dangling(shared) == [], seed
        for _ in range(2):
            await collect(quiet)
            shared.now += HOUR
        assert await dangling(shared) == [], seed
        assert await untagged(shared) == set(), seed
        await stores_in_order(shared.records, shared.blobs)
        await shared.records.close()
        for each in views:
            await each.close()
    assert done > SCHEDULES // BATCHES * 3


async def untagged(shared: Shared) -> set[Digest]:
    """Manifests that no tag reaches."""
    reached: set[Digest] = set()
    waiting: list[Digest] = []
    async for _, tag in decoded(shared.records, keys.tags(REPO), AnyTag):
        if isinstance(tag, PlainTag | ReleaseTag):
            waiting.append(tag.manifest.digest)
            waiting += [entry.manifest.digest for entry in getattr(tag, "formats", {}).values()]
    found = {
        Digest(keys.split(key).rest): record
        async for key, record in decoded(shared.records, keys.manifests(REPO), ManifestRecord)
    }
    while waiting:
        digest = waiting.pop()
        reached.add(digest)
        waiting += [child.digest for child in parse_manifest(found[digest].data).manifests or ()]
    return set(found) - reached
