"""What a store is asked before it is used: whether it keeps the contract, and whether its format is known."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import msgspec

from cnr.store import keys
from cnr.store.base import (
    ABSENT,
    Absent,
    Cursor,
    RecordNotFound,
    RecordStore,
    StoreRefused,
    Version,
    VersionConflict,
)
from cnr.store.records import FORMAT, Stored, encode


class StoreFormat(Stored, frozen=True, kw_only=True):
    """meta/format: the newest format that a reader may meet, and the one that is written."""

    read_format: int
    write_format: int


_decoder: Final = msgspec.msgpack.Decoder(StoreFormat)


async def check_format(store: RecordStore, new_id: Callable[[], str], *, known: int = FORMAT) -> None:
    """Make sure that this code, which knows formats up to `known`, knows what the store is written in.

    An empty store gets ours. Raises StoreRefused: an older server must not change what a newer one wrote.
    """
    try:
        found = await read_format(store)
    except RecordNotFound:
        ours = StoreFormat(read_format=known, write_format=known, write=new_id())
        try:
            await store.put(keys.META_FORMAT, encode(ours), expect=ABSENT)
            return
        except VersionConflict:  # another process was first
            found = await read_format(store)
    if max(found.read_format, found.write_format) > known:
        raise StoreRefused(
            f"the store has format {found.write_format}, written by a newer version of this software, "
            f"which knows {known}; upgrade it"
        )


async def read_format(store: RecordStore) -> StoreFormat:
    """What the store says of itself. Raises RecordNotFound where it is empty, StoreRefused."""
    try:
        return _decoder.decode((await store.get(keys.META_FORMAT)).value[1:])
    except msgspec.MsgspecError as exc:
        raise StoreRefused("the store's own format record cannot be read") from exc


async def write_format(store: RecordStore, wanted: StoreFormat, new_id: Callable[[], str]) -> None:
    """Make the store say that it has the formats of `wanted`. Raises VersionConflict if somebody else changes it."""
    before = await store.get(keys.META_FORMAT)
    ours = msgspec.structs.replace(wanted, write=new_id())
    await store.put(keys.META_FORMAT, encode(ours), expect=before.version)


async def raise_format(store: RecordStore, new_id: Callable[[], str], *, known: int = FORMAT) -> tuple[int, int]:
    """Let servers write the newest format that this code knows; from which to which it was raised.

    Versions that do not know it refuse the store from then on, and it cannot be lowered. Idempotent; several at
    once are one. Raises RecordNotFound, StoreRefused where the store is newer.
    """
    await check_format(store, new_id, known=known)
    before = (await read_format(store)).write_format
    if before < known:
        try:
            await write_format(store, StoreFormat(read_format=known, write_format=known), new_id)
        except VersionConflict:  # somebody else raises it
            return await raise_format(store, new_id, known=known)
    return before, known


async def check_whole(store: RecordStore) -> None:
    """Raises StoreRefused for the target of an unfinished migration."""
    with suppress(RecordNotFound):
        await store.get(keys.META_MIGRATION)
        raise StoreRefused("a migration to this store is not finished: run cnr storage migrate again, as before")


async def check_contract(store: RecordStore, new_id: Callable[[], str]) -> None:
    """Try swaps, head and changes on a key of its own, and remove it. Raises StoreRefused where they do not hold."""
    key = f"meta/probe-{new_id()}"
    before = await store.head()
    first = await store.put(key, b"1", expect=ABSENT, durable=False)
    second = await store.put(key, b"2", expect=first, durable=False)
    found = await store.get(key)
    kept = (found.value, found.version) == (b"2", second) and second > first
    refused = await _refused(store, key, ABSENT) and await _refused(store, key, first)
    fed = await _fed(store, key, before)
    await store.delete(key, expect=(await store.get(key)).version)
    if not (kept and refused and fed):
        broken = "the feed" if kept and refused else "compare-and-swap"
        raise StoreRefused(f"{type(store).__name__} does not keep what a store must: {broken} does not work")


async def _refused(store: RecordStore, key: str, expect: Version | Literal[Absent.ABSENT]) -> bool:
    try:
        await store.put(key, b"3", expect=expect, durable=False)
    except VersionConflict:
        return True
    return False


async def _fed(store: RecordStore, key: str, since: Cursor) -> bool:
    """Whether the feed names `key` between `since` and its head; others may write meanwhile."""
    head = await store.head()
    while True:
        found, until = await store.changes(since)
        if key in found:
            return True
        if until in (since, head):
            return False
        since = until
