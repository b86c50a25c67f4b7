"""How a file comes to be, whole or not at all: a draft, its folders, and what dead processes left."""

import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from cnr.domain.errors import StoreFull, StoreTrouble, StoreUnavailable
from cnr.domain.piece import Piece
from cnr.store.base import Tell

FILE_MODE: Final = 0o640
FOLDER_MODE: Final = 0o750
_FICLONE: Final = 0x40049409
"""Linux, linux/fs.h: make a file share another's blocks (btrfs, xfs)."""
_COPY_BYTES: Final = 1024 * 1024
_SMALL: Final = 32 * 1024
"""Bytes below which a piece is joined with the ones behind it."""

Step = Callable[[str], None]
"""Told the name of each change of the disk before it is made, so that a test can die there."""


def trouble(exc: OSError) -> StoreTrouble:
    """What a failed write means to the caller."""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull("no space left for blobs; nothing was changed")
    return StoreUnavailable(f"the blob store's disk failed ({exc.strerror}); nothing was changed")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Folders:
    """`blobs/<2 hex>/` and `blobs/drafts/`, made when needed. Raises OSError. Everything here blocks."""

    def __init__(self, root: Path, step: Step) -> None:
        self._root = root
        self.drafts = root / "drafts"
        self.step = step
        self._known: set[Path] = set()
        self._make(root)
        self._make(self.drafts)
        self._sweep()

    def place(self, blob_id: str) -> Path:
        """Where the bytes of an id are."""
        return self._root / blob_id[:2] / blob_id

    def put_at(self, blob_id: str, enter: Callable[[Path], None]) -> Path:
        """Have `enter` make the name of a blob, in a folder that will be there after power loss; sync it.

        The name stays where the sync fails; who called removes it.
        """
        place = self.place(blob_id)
        self._ready(place.parent)
        try:
            enter(place)
        except FileNotFoundError:
            # somebody tidied empty folders away
            self._known.discard(place.parent)
            self._ready(place.parent)
            enter(place)
        return place

    def sync(self, place: Path) -> None:
        """Make the name of a blob survive power loss."""
        self.step("sync the folder")
        sync_folder(place.parent)

    def _ready(self, folder: Path) -> None:
        # once in each process, also where it exists: who made it may not have synced it yet
        if folder not in self._known:
            self._make(folder)
            self._known.add(folder)

    def _make(self, folder: Path) -> None:
        self.step("make a folder")
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        self.step("sync the parent")
        sync_folder(folder.parent)

    def _sweep(self) -> None:
        """Remove drafts whose writer is dead: a living one holds a lock on its own."""
        for draft in self.drafts.iterdir():
            with suppress(OSError):
                handle = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    draft.unlink()
                finally:
                    os.close(handle)


class Draft:
    """A blob that is being written. Used by one thread after another; everything here blocks. Raises OSError."""

    def __init__(self, folders: Folders, blob_id: str, tell: Tell | None = None) -> None:
        self._folders = folders
        self._blob_id = blob_id
        self._tell = tell
        self._turn = threading.Lock()
        self._handle = -1
        self._path: Path | None = None
        self._discarded = False

    def write(self, piece: Sequence[Piece]) -> None:
        """Append `piece`."""
        with self._turn:
            if not self._discarded:
                self._write(piece)

    def clone(self, source: int) -> None:
        """Append all of an open file, without reading it where the file system can share its blocks."""
        with self._turn:
            if self._discarded:
                return
            self._begin()
            try:
                fcntl.ioctl(self._handle, _FICLONE, source)
            except OSError:
                offset = 0
                while data := os.pread(source, _COPY_BYTES, offset):
                    self._write([data])
                    offset += len(data)

    def finish(self, piece: Sequence[Piece]) -> None:
        """Append `piece`, and make the blob seen and durable."""
        with self._turn:
            if self._discarded:
                return
            self._write(piece)
            self._folders.step("sync the draft")
            os.fsync(self._handle)
            place = self._folders.put_at(self._blob_id, self._rename)
            self._folders.sync(place)
            self._close()
            self._folders.step("answer")

    def link(self, source: Path) -> None:
        """Make the blob another name of the file `source`, seen and durable. Raises OSError where that cannot be."""
        with self._turn:
            if self._discarded:
                return
            place = self._folders.put_at(self._blob_id, partial(self._link, source))
            self._folders.sync(place)
            self._folders.step("answer")

    def discard(self) -> None:
        """Leave nothing, whatever was done; writes still waiting for their thread do nothing any more."""
        with self._turn:
            self._discarded = True
            self._close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _link(self, source: Path, place: Path) -> None:
        self._folders.step("link")
        with suppress(FileExistsError):  # an id names the same bytes for ever
            os.link(source, place)
            self._path = place

    def _rename(self, place: Path) -> None:
        assert self._path is not None
        self._folders.step("rename")
        os.rename(self._path, place)
        self._path = place

    def _write(self, piece: Sequence[Piece]) -> None:
        self._begin()
        for part in _parts(piece):
            if self._tell is not None:
                self._tell(part)
            data = memoryview(part)
            while data:
                self._folders.step("write")
                data = data[os.write(self._handle, data) :]

    def _begin(self) -> None:
        """Create the file and lock it, which tells other processes that its writer lives."""
        while self._handle == -1:
            path = self._folders.drafts / f"{self._blob_id}.{secrets.token_hex(4)}"
            self._folders.step("create the draft")
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            self._path = path
            self._folders.step("lock the draft")
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                swept = os.fstat(self._handle).st_nlink == 0
            except BlockingIOError:
                swept = True
            if swept:  # between its creation and its lock somebody took it for a dead one's
                self._close()

    def _close(self) -> None:
        if self._handle != -1:
            os.close(self._handle)
            self._handle = -1


def _parts(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The same bytes. Each part is told and written while the processor's cache has it; so it is not joined with more.

    But small ones are: a call for each would cost more.
    """
    small: list[Piece] = []
    for piece in pieces:
        small.append(piece)
        if len(piece) >= _SMALL:
            yield small[0] if len(small) == 1 else b"".join(small)
            small = []
    if small:
        yield b"".join(small)
