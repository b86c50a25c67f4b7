"""index.yaml over a registry in memory: what is rendered, joined and kept; and charts against a model."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registry.conftest import chart

from cnr.domain.archive import HELM
from cnr.domain.chart_version import chart_order
from cnr.domain.names import PackageName
from cnr.domain.version import Release
from cnr.registry.chart_entries import ChartEntries
from cnr.registry.chart_index import CODINGS, ChartIndex, ChartIndexes, joined
from cnr.registry.core import Bytes
from cnr.registry.registry import Registry
from cnr.store.views import ChartChange, ChartPlace

TAIL = b"}}"


def document(index: ChartIndex) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(index.entries + index.tail("/helm"))
    return found


def versions(index: ChartIndex) -> dict[str, list[str]]:
    return {name: [each["version"] for each in found] for name, found in document(index)["entries"].items()}


def entries_of(registry: Registry) -> ChartEntries:
    found = registry.catalog.chart_entries
    assert found is not None
    return found


async def push(registry: Registry, version: str, name: str = "app") -> None:
    await registry.publisher.publish(PackageName("ns", name), Release(version), HELM, chart(version, name=name))


@pytest.fixture
async def filled(registry: Registry) -> Registry:
    for number in range(30):
        await push(registry, f"1.0.{number}")
    await push(registry, "1.0.0", "other")
    await registry.chart_indexes.of("ns")
    return registry


async def test_case_90_one_push_renders_one_entry(filled: Registry) -> None:
    entries = entries_of(filled)
    assert entries.rendered == 31
    await push(filled, "2.0.0")
    index = await filled.chart_indexes.of("ns")
    assert entries.rendered == 32
    assert versions(index)["app"][:2] == ["2.0.0", "1.0.29"]
    assert await filled.chart_indexes.of("ns") is index
    await push(filled, "1.0.0", "third")
    await filled.packages.delete(PackageName("ns", "other"), "1.0.0", "helm")
    assert list(versions(await filled.chart_indexes.of("ns"))) == ["app", "third"]
    assert entries.rendered == 33


async def test_a_push_reads_only_what_changed(filled: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    changes = filled.catalog.chart_changes

    async def counted(namespace: str, since: ChartPlace, *, limit: int) -> Any:
        found = await changes(namespace, since, limit=limit)
        read.append(len(found.changes))
        return found

    monkeypatch.setattr(filled.catalog, "chart_changes", counted)
    await push(filled, "2.0.0")
    await filled.chart_indexes.of("ns")
    assert read == [1]


async def test_another_namespace_changes_nothing(filled: Registry) -> None:
    index = await filled.chart_indexes.of("ns")
    await filled.publisher.publish(PackageName("other", "app"), Release("1.0.0"), HELM, chart("1.0.0"))
    assert await filled.chart_indexes.of("ns") is index


async def test_a_format_beside_the_chart_changes_nothing(filled: Registry) -> None:
    index = await filled.chart_indexes.of("ns")
    package = chart("9.9.9")
    await filled.publisher.publish(PackageName("ns", "app"), Release("1.0.3"), "kpm", package)  # type: ignore[arg-type]
    assert await filled.chart_indexes.of("ns") is index


async def test_a_kept_index_survives_the_loss_of_the_views(filled: Registry) -> None:
    before = await filled.chart_indexes.of("ns")
    assert (await ChartIndexes(filled.core).of("ns")).entries == before.entries


async def test_etag_and_codings_are_of_the_document(filled: Registry) -> None:
    index = await filled.chart_indexes.of("ns")
    for tail in (index.tail("/helm"), index.tail("")):
        assert index.etag(tail) == hashlib.sha256(index.entries + tail).hexdigest()
    for coding in CODINGS:
        first = await filled.chart_indexes.compressed(index, TAIL, coding)
        assert await filled.chart_indexes.compressed(index, TAIL, coding) is first


async def test_a_broken_chart_is_left_out(registry: Registry) -> None:
    await push(registry, "1.0.0")
    broken = Bytes(b"no archive")
    with pytest.raises(Exception, match="gzip"):
        await registry.publisher.publish(PackageName("ns", "app"), Release("2.0.0"), HELM, broken)
    assert versions(await registry.chart_indexes.of("ns")) == {"app": ["1.0.0"]}


names = st.sampled_from(["a", "b", "c", "d"])
numbers = st.sampled_from(["1.0.0", "1.0.0-rc.1", "1.0.0+a", "1.0.0+b", "2.0.0", "10.0.0", "1.0", "v1"])
steps = st.lists(st.lists(st.tuples(names, numbers, st.booleans(), st.integers(0, 3)), max_size=6), max_size=12)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_joining_step_by_step_is_joining_all(batches: list[list[tuple[str, str, bool, int]]]) -> None:
    model: dict[tuple[str, str], bytes] = {}
    index: ChartIndex | None = None
    for at, batch in enumerate(batches):
        changes = {}
        for name, version, there, size in batch:
            entry = json.dumps({"version": version, "pad": "x" * size}).encode() if there else None
            changes[name, version] = ChartChange(name, chart_order(version), version, entry)
            if entry is None:
                model.pop((name, version), None)
            else:
                model[name, version] = entry
        index = joined(index, changes.values(), ChartPlace("l", at, 0))
    if index is not None:
        whole = joined(
            None, [ChartChange(n, chart_order(v), v, entry) for (n, v), entry in model.items()], ChartPlace("l", 0, 0)
        )
        assert index.entries == whole.entries
        assert index.charts == whole.charts
        assert index.etag(TAIL) == whole.etag(TAIL)
        for (name, version), entry in model.items():
            found = index.version(name, chart_order(version))
            assert found is not None
            assert bytes(found) == entry
