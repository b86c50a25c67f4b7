"""How many uploads are open, and the end of those that nobody goes on with.

Sessions are records that the feed leaves out, and a counter of its own would be a write more for each push. So each
process counts them when it is asked and its last count is old, and in between adds and subtracts what it does itself.
The limits are soft by what other processes do in that time. Under load nobody waits for a count but the first, and who
would be refused.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from cnr.domain.errors import CnrError, DataCorrupt, StoreTrouble, TooManyUploads
from cnr.domain.names import Repository
from cnr.registry.core import Core
from cnr.store import keys, records
from cnr.store.records import UploadRecord

COUNT_S: Final = 10.0
"""Seconds after which a count is old."""
AGAIN_S: Final = 1.0
"""And for whom there is no room."""
RETRY_AFTER_S: Final = 10
_PAGE: Final = 500

GiveUp = Callable[[str, UploadRecord], Awaitable[None]]

_log = logging.getLogger(__name__)


class OpenUploads:
    """Admits new ones up to the limits in `core.limits`. `give_up` ends one that stands as it was seen."""

    def __init__(self, core: Core, give_up: GiveUp) -> None:
        self._core = core
        self._give_up = give_up
        self._idle_us = int(core.upload_idle.total_seconds() * 1_000_000)
        self._open: Counter[Repository] = Counter()
        self._owned: Counter[str] = Counter()
        self._total = 0
        self._counted_at: float | None = None
        self._counting: asyncio.Task[None] | None = None

    async def admit(self, repository: Repository, owner: str) -> None:
        """Count a new upload of `owner` (empty: nobody in particular). Raises TooManyUploads."""
        limits = self._core.limits
        if not (limits.uploads or limits.uploads_per_repository or limits.uploads_per_caller):
            return
        if self._counted_at is None:
            await self._count()
        elif self._is_older(COUNT_S):
            self._begin_count()
        if self._full(repository, owner) and self._is_older(AGAIN_S):
            await self._count()
        if found := self._full(repository, owner):
            where, limit = found
            raise TooManyUploads(
                f"{where} {limit:,} open uploads: finish some, or wait until they are given up",
                limit=limit,
                retry_after_s=RETRY_AFTER_S,
            )
        self._open[repository] += 1
        self._owned[owner] += 1
        self._total += 1

    def ended(self, repository: Repository, owner: str) -> None:
        """One upload is over."""
        if self._owned[owner] > 0:
            self._owned[owner] -= 1
        if self._open[repository] > 0:
            self._open[repository] -= 1
            self._total -= 1

    def _is_older(self, seconds: float) -> bool:
        """Whether the last count is; a clock that people set would keep callers out for as long as it was set back."""
        return self._counted_at is None or self._core.now_s() - self._counted_at > seconds

    def _full(self, repository: Repository, owner: str) -> tuple[str, int] | None:
        limits = self._core.limits
        if 0 < limits.uploads_per_repository <= self._open[repository]:
            return f"the repository {repository} has", limits.uploads_per_repository
        if owner and 0 < limits.uploads_per_caller <= self._owned[owner]:
            return "you have", limits.uploads_per_caller
        if 0 < limits.uploads <= self._total:
            return "the registry has", limits.uploads
        return None

    def _begin_count(self) -> asyncio.Task[None]:
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count_all())
            self._counting.add_done_callback(_retrieve)
        return self._counting

    async def _count(self) -> None:
        await asyncio.shield(self._begin_count())

    async def _count_all(self) -> None:
        found: Counter[Repository] = Counter()
        owned: Counter[str] = Counter()
        after = ""
        while page := await self._core.records.scan(keys.UPLOADS, after=after, limit=_PAGE):
            after = page[-1].key
            for each in page:
                session = _session(each.value)
                if session is not None and not await self._is_given_up(each.key, session):
                    found[session.repository] += 1
                    owned[session.owner] += 1
            await asyncio.sleep(0)
        self._open, self._owned, self._total = found, owned, found.total()
        self._counted_at = self._core.now_s()

    async def _is_given_up(self, key: str, session: UploadRecord) -> bool:
        if session.touched_at > self._core.clock() - self._idle_us:
            return False
        try:
            await self._give_up(key.removeprefix(keys.UPLOADS), session)
        except StoreTrouble as exc:
            _log.warning("an upload to which nothing comes is not given up: %s", exc.message)
        except CnrError:
            return False  # it goes on after all
        return True


def _session(value: bytes) -> UploadRecord | None:
    """The upload, if it is open. What cannot be read is garbage collection's to report."""
    try:
        found: UploadRecord = records.decode(UploadRecord, value)
    except DataCorrupt:
        return None
    return None if found.ended_at else found


def _retrieve(task: asyncio.Task[None]) -> None:
    # a failure nobody waits for is met again at the next count
    if not task.cancelled():
        task.exception()
