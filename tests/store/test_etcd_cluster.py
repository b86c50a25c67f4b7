"""EtcdRecords over three members that die, over connections that break, with TLS, and with users."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aetcd import rpc
from tests.faults.proxy import LossyProxy
from tests.services.etcd import Etcd, need, new_id, open_etcd
from tests.store.contract_records import ROOT
from tests.store.steps import everything, feed, increment

from cnr.domain.errors import OutcomeUnknown, StoreTrouble, StoreUnavailable
from cnr.store.base import ABSENT, Cursor, CursorLost, RecordStore, StoreRefused, VersionConflict
from cnr.store.etcd import EtcdRecords
from cnr.store.records import Repo
from cnr.store.update import Updater

LONG = os.environ.get("CNR_LONG") == "1"
ROUNDS = 10_000 if LONG else 200


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One member that nobody harms."""
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    yield etcd
    etcd.kill()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    """A cluster of three, of which one may be missing."""
    etcd = Etcd(tmp_path, "--heartbeat-interval=50", "--election-timeout=500", size=3)
    yield etcd
    etcd.kill()


class Counter:
    """Tasks that make a record each again and again by `update`, and what they were told."""

    def __init__(self, store: RecordStore) -> None:
        self._updater = Updater(store, new_id)
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.refused = 0

    async def run(self, name: str) -> None:
        number = 0
        while True:
            number += 1
            key = f"repos/{name}-{number}"
            try:
                swap = await self._updater.update(key, Repo, self._made)
            except OutcomeUnknown:
                self.unknown.add(key)
            except StoreUnavailable:
                self.refused += 1
                await asyncio.sleep(0.05)
            else:
                assert swap.before is None, "its own write was taken for another's"
                self.acknowledged.add(key)

    @staticmethod
    def _made(before: Repo | None) -> Repo:
        assert before is None, "its own write was taken for another's"
        return Repo(state="live", created_at=1)


@contextlib.asynccontextmanager
async def counting(store: RecordStore) -> AsyncIterator[Counter]:
    """Writers under way while the block runs."""
    counter = Counter(store)
    tasks = [asyncio.create_task(counter.run(new_id())) for _ in range(8)]
    try:
        yield counter
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise AssertionError("a writer ended") from outcome


async def progress(counter: Counter, more: int = 50) -> None:
    """Wait until that many more writes are acknowledged."""
    target = len(counter.acknowledged) + more
    while len(counter.acknowledged) < target:
        await asyncio.sleep(0.02)


async def test_leaders_die_under_load(three: Etcd) -> None:
    """No acknowledged write is lost, no writer meets its own write as a conflict, and the feed misses nothing."""
    store = await open_etcd(three.url(new_id()))
    since = await store.head()
    followed: set[str] = set()
    async with counting(store) as counter:
        await progress(counter)
        for _ in range(5 if LONG else 2):
            leader = three.leader()
            leader.kill()
            await progress(counter)
            leader.start()
            await asyncio.to_thread(leader.wait)
            keys, since = await feed_at_last(store, since)
            followed |= set(keys)
    keys, since = await feed(store, since)
    found = {record.key for record in await everything(store, "repos/")}
    assert counter.acknowledged <= found
    assert found <= followed | set(keys)
    await store.close()


async def feed_at_last(store: EtcdRecords, since: Cursor) -> tuple[list[str], Cursor]:
    """The feed while others write: a page, as soon as there is one."""
    while True:
        try:
            page, until = await store.changes(since, timeout_s=1)
            return list(page), until
        except StoreTrouble:
            await asyncio.sleep(0.05)


async def test_without_a_majority_nothing_is_answered(three: Etcd) -> None:
    store = await open_etcd(three.url(new_id()))
    version = await store.put("k", b"1", expect=ABSENT)
    for member in three.members[:2]:
        member.kill()
    with pytest.raises(StoreUnavailable):
        await store.get("k")
    with pytest.raises(StoreTrouble):
        await store.put("k", b"2", expect=version)
    for member in three.members[:2]:
        member.start()
    for member in three.members[:2]:
        await asyncio.to_thread(member.wait)
    while True:
        with contextlib.suppress(StoreUnavailable):
            assert (await store.get("k")).value in (b"1", b"2")
            break
    await store.close()


async def test_a_member_that_hangs_is_left(three: Etcd) -> None:
    store = await open_etcd(three.url(new_id()))
    await store.put("k", b"1", expect=ABSENT)
    used = store.cluster.endpoints[0].target
    hung = next(member for member in three.members if member.endpoint == used)
    hung.freeze()
    try:
        assert (await store.get("k")).value == b"1"
        assert store.cluster.endpoints[store.cluster._at].target != used
        await increment(store, "l", 3)
    finally:
        hung.thaw()
    await store.close()


async def test_compaction_under_load(three: Etcd) -> None:
    """A consumer that fell behind is told, begins anew, and then has what the store has."""
    store = await open_etcd(three.url(new_id()))
    behind = await open_etcd(three.url(store.cluster.address.prefix))
    since = await store.head()
    async with counting(store) as counter:
        await progress(counter, 200)
        answer = await store.cluster.read("Range", rpc.RangeRequest(key=b"x"))
        await asyncio.to_thread(three.members[0].ask, "kv/compaction", revision=answer.header.revision)
        await progress(counter, 50)
    with pytest.raises(CursorLost):
        await behind.changes(since)
    since = await behind.head()
    copy = {record.key for record in await everything(behind)}
    await increment(store, "k", 1)
    copy |= set((await feed(behind, since))[0])
    assert copy == {record.key for record in await everything(store)}
    await store.close()
    await behind.close()


async def test_lost_answers(etcd: Etcd) -> None:
    """Answers are lost and connections cut at many moments: `update` still tells the truth."""
    prefix = new_id()
    async with LossyProxy(etcd.members[0].client_port) as proxy:
        store = await open_etcd(f"etcd://127.0.0.1:{proxy.port}/{prefix}")
        async with counting(store) as counter:
            for number in range(300 if LONG else 30):
                await progress(counter, 5)
                if number % 3:
                    proxy.lose(after=number % 5)
                else:
                    proxy.cut()
        found = {record.key for record in await everything(store, "repos/")}
        assert counter.acknowledged <= found
        await store.close()
    assert proxy.lost


async def test_one_lost_answer_is_unknown_and_not_sent_again(etcd: Etcd) -> None:
    async with LossyProxy(etcd.members[0].client_port) as proxy:
        store = await open_etcd(f"etcd://127.0.0.1:{proxy.port}/{new_id()}")
        for number in range(20):
            proxy.lose()
            with pytest.raises(OutcomeUnknown):
                await store.put(f"k{number}", b"1", expect=ABSENT)
            with contextlib.suppress(StoreUnavailable):
                await store.head()
            while True:
                with contextlib.suppress(StoreUnavailable):
                    found = await store.scan(f"k{number}")
                    break
            for record in found:
                assert await versions(store, record.key) == 1
        await store.close()


async def versions(store: EtcdRecords, key: str) -> int:
    """How often a record was written."""
    answer = await store.cluster.read(
        "Range", rpc.RangeRequest(key=f"{store.cluster.address.prefix}records/{key}".encode())
    )
    return int(answer.kvs[0].version)


async def test_nobody_listens_any_more(etcd: Etcd) -> None:
    """Certain not to be sent: 503, and nothing to wonder about."""
    async with LossyProxy(etcd.members[0].client_port) as proxy:
        store = await open_etcd(f"etcd://127.0.0.1:{proxy.port}/{new_id()}")
        await store.put("k", b"1", expect=ABSENT)
        await proxy.refuse()
        while True:
            try:
                await store.put("l", b"1", expect=ABSENT)
            except OutcomeUnknown:
                continue  # gRPC has not seen yet that the connection is gone
            except StoreUnavailable:
                break
        await proxy.accept()
        while True:
            with contextlib.suppress(StoreUnavailable):
                await increment(store, "m", 1)
                break
        await store.close()


async def test_a_watch_that_breaks_misses_nothing(etcd: Etcd) -> None:
    prefix = new_id()
    writer = await open_etcd(etcd.url(prefix))
    async with LossyProxy(etcd.members[0].client_port) as proxy:
        store = await open_etcd(f"etcd://127.0.0.1:{proxy.port}/{prefix}")
        since = await store.head()
        found: set[str] = set()
        for number in range(20):
            waiting = asyncio.create_task(feed_at_last(store, since))
            await asyncio.sleep(0.01)
            proxy.cut()
            await writer.put(f"k{number}", b"", expect=ABSENT)
            keys, since = await waiting
            found |= set(keys)
        while f"k{number}" not in found:
            keys, since = await feed_at_last(store, since)
            found |= set(keys)
        assert found == {f"k{number}" for number in range(20)}
        await store.close()
    await writer.close()


async def test_of_two_processes_one_wins(etcd: Etcd) -> None:
    """Rounds of two processes that make the same key: one is told that it won, and its value stands."""
    url = etcd.url(new_id())
    name = f"{open_etcd.__module__}:{open_etcd.__qualname__}"
    command = [sys.executable, "-m", "tests.store.child", "race", name, url, str(ROUNDS)]
    children = [
        await asyncio.create_subprocess_exec(*command, each, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        for each in ("one", "two")
    ]
    won = [set((await child.communicate())[0].decode().split()) for child in children]
    assert not won[0] & won[1]
    assert len(won[0] | won[1]) == ROUNDS
    store = await open_etcd(url)
    for record in await everything(store, "race/"):
        assert record.key in won[record.value == b"two"]
    await store.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and cert.pem with key.pem for 127.0.0.1 and for a client, signed by it."""
    need("openssl")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=root -keyout key.pem -out request.pem",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile names -out cert.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


async def test_tls(certificates: Path, tmp_path: Path) -> None:
    files = {name: certificates / f"{name}.pem" for name in ("ca", "cert", "key")}
    etcd = Etcd(
        tmp_path,
        f"--cert-file={files['cert']}",
        f"--key-file={files['key']}",
        f"--trusted-ca-file={files['ca']}",
        "--client-cert-auth",
    )
    try:
        url = etcd.url(new_id(), "etcds")
        store = await open_etcd(f"{url}?ca={files['ca']}&cert={files['cert']}&key={files['key']}")
        since = await store.head()
        await increment(store, "k", 3)
        assert (await feed(store, since))[0] == ["k"]
        await store.close()
        for wrong in (url, f"{url}?ca={files['ca']}", url.replace("etcds:", "etcd:")):
            with pytest.raises((StoreUnavailable, StoreRefused)):
                await open_etcd(wrong)
    finally:
        etcd.kill()


async def test_users(tmp_path: Path) -> None:
    """A user who may do everything below the prefix and nothing else; whose token is forgotten by a restart."""
    etcd = Etcd(tmp_path)
    member = etcd.members[0]
    try:
        for path, body in USERS:
            member.ask(f"auth/{path}", **body)
        place = f"{member.endpoint}/app/registry"
        store = await open_etcd(f"etcd://app:p%40ss@{place}")
        since = await store.head()
        version = await store.put("k", b"1", expect=ABSENT)
        assert (await feed(store, since))[0] == ["k"]
        etcd.kill()
        await asyncio.to_thread(etcd.start)
        while True:
            with contextlib.suppress(StoreUnavailable):
                assert (await store.get("k")).value == b"1"
                break
        version = await store.put("k", b"2", expect=version)
        with pytest.raises(VersionConflict):
            await store.put("k", b"3", expect=ABSENT)
        assert set((await feed(store, since))[0]) == {"k"}
        assert "unknown" not in {fact.value for fact in await store.inspect() if fact.warning}
        await store.close()
        for login, sentence in (
            ("app:wrong@", "authentication failed"),
            ("nobody:x@", "authentication failed"),
            ("", "wants a user and a password"),
        ):
            with pytest.raises(StoreRefused, match=sentence) as caught:
                await open_etcd(f"etcd://{login}{place}")
            assert "wrong" not in str(caught.value)
        with pytest.raises(StoreRefused, match="permission denied"):
            await open_etcd(f"etcd://app:p%40ss@{member.endpoint}/elsewhere")
    finally:
        etcd.kill()


USERS: tuple[tuple[str, dict[str, object]], ...] = (
    ("user/add", {"name": "root", "password": "root"}),
    ("user/grant", {"user": "root", "role": "root"}),
    ("user/add", {"name": "app", "password": "p@ss"}),
    ("role/add", {"name": "app"}),
    ("role/grant", {"name": "app", "perm": {"permType": "READWRITE", "key": "YXBwLw==", "range_end": "YXBwMA=="}}),
    ("user/grant", {"user": "app", "role": "app"}),
    ("enable", {}),
)
"""`app` may read and write what begins with app/."""
