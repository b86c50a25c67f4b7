"""Uploads: pieces, their order, their end; and every store call of each of them failing."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.faults.faulty import Crashed, Fault, FaultyBlobs, FaultyRecords, Plan

from cnr.domain.digest import Digest, digest_of, sha256
from cnr.domain.errors import (
    BlobInUse,
    BlobUnknown,
    InvalidDigest,
    OutcomeUnknown,
    OutOfOrder,
    PackageNotFound,
    StoreFull,
    StoreUnavailable,
    UploadNotFound,
)
from cnr.domain.names import Repository
from cnr.registry.registry import Registry
from cnr.registry.uploads import JOIN_BELOW
from cnr.store import keys
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import MakeRegistry, counting_ids

REPO, OTHER = Repository("ns/app"), Repository("ns/other")
SMALL, LARGE = b"small", bytes(range(256)) * 400


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(registry: Registry, data: bytes, repository: Repository = REPO, algorithm: str = "sha256") -> bytes:
    reader = await registry.blobs.open(repository, digest_of(data, algorithm))
    return b"".join([chunk async for chunk in reader.chunks])


async def stored(blobs: MemoryBlobs) -> int:
    return len([blob_id async for blob_id in blobs.scan()])


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("pieces", [(), (SMALL,), (LARGE,), (SMALL, LARGE), (LARGE, SMALL), (b"x" * JOIN_BELOW, SMALL)])
@pytest.mark.parametrize("last", [b"", SMALL, LARGE], ids=["nothing", "small", "large"])
async def test_pieces_make_a_blob_and_leave_nothing_else(
    registry: Registry, blobs: MemoryBlobs, pieces: tuple[bytes, ...], last: bytes, algorithm: str
) -> None:
    upload = await registry.uploads.begin(REPO)
    for piece in pieces:
        upload = await registry.uploads.append(REPO, upload.id, chunks(piece), at=upload.size)
    data = b"".join((*pieces, last))
    await registry.uploads.finish(REPO, upload.id, digest_of(data, algorithm), chunks(last), at=upload.size)
    assert await read(registry, data, algorithm=algorithm) == data
    assert await stored(blobs) == (len(data) > 16 * 1024)
    with pytest.raises(UploadNotFound):
        await registry.uploads.find(REPO, upload.id)


async def test_a_single_large_piece_is_not_copied(registry: Registry, blobs: MemoryBlobs) -> None:
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, upload.id, chunks(LARGE))
    before = [blob_id async for blob_id in blobs.scan()]
    await registry.uploads.finish(REPO, upload.id, sha256(LARGE), chunks())
    assert [blob_id async for blob_id in blobs.scan()] == before


async def test_a_wrong_digest_ends_the_upload_and_leaves_nothing(registry: Registry, blobs: MemoryBlobs) -> None:
    for pieces in ((), (SMALL,), (LARGE,), (LARGE, LARGE)):
        upload = await registry.uploads.begin(REPO)
        for piece in pieces:
            await registry.uploads.append(REPO, upload.id, chunks(piece))
        with pytest.raises(InvalidDigest):
            await registry.uploads.finish(REPO, upload.id, sha256(b"other"), chunks(LARGE))
        with pytest.raises(UploadNotFound):
            await registry.uploads.find(REPO, upload.id)
    assert await stored(blobs) == 0


async def test_out_of_order_and_foreign_pieces_change_nothing(registry: Registry, blobs: MemoryBlobs) -> None:
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, upload.id, chunks(SMALL))
    for at in (0, 4, 6):
        with pytest.raises(OutOfOrder):
            await registry.uploads.append(REPO, upload.id, chunks(LARGE), at=at)
        with pytest.raises(OutOfOrder):
            await registry.uploads.finish(REPO, upload.id, sha256(SMALL), chunks(), at=at)
    with pytest.raises(UploadNotFound):
        await registry.uploads.append(OTHER, upload.id, chunks(LARGE))
    with pytest.raises(UploadNotFound):
        await registry.uploads.cancel(OTHER, upload.id)
    assert (await registry.uploads.find(REPO, upload.id)).size == len(SMALL)
    await registry.uploads.cancel(REPO, upload.id)
    assert await stored(blobs) == 0


async def test_a_piece_that_breaks_off_is_not_kept(registry: Registry, blobs: MemoryBlobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionError

    upload = await registry.uploads.begin(REPO)
    with pytest.raises(ConnectionError):
        await registry.uploads.append(REPO, upload.id, broken())
    with pytest.raises(ConnectionError):
        await registry.uploads.finish(REPO, upload.id, sha256(LARGE), broken())
    assert (await registry.uploads.find(REPO, upload.id)).size == 0
    assert await stored(blobs) == 0


async def test_the_loser_of_two_pieces_leaves_nothing(registry: Registry, blobs: MemoryBlobs) -> None:
    upload = await registry.uploads.begin(REPO)

    async def overtaken() -> AsyncIterator[bytes]:
        yield LARGE
        await registry.uploads.append(REPO, upload.id, chunks(LARGE))

    with pytest.raises(OutOfOrder):
        await registry.uploads.append(REPO, upload.id, overtaken(), at=0)
    assert await stored(blobs) == 1
    await registry.uploads.finish(REPO, upload.id, sha256(LARGE), chunks())
    assert await read(registry, LARGE) == LARGE


async def anywhere(repository: Repository) -> bool:
    return True


async def nowhere(repository: Repository) -> bool:
    return False


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_mount_is_a_blob_of_its_own(registry: Registry, data: bytes) -> None:
    digest = sha256(data)
    assert not await registry.blobs.mount(OTHER, digest, REPO)
    assert not await registry.blobs.mount_any(OTHER, digest, anywhere)
    await registry.uploads.take(REPO, digest, chunks(data))
    assert await registry.blobs.mount(REPO, digest, REPO)
    assert await registry.blobs.mount(OTHER, digest, REPO)
    await registry.blob_deletes.delete(REPO, digest)
    assert await read(registry, data, OTHER) == data
    assert await registry.blobs.mount_any(Repository("far"), digest, anywhere)
    assert not await registry.blobs.mount_any(Repository("further"), digest, nowhere)
    with pytest.raises(BlobUnknown):
        await registry.blob_deletes.delete(REPO, digest)


async def test_a_blob_that_is_pushed_while_it_is_deleted_stays(registry: Registry, records: SqliteRecords) -> None:
    digest = sha256(LARGE)
    await registry.uploads.take(REPO, digest, chunks(LARGE))
    condemned = await registry.blob_deletes._condemn(REPO, digest)
    await registry.uploads.take(REPO, digest, chunks(LARGE))
    with pytest.raises(BlobInUse):
        await registry.blob_deletes._remove(REPO, digest, condemned)
    assert await read(registry, LARGE) == LARGE


async def test_a_condemned_blob_lives_again_when_it_is_wanted(registry: Registry) -> None:
    digest = sha256(LARGE)
    await registry.uploads.take(REPO, digest, chunks(LARGE))
    await registry.blob_deletes._condemn(REPO, digest)
    assert await registry.blobs.revive(REPO, digest)
    found = await registry.blobs.find(REPO, digest)
    assert found is not None
    assert found.state == "live"


Operation = Callable[[Registry], Awaitable[object]]


async def in_pieces(registry: Registry) -> None:
    upload = await registry.uploads.begin(REPO)
    await registry.uploads.append(REPO, upload.id, chunks(LARGE[:50_000]))
    await registry.uploads.append(REPO, upload.id, chunks(LARGE[50_000:]), at=50_000)
    await registry.uploads.finish(REPO, upload.id, sha256(LARGE), chunks())


async def at_once(registry: Registry) -> None:
    await registry.uploads.take(REPO, sha256(LARGE), chunks(LARGE))


async def mounted(registry: Registry) -> None:
    await registry.blobs.mount(REPO, sha256(LARGE), OTHER)


async def deleted(registry: Registry) -> None:
    await registry.blob_deletes.delete(REPO, sha256(LARGE))


async def in_other(registry: Registry) -> None:
    await registry.uploads.take(OTHER, sha256(LARGE), chunks(LARGE))


CASES: dict[str, tuple[Operation | None, Operation]] = {
    "in pieces": (None, in_pieces),
    "at once": (None, at_once),
    "again": (at_once, in_pieces),
    "mount": (in_other, mounted),
    "delete": (at_once, deleted),
}


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES)
async def test_a_blob_is_whole_or_absent(case: str, fault: Fault, make_registry: MakeRegistry) -> None:
    before, operation = CASES[case]
    call, met = 0, True
    while met:
        call += 1
        records, blobs, views = SqliteRecords.in_memory(counting_ids()), MemoryBlobs(), SqliteViews()
        healthy = make_registry(records, blobs, views)
        if before is not None:
            await before(healthy)
        plan = Plan.at(call, fault)
        error = await attempt(operation, make_registry(FaultyRecords(records, plan), FaultyBlobs(blobs, plan), views))
        met = plan.met
        where = f"call {call}: {plan.log[call - 1 : call]}, {error!r}"
        found = await present(healthy, sha256(LARGE))
        if error is None:
            assert found == (case != "delete"), where
        else:
            assert isinstance(error, StoreUnavailable | StoreFull | OutcomeUnknown | Crashed), where
        await records.close()
        await views.close()


async def present(registry: Registry, digest: Digest) -> bool:
    """Whether the blob is there; if it is, all its bytes are."""
    try:
        reader = await registry.blobs.open(REPO, digest)
    except PackageNotFound:
        return False
    assert b"".join([chunk async for chunk in reader.chunks]) == LARGE
    return True


async def attempt(operation: Operation, registry: Registry) -> Exception | None:
    try:
        await operation(registry)
    except Exception as exc:
        return exc
    return None


def test_keys_of_one_repository_are_apart_from_anothers() -> None:
    assert not keys.blob(Repository("ns/app-x"), sha256(b"")).startswith(keys.blobs(REPO))
