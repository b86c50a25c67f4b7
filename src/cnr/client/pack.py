"""A directory as a package: the same files give the same bytes, whoever packs them and when.

What decides the bytes is names, contents and, but for charts, whether the owner may execute a file. Empty directories
are not packed, nor those of version control. A link is packed as the file or directory that it leads to, as helm does;
one that leads out of the directory is an error, so that a package never takes along what lies elsewhere.
The tar is the same everywhere; its gzip may differ between versions of zlib, which the digest does not see.
"""

import gzip
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cnr.client.errors import InvalidPackage
from cnr.client.identity import FORMAT_OF, HELM, READ_LIMIT, Identity, identify
from cnr.client.ignore import HELM_DEFAULT, IGNORE_FILES, IgnoreRules

_VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
_LEVEL = 9
_DEPTH_LIMIT = 100


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file to pack: `path` in the package, `source` where its bytes are, with all links resolved."""

    path: str
    source: Path
    executable: bool
    size: int


def identify_directory(directory: Path, format: str | None = None) -> Identity:
    """What the describing file at the top of `directory` says. Raises InvalidPackage, OSError."""
    files = {name: _read(directory, name) for name in FORMAT_OF if (directory / name).is_file()}
    return identify(files, format)


def pack(directory: Path, out: BinaryIO, identity: Identity) -> int:
    """Writes `directory` as a gzipped tar to `out`, and returns how many files are in it.

    A chart's files stand under one folder named after the chart, as `helm package` has them; others at the root.
    Raises InvalidPackage for links that lead out or nowhere, for what is neither file nor directory, for names that
    are not UTF-8, and if an ignore file leaves out the describing file; OSError where a file cannot be read.
    """
    helm = identity.format == HELM
    entries = sorted(_walk(directory, _rules(directory, helm=helm)), key=lambda entry: entry.path.encode())
    if identity.described_by and all(entry.path != identity.described_by for entry in entries):
        raise InvalidPackage(f"{identity.described_by} is left out by an ignore file: a package cannot be without it")
    if not entries:
        raise InvalidPackage(f"{directory} has no files to pack")
    top = f"{_chart_folder(identity)}/" if helm else ""
    with gzip.GzipFile("", "wb", _LEVEL, out, mtime=0) as packed:
        with tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive:
            for entry in entries:
                _add(archive, entry, name=top + entry.path, mode=0o755 if entry.executable and not helm else 0o644)
    return len(entries)


def _chart_folder(identity: Identity) -> str:
    name = identity.name
    if name is None:
        raise InvalidPackage("a chart needs a name in its Chart.yaml")
    if name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise InvalidPackage(f"the chart name {name!r} cannot be the name of a folder")
    return name


def _add(archive: tarfile.TarFile, entry: _Entry, *, name: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = entry.size
    member.mode = mode
    with open(entry.source, "rb", opener=_no_link) as file:
        archive.addfile(member, file)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _rules(directory: Path, *, helm: bool) -> IgnoreRules:
    lines = [] if not helm else [HELM_DEFAULT]
    for name in IGNORE_FILES:
        if (directory / name).is_file():
            lines += _text(name, _read(directory, name)).splitlines()
    return IgnoreRules.parse(lines)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidPackage(f"{name} is not UTF-8") from None


def _read(directory: Path, name: str) -> bytes:
    """A small file at the top of `directory`, which may be a link within it."""
    with open(_resolve(directory / name, directory.resolve(), name), "rb", opener=_no_link) as file:
        data = file.read(READ_LIMIT + 1)
    if len(data) > READ_LIMIT:
        raise InvalidPackage(f"{name} is larger than {READ_LIMIT:,} bytes")
    return data


def _walk(directory: Path, rules: IgnoreRules) -> Iterator[_Entry]:
    """The files below `directory` that are not ignored, links followed as long as they stay within it."""
    root = directory.resolve()
    pending: list[tuple[Path, str, frozenset[Path]]] = [(root, "", frozenset({root}))]
    while pending:
        folder, prefix, above = pending.pop()
        for item in sorted(os.scandir(folder), key=lambda item: item.name):
            path = prefix + _utf8(item.name)
            if item.name in _VERSION_CONTROL or rules.ignores(path, is_directory=_is_directory(item)):
                continue
            source = _resolve(Path(item.path), root, path)
            status = source.stat()
            if stat.S_ISDIR(status.st_mode):
                if source in above or len(above) > _DEPTH_LIMIT:
                    raise InvalidPackage(f"{path} leads into itself")
                pending.append((source, f"{path}/", above | {source}))
            elif stat.S_ISREG(status.st_mode):
                yield _Entry(path, source, bool(status.st_mode & stat.S_IXUSR), status.st_size)
            else:
                raise InvalidPackage(f"{path} is neither a file nor a directory")


def _is_directory(item: "os.DirEntry[str]") -> bool:
    try:
        return item.is_dir()
    except OSError:
        return False


def _resolve(path: Path, root: Path, shown: str) -> Path:
    try:
        target = path.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidPackage(f"{shown!r} is a link that leads nowhere") from None
    except RuntimeError:
        raise InvalidPackage(f"{shown!r} is a link that leads to itself") from None
    except OSError as exc:
        raise InvalidPackage(f"{shown} cannot be packed: {exc.strerror}") from None
    if not target.is_relative_to(root):
        raise InvalidPackage(f"{shown!r} is a link out of the directory, which a package may not follow")
    return target


def _utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidPackage(f"the file name {name!r} is not UTF-8") from None
    return name
