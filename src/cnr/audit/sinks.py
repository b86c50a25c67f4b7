"""Where lines of the audit log go: a file that turns over, or an open descriptor."""

import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from cnr.audit.times import microseconds

MODE: Final = 0o640
LINE_BYTES: Final = 4096
"""A line and its line feed. No more than PIPE_BUF, so that what several processes write to a pipe does not mix."""
_HEAD: Final = 512


class Sink(Protocol):
    """Takes lines, each whole, in the order in which they come."""

    def start(self) -> None:
        """Find out whether lines can be written. Raises OSError."""
        ...

    def append(self, line: bytes) -> None:
        """Hand `line`, which ends with a line feed and has at most LINE_BYTES, to the kernel. Raises OSError."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class TurningFile:
    """The file at `path`, which becomes `path.1` when it is full or old, that one `path.2`, up to `keep`.

    Any number of processes may append to one path. Who moves it holds a lock on `path.lock`; the others see by the
    inode that it moved, as they do when logrotate moved it, and go on in the new one. Nothing is lost in a move.
    `clock` gives microseconds UTC. A file is as old as its first line.
    """

    def __init__(self, path: Path, *, most_bytes: int, most_s: int, keep: int, clock: Callable[[], int]) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._most_us = most_s * 1_000_000
        self._keep = keep
        self._clock = clock
        self._fd = -1
        self._inode = (0, 0)
        self._since: int | None = None
        self._torn = False

    def start(self) -> None:
        """As Sink.start."""
        self._follow()

    def append(self, line: bytes) -> None:
        """As Sink.append."""
        self._follow()
        if self._is_over(len(line)):
            self._turn(len(line))
        data = b"\n" + line if self._torn else line
        written = os.write(self._fd, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """As Sink.close."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def _follow(self) -> None:
        """Have the file open that is at the path now."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._open()
            return
        if self._fd == -1 or (found.st_dev, found.st_ino) != self._inode:
            self._open()

    def _open(self) -> None:
        self.close()
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        opened = os.fstat(self._fd)
        if not stat.S_ISREG(opened.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is no file")
        self._inode = (opened.st_dev, opened.st_ino)
        self._since = None
        self._torn = False

    def _is_over(self, more: int) -> bool:
        size = os.fstat(self._fd).st_size
        if size == 0:
            return False
        if self._since is None:
            self._since = self._first_time()
        return size + more > self._most_bytes or self._clock() - self._since >= self._most_us

    def _first_time(self) -> int:
        try:
            first = msgspec.json.decode(os.pread(self._fd, _HEAD, 0).partition(b",")[0] + b"}")
            return microseconds(first["time"])
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            return self._clock()  # of no line of ours

    def _turn(self, more: int) -> None:
        with self._locked():
            self._follow()  # another process may have been first
            if self._is_over(more):
                self._move()
                self._open()

    def _move(self) -> None:
        for number in range(self._keep, 0, -1):
            for ending in ("", ".gz"):
                older = Path(f"{self._path}.{number}{ending}")
                if number == self._keep:
                    older.unlink(missing_ok=True)
                elif older.exists():
                    older.rename(f"{self._path}.{number + 1}{ending}")
        self._path.rename(f"{self._path}.1")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class Descriptor:
    """An open descriptor: standard output or standard error. Nobody waits for its reader."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def start(self) -> None:
        """As Sink.start."""
        os.fstat(self._fd)

    def append(self, line: bytes) -> None:
        """As Sink.append."""
        # Room for a whole line, as POLLOUT means for a pipe: a write could otherwise keep the server waiting.
        if not any(events & select.POLLOUT for _, events in self._poll.poll(0)):
            raise BlockingIOError(errno.EAGAIN, "nobody reads it")
        while line:
            line = line[os.write(self._fd, line) :]

    def close(self) -> None:
        """As Sink.close; the descriptor is not ours to close."""
