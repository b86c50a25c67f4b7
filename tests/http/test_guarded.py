import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from cnr.http.guarded import HEAD_BYTES, PIPELINED

Serve = Callable[..., AbstractAsyncContextManager[int]]  # heads have half a second
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
    async with serve(HELLO, head_s=30.0) as port:
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


@pytest.mark.parametrize("rest", [b"", b"x", b"\r\n"])
async def test_a_body_that_nobody_reads_does_not_hold_the_connection(rest: bytes, serve: Serve) -> None:
    async with serve(HELLO, stall_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        writer.write(rest)
        assert await read_to_end(reader) == b""
        writer.close()


async def test_a_late_end_of_a_body_keeps_the_connection(serve: Serve) -> None:
    async with serve(HELLO, stall_s=5.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"end")
        writer.close()


async def test_empty_lines_do_not_hold_the_connection(serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"\r\n")
        assert await read_to_end(reader) == b""
        writer.close()


async def long(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that is made while it is read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for left in range(999, -1, -1):
        await send({"type": "http.response.body", "body": bytes(256 * 1024), "more_body": left > 0})
        await asyncio.sleep(0)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that waits whole in the server."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": bytes(64 * 1024 * 1024), "more_body": False})


@pytest.mark.parametrize("app", [long, large])
async def test_a_client_that_reads_nothing_is_cut_off(app: object, serve: Serve) -> None:
    async with serve(app, stall_s=0.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read(1)
        async with asyncio.timeout(20):
            while _is_established(port, writer):
                await asyncio.sleep(0.05)
        writer.close()


def _is_established(port: int, writer: asyncio.StreamWriter) -> bool:
    """Whether the server's end of the connection is there, as the kernel tells."""
    client = writer.get_extra_info("sockname")[1]
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return any(row[1].endswith(f":{port:04X}") and row[2].endswith(f":{client:04X}") and row[3] == "01" for row in rows)


async def test_a_slow_client_gets_all_of_its_answer(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8000000")]})
        for left in range(31, -1, -1):
            await send({"type": "http.response.body", "body": bytes(250_000), "more_body": left > 0})

    async with serve(app, stall_s=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while piece := await reader.read(500_000):
            size += len(piece)
            await asyncio.sleep(0.02)
        assert size == 8_000_000
        writer.close()


async def test_thousands_of_requests_at_once_end_the_connection(serve: Serve) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request * (PIPELINED // 2))
        for _ in range(PIPELINED // 2):
            await reader.readuntil(b"hello")
        with suppress(ConnectionError):
            writer.write(request * 5_000)
            await read_to_end(reader)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"hello")
        writer.close()
