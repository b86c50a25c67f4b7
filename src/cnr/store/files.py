"""Blobs as plain files: `blobs/<first 2 hex>/<id>`, complete and durable, or not there.

A file is written under `blobs/tmp/`, fsynced, renamed, and its folder fsynced; so no name ever leads to half a blob.
"""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from cnr.domain.errors import StoreFull, StoreUnavailable
from cnr.store.base import BlobNotFound, BlobReader

T = TypeVar("T")

PIECE = 1024 * 1024
"""Bytes gathered before a write, and read at once."""
INLINE_READ = 256 * 1024
"""Up to here a read from the page cache takes less time than a hop to the pool."""
STALE_S = 24 * 3600
"""Age in seconds from which a temporary file belongs to a dead process."""
_FICLONE = 0x40049409


class FileBlobs:
    """A BlobStore in a folder of a local file system. Writes and fsyncs run in `pool`."""

    def __init__(self, folder: Path, pool: Executor) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"
        self._pool = pool
        _make_folder(self._temporary)
        self._sweep()

    def _path(self, blob_id: str) -> Path:
        return self._folder / blob_id[:2] / blob_id

    async def _work(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _translated, function, *args)

    async def put(self, blob_id: str, chunks: AsyncIterable[bytes]) -> int:
        held = bytearray()
        size = 0
        temporary: int | None = None
        path = self._temporary / blob_id
        try:
            async for chunk in chunks:
                held += chunk
                size += len(chunk)
                if len(held) >= PIECE:
                    temporary = await self._work(_append, path, temporary, bytes(held))
                    held.clear()
            await self._work(self._finish, path, temporary, bytes(held), self._path(blob_id))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            if temporary is not None:
                os.close(temporary)
        return size

    def _finish(self, path: Path, descriptor: int | None, rest: bytes, target: Path) -> None:
        opened = _append(path, descriptor, rest)
        try:
            os.fsync(opened)
        finally:
            if descriptor is None:
                os.close(opened)
        self._publish(path, target)

    def _publish(self, path: Path, target: Path) -> None:
        if not target.parent.exists():
            _make_folder(target.parent)
            _fsync_folder(self._folder)
        path.rename(target)
        _fsync_folder(target.parent)

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        try:
            descriptor = os.open(self._path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BlobNotFound(blob_id) from None
        except OSError as exc:
            raise _trouble(exc) from exc
        size = os.fstat(descriptor).st_size
        end = size if stop is None else min(stop, size)
        return BlobReader(size, self._read(_Open(descriptor), start, end))

    async def _read(self, file: "_Open", start: int, end: int) -> AsyncIterator[bytes]:
        with file:
            at = start
            while at < end:
                wanted = min(PIECE, end - at)
                piece = _cached(file.descriptor, wanted, at) if end - start <= INLINE_READ else b""
                piece = piece or await self._work(os.pread, file.descriptor, wanted, at)
                if not piece:
                    raise StoreUnavailable("a stored blob is shorter than it was")
                at += len(piece)
                yield piece

    async def copy(self, source: str, target: str) -> None:
        await self._work(self._copy, self._path(source), self._path(target))

    def _copy(self, source: Path, target: Path) -> None:
        temporary = self._temporary / target.name
        try:
            if not _link(source, temporary):
                _clone(source, temporary)
            self._publish(temporary, target)
        except FileNotFoundError:
            raise BlobNotFound(source.name) from None
        finally:
            temporary.unlink(missing_ok=True)

    async def delete(self, blob_id: str) -> None:
        await self._work(lambda: self._path(blob_id).unlink(missing_ok=True))

    async def scan(self) -> AsyncIterator[str]:
        for folder in sorted(self._folder.iterdir()):
            if len(folder.name) == 2:
                for name in await self._work(os.listdir, folder):
                    yield name

    async def close(self) -> None:
        """Nothing is held open between calls."""

    def _sweep(self) -> None:
        for path in self._temporary.iterdir():
            try:
                if path.stat().st_mtime < time.time() - STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue


class _Open:
    """A descriptor that is closed once: by `with`, or when a reader that was never begun is thrown away."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._open = True

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            os.close(self.descriptor)

    def __del__(self) -> None:
        self.__exit__()


def _append(path: Path, descriptor: int | None, data: bytes) -> int:
    if descriptor is None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor


def _cached(descriptor: int, size: int, at: int) -> bytes:
    """The bytes if they are in the page cache, else nothing."""
    buffer = bytearray(size)
    try:
        got = os.preadv(descriptor, [buffer], at, os.RWF_NOWAIT)
    except OSError:
        return b""
    return bytes(buffer[:got])


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError as exc:
        if exc.errno in (errno.EMLINK, errno.EPERM, errno.ENOTSUP):
            return False
        raise
    return True


def _clone(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("xb") as write:
        try:
            fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
        except OSError:
            while os.sendfile(write.fileno(), read.fileno(), None, PIECE):
                pass
        os.fchmod(write.fileno(), 0o640)
        os.fsync(write.fileno())


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o750, parents=True, exist_ok=True)
    _fsync_folder(path.parent)


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(function: Callable[..., T], *args: object) -> T:
    try:
        return function(*args)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise _trouble(exc) from exc


def _trouble(exc: OSError) -> StoreFull | StoreUnavailable:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("no space left where blobs are stored")
    return StoreUnavailable(f"a blob cannot be stored or read: {exc.strerror}")
