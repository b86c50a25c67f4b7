"""Updater: each update once, by itself, in races, and when answers get lost."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.faulty import Fault, FaultyRecords, Plan

from cnr.domain.errors import OutcomeUnknown, ReleaseExists, StoreFull, StoreUnavailable
from cnr.store.base import ABSENT, Record, RecordNotFound, RecordStore
from cnr.store.records import Repo, decode, encode
from cnr.store.sqlite import SqliteRecords
from cnr.store.update import DELETE, KEEP, Change, Delete, Keep, Updater

KEY = "repos/ns!app"


def ids(prefix: str = "a") -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"{prefix}{next(numbers):031x}"


def count(found: Repo | None) -> Repo:
    return Repo(state="live", created_at=found.created_at + 1 if found else 1)


def delete(_: Repo | None) -> Repo | Keep | Delete:
    return DELETE


def keep(_: Repo | None) -> Repo | Keep | Delete:
    return KEEP


@pytest.fixture
def store() -> SqliteRecords:
    return SqliteRecords.in_memory(ids("e"))


async def counted(store: RecordStore) -> int | None:
    try:
        repo: Repo = decode(Repo, (await store.get(KEY)).value)
    except RecordNotFound:
        return None
    return repo.created_at


async def test_made_swapped_kept_and_deleted(store: SqliteRecords) -> None:
    updater = Updater(store, ids())
    made = await updater.update(KEY, Repo, count)
    assert made.before is None
    assert made.after is not None
    assert made.after.write == f"{'a':0<32}"
    swapped = await updater.update(KEY, Repo, count)
    assert swapped.before == made.after
    kept = await updater.update(KEY, Repo, keep)
    assert kept.before == kept.after == swapped.after
    deleted = await updater.update(KEY, Repo, delete)
    assert (deleted.before, deleted.after) == (swapped.after, None)
    nothing = await updater.update(KEY, Repo, delete)
    assert (nothing.before, nothing.after) == (None, None)


async def test_a_change_that_refuses_changes_nothing(store: SqliteRecords) -> None:
    def refuse(_: Repo | None) -> Repo:
        raise ReleaseExists("there")

    with pytest.raises(ReleaseExists):
        await Updater(store, ids()).update(KEY, Repo, refuse)
    assert await counted(store) is None


async def test_racing_updaters_add_up(tmp_path: Path) -> None:
    stores = [SqliteRecords.in_folder(tmp_path, ids(f"e{n}"[:1] + str(n))) for n in range(3)]
    updaters = [Updater(store, ids(str(n))) for n, store in enumerate(stores)]
    await asyncio.gather(*(updater.update(KEY, Repo, count) for updater in updaters for _ in range(40)))
    assert await counted(stores[0]) == 120
    for store in stores:
        await store.close()


async def test_turns_are_forgotten(store: SqliteRecords) -> None:
    updater = Updater(store, ids())
    await asyncio.gather(*(updater.update(f"repos/a!{n % 3}", Repo, count) for n in range(30)))
    assert not updater._turns


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.LOSE_BEFORE])
@pytest.mark.parametrize("call", range(1, 8))
async def test_a_lost_answer_is_no_conflict(store: SqliteRecords, fault: Fault, call: int) -> None:
    """Three updates, of which any call loses its answer: each counts once."""
    plan = Plan.at(call, fault)
    updater = Updater(FaultyRecords(store, plan), ids())
    done = 0
    for _ in range(3):
        try:
            swap = await updater.update(KEY, Repo, count)
        except StoreUnavailable:
            continue  # a read failed before anything was written
        done += 1
        assert swap.after is not None
        assert swap.after.created_at == done
    assert await counted(store) == done
    assert done >= 2


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.LOSE_BEFORE])
async def test_several_lost_answers_in_a_row(store: SqliteRecords, fault: Fault) -> None:
    # get, put lost, get fails, get fails, get, put lost, get, put
    plan = Plan({2: fault, 3: Fault.FAIL, 4: Fault.FAIL, 6: Fault.LOSE_BEFORE})
    await Updater(FaultyRecords(store, plan), ids()).update(KEY, Repo, count)
    assert await counted(store) == 1


@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.LOSE_BEFORE])
async def test_a_lost_delete(store: SqliteRecords, fault: Fault) -> None:
    await Updater(store, ids("b")).update(KEY, Repo, count)
    swap = await Updater(FaultyRecords(store, Plan.at(2, fault)), ids()).update(KEY, Repo, delete)
    assert swap.before is not None
    assert swap.after is None
    assert await counted(store) is None


class Meddled(FaultyRecords):
    """Another writer comes right after a put or delete whose answer is lost."""

    def __init__(self, inner: RecordStore, plan: Plan, meddle: Callable[[], Any]) -> None:
        super().__init__(inner, plan)
        self._meddle: Callable[[], Any] | None = meddle

    async def get(self, key: str) -> Record:
        if self.plan.met and self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            await meddle()
        return await super().get(key)


@pytest.mark.parametrize("change", [count, delete])
@pytest.mark.parametrize("fault", [Fault.LOSE, Fault.LOSE_BEFORE])
async def test_a_write_after_a_lost_one_hides_what_happened(
    store: SqliteRecords, fault: Fault, change: "Change[Repo]"
) -> None:
    """The caller is told that nobody knows; above all, the other's record is not changed a second time."""
    other = Updater(store, ids("b"))
    await other.update(KEY, Repo, count)
    faulty = Meddled(store, Plan.at(2, fault), lambda: other.update(KEY, Repo, count))
    with pytest.raises(OutcomeUnknown):
        await Updater(faulty, ids()).update(KEY, Repo, change)
    repo: Repo = decode(Repo, (await store.get(KEY)).value)
    assert repo.write.startswith("b")


async def test_a_lost_put_that_was_deleted_by_another(store: SqliteRecords) -> None:
    other = Updater(store, ids("b"))
    await other.update(KEY, Repo, count)
    faulty = Meddled(store, Plan.at(2, Fault.LOSE), lambda: other.update(KEY, Repo, delete))
    with pytest.raises(OutcomeUnknown):
        await Updater(faulty, ids()).update(KEY, Repo, count)
    assert await counted(store) is None


async def test_a_refusal_after_a_lost_answer_is_no_refusal(store: SqliteRecords) -> None:
    """A change that finds the record as it was may refuse now; the lost write may still arrive."""
    asked = 0

    def once(found: Repo | None) -> Repo:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise ReleaseExists("now it is")
        return count(found)

    with pytest.raises(OutcomeUnknown):
        await Updater(FaultyRecords(store, Plan.at(2, Fault.LOSE_BEFORE)), ids()).update(KEY, Repo, once)


@pytest.mark.parametrize("error", [Fault.FAIL, Fault.FULL])
async def test_trouble_after_a_lost_answer_does_not_say_that_nothing_changed(
    store: SqliteRecords, error: Fault
) -> None:
    plan = Plan({2: Fault.LOSE_BEFORE, 4: error})
    with pytest.raises(OutcomeUnknown):
        await Updater(FaultyRecords(store, plan), ids()).update(KEY, Repo, count)


@pytest.mark.parametrize(("error", "raised"), [(Fault.FAIL, StoreUnavailable), (Fault.FULL, StoreFull)])
async def test_trouble_alone_says_what_it_is(store: SqliteRecords, error: Fault, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        await Updater(FaultyRecords(store, Plan.at(2, error)), ids()).update(KEY, Repo, count)
    assert await counted(store) is None


async def test_a_store_that_stays_away_after_a_lost_answer(store: SqliteRecords) -> None:
    plan = Plan({2: Fault.LOSE, **dict.fromkeys(range(3, 100), Fault.FAIL)})
    with pytest.raises(OutcomeUnknown):
        await Updater(FaultyRecords(store, plan), ids(), unknown_s=0.1).update(KEY, Repo, count)


class Stuck(FaultyRecords):
    """Writes, and never answers."""

    async def put(self, *args: Any, **options: Any) -> Any:
        await self.inner.put(*args, **options)
        await asyncio.Event().wait()


async def test_a_write_without_an_answer_ends_in_doubt_and_frees_its_turn(store: SqliteRecords) -> None:
    updater = Updater(Stuck(store, Plan()), ids(), deadline_s=0.1, unknown_s=0.1)
    first, second = await asyncio.gather(
        updater.update(KEY, Repo, count), updater.update(KEY, Repo, count), return_exceptions=True
    )
    assert type(first) is OutcomeUnknown
    assert type(second) is StoreUnavailable, "it never had its turn: nothing was changed"
    assert await counted(store) == 1


class Contended(FaultyRecords):
    """Somebody else is always faster."""

    async def put(self, key: str, value: bytes, **options: Any) -> Any:
        found = await self.inner.scan(key)
        rival = encode(Repo(state="live", created_at=7, write="rival"))
        await self.inner.put(key, rival, expect=found[0].version if found else ABSENT)
        return await self.inner.put(key, value, **options)


async def test_without_a_turn_nothing_is_changed(store: SqliteRecords) -> None:
    with pytest.raises(StoreUnavailable):
        await Updater(Contended(store, Plan()), ids(), deadline_s=0.1).update(KEY, Repo, count)
    assert await counted(store) == 7
