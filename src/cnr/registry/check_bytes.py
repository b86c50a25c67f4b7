"""Reads stored bytes to their end and says what is wrong with them."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import BadInput, DataCorrupt, StoreTrouble
from cnr.domain.gunzip import gunzip
from cnr.store.base import BlobNotFound, BlobReader, BlobStore
from cnr.store.records import BlobRecord, ManifestRecord

INLINE_BYTES: Final = 64 * 1024
"""Up to here hashing takes less time than a hop to a thread."""
MEMBER_LIMIT: Final = 1 << 20
"""gzip members of a tar: what was taken has passed the limits of its push."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with stored bytes: `gone` where there are none."""

    problem: str
    gone: bool = False


class StoredBytes:
    """Reads bytes in `blobs` or in records, in pieces, and hashes them in `pool`. `passed` is told their sizes."""

    def __init__(self, blobs: BlobStore, pool: Executor, passed: Callable[[int], None]) -> None:
        self._blobs = blobs
        self._pool = pool
        self._passed = passed

    async def check(self, record: BlobRecord | ManifestRecord, digest: Digest) -> Wrong | None:
        """What is wrong with the bytes of a record that should hash to `digest`; None if nothing is."""
        if record.data is not None:
            return await self._inline(record.data, record.size, digest)
        if record.blob_id is None:
            return Wrong("the record has neither bytes nor an id of them", gone=True)
        try:
            return await self._stored(record.blob_id, record.size, digest)
        except BlobNotFound:
            return Wrong(f"its bytes, {record.blob_id}, are gone", gone=True)
        except StoreTrouble as exc:
            return Wrong(f"its bytes, {record.blob_id}, cannot be read: {exc.message}")

    async def _inline(self, data: bytes, size: int, digest: Digest) -> Wrong | None:
        running = hashlib.new(digest.partition(":")[0])
        await self._hash(running, data)
        return _judge(len(data), size, running, digest)

    async def _stored(self, blob_id: str, size: int, digest: Digest) -> Wrong | None:
        reader = await self._blobs.open(blob_id)
        if reader.size != size:
            await _close(reader)
            return Wrong(f"its bytes, {blob_id}, are {reader.size:,} and not {size:,}")
        running, length = hashlib.new(digest.partition(":")[0]), 0
        async for piece in _pieces(reader):
            length += len(piece)
            await self._hash(running, piece)
        return _judge(length, size, running, digest, f", {blob_id},")

    async def _hash(self, running: Any, piece: bytes) -> None:
        if len(piece) <= INLINE_BYTES:
            running.update(piece)
        else:
            await asyncio.get_running_loop().run_in_executor(self._pool, running.update, piece)
        self._passed(len(piece))

    async def size(self, blob_id: str) -> int | None:
        """How many bytes there are under an id; None if there are none."""
        try:
            reader = await self._blobs.open(blob_id, 0, 0)
        except BlobNotFound:
            return None
        await _close(reader)
        return reader.size

    async def data(self, record: ManifestRecord) -> bytes:
        """A manifest's bytes. Raises DataCorrupt where they are gone."""
        if record.data is not None:
            return record.data
        try:
            return b"".join([piece async for piece in _pieces(await self._blobs.open(record.blob_id or ""))])
        except BlobNotFound as exc:
            raise DataCorrupt("its bytes are gone") from exc

    async def unpacks(self, record: BlobRecord, tar: TarDigest) -> bool:
        """Whether a gzip's content hashes to `tar`. Raises BlobNotFound, StoreTrouble."""
        if record.data is not None:
            return _unpacked([record.data]) == tar
        reader = await self._blobs.open(record.blob_id or "")
        if reader.data is not None:
            return await self._work(lambda: _unpacked([reader.data or b""]) == tar)
        return await self._unpacked_while_read(reader) == tar

    async def _unpacked_while_read(self, reader: BlobReader) -> str:
        """Unpacked in a thread, for which this loop reads piece by piece: the pool it reads with stays free."""
        loop = asyncio.get_running_loop()
        async with aclosing(_pieces(reader)) as pieces:

            def pulled() -> Iterator[bytes]:
                while piece := asyncio.run_coroutine_threadsafe(anext(pieces, b""), loop).result():
                    yield piece

            return await asyncio.to_thread(lambda: _unpacked(pulled()))

    async def _work(self, function: Callable[[], bool]) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)


def _unpacked(chunks: Iterable[bytes]) -> str:
    """The sha256 of what a gzip unpacks to; "" for one that is damaged."""
    running = hashlib.sha256()
    try:
        for piece in gunzip(chunks, member_limit=MEMBER_LIMIT):
            running.update(piece)
    except BadInput:
        return ""
    return running.hexdigest()


def _judge(length: int, size: int, running: Any, digest: Digest, which: str = "") -> Wrong | None:
    if length != size:
        return Wrong(f"its bytes{which} are {length:,} and not {size:,}")
    if running.hexdigest() != digest.partition(":")[2]:
        return Wrong(f"its bytes{which} do not hash to its digest")
    return None


async def _pieces(reader: BlobReader) -> AsyncGenerator[bytes, None]:
    if reader.data is not None:
        yield reader.data
        return
    chunks: Any = reader.chunks
    if hasattr(chunks, "aclose"):
        async with aclosing(chunks) as pieces:
            async for piece in pieces:
                yield piece
    else:
        async for piece in chunks:
            yield piece


async def _close(reader: BlobReader) -> None:
    chunks: Any = reader.chunks
    if hasattr(chunks, "aclose"):
        await chunks.aclose()
