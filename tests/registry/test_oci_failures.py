"""Every store call of what OCI clients do fails, loses its answer or is the last: old state or new, never half."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.faults.faulty import Fault, Plan
from tests.services.store_check import CUT_OFF, stores_in_order

from cnr.domain.digest import Digest, sha256
from cnr.domain.errors import ManifestNotFound, RepositoryNotFound
from cnr.domain.manifest import HELM_CHART_LAYER, HELM_CONFIG, MANIFEST_TYPE
from cnr.domain.names import Format, Tag
from cnr.domain.version import Release
from cnr.registry.references import read_manifest
from cnr.registry.registry import Registry

from .conftest import APP, MakeRegistry, chart, package
from .test_failures import Case, World, attempt, never_half

REPO = APP.repository
CONFIG = b'{"name": "app"}'
SUBJECT = Digest("sha256:" + "0" * 64)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def chart_manifest(version: str, **more: Any) -> bytes:
    archive = chart(version).data
    return json.dumps(
        {
            "schemaVersion": 2,
            "config": {"mediaType": HELM_CONFIG, "digest": sha256(CONFIG), "size": len(CONFIG)},
            "layers": [{"mediaType": HELM_CHART_LAYER, "digest": sha256(archive), "size": len(archive)}],
            **more,
        }
    ).encode()


def pushes(version: str, *tags: str, **more: Any) -> Callable[[Registry], Any]:
    """Pushes a chart: to the first of `tags`, or by its digest with all of them."""

    async def push(registry: Registry) -> None:
        for data in (CONFIG, chart(version).data):
            await registry.uploads.take(REPO, sha256(data), once(data))
        data = chart_manifest(version, **more)
        pushed = read_manifest(data, MANIFEST_TYPE, sha256(data))
        if len(tags) == 1:
            await registry.images.put(REPO, pushed, Tag(tags[0]))
        else:
            await registry.images.put_by_digest(REPO, pushed, [Tag(tag) for tag in tags])

    return push


def deletes_tag(tag: str) -> Callable[[Registry], Any]:
    return lambda registry: registry.images.delete_tag(REPO, Tag(tag))


def deletes(version: str) -> Callable[[Registry], Any]:
    return lambda registry: registry.images.delete(REPO, sha256(chart_manifest(version)))


async def publishes_kpm(registry: Registry) -> None:
    source = package({"manifest.yaml": b"x: 1\n"})
    await registry.publisher.publish(APP, Release("1.0.0"), Format("kpm"), source, created_at=1_479_316_387_806_579)


REFERS = {"subject": {"mediaType": MANIFEST_TYPE, "digest": SUBJECT, "size": 2}}
CASES = (
    Case("push a chart", (), pushes("1.0.0", "1.0.0")),
    Case("push another", (pushes("1.0.0", "1.0.0"),), pushes("2.0.0", "2.0.0")),
    Case("push as a plain tag", (), pushes("1.0.0", "test")),
    Case("push to a channel", (pushes("1.0.0", "1.0.0"),), pushes("1.0.0", "stable")),
    Case("push by digest", (), pushes("1.0.0", **REFERS)),
    Case("push again", (pushes("1.0.0", "1.0.0"),), pushes("1.0.0", "1.0.0", annotations={"created": "later"})),
    Case("add to another format", (publishes_kpm,), pushes("1.0.0", "1.0.0")),
    Case("delete a release", (pushes("1.0.0", "1.0.0"), pushes("1.0.0", "stable")), deletes_tag("1.0.0")),
    Case("delete a channel", (pushes("1.0.0", "1.0.0"), pushes("1.0.0", "stable")), deletes_tag("stable")),
    Case("delete a plain tag", (pushes("1.0.0", "test"),), deletes_tag("test")),
)


class OciWorld(World):
    """What can be seen over OCI too."""

    async def seen(self) -> dict[str, Any]:
        registry = self.registry()
        found = await super().seen()
        try:
            for tag in await registry.listing.tags(REPO):
                shown = await registry.images.resolve(REPO, tag)
                reader = await registry.images.open(REPO, shown)
                assert sha256(b"".join([chunk async for chunk in reader.chunks])) == shown.digest
                found[f"tag {tag}"] = shown.digest
        except RepositoryNotFound:
            pass
        page = await registry.listing.referrers(REPO, SUBJECT)
        return found | {f"refers {each.digest}": each.row.artifact_type for each in page.referrers}


@pytest.fixture
def make_world(make_registry: MakeRegistry) -> Callable[[], World]:
    return lambda: OciWorld(make_registry)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_old_or_new_but_never_half(case: Case, fault: Fault, make_world: Callable[[], World]) -> None:
    await never_half(case, fault, make_world)


@pytest.mark.parametrize("fault", Fault)
async def test_a_manifest_is_deleted_by_one_swap(fault: Fault, make_world: Callable[[], World]) -> None:
    """The digest and all tags on it are there or none of them, wherever the server stops."""
    call, met = 0, True
    while met:
        call += 1
        plan = Plan.at(call, fault)
        world = make_world()
        for operation in (pushes("1.0.0", "1.0.0"), pushes("1.0.0", "stable"), pushes("1.0.0", "other")):
            await operation(world.registry())
        await attempt(deletes("1.0.0"), world.registry(plan))
        met = plan.met
        registry = world.registry()
        there = [await resolves(registry, tag) for tag in ("1.0.0", "stable", "other")]
        assert there in ([True] * 3, [False] * 3), f"{fault.name} at call {call}: {plan.log}"
        await stores_in_order(world.records, world.blobs, but={CUT_OFF})
        await attempt(deletes("1.0.0"), registry)
        assert await registry.catalog.packages(limit=1) == []
        assert await registry.listing.tags(REPO) == []
        await stores_in_order(world.records, world.blobs)
        await world.close()


async def resolves(registry: Registry, tag: str) -> bool:
    try:
        await registry.images.resolve(REPO, Tag(tag))
    except (ManifestNotFound, RepositoryNotFound):
        return False
    return True
