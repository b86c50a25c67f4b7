"""A downloaded archive: checked against its digest, listed, and extracted without trust in what it says.

Extraction makes regular files, directories, and links that stay within the folder; anything else is refused before a
byte of it is written. Every member also passes the standard library's data filter where Python has it, but nothing
depends on that: old Pythons have filters with holes, or none. Links are made last, so that nothing is ever written
through one.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cnr.client.errors import UnsafeArchive
from cnr.domain.digest import TarDigest
from cnr.domain.errors import BadInput
from cnr.domain.gunzip import gunzip

_MIB = 1024 * 1024
_PIECE_BYTES = _MIB
_NAME_LIMIT = 4096
_SYMLINK_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What an archive may cost: bytes unpacked, members, bytes of one header. Far above what servers take."""

    unpacked_bytes: int = 1024 * _MIB
    members: int = 200_000
    header_bytes: int = 4 * _MIB


LIMITS = UnpackLimits()


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A member as listings show it: `path` without a leading `./`, `target` of a link, `size` in bytes."""

    path: str
    kind: str
    size: int
    target: str | None = None


def tar_digest(archive: Path, limits: UnpackLimits = LIMITS) -> TarDigest:
    """The sha256 of the uncompressed tar. Raises UnsafeArchive for what is no gzip or is beyond the limits."""
    sha256 = hashlib.sha256()
    size = 0
    with open(archive, "rb") as file:
        try:
            for piece in gunzip(iter(lambda: file.read(_PIECE_BYTES), b""), member_limit=limits.members):
                size += len(piece)
                if size > limits.unpacked_bytes:
                    raise UnsafeArchive(f"the archive unpacks to more than {limits.unpacked_bytes:,} bytes")
                sha256.update(piece)
        except BadInput as exc:
            raise UnsafeArchive(exc.message) from None
    return TarDigest(sha256.hexdigest())


def list_archive(archive: Path, limits: UnpackLimits = LIMITS) -> list[ArchiveFile]:
    """The members by path, in the order of their names. Raises UnsafeArchive where the tar cannot be read."""
    with _opened(archive, limits) as members:
        files = [ArchiveFile(_shown(member), _kind(member), member.size, _target(member)) for _, member in members]
    return sorted(files, key=lambda file: file.path)


def read_archived(archive: Path, path: str, limits: UnpackLimits = LIMITS) -> bytes | None:
    """The content of the last regular file at `path`, in one piece; None if there is none. Raises UnsafeArchive."""
    content = None
    with _opened(archive, limits) as members:
        for tar, member in members:
            if member.isreg() and _shown(member) == path:
                content = cast("BinaryIO", tar.extractfile(member)).read()
    return content


def extract(archive: Path, folder: Path, limits: UnpackLimits = LIMITS) -> int:
    """Extracts into `folder`, which must be new and empty, and returns the number of regular files.

    Modes are 0644 or 0755, owners are the caller's, times are now. A path that comes twice keeps its last content.
    Raises UnsafeArchive, with some files already in `folder`; OSError.
    """
    extraction = _Extraction(folder)
    with _opened(archive, limits) as members:
        for tar, member in members:
            extraction.take(tar, member)
    extraction.link()
    return extraction.files


class _Extraction:
    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        self._links: dict[tuple[str, ...], str] = {}
        self.files = 0

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        self._filtered(member)
        if not parts:
            if not member.isdir():
                raise UnsafeArchive(f"the archive has a member without a name: {member.name!r}")
        elif member.isdir():
            self._directory(parts)
        elif member.isreg():
            self._file(parts, cast("BinaryIO", tar.extractfile(member)), member.mode)
        elif member.islnk():
            self._copy(parts, member)
        elif member.issym():
            self._later(parts, member)
        else:
            raise UnsafeArchive(f"the archive has a device or something else that is no file: {member.name!r}")

    def link(self) -> None:
        for parts, target in self._links.items():
            path = self._root.joinpath(*parts)
            self._directory(parts[:-1])
            if os.path.lexists(path):
                raise UnsafeArchive(f"the archive has both a link and something else at {'/'.join(parts)!r}")
            os.symlink(target, path)
        for parts in self._links:
            if not self._ends_inside(self._root.joinpath(*parts)):
                raise _leads_out("/".join(parts))

    def _ends_inside(self, path: Path) -> bool:
        try:
            end = os.path.realpath(path, strict=True)
        except (FileNotFoundError, NotADirectoryError):
            end = os.path.realpath(path)
        except OSError:
            return False
        return Path(end).is_relative_to(self._root)

    def _filtered(self, member: tarfile.TarInfo) -> None:
        if not hasattr(tarfile, "data_filter"):
            return
        try:
            tarfile.data_filter(member, str(self._root))
        except tarfile.FilterError as exc:
            raise UnsafeArchive(f"the archive is not safe to extract: {exc}") from None

    def _directory(self, parts: tuple[str, ...]) -> None:
        path = self._root
        for part in parts:
            path = path / part
            try:
                path.mkdir(0o755)
            except FileExistsError:
                if path.is_symlink() or not path.is_dir():
                    raise UnsafeArchive(f"the archive has a file and a directory at {'/'.join(parts)!r}") from None

    def _file(self, parts: tuple[str, ...], source: BinaryIO, mode: int) -> None:
        self._directory(parts[:-1])
        path = self._root.joinpath(*parts)
        if path.is_dir():
            raise UnsafeArchive(f"the archive has a file and a directory at {'/'.join(parts)!r}")
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o755 if mode & 0o100 else 0o644), "wb") as out:
            shutil.copyfileobj(source, out, _PIECE_BYTES)
        self._links.pop(parts, None)
        self.files += 1

    def _copy(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        """A hard link, as a copy of the file that it names."""
        original = self._root.joinpath(*_parts(member.linkname))
        if original.is_symlink() or not original.is_file():
            raise UnsafeArchive(f"{member.name!r} in the archive is a hard link to no file before it")
        mode = original.stat().st_mode
        with open(original, "rb") as source:
            if original != self._root.joinpath(*parts):
                self._file(parts, source, mode)

    def _later(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        target = member.linkname
        steps = [step for step in target.split("/") if step not in ("", ".")]
        up = next((index for index, step in enumerate(steps) if step != ".."), len(steps))
        if target.startswith("/") or up > len(parts) - 1 or ".." in steps[up:] or "\0" in target:
            raise _leads_out(member.name)
        if len(self._links) >= _SYMLINK_LIMIT:
            raise UnsafeArchive(f"the archive has more than {_SYMLINK_LIMIT} links")
        self._links[parts] = target


def _leads_out(name: str) -> UnsafeArchive:
    return UnsafeArchive(f"{name!r} in the archive is a link that may lead out of its folder")


def _parts(name: str) -> tuple[str, ...]:
    """A member's path in steps. Raises UnsafeArchive for absolute paths and for `..` anywhere."""
    if name.startswith("/"):
        raise UnsafeArchive(f"the archive has an absolute path: {name!r}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise UnsafeArchive(f"the archive has a path that leads out of its folder: {name!r}")
    if len(name) > _NAME_LIMIT or "\0" in name:
        raise UnsafeArchive(f"the archive has a path that no file can have: {name[:100]!r}")
    return parts


def _shown(member: tarfile.TarInfo) -> str:
    return "/".join(part for part in member.name.split("/") if part not in ("", "."))


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "directory"
    return "link" if member.issym() or member.islnk() else "other"


def _target(member: tarfile.TarInfo) -> str | None:
    return member.linkname if member.issym() or member.islnk() else None


class _Bounded(gzip.GzipFile):
    """A gzip that gives no more at once than a header may have, because tarfile reads whole headers into memory."""

    bound = 0

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.bound:
            raise UnsafeArchive(f"the archive has a header of more than {self.bound:,} bytes")
        return super().read(size)


@contextmanager
def _opened(archive: Path, limits: UnpackLimits) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]]:
    """The members one after another. What tarfile raises in the block becomes UnsafeArchive."""
    with open(archive, "rb") as file, _Bounded(fileobj=file, mode="rb") as packed:
        packed.bound = max(limits.header_bytes, _PIECE_BYTES)
        try:
            with tarfile.open(fileobj=packed, mode="r:") as tar:
                yield _members(tar, limits)
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as exc:
            raise UnsafeArchive(f"the archive is no tar that can be read: {exc}") from None


def _members(tar: tarfile.TarFile, limits: UnpackLimits) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    size = 0
    for count, member in enumerate(tar, 1):
        size += member.size
        if count > limits.members or size > limits.unpacked_bytes or member.size < 0:
            raise UnsafeArchive(
                f"the archive has more than {limits.members:,} members or {limits.unpacked_bytes:,} bytes"
            )
        yield tar, member
