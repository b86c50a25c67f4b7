"""Reading a file without stopping the event loop: at once where the page cache has it, else in the pool."""

import asyncio
import os
from concurrent.futures import Executor, Future
from typing import Final

from cnr.domain.errors import StoreUnavailable

PIECE: Final = 1024 * 1024
"""Bytes read in one hop to the pool."""
DIRECT: Final = 256 * 1024
"""Up to here a read from the page cache takes less time than a hop to the pool, and stays in the processor's cache."""
_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", None)


def read_now(handle: int, start: int, size: int) -> bytes | None:
    """`size` bytes of an open file from `start`, if the page cache has the first and the last of them.

    So it does not wait for the disk, unless the kernel gave up pages from the middle of so short a part. (Reading all
    of it with RWF_NOWAIT needs a buffer of ours, and a copy of that, which cost more than the answer.)
    """
    if not (_is_cached(handle, start) and _is_cached(handle, start + size - 1)):
        return None
    data = os.pread(handle, size, start)
    return data if len(data) == size else None


def _is_cached(handle: int, at: int) -> bool:
    if _NO_WAIT is None:
        return False
    try:
        return os.preadv(handle, [bytearray(1)], at, _NO_WAIT) == 1
    except OSError:  # not there, or not known to this file system: a thread finds out which
        return False


def read_all(handle: int, start: int, size: int) -> bytes:
    """`size` bytes of an open file from `start`. Blocks. Raises StoreUnavailable."""
    try:
        data = os.pread(handle, size, start)
    except OSError as exc:
        raise StoreUnavailable(f"a blob cannot be read: {exc.strerror}") from exc
    if len(data) != size:
        raise StoreUnavailable("a blob is shorter than it was")
    return data


class Pieces:
    """An open file from `start` to `stop`: pieces of DIRECT bytes while the page cache has them.

    What it has not is read by `pool`, a larger piece for each hop, and the next one meanwhile. Owns `handle`: closed at
    the end, by `aclose`, or with this object.
    """

    def __init__(self, handle: int, start: int, stop: int, pool: Executor) -> None:
        self._handle = handle
        self._at = start
        self._stop = stop
        self._pool = pool
        self._ahead: Future[bytes] | None = None

    def __aiter__(self) -> "Pieces":
        return self

    async def __anext__(self) -> bytes:
        if self._ahead is None and (cached := self._cached()) is not None:
            if self._at % PIECE < DIRECT:
                await asyncio.sleep(0)  # a client that reads as fast as this would keep all others waiting
            return cached
        reading = self._ahead or self._read()
        self._ahead = None
        if reading is None:
            self._close(None)
            raise StopAsyncIteration
        try:
            data = await asyncio.wrap_future(reading)
        except BaseException:
            self._close(reading)
            raise
        self._ahead = self._read()
        return data

    async def aclose(self) -> None:
        """Let go of the file."""
        ahead, self._ahead = self._ahead, None
        self._close(ahead)

    def __del__(self) -> None:
        self._close(self._ahead)

    def _cached(self) -> bytes | None:
        size = min(DIRECT, self._stop - self._at)
        if self._handle == -1 or size <= 0:
            return None
        data = read_now(self._handle, self._at, size)
        if data is not None:
            self._at += size
        return data

    def _read(self) -> Future[bytes] | None:
        size = min(PIECE, self._stop - self._at)
        if self._handle == -1 or size <= 0:
            return None
        reading = self._pool.submit(read_all, self._handle, self._at, size)
        self._at += size
        return reading

    def _close(self, reading: Future[bytes] | None) -> None:
        handle, self._handle = self._handle, -1
        if handle == -1:
            return
        if reading is None:
            os.close(handle)
        else:
            # its number must not become another file's while a thread still reads
            reading.add_done_callback(lambda _: os.close(handle))
