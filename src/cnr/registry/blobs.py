"""Blobs of a repository: a record that says they are there, and the bytes, in it or under its id."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Final

import msgspec

from cnr.domain.digest import Digest
from cnr.domain.errors import DataCorrupt, PackageNotFound, StoreUnavailable
from cnr.domain.names import Repository
from cnr.registry.core import Core, Source
from cnr.registry.proof import proven
from cnr.registry.quotas import Quotas
from cnr.store import keys
from cnr.store.base import BlobAddresses, BlobNotFound, BlobReader
from cnr.store.records import INLINE_BLOB, BlobRecord
from cnr.store.update import KEEP, Keep

SEARCHED: Final = 200
"""Repositories that are looked at for a mount that names none."""
ADDRESS_TTL: Final = timedelta(minutes=15)
"""For which a URL of an object store is good: a download must begin within it."""
_LAST: Final = "~"
"""Above every digest."""

_log = logging.getLogger(__name__)


class Blobs:
    """Stores, finds and opens blobs. Presence is a record and is read anew each time."""

    def __init__(self, core: Core, quotas: Quotas) -> None:
        self._core = core
        self._quotas = quotas

    async def store(self, repository: Repository, digest: Digest, size: int, source: Source) -> None:
        """Make `digest` a live blob of the repository; `source` must hash to it. Idempotent.

        Bytes that are already there stay, and ours are dropped.
        """
        if await self.revive(repository, digest):
            return
        if size <= INLINE_BLOB:
            data = await self._core.work(size, lambda: b"".join(source.chunks()))
            await self._record(repository, digest, BlobRecord(size=size, touched_at=self._core.clock(), data=data))
        else:
            blob_id = self._core.new_id()
            stored = await self._core.blobs.put(blob_id, self._core.stream(source))
            if stored != size:
                await self._core.blobs.delete(blob_id)
                raise StoreUnavailable(f"{stored:,} of {size:,} bytes were stored; try again")
            await self.adopt(repository, digest, size, blob_id)

    async def keep(self, repository: Repository, digest: Digest, data: bytes, *, durable: bool = False) -> None:
        """Make `data`, at most INLINE_BLOB bytes that hash to `digest`, a live blob of the repository. Idempotent.

        `durable` where nothing follows that would make it so.
        """
        wanted = BlobRecord(size=len(data), touched_at=self._core.clock(), data=data)
        await self._record(repository, digest, wanted, durable)

    async def adopt(
        self, repository: Repository, digest: Digest, size: int, blob_id: str, *, durable: bool = False
    ) -> None:
        """Make the stored bytes `blob_id`, which hash to `digest`, a live blob of the repository.

        They are deleted where that blob has bytes already, and where this fails for certain.
        """
        async with self._core.storing(blob_id):
            await self.attach(repository, digest, size, blob_id, durable=durable)

    async def attach(
        self, repository: Repository, digest: Digest, size: int, blob_id: str, *, durable: bool = False
    ) -> None:
        """As `adopt`, but the bytes stay where this fails."""
        wanted = BlobRecord(size=size, touched_at=self._core.clock(), blob_id=blob_id)
        kept = await self._record(repository, digest, wanted, durable)
        if kept.blob_id != blob_id:
            await self._core.blobs.delete(blob_id)

    async def mount(self, repository: Repository, digest: Digest, source: Repository) -> bool:
        """Make a blob of `source` one of `repository` too, with bytes of its own; whether `source` has it.

        Raises QuotaExceeded.
        """
        record = await self.find(source, digest)
        if record is None:
            return False
        if source == repository or await self.revive(repository, digest):
            return await self.revive(repository, digest)
        await self._quotas.require_room(repository, size=record.size)
        if record.data is not None:
            await self.keep(repository, digest, record.data, durable=True)
            return True
        assert record.blob_id is not None
        blob_id = self._core.new_id()
        try:
            await self._core.blobs.copy(record.blob_id, blob_id)
        except BlobNotFound:
            return False
        await self.adopt(repository, digest, record.size, blob_id, durable=True)
        return True

    async def _record(
        self, repository: Repository, digest: Digest, wanted: BlobRecord, durable: bool = False
    ) -> BlobRecord:
        def change(before: BlobRecord | None) -> BlobRecord:
            if before is None:
                return wanted
            return msgspec.structs.replace(before, state="live", touched_at=wanted.touched_at)

        key = keys.blob(repository, digest)
        durable = durable or self._core.facts_durable
        swap = await self._core.updater.update(key, BlobRecord, change, durable=durable)
        assert swap.after is not None
        return swap.after

    async def revive(self, repository: Repository, digest: Digest) -> bool:
        """Whether the blob is there; if so it is live now, and was touched within `Core.trusted_us`."""
        record = await self.find(repository, digest)
        if record is None:
            return False
        stale_at = self._core.clock() - self._core.trusted_us
        if record.state == "live" and record.touched_at > stale_at:
            return True

        def change(before: BlobRecord | None) -> BlobRecord | Keep:
            if before is None:
                return KEEP
            return msgspec.structs.replace(before, state="live", touched_at=self._core.clock())

        key = keys.blob(repository, digest)
        swap = await self._core.updater.update(key, BlobRecord, change, durable=self._core.facts_durable)
        return swap.after is not None

    async def mount_any(
        self, repository: Repository, digest: Digest, may_pull: Callable[[Repository], Awaitable[bool]]
    ) -> bool:
        """As `mount`, from whichever repository has the blob: of the same namespace first, among SEARCHED in all.

        Only from those that `may_pull` is true for.

        The client uploads what is not found, so a large registry may look at some only.
        """
        if await self.revive(repository, digest):
            return True
        first = keys.blobs(Repository(repository.partition("/")[0])).removesuffix("/")
        for after, searched in ((first, SEARCHED), (keys.BLOBS, SEARCHED // 2)):
            async for other in self._repositories(after, searched):
                if await may_pull(other) and await self.mount(repository, digest, other):
                    return True
        return False

    async def _repositories(self, after: str, limit: int) -> AsyncIterator[Repository]:
        """Repositories with blobs, in the order of their keys; from one to the next without reading what is between."""
        for _ in range(limit):
            found = await self._core.records.scan(keys.BLOBS, after=after, limit=1)
            if not found:
                return
            repository = keys.split(found[0].key).repository
            yield repository
            after = keys.blobs(repository) + _LAST

    async def find(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        """The blob's record, condemned or not; None where there is none."""
        record: BlobRecord | None = await self._core.read(keys.blob(repository, digest), BlobRecord)
        return record

    async def open(self, repository: Repository, digest: Digest, start: int = 0, stop: int | None = None) -> BlobReader:
        """Bytes `start` to `stop` of a blob.

        Raises PackageNotFound where the repository has no such blob, DataCorrupt where it should have.
        """
        record = await self.find(repository, digest)
        if record is None:
            raise PackageNotFound("no such blob in this package", digest=digest)
        return await self.read(repository, digest, record, start, stop)

    async def address(self, record: BlobRecord) -> str | None:
        """A URL from which the client gets these bytes by itself, for ADDRESS_TTL; None where it gets them from us.

        Ask only for a record that was just found, and for a caller who may read it: whoever has the URL may.
        """
        least, store = self._core.redirect_from, self._core.blobs
        if least is None or record.size < least or record.blob_id is None or not isinstance(store, BlobAddresses):
            return None
        try:
            return await store.url_for(record.blob_id, ADDRESS_TTL)
        except StoreUnavailable as exc:
            _log.warning("a blob is sent through this server: %s", exc.message)
            return None

    async def read(
        self, repository: Repository, digest: Digest, record: BlobRecord, start: int = 0, stop: int | None = None
    ) -> BlobReader:
        """As `open`, where the blob's record was just found. Raises PackageNotFound if it was deleted meanwhile.

        Whole bytes of another machine are held against their digest (`proven`).
        """
        if record.data is not None:
            part = record.data[start:stop]
            return BlobReader(record.size, once(part), part)
        assert record.blob_id is not None
        try:
            reader = await self._core.blobs.open(record.blob_id, start, stop)
        except BlobNotFound:
            if await self.find(repository, digest) == record:
                raise DataCorrupt("the bytes of a stored blob are gone", digest=digest) from None
            raise PackageNotFound("no such blob in this package", digest=digest) from None
        if start > 0 or (stop is not None and stop < record.size):
            return reader  # a part proves nothing: there the store's word counts
        return await proven(self._core, reader, digest, record.size)


async def once(data: bytes) -> AsyncIterator[bytes]:
    """`data` as the chunks of a reader."""
    if data:
        yield data
