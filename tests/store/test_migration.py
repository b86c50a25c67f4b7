"""A migration between stores: complete, resumable, and never over something else."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.faults.faulty import Fault, FaultyBlobs, FaultyRecords, Plan
from tests.services.object_stores import ObjectServer
from tests.store.contract_blobs import chunks, content, names, whole

from cnr.domain.digest import Digest, sha256
from cnr.domain.errors import StoreTrouble
from cnr.domain.names import Repository
from cnr.domain.store_url import StoreUrl
from cnr.store import keys, records
from cnr.store.base import ABSENT, RecordNotFound, StoreRefused
from cnr.store.migration import Migrator, SourceInUse, Tally, survey
from cnr.store.migration import content as content_of
from cnr.store.open import Stores, open_store
from cnr.store.probe import StoreFormat, read_format
from cnr.store.records import BlobRecord, ManifestRecord, encode

APP = Repository("ns/app")
LARGE = 20


def new_id() -> str:
    return secrets.token_hex(16)


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def opened(pool: Executor, place: Path | str, blobs: str | None = None, *, unfinished: bool = False) -> Stores:
    url = StoreUrl.parse(blobs) if blobs else None
    return await open_store(place, pool=pool, blobs=url, unfinished=unfinished)


@pytest.fixture
async def source(pool: Executor, tmp_path: Path) -> AsyncIterator[Stores]:
    """A store with records of many kinds, also unknown ones, and LARGE blobs in files."""
    stores = await opened(pool, tmp_path / "source")
    for number in range(LARGE):
        data = content(20_000 + number * 50_000)
        blob_id = new_id()
        await stores.blobs.put(blob_id, chunks(data))
        await put(stores, keys.blob(APP, sha256(data)), BlobRecord(size=len(data), touched_at=1, blob_id=blob_id))
    data = content(200_000)
    digest = Digest(f"sha512:{hashlib.sha512(data).hexdigest()}")
    await stores.blobs.put("ab" * 16, chunks(data))
    manifest = ManifestRecord(born="b", media_type="m", size=len(data), pushed_at=1, origin="client", blob_id="ab" * 16)
    await put(stores, keys.manifest(APP, digest), manifest)
    for number in range(700):
        await stores.records.put(f"tags/ns!app/{number:05}", b"\1%d" % number, expect=ABSENT, durable=False)
    for key in ("auth/somebody", "repos/ns!app", "uploads/u", "meta/gc", "chunks/x/1", "zzz/last"):
        await stores.records.put(key, b"\1what is here", expect=ABSENT)
    yield stores
    await stores.close()


async def put(stores: Stores, key: str, record: Any) -> None:
    await stores.records.put(key, encode(record), expect=ABSENT)


def migrator(source: Stores, target: Stores, pool: Executor, **options: Any) -> Migrator:
    return Migrator(source, target, options.pop("name", "one"), new_id=new_id, pool=pool, **options)


async def values(stores: Stores) -> dict[str, bytes]:
    return {record.key: record.value async for record in content_of(stores.records)}


async def same(source: Stores, target: Stores) -> None:
    """Assert that the target has all that the source has, and nothing else."""
    assert await values(target) == await values(source)
    assert await names(target.blobs) == await names(source.blobs)
    for blob_id in await names(source.blobs):
        assert await whole(await target.blobs.open(blob_id)) == await whole(await source.blobs.open(blob_id))
    with pytest.raises(RecordNotFound):
        await target.records.get(keys.META_MIGRATION)


async def test_all_is_copied_and_what_is_no_content_is_not(source: Stores, pool: Executor, tmp_path: Path) -> None:
    target = await opened(pool, tmp_path / "target", unfinished=True)
    found = await survey(source.records)
    passed: list[int] = []
    done = await migrator(source, target, pool, passed=passed.append).run()
    assert done == found == Tally(LARGE + 1 + 700 + 3, LARGE + 1, sum(passed))
    assert {"auth/somebody", "zzz/last"} < set(await values(target))
    await same(source, target)
    for key in ("uploads/u", "meta/gc", "chunks/x/1"):
        with pytest.raises(RecordNotFound):
            await target.records.get(key)
    await target.close()
    await (await opened(pool, tmp_path / "target")).close()


async def test_to_an_object_store_and_back(source: Stores, pool: Executor, tmp_path: Path, s3: ObjectServer) -> None:
    bucket = s3.address()
    target = await opened(pool, tmp_path / "target", bucket, unfinished=True)
    await migrator(source, target, pool).run()
    await same(source, target)
    back = await opened(pool, tmp_path / "back", unfinished=True)
    await migrator(target, back, pool, name="two").run()
    await same(source, back)
    await back.close()
    await target.close()


async def test_a_target_with_anything_in_it_is_refused(source: Stores, pool: Executor, tmp_path: Path) -> None:
    for place in ("record", "blob"):
        target = await opened(pool, tmp_path / place, unfinished=True)
        if place == "record":
            await target.records.put("tags/ns!app/1", b"1", expect=ABSENT)
        else:
            await target.blobs.put(new_id(), chunks(b"x"))
        with pytest.raises(StoreRefused, match="not empty"):
            await migrator(source, target, pool).run()
        await target.close()
        await (await opened(pool, tmp_path / place)).close()


async def test_a_finished_target_is_not_written_again(source: Stores, pool: Executor, tmp_path: Path) -> None:
    target = await opened(pool, tmp_path / "target", unfinished=True)
    await migrator(source, target, pool).run()
    with pytest.raises(StoreRefused, match="not empty"):
        await migrator(source, target, pool).run()
    await target.close()


async def test_any_call_may_fail_and_a_second_run_finishes(source: Stores, pool: Executor, tmp_path: Path) -> None:
    for number in (10, 40, 400, 700):
        for fault in (Fault.FAIL, Fault.LOSE):
            place = tmp_path / f"{number}{fault.name}"
            target = await opened(pool, place, unfinished=True)
            plan = Plan.at(number, fault)
            faulty = Stores(
                FaultyRecords(target.records, plan), FaultyBlobs(target.blobs, plan), target.clock, target._stack
            )
            with pytest.raises(StoreTrouble):
                await migrator(source, faulty, pool).run()
            await target.close()
            with pytest.raises(StoreRefused, match="not finished"):
                await opened(pool, place)
            target = await opened(pool, place, unfinished=True)
            with pytest.raises(StoreRefused, match="of another store: one"):
                await migrator(source, target, pool, name="other").run()
            await migrator(source, target, pool).run()
            await same(source, target)
            await target.close()


async def test_a_second_run_forgets_what_the_source_deleted(source: Stores, pool: Executor, tmp_path: Path) -> None:
    target = await opened(pool, tmp_path / "target", unfinished=True)
    plan = Plan.at(700, Fault.FAIL)
    faulty = Stores(FaultyRecords(target.records, plan), target.blobs, target.clock, target._stack)
    with pytest.raises(StoreTrouble):
        await migrator(source, faulty, pool).run()
    there = await source.records.get("tags/ns!app/00001")
    assert (await target.records.get(there.key)).value == there.value
    await source.records.delete(there.key, expect=there.version)
    changed = await source.records.get("tags/ns!app/00002")
    await source.records.put(changed.key, b"\1new", expect=changed.version)
    await migrator(source, target, pool).run()
    await same(source, target)
    await target.close()


class Busy:
    """Blobs of a source that is written to whenever one is opened, `times` times."""

    def __init__(self, stores: Stores, times: int) -> None:
        self._stores = stores
        self._left = times
        self._turn = asyncio.Lock()

    async def open(self, blob_id: str) -> Any:
        if self._left:
            self._left -= 1
            async with self._turn:
                for key in ("tags/ns!app/00000", "tags/ns!app/late"):
                    try:
                        there = await self._stores.records.get(key)
                        await self._stores.records.delete(key, expect=there.version)
                    except RecordNotFound:
                        await self._stores.records.put(key, b"\1%d" % self._left, expect=ABSENT)
        return await self._stores.blobs.open(blob_id)


async def test_what_changes_meanwhile_is_followed(source: Stores, pool: Executor, tmp_path: Path) -> None:
    target = await opened(pool, tmp_path / "target", unfinished=True)
    busy: Any = Stores(source.records, Busy(source, 7), source.clock, source._stack)  # type: ignore[arg-type]
    await migrator(busy, target, pool).run()
    await same(source, target)
    await target.close()


class Restless:
    """Records of a source in which somebody writes whenever the feed was read to its end."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._quiet = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def changes(self, since: Any, *, timeout_s: float = 0) -> Any:
        if self._quiet:
            await self._inner.put(f"tags/ns!app/{new_id()}", b"\1x", expect=ABSENT)
        found = await self._inner.changes(since)
        self._quiet = not found[0]
        return found


async def test_a_source_that_never_stands_still_is_told(source: Stores, pool: Executor, tmp_path: Path) -> None:
    target = await opened(pool, tmp_path / "target", unfinished=True)
    restless = Stores(Restless(source.records), source.blobs, source.clock, source._stack)
    with pytest.raises(SourceInUse, match="stop its servers"):
        await migrator(restless, target, pool).run()
    await migrator(source, target, pool).run()
    await same(source, target)
    await target.close()


async def test_damage_is_found_and_left_only_on_request(source: Stores, pool: Executor, tmp_path: Path) -> None:
    gone, wrong = (await names(source.blobs))[:2]
    await source.blobs.delete(gone)
    file = tmp_path / "source" / "blobs" / wrong[:2] / wrong
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    target = await opened(pool, tmp_path / "target", unfinished=True)
    done = await migrator(source, target, pool).run()
    assert sorted(done.damaged.values()) == ["its bytes are gone", "its bytes do not hash to its digest"]
    assert {gone, wrong}.isdisjoint(await names(target.blobs))
    assert (await target.records.get(keys.META_MIGRATION)).value
    again = await migrator(source, target, pool, leave_damaged=True).run()
    assert again.damaged == done.damaged
    assert await values(target) == await values(source)
    assert {gone, wrong}.isdisjoint(await names(target.blobs))
    await target.close()
    await (await opened(pool, tmp_path / "target")).close()


async def test_the_format_of_the_source_is_the_target_s(source: Stores, pool: Executor, tmp_path: Path) -> None:
    old = records.encode(StoreFormat(read_format=0, write_format=0))
    await source.records.put(keys.META_FORMAT, old, expect=(await source.records.get(keys.META_FORMAT)).version)
    target = await opened(pool, tmp_path / "target", unfinished=True)
    await migrator(source, target, pool).run()
    assert (await read_format(target.records)).write_format == 0
    await target.close()
