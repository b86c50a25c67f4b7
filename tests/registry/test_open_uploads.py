"""How many uploads may be open, and when one that nobody goes on with is given up."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cnr.domain.digest import sha256
from cnr.domain.errors import TooLarge, TooManyUploads, UploadNotFound
from cnr.domain.limits import Limits
from cnr.domain.names import Repository
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import UploadRecord
from cnr.store.sqlite import SqliteRecords

from .test_uploads import chunks, stored

REPO, OTHER = Repository("ns/app"), Repository("ns/other")
HOUR_US = 3_600_000_000


def limited(registry: Registry, **limits: int) -> Registry:
    """Another process over the same stores, with these limits."""
    core = dataclasses.replace(registry.core, limits=Limits(**limits), upload_idle=timedelta(hours=1))
    return Registry(core)


async def age(store: SqliteRecords, upload_id: str, us: int) -> None:
    """Make an upload look as if nothing had come for so long."""
    found = await store.get(keys.upload(upload_id))
    session: UploadRecord = records.decode(UploadRecord, found.value)
    older = replace(session, touched_at=session.touched_at - us)
    await store.put(found.key, records.encode(older), expect=found.version)


async def test_a_repository_has_so_many_and_no_more(registry: Registry) -> None:
    registry = limited(registry, uploads_per_repository=3)
    opened = [await registry.uploads.begin(REPO) for _ in range(3)]
    with pytest.raises(TooManyUploads, match="the repository ns/app has 3 open uploads") as caught:
        await registry.uploads.begin(REPO)
    assert caught.value.details == {"limit": 3, "retry_after_s": 10}
    await registry.uploads.begin(OTHER)
    await registry.uploads.cancel(REPO, opened[0].id)
    await registry.uploads.begin(REPO)
    await registry.uploads.finish(REPO, opened[1].id, sha256(b"x"), chunks(b"x"))
    await registry.uploads.begin(REPO)
    with pytest.raises(TooManyUploads):
        await registry.uploads.begin(REPO)


async def test_all_repositories_together(registry: Registry) -> None:
    registry = limited(registry, uploads=2)
    await registry.uploads.begin(REPO)
    await registry.uploads.begin(OTHER)
    with pytest.raises(TooManyUploads, match="the registry has 2"):
        await registry.uploads.begin(Repository("ns/third"))


async def test_a_caller_cannot_take_all(registry: Registry) -> None:
    registry = limited(registry, uploads_per_caller=2)
    first = await registry.uploads.begin(REPO, owner="ann")
    await registry.uploads.begin(OTHER, owner="ann")
    for again in (registry, limited(registry, uploads_per_caller=2)):
        with pytest.raises(TooManyUploads, match="you have 2 open uploads"):
            await again.uploads.begin(Repository("ns/third"), owner="ann")
    for owner in ("bob", "", "", ""):
        await registry.uploads.begin(REPO, owner=owner)
    await registry.uploads.cancel(REPO, first.id, owner="ann")
    await registry.uploads.begin(REPO, owner="ann")
    with pytest.raises(TooManyUploads):
        await registry.uploads.begin(REPO, owner="ann")


async def test_zero_is_no_limit(registry: Registry) -> None:
    registry = limited(registry, uploads=0, uploads_per_repository=0)
    for _ in range(50):
        await registry.uploads.begin(REPO)


async def test_a_new_process_counts_what_is_there(registry: Registry) -> None:
    for _ in range(3):
        await registry.uploads.begin(REPO)
    with pytest.raises(TooManyUploads):
        await limited(registry, uploads_per_repository=3).uploads.begin(REPO)


async def test_idle_ones_make_room(registry: Registry, records: SqliteRecords, blobs: MemoryBlobs) -> None:
    idle = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, idle.id, chunks(b"x" * 100_000))
    fresh = await registry.uploads.begin(REPO)
    await age(records, idle.id, 2 * HOUR_US)
    await limited(registry, uploads_per_repository=2).uploads.begin(REPO)
    with pytest.raises(UploadNotFound):
        await registry.uploads.find(REPO, idle.id)
    await registry.uploads.find(REPO, fresh.id)
    assert await stored(blobs) == 0


async def test_what_is_being_sent_is_not_idle(registry: Registry, records: SqliteRecords) -> None:
    registry = limited(registry, uploads_per_repository=10)
    upload = await registry.uploads.begin(REPO)
    # the record changes under the request when it is touched: that is no other request's change
    await age(records, upload.id, HOUR_US // 2)
    found = await registry.uploads.append(REPO, upload.id, slowly(registry, records, upload.id))
    assert found.size == 600_000
    data = b"x" * 300_000 + b"y" * 300_000
    await registry.uploads.finish(REPO, upload.id, sha256(data), chunks())


async def slowly(registry: Registry, store: SqliteRecords, upload_id: str) -> AsyncIterator[bytes]:
    """Pieces between which others count, and would give up what is idle."""
    yield b"x" * 300_000
    found: UploadRecord = records.decode(UploadRecord, (await store.get(keys.upload(upload_id))).value)
    assert registry.core.clock() - found.touched_at < HOUR_US // 4
    await limited(registry, uploads_per_repository=1000).uploads.begin(OTHER)
    yield b"y" * 300_000


@pytest.mark.parametrize("way", ["take", "append", "finish", "second"])
async def test_a_blob_beyond_the_limit_is_refused(way: str, registry: Registry, blobs: MemoryBlobs) -> None:
    registry = limited(registry, blob_bytes=100_000)
    data = b"x" * 100_001
    upload = await registry.uploads.begin(REPO)
    with pytest.raises(TooLarge, match="blob: the limit is 100,000 bytes"):
        match way:
            case "take":
                await registry.uploads.take(REPO, sha256(data), chunks(data))
            case "append":
                await registry.uploads.append(REPO, upload.id, chunks(data))
            case "finish":
                await registry.uploads.finish(REPO, upload.id, sha256(data), chunks(data))
            case _:
                await registry.uploads.append(REPO, upload.id, chunks(data[:60_000]))
                await registry.uploads.append(REPO, upload.id, chunks(data[60_000:]))
    assert await stored(blobs) == (way == "second")
    fits = data[:100_000]
    await registry.uploads.take(REPO, sha256(fits), chunks(fits))
