"""FileBlobs: each blob a plain file, `blobs/<first 2 hex digits>/<id>`, whole from the moment it can be seen."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from cnr.domain.errors import StoreUnavailable
from cnr.domain.piece import Piece
from cnr.store.base import BlobNotFound, BlobReader, Fact, Tell, is_blob_id
from cnr.store.file_draft import Draft, Folders, Step, trouble
from cnr.store.file_pieces import DIRECT, Pieces, read_now
from cnr.store.place import file_system
from cnr.store.telling import GATHERED

T = TypeVar("T")

MOST: Final = 1024 * 1024
"""Bytes that wait for the piece before them, and then take one hop. Hops cost more than all Python between them."""
_NO_LINK: Final = (errno.EMLINK, errno.EPERM, errno.EACCES, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What says that this file cannot have one more name: ext4 stops at 65,000."""


def _no_step(name: str) -> None:
    """What is told when nobody wants to know."""


class FileBlobs:
    """BlobStore in an existing folder, for any number of processes of one host.

    A blob is written to `blobs/drafts/`, synced, renamed, and its folder synced, all in `pool`; one that fits into a
    piece in a single hop. What dead processes left in `drafts/` is removed when a process begins.
    """

    def __init__(self, folder: Path, pool: Executor, *, step: Step = _no_step) -> None:
        """Blocks. `step` is told each change of the disk before it is made. Raises StoreUnavailable."""
        self._root = folder / "blobs"
        self._pool = pool
        try:
            self._folders = Folders(self._root, step)
        except OSError as exc:
            raise StoreUnavailable(f"{self._root} cannot be used: {exc.strerror}") from exc

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        """As BlobStore.put. While a piece is told and written, in one hop to the pool, the next is gathered."""
        async with self._draft(blob_id, tell) as draft:
            return await self._fill(draft, chunks)

    async def _fill(self, draft: Draft, chunks: AsyncIterable[Piece]) -> int:
        size = waiting = 0
        piece: list[Piece] = []
        writing: asyncio.Future[None] | None = None
        async for chunk in chunks:
            if not chunk:
                continue
            piece.append(chunk)
            waiting += len(chunk)
            size += len(chunk)
            if waiting >= MOST or (waiting >= GATHERED and (writing is None or writing.done())):
                if writing is not None:
                    await writing
                writing = self._begin(partial(draft.write, piece))
                piece, waiting = [], 0
        if writing is not None:
            await writing
        await self._begin(partial(draft.finish, piece))
        return size

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        """As BlobStore.open. A part of up to 256 KiB is read here if it is in the page cache, without a thread."""
        handle = self._open(blob_id)
        try:
            size = os.fstat(handle).st_size
            stop = size if stop is None else min(stop, size)
            data = read_now(handle, start, max(0, stop - start)) if stop - start <= DIRECT else None
            if data is None:
                pieces = Pieces(handle, start, stop, self._pool)
                handle = -1
                return BlobReader(size, pieces)
        finally:
            if handle != -1:
                os.close(handle)
        return BlobReader(size, _one(data), data)

    def _open(self, blob_id: str) -> int:
        if not is_blob_id(blob_id):
            raise BlobNotFound(blob_id)
        try:
            return os.open(f"{self._root}/{blob_id[:2]}/{blob_id}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobNotFound(blob_id) from None
        except OSError as exc:
            raise StoreUnavailable(f"a blob cannot be opened: {exc.strerror}") from exc

    async def copy(self, source: str, target: str) -> None:
        """As BlobStore.copy: a hard link, else shared blocks, else bytes."""
        if not is_blob_id(source):
            raise BlobNotFound(source)
        async with self._draft(target) as draft:
            await self._begin(partial(self._copy, source, draft))

    def _copy(self, source: str, draft: Draft) -> None:
        try:
            draft.link(self._folders.place(source))
        except FileNotFoundError:
            raise BlobNotFound(source) from None
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
            handle = self._open(source)
            try:
                draft.clone(handle)
            finally:
                os.close(handle)
            draft.finish([])

    async def delete(self, blob_id: str) -> None:
        """As BlobStore.delete."""
        if is_blob_id(blob_id):
            await self._begin(partial(self._folders.place(blob_id).unlink, missing_ok=True))

    async def scan(self) -> AsyncIterator[str]:
        """As BlobStore.scan: the names of the files, folder by folder."""
        for folder in await self._begin(partial(_names, self._root)):
            if len(folder) == 2:
                for name in await self._begin(partial(_names, self._root / folder)):
                    if is_blob_id(name):
                        yield name

    async def inspect(self) -> Sequence[Fact]:
        """As Inspected.inspect."""
        disk = await self._begin(partial(shutil.disk_usage, self._root))
        almost = "the disk is almost full: pushes will be refused" if disk.free < disk.total / 20 else ""
        where = file_system(self._root) or "a local disk"
        return [
            Fact("files", f"each is synced, and its folder, before the answer; on {where}"),
            Fact("disk", f"{disk.free:,} of {disk.total:,} bytes free", almost),
        ]

    async def close(self) -> None:
        """As BlobStore.close. The pool is its owner's."""

    @asynccontextmanager
    async def _draft(self, blob_id: str, tell: Tell | None = None) -> AsyncIterator[Draft]:
        """A draft that leaves nothing if the block fails or is cancelled."""
        if not is_blob_id(blob_id):
            raise ValueError(f"not a blob's id: {blob_id!r}")
        draft = Draft(self._folders, blob_id, tell)
        try:
            yield draft
        except (Exception, asyncio.CancelledError):
            await asyncio.shield(self._begin(draft.discard))
            raise

    def _begin(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """The result of `work`, begun in the pool."""
        future = asyncio.wrap_future(self._pool.submit(_told, work))
        future.add_done_callback(_retrieve)
        return future


def _told(work: Callable[[], T]) -> T:
    try:
        return work()
    except OSError as exc:
        raise trouble(exc) from exc


def _retrieve(future: "asyncio.Future[T]") -> None:
    if not future.cancelled():
        future.exception()  # nobody may have waited to the end


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


async def _one(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
