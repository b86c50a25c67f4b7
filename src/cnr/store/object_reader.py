"""Reading an object: in pieces, from where a body broke off, and never more or fewer bytes than were asked for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import obstore

from cnr.domain.errors import StoreUnavailable
from cnr.store.object_address import ObjectStore
from cnr.store.object_trouble import FAILURES, is_absent, trouble

PIECE: Final = 1024 * 1024
_GATHERED: Final = 256 * 1024
_RESUMES: Final = 4
"""Times in a row that a body may break off without a byte."""
_PAUSE_S: Final = 0.1


class Pieces:
    """Bytes `start` to `stop` of an object of `size` bytes, whose answer has begun."""

    def __init__(self, size: int, start: int, stop: int, store: ObjectStore | None, path: str, answer: Any) -> None:
        self.size = size
        self._at = start
        self._stop = stop
        self._store = store
        self._path = path
        self._answer = answer

    @classmethod
    async def of(cls, store: ObjectStore, path: str, start: int, stop: int | None) -> "Pieces":
        """Raises what the library raises."""
        answer = await _ask(store, path, start, stop)
        first, last = answer.range
        size = answer.meta["size"]
        if (first, last) != (start, size if stop is None else min(stop, size)):
            raise StoreUnavailable("the object store gave another part of an object than was asked for")
        return cls(size, start, last, store, path, answer)

    @classmethod
    def none(cls, size: int) -> "Pieces":
        """No bytes of an object of `size`."""
        return cls(size, 0, 0, None, "", None)

    @property
    def left(self) -> int:
        """Bytes still to come."""
        return self._stop - self._at

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces of at most 1 MiB. Raises StoreUnavailable; it never ends early."""
        barren = 0
        while self.left:
            before = self._at
            async for piece in self._until_it_breaks():
                yield piece
            barren = barren + 1 if self._at == before else 0
            if self.left:
                await self._resume(barren)

    async def _until_it_breaks(self) -> AsyncIterator[bytes]:
        answer, self._answer = self._answer, None
        stream = answer.stream(min_chunk_size=_GATHERED)
        while self.left:
            try:
                arrived = bytes(await anext(stream, b""))
            except FAILURES:
                return
            if not arrived:
                return
            if len(arrived) > self.left:
                raise StoreUnavailable("the object store gave more bytes than were asked for")
            for at in range(0, len(arrived), PIECE):
                piece = arrived[at : at + PIECE]
                self._at += len(piece)
                yield piece

    async def _resume(self, barren: int) -> None:
        if barren > _RESUMES:
            raise StoreUnavailable("the object store breaks off in the middle of an object")
        await asyncio.sleep(_PAUSE_S * barren)
        assert self._store is not None
        try:
            self._answer = await _ask(self._store, self._path, self._at, self._stop)
        except FAILURES as exc:
            if is_absent(exc):
                raise StoreUnavailable("an object was deleted while it was read") from None
            raise trouble(exc) from None
        if self._answer.meta["size"] != self.size or self._answer.range != (self._at, self._stop):
            raise StoreUnavailable("the object store gave another part of an object than was asked for")


async def at_once(pieces: Pieces) -> bytes | None:
    """All bytes where they are few, so that a failure comes before the first byte; None where they are not."""
    if pieces.left > PIECE:
        return None
    return b"".join([piece async for piece in pieces.chunks()])


async def _ask(store: ObjectStore, path: str, start: int, stop: int | None) -> Any:
    if start == 0 and stop is None:
        return await obstore.get_async(store, path)
    wanted: Any = (start, stop) if stop is not None else {"offset": start}
    return await obstore.get_async(store, path, options={"range": wanted})
