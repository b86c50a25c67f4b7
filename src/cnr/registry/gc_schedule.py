"""Collecting in the background: of all processes on a store one at a time, once in each interval.

`meta/gc` says who collects and when the last run ended. It saves work and guards nothing: collectors may overlap.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from cnr.domain.errors import StoreTrouble
from cnr.registry.core import Core
from cnr.registry.gc import Collector
from cnr.registry.gc_report import Report
from cnr.store import keys
from cnr.store.records import Collection
from cnr.store.update import KEEP, Keep

LEASE_US = 60_000_000
"""How long others leave it to a collector that was not heard of; so long is one that was killed in their way."""
RENEW_S = 15.0
"""How often a collector is heard of, also where one repository takes it minutes."""
LOOK_S = 60.0
"""How often a process looks whether a run is due."""

_log = logging.getLogger(__name__)


class Schedule:
    """Runs `collector` when `interval_s` have passed since any process of the store ended a run.

    `told` gets the report of each run that removed or failed something; `may` says whether a run may begin.
    """

    def __init__(
        self,
        core: Core,
        collector: Collector,
        interval_s: int,
        *,
        look_s: float = LOOK_S,
        renew_s: float = RENEW_S,
        told: Callable[[Report], None] | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._core = core
        self._collector = collector
        self._interval_us = interval_s * 1_000_000
        self._told = told
        self._may = may
        self._look_s = min(look_s, float(interval_s))
        self._renew_s = renew_s
        self._owner = core.new_id()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look again and again while the block runs. At its end a run is broken off; the next one finishes it."""
        async with _beside(self._forever()):
            yield

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                report = await self.run_if_due()
            except StoreTrouble as exc:
                _log.warning("garbage collection broke off and is tried again: %s", exc.message)
            except Exception:
                _log.exception("garbage collection failed")
            else:
                if report is not None:
                    _tell(report)
                    if self._told is not None and (report.count or report.unnamed or report.failed):
                        self._told(report)

    async def run_if_due(self) -> Report | None:
        """Collect, if nobody else does and the last run ended an interval ago. Raises StoreTrouble."""
        if not self._may() or not await self._take():
            return None
        async with self._renewing():
            report = await self._collector.collect()
        now = self._core.clock()
        await self._put(Collection(owner=self._owner, until=now, finished_at=now))
        return report

    async def _take(self) -> bool:
        found = await self._core.read(keys.META_GC, Collection)
        if found is not None and not self._free(found):
            return False
        until = self._core.clock() + LEASE_US

        def change(before: Collection | None) -> Collection | Keep:
            if before is not None and not self._free(before):
                return KEEP
            return Collection(owner=self._owner, until=until, finished_at=before.finished_at if before else 0)

        swap = await self._core.updater.update(keys.META_GC, Collection, change)
        return swap.after is not None and (swap.after.owner, swap.after.until) == (self._owner, until)

    def _free(self, found: Collection) -> bool:
        now = self._core.clock()
        if max(found.until, found.finished_at) > now + LEASE_US:
            return True  # a clock was ahead when it was written, and nobody can say how long ago that is
        return found.until <= now and found.finished_at + self._interval_us <= now

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[None]:
        """Say again and again, while the block runs, that this one collects."""
        async with _beside(self._renew()):
            yield

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            with suppress(StoreTrouble):  # then others may begin too: it guards nothing
                await self._put(Collection(owner=self._owner, until=self._core.clock() + LEASE_US))

    async def _put(self, mine: Collection) -> None:
        """Swap in `mine`, unless another collector took over."""

        def change(before: Collection | None) -> Collection | Keep:
            if before is not None and before.owner != self._owner:
                return KEEP
            finished_at = mine.finished_at or (before.finished_at if before else 0)
            return Collection(owner=mine.owner, until=mine.until, finished_at=finished_at)

        await self._core.updater.update(keys.META_GC, Collection, change)


def _tell(report: Report) -> None:
    _log.info(
        "garbage collection removed %d records and %d unnamed files, %d bytes in all",
        report.count,
        report.unnamed,
        report.size,
    )
    for repository, reason in report.failed.items():
        _log.error("garbage collection left %s alone: %s", repository, reason)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do `work` while the block runs; at its end what is left of it is broken off."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
