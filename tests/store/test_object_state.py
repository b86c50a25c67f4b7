"""What `cnr storage check` says of a bucket whose presigned URLs do not work, or whose clock is another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time

import pytest

from cnr.domain.errors import StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import Fact
from cnr.store.object_address import ObjectAddress
from cnr.store.object_state import facts

ADDRESS = ObjectAddress.of(StoreUrl.parse("s3://cnr/some/prefix?endpoint=https://inside.example"))
DATA = b"probe"


@asynccontextmanager
async def saying(status: int, body: bytes, date: str) -> AsyncIterator[str]:
    """The address of a server that gives this answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\ndate: {date}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def told(url: str) -> dict[str, Fact]:
    async def sign() -> str:
        return f"{url}/cnr/object?signature=hidden"

    found = {fact.name: fact for fact in await facts(ADDRESS, sign, data=DATA)}
    assert "hidden" not in str(found)
    return found


async def test_what_is_right() -> None:
    async with saying(206, b"ro", formatdate(usegmt=True)) as url:
        found = await told(url)
    assert found["presigned URLs"] == Fact("presigned URLs", f"work, under {url}")
    assert found["clock"] == Fact("clock", "within a second of this host's")
    assert found["bucket"].value == "s3://cnr/some/prefix/"
    assert found["endpoint"].value == "https://inside.example"


@pytest.mark.parametrize(("status", "body"), [(403, b""), (200, DATA), (206, b"xx")])
async def test_another_answer_to_a_presigned_url(status: int, body: bytes) -> None:
    async with saying(status, body, formatdate(usegmt=True)) as url:
        found = await told(url)
    assert f"status {status}" in found["presigned URLs"].warning
    assert not found["clock"].warning


async def test_nobody_at_a_presigned_url() -> None:
    found = await told("http://127.0.0.1:9")
    assert "ConnectError" in found["presigned URLs"].warning
    assert found["clock"].value == "unknown: nobody answered"


@pytest.mark.parametrize(("ahead", "warned"), [(30, False), (-3600, True), (3600, True)])
async def test_another_clock(ahead: int, warned: bool) -> None:
    async with saying(206, b"ro", formatdate(time() + ahead, usegmt=True)) as url:
        clock = (await told(url))["clock"]
    assert abs(int(clock.value.partition(" s")[0]) - ahead) <= 5
    assert bool(clock.warning) == warned


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 01:00:00 GMT"])
async def test_no_clock(date: str) -> None:
    async with saying(206, b"ro", date) as url:
        assert (await told(url))["clock"].value == "unknown: the store does not tell the time"


async def test_credentials_that_do_not_sign() -> None:
    async def sign() -> str:
        raise StoreUnavailable("cannot")

    found = {fact.name: fact for fact in await facts(ADDRESS, sign, data=DATA)}
    assert found["presigned URLs"].value.startswith("none")
    assert found["endpoint"].value == "https://inside.example"
