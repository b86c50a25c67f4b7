"""MemoryBlobs: blobs in the memory of one process."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from cnr.domain.piece import Piece
from cnr.store.base import BlobNotFound, BlobReader, Tell, is_blob_id
from cnr.store.telling import telling

_PIECE: Final = 1024 * 1024


class MemoryBlobs:
    """BlobStore that ends with this object. Tasks take turns in it as they do with files."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        """As BlobStore.put."""
        _check(blob_id)
        data = b"".join([chunk async for chunk in telling(chunks, tell)])
        await asyncio.sleep(0)
        self._blobs[blob_id] = data
        return len(data)

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        """As BlobStore.open."""
        data = self._found(blob_id)
        return BlobReader(len(data), _pieces(data, start, len(data) if stop is None else min(stop, len(data))))

    async def copy(self, source: str, target: str) -> None:
        """As BlobStore.copy."""
        _check(target)
        await asyncio.sleep(0)
        self._blobs[target] = self._found(source)

    async def delete(self, blob_id: str) -> None:
        """As BlobStore.delete."""
        await asyncio.sleep(0)
        self._blobs.pop(blob_id, None)

    async def scan(self) -> AsyncIterator[str]:
        """As BlobStore.scan."""
        for blob_id in list(self._blobs):
            yield blob_id

    async def close(self) -> None:
        """As BlobStore.close."""

    def _found(self, blob_id: str) -> bytes:
        try:
            return self._blobs[blob_id]
        except KeyError:
            raise BlobNotFound(blob_id) from None


def _check(blob_id: str) -> None:
    if not is_blob_id(blob_id):
        raise ValueError(f"not a blob's id: {blob_id!r}")


async def _pieces(data: bytes, start: int, stop: int) -> AsyncIterator[bytes]:
    for at in range(start, stop, _PIECE):
        yield data[at : min(at + _PIECE, stop)]
