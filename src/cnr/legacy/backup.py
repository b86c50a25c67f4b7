"""A backup of an old server: one JSON document with every manifest, its file in base64, and the channels.

    {"packages": [{…manifest…, "channels": [member of], "blob": base64}, …], "channels": [{name, current, package}, …]}

It may be far larger than memory: one pass tells its entries apart and checks that the document is whole, then each
entry is read from its place in the file when its package's turn comes. Source: contracts/cnr.md section 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from cnr.legacy.json_items import Item, NoOutline, items
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
)

ENTRY_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of one entry, its base64 included: far beyond what an old server took, and the most that is in memory."""
_SLICE: Final = 256 * 1024


class _Identity(msgspec.Struct, frozen=True):
    package: str


class _ChannelRecord(msgspec.Struct, frozen=True):
    name: str
    package: str
    current: str | None = None


class _Entry(ManifestFields, frozen=True):
    channels: Any = None


class _Blob(msgspec.Struct, frozen=True):
    blob: str


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size: int


@dataclass(slots=True)
class _Found:
    """What the first pass knows of a package."""

    entries: list[_Place] = field(default_factory=list)
    channels: ChannelTable = field(default_factory=ChannelTable)


@dataclass(frozen=True, slots=True)
class EmbeddedBase64:
    """The package file in an entry of a backup as the bytes that it stands for."""

    path: Path
    place: _Place

    @property
    def size(self) -> int:
        return self.place.size // 4 * 3

    def chunks(self) -> Iterator[bytes]:
        """The gzip's bytes. Raises Unreadable, InvalidArchive."""
        try:
            text = msgspec.json.decode(_read(self.path, self.place), type=_Blob).blob
        except msgspec.DecodeError as exc:
            raise Unreadable(f"its blob cannot be read: {exc}") from None
        return decode_leniently(text[at : at + _SLICE].encode() for at in range(0, len(text), _SLICE))


class Backup:
    """A backup file that was read once and is whole."""

    def __init__(self, path: Path, packages: dict[str, _Found], strays: list[str]) -> None:
        self._path = path
        self._packages = packages
        self._strays = strays
        self.notes: list[str] = []

    @classmethod
    def open(cls, path: Path) -> "Backup":
        """The backup in `path`. Raises OldStoreError where the file is none, or is cut off."""
        packages: dict[str, _Found] = {}
        strays: list[str] = []
        try:
            with path.open("rb") as file:
                for item in items(file, limit=ENTRY_LIMIT):
                    if reason := _file(item, packages):
                        strays.append(f"the entry at byte {item.offset:,} of {item.key!r} {reason}")
        except NoOutline as exc:
            raise OldStoreError(f"{path} is no backup of an old server: {exc}") from None
        except OSError as exc:
            raise OldStoreError(f"{path} cannot be read: {exc.strerror}") from None
        if not packages and not strays:
            raise OldStoreError(f"{path} has no packages: it is no backup of an old server, or an empty one")
        return cls(path, packages, strays)

    def packages(self) -> Iterator[OldPackage]:
        """Every package by name, then a nameless one for each entry that belongs to none."""
        for name in sorted(self._packages):
            yield self._package(name, self._packages[name])
        for reason in self._strays:
            yield OldPackage("", reason=reason)

    def _package(self, name: str, found: _Found) -> OldPackage:
        channels = ChannelTable(dict(found.channels.current))
        manifests = [self._manifest(place, channels) for place in found.entries]
        return OldPackage(name, None, manifests, channels.channels())

    def _manifest(self, place: _Place, channels: ChannelTable) -> OldManifest | BadManifest:
        try:
            fields = msgspec.json.decode(_read(self._path, place), type=_Entry)
        except (msgspec.DecodeError, RecursionError, Unreadable) as exc:
            return BadManifest("", "", f"the entry at byte {place.offset:,} cannot be read: {exc}")
        channels.join(fields.release, fields.channels)
        archive = EmbeddedBase64(self._path, place)
        return manifest(fields, release=fields.release, media_type=fields.media_type, archive=archive)


def _file(item: Item, packages: dict[str, _Found]) -> str:
    """Note the item under its package; the reason where that cannot be. Arrays of another name are passed over."""
    if item.key not in ("packages", "channels"):
        return ""
    if item.data is None:
        return f"is larger than {ENTRY_LIMIT:,} bytes"
    try:
        if item.key == "channels":
            record = msgspec.json.decode(item.data, type=_ChannelRecord)
            _of(packages, record.package).channels.point(record.name, {"current": record.current})
        else:
            identity = msgspec.json.decode(item.data, type=_Identity)
            _of(packages, identity.package).entries.append(_Place(item.offset, item.size))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return f"cannot be read: {exc}"
    return ""


def _of(packages: dict[str, _Found], name: str) -> _Found:
    return packages.setdefault(name, _Found())


def _read(path: Path, place: _Place) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            data = file.read(place.size)
    except OSError as exc:
        raise Unreadable(f"the backup cannot be read any more ({exc.strerror})") from None
    if len(data) != place.size:
        raise Unreadable("the backup became shorter while it was read")
    return data
