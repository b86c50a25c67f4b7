import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import httpx
from starlette.responses import PlainTextResponse

from cnr.http.gate import REFUSED_AT_ONCE, Gate

Serve = Callable[..., AbstractAsyncContextManager[int]]
HELLO = PlainTextResponse("hello")


async def status(port: int) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}/")).status_code


async def hold(stack: AsyncExitStack, port: int, count: int) -> None:
    """Open `count` connections, each used once."""
    for _ in range(count):
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"


async def until_status(port: int, wanted: int) -> None:
    async with asyncio.timeout(20):
        while await status(port) != wanted:
            await asyncio.sleep(0.02)


async def test_one_address_cannot_have_all_connections(serve: Serve) -> None:
    async with serve(HELLO, gate=Gate(total=100, per_address=3)) as port:
        async with AsyncExitStack() as stack:
            await hold(stack, port, 3)
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{port}/")
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "5"
            assert "your address" in answer.text
        await until_status(port, 200)


async def test_proxies_may_have_more(serve: Serve) -> None:
    async with serve(HELLO, gate=Gate(total=100, per_address=1, trusted=["127.0.0.0/8"])) as port:
        async with AsyncExitStack() as stack:
            await hold(stack, port, 10)


async def test_there_are_only_so_many_connections(serve: Serve) -> None:
    async with serve(HELLO, gate=Gate(total=2, per_address=0)) as port:
        async with AsyncExitStack() as stack:
            await hold(stack, port, 2)
            assert await status(port) == 503
        await until_status(port, 200)


async def test_refused_connections_that_send_nothing_do_not_stay(serve: Serve) -> None:
    gate = Gate(total=1, per_address=0)
    async with serve(HELLO, gate=gate) as port:
        async with AsyncExitStack() as stack:
            await hold(stack, port, 1)
            ends = []
            for _ in range(REFUSED_AT_ONCE + 50):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                ends.append(reader)
            async with asyncio.timeout(20):
                for reader in ends:
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
        await until_status(port, 200)
        assert gate.parties <= 1
