"""Provenance files: PGP clear-signed text that names a chart's archive and its sha256. Signatures are not checked here.

Source: observed from `helm package --sign`: Chart.yaml, a line `...`, then `files: {<archive>: sha256:<hex>}`.
"""

import re
from dataclasses import dataclass
from typing import Final

from cnr.domain.chart_version import parse_chart_version
from cnr.domain.digest import Digest, parse_digest
from cnr.domain.errors import InvalidArchive, InvalidDigest, InvalidRelease
from cnr.domain.limits import MIB
from cnr.domain.version import Release
from cnr.domain.yaml_text import Value, load

PROVENANCE: Final = ".prov"
PROVENANCE_LIMIT: Final = MIB
"""Bytes of a provenance file: one Chart.yaml and a signature."""

_SIGNED: Final = re.compile(
    rb"\s*-----BEGIN PGP SIGNED MESSAGE-----\r?\n(?:[A-Za-z-]+: [^\n]*\n)*\r?\n(?P<text>.*?)\r?\n"
    rb"-----BEGIN PGP SIGNATURE-----\r?\n.*\r?\n-----END PGP SIGNATURE-----\s*",
    re.DOTALL,
)
_PARTS: Final = re.compile(rb"^\.\.\.\r?$", re.MULTILINE)
_ESCAPED: Final = re.compile(rb"^- ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a provenance file is about: the chart, and the digest of its archive. `data` is the file."""

    name: str
    version: Release
    digest: Digest
    data: bytes


def parse_provenance(data: bytes) -> Provenance:
    """The provenance in `data`. Raises InvalidArchive where it is none, or names another file than its chart's."""
    signed = _SIGNED.fullmatch(data) if len(data) <= PROVENANCE_LIMIT else None
    if signed is None:
        raise InvalidArchive(f"a provenance file is PGP clear-signed text of at most {PROVENANCE_LIMIT:,} bytes")
    parts = _PARTS.split(_ESCAPED.sub(b"", signed["text"]))
    if len(parts) != 2:
        raise InvalidArchive("a provenance file has Chart.yaml, a line '...', and the files with their digests")
    chart, files = (_mapping(load(part, what="the provenance file")) for part in parts)
    name, version = chart.get("name"), chart.get("version")
    listed = _mapping(files.get("files"))
    if not isinstance(name, str) or not isinstance(version, str) or len(listed) != 1:
        raise InvalidArchive("a provenance file has the chart's name and version, and one file")
    [(file, digest)] = listed.items()
    if file != f"{name}-{version}.tgz":
        raise InvalidArchive(f"the provenance file is for {file[:200]!r}, its chart's archive is another")
    try:
        return Provenance(name, parse_chart_version(version), parse_digest(str(digest)), data)
    except (InvalidDigest, InvalidRelease) as exc:
        raise InvalidArchive(f"the provenance file: {exc.message}") from None


def _mapping(value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise InvalidArchive("a part of the provenance file is no mapping")
    return value
