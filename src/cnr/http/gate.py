"""How many connections a process has, of whom, and what becomes of those beyond a limit.

A connection that is refused costs no request: it is told so in plain text, before its head is read, and is closed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from cnr.domain.addresses import Networks, party

REFUSED_AT_ONCE: Final = 256
"""Refused connections that may wait for their answer; others are cut off without one."""
REFUSED_S: Final = 1.0
"""Seconds in which a refused connection can send its request. Closed before that, it would see a reset instead."""
RETRY_AFTER_S: Final = 5


def _refusal(status: str, why: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nretry-after: {RETRY_AFTER_S}\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    return f"{head}content-length: {len(why)}\r\n\r\n{why}".encode()


_FULL: Final = _refusal("503 Service Unavailable", "the server has as many connections as it takes; try again\n")
_TOO_MANY: Final = _refusal("429 Too Many Requests", "your address has as many connections as it may have\n")


class Gate:
    """Counts the connections of one process.

    At most `total` are open, and at most `per_address` of one party (0: no limit); `trusted` are proxies, through
    which many others come.
    """

    def __init__(self, *, total: int, per_address: int, trusted: Sequence[str] = ()) -> None:
        self._total = total
        self._per_address = per_address
        self._trusted = Networks(trusted)
        self._open: dict[str, int] = {}
        self._count = 0
        self._refused = 0

    @property
    def parties(self) -> int:
        """Whose connections are counted now."""
        return len(self._open)

    def enter(self, transport: asyncio.Transport) -> str | None:
        """For whom the connection counts, to be told to `leave`; None: it is refused, and no longer the caller's."""
        peer: Any = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
        who = "" if address in self._trusted else party(address)
        full = self._count >= self._total
        if full or (who and 0 < self._per_address <= self._open.get(who, 0)):
            self._refuse(transport, _FULL if full else _TOO_MANY)
            return None
        self._count += 1
        self._open[who] = self._open.get(who, 0) + 1
        return who

    def leave(self, who: str) -> None:
        """Count one less."""
        self._count -= 1
        left = self._open[who] - 1
        if left:
            self._open[who] = left
        else:
            del self._open[who]

    def _refuse(self, transport: asyncio.Transport, answer: bytes) -> None:
        if self._refused >= REFUSED_AT_ONCE:
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
            return
        self._refused += 1
        transport.set_protocol(_Refusal(transport, answer, self._forget))

    def _forget(self) -> None:
        self._refused -= 1


class _Refusal(asyncio.Protocol):
    """Answers whatever comes first, and closes."""

    def __init__(self, transport: asyncio.Transport, answer: bytes, ended: Any) -> None:
        self._transport = transport
        self._answer = answer
        self._ended = ended
        self._timer = asyncio.get_running_loop().call_later(REFUSED_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._ended()
