"""Request bodies: limits while they arrive, and answers that come before their end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnr.domain.errors import InvalidUsage, TooLarge
from cnr.domain.piece import Piece

SMALL_BODY: Final = 64 * 1024
"""Bytes of a body that the server itself reads and drops, so that the connection can be kept."""
LINGER_BYTES: Final = 16 * 1024 * 1024
"""Bytes read and dropped after an early answer, before the connection is closed."""
LINGER_S: Final = 2.0
LEAST_RATE: Final = 256
"""Bytes per second that a sender must bring on average: a byte now and then would hold a request for ever."""
RATE_WINDOW: Final = 4
"""Over how many times `stall_s`, spent waiting for him, that average is taken."""


class BodyStalled(InvalidUsage):
    """Nothing of the body, or next to nothing, arrived for too long. Details: `seconds`."""


async def body_chunks(request: Request, *, limit: int, stall_s: float) -> AsyncIterator[bytes]:
    """The body's bytes as they arrive. Raises as body_pieces does."""
    async for piece in body_pieces(request, limit=limit, stall_s=stall_s):
        yield piece if isinstance(piece, bytes) else bytes(piece)


async def body_pieces(request: Request, *, limit: int, stall_s: float) -> AsyncIterator[Piece]:
    """The body's bytes as they arrive, without a copy of them.

    Raises TooLarge once the body is known to be longer than `limit` bytes (before the first byte is asked for
    where Content-Length says so), BodyStalled after `stall_s` seconds without a byte and where LEAST_RATE is not
    reached, ClientDisconnect.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    seen = 0
    more = True
    pace = _Pace(stall_s * RATE_WINDOW)
    while more:
        pace.begin()
        message = await _next(request.receive, stall_s)
        chunk: Piece = message.get("body", b"")
        pace.end(len(chunk))
        more = message.get("more_body", False)
        seen += len(chunk)
        if seen > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


class _Pace:
    """Counts the seconds spent waiting for a sender, not those in which what came was worked on."""

    def __init__(self, window_s: float) -> None:
        self._now_s = asyncio.get_running_loop().time
        self._window_s = window_s
        self._began = self._waited = 0.0
        self._came = 0

    def begin(self) -> None:
        """The wait for a piece begins."""
        self._began = self._now_s()

    def end(self, size: int) -> None:
        """A piece of `size` bytes came. Raises BodyStalled."""
        self._waited += self._now_s() - self._began
        self._came += size
        if self._waited < self._window_s:
            return
        if self._came < LEAST_RATE * self._waited:
            message = f"{self._came} bytes of the body arrived in {self._waited:.0f} s: that is too slow"
            raise BodyStalled(message, seconds=self._window_s)
        self._waited, self._came = 0.0, 0


async def _next(receive: Receive, stall_s: float) -> Message:
    try:
        async with asyncio.timeout(stall_s):
            message = await receive()
    except TimeoutError:
        raise BodyStalled(f"no byte of the body arrived for {stall_s:g} s", seconds=stall_s) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is longer than {limit} bytes", limit=limit, what="body")


class EarlyAnswers:
    """ASGI middleware: an answer given before the end of a body reaches a client that is still sending.

    Closing at once would make the kernel send a reset, and the client would report that instead of the 413. So
    the answer goes out complete, with `Connection: close` and without asking for a byte more (a client that
    waits for "100 Continue" then never sends its body); what still comes is dropped, up to LINGER_BYTES or
    LINGER_S; then the connection closes. Bodies up to SMALL_BODY cost nobody a connection.

    Also the place where ClientDisconnect ends, since nobody is left to answer; and cancellation, since a server that
    stops sees for itself which answers are not complete.
    """

    def __init__(self, app: ASGIApp, *, linger_bytes: int = LINGER_BYTES, linger_s: float = LINGER_S) -> None:
        self._app = app
        self._linger_bytes = linger_bytes
        self._linger_s = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http" and _may_be_long(scope):
                exchange = _Exchange(receive, send, self._linger_bytes, self._linger_s)
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._app(scope, receive, send)
        except (ClientDisconnect, asyncio.CancelledError):
            return


def _may_be_long(scope: Scope) -> bool:
    if scope["http_version"][0] != "1":  # later versions can end one request and keep the connection
        return False
    for name, value in scope["headers"]:
        if name == b"content-length":
            if len(value) > 5 or not value.isdigit() or int(value) > SMALL_BODY:
                return True
        elif name in (b"transfer-encoding", b"expect"):
            return True
    return False


@dataclass(slots=True)
class _Exchange:
    inner_receive: Receive
    inner_send: Send
    linger_bytes: int
    linger_s: float
    received: bool = False
    closing: bool = False

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.received = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.received:
            self.closing = True
            headers = [*message.get("headers", ()), (b"connection", b"close")]
            await self.inner_send({**message, "headers": headers})
        elif self.closing and message["type"] == "http.response.body" and not message.get("more_body", False):
            await self.inner_send({**message, "more_body": True})
            await self._drop_rest()
            await self.inner_send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self.inner_send(message)

    async def _drop_rest(self) -> None:
        dropped = 0
        try:
            async with asyncio.timeout(self.linger_s):
                while not self.received and dropped < self.linger_bytes:
                    dropped += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return
