"""What is in a package's archive: digests, sizes, its shape, and the small file that describes it.

An archive is opaque to the CNR API and kept byte for byte: links, devices, `..` and absolute names are stored like
anything else, because nothing here is ever extracted. They only decide what helm could do with a chart.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import InvalidArchive
from cnr.domain.gunzip import gunzip
from cnr.domain.limits import RATIO_FREE_BYTES, Limits, too_large
from cnr.domain.names import Format
from cnr.domain.printable import printable
from cnr.domain.shape import Shape, Survey
from cnr.domain.tar_reader import TarReader
from cnr.domain.yaml_text import Value, load

HELM = Format("helm")

CHART = "Chart.yaml"
REQUIREMENTS = "requirements.yaml"
_MANIFEST = ("manifest.yaml",)
_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_DESCRIBED_BY: dict[str, tuple[str, ...]] = {
    "helm": (CHART, REQUIREMENTS),
    "kpm": _MANIFEST,
    "kpm-compose": _MANIFEST,
    "appr": _MANIFEST,
    "docker-compose": _COMPOSE,
}
"""Files that describe a package of a format, the preferred one first."""

DESCRIPTION_LIMIT = 1024
KEYWORD_LIMIT = 64
KEYWORDS_LIMIT = 20


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

    @cached_property
    def summary(self) -> "Summary":
        """What search knows of the package. Never fails: a package without a description has an empty one."""
        document = self.document
        if not isinstance(document, dict):
            return Summary()
        if self.format == "docker-compose":
            return Summary(_description(document), _keywords(list(_mapping(document.get("services")))))
        about = _mapping(document.get("package")) if "package" in document else document
        return Summary(_description(about), _keywords(about.get("keywords")))


@dataclass(frozen=True, slots=True)
class Summary:
    """A package in a line, for search: at most 1 KiB of text and 20 keywords of 64 bytes, all printable."""

    description: str = ""
    keywords: tuple[str, ...] = ()


class _Tally:
    """Counts and hashes bytes as they pass. Raises TooLarge above `limit`."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self.size = 0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise too_large(self._what, self._limit)
            self._sha256.update(chunk)
            yield chunk

    @property
    def hex(self) -> str:
        return self._sha256.hexdigest()


def inspect(chunks: Iterable[bytes], limits: Limits, format: Format) -> PackageContents:
    """Read a package's gzip once, to its end, and say what is in it. A few MiB of memory for any input.

    Raises InvalidArchive for what is no gzip of a tar, TooLarge beyond a limit, and what `chunks` raises. Accepted,
    as old servers did: a tar without end blocks, junk behind them, no members at all, several gzip members, zero
    padding behind the gzip. Source: contracts/cnr.md 2.4.
    """
    packed = _Tally("the package, compressed", limits.compressed_bytes)
    unpacked = _Tally("the package, unpacked", limits.unpacked_bytes)
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


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _description(document: dict[str, Value]) -> str:
    text = document.get("description")
    return _cut(text, DESCRIPTION_LIMIT) if isinstance(text, str) else ""


def _keywords(value: Value) -> tuple[str, ...]:
    words = value if isinstance(value, list) else ()
    cut = (_cut(word, KEYWORD_LIMIT) for word in words if isinstance(word, str))
    return tuple(dict.fromkeys(word for word in cut if word))[:KEYWORDS_LIMIT]


def _cut(text: str, limit: int) -> str:
    """`text` in one printable line of at most `limit` bytes of UTF-8, cut between characters."""
    line = " ".join(printable(text[: 4 * limit]).split())
    return line.encode()[:limit].decode(errors="ignore").strip()
