"""The rules of channels, and what the death of a release does to them. Source: contracts/cnr.md section 4."""

import asyncio

import pytest

from cnr.domain.errors import ChannelNotFound, InvalidQuery, NameTaken, PackageNotFound, ReleaseNotFound
from cnr.domain.names import Channel, Format
from cnr.domain.version import Release
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.base import ABSENT
from cnr.store.records import AnyTag, ChannelTag, PlainTag, Pointer, decode, encode
from cnr.store.sqlite import SqliteRecords

from .conftest import APP, chart

STABLE, DEV = Channel("stable"), Channel("dev")
HELM = Format("helm")


async def publish(registry: Registry, *releases: str) -> None:
    for release in releases:
        await registry.publisher.publish(APP, Release(release), HELM, chart(release))


async def state(registry: Registry, channel: Channel = STABLE) -> tuple[str, tuple[str, ...]]:
    view = await registry.channels.get(APP, channel)
    return view.current, view.releases


async def test_current_is_what_was_added_last(registry: Registry) -> None:
    await publish(registry, "1.0.0", "1.10.0", "1.9.0")
    for release in ("1.0.0", "1.10.0", "1.9.0"):
        await registry.channels.add(APP, STABLE, release)
    assert await state(registry) == ("1.9.0", ("1.10.0", "1.9.0", "1.0.0"))
    await registry.channels.add(APP, STABLE, "1.9.0")
    assert await state(registry) == ("1.9.0", ("1.10.0", "1.9.0", "1.0.0"))


async def test_removing_a_member_makes_the_highest_left_current(registry: Registry) -> None:
    await publish(registry, "1.0.0", "2.0.0", "3.0.0")
    for release in ("3.0.0", "2.0.0", "1.0.0"):
        await registry.channels.add(APP, STABLE, release)
    await registry.channels.remove(APP, STABLE, "2.0.0")
    assert await state(registry) == ("3.0.0", ("3.0.0", "1.0.0"))


async def test_removing_the_last_member_ends_the_channel(registry: Registry) -> None:
    await publish(registry, "1.0.0")
    await registry.channels.add(APP, STABLE, "1.0.0")
    await registry.channels.remove(APP, STABLE, "1.0.0")
    with pytest.raises(ChannelNotFound):
        await registry.channels.get(APP, STABLE)


async def test_what_cannot_be_added(registry: Registry) -> None:
    with pytest.raises(PackageNotFound):
        await registry.channels.add(APP, STABLE, "abc")
    await publish(registry, "1.0.0")
    for query in ("1.0", "default", ">=1.0", "7.7.7"):
        with pytest.raises(ReleaseNotFound):
            await registry.channels.add(APP, STABLE, query)
    for query in ("abc", "1.a.1"):
        with pytest.raises(InvalidQuery):
            await registry.channels.add(APP, STABLE, query)
    assert await registry.channels.all(APP) == []


async def test_what_cannot_be_removed_changes_nothing(registry: Registry) -> None:
    await publish(registry, "1.0.0", "2.0.0")
    with pytest.raises(ChannelNotFound):
        await registry.channels.remove(APP, STABLE, "1.0.0")
    await registry.channels.add(APP, STABLE, "1.0.0")
    with pytest.raises(ReleaseNotFound):
        await registry.channels.remove(APP, STABLE, "2.0.0")
    with pytest.raises(PackageNotFound):
        await registry.channels.remove(APP, STABLE, "9.9.9")
    assert await state(registry) == ("1.0.0", ("1.0.0",))


async def test_a_plain_tag_is_no_channel_and_keeps_its_name(registry: Registry, records: SqliteRecords) -> None:
    await publish(registry, "1.0.0")
    release = await registry.packages.find(APP, "1.0.0", "helm")
    plain = PlainTag(manifest=Pointer(release.entry.manifest.digest, "x"))
    await records.put(keys.tag(APP.repository, "nightly"), encode(plain), expect=ABSENT)
    with pytest.raises(NameTaken):
        await registry.channels.add(APP, Channel("nightly"), "1.0.0")
    with pytest.raises(ChannelNotFound):
        await registry.channels.delete(APP, Channel("nightly"))


async def test_deleting_a_release_takes_it_out_of_its_channels(registry: Registry) -> None:
    await publish(registry, "1.0.0", "2.0.0", "3.0.0")
    for release in ("1.0.0", "2.0.0", "3.0.0"):
        await registry.channels.add(APP, STABLE, release)
    await registry.channels.add(APP, DEV, "3.0.0")
    await registry.packages.delete(APP, "3.0.0", "helm")
    assert await state(registry) == ("2.0.0", ("2.0.0", "1.0.0"))
    assert await registry.packages.channels_at(APP, Release("2.0.0")) == [STABLE]
    with pytest.raises(ChannelNotFound):
        await registry.channels.get(APP, DEV)


async def test_a_release_that_comes_again_is_in_no_channel(registry: Registry) -> None:
    await publish(registry, "1.0.0", "2.0.0")
    await registry.channels.add(APP, STABLE, "1.0.0")
    await registry.channels.add(APP, STABLE, "2.0.0")
    await registry.packages.delete(APP, "2.0.0", "helm")
    await publish(registry, "2.0.0")
    assert await state(registry) == ("1.0.0", ("1.0.0",))
    assert await registry.packages.channels_at(APP, Release("2.0.0")) == []


async def test_the_dead_are_swept_out_at_the_next_change(registry: Registry, records: SqliteRecords) -> None:
    await publish(registry, "1.0.0", "2.0.0")
    await registry.channels.add(APP, STABLE, "2.0.0")
    await registry.packages.delete(APP, "2.0.0", "helm")
    await registry.channels.add(APP, STABLE, "1.0.0")
    record: ChannelTag = decode(AnyTag, (await records.get(keys.tag(APP.repository, STABLE))).value)
    assert [member.tag for member in record.members] == ["1.0.0"]


async def test_additions_side_by_side_all_count(registry: Registry) -> None:
    releases = [f"1.{minor}.0" for minor in range(20)]
    await publish(registry, *releases)
    await asyncio.gather(*(registry.channels.add(APP, STABLE, release) for release in releases))
    _, members = await state(registry)
    assert sorted(members) == sorted(releases)


async def test_deleting_a_channel_leaves_its_releases(registry: Registry) -> None:
    await publish(registry, "1.0.0")
    await registry.channels.add(APP, STABLE, "1.0.0")
    await registry.channels.delete(APP, STABLE)
    with pytest.raises(ChannelNotFound):
        await registry.channels.delete(APP, STABLE)
    assert (await registry.packages.find(APP, "default", "-")).release == "1.0.0"
