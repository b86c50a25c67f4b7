"""Manifests of a repository: OCI documents by digest, bytes kept exactly as they came."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from cnr.domain.digest import Digest, sha256
from cnr.domain.errors import InvalidManifest, InvalidUsage
from cnr.domain.manifest import needed_blobs, parse_manifest
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs, once
from cnr.registry.core import Bytes, Core
from cnr.registry.proof import proven
from cnr.store import keys
from cnr.store.base import BlobNotFound, BlobReader
from cnr.store.records import INLINE_MANIFEST, ManifestRecord, Pointer, ReferrerRecord
from cnr.store.update import KEEP, Keep


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest that was pushed: what a tag may point at, whether it is new, and the id of the write."""

    pointer: Pointer
    new: bool
    write: str


class Manifests:
    """Stores and finds manifests, and the rows of the referrers API that they bring."""

    def __init__(self, core: Core, blobs: Blobs) -> None:
        self._core = core
        self._blobs = blobs

    async def store(
        self,
        repository: Repository,
        data: bytes,
        media_type: str,
        *,
        origin: Literal["client", "server"],
        subject: Digest | None = None,
        digest: Digest | None = None,
        durable: bool = False,
    ) -> Stored:
        """Make `data` a manifest of the repository.

        `digest` is the sha256 unless given. `durable` where no tag follows that would make it so. One that is there
        keeps its `born`, and is live again; what a client pushed stays a client's. Raises InvalidManifest where it is
        there as another media type.
        """
        digest = digest or sha256(data)
        blob_id = None if len(data) <= INLINE_MANIFEST else self._core.new_id()
        if blob_id:
            await self._core.blobs.put(blob_id, self._core.stream(Bytes(data)))
        wanted = ManifestRecord(
            born=self._core.new_id(),
            media_type=media_type,
            size=len(data),
            pushed_at=self._core.clock(),
            origin=origin,
            subject=subject,
            data=None if blob_id else data,
            blob_id=blob_id,
        )

        def change(before: ManifestRecord | None) -> ManifestRecord:
            if before is None:
                return wanted
            if before.media_type != media_type:
                raise InvalidManifest(f"this manifest is here already, as {before.media_type}", digest=digest)
            kept = "client" if "client" in (before.origin, origin) else "server"
            return msgspec.structs.replace(before, origin=kept, pushed_at=wanted.pushed_at, state="live", untagged_at=0)

        key = keys.manifest(repository, digest)
        durable = durable or self._core.facts_durable
        async with self._core.storing(blob_id):
            swap = await self._core.updater.update(key, ManifestRecord, change, durable=durable)
        assert swap.after is not None
        if blob_id and swap.after.blob_id != blob_id:
            await self._core.blobs.delete(blob_id)
        return Stored(Pointer(digest, swap.after.born), swap.before is None, swap.after.write)

    async def find(self, repository: Repository, pointer: Pointer) -> ManifestRecord | None:
        """The manifest that `pointer` names; None if it was deleted, even if it came again."""
        record: ManifestRecord | None = await self._core.read(keys.manifest(repository, pointer.digest), ManifestRecord)
        return record if record is not None and record.born == pointer.born else None

    async def get(self, repository: Repository, digest: Digest) -> ManifestRecord | None:
        """The manifest of this digest; None where there is none."""
        record: ManifestRecord | None = await self._core.read(keys.manifest(repository, digest), ManifestRecord)
        return record

    async def complete(self, repository: Repository, pointer: Pointer) -> bool:
        """Whether this manifest and every blob that it needs are there; if so all of them are live now.

        Ask it after something that garbage collection marks from names the manifest.
        """
        record = await self.revive(repository, pointer)
        data = await self.data_if_there(record, pointer.digest) if record is not None else None
        if data is None:
            return False
        try:
            manifest = parse_manifest(data)
        except InvalidUsage:
            return True  # a client's own type of document: what it names was never looked for
        return await self.present(repository, needed_blobs(manifest))

    async def revive(self, repository: Repository, pointer: Pointer) -> ManifestRecord | None:
        """The manifest that `pointer` names, live now; None if it is gone. Its blobs stay while it does."""

        def change(before: ManifestRecord | None) -> ManifestRecord | Keep:
            if before is None or before.born != pointer.born or (before.state == "live" and not before.untagged_at):
                return KEEP
            return msgspec.structs.replace(before, state="live", untagged_at=0)

        key = keys.manifest(repository, pointer.digest)
        swap = await self._core.updater.update(key, ManifestRecord, change, durable=self._core.facts_durable)
        return swap.after if swap.after is not None and swap.after.born == pointer.born else None

    async def data(self, record: ManifestRecord, digest: Digest) -> bytes:
        """The bytes of the manifest of this digest.

        Raises BlobNotFound where it was deleted since the record was read, and DataCorrupt.
        """
        reader = await self.open(record, digest)
        return reader.data if reader.data is not None else b"".join([chunk async for chunk in reader.chunks])

    async def data_if_there(self, record: ManifestRecord, digest: Digest) -> bytes | None:
        """As `data`; None where it was deleted since the record was read."""
        try:
            return await self.data(record, digest)
        except BlobNotFound:
            return None

    async def open(self, record: ManifestRecord, digest: Digest) -> BlobReader:
        """As `data`, in pieces."""
        if record.data is not None:
            return BlobReader(record.size, once(record.data), record.data)
        assert record.blob_id is not None
        return await proven(self._core, await self._core.blobs.open(record.blob_id), digest, record.size)

    async def refer(
        self,
        repository: Repository,
        subject: Digest,
        digest: Digest,
        row: ReferrerRecord,
        *,
        durable: bool = False,
    ) -> None:
        """List manifest `digest` among the referrers of `subject`."""
        key = keys.referrer(repository, subject, digest)
        durable = durable or self._core.facts_durable
        await self._core.updater.update(key, ReferrerRecord, lambda _: row, durable=durable)

    async def present(self, repository: Repository, digests: Iterable[Digest]) -> bool:
        """Whether all these blobs are there, after the manifest that names them was written.

        A condemned one is made live again: garbage collection marks after it condemns, so it sees the manifest.
        Source: design/architecture.md, rule 8.
        """
        for digest in digests:
            if not await self._blobs.revive(repository, digest):
                return False
        return True
