"""Whether a store is still written in a format that this code knows, while it is in use."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from cnr.domain.errors import ReadOnly, StoreTrouble
from cnr.store.base import RecordNotFound, RecordStore, StoreRefused
from cnr.store.probe import read_format
from cnr.store.records import FORMAT

LOOK_S: Final = 10.0
"""How often a store is asked. Whoever raises its format was told to stop older servers first."""

_log = logging.getLogger(__name__)


class FormatWatch:
    """Notices that the format of `store` was raised beyond `known`. It is never lowered again."""

    def __init__(self, store: RecordStore, *, known: int = FORMAT) -> None:
        self._store = store
        self._known = known
        self.is_newer = False

    def check(self) -> None:
        """Raises ReadOnly where it is newer: an older server must not change what a newer one writes."""
        if self.is_newer:
            raise ReadOnly("this server is older than the format of its store, so nothing can be changed here")

    @asynccontextmanager
    async def running(self, look_s: float = LOOK_S) -> AsyncIterator[None]:
        """Look again and again while the block runs."""
        task = asyncio.create_task(self._forever(look_s))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _forever(self, look_s: float) -> None:
        while not self.is_newer:
            await asyncio.sleep(look_s)
            with suppress(StoreTrouble, RecordNotFound, StoreRefused):
                found = await read_format(self._store)
                self.is_newer = max(found.read_format, found.write_format) > self._known
        _log.error("the store's format was raised beyond what this server knows: it is read-only now; upgrade it")
