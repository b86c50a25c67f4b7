"""What an archive that is pushed as it is says of itself."""

from collections.abc import Iterator
from pathlib import Path

from cnr.client.errors import InvalidPackage
from cnr.client.identity import FORMAT_OF, HELM, READ_LIMIT, Identity, identify
from cnr.client.unpack import LIMITS
from cnr.domain.errors import BadInput
from cnr.domain.gunzip import gunzip
from cnr.domain.tar_reader import TarReader

_PIECE_BYTES = 1024 * 1024


def identify_archive(archive: Path, format: str | None = None) -> Identity:
    """The identity in a gzipped tar: a chart's file stands in its one folder, or as the others at the root.

    Raises InvalidPackage for what is no gzipped tar; OSError.
    """
    files: dict[str, bytes] = {}
    try:
        for path, data in _describing(archive):
            files.setdefault(path, data)
    except BadInput as exc:
        raise InvalidPackage(f"{archive} cannot be pushed: {exc.message}") from None
    at_root = {path: data for path, data in files.items() if "/" not in path}
    if at_root:
        return identify(at_root, format)
    charts = {path: data for path, data in files.items() if path.count("/") == 1 and path.endswith("/Chart.yaml")}
    if len(charts) == 1 and format in (None, HELM):
        return identify({"Chart.yaml": next(iter(charts.values()))}, format)
    return Identity(format)


def _describing(archive: Path) -> Iterator[tuple[str, bytes]]:
    with open(archive, "rb") as file:
        pieces = gunzip(iter(lambda: file.read(_PIECE_BYTES), b""), member_limit=LIMITS.members)
        reader = TarReader(pieces, member_limit=LIMITS.members)
        for member in reader:
            path = member.name.removeprefix("./")
            if member.is_file and path.rpartition("/")[2] in FORMAT_OF and path.count("/") < 2:
                if member.size > READ_LIMIT:
                    raise InvalidPackage(f"{path!r} is larger than {READ_LIMIT:,} bytes")
                yield path, b"".join(reader.data())
