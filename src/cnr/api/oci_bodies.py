"""Bodies that are needed in one piece, without letting many large ones at a time fill the memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Final

from starlette.requests import Request

from cnr.http.body import body_chunks
from cnr.http.free_memory import FreeMemory
from cnr.http.spool import Spool
from cnr.registry.core import Core

SMALL: Final = 128 * 1024
"""Bytes of a body that is held in memory as it comes: nearly all manifests have a few KiB."""
LARGE_AT_ONCE: Final = 1
"""Larger ones that are in memory at a time. What is made of 4 MiB of JSON takes up to 25 times as much. Two took more
memory and no less time, since taking JSON apart keeps other threads waiting."""


class DocumentBodies:
    """Reads bodies of at most `limit` bytes. A large one waits in a file for its turn."""

    def __init__(self, core: Core, *, limit: int, stall_s: float) -> None:
        self._core = core
        self._limit = limit
        self._stall_s = stall_s
        self._turns = asyncio.Semaphore(LARGE_AT_ONCE)
        self._memory = FreeMemory(core.pool)

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body while the block runs; do in it what needs what is made of it. Raises as body_chunks does."""
        with closing(Spool(self._core.spool_folder)) as spool:
            async for chunk in body_chunks(request, limit=self._limit, stall_s=self._stall_s):
                spool.write(chunk)
                if spool.size > SMALL:
                    await self._core.work(len(chunk), spool.flush)
            if spool.size <= SMALL:
                yield b"".join(spool.chunks())
                return
            async with self._turns:
                try:
                    yield await self._core.work(spool.size, lambda: b"".join(spool.chunks()))
                finally:
                    self._memory.soon()
