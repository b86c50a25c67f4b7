"""One clock for all servers of a store: its own where it has one, else this host's."""

import logging
from collections.abc import Callable
from typing import Final

from cnr.domain.errors import StoreTrouble
from cnr.store.base import Clocked, RecordStore

SKEW_US: Final = 5_000_000
"""Difference between a host's clock and its store's above which the host is told."""
_SLOW_US: Final = 1_000_000
"""A store that took longer than that to tell the time told nothing."""
_log = logging.getLogger(__name__)


class StoreClock:
    """Microseconds UTC as the store counts them: this host's clock and the last known difference.

    So ages that one server writes and another judges do not depend on how well the hosts' clocks agree.
    """

    def __init__(self, records: RecordStore, local: Callable[[], int]) -> None:
        self._records = records
        self._local = local
        self.ahead_us = 0
        """How far the store's clock is ahead of this host's."""

    def now(self) -> int:
        """Microseconds UTC."""
        return self._local() + self.ahead_us

    async def compare(self, *, warn: bool = False) -> None:
        """Ask the store for the time, if it has a clock; an unreachable one changes nothing."""
        if not isinstance(self._records, Clocked):
            return
        before = self._local()
        try:
            theirs = await self._records.now_us()
        except StoreTrouble:
            return
        after = self._local()
        if 0 <= after - before <= _SLOW_US:
            self.ahead_us = theirs - (before + after) // 2
        if warn and abs(self.ahead_us) > SKEW_US:
            _log.warning("the store's clock is %+.1f s from this host's; set one of them", self.ahead_us / 1e6)
