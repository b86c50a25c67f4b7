"""Charts as the classic Helm repository names them: a namespace of any depth, a name, a version. From records.

Source: contracts/oci-helm.md sections 4 to 6.
"""

from dataclasses import dataclass
from typing import Final

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.archive import HELM
from cnr.domain.digest import Digest
from cnr.domain.errors import DataCorrupt, Missing
from cnr.domain.manifest import (
    HELM_CONFIG,
    PROVENANCE_LAYER,
    Descriptor,
    Manifest,
    chart_layer,
    parse_manifest,
    provenance_layer,
)
from cnr.domain.names import PackageName, Repository
from cnr.domain.version import Release, tag_of
from cnr.registry.blobs import Blobs
from cnr.registry.images import Images
from cnr.registry.listing import Listing
from cnr.registry.manifests import Manifests
from cnr.registry.packages import Packages
from cnr.registry.tags import Tags, afterwards, no_release
from cnr.store.base import BlobReader
from cnr.store.records import BlobRecord, FormatEntry, ManifestRecord

REFERRERS_PAGES: Final = 5
"""Pages of a manifest's referrers that are searched for a provenance."""


@dataclass(frozen=True, slots=True)
class StoredChart:
    """A live release that helm sees, its manifest, and the manifest's layer with the archive."""

    package: PackageName
    release: Release
    entry: FormatEntry
    record: ManifestRecord
    manifest: Manifest
    layer: Descriptor

    @property
    def repository(self) -> Repository:
        return self.package.repository

    @property
    def file(self) -> str:
        """The archive's name."""
        return f"{self.package.name}-{self.release}.tgz"


@dataclass(frozen=True, slots=True)
class ChartFile:
    """A file of a chart: its digest, and the record of the blob that it is."""

    repository: Repository
    digest: Digest
    record: BlobRecord


class Charts:
    """Finds, opens and deletes charts."""

    def __init__(
        self, tags: Tags, blobs: Blobs, manifests: Manifests, packages: Packages, listing: Listing, images: Images
    ) -> None:
        self._tags = tags
        self._blobs = blobs
        self._manifests = manifests
        self._packages = packages
        self._listing = listing
        self._images = images

    async def find(self, repository: Repository, version: Release) -> StoredChart | None:
        """The chart of this exact version; None where there is none, or none that helm sees."""
        tag = await self._tags.release(repository, tag_of(version))
        entry = tag.formats.get(HELM) if tag is not None else None
        record = await self._manifests.find(repository, entry.manifest) if entry is not None else None
        if entry is None or record is None:
            return None
        data = await self._manifests.data_if_there(record, entry.manifest.digest)
        if data is None:
            return None
        manifest = parse_manifest(data)
        layer = chart_layer(manifest)
        if layer is None or manifest.config is None or manifest.config.media_type != HELM_CONFIG:
            return None
        return StoredChart(PackageName.stored_in(repository), version, entry, record, manifest, layer)

    async def get(self, repository: Repository, version: Release) -> StoredChart:
        """As `find`. Raises PackageNotFound."""
        found = await self.find(repository, version)
        if found is None:
            raise no_release(PackageName.stored_in(repository), version)
        return found

    async def archive(self, chart: StoredChart) -> ChartFile:
        """The archive, byte for byte as it was pushed."""
        found = await self._file(chart.repository, chart.layer.digest)
        if found is None:
            raise DataCorrupt("the archive of a stored chart is gone", digest=chart.layer.digest)
        return found

    async def provenance(self, chart: StoredChart) -> ChartFile | None:
        """The provenance: a layer of the manifest, else the newest that refers to the manifest. None without any."""
        layer = provenance_layer(chart.manifest)
        if layer is not None:
            return await self._file(chart.repository, layer.digest)
        found: list[tuple[int, ChartFile]] = []
        for _, record, manifest in await self._attached(chart):
            layer = provenance_layer(manifest)
            file = await self._file(chart.repository, layer.digest) if layer is not None else None
            if file is not None:
                found.append((record.pushed_at, file))
        return max(found, key=lambda pair: pair[0])[1] if found else None

    async def _attached(self, chart: StoredChart) -> list[tuple[Digest, ManifestRecord, Manifest]]:
        """The provenances that refer to the chart's manifest."""
        found: list[tuple[Digest, ManifestRecord, Manifest]] = []
        subject, after = chart.entry.manifest.digest, ""
        for _ in range(REFERRERS_PAGES):
            page = await self._listing.referrers(
                chart.repository, subject, artifact_type=(PROVENANCE_LAYER,), after=after
            )
            for referrer in page.referrers:
                record = await self._manifests.get(chart.repository, referrer.digest)
                data = await self._manifests.data_if_there(record, referrer.digest) if record is not None else None
                if record is not None and data is not None:
                    found.append((referrer.digest, record, parse_manifest(data)))
            if page.next_after is None:
                break
            after = page.next_after
        return found

    async def _file(self, repository: Repository, digest: Digest) -> ChartFile | None:
        record = await self._blobs.find(repository, digest)
        return ChartFile(repository, digest, record) if record is not None else None

    async def open(self, file: ChartFile, start: int = 0, stop: int | None = None) -> BlobReader:
        """Bytes `start` to `stop` of a file that was just found. Raises PackageNotFound if it went meanwhile."""
        return await self._blobs.read(file.repository, file.digest, file.record, start, stop)

    async def delete(self, repository: Repository, version: Release, *, by: Grant = EVERYTHING) -> None:
        """Delete the chart, its provenance too; other formats of the release stay.

        Raises PackageNotFound, and Forbidden where a rule keeps this from `by`.
        """
        chart = await self.get(repository, version)
        await self._packages.remove(chart.package, version, HELM, by=by)
        with afterwards(f"the provenance of {repository} {version} stays"):
            await self.detach(chart)

    async def detach(self, chart: StoredChart, *, keep: Digest | None = None) -> None:
        """Delete the provenances, all but `keep`, that refer to the chart's manifest."""
        for digest, _, _ in await self._attached(chart):
            if digest != keep:
                try:
                    await self._images.delete(chart.repository, digest)
                except Missing:
                    continue
