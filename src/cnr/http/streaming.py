"""A response whose body is read while it is sent."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cnr.http.ranges import Range

PIECE: Final = 256 * 1024
"""Bytes of memory that are sent at once."""


class Reader(Protocol):
    """What a store's BlobReader gives: `size` of the whole in bytes, and the pieces to send."""

    @property
    def size(self) -> int: ...

    @property
    def chunks(self) -> AsyncIterator[bytes]: ...


class StreamResponse(Response):
    """Sends `chunks`, no faster than the client reads; give their length as the header Content-Length.

    `chunks` is closed (`aclose`) in every case: at the end, when it raises, and soon after the client has gone.
    When it raises or is short, the connection is closed: after the first byte no other error can be told.
    For a HEAD send a plain Response with the same headers; then nothing needs to be opened.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self._chunks = chunks
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await _send_chunks(self._chunks, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await _close(self._chunks)


class BlobResponse(StreamResponse):
    """A store's blob with its Content-Length, or the `part` of it that `reader` was opened for, as a 206."""

    def __init__(self, reader: Reader, *, headers: Mapping[str, str] | None = None, part: Range | None = None) -> None:
        own = {"Content-Length": str(reader.size if part is None else part.length)}
        if part is not None:
            own["Content-Range"] = part.content_range
        status_code = 200 if part is None else 206
        super().__init__(reader.chunks, status_code=status_code, headers={**(headers or {}), **own})


async def _send_chunks(chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    gone: asyncio.Task[None] | None = None
    first = True
    try:
        async for chunk in chunks:
            # Servers drop what is sent to a client that has left without a word, so somebody must listen. Not
            # worth a task for a body of one piece.
            if not first and gone is None:
                gone = asyncio.create_task(_until_gone(receive))
            if gone is not None and gone.done():
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            first = False
    finally:
        if gone is not None:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()


class PiecesResponse(StreamResponse):
    """Bytes in memory, sent in pieces of PIECE so that a slow client costs no copy of all of them."""

    def __init__(self, *parts: bytes, headers: Mapping[str, str] | None = None) -> None:
        length = {"Content-Length": str(sum(map(len, parts)))}
        super().__init__(_pieces(parts), headers={**(headers or {}), **length})


async def _pieces(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        if len(part) <= PIECE:
            yield part
            continue
        for start in range(0, len(part), PIECE):
            yield part[start : start + PIECE]
