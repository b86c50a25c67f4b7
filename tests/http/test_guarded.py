import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from cnr.http.guarded import HEAD_BYTES

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[int]]  # heads have half a second
HELLO = PlainTextResponse("hello")


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half"])
async def test_a_head_that_never_ends_closes_the_connection(sent: bytes, serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await read_to_end(reader) == b""
        writer.close()


async def test_a_second_head_that_never_ends_closes_the_connection(serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await read_to_end(reader) == b""
        writer.close()


async def test_a_trickle_of_headers_does_not_win_time(serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")
        with suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not reader.at_eof():
                    writer.write(b"X: y\r\n")
                    await writer.drain()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1000), 0.05)
        writer.close()


@pytest.mark.parametrize("piece", [b"X-N: %b\r\n" % (b"x" * 1000), b"x" * 1000])
async def test_an_endless_head_is_refused(piece: bytes, serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
        answer = b""
        with suppress(ConnectionError):
            for _ in range(HEAD_BYTES // 1000 + 1000):
                writer.write(piece)
                await writer.drain()
                with suppress(TimeoutError):
                    answer += await asyncio.wait_for(reader.read(1000), 0.001)
                if answer:
                    break
        assert answer.startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_slow_body_is_not_a_slow_head(serve: Serve) -> None:
    async with serve(HELLO) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def slowly() -> object:
            for _ in range(8):
                await asyncio.sleep(0.1)
                yield b"x"

        assert (await client.post("/", content=slowly())).text == "hello"  # type: ignore[arg-type]
        await asyncio.sleep(0.7)
        assert (await client.get("/")).text == "hello"
