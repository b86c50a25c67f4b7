"""What rules of a namespace change in garbage collection: tombstones stay, and untagged manifests may go."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.protocols.oci.test_compose import COMPOSE, project

from cnr.domain.digest import Digest, sha256
from cnr.domain.errors import Immutable, ReleaseRetired
from cnr.domain.manifest import INDEX_TYPE
from cnr.domain.names import Format, Tag
from cnr.domain.policy import Policy
from cnr.registry.gc import Collector
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.records import AnyTag, DeletedTag, ManifestRecord, ReleaseTag

from .conftest import APP, chart
from .gc_world import HELM, KPM, LARGE, RELEASES, collect, read
from .oci_pushes import REPO, described, image, index, put, put_chart, put_image, take
from .test_gc import DAY, HOUR, World, delete, push_all, threads, world

__all__ = ["threads", "world"]
ONE, TWO = RELEASES


async def rule(registry: Registry, path: str = "ns", **fields: Any) -> None:
    await registry.policies.change(path, lambda before: msgspec.structs.replace(before, **fields))


async def there(world: World, digest: Digest) -> bool:
    return await read(world.records, keys.manifest(REPO, digest), ManifestRecord) is not None


async def tag_record(world: World, tag: str) -> Any:
    return await read(world.records, keys.tag(REPO, tag), AnyTag)


async def test_a_tombstone_stays_and_its_bytes_go(world: World) -> None:
    await rule(world.registry, immutability="strict")
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    for _ in range(3):
        world.now += 30 * DAY
        await collect(world.registry)
    assert isinstance(await tag_record(world, ONE), DeletedTag)
    await world.check(*(keys.tag(REPO, tag) for tag in (ONE, TWO)))
    publish = world.registry.publisher.publish
    with pytest.raises(ReleaseRetired):
        await publish(APP, ONE, HELM, chart(ONE, extra=b"other: 1\n"), force=True)
    with pytest.raises(ReleaseRetired):
        await publish(APP, TWO, HELM, chart(TWO))
    with pytest.raises(Immutable):
        await put_chart(world.registry, ONE, ONE, extra=b"other: 1\n")
    await publish(APP, ONE, HELM, chart(ONE))
    with pytest.raises(ReleaseRetired):
        await publish(APP, ONE, KPM, chart(TWO))
    await publish(APP, ONE, KPM, LARGE)


async def test_tombstones_go_once_they_are_not_wanted(world: World) -> None:
    await rule(world.registry, immutability="strict")
    await push_all(world.registry)
    await delete(world.registry, ONE, TWO)
    await rule(world.registry, immutability="releases")
    world.now += 2 * DAY
    await collect(world.registry)
    await world.check()
    await world.registry.publisher.publish(APP, ONE, HELM, chart(ONE, extra=b"other: 1\n"))


async def test_the_place_of_a_push_that_never_came_goes_under_strict_too(world: World) -> None:
    await rule(world.registry, immutability="strict")
    announced = msgspec.structs.replace(DeletedTag(deleted_at=1), write="x")
    value = await world.registry.core.updater.update(keys.tag(REPO, "3.0.0"), AnyTag, lambda _: announced)
    assert value.after is not None
    world.now += 2 * DAY
    await collect(world.registry)
    assert await tag_record(world, "3.0.0") is None


async def test_an_image_s_tombstone_remembers_its_digest(world: World) -> None:
    await rule(world.registry, immutability="strict")
    digest = await put_image(world.registry, b"1", "1.0.0")
    await world.registry.images.delete(REPO, digest)
    world.now += 2 * DAY
    await collect(world.registry)
    with pytest.raises(Immutable):
        await put_image(world.registry, b"2", "1.0.0")
    with pytest.raises(Immutable):
        await put_chart(world.registry, "1.0.0", "1.0.0")
    with pytest.raises(ReleaseRetired):
        await world.registry.publisher.publish(APP, ONE, HELM, chart(ONE))
    assert await put_image(world.registry, b"1", "1.0.0") == digest


async def test_a_deleted_manifest_whose_tags_were_not_swept_is_remembered(world: World) -> None:
    """As a server leaves it that stops within DELETE of a digest."""
    await rule(world.registry, immutability="strict")
    digest = await put_chart(world.registry, "1.0.0", "1.0.0")
    found = await world.records.get(keys.manifest(REPO, digest))
    await world.records.delete(found.key, expect=found.version)
    assert isinstance(await tag_record(world, "1.0.0"), ReleaseTag)
    with pytest.raises(Immutable):
        await put_chart(world.registry, "1.0.0", "1.0.0", extra=b"other: 1\n")
    assert await put_chart(world.registry, "1.0.0", "1.0.0") == digest
    assert (await world.registry.images.resolve(REPO, Tag("1.0.0"))).digest == digest


async def test_untagged_manifests_go_when_they_were_seen_untagged_for_so_long(world: World) -> None:
    await rule(world.registry, untagged_after=7 * 86_400)
    old = await put_image(world.registry, b"1", "latest")
    world.now += 100 * DAY
    await collect(world.registry)
    new = await put_image(world.registry, b"2", "latest")
    await collect(world.registry)
    world.now += 6 * DAY
    await collect(world.registry)
    assert await there(world, old), "since it lost its tag, not since it was pushed"
    world.now += 2 * DAY
    report = await collect(world.registry)
    assert report.repositories[REPO].records["manifests"] == 1
    assert (await there(world, old), await there(world, new)) == (False, True)
    assert await world.registry.blobs.find(REPO, sha256(b"1")) is None
    assert await world.registry.blobs.find(REPO, sha256(b"2")) is not None


async def test_without_the_rule_they_stay(world: World) -> None:
    await rule(world.registry, untagged_after=0)
    await rule(world.registry, "ns/app", untagged_after="never")
    digest = await put_image(world.registry, b"1")
    for _ in range(3):
        world.now += 100 * DAY
        await collect(world.registry)
    assert await there(world, digest)


async def test_what_is_tagged_or_named_again_waits_anew(world: World) -> None:
    await rule(world.registry, untagged_after=7 * 86_400)
    first, second = [await put_image(world.registry, layer) for layer in (b"1", b"2")]
    await collect(world.registry)
    world.now += 6 * DAY
    await put(world.registry, image(b"1"), ["latest"])
    await put(world.registry, index(image(b"2")), ["all"], INDEX_TYPE)
    await collect(world.registry)
    world.now += 10 * DAY
    await collect(world.registry)
    await world.registry.images.delete_tag(REPO, Tag("latest"))
    await world.registry.images.delete_tag(REPO, Tag("all"))
    await collect(world.registry)
    world.now += 6 * DAY
    await collect(world.registry)
    assert await there(world, first)
    assert await there(world, second)
    world.now += 2 * DAY
    await collect(world.registry)
    assert [record async for record in _manifests(world)] == []


async def _manifests(world: World) -> AsyncIterator[str]:
    for record in await world.records.scan(keys.manifests(REPO), limit=100):
        yield record.key


async def test_a_digest_that_is_pushed_again_waits_anew(world: World) -> None:
    await rule(world.registry, untagged_after=7 * 86_400)
    digest = await put_image(world.registry, b"1")
    await collect(world.registry)
    world.now += 6 * DAY
    await put(world.registry, image(b"1"))
    for _ in range(2):
        world.now += 3 * DAY
        await collect(world.registry)
    assert await there(world, digest)
    world.now += 5 * DAY
    await collect(world.registry)
    assert not await there(world, digest)


async def test_a_signature_stays_as_long_as_what_it_signs(world: World) -> None:
    await rule(world.registry, untagged_after=86_400)
    await put_chart(world.registry, "1.0.0", "1.0.0")
    signed = (await world.registry.images.resolve(REPO, Tag("1.0.0"))).digest
    signature = await put_image(world.registry, b"sig", subject={**described(b""), "digest": signed})
    over = await put_image(world.registry, b"over", subject={**described(b""), "digest": signature})
    orphan = await put_image(world.registry, b"orphan", subject=described(b"nothing"))
    for _ in range(4):
        world.now += 2 * DAY
        await collect(world.registry)
    assert [await there(world, each) for each in (signed, signature, over, orphan)] == [True, True, True, False]
    await world.registry.images.delete_tag(REPO, Tag("1.0.0"))
    for _ in range(8):
        world.now += 2 * DAY
        await collect(world.registry)
    assert [await there(world, each) for each in (signed, signature, over)] == [False] * 3
    assert await world.records.scan(keys.all_referrers(REPO)) == []


@pytest.mark.parametrize("tag", ["1.0.0", "latest"])
async def test_a_slow_push_of_what_is_partly_elsewhere(world: World, tag: str) -> None:
    """Without grace every push is a slow one, which looks again at all that it needs, and at nothing more."""
    registry = world.make(world.records, world.blobs, timedelta(0))
    foreign = described(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar")
    await take(registry, b"{}")
    data = json.dumps({**json.loads(image(b"")), "layers": [foreign]}).encode()
    digest = await put(registry, data, [tag])
    assert (await registry.images.resolve(REPO, Tag(tag))).digest == digest
    await registry.images.delete_tag(REPO, Tag(tag))
    own = await put(registry, b'{"config": 1}', [tag], "application/x.own")
    assert (await registry.images.resolve(REPO, Tag(tag))).digest == own


async def test_a_made_index_that_is_signed_stays(world: World) -> None:
    """6.3: a format that is added makes a new index; the old one stays with its signature."""
    await put_chart(world.registry, "1.0.0", "1.0.0")
    await world.registry.publisher.publish(APP, ONE, KPM, LARGE)
    old = (await world.registry.images.resolve(REPO, Tag("1.0.0"), index=True)).digest
    await put_image(world.registry, b"sig", subject={**described(b""), "digest": old})
    await world.registry.publisher.publish(APP, ONE, Format("appr"), LARGE)
    assert (await world.registry.images.resolve(REPO, Tag("1.0.0"), index=True)).digest != old
    world.now += 30 * DAY
    await collect(world.registry)
    assert await there(world, old)


async def test_a_signature_stays_while_its_untagged_image_does(world: World) -> None:
    await rule(world.registry, untagged_after=86_400)
    signed = await put_image(world.registry, b"1")
    signature = await put_image(world.registry, b"sig", subject={**described(b""), "digest": signed})
    await collect(world.registry)
    world.now += 20 * HOUR
    await put_image(world.registry, b"1")
    await collect(world.registry)
    world.now += 10 * HOUR
    await collect(world.registry)
    assert (await there(world, signed), await there(world, signature)) == (True, True)
    world.now += 20 * HOUR
    await collect(world.registry)
    assert (await there(world, signed), await there(world, signature)) == (False, False)


async def test_a_made_index_goes_although_its_subject_is_tagged(world: World) -> None:
    await rule(world.registry, untagged_after=0)
    await put_chart(world.registry, "1.0.0", "1.0.0")
    await world.registry.publisher.publish(APP, ONE, KPM, LARGE)
    old = (await world.registry.images.resolve(REPO, Tag("1.0.0"), index=True)).digest
    await world.registry.packages.delete(APP, ONE, KPM)
    world.now += 2 * DAY
    await collect(world.registry)
    assert not await there(world, old)


async def test_a_push_by_digest_is_safe_for_the_grace(world: World) -> None:
    await rule(world.registry, untagged_after=0)
    digest = await put_image(world.registry, b"1")
    for _ in range(5):
        world.now += 4 * HOUR
        await collect(world.registry)
    assert await there(world, digest)
    world.now += 5 * HOUR
    await collect(world.registry)
    assert not await there(world, digest)


async def test_a_dry_run_tells_what_goes(world: World) -> None:
    await rule(world.registry, untagged_after=0)
    await put_image(world.registry, b"1")
    await collect(world.registry)
    world.now += 2 * DAY
    said = await collect(world.registry, dry_run=True)
    assert said.repositories[REPO].records == (await collect(world.registry)).repositories[REPO].records


async def test_the_server_s_setting_counts_too(world: World) -> None:
    core = replace(world.registry.core, policy=Policy(untagged_after=timedelta(0)))
    digest = await put_image(world.registry, b"1")
    for _ in range(2):
        await Collector(core, world.registry.manifests).collect()
        world.now += 2 * DAY
    assert not await there(world, digest)


async def test_a_compose_project_s_archive_goes_with_its_release(world: World) -> None:
    await take(world.registry, b"{}", COMPOSE)
    await put(world.registry, project(("compose.yaml", COMPOSE)), ["1.0.0"])
    world.now += 30 * DAY
    await collect(world.registry)
    (found,) = await world.registry.packages.manifests(APP, "1.0.0")
    file = await world.registry.packages.file(APP, found.entry.tar_digest)
    assert file.size == found.entry.size
    await world.registry.images.delete_tag(REPO, Tag("1.0.0"))
    world.now += 2 * DAY
    await collect(world.registry)
    assert await world.registry.blobs.find(REPO, file.digest) is None
    assert await world.registry.blobs.find(REPO, sha256(COMPOSE)) is not None, "the manifest is the client's"
