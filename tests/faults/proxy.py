"""A TCP proxy that loses answers: for tests of drivers, over their real clients and real servers.

async with LossyProxy(server.port) as proxy:
    ...
    proxy.lose()      # the next request is carried out, and its answer is lost
"""

import asyncio
from contextlib import suppress
from typing import Self


class LossyProxy:
    """Passes bytes to 127.0.0.1:`target` and back until it is told otherwise. It listens on `port`."""

    port: int

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._losing: int | None = None
        self._open = asyncio.Event()
        self._open.set()
        self.lost = 0
        """Answers that were lost so far."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    def lose(self, *, after: int = 0) -> None:
        """Pass `after` more answers; then wait for the server's next, and close the connection in place of passing it.

        What arrives from the server at once counts as one answer.
        """
        self._losing = after

    def hold(self) -> None:
        """Keep all answers back, with the connections open."""
        self._open.clear()

    def release(self) -> None:
        """Pass the answers that were kept back, and all others."""
        self._open.set()

    def cut(self) -> None:
        """Close all connections; new ones are taken."""
        for link in self._links:
            link.cancel()

    async def refuse(self) -> None:
        """Close all connections and take no more."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)
        await self._server.wait_closed()

    async def accept(self) -> None:
        """Take connections again, on the same port."""
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self.port)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                await self._pass(reader, writer, back, forth)
            finally:
                forth.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(task)
            with suppress(RuntimeError):
                writer.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> None:
        ways = (asyncio.create_task(_copy(reader, forth)), asyncio.create_task(self._answer(back, writer)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await back.read(65536):
            await self._open.wait()
            if self._losing == 0:
                self._losing = None
                self.lost += 1
                return
            if self._losing is not None:
                self._losing -= 1
            writer.write(data)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
