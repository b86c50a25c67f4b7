"""The end of an upload: a closing request that meets a failing store can be repeated, and one of two rivals wins."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest
from tests.faults.faulty import Crashed, Fault, FaultyBlobs, FaultyRecords, Plan

from cnr.domain.digest import Digest, digest_of, sha256
from cnr.domain.errors import InvalidDigest, OutOfOrder, StoreTrouble, UploadNotFound
from cnr.domain.names import Repository
from cnr.registry.gc import UPLOAD_IDLE_US, Collector
from cnr.registry.registry import Registry
from cnr.registry.uploads import JOIN_BELOW, PIECES, _short_last
from cnr.store.base import VALUE_LIMIT
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import UploadPart, UploadRecord, encode
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import MakeRegistry, counting_ids
from .test_uploads import LARGE, OTHER, REPO, SMALL, attempt, chunks, read, stored

Finish = Callable[[Registry], Awaitable[None]]

PIECES_BEFORE: dict[str, tuple[bytes, ...]] = {
    "no piece": (),
    "a small piece": (SMALL,),
    "one piece": (LARGE,),
    "two pieces": (b"x" * JOIN_BELOW, LARGE),
}
WAYS = [("sha256", pieces) for pieces in PIECES_BEFORE] + [("sha512", "no piece"), ("sha512", "one piece")]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("last", [b"", SMALL, LARGE], ids=["nothing", "small", "large"])
@pytest.mark.parametrize(("algorithm", "before"), WAYS)
async def test_a_closing_request_can_be_repeated(
    before: str, last: bytes, algorithm: str, fault: Fault, make_registry: MakeRegistry
) -> None:
    """Every store call of it fails, loses its answer or is the server's last: the same request then succeeds."""
    pieces = PIECES_BEFORE[before]
    data = b"".join((*pieces, last))
    digest = digest_of(data, algorithm)
    for call in itertools.count(1):
        records, blobs, views = SqliteRecords.in_memory(counting_ids()), MemoryBlobs(), SqliteViews()
        healthy = make_registry(records, blobs, views)
        upload = await healthy.uploads.begin(REPO)
        for piece in pieces:
            upload = await healthy.uploads.append(REPO, upload.id, chunks(piece))
        plan = Plan.at(call, fault)
        faulty = make_registry(FaultyRecords(records, plan), FaultyBlobs(blobs, plan), views)
        finish = finishing(upload.id, digest, last, upload.size)
        error = await attempt(finish, faulty)
        where = f"{fault.name} at call {call}: {plan.log}"
        assert error is None or isinstance(error, StoreTrouble | Crashed), where
        if error is None:
            assert await read(healthy, data, algorithm=algorithm) == data, where
        else:
            await finish(healthy)
        assert await read(healthy, data, algorithm=algorithm) == data, where
        await finish(healthy)  # also where nothing but the answer was lost
        with pytest.raises(UploadNotFound):
            await healthy.uploads.find(REPO, upload.id)
        await views.close()
        await records.close()
        if not plan.met:
            return


def finishing(upload_id: str, digest: Digest, last: bytes, at: int) -> Finish:
    return lambda registry: registry.uploads.finish(REPO, upload_id, digest, chunks(last), at=at)


@pytest.mark.parametrize("fault", [Fault.FAIL, Fault.LOSE, Fault.CRASH])
async def test_what_a_failed_end_leaves_is_collected(fault: Fault, make_registry: MakeRegistry) -> None:
    for call in itertools.count(1):
        records, blobs, views = SqliteRecords.in_memory(counting_ids()), MemoryBlobs(), SqliteViews()
        healthy = make_registry(records, blobs, views)
        upload = await healthy.uploads.begin(REPO)
        await healthy.uploads.append(REPO, upload.id, chunks(LARGE))
        plan = Plan.at(call, fault)
        finish = finishing(upload.id, sha256(LARGE), b"", len(LARGE))
        await attempt(finish, make_registry(FaultyRecords(records, plan), FaultyBlobs(blobs, plan), views))
        await finish(healthy)
        await healthy.blob_deletes.delete(REPO, sha256(LARGE))
        await sweep_all(healthy)
        assert await stored(blobs) == 0, f"call {call}: {plan.log}"
        await views.close()
        await records.close()
        if not plan.met:
            return


async def sweep_all(registry: Registry) -> None:
    """Twice, and more than an hour apart: bytes that no record names have to be seen first."""
    collector = Collector(registry.core, registry.manifests, timedelta(0))
    await collector.collect()
    for _ in range(3601):
        registry.core.clock()  # ticks a second
    await collector.collect()


async def test_a_taken_piece_is_never_taken_twice(
    registry: Registry, records: SqliteRecords, blobs: MemoryBlobs, make_registry: MakeRegistry, views: SqliteViews
) -> None:
    """The first request made a blob of the piece and lost its end; the blob was deleted, with the piece's bytes."""
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, upload.id, chunks(LARGE))
    finish = finishing(upload.id, sha256(LARGE), b"", len(LARGE))
    plan = Plan()
    faulty = make_registry(FaultyRecords(records, plan), FaultyBlobs(blobs, plan), views)
    await finish(faulty)
    plan = Plan.at(plan.calls, Fault.FAIL)  # the end of the session is the last call
    again = await registry.uploads.begin(OTHER)
    await registry.uploads.append(OTHER, again.id, chunks(LARGE))
    faulty = make_registry(FaultyRecords(records, plan), FaultyBlobs(blobs, plan), views)
    with pytest.raises(StoreTrouble):
        await faulty.uploads.finish(OTHER, again.id, sha256(LARGE), chunks())
    assert (await registry.uploads.find(OTHER, again.id)).size == len(LARGE)
    assert await read(registry, LARGE, OTHER) == LARGE
    await registry.blob_deletes.delete(OTHER, sha256(LARGE))
    with pytest.raises(UploadNotFound):
        await registry.uploads.finish(OTHER, again.id, sha256(LARGE), chunks())
    assert await registry.blobs.find(OTHER, sha256(LARGE)) is None


async def test_a_replay_needs_the_blob_in_this_repository(registry: Registry) -> None:
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.finish(REPO, upload.id, sha256(LARGE), chunks(LARGE))
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(3):
            sent += 1
            yield LARGE

    await registry.uploads.finish(REPO, upload.id, sha256(LARGE), counted())
    assert sent == 3, "the whole body is read, so that its sender sees the answer"
    for repository, digest in ((REPO, sha256(SMALL)), (OTHER, sha256(LARGE))):
        with pytest.raises(UploadNotFound):
            await registry.uploads.finish(repository, upload.id, digest, chunks(LARGE))
    with pytest.raises(UploadNotFound):
        await registry.uploads.finish(REPO, "../" + upload.id, sha256(LARGE), chunks(LARGE))


async def test_a_foreign_upload_is_not_ended_by_a_replay(registry: Registry) -> None:
    await registry.uploads.take(OTHER, sha256(LARGE), chunks(LARGE))
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, upload.id, chunks(SMALL))
    await registry.uploads.finish(OTHER, upload.id, sha256(LARGE), chunks(LARGE))
    assert (await registry.uploads.find(REPO, upload.id)).size == len(SMALL)


Rival = Callable[[Registry, str, bytes], Awaitable[object]]
"""What another request does to an upload that has these bytes."""
RIVALS: dict[str, Rival] = {
    "another piece": lambda registry, id, had: registry.uploads.append(REPO, id, chunks(SMALL)),
    "cancel": lambda registry, id, had: registry.uploads.cancel(REPO, id),
    "another end": lambda registry, id, had: registry.uploads.finish(REPO, id, sha256(had + b"z"), chunks(b"z")),
    "a wrong end": lambda registry, id, had: expect_mismatch(registry, id),
}


async def expect_mismatch(registry: Registry, upload_id: str) -> None:
    with pytest.raises(InvalidDigest):
        await registry.uploads.finish(REPO, upload_id, sha256(b"wrong"), chunks(SMALL))


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("first", [b"", SMALL, LARGE], ids=["nothing", "small", "large"])
@pytest.mark.parametrize("method", ["append", "finish"])
async def test_the_slower_of_two_requests_changes_nothing(
    registry: Registry, blobs: MemoryBlobs, rival: str, first: bytes, method: str
) -> None:
    upload = await registry.uploads.begin(REPO)
    if first:
        await registry.uploads.append(REPO, upload.id, chunks(first))
    data = first + LARGE
    begun = False

    async def overtaken() -> AsyncIterator[bytes]:
        nonlocal begun
        begun = True
        yield LARGE
        await RIVALS[rival](registry, upload.id, first)

    with pytest.raises((OutOfOrder, UploadNotFound)):
        if method == "append":
            await registry.uploads.append(REPO, upload.id, overtaken())
        else:
            await registry.uploads.finish(REPO, upload.id, sha256(data), overtaken())
    assert begun
    assert await registry.blobs.find(REPO, sha256(data)) is None
    if rival == "another piece":
        await registry.uploads.finish(REPO, upload.id, sha256(first + SMALL), chunks())
        assert await read(registry, first + SMALL) == first + SMALL
    kept = {"another piece": first + SMALL, "another end": first + b"z"}.get(rival, b"")
    assert await stored(blobs) == (len(kept) > 16 * 1024)


def test_the_record_of_a_huge_upload_has_room() -> None:
    """PATCHes of 8 MiB each, up to 4 TiB: what is a short last piece grows with the upload."""
    session = UploadRecord(repository=Repository("a" * 200), started_at=1, touched_at=1)
    while session.size < 1 << 42:
        # a step stands for several PATCHes once the upload is large
        came = max(JOIN_BELOW, session.size // PIECES // 4)
        last = _short_last(session)
        kept = session.parts[:-1] if last else session.parts
        added = UploadPart("0" * 32, came + (last.size if last else 0), "0" * 64)
        session = msgspec.structs.replace(session, parts=(*kept, added))
    assert len(encode(session)) < VALUE_LIMIT


async def test_expiry_after_a_day_without_a_byte(registry: Registry, blobs: MemoryBlobs) -> None:
    idle, busy = await registry.uploads.begin(REPO), await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, idle.id, chunks(LARGE))
    await registry.uploads.append(REPO, busy.id, chunks(LARGE))
    start = registry.core.clock()
    while registry.core.clock() < start + UPLOAD_IDLE_US // 2:
        pass
    await registry.uploads.append(REPO, busy.id, chunks(SMALL))
    while registry.core.clock() < start + UPLOAD_IDLE_US:
        pass
    await sweep_all(registry)
    with pytest.raises(UploadNotFound):
        await registry.uploads.find(REPO, idle.id)
    assert (await registry.uploads.find(REPO, busy.id)).size == len(LARGE + SMALL)
    assert await stored(blobs) == 1
