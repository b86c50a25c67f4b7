"""EtcdRecords over one etcd that is killed, full, compacted, restored, slow, and reached by a wrong address."""

import asyncio
import base64
import logging
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.services.etcd import Etcd, Member, new_id, open_etcd
from tests.store.steps import everything, feed, increment

from cnr.domain.errors import OutcomeUnknown, StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import ABSENT, VALUE_LIMIT, CursorLost, RecordNotFound, RecordTooLarge, StoreRefused, Version
from cnr.store.etcd import EtcdRecords
from cnr.store.etcd_address import address_of
from cnr.store.etcd_log import Gap, Log, Place


@pytest.fixture
def new_etcd(tmp_path: Path) -> Iterator[Callable[..., Etcd]]:
    """Starts an etcd with options, which ends with the test."""
    with ExitStack() as stack:

        def start(*options: str) -> Etcd:
            etcd = Etcd(tmp_path, *options)
            stack.callback(etcd.kill)
            return etcd

        yield start


@pytest.fixture
def etcd(new_etcd: Callable[..., Etcd]) -> Etcd:
    """An etcd that the test may harm."""
    return new_etcd()


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd that stays as it is."""
    etcd = Etcd(tmp_path_factory.mktemp("steady"))
    yield etcd
    etcd.kill()


async def answering(store: EtcdRecords) -> None:
    """Wait until the store answers again."""
    while True:
        try:
            await store.head()
            return
        except StoreUnavailable:
            await asyncio.sleep(0.05)


def compact(member: Member) -> None:
    """Forget all but the newest revision."""
    revision = member.ask("kv/range", key=base64.b64encode(b"x").decode())["header"]["revision"]  # type: ignore[index]
    member.ask("kv/compaction", revision=revision, physical=True)


async def test_killed_and_started_again(etcd: Etcd) -> None:
    store = await open_etcd(etcd.url())
    acknowledged: dict[str, bytes] = {}
    for round_ in range(3):

        async def write(number: int, round_: int = round_) -> None:
            while True:
                key = f"tags/{round_}/{number}/{len(acknowledged)}"
                try:
                    await store.put(key, key.encode(), expect=ABSENT, durable=False)
                except (StoreUnavailable, OutcomeUnknown):
                    return
                acknowledged[key] = key.encode()

        writers = [asyncio.create_task(write(number)) for number in range(8)]
        await asyncio.sleep(0.3)
        etcd.kill()
        await asyncio.gather(*writers)
        with pytest.raises(StoreUnavailable):
            await store.get("tags/0")
        with pytest.raises(StoreUnavailable):
            await store.put("tags/0", b"", expect=ABSENT)
        with pytest.raises(StoreUnavailable):
            await store.head()
        with pytest.raises(StoreUnavailable):
            await store.scan("")
        await asyncio.to_thread(etcd.start)
        await answering(store)
        found = {record.key: record.value for record in await everything(store, "tags/")}
        assert acknowledged.items() <= found.items()
    assert len(acknowledged) > 50
    await store.close()


async def test_the_feed_goes_on_after_a_restart(etcd: Etcd) -> None:
    store = await open_etcd(etcd.url())
    since = await store.head()
    await store.put("a", b"", expect=ABSENT)
    assert (await feed(store, since))[0] == ["a"]
    waiting = asyncio.create_task(store.changes(await store.head(), timeout_s=60))
    await asyncio.sleep(0.05)
    etcd.kill()
    await asyncio.to_thread(etcd.start)
    await answering(store)
    await store.put("b", b"", expect=ABSENT)
    assert list((await waiting)[0]) == ["b"]
    assert set((await feed(store, since))[0]) == {"a", "b"}
    await store.close()


async def test_a_frozen_etcd(etcd: Etcd) -> None:
    """A read ends with 503. Of a write nobody knows; it may be done later, and once."""
    store = await open_etcd(etcd.url())
    version = await store.put("k", b"1", expect=ABSENT)
    etcd.members[0].freeze()
    with pytest.raises(StoreUnavailable):
        await store.get("k")
    etcd.members[0].thaw()
    await answering(store)
    etcd.members[0].freeze()
    write = asyncio.create_task(store.put("k", b"2", expect=version))
    with pytest.raises(OutcomeUnknown):
        await write
    etcd.members[0].thaw()
    await answering(store)
    assert (await store.get("k")).value in (b"1", b"2")
    await store.close()


async def test_a_full_etcd(new_etcd: Callable[..., Etcd]) -> None:
    """Quota 16 MiB: 503 until it is compacted, defragmented and disarmed; reads and deletes of pieces go on."""
    etcd = new_etcd(f"--quota-backend-bytes={16 << 20}")
    store = await open_etcd(etcd.url())
    outcomes: dict[str, Version | BaseException] = {}
    while not any(isinstance(outcome, StoreUnavailable) for outcome in outcomes.values()):
        keys = [f"chunks/{len(outcomes) + number}" for number in range(16)]
        writes = (store.put(key, secrets.token_bytes(VALUE_LIMIT), expect=ABSENT) for key in keys)
        outcomes |= dict(zip(keys, await asyncio.gather(*writes, return_exceptions=True), strict=True))
    written = {key: version for key, version in outcomes.items() if isinstance(version, int)}
    for key, outcome in outcomes.items():
        if key in written:
            assert (await store.get(key)).version == outcome
        elif isinstance(outcome, StoreUnavailable):
            assert "NOSPACE" in outcome.message
            with pytest.raises(RecordNotFound):
                await store.get(key)
        else:  # etcd wrote it, and said that it was full
            assert isinstance(outcome, OutcomeUnknown)
    before = await store.head()
    with pytest.raises(StoreUnavailable):
        await store.put("tags/a", b"small", expect=ABSENT)
    with pytest.raises(RecordNotFound):
        await store.get("tags/a")
    assert [fact.name for fact in await store.inspect() if "NOSPACE" in fact.value] == ["alarm"]
    for key, version in written.items():
        await store.delete(key, expect=version)
    member = etcd.members[0]
    await asyncio.to_thread(compact, member)
    await asyncio.to_thread(member.ask, "maintenance/defragment")
    for alarm in (await asyncio.to_thread(member.ask, "maintenance/alarm"))["alarms"]:  # type: ignore[attr-defined]
        await asyncio.to_thread(member.ask, "maintenance/alarm", action="DEACTIVATE", **alarm)
    await store.put("tags/a", b"small", expect=ABSENT)
    assert (await feed(store, before))[0] == ["tags/a"]
    await store.close()


async def test_an_etcd_that_takes_less(new_etcd: Callable[..., Etcd]) -> None:
    etcd = new_etcd("--max-request-bytes=100000")
    store = await open_etcd(etcd.url())
    with pytest.raises(RecordTooLarge):
        await store.put("k", bytes(200_000), expect=ABSENT)
    await store.put("k", bytes(90_000), expect=ABSENT)
    await store.close()


async def test_what_was_compacted_is_lost(etcd: Etcd) -> None:
    store, other = await open_etcd(etcd.url()), await open_etcd(etcd.url())
    since = await store.head()
    await increment(store, "k", 5)
    await asyncio.to_thread(compact, etcd.members[0])
    with pytest.raises(CursorLost):
        await other.changes(since)
    head = await store.head()
    await increment(other, "l", 1)
    for each in (store, other):
        assert (await feed(each, head))[0] == ["l"]
        await each.close()


async def test_a_cursor_outlives_compactions_of_what_others_wrote(etcd: Etcd) -> None:
    store = await open_etcd(etcd.url())
    neighbour = await open_etcd(etcd.url("neighbour"))
    await increment(store, "k", 5)
    since = await store.head()
    await increment(neighbour, "k", 20)
    await store.put("uploads/1", b"", expect=ABSENT)
    await asyncio.to_thread(compact, etcd.members[0])
    await increment(neighbour, "k", 5)
    assert await feed(store, since) == ([], since)
    await increment(store, "l", 1)
    later = await open_etcd(etcd.url())
    for each in (store, later):
        assert (await feed(each, since))[0] == ["l"]
    for each in (store, neighbour, later):
        await each.close()


async def test_a_restored_etcd_loses_cursors(etcd: Etcd, tmp_path: Path) -> None:
    """The same cluster id, the same revisions, another history."""
    member = etcd.members[0]
    store = await open_etcd(etcd.url())
    await increment(store, "k", 3)
    early = await store.head()
    etcd.kill()
    member.folder.rename(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", member.folder)
    await asyncio.to_thread(etcd.start)
    await answering(store)
    await increment(store, "before", 3)
    lost = await store.head()
    assert (await feed(store, early))[0] == ["before"]
    etcd.kill()
    member.folder.rename(tmp_path / "gone")
    shutil.copytree(tmp_path / "kept", member.folder)
    await asyncio.to_thread(etcd.start)
    await answering(store)
    with pytest.raises(CursorLost):
        await store.changes(lost)
    await increment(store, "after", 5)
    for each in (store, await open_etcd(etcd.url())):
        with pytest.raises(CursorLost):
            await feed(each, lost)
        assert (await feed(each, early))[0] == ["after"]
        await each.close()


async def test_a_feed_deleted_by_hand(etcd: Etcd) -> None:
    store = await open_etcd(etcd.url())
    since = await store.head()
    await increment(store, "k", 2)
    assert (await feed(store, since))[0] == ["k"]
    middle = await store.head()
    key = base64.b64encode(b"cnr/feed").decode()
    await asyncio.to_thread(etcd.members[0].ask, "kv/deleterange", key=key)
    later = await store.head()
    await increment(store, "l", 1)
    for cursor in (since, middle):
        with pytest.raises(CursorLost):
            await feed(store, cursor)
    assert (await feed(store, later))[0] == ["l"]
    await store.close()


def test_a_gap_is_seen() -> None:
    class Found:
        """A KeyValue."""

        def __init__(self, revision: int, version: int) -> None:
            self.mod_revision, self.version = revision, version
            self.value = f"{'a' * 32} key".encode()

    log = Log(Place(5, "b" * 32))
    log.proven(1)
    log.add(Found(7, 2))
    log.add(Found(7, 2))
    with pytest.raises(Gap):
        log.add(Found(9, 4))
    assert log.after(Place(5, "b" * 32)) == (["key"], Place(7, "a" * 32))
    with pytest.raises(CursorLost):
        log.holds(Place(7, "c" * 32))
    with pytest.raises(CursorLost):
        log.holds(Place(6, "a" * 32))
    assert not log.holds(Place(4, "a" * 32))


async def test_an_old_consumer_and_a_new_one(steady: Etcd) -> None:
    """One goes back to the start while another waits at the head."""
    store = await open_etcd(steady.url(new_id()))
    start = await store.head()
    await increment(store, "k", 3)
    waiting = asyncio.create_task(store.changes(await store.head(), timeout_s=60))
    await asyncio.sleep(0.05)
    assert (await feed(store, start))[0] == ["k"]
    assert not waiting.done()
    await store.put("l", b"", expect=ABSENT)
    assert list((await waiting)[0]) == ["l"]
    await store.close()


async def test_more_changes_than_are_kept(steady: Etcd) -> None:
    store = await open_etcd(steady.url(new_id()))
    store._feed._kept = 1000
    start = await store.head()
    await store.changes(start)
    for first in range(0, 3500, 100):
        await asyncio.gather(*(store.put(f"k{number}", b"", expect=ABSENT) for number in range(first, first + 100)))
    assert set((await feed(store, start))[0]) == {f"k{number}" for number in range(3500)}
    await store.close()


async def test_what_an_operator_is_told(steady: Etcd) -> None:
    store = await open_etcd(steady.url(new_id()))
    facts = {fact.name: fact for fact in await store.inspect()}
    assert "etcd 3." in facts[f"endpoint {steady.members[0].endpoint}"].value
    assert facts["members"].value == "1, of which 0 may fail"
    assert facts["alarms"].value == "none"
    assert "revisions are kept" in facts["history"].value
    assert not [fact for fact in facts.values() if fact.warning]
    await store.close()


async def test_an_endpoint_that_is_not_there(steady: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    """The others serve; the start warns."""
    caplog.set_level(logging.WARNING)
    store = await open_etcd(f"etcd://127.0.0.1:1,{steady.members[0].endpoint}/{new_id()}")
    await increment(store, "k", 2)
    assert "127.0.0.1:1 does not answer" in caplog.text
    await store.close()
    with pytest.raises(StoreUnavailable, match=r"etcd at 127\.0\.0\.1:1 cannot be reached"):
        await open_etcd("etcd://127.0.0.1:1")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("etcd:///prefix", "names no host"),
        ("etcd://secretuser@h", "both a user and a password"),
        ("etcd://:topsecret@h", "both a user and a password"),
        ("etcd://u:topsecret@h?timeout=3", "unknown option 'timeout'; there are ca, cert, key"),
        ("etcd://u:topsecret@h?cert=/x", "both cert and key"),
        ("etcds://u:topsecret@h?ca=/nowhere/ca.pem", "/nowhere/ca.pem, cannot be read"),
        (f"etcd://h/{'x' * 300}", "prefix"),
        ("etcd://h/%C3%A9", "prefix"),
    ],
)
def test_a_bad_address_is_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(StoreRefused) as caught:
        address_of(StoreUrl.parse(url), "cnr/packages/")
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)


def test_addresses() -> None:
    address = address_of(StoreUrl.parse("etcd://u:p%40ss@a,b:1,[::1]:2/x/y/"), "cnr/packages/")
    assert (address.endpoints, address.prefix) == (("a:2379", "b:1", "[::1]:2"), "x/y/")
    assert (address.user, address.password, address.tls) == ("u", "p@ss", None)
    assert "p@ss" not in f"{address} {address!r}"
    assert address_of(StoreUrl.parse("etcd://a"), "cnr/packages/").prefix == "cnr/packages/"
    assert address_of(StoreUrl.parse("etcds://a"), "").tls is not None
