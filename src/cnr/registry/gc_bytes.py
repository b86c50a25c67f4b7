"""Bytes in the BlobStore that no record names: what a crash left between the bytes and their record, or after it."""

from typing import Any

from cnr.domain.errors import OutcomeUnknown
from cnr.registry.core import Core
from cnr.registry.gc_roots import each
from cnr.store import keys, records
from cnr.store.base import BlobNotFound
from cnr.store.records import BlobRecord, ManifestRecord, Unnamed, UploadRecord
from cnr.store.update import DELETE, Delete

ONE_PASS = 50_000
"""Ids that are held in memory, and looked for among all records, at a time."""
REMEMBERED = 6_000
"""Ids whose first sight is kept, so that its record stays below 400 KiB; any others wait for the next run."""
WRITING_US = 3_600_000_000
"""A writer has the bytes in the store before their record names them: nothing goes before it was seen for an hour.

Bytes have no state that a writer could see and swap, so this is the one wait that no grace shortens.
"""


class UnnamedBytes:
    """Deletes bytes that no record named when they were first seen, nor an hour or `grace_us` later."""

    def __init__(self, core: Core, grace_us: int) -> None:
        self._core = core
        self._wait_us = max(grace_us, WRITING_US)

    async def sweep(self, *, dry_run: bool = False) -> tuple[int, int]:
        """How many went, or would go, and their size in bytes."""
        before = await self._core.read(keys.META_GC_UNNAMED, Unnamed)
        first: dict[str, int] = before.seen if before is not None else {}
        seen: dict[str, int] = {}
        count = size = 0
        ids: set[str] = set()
        async for blob_id in self._core.blobs.scan():
            ids.add(blob_id)
            if len(ids) == ONE_PASS:
                count, size = await self._pass(ids, first, seen, dry_run, (count, size))
                ids = set()
        count, size = await self._pass(ids, first, seen, dry_run, (count, size))
        if not dry_run and seen != first:
            await self._remember(seen)
        return count, size

    async def _pass(
        self, ids: set[str], first: dict[str, int], seen: dict[str, int], dry_run: bool, so_far: tuple[int, int]
    ) -> tuple[int, int]:
        count, size = so_far
        if not ids:
            return so_far
        await self._discard_named(ids)
        now = self._core.clock()
        for blob_id in sorted(ids):
            since = first.get(blob_id, now)
            if now - since < self._wait_us:
                if len(seen) < REMEMBERED:
                    seen[blob_id] = since
                continue
            count, size = count + 1, size + await self._size(blob_id)
            if not dry_run:
                await self._core.blobs.delete(blob_id)
        return count, size

    async def _discard_named(self, ids: set[str]) -> None:
        for prefix, kind in ((keys.BLOBS, BlobRecord), (keys.MANIFESTS, ManifestRecord)):
            async for found in each(self._core.records, prefix):
                record: Any = records.decode(kind, found.value)
                ids.discard(record.blob_id)
        async for found in each(self._core.records, keys.UPLOADS):
            upload: UploadRecord = records.decode(UploadRecord, found.value)
            ids.difference_update(part.id for part in upload.parts)

    async def _size(self, blob_id: str) -> int:
        try:
            reader = await self._core.blobs.open(blob_id)
        except BlobNotFound:
            return 0
        if (close := getattr(reader.chunks, "aclose", None)) is not None:
            await close()
        return reader.size

    async def _remember(self, seen: dict[str, int]) -> None:
        def change(_: Unnamed | None) -> Unnamed | Delete:
            return Unnamed(seen=seen) if seen else DELETE

        try:
            await self._core.updater.update(keys.META_GC_UNNAMED, Unnamed, change)
        except OutcomeUnknown:
            return  # then the next run sees them first
