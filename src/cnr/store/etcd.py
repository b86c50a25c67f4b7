"""EtcdRecords: the records in an etcd cluster, for any number of servers on any number of hosts.

<prefix>records/<key>   a record; its value as it is
<prefix>feed            who wrote last, and which key: its history is the feed (etcd_feed)
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from aetcd import rpc

from cnr.domain.errors import OutcomeUnknown, StoreTrouble, StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import (
    ABSENT,
    PAGE_BYTES,
    Absent,
    Cursor,
    Fact,
    NoRoom,
    Record,
    RecordNotFound,
    RecordTooLarge,
    Version,
    VersionConflict,
    check_write,
)
from cnr.store.drivers import Given
from cnr.store.etcd_address import Address, address_of
from cnr.store.etcd_cluster import Cluster, refuse_denied
from cnr.store.etcd_faults import RevisionGone, SpaceExceeded, TooLarge
from cnr.store.etcd_feed import Feed
from cnr.store.etcd_reads import Reads
from cnr.store.etcd_state import check_server, facts, feed_key
from cnr.store.keys import UNFED

RANGE_FIRST: Final = 16
RANGE_MOST: Final = 128
"""Records asked for at once. etcd has no limit by bytes: 128 are 64 MiB at most, and tell how large the next are."""
BULK_READS: Final = 8
"""Pieces of blobs read at once, apart from the records that requests wait for: 2 MiB."""
_FULL: Final = (
    "etcd is out of space (alarm NOSPACE); nothing was changed. It takes writes again after a compaction, a "
    "defragmentation and `etcdctl alarm disarm`"
)
_log = logging.getLogger(__name__)


async def open_records(url: StoreUrl, given: Given) -> "EtcdRecords":
    """As drivers.open_records. Call it after the fork, in the loop that uses it.

    The store is not Clocked: etcd tells nobody the time.
    """
    store = EtcdRecords(address_of(url, given.prefix), given.new_id)
    try:
        await store.begin()
    except StoreUnavailable as exc:
        await store.close()
        raise refuse_denied(exc) from exc
    except BaseException:
        await store.close()
        raise
    return store


class EtcdRecords:
    """RecordStore in etcd 3.4 or newer; Inspected.

    A Version is the record's mod_revision. Reads are linearizable. `orders_durability`: all keys are in one log, and
    every write is on the disks of a majority before it is acknowledged, `durable` or not.
    """

    orders_durability = True

    def __init__(self, address: Address, new_id: Callable[[], str]) -> None:
        self.cluster = Cluster(address)
        self._root = f"{address.prefix}records/".encode("ascii")
        self._reads = Reads(self.cluster)
        self._bulk = Reads(self.cluster, group=BULK_READS)
        self._feed = Feed(self.cluster, self._reads, feed_key(address), new_id)

    async def begin(self) -> None:
        """Log in, look at the servers, and make the feed. Raises StoreRefused, StoreUnavailable."""
        if self.cluster.address.user:
            await self.cluster.log_in()
        await check_server(self.cluster)
        try:
            await self._feed.begin()
        except SpaceExceeded:
            raise NoRoom(_FULL) from None
        for fact in await self.inspect():
            if fact.warning:
                _log.warning("%s: %s", self.cluster.address, fact.warning)

    async def inspect(self) -> Sequence[Fact]:
        """As Inspected.inspect."""
        return await facts(self.cluster)

    async def get(self, key: str) -> Record:
        """As RecordStore.get."""
        if not (key and key.isascii()):
            raise RecordNotFound(key)
        reads = self._bulk if key.startswith("chunks/") else self._reads
        record = _record(key, (await reads.get(self._key(key)))[0])
        if record is None:
            raise RecordNotFound(key)
        return record

    async def get_and_head(self, key: str) -> tuple[Record | None, Cursor]:
        """As HeadBeside.get_and_head."""
        if not (key and key.isascii()):
            return None, await self.head()
        found, place = await self._feed.head_beside(self._key(key))
        return _record(key, found), place.cursor

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        """As RecordStore.put."""
        check_write(key, value)
        return await self._swap(key, {"request_put": {"key": self._key(key), "value": value}}, expect)

    async def delete(self, key: str, *, expect: Version) -> None:
        """As RecordStore.delete."""
        check_write(key)
        await self._swap(key, {"request_delete_range": {"key": self._key(key)}}, expect)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """As RecordStore.scan. A page is the store at one revision."""
        if not (prefix + after).isascii():
            return []
        start = self._root + max(prefix, after + "\0" if after else "").encode("ascii")
        whole = self._root + prefix.encode("ascii")
        return await self._page(start, whole[:-1] + bytes([whole[-1] + 1]), limit)

    async def head(self) -> Cursor:
        """As RecordStore.head."""
        return (await self._feed.head()).cursor

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        """As RecordStore.changes."""
        return await self._feed.changes(since, timeout_s)

    async def close(self) -> None:
        """As RecordStore.close."""
        await self._feed.close()
        await self._reads.close()
        await self._bulk.close()
        await self.cluster.close()

    def _key(self, key: str) -> bytes:
        return self._root + key.encode("ascii")

    async def _swap(self, key: str, operation: Any, expect: Version | Literal[Absent.ABSENT]) -> Version:
        """Do `operation` if the record is at `expect`; and put the key into the feed."""
        if expect is not ABSENT and not 0 < expect < 1 << 63:  # 0 would be "absent" for etcd
            raise VersionConflict(key)
        operations = [operation] if key.startswith(UNFED) else [operation, self._feed.change(key)]
        request = rpc.TxnRequest(compare=[_compare(self._key(key), expect)], success=operations)
        try:
            answer = await self.cluster.write(request)
        except TooLarge:
            raise RecordTooLarge("larger than this etcd takes: see --max-request-bytes") from None
        except SpaceExceeded:
            await self._check_unchanged(key, expect)
            raise NoRoom(_FULL) from None
        if not answer.succeeded:
            raise VersionConflict(key)
        return Version(answer.header.revision)

    async def _check_unchanged(self, key: str, expect: Version | Literal[Absent.ABSENT]) -> None:
        """Raise OutcomeUnknown unless the record is still at `expect`: etcd may have written although it is full."""
        try:
            found, _ = await self._reads.get(self._key(key))
        except StoreTrouble as exc:
            raise OutcomeUnknown("etcd is out of space, and does not say whether it wrote") from exc
        if (found.mod_revision if found is not None else ABSENT) != expect:
            raise OutcomeUnknown("etcd is out of space; the write may have been its last one")

    async def _page(self, start: bytes, stop: bytes, limit: int) -> Sequence[Record]:
        page: list[Record] = []
        size = revision = 0
        while len(page) < limit and start < stop:
            count = min(limit - len(page), RANGE_MOST if page else RANGE_FIRST)
            request = rpc.RangeRequest(key=start, range_end=stop, limit=count, revision=revision)
            try:
                answer = await self.cluster.read("Range", request)
            except RevisionGone:  # compacted meanwhile: the page ends here
                break
            for found in answer.kvs:
                size += len(found.value)
                if size > PAGE_BYTES:  # no value alone is that long
                    return page
                key = found.key[len(self._root) :].decode("ascii")
                page.append(Record(key, found.value, found.mod_revision))
            if not answer.more:
                break
            revision = answer.header.revision
            start = answer.kvs[-1].key + b"\0"
        return page


def _record(key: str, found: Any) -> Record | None:
    return None if found is None else Record(key, found.value, found.mod_revision)


def _compare(key: bytes, expect: Version | Literal[Absent.ABSENT]) -> Any:
    if expect is ABSENT:
        return rpc.Compare(target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, key=key, create_revision=0)
    return rpc.Compare(target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, key=key, mod_revision=expect)
