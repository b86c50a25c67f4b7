"""The bytes of uploads: hashed while they are stored, each piece under an id of its own."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from cnr.domain.digest import Digest
from cnr.domain.errors import StoreTrouble, UploadNotFound
from cnr.registry.core import Core
from cnr.store.base import BlobNotFound
from cnr.store.records import INLINE_BLOB, UploadPart

_PIECE: Final = 256 * 1024
"""Bytes hashed in one hop to the pool: worth the hop, and still in the processor's cache when they are written."""

Chunks = AsyncIterable[bytes]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A blob's bytes, in `data` or as a stored piece, and the digest that they have."""

    data: bytes | None
    part: UploadPart
    digest: str


class Pieces:
    """Stores, reads and deletes pieces."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def receive(self, digest: Digest, chunks: Chunks) -> Arrived:
        """All bytes of a blob: kept in memory while they are few, else stored under an id."""
        algorithm = digest.partition(":")[0]
        first, rest = await few(chunks)
        if rest is None:
            found = hashlib.new(algorithm, first).hexdigest()
            return Arrived(first, UploadPart("", len(first), ""), f"{algorithm}:{found}")
        part, found = await self.store(joined(once(first), rest), algorithm)
        return Arrived(None, part, f"{algorithm}:{found}")

    async def store(self, chunks: Chunks, algorithm: str = "sha256") -> tuple[UploadPart, str]:
        """The stored piece, and its hash by `algorithm`."""
        running = [hashlib.new(name) for name in dict.fromkeys((algorithm, "sha256"))]
        blob_id = self._core.new_id()
        size = await self._core.blobs.put(blob_id, self._hashed(chunks, [each.update for each in running]))
        return UploadPart(blob_id, size, running[-1].hexdigest()), running[0].hexdigest()

    async def _hashed(self, chunks: Chunks, updates: Sequence[Callable[[bytes], None]]) -> AsyncIterator[bytes]:
        """The chunks in larger pieces; each is hashed while it is stored and the next one arrives."""
        hashing: asyncio.Task[None] | None = None
        async for piece in gathered(chunks):
            if hashing is not None:
                await hashing
            hashing = asyncio.create_task(self._core.work(len(piece), partial(_feed, updates, piece)))
            yield piece
        if hashing is not None:
            await hashing

    async def read(self, parts: Sequence[UploadPart]) -> AsyncIterator[bytes]:
        """Their bytes, one piece after the other. Raises UploadNotFound where one is gone: the upload has ended."""
        for part in parts:
            try:
                reader = await self._core.blobs.open(part.id)
            except BlobNotFound:
                raise no_upload() from None
            async for chunk in reader.chunks:
                yield chunk

    async def drop(self, parts: Sequence[UploadPart]) -> None:
        """Delete pieces that nothing names any more. Never fails: what is left is garbage collection's."""
        for part in parts:
            try:
                if part.id:
                    await self._core.blobs.delete(part.id)
            except StoreTrouble as exc:
                _log.warning("a piece of an upload stays until it is swept: %s", exc.message)


def _feed(updates: Sequence[Callable[[bytes], None]], piece: bytes) -> None:
    for update in updates:
        update(piece)


async def gathered(chunks: Chunks, size: int = _PIECE) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least `size`, but for the last: fewer hops to the pool."""
    held: list[bytes] = []
    length = 0
    async for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


async def few(chunks: Chunks) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """All bytes where they fit into a record, and None; else the first ones, and the rest."""
    rest = aiter(chunks)
    held = b""
    async for chunk in rest:
        held += chunk
        if len(held) > INLINE_BLOB:
            return held, rest
    return held, None


async def joined(*parts: Chunks) -> AsyncIterator[bytes]:
    """One after the other."""
    for part in parts:
        async for chunk in part:
            yield chunk


async def once(data: bytes) -> AsyncIterator[bytes]:
    """These bytes alone."""
    yield data


def no_upload() -> UploadNotFound:
    """What is said of an upload that is not there, is another's, or has ended."""
    return UploadNotFound("there is no such upload: begin a new one")
