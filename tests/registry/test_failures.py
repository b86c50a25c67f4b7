"""Every store call of every write fails, loses its answer, or is the last of the process: old state or new, never half.

For each operation and each k the k-th call goes wrong; then another server with healthy stores looks at everything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from tests.faults.faulty import Crashed, Fault, FaultyBlobs, FaultyRecords, Plan
from tests.services.store_check import stores_in_order

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.domain.names import Channel, Format
from cnr.domain.version import Release
from cnr.registry.registry import Registry
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, MakeRegistry, chart, counting_ids, package

HELM, KPM = Format("helm"), Format("kpm")
STABLE = Channel("stable")
LARGE = package({"manifest.yaml": b"x: 1\n", "data": bytes(range(256)) * 256}, level=0)
Operation = Callable[[Registry], Awaitable[object]]


def pushes(release: str, format: Format = HELM, *, force: bool = False, large: bool = False) -> Operation:
    source = LARGE if large else chart(release, extra=b"forced: 1\n" if force else b"")
    return lambda registry: registry.publisher.publish(APP, Release(release), format, source, force=force)


def deletes(release: str, format: str) -> Operation:
    return lambda registry: registry.packages.delete(APP, release, format)


def adds(release: str) -> Operation:
    return lambda registry: registry.channels.add(APP, STABLE, release)


@dataclass(frozen=True)
class Case:
    """What is done before with healthy stores, and what is then done with failing ones."""

    name: str
    before: tuple[Operation, ...]
    operation: Operation


CASES = (
    Case("first push", (), pushes("1.0.0")),
    Case("large push", (), pushes("1.0.0", KPM, large=True)),
    Case("another release", (pushes("1.0.0"),), pushes("2.0.0")),
    Case("second format", (pushes("1.0.0"),), pushes("1.0.0", KPM, large=True)),
    Case("same tar again", (pushes("1.0.0", KPM, large=True),), pushes("2.0.0", KPM, large=True)),
    Case("forced push", (pushes("1.0.0"), adds("1.0.0")), pushes("1.0.0", force=True)),
    Case("push after delete", (pushes("1.0.0"), deletes("1.0.0", "helm")), pushes("1.0.0")),
    Case("delete one format", (pushes("1.0.0"), pushes("1.0.0", KPM, large=True)), deletes("1.0.0", "helm")),
    Case("delete a release", (pushes("1.0.0"), pushes("2.0.0"), adds("2.0.0")), deletes("2.0.0", "helm")),
    Case("delete the last release", (pushes("1.0.0"), adds("1.0.0")), deletes("1.0.0", "-")),
    Case("first in a channel", (pushes("1.0.0"),), adds("1.0.0")),
    Case("next in a channel", (pushes("1.0.0"), pushes("2.0.0"), adds("1.0.0")), adds("2.0.0")),
    Case(
        "out of a channel",
        (pushes("1.0.0"), pushes("2.0.0"), adds("1.0.0"), adds("2.0.0")),
        lambda registry: registry.channels.remove(APP, STABLE, "2.0.0"),
    ),
    Case("delete a channel", (pushes("1.0.0"), adds("1.0.0")), lambda registry: registry.channels.delete(APP, STABLE)),
)


@pytest.fixture
def make_world(make_registry: MakeRegistry) -> Callable[[], "World"]:
    return lambda: World(make_registry)


class World:
    """One pair of stores, and what can be seen in them."""

    def __init__(self, make_registry: MakeRegistry) -> None:
        self._make = make_registry
        self.records = SqliteRecords.in_memory(counting_ids())
        self.blobs = MemoryBlobs()
        self.views = SqliteViews()

    def registry(self, plan: Plan | None = None) -> Registry:
        if plan is None:
            return self._make(self.records, self.blobs, self.views)
        return self._make(FaultyRecords(self.records, plan), FaultyBlobs(self.blobs, plan), self.views)

    async def prepared(self, case: Case) -> "World":
        for operation in case.before:
            await operation(self.registry())
        return self

    async def seen(self) -> dict[str, Any]:
        """Everything that readers see: each file whole, each list."""
        registry = self.registry()
        items = await registry.catalog.packages(limit=10)
        if not items:
            return {}
        (item,) = items
        manifests = await registry.packages.all(APP)
        found: dict[str, Any] = {
            "releases": [(view.release, [row.format for row in view.formats]) for view in item.releases],
            "channels": [(view.name, view.current, view.releases) for view in await registry.channels.all(APP)],
        }
        for manifest in manifests:
            reader = await registry.packages.open(APP, manifest.entry.tar_digest)
            data = b"".join([chunk async for chunk in reader.chunks])
            assert len(data) == manifest.entry.size
            assert await registry.manifests.find(APP.repository, manifest.entry.manifest) is not None
            found[f"{manifest.release} {manifest.format}"] = sha256(data).hexdigest()
        return found

    async def close(self) -> None:
        await self.records.close()
        await self.views.close()


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_old_or_new_but_never_half(case: Case, fault: Fault, make_world: Callable[[], World]) -> None:
    await never_half(case, fault, make_world)


async def never_half(case: Case, fault: Fault, make_world: Callable[[], World]) -> None:
    """Let each call of the case's operation go wrong in turn, and look what is seen then."""
    before, after = await outcomes(case, make_world)
    call, met = 0, True
    while met:
        call += 1
        plan = Plan.at(call, fault)
        world = await make_world().prepared(case)
        error = await attempt(case.operation, world.registry(plan))
        seen = await world.seen()
        await stores_in_order(world.records, world.blobs)
        await world.close()
        met = plan.met
        where = f"{fault.name} at call {call}: {plan.log[call - 1 : call]}, {error!r}"
        if error is None:
            assert seen == after, where
        elif isinstance(error, OutcomeUnknown | Crashed):
            assert seen in (before, after), where
        else:
            assert isinstance(error, StoreUnavailable | StoreFull), where
            assert seen == before, where
    assert call > 3


async def outcomes(case: Case, make_world: Callable[[], World]) -> tuple[Any, Any]:
    """What is seen before and after the operation when nothing fails."""
    world = await make_world().prepared(case)
    before = await world.seen()
    await case.operation(world.registry())
    after = await world.seen()
    await world.close()
    assert before != after
    return before, after


async def attempt(operation: Operation, registry: Registry) -> Exception | None:
    try:
        await operation(registry)
    except Exception as exc:
        return exc
    return None
