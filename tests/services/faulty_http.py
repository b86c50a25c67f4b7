"""A proxy in front of an HTTP server that goes wrong on demand: `proxy.plan` says what becomes of each request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PIECE = 16 * 1024


@dataclass(frozen=True)
class Answer:
    """The proxy's own answer; the server hears nothing, or, if `done`, its answer is dropped."""

    status: int
    code: str = "InternalError"
    done: bool = False


@dataclass(frozen=True)
class Silence:
    """Nothing is answered, and the connection stays open."""


@dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes of the body."""

    after: int


@dataclass(frozen=True)
class Garble:
    """One bit of the body is another, at this offset."""

    at: int


@dataclass(frozen=True)
class Slow:
    """The second half of the request reaches the server so much later, even if its sender has gone meanwhile."""

    seconds: float


Fault = Answer | Silence | Cut | Garble | Slow
Plan = Callable[[str, str], Fault | None]
"""From a request's method and target to what becomes of it."""


def first(fault: Fault, *methods: str, times: int = 1, within: str = "/blobs/") -> Plan:
    """The first `times` requests of these methods go wrong, among those whose target has `within`."""
    left = times

    def plan(method: str, target: str) -> Fault | None:
        nonlocal left
        if method not in methods or within not in target.replace("%2F", "/") or left == 0:
            return None
        left -= 1
        return fault

    return plan


def in_turn(plans: Iterable[Plan]) -> Plan:
    """What the first of the plans says that has something to say."""
    known = list(plans)

    def plan(method: str, target: str) -> Fault | None:
        for each in known:
            if (fault := each(method, target)) is not None:
                return fault
        return None

    return plan


class FaultyHttp:
    """Listens while its block runs. `log` has the method and target of each request, and again when it was answered."""

    def __init__(self, endpoint: str) -> None:
        self._host, self._port = urlsplit(endpoint).hostname, urlsplit(endpoint).port
        self.plan: Plan = lambda method, target: None
        self.log: list[str] = []
        self.endpoint = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FaultyHttp"]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await self._serve(reader, writer)
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024 * 1024)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: request by request, each over a connection of its own to the server."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target = head.split(b" ", 2)[:2]
            self.log.append(f"{method.decode()} {target.decode()}")
            fault = self.plan(method.decode(), target.decode())
            length = _length(head) or 0
            if isinstance(fault, Silence):
                await asyncio.Event().wait()
            if isinstance(fault, Answer) and not fault.done:
                await reader.readexactly(length)
                await _say(writer, fault)
                continue
            upstream, sending = await asyncio.open_connection(self._host, self._port, limit=1024 * 1024)
            try:
                sending.write(head)
                if isinstance(fault, Slow):
                    body = await reader.readexactly(length)
                    sending.write(body[: length // 2])
                    await asyncio.sleep(fault.seconds)
                    sending.write(body[length // 2 :])
                else:
                    await _pass_on(reader, sending, length)
                if isinstance(fault, Answer):
                    await upstream.readuntil(b"\r\n\r\n")
                    await _say(writer, fault)
                elif not await self._answer(upstream, writer, fault, method == b"HEAD"):
                    return
                self.log.append(f"answered {method.decode()} {target.decode()}")
            finally:
                sending.close()

    async def _answer(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None, headless: bool
    ) -> bool:
        """Whether the connection can be used again."""
        head = await upstream.readuntil(b"\r\n\r\n")
        writer.write(head)
        length = _length(head)
        if length is None and not headless and b" 204 " not in head.split(b"\r\n")[0] + b" ":
            await _pass_chunked(upstream, writer)
            return True
        await _pass_on(upstream, writer, 0 if headless else length or 0, fault)
        return not isinstance(fault, Cut)


def _length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int, fault: Fault | None = None
) -> None:
    at = 0
    end = min(length, fault.after) if isinstance(fault, Cut) else length
    while at < end:
        piece = bytearray(await reader.readexactly(min(PIECE, end - at)))
        if isinstance(fault, Garble) and at <= fault.at < at + len(piece):
            piece[fault.at - at] ^= 1
        at += len(piece)
        writer.write(piece)
        await writer.drain()


async def _pass_chunked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        writer.write(line)
        size = int(line.split(b";")[0], 16)
        await _pass_on(reader, writer, size + 2)
        if size == 0:
            return


async def _say(writer: asyncio.StreamWriter, fault: Answer) -> None:
    body = f"<Error><Code>{fault.code}</Code></Error>".encode()
    writer.write(b"HTTP/1.1 %d Fault\r\nContent-Length: %d\r\n\r\n" % (fault.status, len(body)) + body)
    await writer.drain()
