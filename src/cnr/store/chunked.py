"""ChunkedBlobs: blobs as records of 256 KiB, for engines that have no files.

`chunked/<id>` says what the pieces `chunks/<id>/<n>` are. It is written first (writing) and swapped last (whole), so
that pieces always have it, and a blob is there all at once. A deleted blob's pieces stay for READING_US, for readers
that are under way; `scan`, which garbage collection calls, then removes them, and what a dead writer left.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

import msgspec

from cnr.domain.errors import DataCorrupt, OutcomeUnknown, StoreTrouble, StoreUnavailable, TooLarge
from cnr.domain.piece import Piece
from cnr.store import keys, records
from cnr.store.base import (
    ABSENT,
    BlobNotFound,
    BlobReader,
    RecordNotFound,
    RecordStore,
    Tell,
    VersionConflict,
    is_blob_id,
)
from cnr.store.records import ChunkedBlob
from cnr.store.telling import telling
from cnr.store.update import DELETE, KEEP, Delete, Keep, Updater

PIECE: Final = 256 * 1024
"""Bytes of a piece; the last one may be shorter."""
AHEAD: Final = 4
"""Pieces on their way at once, for each writer and each reader."""
READING_US: Final = 3_600_000_000
"""How long a reader may go on after its blob was deleted."""
WRITING_US: Final = 24 * 3_600_000_000
"""How long a writer may take. A slower one finds its pieces gone when it ends, and fails."""


class ChunkedBlobs:
    """BlobStore over any RecordStore, which stays its owner's.

    A blob has at most `limit_bytes`: `put` and `copy` raise TooLarge beyond, and nothing is stored. A reader goes on
    for READING_US after a delete; one that takes longer may meet StoreUnavailable in the middle.
    """

    def __init__(
        self, store: RecordStore, new_id: Callable[[], str], clock: Callable[[], int], *, limit_bytes: int
    ) -> None:
        self._store = store
        self._updater = Updater(store, new_id)
        self._clock = clock
        self._limit = limit_bytes

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        """As BlobStore.put. Raises TooLarge."""
        if not is_blob_id(blob_id):
            raise ValueError(f"not a blob's id: {blob_id!r}")
        try:
            await self._swap(blob_id, self._begun, durable=False)
            size = await self._write(blob_id, telling(chunks, tell))
            await self._swap(blob_id, lambda before: self._ended(before, size))
        except (Exception, asyncio.CancelledError) as exc:
            await asyncio.shield(asyncio.ensure_future(self._discard(blob_id)))
            if isinstance(exc, OutcomeUnknown):
                raise StoreUnavailable("the store did not answer while a file was written; try again") from exc
            raise
        return size

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        """As BlobStore.open. A part of up to a piece's size is read at once."""
        size = (await self._whole(blob_id)).size
        stop = size if stop is None else min(stop, size)
        if stop - start > PIECE:
            return BlobReader(size, self._pieces(blob_id, start, stop))
        try:
            data = b"".join([piece async for piece in self._pieces(blob_id, start, stop)])
        except _PieceGone as exc:
            await self._whole(blob_id)  # or it was deleted meanwhile
            raise DataCorrupt("the bytes of a stored blob are gone") from exc
        return BlobReader(size, _one(data), data)

    async def copy(self, source: str, target: str) -> None:
        """As BlobStore.copy. The bytes pass through this process."""
        size = (await self._whole(source)).size
        async with aclosing(self._pieces(source, 0, size)) as pieces:
            await self.put(target, pieces)

    async def delete(self, blob_id: str) -> None:
        """As BlobStore.delete. The room is free once `scan` was called after READING_US."""

        def change(before: ChunkedBlob | None) -> ChunkedBlob | Keep:
            if before is None or before.state == "deleted":
                return KEEP
            return msgspec.structs.replace(before, state="deleted", at=self._clock())

        if is_blob_id(blob_id):
            await self._swap(blob_id, change)

    async def scan(self) -> AsyncIterator[str]:
        """As BlobStore.scan. Removes the pieces of blobs deleted long ago, and of those that nobody writes any more."""
        last = ""
        while page := await self._store.scan(keys.CHUNKED, after=last):
            for found in page:
                last = found.key
                blob_id = last.removeprefix(keys.CHUNKED)
                blob: ChunkedBlob = records.decode(ChunkedBlob, found.value)
                if blob.state == "whole":
                    yield blob_id
                elif self._is_over(blob):
                    await self._remove(blob_id, blob)

    async def close(self) -> None:
        """As BlobStore.close. The records are their owner's."""

    def _begun(self, before: ChunkedBlob | None) -> ChunkedBlob:
        if before is not None:
            raise ValueError("a blob's id was used before")
        return ChunkedBlob(state="writing", at=self._clock())

    def _ended(self, before: ChunkedBlob | None, size: int) -> ChunkedBlob:
        if before is None or before.state != "writing":
            raise StoreUnavailable("a file took too long to arrive; try again")
        return msgspec.structs.replace(before, state="whole", at=self._clock(), size=size)

    async def _write(self, blob_id: str, chunks: AsyncIterable[Piece]) -> int:
        """Write pieces, AHEAD at a time; none is on its way any more when this returns or raises."""
        size = number = 0
        writes: set[asyncio.Task[None]] = set()
        try:
            async with aclosing(_cut(chunks)) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > self._limit:
                        what = "a file in this registry's store"
                        raise TooLarge(f"{what} has at most {self._limit:,} bytes", limit=self._limit, what=what)
                    writes.add(asyncio.create_task(self._write_piece(keys.chunk(blob_id, number), piece)))
                    number += 1
                    if len(writes) == AHEAD:
                        done, writes = await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
                        await asyncio.gather(*done)
            await asyncio.gather(*writes)
        finally:
            await _to_the_end(asyncio.gather(*writes, return_exceptions=True))
        return size

    async def _write_piece(self, key: str, piece: bytes) -> None:
        try:
            await self._store.put(key, piece, expect=ABSENT, durable=not self._store.orders_durability)
        except OutcomeUnknown:
            with suppress(RecordNotFound):
                if (await self._store.get(key)).value == piece:
                    return
            raise
        except VersionConflict as exc:
            raise StoreUnavailable("a file's bytes are in the way of another's; try again") from exc

    async def _whole(self, blob_id: str) -> ChunkedBlob:
        if not is_blob_id(blob_id):
            raise BlobNotFound(blob_id)
        try:
            found = await self._store.get(keys.chunked(blob_id))
        except RecordNotFound:
            raise BlobNotFound(blob_id) from None
        blob: ChunkedBlob = records.decode(ChunkedBlob, found.value)
        if blob.state != "whole":
            raise BlobNotFound(blob_id)
        return blob

    async def _pieces(self, blob_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` to `stop`, of which AHEAD pieces are asked for at a time."""
        numbers = range(start // PIECE, -(-stop // PIECE)) if start < stop else range(0)
        asked = [asyncio.create_task(self._piece(blob_id, number)) for number in numbers[:AHEAD]]
        try:
            for at, number in enumerate(numbers):
                piece = await asked.pop(0)
                if at + AHEAD < len(numbers):
                    asked.append(asyncio.create_task(self._piece(blob_id, numbers[at + AHEAD])))
                first = number * PIECE
                yield piece[max(start - first, 0) : stop - first]
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _piece(self, blob_id: str, number: int) -> bytes:
        try:
            return (await self._store.get(keys.chunk(blob_id, number))).value
        except RecordNotFound:
            raise _PieceGone("a file was deleted long ago, and is gone while it is read") from None

    def _is_over(self, blob: ChunkedBlob) -> bool:
        return self._clock() - blob.at > (READING_US if blob.state == "deleted" else WRITING_US)

    async def _discard(self, blob_id: str) -> None:
        """Remove what a failed `put` has written, as far as the store can be reached; `scan` does the rest."""
        with suppress(StoreTrouble):
            await self._remove(blob_id, None)
            await self._remove_pieces(blob_id)  # should a sweeper have removed the record that tells of them

    async def _remove(self, blob_id: str, seen: ChunkedBlob | None) -> None:
        """Remove pieces, and last the record that tells of them; not where a writer ended since that was `seen`."""

        def doom(before: ChunkedBlob | None) -> ChunkedBlob | Keep:
            if before is None or before.state == "deleted" or (seen is not None and before != seen):
                return KEEP
            return msgspec.structs.replace(before, state="deleted", at=0)  # nobody reads what was never there

        after = await self._swap(blob_id, doom)
        if after is None or after.state != "deleted":
            return
        await self._remove_pieces(blob_id)
        await self._swap(blob_id, lambda before: KEEP if before is None else DELETE)

    async def _remove_pieces(self, blob_id: str) -> None:
        while page := await self._store.scan(keys.chunks(blob_id)):
            for piece in page:
                with suppress(VersionConflict):  # somebody else removes it too
                    await self._store.delete(piece.key, expect=piece.version)

    async def _swap(
        self, blob_id: str, change: Callable[[ChunkedBlob | None], ChunkedBlob | Keep | Delete], durable: bool = True
    ) -> ChunkedBlob | None:
        swap = await self._updater.update(keys.chunked(blob_id), ChunkedBlob, change, durable=durable)
        return swap.after


class _PieceGone(StoreUnavailable):
    """A piece of a blob is not there any more."""


async def _to_the_end(work: "asyncio.Future[Any]") -> None:
    """Wait for `work` also where this task is cancelled meanwhile: the cancellation comes after it."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def _cut(chunks: AsyncIterable[Piece]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


async def _one(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
