"""ObjectBlobs: each blob an object of S3, Google Cloud Storage or Azure, `<prefix>blobs/<first 2 hex digits>/<id>`.

The layout below the prefix is that of a folder's `blobs/`, so that either can be copied to the other.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import obstore

from cnr.domain.errors import StoreTrouble, StoreUnavailable, TooLarge
from cnr.domain.piece import Piece
from cnr.domain.store_url import StoreUrl
from cnr.store.base import BlobNotFound, BlobReader, Fact, StoreRefused, Tell, is_blob_id
from cnr.store.drivers import Given
from cnr.store.object_address import ObjectAddress, ObjectStore, Patience
from cnr.store.object_reader import Pieces, at_once
from cnr.store.object_state import facts
from cnr.store.object_trouble import FAILURES, NoAccess, cannot_do, is_absent, is_beyond_the_end, trouble
from cnr.store.telling import telling

T = TypeVar("T")

PART: Final = 8 * 1024 * 1024
"""Bytes of a part of a multipart upload. A put holds about three of them."""
PARTS: Final = 10_000
"""Parts that an upload may have. Source: Amazon S3, "Multipart upload limits"; Azure takes 50,000."""
MIB: Final = 1024 * 1024
DISCARD_S: Final = 20
"""Seconds for clearing up after a put that failed."""
_PROBE: Final = b"probe"
_PROBE_TTL: Final = timedelta(minutes=1)
_LEAVING_S: Final = 0.1
_log = logging.getLogger(__name__)


async def open_blobs(url: StoreUrl, given: Given, *, patience: Patience | None = None) -> "ObjectBlobs":
    """The blobs in the bucket that `url` names (object_address); they were tried. Call it after the fork.

    Raises StoreRefused for an address or a bucket that cannot be used, StoreUnavailable where nobody answers.
    """
    try:
        address = ObjectAddress.of(url)
        store, public = address.connect(patience or Patience()), address.connect_public(patience or Patience())
    except ValueError as exc:
        raise StoreRefused(f"{url} cannot be used: {exc}") from None
    blobs = ObjectBlobs(store, address, public=public)
    try:
        await blobs.probes.check()
    except BaseException:
        await blobs.close()
        raise
    return blobs


class ObjectBlobs:
    """BlobStore in a bucket, for any number of hosts. Failing calls were repeated by the library (Patience).

    An object appears when its upload is complete, so there are no drafts. What a process that dies leaves is an
    incomplete multipart upload, which nobody sees and the bucket's lifecycle rule removes. Bytes come from another
    machine: readers say so (`BlobReader.unproven`), and whoever knows the digest checks them. Inspected, Reachable.
    """

    def __init__(self, store: ObjectStore, address: ObjectAddress, *, public: ObjectStore) -> None:
        self._store = store
        self._public = public
        self._address = address
        self._root = f"{address.prefix}blobs/"

    @property
    def probes(self) -> "ObjectBlobs":
        """A store beside this one: what a process leaves there that dies is no blob, and an empty store stays empty."""
        return ObjectBlobs(
            self._store, replace(self._address, prefix=f"{self._address.prefix}probes/"), public=self._public
        )

    async def check(self) -> None:
        """Try everything once, on blobs of its own. Raises StoreRefused, StoreUnavailable."""
        first, second = secrets.token_hex(16), secrets.token_hex(16)
        try:
            await self.put(first, _once(_PROBE))
            await self.copy(first, second)
            part = await self.open(second, 1, 3)
            kept = part.data == b"ro" and first in [name async for name in self._scan(f"{self._root}{first[:2]}/")]
            await self.delete(first)
            await self.delete(second)
        except NoAccess as exc:
            raise StoreRefused(exc.message) from None
        except BlobNotFound:
            kept = False
        if not kept:
            raise StoreRefused("the object store does not give back what was put into it")

    async def reach(self) -> None:
        """As Reachable.reach: an object is asked for that is not there, of a bucket that is."""
        try:
            await obstore.get_async(self._store, f"{self._root}none")
        except FAILURES as exc:
            if not is_absent(exc):
                raise trouble(exc) from None

    async def inspect(self) -> Sequence[Fact]:
        """As Inspected.inspect; puts an object among the probes, and removes it."""
        probes, name = self.probes, secrets.token_hex(16)
        await probes.put(name, _once(_PROBE))
        try:
            found = await facts(self._address, lambda: probes.url_for(name, _PROBE_TTL), data=_PROBE)
        finally:
            await probes.delete(name)
        size = f"in parts of {PART // MIB} MiB; a file may have {PART * PARTS // MIB // 1024} GiB"
        return [*found, Fact("large files", size)]

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        """As BlobStore.put. Up to PART bytes in one request, else in parts, one of them under way at a time.

        Raises TooLarge above PART * PARTS bytes.
        """
        path = self._path(blob_id)
        parts = _parts(telling(chunks, tell))
        first, second = await anext(parts, b""), await anext(parts, b"")
        if not second:
            try:
                # use_multipart=False: else the library reads `first` as a stream. Ids are never used twice, so
                # there is nothing to overwrite; mode="create" would forbid the retries.
                await self._call(obstore.put_async(self._store, path, first, use_multipart=False))
            except BaseException:
                await self._discard(path)
                raise
            return len(first)
        return await self._put_parts(path, [first, second], parts)

    async def _put_parts(self, path: str, begun: list[bytes], parts: AsyncIterator[bytes]) -> int:
        # With max_concurrency=1 a write returns when the part before is stored: the next one is gathered meanwhile.
        writer = obstore.open_writer_async(self._store, path, buffer_size=PART, max_concurrency=1)
        size = 0
        try:
            async for part in _both(begun, parts):
                size += len(part)
                if size > PART * PARTS:
                    raise TooLarge("a blob on an object store may have 78 GiB", limit=PART * PARTS, what="blob")
                await self._call(writer.write(part))
            await self._call(writer.close())
            if await self._size(path) != size:
                raise StoreUnavailable("the object store kept another number of bytes than it was sent")
        except BaseException as exc:
            await self._discard(path, writer, exc)
            raise
        return size

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        """As BlobStore.open. Up to 1 MiB is read before this returns; a longer body that breaks off is continued.

        A reader whose body broke off after the blob's delete raises StoreUnavailable.
        """
        if not is_blob_id(blob_id):
            raise BlobNotFound(blob_id)
        path = self._path(blob_id)
        try:
            pieces = await self._get(path, start, stop)
            data = await at_once(pieces)
        except FAILURES as exc:
            raise (BlobNotFound(blob_id) if is_absent(exc) else trouble(exc)) from None
        if data is not None:
            return BlobReader(pieces.size, _once(data), data, unproven=True)
        return BlobReader(pieces.size, pieces.chunks(), unproven=True)

    async def _get(self, path: str, start: int, stop: int | None) -> Pieces:
        if stop is not None and stop <= start:
            return Pieces.none(await self._size(path))
        try:
            return await Pieces.of(self._store, path, start, stop)
        except FAILURES as exc:
            if not is_beyond_the_end(exc):
                raise
        size = await self._size(path)
        if start < size:
            raise StoreUnavailable("the object store does not give a part of an object")
        return Pieces.none(size)

    async def _size(self, path: str) -> int:
        return (await obstore.head_async(self._store, path))["size"]

    async def copy(self, source: str, target: str) -> None:
        """As BlobStore.copy: by the store itself; through this process where it will not (S3 above 5 GB)."""
        wanted = self._path(target)
        if not is_blob_id(source):
            raise BlobNotFound(source)
        try:
            size = await self._size(self._path(source))
            if await self._copied(self._path(source), wanted) and await self._size(wanted) == size:
                return  # Azure may answer before all is copied
        except FAILURES as exc:
            raise (BlobNotFound(source) if is_absent(exc) else trouble(exc)) from None
        await self.put(target, (await self.open(source)).chunks)

    async def _copied(self, source: str, target: str) -> bool:
        try:
            await settled(obstore.copy_async(self._store, source, target))
        except asyncio.CancelledError:
            await self._discard(target)
            raise
        except FAILURES as exc:
            if is_absent(exc) or not cannot_do(exc):
                raise
            return False
        return True

    async def delete(self, blob_id: str) -> None:
        """As BlobStore.delete."""
        if is_blob_id(blob_id):
            await self._delete(self._path(blob_id))

    async def _delete(self, path: str) -> None:
        try:
            await settled(obstore.delete_async(self._store, path))
        except FAILURES as exc:
            if not is_absent(exc):
                raise trouble(exc) from None

    def scan(self) -> AsyncIterator[str]:
        """As BlobStore.scan: the names below the prefix, 1,000 a request."""
        return self._scan(self._root)

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        try:
            async for page in obstore.list(self._store, prefix, chunk_size=1000):
                for found in page:
                    folder, _, name = found["path"].removeprefix(self._root).partition("/")
                    if is_blob_id(name) and name[:2] == folder:
                        yield name
        except FAILURES as exc:
            raise trouble(exc) from None

    async def url_for(self, blob_id: str, ttl: timedelta) -> str:
        """As BlobAddresses.url_for. Raises StoreUnavailable where these credentials cannot sign."""
        try:
            return await obstore.sign_async(self._public, "GET", self._path(blob_id), ttl)
        except FAILURES as exc:
            raise trouble(exc) from None

    async def close(self) -> None:
        """As BlobStore.close."""
        # The library's threads let go of a finished call a moment after its result is here. If Python ends in that
        # moment, they abort the process: 13 of 40 runs did that fetched one object and ended, 0 of 40 with 20 ms.
        await asyncio.sleep(_LEAVING_S)

    def _path(self, blob_id: str) -> str:
        if not is_blob_id(blob_id):
            raise ValueError(f"not a blob's id: {blob_id!r}")
        return f"{self._root}{blob_id[:2]}/{blob_id}"

    async def _call(self, call: Awaitable[T]) -> T:
        try:
            return await settled(call)
        except FAILURES as exc:
            raise trouble(exc) from None

    async def _discard(self, path: str, writer: Any = None, exc: BaseException | None = None) -> None:
        """Leave nothing under `path`. Never fails: what cannot be removed now is garbage collection's."""

        async def discard() -> None:
            if writer is not None:
                await _abort(writer, exc)
            await self._delete(path)

        try:
            await settled(asyncio.wait_for(discard(), DISCARD_S))
        except (StoreTrouble, TimeoutError):
            _log.warning("what a failed upload left in the object store stays until it is swept")


async def _abort(writer: Any, exc: BaseException | None) -> None:
    """Give up a multipart upload, and its parts with it."""
    # A part that is under way when an upload is aborted may be stored afterwards, for ever and unseen. With
    # max_concurrency=1 one more byte is taken only when no part is under way any more.
    with suppress(*FAILURES):
        await writer.write(b"\0")
    with suppress(*FAILURES):
        await writer.__aexit__(type(exc), exc, None)


async def settled(call: Awaitable[T]) -> T:
    """The result of `call`. A cancelled caller waits for its end too, so that what it did can be undone."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise


async def _parts(chunks: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of PART, but for the last."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= PART:
            yield bytes(memoryview(held)[:PART])
            del held[:PART]
    if held:
        yield bytes(held)


async def _both(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while first:
        yield first.pop(0)  # not to be held while the rest goes by
    async for each in rest:
        yield each


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
