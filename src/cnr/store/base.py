"""The storage contract: RecordStore for small values, BlobStore for bytes. Every driver keeps all of it.

One suite (`tests/store/`) holds every driver to these docstrings. A driver that cannot keep one must not open.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, Literal, NewType, Protocol, runtime_checkable

from cnr.domain.errors import StoreUnavailable
from cnr.domain.piece import Piece

VALUE_LIMIT: Final = 512 * 1024
"""Bytes that a record's value may have."""
KEY_LIMIT: Final = 512
"""Characters that a key may have: `referrers/<repo>/<sha512>/<sha512>` with a 200-character repository is 485."""
PAGE_BYTES: Final = 1024 * 1024
"""A page of `scan` holds at most this many bytes of values (but always one record)."""

Version = NewType("Version", int)
"""Store-wide, strictly increasing, never used again, also after a delete."""

Tell = Callable[[Piece], None]
"""Told the bytes of a blob, piece by piece and in their order: in any thread, in one at a time."""

Cursor = NewType("Cursor", str)
"""A place in the feed. Opaque: only its own store can read it."""


class Absent(Enum):
    """The type of ABSENT."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""As `expect=`: the key must not exist. There is no blind write."""


class RecordNotFound(Exception):
    """No record under this key."""


class VersionConflict(Exception):
    """The record is not what `expect` said. Nothing was written."""


class RecordTooLarge(Exception):
    """The value is over VALUE_LIMIT, or the key over KEY_LIMIT. Nothing was written."""


class CursorLost(Exception):
    """The feed cannot prove that it is complete since this cursor: take head(), scan, apply from there."""


class BlobNotFound(Exception):
    """No bytes under this id."""


class StoreRefused(Exception):
    """A store that must not be used as it is. One sentence for whoever started the program."""


def check_write(key: str, value: bytes = b"") -> None:
    """What every driver asks before a write.

    Raises RecordTooLarge, and ValueError for a key that is empty or not printable ASCII (0x20 to 0x7E).
    """
    if len(key) > KEY_LIMIT or len(value) > VALUE_LIMIT:
        raise RecordTooLarge(f"a record of {len(value)} bytes under a key of {len(key)} characters")
    if not (key and key.isascii() and key.isprintable()):
        raise ValueError(f"not a key: {key!r}")


def is_blob_id(text: str) -> bool:
    """Whether this is what BlobStore takes for an id: 32 lowercase hex digits."""
    return len(text) == 32 and text.isascii() and all(c in "0123456789abcdef" for c in text)


@dataclass(frozen=True, slots=True)
class Record:
    """A value and the Version of the write that made it."""

    key: str
    value: bytes
    version: Version


class NoRoom(StoreUnavailable):
    """The engine takes no writes until its operator has made room, and goes on to be read. Nothing was changed."""


class RecordStore(Protocol):
    """Small values under ASCII keys, linearizable per key, over any number of processes.

    Every method may raise StoreUnavailable (nothing changed); every write OutcomeUnknown (it may or may not
    have happened) and StoreFull (nothing changed). Both come from cnr.domain.errors. A driver never retries a
    write: a retry after a lost answer would report a conflict with the caller's own value.
    """

    orders_durability: bool
    """Whether a durable write makes all earlier writes of this process durable (one log for all keys)."""

    async def get(self, key: str) -> Record:
        """The newest committed record. Raises RecordNotFound."""
        ...

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        """Write `value` if the record is at `expect`; all or nothing.

        With `durable` the record survives power loss once this returns (weaker only by the engine's own
        documented setting); without, it survives kill -9. Visible to every process before it returns.
        Raises VersionConflict, RecordTooLarge.
        """
        ...

    async def delete(self, key: str, *, expect: Version) -> None:
        """Remove the record if it is at `expect`; durable. Raises VersionConflict, also where it is absent."""
        ...

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """Records whose key begins with `prefix` and is above `after` (a whole key), in byte order of the key.

        At most `limit`, and at most PAGE_BYTES of values; an empty answer, and only that, means the end. Pages
        taken one after another show every record that was present throughout.
        """
        ...

    async def head(self) -> Cursor:
        """Where the feed is now; linearizable: every write acknowledged before the call is at or before it."""
        ...

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        """Keys written or deleted after `since`, and the cursor up to which this is all of them.

        At least once each; several changes of one key may be one entry; never keys of keys.UNFED. At most 1,000
        keys a call: go on from the cursor that came back until it is the head. With none, waits up to
        `timeout_s` for one. Raises CursorLost.
        """
        ...

    async def close(self) -> None:
        """Finish writes under way and let go of the engine. Nothing may be called afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class BlobReader:
    """`size` of the whole blob in bytes, and the asked-for part of it, in pieces of at most 1 MiB.

    `chunks` is consumed once; closing it early (`aclose`) lets go of everything held. `data` is that part in one
    piece where it was at hand anyway, so that nothing has to be iterated. `unproven` bytes come from another machine:
    whoever knows their digest checks it.
    """

    size: int
    chunks: AsyncIterator[bytes]
    data: bytes | None = None
    unproven: bool = False


class BlobStore(Protocol):
    """Bytes of any size under ids (32 hex digits) that are random and never used again."""

    async def put(self, blob_id: str, chunks: AsyncIterable[Piece], tell: Tell | None = None) -> int:
        """Store all of `chunks`; returns their size in bytes. Durable once it returns.

        `tell`, which may take its time, has been told all of them by then: so they are hashed on their way.

        All or nothing: if `chunks` raises, or this process dies, nothing is ever found under the id.
        Raises StoreFull, StoreUnavailable.
        """
        ...

    async def open(self, blob_id: str, start: int = 0, stop: int | None = None) -> BlobReader:
        """Bytes `start` (inclusive) to `stop` (exclusive; None or beyond the end: to the end).

        Raises BlobNotFound before the first byte. A reader goes on to the end although the blob is deleted.
        """
        ...

    async def copy(self, source: str, target: str) -> None:
        """Make `target` hold the bytes of `source`, durable; without reading them where the engine can.

        Raises BlobNotFound.
        """
        ...

    async def delete(self, blob_id: str) -> None:
        """Remove the bytes. Idempotent."""
        ...

    def scan(self) -> AsyncIterator[str]:
        """Every id present throughout, in any order."""
        ...

    async def close(self) -> None:
        """Let go of the engine. Nothing may be called afterwards."""
        ...


@runtime_checkable
class BlobAddresses(Protocol):
    """What a BlobStore may have besides: addresses under which clients fetch the bytes themselves."""

    async def url_for(self, blob_id: str, ttl: timedelta) -> str:
        """A URL that gives the blob's bytes to whoever has it, also in part, to a GET within `ttl`.

        Says nothing about whether the blob is there. Raises StoreUnavailable where there is none to be had.
        """
        ...


@runtime_checkable
class HeadBeside(Protocol):
    """A RecordStore far away, which answers two questions in the time of one."""

    async def get_and_head(self, key: str) -> tuple[Record | None, Cursor]:
        """What `get` (None: there is no record) and `head` say, asked at the same time and each as good as alone.

        They need not be of one moment. Raises StoreUnavailable.
        """
        ...


@runtime_checkable
class Clocked(Protocol):
    """A RecordStore with a clock of its own, which all its servers then go by."""

    async def now_us(self) -> int:
        """Microseconds UTC. Raises StoreUnavailable."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """A BlobStore that can be away while the records are there."""

    async def reach(self) -> None:
        """Raises StoreUnavailable while it does not serve this process."""
        ...


@runtime_checkable
class SelfExamining(Protocol):
    """A RecordStore whose engine can look through its own files."""

    async def examine(self) -> Sequence[str]:
        """What is wrong with them, each in one line; reads all of them. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that an operator may want to know of a store: what it keeps, where it ends.

    `warning` is one sentence where it should be otherwise.
    """

    name: str
    value: str
    warning: str = ""


@runtime_checkable
class Inspected(Protocol):
    """A RecordStore or BlobStore that can say how its engine is set up."""

    async def inspect(self) -> Sequence[Fact]:
        """What is guaranteed, and by which settings of the engine. Raises StoreUnavailable."""
        ...
