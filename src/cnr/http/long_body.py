"""A long body whose length is known, which goes to the application as the socket gave it.

uvicorn's parser copies each piece of a body out of what was read, its cycle copies that into a buffer, and its receive
copies the buffer; before that the event loop copies what it read. Nothing in such a body has to be parsed, so it
passes by all of them: the kernel writes it into buffers of which the application gets views.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import Message

from cnr.domain.piece import Piece

LONG: Final = 512 * 1024
"""Bytes from which on a body is worth it, and of a body that wait for the application before no more is read."""
BUFFERS: Final = (8 * 1024, 256 * 1024)
"""Bytes of the first buffer, and of the largest: where one was filled at once, the next is twice as long. So what comes
slowly holds little, and what comes fast takes few calls."""
_WITH_BODY: Final = frozenset({"PUT", "PATCH", "POST"})


def long_length(scope: Any, *, above: int = LONG) -> int:
    """The length of the request's body where the head says that it is more than `above`, else 0.

    The head has passed the parser, which refuses two lengths, and a length beside a transfer coding.
    """
    if above and scope["method"] not in _WITH_BODY:
        return 0
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() and int(length) > above else 0


class LongBody(asyncio.BufferedProtocol):
    """What has come of one body, and what is still to come; `cycle` is uvicorn's for its request.

    Once it has taken the connection over it reads nothing beyond the body's end, and calls `ended` there. Whatever
    else happens to the connection is told to the protocol from which it was taken.
    """

    def __init__(self, cycle: Any, length: int) -> None:
        self.left = length
        self._cycle = cycle
        self._pieces: deque[Piece] = deque()
        self._waiting = 0
        self._buffer = memoryview(b"")
        self._size, self._offered = BUFFERS[0], 0
        self._given = self._filled = 0
        self._owner: asyncio.Protocol | None = None
        self._ended: Callable[[], None] = lambda: None
        self._uvicorns: Callable[[], Awaitable[Message]] = cycle.receive
        cycle.receive = self.receive

    def add(self, piece: bytes) -> None:
        """Take the next piece, which was read by somebody else."""
        self.left -= len(piece)
        if not self._cycle.response_complete:
            self._pieces.append(piece)
            self._came(len(piece))

    def take_over(self, owner: asyncio.Protocol, ended: Callable[[], None]) -> None:
        """Read what is left of the body oneself."""
        if self._owner is None:
            self._owner, self._ended = owner, ended
            self._read_by(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """As asyncio's, never longer than what is left."""
        if self._filled == len(self._buffer):
            self._keep()
            self._buffer = memoryview(bytearray(self._size))
            self._given = self._filled = 0
        free = self._buffer[self._filled : self._filled + self.left]
        self._offered = len(free)
        return free

    def buffer_updated(self, nbytes: int) -> None:
        """As asyncio's."""
        if nbytes == self._offered and self._size < BUFFERS[1]:
            self._size *= 2
        self.left -= nbytes
        if not self._cycle.response_complete:
            self._filled += nbytes
            self._came(nbytes)
        if not self.left:
            assert self._owner is not None
            self._read_by(self._owner)
            self._ended()

    async def receive(self) -> Message:
        """As ASGI's receive, but for views where bytes are usual.

        Waiting, 100 Continue and disconnects are uvicorn's, whose own buffer stays empty.
        """
        cycle = self._cycle
        if not self._waiting or cycle.disconnected or cycle.response_complete or cycle.waiting_for_100_continue:
            message = await self._uvicorns()
            if message["type"] == "http.disconnect":
                return message
        if not self._pieces:
            self._keep()
        piece = self._pieces.popleft() if self._pieces else b""
        self._waiting -= len(piece)
        if self._waiting <= LONG // 2:
            cycle.flow.resume_reading()
        return {"type": "http.request", "body": piece, "more_body": self._waiting > 0 or cycle.more_body}

    def _came(self, size: int) -> None:
        self._waiting += size
        if self._waiting > LONG:
            self._cycle.flow.pause_reading()
        self._cycle.message_event.set()

    def _keep(self) -> None:
        """Put what has come into the buffer behind what came before it."""
        if self._given < self._filled:
            self._pieces.append(self._buffer[self._given : self._filled].toreadonly())
            self._given = self._filled

    def _read_by(self, protocol: asyncio.BaseProtocol) -> None:
        transport, reading = self._cycle.transport, not self._cycle.flow.read_paused
        if reading:
            transport.pause_reading()  # uvloop chooses how to read when reading begins
        transport.set_protocol(protocol)
        if reading:
            transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio's."""
        if self._owner is not None:
            self._owner.connection_lost(exc)

    def eof_received(self) -> None:
        """As asyncio's: the connection closes."""
        if self._owner is not None:
            self._owner.eof_received()

    def pause_writing(self) -> None:
        """As asyncio's."""
        if self._owner is not None:
            self._owner.pause_writing()

    def resume_writing(self) -> None:
        """As asyncio's."""
        if self._owner is not None:
            self._owner.resume_writing()
