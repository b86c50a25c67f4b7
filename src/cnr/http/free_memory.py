"""Gives memory back that a large document took: the C library keeps freed pieces for later, and a day may pass."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

QUIET_S: Final = 1.0
"""Seconds after the last large document: while they come one after the other, the next one needs the memory."""


class FreeMemory:
    """Returns free memory to the system some time after `soon`, in `pool`; only where the C library is glibc."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._trim = _malloc_trim()
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """Do it when nobody has called this for QUIET_S."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(QUIET_S, lambda: loop.run_in_executor(self._pool, self._give_back))

    def _give_back(self) -> None:
        gc.collect()
        if self._trim is not None:
            self._trim(0)


def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None  # musl
    return found
