"""Text too long to hold: in memory up to 1 MiB, beyond that in a file that has no name.

A file without a name cannot be left behind: the kernel frees it when the process closes it or dies.
"""

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Protocol

from cnr.domain.errors import StoreFull, StoreUnavailable

PIECE: Final = 1024 * 1024
"""Bytes kept in memory before they go to the file, and the most that `chunks` yields at once."""


class Source(Protocol):
    """Bytes that can be read any number of times."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All bytes from the beginning, in pieces of at most 1 MiB. Iterators do not disturb one another."""
        ...

    def close(self) -> None:
        """Let go of memory and file. Idempotent."""
        ...


class Text:
    """A short string as a Source of its UTF-8 bytes."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()

    @property
    def size(self) -> int:
        return len(self._data)

    def chunks(self) -> Iterator[bytes]:
        for at in range(0, len(self._data), PIECE):
            yield self._data[at : at + PIECE]

    def close(self) -> None:
        self._data = b""


class Spool:
    """A Source that is written once, then read. `write` never touches the disk, `flush` does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._flushed = 0
        # A flush may still run in a thread when a cancelled request closes the spool: a file descriptor that
        # is closed under a write could by then belong to somebody else's file.
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._flushed + len(self._memory)

    @property
    def full(self) -> bool:
        """Whether memory holds so much that `flush` is due."""
        return len(self._memory) >= PIECE

    def write(self, data: bytes) -> None:
        """Append to memory."""
        self._memory += data

    def flush(self) -> None:
        """Move what is in memory to the file. Raises StoreFull, StoreUnavailable (the spool folder fails)."""
        with self._lock:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
                _write_all(self._file.fileno(), self._memory)
            except OSError as exc:
                raise _trouble(exc) from exc
            self._flushed += len(self._memory)
            self._memory = bytearray()

    def chunks(self) -> Iterator[bytes]:
        at = 0
        while self._file is not None and at < self._flushed:
            piece = os.pread(self._file.fileno(), min(PIECE, self._flushed - at), at)
            if not piece:
                raise StoreUnavailable("a spool file became shorter while it was read")
            at += len(piece)
            yield piece
        for start in range(0, len(self._memory), PIECE):
            yield bytes(self._memory[start : start + PIECE])

    def close(self) -> None:
        with self._lock:
            self._memory = bytearray()
            self._flushed = 0
            if self._file is not None:
                self._file.close()
                self._file = None


def as_source(value: Any) -> Source | None:
    """A string field, long or short, as a Source; None for a value that is no string."""
    if isinstance(value, str):
        return Text(value)
    return value if isinstance(value, Spool) else None


def _write_all(fd: int, data: bytearray) -> None:
    with memoryview(data) as view:
        at = 0
        while at < len(view):
            at += os.write(fd, view[at : at + PIECE])


def _trouble(exc: OSError) -> StoreFull | StoreUnavailable:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("no space left in the spool folder")
    return StoreUnavailable(f"the spool folder cannot be written: {exc.strerror}")
