"""The store folder of an old server: `packages.json`, and per package `releases.json` and its base64 files.

    <folder>/<KV prefix>/packages.json                                    {"packages": {ns: {name: {created_at, …}}}}
    <folder>/<KV prefix>/<ns>/<name>/releases.json                        {"releases": {…}, "channels": {…}}
    <folder>/<KV prefix>/<ns>/<name>/digests/sha256/<digest>              base64 text of the gzip

The prefix was `cnr/packages/`, later `appr/packages/`, or what the operator set: it is found by its packages.json.
Lock files are never looked at. Source: contracts/cnr.md section 8, "Store keys".
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cnr.domain.digest import parse_tar_digest
from cnr.domain.errors import InvalidDigest
from cnr.legacy.old_base64 import decode_leniently
from cnr.legacy.old_package import (
    BadManifest,
    ChannelTable,
    ManifestFields,
    OldManifest,
    OldPackage,
    OldStoreError,
    Unreadable,
    manifest,
    moment,
)

INDEX = "packages.json"
RELEASES = "releases.json"
PREFIX_DEPTH = 4
"""Folders that a KV prefix may have."""
JSON_LIMIT = 256 * 1024 * 1024
"""Bytes of one JSON file: far beyond any real package, and the most that is in memory at once."""
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoredBase64:
    """A package file of an old store as the bytes that it stands for."""

    path: Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The gzip's bytes. Raises Unreadable, InvalidArchive."""
        return decode_leniently(_pieces(self.path))


class OldStore:
    """An old server's store, or several under one folder: a server that was upgraded left both layouts."""

    def __init__(self, roots: list[Path], indexes: list[dict[str, Any]]) -> None:
        self._stores = list(zip(roots, indexes, strict=True))
        self.notes = [note for root, index in self._stores for note in _unlisted(root, index)]

    @classmethod
    def open(cls, folder: Path) -> "OldStore":
        """The store in `folder`. Raises OldStoreError where there is none, or its list of packages is damaged."""
        roots = sorted(_roots(folder, PREFIX_DEPTH))
        if not roots:
            raise OldStoreError(f"{folder} is no old server's store: there is no {INDEX} in it or below it")
        return cls(roots, [_index(root) for root in roots])

    def packages(self) -> Iterator[OldPackage]:
        """Every package that a packages.json lists, by name; others are gone, their files were left behind."""
        for root, index in self._stores:
            for namespace in sorted(index):
                for name in sorted(index[namespace]):
                    yield _package(root, namespace, name, index[namespace][name])


def _roots(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / INDEX).is_file():
        yield folder
        return
    if depth:
        for child in _folders(folder):
            yield from _roots(child, depth - 1)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(Path(entry) for entry in found if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _index(root: Path) -> dict[str, Any]:
    """Namespaces, their names, and what is recorded of each."""
    try:
        document = _object(root / INDEX)
    except Unreadable as exc:
        raise OldStoreError(f"{root / INDEX}: {exc}; repair it first, it says which packages exist") from None
    packages = document.get("packages")
    if not isinstance(packages, dict) or not all(isinstance(names, dict) for names in packages.values()):
        raise OldStoreError(f"{root / INDEX} is no list of packages of an old server")
    return packages


def _unlisted(root: Path, index: Mapping[str, Any]) -> Iterator[str]:
    for namespace in _folders(root):
        for package in _folders(namespace):
            if package.name not in index.get(namespace.name, {}) and (package / RELEASES).is_file():
                yield f"{namespace.name}/{package.name} is not in {INDEX}: it was deleted, and is not imported"


def _package(root: Path, namespace: str, name: str, record: object) -> OldPackage:
    text = f"{namespace}/{name}"
    created_at = moment(record.get("created_at")) if isinstance(record, dict) else None
    if not all(_is_file_name(part) for part in (namespace, name)):
        return OldPackage(text, reason="this is no name of a folder")
    folder = root / namespace / name
    try:
        document = _object(folder / RELEASES)
    except Unreadable as exc:
        return OldPackage(text, reason=f"{RELEASES}: {exc}")
    releases = _mapping(document.get("releases"))
    channels = ChannelTable()
    for channel, value in _mapping(document.get("channels")).items():
        channels.point(channel, value)
    for release, value in releases.items():
        channels.join(release, _mapping(value).get("channels"))
    manifests = [
        _manifest(folder, release, media_type, value)
        for release, entry in releases.items()
        for media_type, value in _mapping(_mapping(entry).get("manifests")).items()
    ]
    return OldPackage(text, created_at, manifests, channels.channels())


def _manifest(folder: Path, release: str, media_type: str, value: object) -> OldManifest | BadManifest:
    try:
        fields = msgspec.convert(value, ManifestFields)
        path = folder / "digests" / "sha256" / parse_tar_digest(fields.content.digest)
        archive = StoredBase64(path, _size(path))
    except msgspec.ValidationError as exc:
        return BadManifest(release, media_type, f"its manifest cannot be read: {exc}")
    except InvalidDigest as exc:
        return BadManifest(release, media_type, exc.message)
    except Unreadable as exc:
        return BadManifest(release, media_type, f"its package file {path.name}: {exc}")
    return manifest(fields, release=release, media_type=media_type, archive=archive)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_file_name(part: str) -> bool:
    return part not in ("", ".", "..") and not set(part) & {"/", "\\", "\0"}


def _object(path: Path) -> dict[str, Any]:
    if _size(path) > JSON_LIMIT:
        raise Unreadable(f"is larger than {JSON_LIMIT:,} bytes")
    try:
        document = msgspec.json.decode(b"".join(_pieces(path)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Unreadable(f"is damaged ({exc})") from None
    if not isinstance(document, dict):
        raise Unreadable("is no JSON object")
    return document


def _size(path: Path) -> int:
    """The file's size. Raises Unreadable, also for what is no regular file: opening a pipe would hang."""
    try:
        found = path.stat()
    except (OSError, ValueError) as exc:
        raise Unreadable(_reason(exc)) from None
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("is no file")
    return found.st_size


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as exc:
        raise Unreadable(_reason(exc)) from None


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, FileNotFoundError):
        return "is missing"
    return f"cannot be read ({exc.strerror if isinstance(exc, OSError) else exc})"
