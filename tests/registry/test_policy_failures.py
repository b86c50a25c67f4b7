"""As test_oci_failures, for what rules of a namespace allow or change, lenient releases, and compose projects."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.faults.faulty import Fault, Plan
from tests.protocols.oci.test_compose import COMPOSE, project

from cnr.domain.errors import Immutable
from cnr.domain.names import Channel, Tag
from cnr.registry.registry import Registry

from .conftest import APP, chart
from .gc_world import HELM, KPM, LARGE, RELEASES
from .oci_pushes import REPO, put, put_chart, put_image, take
from .test_failures import Case, Operation, World, attempt, never_half
from .test_oci_failures import make_world

__all__ = ["make_world"]
ONE, _ = RELEASES
OTHER = b"other: 1\n"
AT = 1_479_316_387_806_579


def rule(**fields: Any) -> Operation:
    return lambda registry: registry.policies.change("ns", lambda before: msgspec.structs.replace(before, **fields))


def charts(version: str, tag: str, *, extra: bytes = b"") -> Operation:
    return lambda registry: put_chart(registry, version, tag, extra=extra)


def images(layer: bytes, tag: str) -> Operation:
    return lambda registry: put_image(registry, layer, tag)


def deletes_tag(tag: str) -> Operation:
    return lambda registry: registry.images.delete_tag(REPO, Tag(tag))


async def composes(registry: Registry) -> None:
    await take(registry, b"{}", COMPOSE)
    await put(registry, project(("compose.yaml", COMPOSE)), ["1.0.0"])


async def publishes_kpm(registry: Registry) -> None:
    await registry.publisher.publish(APP, ONE, KPM, LARGE, created_at=AT)


async def publishes_chart(registry: Registry) -> None:
    await registry.publisher.publish(APP, ONE, HELM, chart(ONE), created_at=AT)


async def deletes_kpm(registry: Registry) -> None:
    await registry.packages.delete(APP, ONE, KPM)


STRICT, NONE = rule(immutability="strict"), rule(immutability="none")
CASES = (
    Case("none: another chart", (NONE, charts("1.0.0", "1.0.0")), charts("1.0.0", "1.0.0", extra=OTHER)),
    Case("none: to an image", (NONE, charts("1.0.0", "1.0.0"), charts("1.0.0", "stable")), images(b"1", "1.0.0")),
    Case("none: from an image", (NONE, images(b"1", "1.0.0")), charts("1.0.0", "1.0.0")),
    Case("strict: delete a release", (STRICT, charts("1.0.0", "1.0.0")), deletes_tag("1.0.0")),
    Case("strict: delete an image", (STRICT, images(b"1", "1.0.0")), deletes_tag("1.0.0")),
    Case("strict: back again", (STRICT, charts("1.0.0", "1.0.0"), deletes_tag("1.0.0")), charts("1.0.0", "1.0.0")),
    Case("strict: an image back", (STRICT, images(b"1", "1.0.0"), deletes_tag("1.0.0")), images(b"1", "1.0.0")),
    Case("strict: back by CNR", (STRICT, publishes_chart, deletes_tag("1.0.0")), publishes_chart),
    Case("strict: one format", (STRICT, publishes_chart, publishes_kpm), deletes_kpm),
    Case("lenient release", (), charts("v1.2", "v1.2")),
    Case("lenient from a channel", (publishes_chart, charts("v1.2", "x")), charts("v1.2", "v1.2")),
    Case("lenient deleted", (charts("v1.2", "v1.2"),), deletes_tag("v1.2")),
    Case(
        "channel where a lenient release was",
        (publishes_chart, charts("v1.2", "v1.2"), deletes_tag("v1.2")),
        lambda registry: registry.channels.add(APP, Channel("v1.2"), "1.0.0"),
    ),
    Case("compose project", (), composes),
    Case("compose beside a chart", (publishes_chart,), composes),
)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_old_or_new_but_never_half(case: Case, fault: Fault, make_world: Callable[[], World]) -> None:
    await never_half(case, fault, make_world)


async def deletes_digest(registry: Registry) -> None:
    await registry.images.delete(REPO, (await registry.images.resolve(REPO, Tag("1.0.0"))).digest)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("remove", [deletes_tag("1.0.0"), deletes_digest], ids=["tag", "digest"])
async def test_strict_remembers_wherever_a_delete_stops(
    remove: Operation, fault: Fault, make_world: Callable[[], World]
) -> None:
    call, met = 0, True
    while met:
        call += 1
        plan = Plan.at(call, fault)
        world = make_world()
        await STRICT(world.registry())
        await put_chart(world.registry(), "1.0.0", "1.0.0")
        await attempt(remove, world.registry(plan))
        met = plan.met
        error = await attempt(charts("1.0.0", "1.0.0", extra=OTHER), world.registry())
        assert isinstance(error, Immutable), f"{fault.name} at call {call}: {plan.log}"
        await put_chart(world.registry(), "1.0.0", "1.0.0")
        await world.close()
    assert call > 3
