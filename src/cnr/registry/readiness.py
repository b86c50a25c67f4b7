"""Whether the files can be reached, where they are kept apart from the records."""

import asyncio
from typing import Final

from cnr.domain.errors import StoreTrouble, StoreUnavailable
from cnr.store.base import BlobStore, Reachable

ANSWER_S: Final = 3.0
"""How long a store may take. It repeats what fails for longer than whoever asks for the health waits."""
GOOD_S: Final = 1.0
"""How long an answer that it is there counts: anybody may ask, and object stores count requests."""


class Readiness:
    """Asks `blobs` whether it is there. Those who ask at the same time share one question."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs if isinstance(blobs, Reachable) else None
        self._asking: asyncio.Task[StoreTrouble | None] | None = None
        self._good_until = 0.0

    async def check(self) -> None:
        """Raises StoreUnavailable while the files cannot be reached."""
        if self._blobs is None or asyncio.get_running_loop().time() < self._good_until:
            return
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(self._blobs))
            self._asking.add_done_callback(self._asked)
        trouble = await asyncio.shield(self._asking)
        if trouble is not None:
            raise type(trouble)(trouble.message) from trouble

    def _asked(self, task: "asyncio.Task[StoreTrouble | None]") -> None:
        self._asking = None

    async def _ask(self, blobs: Reachable) -> StoreTrouble | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await blobs.reach()
        except TimeoutError:
            return StoreUnavailable("the store of files does not answer")
        except StoreTrouble as exc:
            return exc
        self._good_until = asyncio.get_running_loop().time() + GOOD_S
        return None
