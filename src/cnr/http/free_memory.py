"""Gives memory back that a large document took: the C library keeps freed pieces for later, and a day may pass."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

QUIET_S: Final = 1.0
"""Seconds after the last large document: while they come one after the other, the next one needs the memory."""


ARENAS: Final = 2
"""Pieces of memory that threads allocate from. By itself glibc has 8 for each processor and lets each keep up to twice
the largest buffer it ever had at its end, which malloc_trim leaves alone: 8 threads that read 4 MiB kept 64 MiB."""
_M_ARENA_MAX: Final = -8
"""Source: malloc.h of glibc, mallopt(3)."""


def limit_arenas() -> None:
    """Let this process have ARENAS, if the C library is glibc and MALLOC_ARENA_MAX says nothing else.

    Call it before there are threads: an arena that a thread has stays.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    if (mallopt := _function("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, ARENAS)


class FreeMemory:
    """Returns free memory to the system some time after `soon`, in `pool`; only where the C library is glibc."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._trim = _function("malloc_trim")
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


def _function(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None  # musl
    return found
