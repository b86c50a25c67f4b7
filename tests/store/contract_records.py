"""What every RecordStore must keep. A driver's tests subclass these and say how its store is opened.

class TestMine(SharedRecordContract):
    open = staticmethod(open_mine)      # a module's own function: other processes import it by its name
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.steps import everything, feed, increment

from cnr.store.base import (
    ABSENT,
    KEY_LIMIT,
    VALUE_LIMIT,
    Cursor,
    CursorLost,
    HeadBeside,
    Record,
    RecordNotFound,
    RecordStore,
    RecordTooLarge,
    Version,
    VersionConflict,
)

ROOT = Path(__file__).parents[2]
LEGAL = "".join(map(chr, range(0x20, 0x7F)))

OPS = ("put", "put", "put unfed", "delete", "sync")
NewAddress = Callable[[], str]
Op = tuple[str, str]
"""What to do and the key to do it to."""


class RecordContract:
    """The rules that hold within one process."""

    @staticmethod
    async def open(address: str) -> RecordStore:
        """A store over the data at `address`; each driver gives its own."""
        raise NotImplementedError

    @pytest.fixture
    def new_address(self, tmp_path_factory: pytest.TempPathFactory) -> NewAddress:
        """Gives what `open` takes: the place of an empty store, at each call another."""
        return lambda: str(tmp_path_factory.mktemp("store"))

    @pytest.fixture
    def address(self, new_address: NewAddress) -> str:
        """The place of the store that a test works with."""
        return new_address()

    @pytest.fixture
    async def store(self, address: str) -> AsyncIterator[RecordStore]:
        store = await type(self).open(address)
        yield store
        await store.close()

    async def test_what_is_put_is_got(self, store: RecordStore) -> None:
        version = await store.put("tags/a/b", b"value", expect=ABSENT)
        assert await store.get("tags/a/b") == Record("tags/a/b", b"value", version)

    async def test_nothing_is_found_where_nothing_is(self, store: RecordStore) -> None:
        await store.put("tags/a/b", b"value", expect=ABSENT)
        for key in ("tags/a", "tags/a/bb", "TAGS/A/B", "", "tags/é", "tags/\udcff", "tags/a/b\0", "%", "tags/a/_"):
            with pytest.raises(RecordNotFound):
                await store.get(key)

    async def test_a_swap_needs_the_version_that_stands_there(self, store: RecordStore) -> None:
        first = await store.put("k", b"1", expect=ABSENT)
        second = await store.put("k", b"2", expect=first)
        assert second > first
        for wrong in (ABSENT, first, Version(second + 1), Version(0)):
            with pytest.raises(VersionConflict):
                await store.put("k", b"3", expect=wrong)
        for wrong_version in (first, Version(second + 1)):
            with pytest.raises(VersionConflict):
                await store.delete("k", expect=wrong_version)
        assert await store.get("k") == Record("k", b"2", second)

    async def test_a_swap_of_nothing_conflicts(self, store: RecordStore) -> None:
        with pytest.raises(VersionConflict):
            await store.put("k", b"1", expect=Version(1))
        with pytest.raises(VersionConflict):
            await store.delete("k", expect=Version(1))
        assert not await everything(store)

    async def test_versions_are_never_used_again(self, store: RecordStore) -> None:
        seen = []
        for _ in range(5):
            version = await store.put("k", b"1", expect=ABSENT)
            seen += [version, await store.put("k", b"2", expect=version)]
            await store.delete("k", expect=seen[-1])
            with pytest.raises(RecordNotFound):
                await store.get("k")
            seen.append(await store.put("other", b"", expect=seen[-3] if len(seen) > 2 else ABSENT))
        assert seen == sorted(set(seen))
        with pytest.raises(VersionConflict):
            await store.put("k", b"3", expect=seen[0])

    async def test_every_legal_character_in_byte_order(self, store: RecordStore) -> None:
        keys = {f"x{character}" for character in LEGAL} | {f"{c}{c}" for c in LEGAL} | {LEGAL}
        for key in keys:
            await store.put(key, key.encode(), expect=ABSENT, durable=False)
        assert [record.key for record in await everything(store, limit=7)] == sorted(keys)
        for key in keys:
            assert (await store.get(key)).value == key.encode()
            assert key in [record.key for record in await store.scan(key)]

    @pytest.mark.parametrize("key", ["", "é", "a\n", "a\0b", "\x7f", "a\udc80"])
    async def test_other_keys_are_refused(self, store: RecordStore, key: str) -> None:
        with pytest.raises(ValueError):
            await store.put(key, b"", expect=ABSENT)
        assert not await everything(store)

    @pytest.mark.parametrize("size", [0, 1, 4095, VALUE_LIMIT])
    async def test_values_up_to_the_limit(self, store: RecordStore, size: int) -> None:
        value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await store.put("k", value, expect=ABSENT)
        assert (await store.get("k")).value == value
        assert [record.value for record in await store.scan("")] == [value]

    async def test_what_is_too_large_is_refused(self, store: RecordStore) -> None:
        await store.put("k" * KEY_LIMIT, b"", expect=ABSENT)
        with pytest.raises(RecordTooLarge):
            await store.put("j" * (KEY_LIMIT + 1), b"", expect=ABSENT)
        with pytest.raises(RecordTooLarge):
            await store.put("k", bytes(VALUE_LIMIT + 1), expect=ABSENT)
        assert [record.key for record in await everything(store)] == ["k" * KEY_LIMIT]

    async def test_a_write_that_is_not_durable_is_seen_at_once(self, store: RecordStore) -> None:
        before = await store.head()
        version = await store.put("k", b"1", expect=ABSENT, durable=False)
        assert (await store.get("k")).version == version
        assert await feed(store, before) == (["k"], await store.head())

    async def test_pages_go_on_where_the_last_one_ended(self, store: RecordStore) -> None:
        keys = [f"tags/a!b/{number:04d}" for number in range(1234)]
        await asyncio.gather(*(store.put(key, b"v", expect=ABSENT, durable=False) for key in keys))
        await store.put("tags/a!b0", b"", expect=ABSENT)
        await store.put("tags/a!", b"", expect=ABSENT)
        assert [record.key for record in await everything(store, "tags/a!b/", limit=100)] == keys
        assert [record.key for record in await store.scan("tags/a!b/", after="tags/a!b/0999", limit=2)] == keys[
            1000:1002
        ]
        assert [record.key for record in await store.scan("tags/a!b/", after="a", limit=1)] == keys[:1]
        assert not await store.scan("tags/a!b/", after="tags/b")
        assert not await store.scan("tags/é")

    async def test_pages_of_large_values_are_short(self, store: RecordStore) -> None:
        for number in range(5):
            await store.put(f"k{number}", bytes(VALUE_LIMIT - number), expect=ABSENT, durable=False)
        assert [len(record.value) for record in await everything(store)] == [VALUE_LIMIT - n for n in range(5)]
        assert len(await store.scan("")) == 2

    async def test_a_scan_sees_what_is_there_throughout(self, store: RecordStore) -> None:
        stay = [f"k{number:03d}" for number in range(0, 300, 2)]
        for key in stay:
            await store.put(key, b"0", expect=ABSENT, durable=False)
        done = asyncio.Event()

        async def disturb(offset: int) -> None:
            while not done.is_set():
                for number in range(offset, 300, 7):
                    await increment(store, f"k{number // 2 * 2:03d}", 1)
                    version = await store.put(f"k{number:03d}+{offset}", b"", expect=ABSENT, durable=False)
                    await store.delete(f"k{number:03d}+{offset}", expect=version)

        writers = [asyncio.create_task(disturb(offset)) for offset in range(3)]
        for _ in range(10):
            found: list[str] = []
            while page := await store.scan("", after=found[-1] if found else "", limit=9):
                found += [record.key for record in page]
                await asyncio.sleep(0.001)
            assert found == sorted(set(found))
            assert set(stay) <= set(found)
        done.set()
        await asyncio.gather(*writers)

    async def test_the_feed_names_what_changed(self, store: RecordStore) -> None:
        start = await store.head()
        first = await store.put("a", b"1", expect=ABSENT)
        middle = await store.head()
        await store.put("uploads/1", b"1", expect=ABSENT)
        await store.put("chunks/1/0", b"1", expect=ABSENT)
        await store.put("b", b"1", expect=ABSENT)
        await store.delete("a", expect=first)
        assert set((await feed(store, start))[0]) == {"a", "b"}
        assert set((await feed(store, middle))[0]) == {"a", "b"}
        assert await feed(store, await store.head()) == ([], await store.head())

    async def test_what_the_feed_leaves_out_moves_it_on(self, store: RecordStore) -> None:
        start = await store.head()
        version = await store.put("uploads/1", b"1", expect=ABSENT)
        await store.delete("uploads/1", expect=version)
        await store.put("chunks/1/0", b"1", expect=ABSENT)
        assert (await feed(store, start))[0] == []

    async def test_a_long_feed_comes_in_pages(self, store: RecordStore) -> None:
        start = await store.head()
        keys = {f"k{number}" for number in range(2345)}
        await asyncio.gather(*(store.put(key, b"", expect=ABSENT, durable=False) for key in keys))
        page, until = await store.changes(start)
        assert 0 < len(page) <= 1000
        assert until != await store.head()
        found, end = await feed(store, start)
        assert set(found) == keys
        assert end == await store.head()

    async def test_waiting_for_a_change(self, store: RecordStore) -> None:
        head = await store.head()
        assert await store.changes(head, timeout_s=0.05) == ((), head)
        waiting = asyncio.create_task(store.changes(head, timeout_s=60))
        await asyncio.sleep(0.02)
        await store.put("uploads/1", b"", expect=ABSENT)
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await store.put("k", b"", expect=ABSENT)
        assert list((await waiting)[0]) == ["k"]

    @pytest.mark.parametrize("cursor", ["", ".", "x", "0.0", "00.", ".1", f"{'ab' * 16}.1"])
    async def test_a_cursor_of_no_store_is_lost(self, store: RecordStore, cursor: str) -> None:
        await store.put("k", b"", expect=ABSENT)
        with pytest.raises(CursorLost):
            await store.changes(Cursor(cursor))

    async def test_a_cursor_changed_by_hand_is_lost(self, store: RecordStore) -> None:
        await store.put("k", b"", expect=ABSENT)
        head = await store.head()
        for cursor in (head + "0", head + "x", head + " ", head + "²", head + "9" * 30):
            with pytest.raises(CursorLost):
                await store.changes(Cursor(cursor))

    async def test_the_cursor_of_another_store_is_lost(self, store: RecordStore, new_address: NewAddress) -> None:
        other = await type(self).open(new_address())
        try:
            with pytest.raises(CursorLost):
                await store.changes(await other.head())
        finally:
            await other.close()

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.differing_executors,  # each driver is its own test
            HealthCheck.function_scoped_fixture,  # it gives another address each time
        ],
    )
    @given(ops=st.lists(st.tuples(st.sampled_from(OPS), st.sampled_from("abcdef")), max_size=60))
    def test_a_copy_kept_by_the_feed_is_the_store(self, new_address: NewAddress, ops: Sequence[Op]) -> None:
        asyncio.run(self._follow(new_address(), ops))

    async def _follow(self, address: str, ops: Sequence[Op]) -> None:
        store = await type(self).open(address)
        copy: dict[str, bytes] = {}
        cursor = await store.head()
        for number, (what, name) in enumerate([*ops, ("sync", "")]):
            key = f"uploads/{name}" if what == "put unfed" else name
            if what == "sync":
                keys, cursor = await feed(store, cursor)
                for changed in keys:
                    copy.pop(changed, None)
                    if found := [record for record in await store.scan(changed) if record.key == changed]:
                        copy[changed] = found[0].value
                assert copy == {r.key: r.value for r in await everything(store) if not r.key.startswith("uploads/")}
                continue
            there = [record for record in await store.scan(key) if record.key == key]
            if what != "delete":
                expect = there[0].version if there else ABSENT
                await store.put(key, b"%d" % number, expect=expect, durable=False)
            elif there:
                await store.delete(key, expect=there[0].version)
        await store.close()

    async def test_racing_counters_add_up(self, store: RecordStore) -> None:
        versions = await asyncio.gather(*(increment(store, f"k{number % 2}", 25) for number in range(8)))
        assert [record.value for record in await store.scan("k")] == [b"100", b"100"]
        assert len({version for each in versions for version in each}) == 200

    async def test_one_of_many_makes_a_record(self, store: RecordStore) -> None:
        made = await asyncio.gather(
            *(store.put("k", b"%d" % number, expect=ABSENT) for number in range(20)), return_exceptions=True
        )
        winners = [number for number, answer in enumerate(made) if not isinstance(answer, VersionConflict)]
        assert len(winners) == 1
        assert (await store.get("k")).value == b"%d" % winners[0]

    async def test_a_cancelled_put_is_whole_or_absent(self, store: RecordStore) -> None:
        for number in range(50):
            task = asyncio.create_task(store.put(f"k{number}", b"value", expect=ABSENT))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.put("last", b"value", expect=ABSENT)
        assert {record.value for record in await everything(store)} == {b"value"}


class HeadBesideContract:
    """What a store far away keeps besides, for SharedRecordContract's `store` and `other`."""

    async def test_a_record_and_the_head_are_asked_for_together(self, store: RecordStore, other: RecordStore) -> None:
        assert isinstance(store, HeadBeside)
        for key in ("k", "", "ä"):
            assert await store.get_and_head(key) == (None, await store.head())
        for number in range(100):
            version = await other.put(f"k{number}", b"1", expect=ABSENT)
            record = Record(f"k{number}", b"1", version)
            asked = await asyncio.gather(*(store.get_and_head(f"k{number}") for _ in range(5)))
            assert asked == [(record, await store.head())] * 5
            await other.delete(f"k{number}", expect=version)
            assert await store.get_and_head(f"k{number}") == (None, await other.head())

    async def test_neither_is_older_than_the_question(self, store: RecordStore, other: RecordStore) -> None:
        """While writes and other reads are under way, an answer shows all that was acknowledged before it was asked."""
        assert isinstance(store, HeadBeside)
        heads = [await other.head()]
        version = await other.put("k", b"0", expect=ABSENT)

        async def write(first: Version) -> None:
            version = first
            for number in range(1, 200):
                version = await other.put("k", b"%d" % number, expect=version)
                heads.append(await other.head())
                written[0] = number

        written = [0]
        writing = asyncio.create_task(write(version))
        while not writing.done():
            before, known = written[0], len(heads)
            found = await asyncio.gather(*(store.get_and_head("k") for _ in range(10)))
            for record, head in found:
                assert record is not None
                assert int(record.value) >= before
                assert head not in heads[: known - 1]
        await writing


class SharedRecordContract(RecordContract):
    """The rules between stores over the same data: in this process, in others, and one after the other."""

    @pytest.fixture
    async def other(self, store: RecordStore, address: str) -> AsyncIterator[RecordStore]:
        """A second store over the same data."""
        other = await type(self).open(address)
        yield other
        await other.close()

    async def test_a_write_is_seen_by_all_before_it_returns(self, store: RecordStore, other: RecordStore) -> None:
        for number in range(50):
            writer, reader = (store, other) if number % 2 else (other, store)
            before = await reader.head()
            version = await writer.put(f"k{number}", b"1", expect=ABSENT, durable=number % 3 == 0)
            assert (await reader.get(f"k{number}")).version == version
            assert await feed(reader, before) == ([f"k{number}"], await writer.head())
            await reader.delete(f"k{number}", expect=version)
            with pytest.raises(RecordNotFound):
                await writer.get(f"k{number}")

    async def test_cursors_are_good_everywhere_and_later(
        self, store: RecordStore, other: RecordStore, address: str
    ) -> None:
        cursors = [await store.head()]
        for writer in (store, other, store):
            await increment(writer, "k", 3)
            cursors += [await store.head(), await other.head()]
        later = await type(self).open(address)
        await increment(later, "l", 1)
        for cursor in cursors:
            for reader in (store, other, later):
                assert "l" in (await feed(reader, cursor))[0]
        assert "k" in (await feed(later, cursors[0]))[0]
        await later.close()

    async def test_what_was_written_is_there_after_opening_anew(self, address: str) -> None:
        store = await type(self).open(address)
        version = await store.put("k", b"1", expect=ABSENT)
        await store.delete("k", expect=version)
        await store.put("l", b"2", expect=ABSENT, durable=False)
        await store.close()
        again = await type(self).open(address)
        assert [record.key for record in await everything(again)] == ["l"]
        assert await again.put("k", b"1", expect=ABSENT) > (await again.get("l")).version
        await again.close()

    async def test_waiting_for_a_change_by_another(self, store: RecordStore, other: RecordStore) -> None:
        waiting = asyncio.create_task(store.changes(await store.head(), timeout_s=60))
        await asyncio.sleep(0.02)
        await other.put("k", b"", expect=ABSENT)
        assert list((await waiting)[0]) == ["k"]

    async def test_racing_counters_of_processes_add_up(self, store: RecordStore, address: str) -> None:
        """3 processes with 4 tasks each count two keys up, 20 times, and this one with them."""
        name = f"{type(self).open.__module__}:{type(self).open.__qualname__}"
        command = [sys.executable, "-m", "tests.store.child", "count", name, address, "4", "20"]
        children = [
            await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE) for _ in range(3)
        ]
        own = await asyncio.gather(*(increment(store, f"k{number % 2}", 20) for number in range(4)))
        outputs = [(await child.communicate())[0] for child in children]
        versions = [version for each in own for version in each]
        for output in outputs:
            theirs = [Version(int(line)) for line in output.split()]
            assert len(theirs) == 80
            versions += theirs
        assert [record.value for record in await store.scan("k")] == [b"160", b"160"]
        assert len(set(versions)) == 320
