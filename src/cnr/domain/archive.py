"""What is in a package's archive: digests, sizes, its shape, and the small file that describes it.

An archive is opaque to the CNR API and kept byte for byte: links, devices, `..` and absolute names are stored like
anything else, because nothing here is ever extracted. They only decide what helm could do with a chart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import InvalidArchive
from cnr.domain.gunzip import gunzip
from cnr.domain.limits import RATIO_FREE_BYTES, Limits, too_large
from cnr.domain.names import Format
from cnr.domain.shape import Shape, Survey
from cnr.domain.tally import Tally
from cnr.domain.tar_reader import TarReader
from cnr.domain.yaml_text import Value, load

HELM = Format("helm")
COMPOSE = Format("docker-compose")

CHART = "Chart.yaml"
REQUIREMENTS = "requirements.yaml"
_KPM_FILES = ("manifest.yaml",)
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_DESCRIBED_BY: dict[str, tuple[str, ...]] = {
    "helm": (CHART, REQUIREMENTS),
    "kpm": _KPM_FILES,
    "kpm-compose": _KPM_FILES,
    "appr": _KPM_FILES,
    "docker-compose": _COMPOSE_FILES,
}
"""Files that describe a package of a format, the preferred one first."""


@dataclass(frozen=True)
class PackageContents:
    """An archive that was read to its end and is a gzipped tar within the limits. Sizes in bytes.

    `digest` and `size` are those of the gzip, `tar_digest` and `unpacked_size` those of the tar in it. `files` are
    the describing files of its format, by base name, each at most 1 MiB and a regular file at the top of the archive.
    """

    format: Format
    digest: Digest
    size: int
    tar_digest: TarDigest
    unpacked_size: int
    members: int
    shape: Shape
    files: dict[str, bytes]

    @cached_property
    def document(self) -> Value:
        """The first describing file that is there, as YAML; None where there is none or it cannot be read."""
        for name, data in self.files.items():
            try:
                return load(data, what=name)
            except InvalidArchive:
                return None
        return None


def inspect(chunks: Iterable[bytes], limits: Limits, format: Format) -> PackageContents:
    """Read a package's gzip once, to its end, and say what is in it. A few MiB of memory for any input.

    Raises InvalidArchive for what is no gzip of a tar, TooLarge beyond a limit, and what `chunks` raises. Accepted,
    as old servers did: a tar without end blocks, junk behind them, no members at all, several gzip members, zero
    padding behind the gzip. Source: contracts/cnr.md 2.4.
    """
    packed = Tally("the package, compressed", limits.compressed_bytes)
    unpacked = Tally("the package, unpacked", limits.unpacked_bytes)
    pieces = unpacked.through(gunzip(packed.through(chunks), member_limit=limits.members))
    reader = TarReader(pieces, member_limit=limits.members)
    survey = Survey(_DESCRIBED_BY.get(format, ()))
    for member in reader:
        if format == HELM and member.size > limits.chart_file_bytes:
            raise too_large("a file of a helm chart", limits.chart_file_bytes)
        survey.see(member, reader)
    reader.drain()
    _check_sizes(packed.size, unpacked.size, limits)
    shape, files = survey.result(lone_zero_block=reader.lone_zero_block)
    return PackageContents(
        format=format,
        digest=Digest(f"sha256:{packed.hex}"),
        size=packed.size,
        tar_digest=TarDigest(unpacked.hex),
        unpacked_size=unpacked.size,
        members=survey.members,
        shape=shape,
        files=files,
    )


def _check_sizes(packed: int, unpacked: int, limits: Limits) -> None:
    if not unpacked:
        raise InvalidArchive("the gzip is empty: a gzipped tar is needed")
    if unpacked > RATIO_FREE_BYTES and unpacked > packed * limits.ratio:
        raise too_large("unpacked to compressed size", limits.ratio, "to 1")
