"""The archive that helm can load, made once of a chart whose files do not lie under one top folder.

The old command line packed charts with their files at the root of the tar. The CNR API serves such a file as it was
pushed; OCI and the classic repository serve this one. Source: contracts/oci-helm.md 6.1.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from cnr.domain.archive import CHART
from cnr.domain.digest import Digest, TarDigest
from cnr.domain.gunzip import gunzip
from cnr.domain.limits import KIB, Limits
from cnr.domain.manifest import Layer
from cnr.domain.shape import Shape, inner_parts
from cnr.domain.tally import Tally
from cnr.domain.tar_reader import TarReader
from cnr.domain.targz import Entry, write_targz

_CHUNK = 256 * KIB


class SpooledArchive:
    """An archive in a temporary file: `chunks()` reads it anew each time, `close()` lets the file go."""

    def __init__(self, file: IO[bytes], layer: Layer) -> None:
        self._file = file
        self.layer = layer

    @property
    def size(self) -> int:
        return self.layer.size

    def chunks(self) -> Iterator[bytes]:
        return _span(self._file, 0, self.layer.size)

    def close(self) -> None:
        self._file.close()


def helm_shaped(
    chunks: Iterable[bytes],
    shape: Shape,
    chart_name: str,
    *,
    limits: Limits,
    open_spool: Callable[[], IO[bytes]],
) -> SpooledArchive:
    """The chart in the gzip `chunks` with its files under one folder `chart_name`, Chart.yaml first, then by name.

    Regular files only: links, devices and folders are left out, and of two files of one name the later is taken, as
    an extraction would. `shape` is what `inspect` found in the same bytes, without a refusal. Memory is bounded; the
    unpacked files and the result go to files that `open_spool` opens (for reading and writing, unlinked or
    temporary). Raises InvalidArchive and TooLarge as `inspect` does.
    """
    if shape.refusal is not None:
        raise ValueError(shape.refusal)
    pieces = Tally("the chart, unpacked", limits.unpacked_bytes).through(gunzip(chunks, member_limit=limits.members))
    with open_spool() as unpacked:
        files = _unpack(TarReader(pieces, member_limit=limits.members), shape.root, unpacked)
        ordered = sorted(files, key=lambda name: (name != CHART, name))
        entries = (Entry(f"{chart_name}/{name}", files[name][1], _span(unpacked, *files[name])) for name in ordered)
        packed = open_spool()
        try:
            return SpooledArchive(packed, _measure(packed, write_targz(entries, packed)))
        except BaseException:
            packed.close()
            raise


def _unpack(reader: TarReader, root: str, unpacked: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Write the data of all regular files to `unpacked`: where each begins there, and its size."""
    files = {}
    for member in reader:
        if not member.is_file:
            continue
        start = unpacked.tell()
        for piece in reader.data():
            unpacked.write(piece)
        parts = inner_parts(member.name)
        files["/".join(parts[1:] if root else parts)] = (start, unpacked.tell() - start)
    reader.drain()
    return files


def _span(file: IO[bytes], start: int, size: int) -> Iterator[bytes]:
    """`size` bytes of `file` from `start`; others may read it elsewhere in between."""
    for at in range(start, start + size, _CHUNK):
        file.seek(at)
        yield file.read(min(_CHUNK, start + size - at))


def _measure(file: IO[bytes], tar_digest: TarDigest) -> Layer:
    size = file.tell()
    running = hashlib.sha256()
    for chunk in _span(file, 0, size):
        running.update(chunk)
    return Layer(Digest(f"sha256:{running.hexdigest()}"), size, tar_digest)
