"""The package formats in a manifest that an OCI client pushed: what makes its SemVer tag a release of a package.

Source: contracts/oci-helm.md section 3 and 6.1.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import IO, Final

from cnr.domain.archive import COMPOSE, HELM, PackageContents, inspect
from cnr.domain.chart import helm_visible, summarize
from cnr.domain.compose import ProjectFile, is_project, project_archive, project_files
from cnr.domain.digest import Digest
from cnr.domain.errors import BadInput, PackageNotFound, StoreUnavailable
from cnr.domain.manifest import Descriptor, Manifest, parse_manifest
from cnr.domain.names import Format, Repository
from cnr.domain.package import package_layer
from cnr.domain.version import LenientVersion, Release
from cnr.registry.blobs import Blobs
from cnr.registry.contents import Contents
from cnr.registry.core import Bytes, Core, Source
from cnr.registry.manifests import Manifests
from cnr.registry.references import IMAGES
from cnr.store.records import ContentsRecord, FormatEntry, Pointer

CHILDREN: Final = 32
"""Manifests of a pushed index that are looked into."""

_IN_MEMORY: Final = 1024 * 1024
_PIECE: Final = 1024 * 1024
_ATTEMPTS: Final = 5
"""How often an archive that garbage collection took meanwhile is stored anew."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A package found in a manifest. `child` is that manifest where an index was pushed that lists it.

    `layer` is the blob that is its archive. `made`: the archive's bytes, where the manifest has its files one by one
    and the registry keeps the archive beside them.
    """

    contents: PackageContents
    layer: Digest
    child: Pointer | None
    made: Bytes | None = None


Found = dict[Format, Packed]


def is_package(manifest: Manifest) -> bool:
    """Whether a manifest by its types is one of a package."""
    return package_layer(manifest) is not None or is_project(manifest)


def declared(manifest: Manifest) -> tuple[Format, ...]:
    """The format that a manifest says it is of, by its types alone; nothing for an image or an index."""
    if is_project(manifest):
        return (COMPOSE,)
    layer = package_layer(manifest)
    return () if layer is None else (layer[0],)


class PushedFormats:
    """Looks into the layers of pushed manifests."""

    def __init__(self, core: Core, blobs: Blobs, manifests: Manifests) -> None:
        self._core = core
        self._blobs = blobs
        self._manifests = manifests
        self._contents = Contents(core, blobs)

    async def find(self, repository: Repository, release: Release | LenientVersion, manifest: Manifest) -> "Found":
        """What `manifest` gives to `release`; nothing where it is no package, or another's. Writes nothing.

        A broken archive, or a chart of another name or version, is no error: the manifest is stored all the same.
        """
        found: dict[Format, Packed] = {}
        for each, child in await self._images(repository, manifest):
            if is_project(each):
                if COMPOSE not in found and (packed := await self._project(repository, each, child)) is not None:
                    found[COMPOSE] = packed
                continue
            layer = package_layer(each)
            if layer is None or layer[0] in found:
                continue
            contents = await self._look(repository, *layer)
            if contents is not None and (layer[0] != HELM or _is_chart_of(contents, repository, release)):
                found[layer[0]] = Packed(contents, layer[1].digest, child)
        return found

    async def _project(self, repository: Repository, manifest: Manifest, child: Pointer | None) -> Packed | None:
        """The archive of a published compose project; None where none can be made of its files."""
        files = project_files(manifest)
        data = [(file.name, await self._file(repository, file)) for file in files or ()]
        whole = [(name, text) for name, text in data if text is not None]
        if not whole or len(whole) < len(data):
            return None
        size = sum(len(text) for _, text in whole)
        archive = Bytes(await self._core.work(size, lambda: project_archive(whole)))
        try:
            contents = await self._core.work(size, lambda: inspect(archive.chunks(), self._core.limits, COMPOSE))
        except BadInput:
            return None
        return Packed(contents, contents.digest, child, archive)

    async def _file(self, repository: Repository, file: ProjectFile) -> bytes | None:
        """A file's bytes; None where its blob is not there, or not of the size that the manifest says."""
        record = await self._blobs.find(repository, file.digest)
        if record is None or record.size != file.size:
            return None
        try:
            reader = await self._blobs.read(repository, file.digest, record)
        except PackageNotFound:
            return None
        return b"".join([chunk async for chunk in reader.chunks])

    async def entries(
        self, repository: Repository, found: "Found", pointer: Pointer, *, created_at: int
    ) -> dict[Format, FormatEntry]:
        """The release's entries for the manifest at `pointer`. Writes the `contents/` of each."""
        entries = {}
        for format, packed in found.items():
            held = await self._claim(repository, packed)
            summary = summarize(packed.contents)
            entries[format] = FormatEntry(
                manifest=packed.child or pointer,
                tar_digest=packed.contents.tar_digest,
                size=held.size,
                created_at=created_at,
                description=summary.description,
                keywords=summary.keywords,
            )
        return entries

    async def _images(self, repository: Repository, manifest: Manifest) -> list[tuple[Manifest, Pointer | None]]:
        if manifest.manifests is None:
            return [(manifest, None)]
        found: list[tuple[Manifest, Pointer | None]] = []
        for child in manifest.manifests[:CHILDREN]:
            record = await self._manifests.get(repository, child.digest)
            if record is not None and record.media_type in IMAGES:
                data = await self._manifests.data_if_there(record, child.digest)
                if data is not None:
                    found.append((parse_manifest(data), Pointer(child.digest, record.born)))
        return found

    async def _look(self, repository: Repository, format: Format, layer: Descriptor) -> PackageContents | None:
        limits = replace(self._core.limits, compressed_bytes=self._core.limits.unpacked_bytes)
        record = await self._blobs.find(repository, layer.digest)
        if record is None or record.size > limits.compressed_bytes:
            return None
        try:
            async with self._source(repository, layer) as source:
                return await self._core.work(source.size, lambda: inspect(source.chunks(), limits, format))
        except BadInput:
            return None

    @asynccontextmanager
    async def _source(self, repository: Repository, layer: Descriptor) -> AsyncIterator[Source]:
        reader = await self._blobs.open(repository, layer.digest)
        if reader.size <= _IN_MEMORY:
            yield Bytes(b"".join([chunk async for chunk in reader.chunks]))
            return
        with tempfile.TemporaryFile(dir=self._core.spool_folder) as file:
            async for chunk in reader.chunks:
                await self._core.work(len(chunk), lambda chunk=chunk: file.write(chunk))  # type: ignore[misc]
            yield _File(file, reader.size)

    async def _claim(self, repository: Repository, packed: "Packed") -> ContentsRecord:
        """Which gzip the CNR view serves for this tar: the first one stored that is there, else this one.

        Only `contents/` names an archive that the registry made, so that one is stored first and looked at again.
        """
        tar = packed.contents.tar_digest
        own = ContentsRecord(digest=packed.layer, size=packed.contents.size)
        for _ in range(_ATTEMPTS):
            held, swept = await self._contents.held(repository, tar, own)
            if packed.made is not None and held.digest == own.digest:
                await self._blobs.store(repository, own.digest, own.size, packed.made)
            claimed = await self._contents.claim(repository, tar, held, swept)
            if packed.made is None or await self._blobs.revive(repository, claimed.digest):
                return claimed
        raise StoreUnavailable("what was written for this push was swept several times over; try again")


class _File:
    """A file's bytes as a Source."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece


def _is_chart_of(contents: PackageContents, repository: Repository, release: Release | LenientVersion) -> bool:
    return helm_visible(contents, repository.rpartition("/")[2], release) is not None
