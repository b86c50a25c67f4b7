"""Reading a file without stopping the event loop: at once where the page cache has it, else in the pool."""

import asyncio
import os
from concurrent.futures import Executor, Future
from typing import Final

from cnr.domain.errors import StoreUnavailable

PIECE: Final = 1024 * 1024
"""Bytes read in one hop to the pool."""
_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", None)


def read_now(handle: int, start: int, size: int) -> bytes | None:
    """`size` bytes of an open file from `start`, if the page cache has all of them; never waits for the disk."""
    if _NO_WAIT is None:
        return None
    buffer = bytearray(size)
    try:
        done = os.preadv(handle, [buffer], start, _NO_WAIT)
    except OSError:  # not there, or not known to this file system: a thread finds out which
        return None
    return bytes(buffer) if done == size else None


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
    """An open file from `start` to `stop`, a piece for each hop to `pool`, and the next one read meanwhile.

    Owns `handle`: closed at the end, by `aclose`, or with this object.
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
