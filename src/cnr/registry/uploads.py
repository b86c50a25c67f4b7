"""Uploads: sessions in which the bytes of a blob arrive, in one piece or many, at any worker.

Each piece is stored under an id of its own, and the session's record names the pieces. hashlib's state cannot move
between processes, so each piece has its own sha256, and several of them are read once more when the upload ends.
A session that nobody touches is garbage collection's. Source: design/architecture.md, rule 9.
"""

import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from cnr.domain.digest import Digest
from cnr.domain.errors import CnrError, InvalidDigest, OutcomeUnknown, OutOfOrder, StoreTrouble, UploadNotFound
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.store import keys
from cnr.store.base import BlobNotFound, is_blob_id
from cnr.store.records import INLINE_BLOB, UploadPart, UploadRecord
from cnr.store.update import DELETE, Delete

JOIN_BELOW: Final = 8 * 1024 * 1024
"""Bytes of a last piece that the next one is joined with, so that a blob never comes in a million pieces."""
_PIECE: Final = 256 * 1024
"""Bytes hashed in one hop to the pool: worth the hop, and still in the processor's cache when they are written."""

Chunks = AsyncIterable[bytes]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """An open upload: `size` is how many bytes have come."""

    id: str
    size: int


class Uploads:
    """Begins, continues, ends and gives up uploads. A session is found under its own repository only."""

    def __init__(self, core: Core, blobs: Blobs) -> None:
        self._core = core
        self._blobs = blobs

    async def begin(self, repository: Repository) -> Upload:
        """A new upload without bytes."""
        upload_id, now = self._core.new_id(), self._core.clock()
        wanted = UploadRecord(repository=repository, started_at=now, touched_at=now)
        await self._core.updater.update(keys.upload(upload_id), UploadRecord, lambda _: wanted, durable=False)
        return Upload(upload_id, 0)

    async def find(self, repository: Repository, upload_id: str) -> Upload:
        """The open upload. Raises UploadNotFound."""
        return Upload(upload_id, (await self._session(repository, upload_id)).size)

    async def append(self, repository: Repository, upload_id: str, chunks: Chunks, *, at: int | None = None) -> Upload:
        """Add `chunks`, which must begin at offset `at` where that is given; nothing of them is kept if they raise.

        Raises UploadNotFound, OutOfOrder (also where another piece came in meanwhile), and what `chunks` raises.
        """
        session = await self._session(repository, upload_id)
        _check_order(session, at)
        last = session.parts[-1] if session.parts and session.parts[-1].size < JOIN_BELOW else None
        added, _ = await self._store(_joined(self._read([last] if last else []), chunks))
        kept = session.parts[:-1] if last else session.parts
        parts = (*kept, added) if added.size else kept
        after = msgspec.structs.replace(session, parts=parts, touched_at=self._core.clock())
        await self._swap(upload_id, session, after, [added])
        await self._drop([last] if last else [] if added.size else [added])
        return Upload(upload_id, after.size)

    async def finish(
        self, repository: Repository, upload_id: str, digest: Digest, chunks: Chunks, *, at: int | None = None
    ) -> None:
        """Add `chunks` as `append` does, and make the whole a blob of the repository. The session ends.

        Raises UploadNotFound and OutOfOrder (nothing was changed), InvalidDigest (the session is gone).
        """
        session = await self._session(repository, upload_id)
        _check_order(session, at)
        if not session.parts:
            arrived = await self._receive(digest, chunks)
            await self._end(upload_id, session, arrived.part)
            await self._keep(repository, digest, arrived)
            return
        added = await self._last(chunks)
        await self._end(upload_id, session, added)
        await self._unite(repository, digest, (*session.parts, added) if added else session.parts)

    async def take(self, repository: Repository, digest: Digest, chunks: Chunks) -> None:
        """Make `chunks` a blob of the repository at once, without a session. Raises InvalidDigest."""
        await self._keep(repository, digest, await self._receive(digest, chunks))

    async def cancel(self, repository: Repository, upload_id: str) -> None:
        """Give the upload up. Raises UploadNotFound."""
        session = await self._session(repository, upload_id)
        await self._end(upload_id, session, None)
        await self._drop(session.parts)

    async def _session(self, repository: Repository, upload_id: str) -> UploadRecord:
        found = await self._core.read(keys.upload(upload_id), UploadRecord) if is_blob_id(upload_id) else None
        if not isinstance(found, UploadRecord) or found.repository != repository:
            raise _no_upload()
        return found

    async def _last(self, chunks: Chunks) -> UploadPart | None:
        """The piece that a closing request brings; None where it has no body, as most have none."""
        first, rest = await _few(chunks)
        if not first:
            return None
        added, _ = await self._store(_joined(_once(first), rest) if rest else _once(first))
        return added

    async def _end(self, upload_id: str, seen: UploadRecord, added: UploadPart | None) -> None:
        """Delete the session before its pieces become something else: no other request can add to it then."""
        await self._swap(upload_id, seen, DELETE, [added] if added else [])

    async def _swap(
        self, upload_id: str, seen: UploadRecord, after: UploadRecord | Delete, added: Sequence[UploadPart]
    ) -> None:
        def change(now: UploadRecord | None) -> UploadRecord | Delete:
            if now is None:
                raise _no_upload()
            if now.write != seen.write:
                raise OutOfOrder("another request changed this upload meanwhile", offset=now.size)
            return after

        try:
            await self._core.updater.update(keys.upload(upload_id), UploadRecord, change, durable=False)
        except OutcomeUnknown:
            raise  # the record may name what was added
        except CnrError:
            await self._drop(added)
            raise

    async def _drop(self, parts: Sequence[UploadPart]) -> None:
        """Delete pieces that nothing names any more. Never fails: what is left is garbage collection's."""
        for part in parts:
            try:
                if part.id:
                    await self._core.blobs.delete(part.id)
            except StoreTrouble as exc:
                _log.warning("a piece of an upload stays until it is swept: %s", exc.message)

    async def _receive(self, digest: Digest, chunks: Chunks) -> "_Arrived":
        """All bytes of a blob: kept in memory while they are few, else stored under an id."""
        algorithm = digest.partition(":")[0]
        first, rest = await _few(chunks)
        if rest is None:
            found = hashlib.new(algorithm, first).hexdigest()
            return _Arrived(first, UploadPart("", len(first), ""), f"{algorithm}:{found}")
        part, found = await self._store(_joined(_once(first), rest), algorithm)
        return _Arrived(None, part, f"{algorithm}:{found}")

    async def _keep(self, repository: Repository, digest: Digest, arrived: "_Arrived") -> None:
        if arrived.digest != digest:
            await self._drop([arrived.part])
            raise _mismatch(digest)
        if arrived.data is not None:
            await self._blobs.keep(repository, digest, arrived.data)
        else:
            await self._blobs.adopt(repository, digest, arrived.part.size, arrived.part.id)

    async def _unite(self, repository: Repository, digest: Digest, parts: Sequence[UploadPart]) -> None:
        """Make the pieces one blob. A single one is not copied: its id becomes the blob's."""
        size = sum(part.size for part in parts)
        if len(parts) == 1 and digest == f"sha256:{parts[0].sha256}" and size > INLINE_BLOB:
            await self._blobs.adopt(repository, digest, size, parts[0].id)
            return
        try:
            await self._keep(repository, digest, await self._receive(digest, self._read(parts)))
        finally:
            await self._drop(parts)

    async def _store(self, chunks: Chunks, algorithm: str = "sha256") -> tuple[UploadPart, str]:
        """The stored piece, and its hash by `algorithm`."""
        running = [hashlib.new(name) for name in dict.fromkeys((algorithm, "sha256"))]
        blob_id = self._core.new_id()
        size = await self._core.blobs.put(blob_id, self._hashed(chunks, [each.update for each in running]))
        return UploadPart(blob_id, size, running[-1].hexdigest()), running[0].hexdigest()

    async def _hashed(self, chunks: Chunks, updates: Sequence[Callable[[bytes], None]]) -> AsyncIterator[bytes]:
        async for piece in gathered(chunks):
            for update in updates:
                await self._core.work(len(piece), lambda update=update, piece=piece: update(piece))  # type: ignore[misc]
            yield piece

    async def _read(self, parts: Sequence[UploadPart]) -> AsyncIterator[bytes]:
        for part in parts:
            try:
                reader = await self._core.blobs.open(part.id)
            except BlobNotFound:
                raise _no_upload() from None
            async for chunk in reader.chunks:
                yield chunk


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A blob's bytes, in `data` or as a stored piece, and the digest that they have."""

    data: bytes | None
    part: UploadPart
    digest: str


async def gathered(chunks: Chunks, size: int = _PIECE) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least `size`, but for the last: fewer hops to the pool."""
    held: list[bytes] = []
    length = 0
    async for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


async def _few(chunks: Chunks) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """All bytes where they fit into a record, and None; else the first ones, and the rest."""
    rest = aiter(chunks)
    held = b""
    async for chunk in rest:
        held += chunk
        if len(held) > INLINE_BLOB:
            return held, rest
    return held, None


async def _joined(*parts: Chunks) -> AsyncIterator[bytes]:
    for part in parts:
        async for chunk in part:
            yield chunk


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _check_order(session: UploadRecord, at: int | None) -> None:
    if at is not None and at != session.size:
        raise OutOfOrder(f"the next byte of this upload is {session.size}, not {at}", offset=session.size)


def _no_upload() -> UploadNotFound:
    return UploadNotFound("there is no such upload: begin a new one")


def _mismatch(digest: Digest) -> InvalidDigest:
    return InvalidDigest("the bytes that came do not have this digest; the upload is over", digest=digest)
