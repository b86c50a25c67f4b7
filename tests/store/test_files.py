"""What only the file driver does: drafts, folders, links, and a disk that fails at any step."""

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.store.contract_blobs import MIB, chunks, content, cut, names, new_id, whole

from cnr.domain.errors import StoreFull, StoreUnavailable
from cnr.store.base import BlobNotFound
from cnr.store.files import FileBlobs

A, B = "ab" * 16, "cd" * 16


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def blobs(tmp_path: Path, pool: ThreadPoolExecutor) -> FileBlobs:
    return FileBlobs(tmp_path, pool)


def drafts(folder: Path) -> list[str]:
    return os.listdir(folder / "blobs" / "drafts")


async def test_files_are_not_for_everybody(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, chunks(b"x"))
    place = tmp_path / "blobs" / "ab" / A
    assert stat.S_IMODE(os.stat(place).st_mode) & ~0o640 == 0
    for folder in (place.parent, place.parent.parent, tmp_path / "blobs" / "drafts"):
        assert stat.S_IMODE(os.stat(folder).st_mode) & ~0o750 == 0


async def test_drafts_of_dead_writers_are_swept_and_those_of_living_ones_stay(
    blobs: FileBlobs, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    dead = tmp_path / "blobs" / "drafts" / f"{B}.dead"
    dead.write_bytes(b"half")
    more = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield content(2 * MIB)
        yield content(2 * MIB)
        await more.wait()
        yield b"end"

    task = asyncio.create_task(blobs.put(A, slow()))
    while len(drafts(tmp_path)) < 2:
        await asyncio.sleep(0.01)
    another = FileBlobs(tmp_path, pool)
    assert [name.partition(".")[0] for name in drafts(tmp_path)] == [A]
    assert await names(another) == []
    more.set()
    await task
    assert (await another.open(A)).size == 4 * MIB + 3
    assert drafts(tmp_path) == []


async def test_a_draft_swept_before_its_lock_is_begun_anew(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """A sweeper comes between the creation and the lock, once unseen and once while it holds the lock itself."""
    sweeper: list[int] = []

    def step(name: str) -> None:
        if name != "lock the draft":
            return
        for draft in drafts(tmp_path) if len(sweeper) < 2 else []:
            path = tmp_path / "blobs" / "drafts" / draft
            handle = os.open(path, os.O_RDWR)
            fcntl.flock(handle, fcntl.LOCK_EX)
            path.unlink()
            sweeper.append(handle)
            if len(sweeper) == 1:
                fcntl.flock(handle, fcntl.LOCK_UN)

    blobs = FileBlobs(tmp_path, pool, step=step)
    await blobs.put(A, chunks(b"x"))
    assert await whole(await blobs.open(A)) == b"x"
    assert len(sweeper) == 2
    for handle in sweeper:
        os.close(handle)


async def test_a_folder_that_was_tidied_away_is_made_again(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, chunks(b"x"))
    await blobs.delete(A)
    os.rmdir(tmp_path / "blobs" / "ab")
    await blobs.put(A, chunks(b"x"))
    await blobs.put(B, chunks(b"y"))
    await blobs.delete(A)
    os.rmdir(tmp_path / "blobs" / "ab")
    await blobs.copy(B, A)
    assert await whole(await blobs.open(A)) == b"y"


async def test_a_copy_is_a_link(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, chunks(b"x"))
    await blobs.copy(A, B)
    await blobs.copy(A, B)  # again, as after a lost answer
    assert os.stat(tmp_path / "blobs" / "ab" / A).st_nlink == 2


async def test_a_copy_beyond_the_names_that_a_file_may_have(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """ext4 stops at 65,000; here the system says so at once."""

    def step(name: str) -> None:
        if name == "link":
            raise OSError(errno.EMLINK, "Too many links")

    blobs = FileBlobs(tmp_path, pool, step=step)
    await blobs.put(A, chunks(content(MIB + 1)))
    await blobs.copy(A, B)
    assert os.stat(tmp_path / "blobs" / "ab" / A).st_nlink == 1
    await blobs.delete(A)
    assert await whole(await blobs.open(B)) == content(MIB + 1)
    assert drafts(tmp_path) == []


def fail_at(number: int, error: int) -> tuple[Callable[[str], None], list[str]]:
    """A step that fails when it is called for the `number`th time, and the names of the steps."""
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(name)
        if len(steps) == number:
            raise OSError(error, os.strerror(error))

    return step, steps


@pytest.mark.parametrize(("error", "raised"), [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable)])
@pytest.mark.parametrize("size", [5000, 3 * MIB + 1])
async def test_a_disk_that_fails_at_any_step_of_a_put_leaves_nothing(
    tmp_path: Path, pool: ThreadPoolExecutor, error: int, raised: type[Exception], size: int
) -> None:
    FileBlobs(tmp_path, pool)
    opening = 4
    for number in range(opening + 1, 100):
        step, steps = fail_at(number, error)
        blobs = FileBlobs(tmp_path, pool, step=step)
        assert len(steps) == opening
        blob_id = new_id()
        try:
            await blobs.put(blob_id, cut(content(size), 100_000))
        except raised:
            with pytest.raises(BlobNotFound):
                await blobs.open(blob_id)
            assert drafts(tmp_path) == [], steps
            continue
        break
    assert number > opening + 8, steps
    assert await whole(await blobs.open(blob_id)) == content(size)
    assert await names(blobs) == [blob_id]


async def test_a_disk_that_fails_at_any_step_of_a_copy_leaves_nothing(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    await FileBlobs(tmp_path, pool).put(A, chunks(b"x"))
    for number in range(5, 100):
        step, steps = fail_at(number, errno.ENOSPC)
        blobs = FileBlobs(tmp_path, pool, step=step)
        try:
            await blobs.copy(A, B)
        except StoreFull:
            assert await names(blobs) == [A], steps
            continue
        break
    assert await names(blobs) == [A, B]


async def test_a_blob_that_lost_its_end_is_not_served_as_whole(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, cut(content(3 * MIB), MIB))
    reader = await blobs.open(A)
    os.truncate(tmp_path / "blobs" / "ab" / A, 2 * MIB)
    with pytest.raises(StoreUnavailable):
        await whole(reader)


async def test_a_reader_closed_early_lets_go_of_the_file(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, cut(content(3 * MIB), MIB))
    before = len(os.listdir("/proc/self/fd"))
    readers = [await blobs.open(A) for _ in range(5)]
    for number, reader in enumerate(readers):
        if number % 2:
            await anext(reader.chunks)
        await reader.chunks.aclose()  # type: ignore[attr-defined]
        with pytest.raises(StopAsyncIteration):
            await anext(reader.chunks)
    while len(os.listdir("/proc/self/fd")) > before:
        await asyncio.sleep(0.01)  # a thread may still read


async def test_what_is_no_blob_is_not_named(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(A, chunks(b"x"))
    (tmp_path / "blobs" / "ab" / "lost+found").write_bytes(b"")
    (tmp_path / "blobs" / "README").write_bytes(b"")
    assert await names(blobs) == [A]


async def test_a_put_in_many_pieces_keeps_little_of_it(blobs: FileBlobs) -> None:
    """The source is never far ahead of the disk."""
    made = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(64):
            made += 1
            yield bytes(MIB)
            written = sum(os.stat(path).st_size for path in blobs._folders.drafts.iterdir())
            assert made * MIB - written <= 4 * MIB

    assert await blobs.put(A, large()) == 64 * MIB
