"""A server's clock is set an hour ahead or back: what ages, what is in order, and who gets in all the same."""

import dataclasses
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnr.app import strict_clock
from cnr.auth import bearer
from cnr.auth.bearer import Bearer
from cnr.domain.digest import sha256
from cnr.domain.errors import TokenRefused, TooManyUploads
from cnr.domain.limits import Limits
from cnr.domain.names import Repository
from cnr.domain.version import Release
from cnr.registry.gc_schedule import Schedule
from cnr.registry.registry import Registry
from cnr.store import keys

from .conftest import APP, chart
from .gc_world import HELM, collector
from .test_gc import World

HOUR, DAY = 3_600_000_000, 86_400_000_000


@pytest.fixture
async def world(pool: ThreadPoolExecutor, tmp_path: Path) -> AsyncIterator[World]:
    made = World(pool, tmp_path)
    yield made
    await made.close()


class Times:
    """A wall clock that people set, and a monotonic one that they cannot."""

    def __init__(self) -> None:
        self.wall_us = 1_700_000_000_000_000
        self.passed_s = 0.0
        self.clock = strict_clock(lambda: self.wall_us * 1000)

    def pass_by(self, seconds: float) -> None:
        """Let time pass on both."""
        self.passed_s += seconds
        self.wall_us += int(seconds * 1_000_000)

    def monotonic(self) -> float:
        """Seconds."""
        return self.passed_s


def test_a_clock_that_is_set_back_is_followed() -> None:
    times = Times()
    before = times.clock()
    assert times.clock() == before + 1
    times.wall_us -= 500_000
    assert times.clock() == before + 2, "a correction"
    times.wall_us += HOUR
    times.clock()
    times.wall_us -= HOUR
    assert times.clock() == times.wall_us


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_tokens_live_as_long_as_they_should(registry: Registry, jump: int) -> None:
    times = Times()
    tokens = Bearer(registry.core.records, registry.core.updater, times.clock, times.monotonic)
    await tokens.issue(None, ())
    times.wall_us += jump
    token, _ = await tokens.issue(None, ())
    await tokens.read(token)
    times.pass_by(bearer.LIFETIME_S + 1)
    with pytest.raises(TokenRefused):
        await tokens.read(token)


async def test_an_hour_ahead_and_back_again(registry: Registry) -> None:
    times = Times()
    tokens = Bearer(registry.core.records, registry.core.updater, times.clock, times.monotonic)
    old, _ = await tokens.issue(None, ())
    times.wall_us += HOUR
    with pytest.raises(TokenRefused):
        await tokens.read(old)
    early, _ = await tokens.issue(None, ())
    times.wall_us -= HOUR
    with pytest.raises(TokenRefused):
        await tokens.read(early)
    token, _ = await tokens.issue(None, ())
    await tokens.read(token)
    times.pass_by(bearer.LIFETIME_S + 1)
    for each in (old, early, token):
        with pytest.raises(TokenRefused):
            await tokens.read(each)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_key_that_was_replaced_is_missed_in_time(registry: Registry, jump: int) -> None:
    times = Times()
    core = registry.core
    here, there = (Bearer(core.records, core.updater, times.clock, times.monotonic) for _ in range(2))
    await here.issue(None, ())
    times.wall_us += jump
    token, _ = await here.issue(None, ())
    await here.read(token)
    await there.rotate(drop_others=True)
    times.pass_by(bearer.FRESH_S + 1)
    with pytest.raises(TokenRefused):
        await here.read(token)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_who_was_one_too_many_gets_in_when_there_is_room(registry: Registry, jump: int) -> None:
    times = Times()
    limits = Limits(uploads_per_repository=1)
    here, there = (
        Registry(dataclasses.replace(registry.core, limits=limits, clock=times.clock, now_s=times.monotonic))
        for _ in range(2)
    )
    repository = Repository("ns/app")
    upload = await here.uploads.begin(repository)
    times.wall_us += jump // 100  # not so far that the upload is idle
    with pytest.raises(TooManyUploads):
        await here.uploads.begin(repository)
    await there.uploads.cancel(repository, upload.id)
    times.pass_by(2)
    await here.uploads.begin(repository)


async def test_releases_stay_in_order(registry: Registry) -> None:
    times = Times()
    registry = Registry(dataclasses.replace(registry.core, clock=times.clock))
    for version, jump in (("1.0.0", 0), ("3.0.0", HOUR), ("2.0.0", -HOUR), ("4.0.0", -HOUR)):
        times.wall_us += jump
        await registry.publisher.publish(APP, Release(version), HELM, chart(version))
        await registry.catalog.sync()
    found = await registry.packages.all(APP)
    assert [each.release for each in found] == ["1.0.0", "3.0.0", "2.0.0", "4.0.0"]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_what_is_new_is_spared(world: World, jump: int) -> None:
    digest = sha256(b"new")
    await world.registry.blobs.keep(APP.repository, digest, b"new")
    world.now += jump
    await collector(world.registry).collect()
    await world.registry.core.records.get(keys.blob(APP.repository, digest))


@pytest.mark.parametrize("ahead", [HOUR, 3650 * DAY])
async def test_collecting_does_not_wait_for_a_time_that_was_wrong(world: World, ahead: int) -> None:
    schedule = Schedule(world.registry.core, collector(world.registry), 3600)
    world.now += ahead
    assert await schedule.run_if_due() is not None
    world.now -= ahead
    assert await schedule.run_if_due() is not None
    assert await schedule.run_if_due() is None
