"""The bytes of uploads: hashed while they are stored, each piece under an id of its own."""

import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from cnr.domain.digest import Digest
from cnr.domain.errors import StoreTrouble, UploadNotFound
from cnr.domain.piece import Piece
from cnr.registry.core import Core
from cnr.store.base import BlobNotFound, Tell
from cnr.store.records import INLINE_BLOB, UploadPart

Chunks = AsyncIterable[Piece]

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
        size = await self._core.blobs.put(blob_id, chunks, partial(_feed, [each.update for each in running]))
        return UploadPart(blob_id, size, running[-1].hexdigest()), running[0].hexdigest()

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


def _feed(updates: Sequence[Tell], piece: Piece) -> None:
    for update in updates:
        update(piece)


async def few(chunks: Chunks) -> tuple[bytes, AsyncIterator[Piece] | None]:
    """All bytes where they fit into a record, and None; else the first ones, and the rest."""
    rest = aiter(chunks)
    held = b""
    async for chunk in rest:
        held += chunk
        if len(held) > INLINE_BLOB:
            return held, rest
    return held, None


async def joined(*parts: Chunks) -> AsyncIterator[Piece]:
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
