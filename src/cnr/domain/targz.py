"""A tar.gz whose bytes depend on nothing but names and contents.

No owner, no clock: fixed mode and time, and a gzip header without name or time. The compressed bytes may differ
between versions of zlib, and that is all right: what is made here is made once and then kept as it is, and the CNR
API names a package by the digest of its tar, which no compressor changes.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from cnr.domain.digest import TarDigest
from cnr.domain.tar_reader import BLOCK

LEVEL = 6
MODE = 0o644
MODIFIED_AT = 0
"""Seconds since 1970, of every member."""

_RECORD = 20 * BLOCK
"""A tar is padded to whole records, as tar(1) does."""
_GZIP = 31


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file: its name in the archive, its size in bytes, and exactly so many bytes."""

    name: str
    size: int
    chunks: Iterable[bytes]
    mode: int = MODE


class _Gzip:
    """Compresses into `out`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._size += len(data)
        self._sha256.update(data)
        self._out.write(self._deflate.compress(data))

    def pad(self, unit: int) -> None:
        self.write(bytes(-self._size % unit))

    def close(self) -> TarDigest:
        self._out.write(self._deflate.flush())
        return TarDigest(self._sha256.hexdigest())


def write_targz(entries: Iterable[Entry], out: IO[bytes]) -> TarDigest:
    """Write the archive of `entries`, in their order, to `out`, and return the digest of its tar.

    Long names and names beyond ASCII are PAX records. Raises ValueError for an entry whose chunks do not have its
    size, and what `chunks` and `out` raise. Source: POSIX.1-2017 pax; RFC 1952.
    """
    gzip = _Gzip(out)
    for entry in entries:
        gzip.write(_header(entry))
        written = 0
        for chunk in entry.chunks:
            written += len(chunk)
            gzip.write(chunk)
        if written != entry.size:
            raise ValueError(f"{entry.name!r} has {written} bytes instead of {entry.size}")
        gzip.pad(BLOCK)
    gzip.write(bytes(2 * BLOCK))
    gzip.pad(_RECORD)
    return gzip.close()


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.size = entry.size
    info.mode = entry.mode
    info.mtime = MODIFIED_AT
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
