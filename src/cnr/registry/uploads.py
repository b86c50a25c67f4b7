"""Uploads: sessions in which the bytes of a blob arrive, in one piece or many, at any worker.

Each piece is stored under an id of its own, and the session's record names the pieces. hashlib's state cannot move
between processes, so each piece has its own sha256, and several of them are read once more when the upload ends.
The session is deleted after the blob's record is written, so whoever gets an error of the store can repeat the
request. A session that nobody touches is given up (open_uploads.py). Source: design/architecture.md, rule 9; ADR 021.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from cnr.domain.digest import Digest
from cnr.domain.errors import (
    CnrError,
    InvalidDigest,
    OutcomeUnknown,
    OutOfOrder,
    QuotaExceeded,
    TooLarge,
    UploadNotFound,
)
from cnr.domain.limits import too_large
from cnr.domain.names import Repository
from cnr.domain.piece import Piece
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.registry.open_uploads import OpenUploads
from cnr.registry.quotas import Quotas
from cnr.registry.upload_bytes import Arrived, Chunks, Pieces, few, joined, no_upload, once
from cnr.store import keys
from cnr.store.base import is_blob_id
from cnr.store.records import INLINE_BLOB, UploadPart, UploadRecord
from cnr.store.update import DELETE, KEEP, Delete, Keep

JOIN_BELOW: Final = 8 * 1024 * 1024
"""Bytes of a last piece that the next one is joined with, so that a blob never comes in a million pieces."""
PIECES: Final = 500
"""An upload of more than PIECES times JOIN_BELOW joins pieces below that part of it, so that its record has room."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An open upload: `size` is how many bytes have come."""

    id: str
    size: int


class Uploads:
    """Begins, continues, ends and gives up uploads. A session is found under its own repository only.

    `length` is how many bytes a request says that it brings; 0 where it does not say.
    """

    def __init__(self, core: Core, blobs: Blobs, quotas: Quotas) -> None:
        self._core = core
        self._blobs = blobs
        self._pieces = Pieces(core)
        self._quotas = quotas
        self._opened = OpenUploads(core, self._give_up)
        self._touch_us = int(core.upload_idle.total_seconds() * 1_000_000) // 4

    async def begin(self, repository: Repository, *, owner: str = "") -> Upload:
        """A new upload without bytes. Nobody but `owner` finds it again.

        Raises TooManyUploads, and QuotaExceeded where nothing more could be kept.
        """
        await self._quotas.require_room(repository, size=1)
        await self._opened.admit(repository, owner)
        upload_id, now = self._core.new_id(), self._core.clock()
        wanted = UploadRecord(repository=repository, started_at=now, touched_at=now, owner=owner)
        await self._core.updater.update(keys.upload(upload_id), UploadRecord, lambda _: wanted, durable=False)
        return Upload(upload_id, 0)

    async def find(self, repository: Repository, upload_id: str, *, owner: str = "") -> Upload:
        """The open upload. Raises UploadNotFound."""
        return Upload(upload_id, (await self._session(repository, upload_id, owner)).size)

    async def append(
        self,
        repository: Repository,
        upload_id: str,
        chunks: Chunks,
        *,
        at: int | None = None,
        length: int = 0,
        owner: str = "",
    ) -> Upload:
        """Add `chunks`, which must begin at offset `at` where that is given; nothing of them is kept if they raise.

        Raises UploadNotFound, OutOfOrder (also where another piece came in meanwhile), TooLarge, QuotaExceeded, and
        what `chunks` raises.
        """
        session = await self._session(repository, upload_id, owner)
        _check_order(session, at)
        await self._quotas.require_room(repository, size=session.size + length)
        held = _Held(session)
        last = _short_last(session)
        added, _ = await self._pieces.store(
            joined(self._pieces.read([last] if last else []), self._holding(upload_id, held, chunks))
        )
        session = held.session
        kept = session.parts[:-1] if last else session.parts
        parts = (*kept, added) if added.size else kept
        after = msgspec.structs.replace(session, parts=parts, touched_at=self._core.clock())
        await self._swap(upload_id, session, after, [added])
        await self._pieces.drop(_own(session, [last]) if last else [] if added.size else [added])
        return Upload(upload_id, after.size)

    async def finish(
        self,
        repository: Repository,
        upload_id: str,
        digest: Digest,
        chunks: Chunks,
        *,
        at: int | None = None,
        length: int = 0,
        owner: str = "",
    ) -> None:
        """Add `chunks` as `append` does, and make the whole a blob of the repository. The session ends.

        May be repeated: while the store fails the session stays as it was, and where it has ended with this blob
        nothing is done. Raises UploadNotFound and OutOfOrder (nothing was changed), and InvalidDigest, TooLarge and
        QuotaExceeded, where the session is gone.
        """
        try:
            session = await self._session(repository, upload_id, owner)
            _check_order(session, at)
            await self._quotas.require_room(repository, size=session.size + length, blob=digest)
            held = _Held(session)
            await self._commit(repository, upload_id, held, digest, self._holding(upload_id, held, chunks))
        except (InvalidDigest, TooLarge, QuotaExceeded):
            await self._end(repository, upload_id)
            raise
        except UploadNotFound:
            ended = is_blob_id(upload_id) and not await self._is_anothers(upload_id, owner)
            if not (ended and await self._blobs.revive(repository, digest)):
                raise
            async for _ in chunks:
                pass  # a client that is cut off while it sends would not look at the answer
        await self._end(repository, upload_id, remember=True)

    async def _commit(
        self, repository: Repository, upload_id: str, held: "_Held", digest: Digest, chunks: Chunks
    ) -> None:
        """Write the blob's record. Another request that changes the session meanwhile makes this fail."""
        added = await self._last(chunks) if held.session.parts else None
        session = held.session
        parts = (*session.parts, added) if added else session.parts
        try:
            if _is_blob(session, parts, digest):
                await self._swap(upload_id, session, msgspec.structs.replace(session, adopted=parts[0].id), [])
                await self._blobs.attach(repository, digest, parts[0].size, parts[0].id)
                return
            arrived = await self._pieces.receive(digest, self._pieces.read(parts) if parts else chunks)
        finally:
            await self._pieces.drop([added] if added else [])
        await self._keep(
            repository, digest, arrived, still=lambda: self._unchanged(repository, upload_id, held.session)
        )

    async def take(self, repository: Repository, digest: Digest, chunks: Chunks, *, length: int = 0) -> None:
        """Make `chunks` a blob of the repository at once, without a session.

        Raises InvalidDigest, TooLarge, QuotaExceeded.
        """
        await self._quotas.require_room(repository, size=max(length, 1), blob=digest)
        bounded = self._bounded(chunks, 0)
        await self._keep(repository, digest, await self._pieces.receive(digest, bounded), durable=True)

    async def _holding(self, upload_id: str, held: "_Held", chunks: Chunks) -> AsyncIterator[Piece]:
        """The chunks, within the limit; as long as they come the session is touched, or it would be given up."""
        async for chunk in self._bounded(chunks, held.session.size):
            if self._core.clock() - held.session.touched_at > self._touch_us:
                held.session = await self._touch(upload_id, held.session)
            yield chunk

    async def _bounded(self, chunks: Chunks, size: int) -> AsyncIterator[Piece]:
        """The chunks after `size` bytes. Raises TooLarge."""
        limit = self._core.limits.blob_bytes
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise too_large("blob", limit)
            yield chunk

    async def _touch(self, upload_id: str, seen: UploadRecord) -> UploadRecord:
        touched = msgspec.structs.replace(seen, touched_at=self._core.clock())
        return await self._swap(upload_id, seen, touched, [])

    async def _give_up(self, upload_id: str, seen: UploadRecord) -> None:
        """End a session that is as it was seen. Raises OutOfOrder where it is not."""

        def change(now: UploadRecord | None) -> UploadRecord | Delete:
            if now is None or now.write != seen.write:
                raise _overtaken(now or seen)
            return DELETE

        await self._core.updater.update(keys.upload(upload_id), UploadRecord, change, durable=False)
        await self._pieces.drop(_own(seen, seen.parts))

    async def cancel(self, repository: Repository, upload_id: str, *, owner: str = "") -> None:
        """Give the upload up. Raises UploadNotFound."""
        await self._session(repository, upload_id, owner)
        if not await self._end(repository, upload_id):
            raise no_upload()

    async def _session(self, repository: Repository, upload_id: str, owner: str) -> UploadRecord:
        found = await self._core.read(keys.upload(upload_id), UploadRecord) if is_blob_id(upload_id) else None
        if not isinstance(found, UploadRecord) or found.repository != repository or found.ended_at:
            raise no_upload()
        if found.owner != owner:
            raise no_upload()
        return found

    async def _is_anothers(self, upload_id: str, owner: str) -> bool:
        found = await self._core.read(keys.upload(upload_id), UploadRecord)
        return isinstance(found, UploadRecord) and found.owner != owner

    async def _last(self, chunks: Chunks) -> UploadPart | None:
        """The piece that a closing request brings; None where it has no body, as most have none."""
        first, rest = await few(chunks)
        if not first:
            return None
        added, _ = await self._pieces.store(joined(once(first), rest) if rest else once(first))
        return added

    async def _end(self, repository: Repository, upload_id: str, *, remember: bool = False) -> bool:
        """End the session and delete its pieces; whether it was there. Durable, and so is the blob's record before it.

        With `remember` the record of a slow one stays, for garbage collection: blobs that came before wait for it.
        """
        now = self._core.clock()

        def change(before: UploadRecord | None) -> UploadRecord | Delete | Keep:
            if before is None or before.repository != repository or before.ended_at:
                return KEEP
            if remember and now - before.started_at > self._core.trusted_us:
                return msgspec.structs.replace(before, parts=(), adopted="", ended_at=now)
            return DELETE

        swap = await self._core.updater.update(keys.upload(upload_id), UploadRecord, change)
        if swap.before is None or swap.before == swap.after:
            return False
        self._opened.ended(repository, swap.before.owner)
        await self._pieces.drop(_own(swap.before, swap.before.parts))
        return True

    async def _unchanged(self, repository: Repository, upload_id: str, seen: UploadRecord) -> None:
        now = await self._session(repository, upload_id, seen.owner)
        if now.write != seen.write:
            raise _overtaken(now)

    async def _swap(
        self, upload_id: str, seen: UploadRecord, after: UploadRecord, added: Sequence[UploadPart]
    ) -> UploadRecord:
        """What stands now. Raises UploadNotFound and OutOfOrder; `added` is deleted then."""

        def change(now: UploadRecord | None) -> UploadRecord:
            if now is None or now.ended_at:
                raise no_upload()
            if now.write != seen.write:
                raise _overtaken(now)
            return after

        try:
            swap = await self._core.updater.update(keys.upload(upload_id), UploadRecord, change, durable=False)
        except OutcomeUnknown:
            raise  # the record may name what was added
        except CnrError:
            await self._pieces.drop(added)
            raise
        assert swap.after is not None
        return swap.after

    async def _keep(
        self,
        repository: Repository,
        digest: Digest,
        arrived: Arrived,
        *,
        still: Callable[[], Awaitable[None]] | None = None,
        durable: bool = False,
    ) -> None:
        """Write the blob's record, unless the bytes are others or `still` raises; then they are dropped."""
        try:
            if arrived.digest != digest:
                raise _mismatch(digest)
            if still is not None:
                await still()
        except CnrError:
            await self._pieces.drop([arrived.part])
            raise
        if arrived.data is not None:
            await self._blobs.keep(repository, digest, arrived.data, durable=durable)
        else:
            await self._blobs.adopt(repository, digest, arrived.part.size, arrived.part.id, durable=durable)


@dataclass(slots=True)
class _Held:
    """A session that a request adds to, as it stands: touching it changes it."""

    session: UploadRecord


def _check_order(session: UploadRecord, at: int | None) -> None:
    if at is not None and at != session.size:
        raise OutOfOrder(f"the next byte of this upload is {session.size}, not {at}", offset=session.size)


def _short_last(session: UploadRecord) -> UploadPart | None:
    """The last piece, where it is so short that the next one is joined with it."""
    last = session.parts[-1] if session.parts else None
    return last if last and last.size < max(JOIN_BELOW, session.size // PIECES) else None


def _is_blob(session: UploadRecord, parts: Sequence[UploadPart], digest: Digest) -> bool:
    """Whether the upload is a single piece whose id becomes the blob's.

    Not one that another request took for that before: its bytes may be a blob's by now, or gone with that blob.
    """
    if len(parts) != 1 or session.adopted:
        return False
    return parts[0].size > INLINE_BLOB and digest == f"sha256:{parts[0].sha256}"


def _own(session: UploadRecord, parts: Sequence[UploadPart]) -> list[UploadPart]:
    """Those whose bytes no blob can have; what became of others garbage collection finds out."""
    return [part for part in parts if part.id != session.adopted]


def _overtaken(now: UploadRecord) -> OutOfOrder:
    return OutOfOrder("another request changed this upload meanwhile", offset=now.size)


def _mismatch(digest: Digest) -> InvalidDigest:
    return InvalidDigest("the bytes that came do not have this digest; the upload is over", digest=digest)
