"""A small file that only its owner can read, at any moment."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnr.client.errors import ClientError

SIZE_LIMIT = 1024 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretFile:
    """The file at `path`, alone with its kind in a folder that is the owner's alone, too.

    A change is whole or not there: it is written beside the file, fsynced, and renamed. Changes of several processes
    come one after another, if each is made within `changing`. Every method may raise ClientError and OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """What is in it; None where it is not there. Raises ClientError where others can read it."""
        try:
            # A pipe in its place must not make us wait.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with open(descriptor, "rb") as file:
            _check(os.fstat(descriptor), self.path)
            data = file.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise ClientError(f"{self.path} is longer than {SIZE_LIMIT:,} bytes, and so no file of ours")
        return data

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Makes the folder if need be, and keeps other processes of ours from changing the file meanwhile."""
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            if stat.S_IMODE(os.fstat(lock).st_mode) & _OTHERS:
                os.fchmod(lock, 0o700)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, data: bytes) -> None:
        """Puts `data` in its place. To be called within `changing`."""
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.unlink(missing_ok=True)  # left by one that was killed
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            beside.rename(self.path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync(self.path.parent)


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ClientError(f"{path} is no file")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        raise ClientError(
            f"{path} can be read by others on this machine, and is not used: take it from them with"
            f" `chmod 600 {path}`, and change the passwords in it"
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
