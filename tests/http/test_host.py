"""A request has one Host, over real connections to our own protocol."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from starlette.responses import PlainTextResponse

Serve = Callable[..., AbstractAsyncContextManager[int]]
HELLO = PlainTextResponse("hello")


async def status_of(port: int, request: bytes) -> bytes:
    """The status of what is answered to `request`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return (await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)).split()[1]
    finally:
        writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nhOST: b\r\n",
        b"Host: a\r\nX: y\r\nHost:\r\n",
        b"Host: a b\r\n",
        b"Host: a/b\r\n",
        b"Host: me@a\r\n",
        b"Host: a:b\r\n",
        b"Host: a:1:2\r\n",
        b"Host: [::1\r\n",
        b"Host: %zz\r\n",
        b'Host: "><script>\r\n',
        b"Host: \xc3\xa4\r\n",
    ],
)
async def test_a_request_without_exactly_one_host_is_refused(headers: bytes, serve: Serve) -> None:
    async with serve(HELLO) as port:
        assert await status_of(port, b"GET / HTTP/1.1\r\n" + headers + b"\r\n") == b"400"
        assert await status_of(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b"200"


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a.example:443", b"a:", b"127.0.0.1:80", b"[::1]:5000", b"[fe80::1%25eth0]", b"a_b", b"%41"]
)
async def test_a_host_may_be(host: bytes, serve: Serve) -> None:
    async with serve(HELLO) as port:
        assert await status_of(port, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") == b"200"


async def test_http_1_0_needs_no_host_and_may_have_one_only(serve: Serve) -> None:
    async with serve(HELLO) as port:
        assert await status_of(port, b"GET / HTTP/1.0\r\n\r\n") == b"200"
        assert await status_of(port, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n") == b"400"


async def test_a_later_request_of_a_connection_is_looked_at_too(serve: Serve) -> None:
    async with serve(HELLO) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"hello"), 10)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400 ")
        writer.close()
