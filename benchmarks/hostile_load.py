"""What others notice while somebody attacks: how long a show takes, and what memory the server keeps afterwards.

Three attacks one after the other on one server: 2,000 connections that send a byte now and then or read nothing, 10,000
uploads that are begun and left, 500 manifests of 4 MiB side by side. Bar: 99 of 100 shows are answered in 200 ms,
measured by one client that asks all the time; and what the server holds at the end is at most 100 MiB more than before.
The clients are on the same machine and take processor time from the server.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from artifacts import OCI
from corpus import chart, push
from servers import WORKERS, cnr

SHOW_S = 0.2
HELD_MIB = 100
CONNECTIONS, UPLOADS, MANIFESTS = 2_000, 10_000, 500
REPOSITORIES, BEGINNERS = 20, 50
MANIFEST_BYTES = 4_190_000
SECONDS = 20
SETTINGS = {"CNR_MAX_CONNECTIONS_PER_ADDRESS": "0", "CNR_MAX_UPLOADS": "20000"}

ASKER = """
import http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
while True:
    began = time.perf_counter()
    connection.request("GET", "/api/v1/packages/bench/four/1.0.0/helm")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    print(time.perf_counter() - began, flush=True)
    time.sleep(0.005)
"""
"""Asks for one show after the other and prints how long each took."""

Attack = Callable[[str], Awaitable[str]]
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Client = Callable[[Ends], Awaitable[list[str]]]


def main() -> None:
    """Measure and print a table; the argument `short` makes every attack a tenth as large."""
    part = 10 if sys.argv[1:] == ["short"] else 1
    with (
        tempfile.TemporaryDirectory(dir=Path.home()) as text,
        cnr(Path(text), workers=WORKERS, **SETTINGS) as (address, pid),
    ):
        data, _ = chart("four", "1.0.0", 3600)
        with httpx.Client(base_url=address) as http:
            push(http, "bench/four", "1.0.0", "helm", data)
        asyncio.run(measure(address, pid, part))


async def measure(address: str, pid: int, part: int) -> None:
    """One line for each attack."""
    before = held(pid)
    await row(address, pid, "nothing else", idle)
    await row(address, pid, "slow connections", slow_connections(CONNECTIONS // part))
    await row(address, pid, "open uploads", open_uploads(UPLOADS // part))
    await row(address, pid, "manifests of 4 MiB", large_manifests(MANIFESTS // part))
    await asyncio.sleep(5)
    more = held(pid) - before
    print(f"memory afterwards: {more:+.0f} MiB  bar {HELD_MIB}: {'met' if more <= HELD_MIB else 'MISSED'}")


async def row(address: str, pid: int, name: str, attack: Attack) -> None:
    """What a show takes while the attack goes on."""
    async with shows(address) as times:
        came = await attack(address)
    times.sort()
    p99 = times[min(len(times) * 99 // 100, len(times) - 1)]
    verdict = "met" if p99 <= SHOW_S else "MISSED"
    middle = times[len(times) // 2]
    print(
        f"{name:<20} {len(times):6,} shows: median {middle * 1000:6.1f} ms, 99 of 100 in {p99 * 1000:6.1f} ms", end=""
    )
    print(f"  bar {SHOW_S * 1000:.0f} ms: {verdict}  {came}; {held(pid):.0f} MiB", flush=True)


@asynccontextmanager
async def shows(address: str) -> AsyncIterator[list[float]]:
    """How long each show took, asked for every 5 ms by a program of its own: ours is busy with the attack."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKER, urlsplit(address).netloc, stdout=asyncio.subprocess.PIPE
    )
    times: list[float] = []
    assert program.stdout is not None
    await program.stdout.readline()
    reading = asyncio.create_task(_read(program.stdout, times))
    try:
        yield times
    finally:
        program.terminate()
        await program.wait()
        await reading


async def _read(lines: asyncio.StreamReader, times: list[float]) -> None:
    while line := await lines.readline():
        times.append(float(line))


async def idle(address: str) -> str:
    """No attack."""
    await asyncio.sleep(5)
    return ""


def slow_connections(count: int) -> Attack:
    """A third sends half a head, a third a body byte by byte, a third asks for much and reads nothing."""

    async def attack(address: str) -> str:
        where = urlsplit(address)
        heads = (
            b"GET /version HTTP/1.1\r\nHost: x\r\n",
            b"POST /api/v1/packages/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
            b"GET /api/v1/packages/bench/four/1.0.0/helm/pull HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        )
        ends = []
        for number in range(count):
            with suppress(OSError):
                _, writer = await asyncio.open_connection(where.hostname, where.port, limit=1)
                writer.write(heads[number % 3])
                ends.append(writer)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for number, writer in enumerate(ends):
                if number % 3 < 2 and not writer.is_closing():
                    writer.write(b"x")
            await asyncio.sleep(1)
        left = sum(not writer.is_closing() for writer in ends)
        for writer in ends:
            writer.transport.abort()
        return f"{len(ends):,} opened, {left:,} left after {SECONDS} s"

    return attack


def open_uploads(count: int) -> Attack:
    """Begun in REPOSITORIES repositories over BEGINNERS connections, and left."""

    async def attack(address: str) -> str:
        numbers = iter(range(count))

        async def begin(ends: Ends) -> list[str]:
            return [
                await status(ends, f"POST /v2/attack/r{number % REPOSITORIES}/blobs/uploads/", b"")
                for number in numbers
            ]

        return await answers(address, [begin] * BEGINNERS)

    return attack


def large_manifests(count: int) -> Attack:
    """Each has a connection, is read to its end and refused: what it names is not there."""
    entry = {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 1}
    layers = [entry] * (MANIFEST_BYTES // len(json.dumps(entry) + ", "))
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": entry, "layers": layers}).encode()

    async def attack(address: str) -> str:
        def put(number: int) -> Client:
            async def once(ends: Ends) -> list[str]:
                return [await status(ends, f"PUT /v2/attack/m{number}/manifests/large", data)]

            return once

        return await answers(address, list(map(put, range(count))))

    return attack


async def status(ends: Ends, line: str, body: bytes) -> str:
    """The status of one request's answer, which is read to its end."""
    reader, writer = ends
    writer.write(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    writer.write(body)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length or 0))
    return head.split()[1]


async def answers(address: str, clients: list[Client]) -> str:
    """How many requests of these clients side by side, each with a connection, were answered with which status.

    By hand: a client library's pool with ten thousand waiting requests looks at each of them for each answer.
    """
    where = urlsplit(address)

    async def one(client: Client) -> list[str]:
        try:
            ends = await asyncio.open_connection(where.hostname, where.port)
        except OSError as exc:
            return [type(exc).__name__]
        try:
            return await client(ends)
        except (OSError, EOFError) as exc:
            return [type(exc).__name__]
        finally:
            ends[1].transport.abort()

    began = time.monotonic()
    found = Counter(each for every in await asyncio.gather(*map(one, clients)) for each in every)
    took = time.monotonic() - began
    return ", ".join(f"{number:,} times {code}" for code, number in sorted(found.items())) + f" in {took:.0f} s"


def held(pid: int) -> float:
    """MiB of memory of the server and its workers that nobody else shares."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for each in (str(pid), *children):
        rows = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))
    return total / 1024


if __name__ == "__main__":
    main()
