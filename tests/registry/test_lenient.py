"""Releases that only helm takes for some: they make no package of the CNR view."""

import pytest

from cnr.domain.errors import PackageNotFound
from cnr.domain.names import Tag
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.records import Repo

from .conftest import APP
from .oci_pushes import REPO, put_chart


async def repo(registry: Registry) -> Repo | None:
    found: Repo | None = await registry.core.read(keys.repo(REPO), Repo)
    return found


async def test_they_keep_no_package_alive(registry: Registry) -> None:
    await put_chart(registry, "v1.2", "v1.2")
    assert await repo(registry) is None
    await put_chart(registry, "1.0.0", "1.0.0")
    first = await repo(registry)
    assert first is not None
    assert first.state == "live"
    await registry.images.delete_tag(REPO, Tag("1.0.0"))
    gone = await repo(registry)
    assert gone is not None
    assert gone.state == "empty"
    await put_chart(registry, "1.0.0", "1.0.0")
    again = await repo(registry)
    assert again is not None
    assert again.created_at > first.created_at


async def test_who_wants_all_gets_them(registry: Registry) -> None:
    await put_chart(registry, "v1.2", "v1.2")
    await put_chart(registry, "1.0.0", "1.0.0")
    assert [tag async for tag, _ in registry.tags.releases(REPO)] == ["1.0.0"]
    assert [tag async for tag, _ in registry.tags.releases(REPO, lenient=True)] == ["1.0.0", "v1.2"]
    assert [item.release for item in await registry.packages.all(APP)] == ["1.0.0"]
    with pytest.raises(PackageNotFound):
        await registry.packages.manifests(APP, "v1.2")
