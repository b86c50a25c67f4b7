"""Bytes that another machine gave back are proven by their digest before the last of them goes out."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from cnr.domain.digest import Digest, digest_of
from cnr.domain.errors import DataCorrupt
from cnr.registry.core import Core
from cnr.store.base import BlobReader


async def proven(core: Core, reader: BlobReader, digest: Digest, size: int) -> BlobReader:
    """`reader` of a whole blob, which raises DataCorrupt where `unproven` bytes do not hash to `digest`.

    At once where they are at hand, else instead of the last piece, so that whoever gets all bytes got the right ones.
    """
    if reader.size != size:
        await _close(reader.chunks)
        raise DataCorrupt(f"a stored blob has {reader.size:,} bytes and not {size:,}", digest=digest)
    if not reader.unproven:
        return reader
    data = reader.data
    if data is None:
        return BlobReader(size, _held_back(core, reader.chunks, digest))
    if await core.work(size, lambda: digest_of(data, digest.partition(":")[0])) != digest:
        raise _wrong(digest)
    return BlobReader(size, reader.chunks, data)


async def _held_back(core: Core, chunks: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    algorithm, _, expected = digest.partition(":")
    running = hashlib.new(algorithm)
    held = b""
    async with aclosing(chunks) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if held:
                yield held
            await core.work(len(piece), lambda piece=piece: running.update(piece))  # type: ignore[misc]
            held = piece
    if running.hexdigest() != expected:
        raise _wrong(digest)
    yield held


async def _close(chunks: Any) -> None:
    if (close := getattr(chunks, "aclose", None)) is not None:
        await close()


def _wrong(digest: Digest) -> DataCorrupt:
    return DataCorrupt("the store gave back other bytes than those of this digest", digest=digest)
