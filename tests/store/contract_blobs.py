"""What every BlobStore must keep. A driver's tests subclass this and say how its store is opened.

class TestMine(BlobContract):
    open = staticmethod(open_mine)
"""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cnr.domain.piece import Piece
from cnr.store.base import BlobNotFound, BlobReader, BlobStore

KIB = 1024
MIB = 1024 * KIB
SIZES = [0, 1, 4096, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]


def content(size: int) -> bytes:
    """Bytes without a pattern, the same for each size."""
    return random.Random(size).randbytes(size)


async def chunks(*data: Piece) -> AsyncIterator[Piece]:
    for chunk in data:
        yield chunk


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def whole(reader: BlobReader) -> bytes:
    """All bytes of a reader, whose pieces keep their limit."""
    pieces = [piece async for piece in reader.chunks]
    assert all(0 < len(piece) <= MIB for piece in pieces)
    return b"".join(pieces)


async def names(blobs: BlobStore) -> list[str]:
    return sorted([blob_id async for blob_id in blobs.scan()])


def new_id() -> str:
    return secrets.token_hex(16)


class Broken(Exception):
    """What a test's chunks raise, or who is told them."""


class BlobContract:
    """The rules for bytes. `KEPT` is how many connections a driver may keep for the next call."""

    KEPT = 0

    @staticmethod
    async def open(address: str, pool: Executor) -> BlobStore:
        """A store over the data at `address`; each driver gives its own."""
        raise NotImplementedError

    @pytest.fixture
    def pool(self) -> Iterator[Executor]:
        with ThreadPoolExecutor(2) as pool:
            yield pool

    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        """Where nothing is yet."""
        return str(tmp_path)

    @pytest.fixture
    async def blobs(self, address: str, pool: Executor) -> AsyncIterator[BlobStore]:
        blobs = await type(self).open(address, pool)
        yield blobs
        await blobs.close()

    @pytest.mark.parametrize("size", SIZES)
    async def test_what_is_put_is_read(self, blobs: BlobStore, size: int) -> None:
        data = content(size)
        for chunk in (16 * KIB, 3 * MIB):
            blob_id = new_id()
            assert await blobs.put(blob_id, cut(data, chunk)) == size
            reader = await blobs.open(blob_id)
            assert reader.size == size
            assert await whole(reader) == data

    async def test_chunks_of_all_sizes(self, blobs: BlobStore) -> None:
        parts = [b"", b"a", content(2 * MIB + 7), b"", b"bc", content(MIB - 3), content(5), b""]
        assert await blobs.put("ab" * 16, chunks(*parts)) == sum(map(len, parts))
        assert await whole(await blobs.open("ab" * 16)) == b"".join(parts)

    @pytest.mark.parametrize("size", [0, 10, 300 * KIB, 2 * MIB + 3])
    @pytest.mark.parametrize("chunk", [200, 70_000, 3 * MIB])
    async def test_all_that_is_put_is_told_in_its_order(self, blobs: BlobStore, size: int, chunk: int) -> None:
        data, told = content(size), bytearray()
        view = memoryview(data)
        views = [view[at : at + chunk] for at in range(0, size, chunk)]
        assert await blobs.put("ab" * 16, chunks(*views), told.extend) == size
        assert told == data
        assert await whole(await blobs.open("ab" * 16)) == data

    async def test_nothing_is_stored_where_the_told_raises(self, blobs: BlobStore) -> None:
        def tell(piece: bytes | memoryview) -> None:
            raise Broken

        with pytest.raises(Broken):
            await blobs.put("ab" * 16, chunks(content(300 * KIB), content(MIB)), tell)
        with pytest.raises(BlobNotFound):
            await blobs.open("ab" * 16)

    @pytest.mark.parametrize("size", [0, 10, 300 * KIB, 2 * MIB + 3])
    async def test_parts(self, blobs: BlobStore, size: int) -> None:
        data = content(size)
        await blobs.put("ab" * 16, chunks(data))
        edges = [0, 1, size // 2, size - 1, size, size + 1, size + MIB]
        edges = [edge for edge in edges if edge >= 0]
        for start in edges:
            for stop in [*edges, None]:
                reader = await blobs.open("ab" * 16, start, stop)
                assert reader.size == size
                assert await whole(reader) == data[start:stop]

    @pytest.mark.parametrize(
        "blob_id", ["cd" * 16, "", "ab", "AB" * 16, "../" + "a" * 29, "drafts", "a" * 31 + "/", "é" * 32]
    )
    async def test_nothing_is_found_where_nothing_is(self, blobs: BlobStore, blob_id: str) -> None:
        await blobs.put("ab" * 16, chunks(b"x"))
        with pytest.raises(BlobNotFound):
            await blobs.open(blob_id)
        with pytest.raises(BlobNotFound):
            await blobs.copy(blob_id, "ef" * 16)
        await blobs.delete(blob_id)
        assert await names(blobs) == ["ab" * 16]

    @pytest.mark.parametrize("blob_id", ["", "ab", "AB" * 16, "../" + "a" * 29, "a" * 31 + "/"])
    async def test_an_id_is_32_hex_digits(self, blobs: BlobStore, blob_id: str) -> None:
        await blobs.put("ab" * 16, chunks(b"x"))
        with pytest.raises(ValueError):
            await blobs.put(blob_id, chunks(b"y"))
        with pytest.raises(ValueError):
            await blobs.copy("ab" * 16, blob_id)
        assert await names(blobs) == ["ab" * 16]

    @pytest.mark.parametrize("size", [0, 1, 100 * KIB, MIB, 3 * MIB])
    async def test_chunks_that_break_leave_nothing(self, blobs: BlobStore, size: int) -> None:
        async def broken() -> AsyncIterator[bytes]:
            async for chunk in cut(content(size), 64 * KIB):
                yield chunk
            raise Broken

        with pytest.raises(Broken):
            await blobs.put("ab" * 16, broken())
        with pytest.raises(BlobNotFound):
            await blobs.open("ab" * 16)
        assert await names(blobs) == []
        await blobs.put("ab" * 16, chunks(b"after all"))
        assert await whole(await blobs.open("ab" * 16)) == b"after all"

    async def test_an_os_error_of_the_chunks_is_theirs(self, blobs: BlobStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x"
            raise ConnectionResetError("the client went away")

        with pytest.raises(ConnectionResetError):
            await blobs.put("ab" * 16, broken())

    @pytest.mark.parametrize("size", [1, 3 * MIB])
    async def test_a_cancelled_put_leaves_nothing(self, blobs: BlobStore, size: int) -> None:
        async def endless() -> AsyncIterator[bytes]:
            yield content(size)
            await asyncio.Event().wait()

        task = asyncio.create_task(blobs.put("ab" * 16, endless()))
        await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await names(blobs) == []

    async def test_a_put_cancelled_anywhere_is_whole_or_absent(self, blobs: BlobStore) -> None:
        data = content(MIB + 1)
        for number in range(30):
            task = asyncio.create_task(blobs.put(f"{number:032x}", chunks(data[:MIB], data[MIB:])))
            await asyncio.sleep(number * 0.0003)
            cancelled = task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not (cancelled and task.cancelled() and f"{number:032x}" in await names(blobs))
        for blob_id in await names(blobs):
            assert await whole(await blobs.open(blob_id)) == data

    @pytest.mark.parametrize("size", [10, 300 * KIB, 5 * MIB])
    async def test_a_reader_goes_on_after_a_delete(self, blobs: BlobStore, size: int) -> None:
        await blobs.put("ab" * 16, cut(content(size), MIB))
        reader = await blobs.open("ab" * 16)
        await blobs.delete("ab" * 16)
        with pytest.raises(BlobNotFound):
            await blobs.open("ab" * 16)
        assert await whole(reader) == content(size)
        await blobs.delete("ab" * 16)

    @pytest.mark.parametrize("size", [0, 10, 2 * MIB])
    async def test_a_copy_outlives_its_source(self, blobs: BlobStore, size: int) -> None:
        await blobs.put("ab" * 16, cut(content(size), MIB))
        await blobs.copy("ab" * 16, "cd" * 16)
        await blobs.copy("cd" * 16, "ef" * 16)
        await blobs.delete("ab" * 16)
        assert await names(blobs) == ["cd" * 16, "ef" * 16]
        for blob_id in ("cd" * 16, "ef" * 16):
            assert await whole(await blobs.open(blob_id)) == content(size)

    async def test_many_at_once(self, blobs: BlobStore) -> None:
        ids = [new_id() for _ in range(50)]
        await asyncio.gather(*(blobs.put(blob_id, cut(blob_id.encode() * 999, 1000)) for blob_id in ids))
        assert await names(blobs) == sorted(ids)
        readers = await asyncio.gather(*(blobs.open(blob_id) for blob_id in ids))
        assert await asyncio.gather(*map(whole, readers)) == [blob_id.encode() * 999 for blob_id in ids]

    async def test_a_scan_names_what_is_there_throughout(self, blobs: BlobStore) -> None:
        stay = {new_id() for _ in range(40)}
        for blob_id in stay:
            await blobs.put(blob_id, chunks(b"x"))
        seen = set()
        async for blob_id in blobs.scan():
            seen.add(blob_id)
            gone = new_id()
            await blobs.put(gone, chunks(b"y"))
            await blobs.delete(gone)
        assert stay <= seen

    async def test_nothing_stays_open(self, blobs: BlobStore) -> None:
        """Readers read to their end, closed early, or dropped; puts that break, and that do not."""
        await blobs.put("ab" * 16, chunks(content(3 * MIB)))
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            reader = await blobs.open("ab" * 16)
            if number % 4 == 0:
                await whole(reader)
            elif number % 4 == 1:
                await anext(reader.chunks)
                await reader.chunks.aclose()  # type: ignore[attr-defined]
            elif number % 4 == 2:
                await anext(reader.chunks)
            del reader
            await blobs.copy("ab" * 16, f"{number:032x}")
            await blobs.put(new_id(), chunks(content(MIB + number)))
        await names(blobs)
        assert len(os.listdir("/proc/self/fd")) <= before + self.KEPT
