"""What tests do with a RecordStore again and again: read all of it, follow its feed, count a record up."""

from typing import Literal

from cnr.store.base import (
    ABSENT,
    PAGE_BYTES,
    Absent,
    Cursor,
    Record,
    RecordNotFound,
    RecordStore,
    Version,
    VersionConflict,
)


async def everything(store: RecordStore, prefix: str = "", *, limit: int = 1000) -> list[Record]:
    """All records under `prefix`, page by page."""
    found: list[Record] = []
    while page := await store.scan(prefix, after=found[-1].key if found else "", limit=limit):
        assert len(page) <= limit
        assert len(page) == 1 or sum(len(record.value) for record in page) <= PAGE_BYTES
        found += page
    return found


async def feed(store: RecordStore, since: Cursor) -> tuple[list[str], Cursor]:
    """All keys after `since`, page by page, up to a head."""
    keys: list[str] = []
    while True:
        page, until = await store.changes(since)
        assert len(page) <= 1000
        keys += page
        if not page and until in (since, await store.head()):
            return keys, until
        since = until


async def increment(store: RecordStore, key: str, times: int) -> list[Version]:
    """Count `key` up by compare-and-swap; the Versions that the swaps got."""
    versions: list[Version] = []
    while len(versions) < times:
        expect: Version | Literal[Absent.ABSENT] = ABSENT
        value = 0
        try:
            found = await store.get(key)
            expect, value = found.version, int(found.value)
        except RecordNotFound:
            pass
        try:
            versions.append(await store.put(key, b"%d" % (value + 1), expect=expect, durable=False))
        except VersionConflict:
            continue
    return versions
