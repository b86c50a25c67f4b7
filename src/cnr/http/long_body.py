"""A long body whose length is known, which goes to the application piece by piece as the socket gave it.

uvicorn's parser copies each piece of a body out of what was read, its cycle copies that into a buffer, and its receive
copies the buffer: three copies that took a sixth of a worker's time while layers came in. Nothing in such a body has
to be parsed, so it passes by all of them.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import Message

LONG: Final = 512 * 1024
"""Bytes from which on a body is worth it, and of a body that wait for the application before no more is read."""
_WITH_BODY: Final = frozenset({"PUT", "PATCH", "POST"})


def long_length(scope: Any, *, above: int = LONG) -> int:
    """The length of the request's body where the head says that it is more than `above`, else 0.

    The head has passed the parser, which refuses two lengths, and a length beside a transfer coding.
    """
    if above and scope["method"] not in _WITH_BODY:
        return 0
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() and int(length) > above else 0


class LongBody:
    """What has come of one body, and what is still to come; `cycle` is uvicorn's for its request."""

    def __init__(self, cycle: Any, length: int) -> None:
        self.left = length
        self._cycle = cycle
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._uvicorns: Callable[[], Awaitable[Message]] = cycle.receive
        cycle.receive = self.receive

    def add(self, piece: bytes) -> None:
        """Take the next piece; too many at once stop the reading."""
        self.left -= len(piece)
        if self._cycle.response_complete:
            return
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting > LONG:
            self._cycle.flow.pause_reading()
        self._cycle.message_event.set()

    async def receive(self) -> Message:
        """As ASGI's receive. Waiting, 100 Continue and disconnects are uvicorn's, whose own buffer stays empty."""
        cycle = self._cycle
        if not self._pieces or cycle.disconnected or cycle.response_complete or cycle.waiting_for_100_continue:
            message = await self._uvicorns()
            if message["type"] == "http.disconnect":
                return message
        piece = self._pieces.popleft() if self._pieces else b""
        self._waiting -= len(piece)
        if self._waiting <= LONG // 2:
            cycle.flow.resume_reading()
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or cycle.more_body}
