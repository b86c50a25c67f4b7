"""What only redis can do to a store: lose answers, restart, forget, fill up, fail over, refuse."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.faults.proxy import LossyProxy
from tests.services.redis import RedisServer
from tests.store.steps import everything, feed, increment
from tests.store.test_redis_contract import new_id, now, open_redis

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import ABSENT, CursorLost, RecordNotFound, StoreRefused, VersionConflict
from cnr.store.open import open_store
from cnr.store.records import Repo
from cnr.store.redis import RedisRecords
from cnr.store.redis_address import connector
from cnr.store.update import Updater


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis of this test alone."""
    server = RedisServer(tmp_path / "redis")
    try:
        yield server.start()
    finally:
        server.kill()


@asynccontextmanager
async def opened(server: RedisServer, prefix: str = "") -> AsyncIterator[RedisRecords]:
    store = await open_redis(f"{server.url} {prefix or new_id()}")
    assert isinstance(store, RedisRecords)
    try:
        yield store
    finally:
        await store.close()


def through(proxy: LossyProxy, prefix: str, *, answer_s: float = 30.0) -> RedisRecords:
    url = StoreUrl.parse(f"redis://127.0.0.1:{proxy.port}")
    connect_s = min(answer_s, 5)
    return RedisRecords(connector(url, connect_s=connect_s), prefix, new_id, connect_s=connect_s, answer_s=answer_s)


async def test_a_lost_answer_is_unknown_and_the_write_happened_once(redis: RedisServer) -> None:
    prefix = new_id()
    async with LossyProxy(redis.port) as proxy, opened(redis, prefix) as direct:
        store = through(proxy, prefix)
        await store.delete("k", expect=await store.put("k", b"", expect=ABSENT))  # redis knows the scripts now
        first = await store.put("k", b"1", expect=ABSENT)
        for number in range(2, 6):
            before = await store.get("k")  # which connects again
            proxy.lose()
            with pytest.raises(OutcomeUnknown):
                await store.put("k", b"%d" % number, expect=before.version)
            found = await direct.get("k")
            assert (found.value, found.version) == (b"%d" % number, before.version + 1), "not once"
        last = await store.get("k")
        proxy.lose()
        with pytest.raises(OutcomeUnknown):
            await store.delete("k", expect=last.version)
        with pytest.raises(RecordNotFound):
            await direct.get("k")
        assert proxy.lost == 5
        assert (await store.put("k", b"", expect=ABSENT)) == first + 6
        await store.close()


async def test_the_library_itself_would_write_twice(redis: RedisServer) -> None:
    """Why a lane of our own: redis-py's client repeats a write whose answer was lost."""
    async with LossyProxy(redis.port) as proxy:
        client = AsyncRedis(port=proxy.port, retry=Retry(NoBackoff(), 10))
        await client.set("twice", 0)
        proxy.lose()
        assert await client.incr("twice") == 2
        await client.aclose()


async def test_a_lost_answer_to_a_read_changes_nothing(redis: RedisServer) -> None:
    prefix = new_id()
    async with LossyProxy(redis.port) as proxy:
        store = through(proxy, prefix)
        await store.put("k", b"1", expect=ABSENT)
        head = await store.head()
        for read in (lambda: store.get("k"), lambda: store.scan(""), lambda: store.head(), lambda: store.changes(head)):
            await read()
            proxy.lose()
            with pytest.raises(StoreUnavailable):
                await read()
        assert (await store.get("k")).value == b"1"
        await store.close()


async def test_an_update_finds_its_own_write_after_a_lost_answer(redis: RedisServer) -> None:
    prefix = new_id()
    async with LossyProxy(redis.port) as proxy:
        store = through(proxy, prefix)
        updater = Updater(store, new_id)

        def change(before: Repo | None) -> Repo:
            return Repo(state="live", created_at=before.created_at + 1 if before else 1)

        for number in range(1, 10):
            await store.head()
            proxy.lose(after=1)  # of the read before it
            swap = await updater.update("repos/a", Repo, change)
            assert swap.after is not None
            assert swap.after.created_at == number
        assert proxy.lost == 9
        await store.close()


async def test_many_tasks_lose_their_answers(redis: RedisServer) -> None:
    """Each counts what it was told; the store holds that, and of the unknown each once or not."""
    prefix = new_id()
    told: list[str] = []
    unknown: list[str] = []
    async with LossyProxy(redis.port) as proxy:
        store = through(proxy, prefix)

        async def write(number: int) -> None:
            for turn in range(40):
                key = f"k{number}-{turn}"
                try:
                    await store.put(key, b"x", expect=ABSENT)
                    told.append(key)
                except OutcomeUnknown:
                    unknown.append(key)
                except StoreUnavailable:
                    await asyncio.sleep(0.001)

        async def disturb() -> None:
            while True:
                await asyncio.sleep(0.004)
                proxy.lose()
                await asyncio.sleep(0.004)
                proxy.cut()

        disturber = asyncio.create_task(disturb())
        await asyncio.gather(*(write(number) for number in range(10)))
        disturber.cancel()
        await store.close()
    async with opened(redis, prefix) as direct:
        there = {record.key for record in await everything(direct)}
    assert set(told) <= there <= set(told) | set(unknown)
    assert unknown


async def test_what_cannot_be_sent_changed_nothing_and_it_recovers(redis: RedisServer) -> None:
    prefix = new_id()
    async with LossyProxy(redis.port) as proxy:
        store = through(proxy, prefix)
        first = await store.put("k", b"1", expect=ABSENT)
        await proxy.refuse()
        for call in (store.put("k", b"2", expect=first), store.delete("k", expect=first), store.get("k")):
            with pytest.raises((StoreUnavailable, OutcomeUnknown)):
                await call
        with pytest.raises(StoreUnavailable):
            await store.put("k", b"2", expect=first)
        await proxy.accept()
        assert (await store.get("k")).version == first
        await store.close()


async def test_an_overdue_answer_is_given_up(redis: RedisServer) -> None:
    prefix = new_id()
    async with LossyProxy(redis.port) as proxy:
        store = through(proxy, prefix, answer_s=0.3)
        await store.put("k", b"1", expect=ABSENT)
        proxy.hold()
        with pytest.raises(OutcomeUnknown):
            await store.put("l", b"2", expect=ABSENT)
        with pytest.raises(StoreUnavailable):
            await store.get("k")
        proxy.release()
        assert (await store.get("l")).value == b"2"
        await store.close()


async def test_scripts_that_redis_has_forgotten(redis: RedisServer) -> None:
    async with opened(redis) as store:
        for number in range(3):
            with redis.client() as client:
                client.script_flush()
            head = await store.head()
            version = await store.put(f"k{number}", b"", expect=ABSENT)
            with redis.client() as client:
                client.script_flush()
            assert await feed(store, head) == ([f"k{number}"], await store.head())
            assert str(version) == str(await store.head()).partition(".")[2]


async def test_no_acknowledged_write_is_lost_when_redis_is_killed(own: RedisServer) -> None:
    told: dict[str, int] = {}
    prefix = new_id()
    async with opened(own, prefix) as store:
        done = asyncio.Event()

        async def write(number: int) -> None:
            turn = 0
            while not done.is_set():
                turn += 1
                key = f"k{number}-{turn}"
                try:
                    told[key] = await store.put(key, key.encode(), expect=ABSENT)
                except (StoreUnavailable, OutcomeUnknown):
                    await asyncio.sleep(0.01)

        writers = [asyncio.create_task(write(number)) for number in range(8)]
        for _ in range(4):
            count = len(told)
            while len(told) < count + 200:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
        done.set()
        await asyncio.gather(*writers)
        found = {record.key: record for record in await everything(store)}
        assert all(found[key].version == version for key, version in told.items())
        assert all(record.value == key.encode() for key, record in found.items())
        assert len(set(told.values())) == len(told)


@pytest.mark.parametrize("end", ["restart", "flush", "replica"])
async def test_a_cursor_is_lost_when_redis_may_have_forgotten(own: RedisServer, end: str) -> None:
    async with opened(own) as store:
        versions = await increment(store, "k", 3)
        cursor = await store.head()
        if end == "restart":
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
        else:
            with own.client() as client:
                if end == "flush":
                    client.flushall()
                else:
                    client.replicaof("127.0.0.1", "1")
                    with pytest.raises(StoreUnavailable):
                        await store.head()
                    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
                        await store.put("x", b"", expect=ABSENT)
                    client.replicaof("no", "one")
        with pytest.raises(CursorLost):
            await store.changes(cursor)
        again = await store.head()
        assert await feed(store, again) == ([], again)
        assert (await store.put("l", b"", expect=ABSENT)) > versions[-1]
        with pytest.raises(VersionConflict):
            await store.put("l", b"", expect=versions[-1])


async def test_a_cursor_older_than_the_deletes_that_are_kept(redis: RedisServer) -> None:
    url = StoreUrl.parse(redis.url)
    store = RedisRecords(connector(url, connect_s=5), new_id(), new_id, gone_kept=10)
    start = await store.head()
    for number in range(10):
        await store.delete("k", expect=await store.put("k", b"", expect=ABSENT))
        await store.delete(f"k{number}", expect=await store.put(f"k{number}", b"", expect=ABSENT))
    middle = await store.head()
    with pytest.raises(CursorLost):
        await store.changes(start)
    assert await feed(store, middle) == ([], middle)
    for number in range(10):
        await store.delete(f"k{number}", expect=await store.put(f"k{number}", b"", expect=ABSENT))
    assert len((await feed(store, middle))[0]) == 10
    await store.close()


async def test_a_full_redis_refuses_writes_and_lets_everything_else_pass(own: RedisServer) -> None:
    prefix = new_id()
    async with opened(own, prefix) as store:
        version = await store.put("k", bytes(100_000), expect=ABSENT)
        head = await store.head()
        with own.client() as client:
            client.config_set("maxmemory", "1")
        with pytest.raises(StoreFull):
            await store.put("l", b"", expect=ABSENT)
        with pytest.raises(StoreFull):
            await store.put("k", b"", expect=version)
        assert await store.head() == head
        assert (await store.get("k")).version == version
        await store.delete("k", expect=version)
        assert (await feed(store, head))[0] == ["k"]
        await asyncio.to_thread(own.kill)
        await asyncio.to_thread(own.start)
        with own.client() as client:
            client.config_set("maxmemory", "1")
        await store.head()  # which has to begin a new epoch
        assert await everything(store) == []
        with own.client() as client:
            client.config_set("maxmemory", "0")
        await store.put("l", b"", expect=ABSENT)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--cluster-enabled", "yes"), "cluster"),
        (("--maxmemory-policy", "allkeys-lru"), "maxmemory-policy allkeys-lru"),
        (("--maxmemory-policy", "volatile-ttl"), "noeviction"),
        (("--replicaof", "127.0.0.1 1"), "replica"),
        (("--requirepass", "secret"), "refuses this server"),
    ],
)
async def test_a_redis_that_cannot_keep_records_is_refused(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    server = RedisServer(tmp_path / "redis", *options)
    try:
        server.start()
        with pytest.raises(StoreRefused, match=reason):
            await open_redis(f"{server.url} p")
    finally:
        server.kill()


async def test_no_redis_is_one_sentence(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with pytest.raises(StoreUnavailable) as caught:
        await open_redis(f"{server.url.replace('//', '//user:secret@')} p")
    assert server.url in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://a,b/0", "2 hosts"),
        ("redis://a/zero", "not a number"),
        ("redis://a/0?verify=no", "not known: verify"),
        ("redis+sentinel://a,b", "names no master"),
    ],
)
async def test_an_address_that_says_no_place(url: str, reason: str) -> None:
    with pytest.raises(StoreRefused, match=reason):
        await open_redis(f"{url} p")


async def test_a_password_a_user_and_another_database(own: RedisServer) -> None:
    with own.client() as client:
        client.acl_setuser("cnr", enabled=True, passwords=["+s%3a/e@t"], keys=["*"], commands=["+@all"])
        client.config_set("requirepass", "other")
    store = await open_redis(f"{own.url.replace('//', '//cnr:s%253a%2Fe%40t@')}/3 p")
    await store.put("k", b"1", expect=ABSENT)
    await store.close()
    for login in ("cnr:wrong@", "nobody:wrong@", ":wrong@", ""):
        with pytest.raises(StoreRefused) as caught:
            await open_redis(f"{own.url.replace('//', f'//{login}')} p")
        assert "wrong@" not in str(caught.value)
    store = await open_redis(f"{own.url.replace('//', '//:other@')}/3 p")
    assert (await store.get("k")).value == b"1"
    await store.close()


async def test_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    make = [*words.split(), "-keyout", str(key), "-out", str(cert)]
    await asyncio.to_thread(subprocess.run, make, check=True, capture_output=True)
    server = RedisServer(tmp_path / "redis", tls=(cert, key))
    try:
        server.start()
        store = await open_redis(f"{server.url}?ca={cert} p")
        await store.put("k", b"1", expect=ABSENT)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await open_redis(f"{server.url} p")
    finally:
        server.kill()


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[tuple[list[RedisServer], str]]:
    """A primary, a replica, and a sentinel that replaces the primary a second after it is gone."""
    primary = RedisServer(tmp_path / "primary").start()
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}").start()
    (tmp_path / "sentinel").mkdir()
    conf = tmp_path / "sentinel" / "sentinel.conf"
    conf.write_text(
        f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    )
    sentinel = RedisServer(tmp_path / "sentinel", arguments=(str(conf), "--sentinel")).start()
    try:
        yield [primary, replica], f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main"
    finally:
        for server in (sentinel, primary, replica):
            server.kill()


async def test_sentinel_fail_over(sentinels: tuple[list[RedisServer], str]) -> None:
    (primary, replica), url = sentinels
    with primary.client() as client, replica.client() as copy:
        while client.info("replication")["connected_slaves"] != 1 or not copy.info("replication")["slave_repl_offset"]:
            await asyncio.sleep(0.05)
    store = await open_redis(f"{url} p")
    first = await store.put("k", b"1", expect=ABSENT)
    with primary.client() as client:
        assert client.wait(1, 10_000) == 1
    cursor = await store.head()
    await asyncio.to_thread(primary.kill)
    version = None
    while version is None:
        try:
            version = await store.put("k", b"2", expect=first)
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.05)
    assert version > first + 1_000_000
    with pytest.raises(CursorLost):
        await store.changes(cursor)
    with replica.client() as client:
        assert client.info("replication")["role"] == "master"
    await store.close()


async def test_the_clock_is_that_of_redis(redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slow = 3_600_000_000
    with ThreadPoolExecutor(1) as pool:
        stores = await open_store(redis.url, pool=pool, local=tmp_path, prefix=new_id(), clock=lambda: now() - slow)
        assert abs(stores.clock() - now()) < slow // 4
        assert "clock is +3600" in caplog.text
        await stores.close()


async def test_a_cancelled_write_harms_nobody(redis: RedisServer) -> None:
    async with opened(redis) as store:
        for number in range(100):
            writes = [asyncio.create_task(store.put(f"k{number}-{n}", b"%d" % n, expect=ABSENT)) for n in range(4)]
            for _ in range(number % 3):
                await asyncio.sleep(0)
            writes[number % 4].cancel()
            for n, version in enumerate(await asyncio.gather(*writes, return_exceptions=True)):
                assert n == number % 4 or (await store.get(f"k{number}-{n}")).version == version
