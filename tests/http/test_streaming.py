import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from cnr.http.ranges import Range
from cnr.http.streaming import BlobResponse, StreamResponse

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
PIECE = bytes(range(256)) * 256


class Blob:
    """A reader of `count` pieces that knows how far it was read and whether it was closed."""

    def __init__(self, count: int, *, fail_at: int = -1) -> None:
        self.size = count * len(PIECE)
        self.count = count
        self.fail_at = fail_at
        self.read = 0
        self.closed = False
        self.chunks: AsyncIterator[bytes] = self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            for at in range(self.count):
                if at == self.fail_at:
                    raise OSError("the disk failed")
                self.read += 1
                yield PIECE
        finally:
            self.closed = True


@dataclass
class App:
    blob: Blob
    part: Range | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = BlobResponse(self.blob, headers={"Content-Type": "application/x-gzip"}, part=self.part)
        await response(scope, receive, send)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
async def test_sends_the_blob_with_its_length(count: int, serve: Serve) -> None:
    blob = Blob(count)
    async with serve(App(blob)) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(blob.size)
    assert answer.headers["content-type"] == "application/x-gzip"
    assert answer.content == PIECE * count
    assert blob.closed


async def test_a_part_is_a_206(serve: Serve) -> None:
    blob = Blob(2)
    async with serve(App(blob, Range(0, 2 * len(PIECE), 10 * len(PIECE)))) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes 0-{2 * len(PIECE) - 1}/{10 * len(PIECE)}"
    assert answer.content == PIECE * 2


async def test_head_reads_nothing(serve: Serve) -> None:
    blob = Blob(3)
    async with serve(App(blob)) as port, httpx.AsyncClient() as client:
        answer = await client.head(f"http://127.0.0.1:{port}/")
    assert answer.headers["content-length"] == str(blob.size)
    assert blob.read == 0


async def test_reads_no_faster_than_the_client_and_stops_when_it_leaves(serve: Serve) -> None:
    blob = Blob(100_000)
    async with serve(App(blob)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(100_000)
        before = -1
        while before != blob.read:  # the buffers in between fill up, then reading stops
            before = blob.read
            await asyncio.sleep(0.2)
        assert blob.read < blob.count / 10
        writer.transport.abort()
        async with asyncio.timeout(20):
            while not blob.closed:
                await asyncio.sleep(0.01)
        assert blob.read < blob.count / 10


async def test_a_failure_midway_breaks_the_connection(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    blob = Blob(10, fail_at=5)
    with caplog.at_level(logging.CRITICAL):
        async with serve(App(blob)) as port, httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"http://127.0.0.1:{port}/")
    assert blob.closed


async def test_chunks_of_unknown_length_are_sent_chunked(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = StreamResponse(Blob(3).chunks, media_type="text/plain")
        await response(scope, receive, send)

    async with serve(app) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.content == PIECE * 3
