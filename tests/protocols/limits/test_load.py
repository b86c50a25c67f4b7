"""Under attack others are answered, and afterwards the server has its memory back. Numbers are benchmarks/'s."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import MANIFEST, Oci

MORE_MIB = 150
CONNECTIONS, UPLOADS, MANIFESTS = 300, 300, 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    env = {"CNR_MAX_CONNECTIONS_PER_ADDRESS": "0", "CNR_HEADER_TIMEOUT": "2", "CNR_BODY_TIMEOUT": "2"}
    server = Server(tmp_path, entry="serve", workers=1, env=env)
    try:
        yield server.start()
    finally:
        server.kill()


def held_mib(server: Server) -> float:
    pid = server.process.pid
    worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    rows = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1024


async def test_others_are_answered_and_memory_comes_back(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        Oci(client, "load/app").image("one", b"layer")
    before = held_mib(server)
    ends = [await slow(server, number) for number in range(CONNECTIONS)]
    entry = {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 1}
    layers = [entry] * (4_100_000 // len(json.dumps(entry) + ", "))
    large = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": entry, "layers": layers}).encode()
    async with httpx.AsyncClient(base_url=server.url, timeout=250, limits=httpx.Limits(max_connections=60)) as http:

        async def begin(number: int) -> int:
            return (await http.post(f"/v2/load/r{number % 3}/blobs/uploads/")).status_code

        async def put(number: int) -> int:
            answer = await http.put("/v2/load/app/manifests/x", content=large, headers={"content-type": MANIFEST})
            return answer.status_code

        attack = asyncio.gather(*map(begin, range(UPLOADS)), *map(put, range(MANIFESTS)))
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as other:
            while not attack.done():
                answer = await other.get("/v2/load/app/manifests/one", headers={"accept": MANIFEST})
                assert answer.status_code == 200
                await asyncio.sleep(0.05)
        assert set(await attack) == {202, 400}
    async with asyncio.timeout(60):
        for reader, writer in ends:
            assert b" 200 " not in await reader.read()
            writer.close()
    async with asyncio.timeout(60):
        while held_mib(server) - before > MORE_MIB:
            await asyncio.sleep(0.2)


async def slow(server: Server, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Half a head, or the beginning of a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = b"PUT /v2/load/app/manifests/x HTTP/1.1\r\nHost: x\r\n"
    writer.write(head if number % 2 else head + b"Content-Length: 90000\r\n\r\n{")
    return reader, writer
