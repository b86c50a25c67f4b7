"""Ends connections whose client asks for much and reads nothing.

Such a client holds a piece of an answer, an open file and a task, for nothing. How much it took is known exactly: from
what waits in this process and, on Linux, in the kernel. (The kernel alone may hold megabytes of a slow but honest
client's answer, and takes nothing new from us meanwhile.)
"""

import asyncio
import fcntl
import socket
import sys
import termios
from typing import Final

LEAST_RATE: Final = 256
"""Bytes per second that a client must take, on average over the time-out. Modems of 1990 took five times as much."""


class SlowReader:
    """Aborts `transport` when less than LEAST_RATE of what was written is taken during `seconds`, while watched."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def watch(self) -> None:
        """Watch from now on, until all is taken or `stop`. Nothing may be written meanwhile."""
        if self._timer is None:
            self._left = self._waiting()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._waiting()
        if left and self._left - left < LEAST_RATE * self._seconds:
            self._transport.abort()
        elif left:
            self.watch()

    def _waiting(self) -> int:
        return self._transport.get_write_buffer_size() + _in_kernel(self._transport)


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that were sent and not acknowledged. Source: tcp(7), SIOCOUTQ."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0
