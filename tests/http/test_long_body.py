import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from tests.services.certificates import Authority

from cnr.http.long_body import LONG, long_length

Serve = Callable[..., AbstractAsyncContextManager[int]]
BODY = bytes(range(256)) * 12_000  # 3 MB
HASH = hashlib.sha256(BODY).hexdigest()


async def hashing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the hash of the body; under /lazy without reading it."""
    digest, pieces = hashlib.sha256(), 0
    if scope["path"] != "/lazy":
        async for chunk in Request(scope, receive).stream():
            digest.update(chunk)
            pieces += 1
    await PlainTextResponse(digest.hexdigest())(scope, receive, send)


def head(more: str = "", *, method: str = "PUT", path: str = "/", length: int = len(BODY)) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n".encode()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> str:
    start = await reader.readuntil(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 "), start
    return (await reader.readexactly(64)).decode()


@pytest.mark.parametrize("size", [1000, 65_537, 262_144, 2_999_999, len(BODY)])
async def test_a_long_body_arrives_as_it_was_sent(size: int, serve: Serve) -> None:
    async with serve(hashing) as port, connected(port) as (reader, writer):
        for _ in range(3):  # on one connection
            writer.write(head())
            for at in range(0, len(BODY), size):
                writer.write(BODY[at : at + size])
                await writer.drain()
            assert await answer(reader) == HASH


async def test_a_long_body_over_tls(serve: Serve, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusted = ssl.create_default_context(cafile=authority.file)
    trusted.check_hostname = False
    async with serve(hashing, tls=authority.issue("server")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        short = head(length=5) + b"short"
        writer.write(head() + BODY + short + head() + BODY + short)
        async with asyncio.timeout(20):
            found = [await answer(reader) for _ in range(4)]
        assert found == [HASH, hashlib.sha256(b"short").hexdigest()] * 2
        writer.close()


async def test_what_was_given_does_not_change(serve: Serve) -> None:
    kept: list[bytes | memoryview] = []

    async def keeping(scope: Scope, receive: Receive, send: Send) -> None:
        async for chunk in Request(scope, receive).stream():
            kept.append(chunk)
            await asyncio.sleep(0)
        await PlainTextResponse(HASH)(scope, receive, send)

    async with serve(keeping) as port, connected(port) as (reader, writer):
        for at in range(0, len(BODY), 1000):
            writer.write((head() if at == 0 else b"") + BODY[at : at + 1000])
            await asyncio.sleep(0)
        await answer(reader)
    assert b"".join(kept) == BODY
    assert any(isinstance(each, memoryview) for each in kept)  # or it was read as any other body is


async def test_what_comes_slowly_is_given_at_once(serve: Serve) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        async for chunk in Request(scope, receive).stream():
            came.put_nowait(bytes(chunk))
        await PlainTextResponse(HASH)(scope, receive, send)

    async with serve(telling) as port, connected(port) as (reader, writer):
        writer.write(head())
        for at in range(0, 100, 10):
            writer.write(BODY[at : at + 10])
            assert await came.get() == BODY[at : at + 10]
        writer.write(BODY[100:])
        await answer(reader)


async def test_requests_right_behind_a_long_body_are_answered_in_order(serve: Serve) -> None:
    short = head(length=5) + b"short"
    async with serve(hashing) as port, connected(port) as (reader, writer):
        writer.write(head() + BODY + short + head() + BODY + short)
        found = [await answer(reader) for _ in range(4)]
    assert found == [HASH, hashlib.sha256(b"short").hexdigest()] * 2


async def test_a_client_that_waits_before_a_long_body_is_told_to_go_on(serve: Serve) -> None:
    async with serve(hashing) as port, connected(port) as (reader, writer):
        writer.write(head("Expect: 100-continue\r\n"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert await answer(reader) == HASH


H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAI\r\n"
"""What Java's HttpClient asks for with its first request of a connection."""


@pytest.mark.parametrize("body", [BODY, b"short", b""])
async def test_an_upgrade_that_nobody_knows_is_ignored(body: bytes, serve: Serve) -> None:
    expected = hashlib.sha256(body).hexdigest()
    async with serve(hashing) as port, connected(port) as (reader, writer):
        for method in ("PUT", "POST", "GET"):
            writer.write(head(H2C, method=method, length=len(body)) + body + head(length=5) + b"right")
            assert await answer(reader) == expected
            assert await answer(reader) == hashlib.sha256(b"right").hexdigest()


async def test_an_upgrade_with_a_chunked_body_is_refused(serve: Serve) -> None:
    async with serve(hashing) as port, connected(port) as (reader, writer):
        chunked = "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + H2C + "\r\n5\r\nGET /\r\n0\r\n\r\n"
        writer.write(chunked.encode())
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 400 ")
        assert found.count(b"HTTP/1.1") == 1


async def test_an_answer_before_the_end_is_followed_by_the_next_request(serve: Serve) -> None:
    async with serve(hashing) as port, connected(port) as (reader, writer):
        writer.write(head(path="/lazy"))
        await answer(reader)
        writer.write(BODY + head() + BODY)
        assert await answer(reader) == HASH


async def test_who_leaves_in_the_middle_is_noticed(serve: Serve) -> None:
    left = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await hashing(scope, receive, send)
        except ClientDisconnect:
            left.set()

    async with serve(waiting) as port:
        async with connected(port) as (_, writer):
            writer.write(head() + BODY[:2_000_000])
            await writer.drain()
        async with asyncio.timeout(20):
            await left.wait()


async def test_what_the_application_does_not_take_is_not_read(serve: Serve) -> None:
    go_on = asyncio.Event()
    total = 64 * 1024 * 1024

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go_on.wait()
        await hashing(scope, receive, send)

    async with serve(late) as port, connected(port) as (reader, writer):
        writer.write(head(length=total) + bytes(total))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await writer.drain()
        # What the kernel holds for both sides is a few MiB.
        assert writer.transport.get_write_buffer_size() > total // 2
        go_on.set()
        await answer(reader)


@pytest.mark.parametrize(
    ("method", "length", "expected"),
    [
        ("PUT", b"%d" % (LONG + 1), LONG + 1),
        ("PATCH", b"%d" % (LONG + 1), LONG + 1),
        ("PUT", b"%d" % LONG, 0),
        ("GET", b"%d" % (LONG + 1), 0),
        ("PUT", b"+9999999", 0),
        ("PUT", b"", 0),
    ],
)
def test_only_long_bodies_of_known_length(method: str, length: bytes, expected: int) -> None:
    assert long_length({"method": method, "headers": [(b"host", b"x"), (b"content-length", length)]}) == expected


def test_a_body_without_a_length_is_the_parsers() -> None:
    assert long_length({"method": "PUT", "headers": [(b"transfer-encoding", b"chunked")]}) == 0
