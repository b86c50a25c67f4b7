"""The feed: a key that every write of a fed record writes too, in the same transaction; its value names the record.

Its history is the feed. So deletes are in it, values are not, what uploads/ and other users of the cluster write costs
nothing, and the head is a revision that a watch of this key certainly delivers: no progress notification is needed
(until 2023 they could come before the events that they vouch for, etcd-io/etcd#15220; Debian's etcd still does that).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import grpc.aio
from aetcd import rpc

from cnr.domain.errors import StoreTrouble, StoreUnavailable
from cnr.store.base import Cursor, CursorLost
from cnr.store.etcd_cluster import Cluster
from cnr.store.etcd_faults import RevisionGone
from cnr.store.etcd_log import KEPT, Gap, Log, Place, entry, is_at, place_of, split
from cnr.store.etcd_reads import Reads

CATCH_UP_S: Final = 6.0
"""How long the watch may take to deliver what a read has shown to be there."""
_PAUSE_S: Final = 0.2
_log = logging.getLogger(__name__)


class Feed:
    """The feed under `key`. One watch for a process, begun by the first call of `changes`."""

    def __init__(
        self, cluster: Cluster, reads: Reads, key: bytes, new_id: Callable[[], str], *, kept: int = KEPT
    ) -> None:
        self._cluster = cluster
        self._reads = reads
        self._key = key
        self._new_id = new_id
        self._kept = kept
        self._watch: _Watch | None = None

    def change(self, key: str) -> Any:
        """The operation that a transaction has beside its write of `key`."""
        return {"request_put": {"key": self._key, "value": entry(self._new_id(), key)}}

    async def begin(self) -> None:
        """Make the feed if there is none. Raises StoreUnavailable, OutcomeUnknown, SpaceExceeded."""
        if (await self._reads.get(self._key))[0] is not None:
            return
        absent = rpc.Compare(target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, key=self._key, create_revision=0)
        await self._cluster.write(rpc.TxnRequest(compare=[absent], success=[self.change("")]))

    async def head(self) -> Place:
        """The newest write; linearizable."""
        while True:
            found, _ = await self._reads.get(self._key)
            if found is not None:
                return _place(found)
            await self.begin()  # deleted by hand: earlier cursors are lost

    async def head_beside(self, key: bytes) -> tuple[Any, Place]:
        """What is under another key, or None; and the head, asked for at the same time."""
        (found, _), (newest, _) = await self._reads.get_both(key, self._key)
        return found, _place(newest) if newest is not None else await self.head()

    async def changes(self, since: Cursor, timeout_s: float) -> tuple[Sequence[str], Cursor]:
        """As RecordStore.changes."""
        place = place_of(since)
        loop = asyncio.get_running_loop()
        waits_until = loop.time() + timeout_s
        late = loop.time() + timeout_s + CATCH_UP_S
        while True:
            if page := self._page(place):
                return page[0], page[1].cursor
            head = await self.head()
            if head.revision < place.revision or (head.revision == place.revision and head != place):
                raise CursorLost(since)
            end = waits_until if head == place else late
            if loop.time() >= end:
                if head == place:
                    return (), since
                raise StoreUnavailable("etcd's watch does not deliver what was written")
            await self._covering(place).wait(place, end)

    async def close(self) -> None:
        """End the watch."""
        if self._watch is not None:
            await self._watch.close()

    def _page(self, place: Place) -> tuple[Sequence[str], Place] | None:
        """What is known to come after `place`. Raises CursorLost."""
        if self._watch is None or self._watch.ended or not self._watch.log.holds(place):
            return None
        keys, end = self._watch.log.after(place)
        return (keys, end) if keys else None

    def _covering(self, place: Place) -> "_Watch":
        """A watch that began at `place` or before."""
        if self._watch is None or self._watch.ended or not self._watch.log.holds(place):
            if self._watch is not None:
                self._watch.stop()
            self._watch = _Watch(self._cluster, self._key, Log(place, kept=self._kept))
        return self._watch


class _Watch:
    """A task that keeps a Log up to date, over any number of broken connections."""

    def __init__(self, cluster: Cluster, key: bytes, log: Log) -> None:
        self.log = log
        self.ended = False
        self._lost = False
        """Whether the start of the log turned out to be no place of this feed, or the feed was deleted."""
        self._cluster = cluster
        self._key = key
        self._moved = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def wait(self, place: Place, until: float) -> None:
        """Return when there is something after `place`, at the loop time `until`, or when another watch took over.

        Raises CursorLost.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while not self.ended and self.log.end.revision <= place.revision:
                    await self._moved.wait()
        if self._lost:
            raise CursorLost("this place is not in the feed, or no longer")

    def stop(self) -> None:
        """Begin to end; whoever waits looks for another watch."""
        self._task.cancel()
        self._end()

    async def close(self) -> None:
        """End."""
        self.stop()
        with suppress(asyncio.CancelledError):
            await self._task

    def _end(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (CursorLost, _Parted) as exc:
                self._lost = isinstance(exc, CursorLost)
                self._end()
                return
            except (StoreTrouble, Gap, RevisionGone) as exc:
                _log.info("the watch of etcd begins again: %s", exc or type(exc).__name__)
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        """Add to the log until the stream ends."""
        first = await self._prove()
        stream = await self._cluster.watch()
        try:
            await stream.write(rpc.WatchRequest(create_request={"key": self._key, "start_revision": first}))
            async for answer in stream:
                if answer.canceled:  # compacted since it was proven, or no longer allowed
                    return
                self._add(answer.events)
        except grpc.aio.AioRpcError as exc:
            await self._cluster.broken(exc)
        finally:
            stream.cancel()

    def _add(self, events: Sequence[Any]) -> None:
        for event in events:
            if event.type != rpc.Event.PUT:
                raise CursorLost("the feed's key was deleted")
            self.log.add(event.kv)
        if events:
            self._wake()

    async def _prove(self) -> int:
        """Make sure that the log's end is a write of this feed; the first revision to watch from.

        Raises CursorLost, or _Parted.
        """
        end = self.log.end
        answer = await self._range(0)
        if _first(answer) is not None and not is_at(_first(answer), end):
            try:
                answer, first = await self._range(end.revision), end.revision + 1
            except RevisionGone:
                compacted = await self._cluster.compacted(self._key)
                # what stands at the oldest revision that is kept was not changed since it was written
                answer, first = await self._range(compacted), compacted + 1
        else:
            first = answer.header.revision + 1
        if not is_at(_first(answer), end):
            raise _Parted if self.log.is_proven else CursorLost
        self.log.proven(_first(answer).version)
        return first

    async def _range(self, revision: int) -> Any:
        return await self._cluster.read("Range", rpc.RangeRequest(key=self._key, revision=revision))


class _Parted(Exception):
    """The feed has another history than the log, which was right once: earlier places may still be good."""


def _place(found: Any) -> Place:
    return Place(found.mod_revision, split(found)[0])


def _first(answer: Any) -> Any:
    return answer.kvs[0] if answer.kvs else None
