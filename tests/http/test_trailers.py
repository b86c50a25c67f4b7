"""What comes beside a chunked body: no header, and not without end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


class Headers:
    """Answers with the names of the request's headers, once its body has ended, and with the body's length."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        with suppress(ClientDisconnect):
            body = await request.body()
            answer = JSONResponse([sorted(name.decode() for name, _ in scope["headers"]), len(body)])
            await answer(scope, receive, send)
        self.seen = [name.decode() for name, _ in scope["headers"]]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_trailer_is_no_header(serve: Serve) -> None:
    async with serve(Headers()) as port, connected(port) as (reader, writer):
        trailers = b"Authorization: Basic eDp4\r\nHost: evil\r\nX-Trailer: y\r\n"
        for body in (b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n", b"0\r\n" + trailers + b"\r\n"):
            writer.write(HEAD + body)
            assert b'[["host","transfer-encoding"]' in await reader.readuntil(b"]")
            await reader.readuntil(b"]")


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"X: " + b"y" * 50_000 + b"\r\n", b"y" * 1000])
@pytest.mark.parametrize("begin", [b"1\r\na\r\n0\r\n", b"0\r\nX: "])
async def test_trailers_without_end_end_the_connection(piece: bytes, begin: bytes, serve: Serve) -> None:
    app = Headers()
    async with serve(app) as port, connected(port) as (_, writer):
        writer.write(HEAD + begin)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(30):
                for _ in range(100):
                    writer.write(piece * (MIB // len(piece)))
                    await writer.drain()
                    await asyncio.sleep(0.01)
    assert len(app.seen) <= 2


@pytest.mark.parametrize(("size", "count"), [(1, 50_000), (1000, 3000), (70_000, 40), (3 * MIB, 1)])
async def test_long_bodies_and_many_chunks_are_no_trailers(size: int, count: int, serve: Serve) -> None:
    async with serve(Headers()) as port, connected(port) as (reader, writer):
        writer.write(HEAD + b"%x;name=value\r\n%b\r\n" % (size, b"x" * size) * count + b"0\r\n\r\n")
        await reader.readuntil(b"]")
        assert await reader.readuntil(b"]") == b",%d]" % (size * count)
