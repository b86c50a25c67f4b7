"""How the classic Helm repository lists a release: the entry of index.yaml, rendered when the release is projected.

Rendered from the config of the release's helm manifest, which `helm push` and this server make of Chart.yaml; where a
client made it of something else, from the archive itself.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from cnr.domain.archive import HELM, inspect
from cnr.domain.chart import Chart, helm_chart
from cnr.domain.chart_entry import chart_of_config, index_entry
from cnr.domain.chart_version import version_of
from cnr.domain.digest import Digest
from cnr.domain.errors import BadInput, DataCorrupt
from cnr.domain.limits import MIB, Limits
from cnr.domain.manifest import HELM_CONFIG, Manifest, chart_layer, parse_manifest
from cnr.domain.names import Repository, Tag
from cnr.store import keys, records
from cnr.store.base import BlobNotFound, BlobStore, RecordNotFound, RecordStore
from cnr.store.records import BlobRecord, FormatEntry, ManifestRecord

CONFIG_LIMIT: Final = 4 * MIB
"""Bytes of a config that is read."""

_log = logging.getLogger(__name__)


class ChartEntries:
    """Renders entries. `rendered` counts them."""

    def __init__(self, store: RecordStore, blobs: BlobStore, limits: Limits) -> None:
        self._records = store
        self._blobs = blobs
        self._limits = limits
        self.rendered = 0

    async def entry(self, key: keys.Key, format: FormatEntry, *, yanked: bool = False) -> bytes | None:
        """The entry of the release under `key`, a tag's, with its helm format; None where helm does not see it.

        Never fails for what is stored: what cannot be read is left out, and logged.
        """
        try:
            return await self._entry(key.repository, Tag(key.rest), format, yanked)
        except (BadInput, DataCorrupt, BlobNotFound) as exc:
            _log.warning("%s %s is left out of index.yaml: %s", key.repository, key.rest, exc)
            return None

    async def _entry(self, repository: Repository, tag: Tag, format: FormatEntry, yanked: bool) -> bytes | None:
        version = version_of(tag)
        manifest = await self._manifest(repository, format)
        if version is None or manifest is None or manifest.config is None or manifest.config.media_type != HELM_CONFIG:
            return None
        layer = chart_layer(manifest)
        if layer is None:
            return None
        name = repository.rpartition("/")[2]
        chart = await self._chart(repository, manifest.config.digest, (name, version))
        if chart is None:
            chart = await self._archived(repository, layer.digest, (name, version))
        self.rendered += 1
        return index_entry(chart, layer.digest, created_at=format.created_at, yanked=yanked)

    async def _manifest(self, repository: Repository, format: FormatEntry) -> Manifest | None:
        try:
            found = await self._records.get(keys.manifest(repository, format.manifest.digest))
        except RecordNotFound:
            return None
        record: ManifestRecord = records.decode(ManifestRecord, found.value)
        if record.born != format.manifest.born:
            return None
        return parse_manifest(await self._bytes(record, record.size))

    async def _chart(self, repository: Repository, config: Digest, wanted: tuple[str, str]) -> Chart | None:
        """The chart that the config describes; None where it does not describe this one."""
        try:
            chart = chart_of_config(await self._blob(repository, config, CONFIG_LIMIT))
        except (BadInput, BlobNotFound):
            return None
        return chart if (chart.name, chart.version) == wanted else None

    async def _archived(self, repository: Repository, layer: Digest, wanted: tuple[str, str]) -> Chart:
        limits = replace(self._limits, compressed_bytes=self._limits.unpacked_bytes)
        data = await self._blob(repository, layer, limits.compressed_bytes)
        return helm_chart(await asyncio.to_thread(inspect, [data], limits, HELM), *wanted)

    async def _blob(self, repository: Repository, digest: Digest, limit: int) -> bytes:
        try:
            found = await self._records.get(keys.blob(repository, digest))
        except RecordNotFound:
            raise BlobNotFound(digest) from None
        record: BlobRecord = records.decode(BlobRecord, found.value)
        return await self._bytes(record, limit)

    async def _bytes(self, record: BlobRecord | ManifestRecord, limit: int) -> bytes:
        if record.data is not None:
            return record.data
        if record.blob_id is None or record.size > limit:
            raise DataCorrupt("a record has no bytes, or too many")
        reader = await self._blobs.open(record.blob_id)
        return b"".join([chunk async for chunk in reader.chunks])
