"""Rules of namespaces and repositories: what wins over what, and what reading them costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.faults.faulty import Fault, FaultyRecords, Plan

from cnr.domain.errors import OutcomeUnknown, StoreTrouble
from cnr.domain.names import Repository
from cnr.domain.policy import Policy
from cnr.registry.policies import Policies
from cnr.registry.registry import Registry
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import APP, MakeRegistry

OTHER = Repository("ns/other")


async def change(policies: Policies, path: str, **fields: Any) -> None:
    await policies.change(path, lambda before: msgspec.structs.replace(before, **fields))


async def test_without_any_record_the_server_s_settings_hold(registry: Registry) -> None:
    assert await registry.policies.of(APP.repository) == Policy()
    strict = Policies(replace(registry.core, policy=Policy("strict", untagged_after=timedelta(days=1))))
    assert await strict.of(APP.repository) == Policy("strict", untagged_after=timedelta(days=1))


async def test_a_longer_path_wins_field_by_field(registry: Registry) -> None:
    policies = registry.policies
    await change(policies, "ns", immutability="strict", untagged_after=60)
    await change(policies, "ns/app", immutability="none", force=False)
    assert await policies.of(APP.repository) == Policy("none", force=False, untagged_after=timedelta(minutes=1))
    assert await policies.of(OTHER) == Policy("strict", untagged_after=timedelta(minutes=1))
    await change(policies, "ns/app", immutability=None, untagged_after="never")
    assert await policies.of(APP.repository) == Policy("strict", force=False)
    await change(policies, "ns/app/deep", force=True)
    assert (await policies.of(Repository("ns/app/deep/er"))).force
    assert await policies.of(Repository("elsewhere/app")) == Policy()


async def test_a_namespace_is_not_the_repository_of_its_name(registry: Registry) -> None:
    await change(registry.policies, "x", immutability="strict")
    assert await registry.policies.of(Repository("x")) == Policy()
    assert (await registry.policies.of(Repository("x/y"))).strict
    await change(registry.policies, "library", immutability="none")
    assert (await registry.policies.of(Repository("x"))).tags_move
    assert (await registry.policies.of(Repository("x/y"))).strict


async def test_strict_forbids_force_whatever_else_is_set() -> None:
    assert not Policy("strict", force=True).may_force
    assert Policy("none").may_force
    assert not Policy("releases", force=False).may_force


async def test_they_cost_one_read_unless_a_longer_path_has_some(
    make_registry: MakeRegistry, records: SqliteRecords, blobs: MemoryBlobs, views: SqliteViews
) -> None:
    plan = Plan()
    policies = make_registry(FaultyRecords(records, plan), blobs, views).policies
    await change(policies, "ns", immutability="strict")
    plan.log.clear()
    await policies.of(APP.repository)
    assert plan.log == ["get policy/ns"]
    await change(policies, "ns/other", immutability="none")
    plan.log.clear()
    assert (await policies.of(APP.repository)).strict
    assert plan.log == ["get policy/ns", "get policy/ns!app"]


@pytest.mark.parametrize("fault", Fault)
async def test_a_change_is_there_or_not(
    fault: Fault, make_registry: MakeRegistry, blobs: MemoryBlobs, views: SqliteViews, records: SqliteRecords
) -> None:
    """Every store call of a change goes wrong in turn; other repositories never notice."""
    healthy = make_registry(records, blobs, views).policies
    await change(healthy, "ns", force=False)
    before, after = Policy(force=False), Policy("strict", force=False)
    call, met = 0, True
    while met:
        call += 1
        await change(healthy, "ns/app", immutability=None)
        plan = Plan.at(call, fault)
        error: Exception | None = None
        try:
            await change(
                make_registry(FaultyRecords(records, plan), blobs, views).policies, "ns/app", immutability="strict"
            )
        except Exception as exc:
            error = exc
        met = plan.met
        found = await healthy.of(APP.repository)
        assert await healthy.of(OTHER) == before
        if error is None:
            assert found == after
        elif isinstance(error, StoreTrouble) and not isinstance(error, OutcomeUnknown):
            assert found == before
        else:
            assert found in (before, after)
    assert call > 3
