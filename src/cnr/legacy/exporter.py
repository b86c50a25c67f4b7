"""Writes packages of the registry as a backup that our import and old servers read.

Source: contracts/cnr.md section 8, "Backup JSON". Package times are not in it: a reader takes the earliest manifest's.
"""

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from cnr.domain.errors import DataCorrupt, PackageNotFound
from cnr.domain.manifest import artifact_type, layer_type
from cnr.domain.names import PackageName
from cnr.legacy.old_package import written
from cnr.registry.packages import Published
from cnr.registry.registry import Registry
from cnr.store.base import BlobReader
from cnr.store.views import ChannelView

PAGE: Final = 500
"""Package names read at once."""
_PLACE: Final = b'"blob":""'


class _Content(msgspec.Struct, frozen=True):
    digest: str
    media_type: str = msgspec.field(name="mediaType")
    size: int
    urls: list[str] = []


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    channels: list[str]
    content: _Content
    created_at: str
    media_type: str = msgspec.field(name="mediaType")
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    package: str
    release: str
    blob: str = ""


class _Channel(msgspec.Struct, frozen=True):
    current: str
    name: str
    package: str


async def export(registry: Registry, packages: Sequence[PackageName] | None = None) -> AsyncIterator[bytes]:
    """The backup of `packages`, or of all, piece by piece: packages by name, each oldest push first.

    The same store gives the same bytes. Holds one piece of one file at a time, and the channels' names. A release
    that is deleted while this runs is left out. Raises PackageNotFound before the first byte, StoreTrouble.
    """
    if packages is not None:
        for package in packages:
            await registry.tags.require_package(package)
    channels: list[bytes] = []
    yield b'{"packages":['
    separator = b"\n"
    async for package in _wanted(registry, packages):
        async for piece in _package(registry, package, channels):
            yield separator + piece if piece.startswith(b"{") else piece
            separator = b",\n"
    yield b'\n],"channels":[\n' + b",\n".join(channels) + b"\n]}\n"


async def _wanted(registry: Registry, packages: Sequence[PackageName] | None) -> AsyncIterator[PackageName]:
    if packages is not None:
        for package in sorted(set(packages), key=str):
            yield package
        return
    after = ""
    while names := await registry.catalog.names(after=after, limit=PAGE):
        for name in names:
            yield PackageName(*name.split("/"))
        after = names[-1]


async def _package(registry: Registry, package: PackageName, channels: list[bytes]) -> AsyncIterator[bytes]:
    """The package's entries; each one's first piece is the only one that begins with a brace."""
    try:
        views = await registry.channels.all(package)
        manifests = await registry.packages.all(package)
    except PackageNotFound:
        return
    for view in views:
        channels.append(msgspec.json.encode(_Channel(view.current, view.name, str(package))))
    for item in manifests:
        try:
            reader = await registry.packages.open(package, item.entry.tar_digest)
        except PackageNotFound:
            continue
        async for piece in _entry(item, views, reader):
            yield piece


async def _entry(item: Published, channels: Sequence[ChannelView], reader: BlobReader) -> AsyncIterator[bytes]:
    before, after = msgspec.json.encode(_fields(item, channels)).rsplit(_PLACE, 1)
    yield before + _PLACE[:-1]
    sent = 0
    rest = b""
    async for chunk in reader.chunks:
        sent += len(chunk)
        data = rest + chunk
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        yield base64.b64encode(data[:whole])
    if sent != reader.size:
        raise DataCorrupt(f"the file of {item.package} {item.release} is shorter than it was")
    yield base64.b64encode(rest) + b'"' + after


def _fields(item: Published, channels: Sequence[ChannelView]) -> _Entry:
    entry = item.entry
    return _Entry(
        channels=[view.name for view in channels if item.release in view.releases],
        content=_Content(entry.tar_digest, layer_type(item.format), entry.size),
        created_at=written(entry.created_at),
        media_type=artifact_type(item.format),
        metadata=msgspec.UNSET if entry.metadata is None else entry.metadata,
        package=str(item.package),
        release=item.release,
    )
