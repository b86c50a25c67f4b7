"""DELETE of a blob: the steps of garbage collection without its grace, for one blob that nothing uses.

Source: design/architecture.md, rule 8; contracts/oci-helm.md 6.4 (10).
"""

from typing import Final

import msgspec

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.digest import Digest
from cnr.domain.errors import BlobInUse, BlobUnknown, InvalidUsage
from cnr.domain.manifest import needed_blobs, parse_manifest
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.registry.gc_roots import each
from cnr.registry.manifests import Manifests
from cnr.registry.policies import Policies
from cnr.registry.rights import require
from cnr.registry.tags import Tags
from cnr.store import keys, records
from cnr.store.records import BlobRecord, ContentsRecord, ManifestRecord
from cnr.store.update import DELETE, KEEP, Delete, Keep

_PAGE: Final = 500


class BlobDeletes:
    """Deletes blobs that no manifest and no release of their repository uses."""

    def __init__(self, core: Core, policies: Policies, blobs: Blobs, manifests: Manifests, tags: Tags) -> None:
        self._core = core
        self._policies = policies
        self._blobs = blobs
        self._manifests = manifests
        self._tags = tags

    async def delete(self, repository: Repository, digest: Digest, *, by: Grant = EVERYTHING) -> None:
        """Delete the blob. Raises BlobUnknown, BlobInUse where anything needs it, and Forbidden where a rule keeps it.

        It is condemned first and looked for then, once, so that a manifest which comes meanwhile keeps it; readers
        see no difference between a condemned blob and another.
        """
        require("delete", await self._policies.of(repository), by, repository)
        condemned = await self._condemn(repository, digest)
        try:
            await self._refuse_used(repository, digest)
        except BlobInUse:
            await self._blobs.revive(repository, digest)
            raise
        await self._remove(repository, digest, condemned)

    async def _condemn(self, repository: Repository, digest: Digest) -> str:
        """Mark the blob; returns the id of the write that did."""

        def change(before: BlobRecord | None) -> BlobRecord:
            if before is None:
                raise no_blob(digest)
            return msgspec.structs.replace(before, state="condemned")

        swap = await self._core.updater.update(keys.blob(repository, digest), BlobRecord, change)
        assert swap.after is not None
        return swap.after.write

    async def _remove(self, repository: Repository, digest: Digest, condemned: str) -> None:
        def change(before: BlobRecord | None) -> BlobRecord | Delete | Keep:
            if before is None:
                return KEEP
            if before.write != condemned:
                raise BlobInUse("somebody pushed or used this blob meanwhile", digest=digest)
            return DELETE

        swap = await self._core.updater.update(keys.blob(repository, digest), BlobRecord, change)
        if swap.before is not None and swap.before.blob_id:
            await self._core.blobs.delete(swap.before.blob_id)

    async def _refuse_used(self, repository: Repository, digest: Digest) -> None:
        async for entry in each(self._core.records, keys.manifests(repository)):
            record: ManifestRecord = records.decode(ManifestRecord, entry.value)
            data = await self._manifests.data_if_there(record, Digest(keys.split(entry.key).rest))
            if data is not None and _names(data, digest):
                raise BlobInUse("a manifest of this repository needs the blob: delete that first", digest=digest)
        tars = {
            entry.key.rpartition("/")[2]
            async for entry in each(self._core.records, keys.all_contents(repository))
            if records.decode(ContentsRecord, entry.value).digest == digest
        }
        if tars and await self._is_released(repository, tars):
            raise BlobInUse("a release of this repository is in this blob: delete that first", digest=digest)

    async def _is_released(self, repository: Repository, tars: set[str]) -> bool:
        async for _, release in self._tags.releases(repository, lenient=True):
            if any(entry.tar_digest in tars for entry in release.formats.values()):
                return True
        return False


def _names(data: bytes, digest: Digest) -> bool:
    """Whether a manifest needs the blob. Most are told by their text alone: JSON may hide it behind a backslash."""
    if digest.encode() not in data and b"\\" not in data:
        return False
    try:
        manifest = parse_manifest(data)
    except InvalidUsage:
        return False
    children = (child.digest for child in manifest.manifests or ())
    return digest in (*needed_blobs(manifest), *children)


def no_blob(digest: str) -> BlobUnknown:
    """The repository has no such blob."""
    return BlobUnknown("there is no such blob in this repository", digest=digest[:200])
