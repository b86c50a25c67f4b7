"""RedisRecords: the records in redis, for any number of servers. The layout is in redis_scripts.py."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from redis.exceptions import NoScriptError, RedisError

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreTrouble, StoreUnavailable
from cnr.domain.store_url import StoreUrl
from cnr.store.base import (
    ABSENT,
    PAGE_BYTES,
    Absent,
    Cursor,
    CursorLost,
    Fact,
    Record,
    RecordNotFound,
    Version,
    VersionConflict,
    check_write,
)
from cnr.store.drivers import Given
from cnr.store.keys import UNFED
from cnr.store.redis_address import Connector, connector
from cnr.store.redis_engine import check_engine, facts
from cnr.store.redis_lane import Argument, Lane, NoAnswer, NotSent
from cnr.store.redis_scripts import CHANGES, DELETE, DIGITS, HEAD, PUT, SCAN, Script

GONE_KEPT: Final = 100_000
"""Deletes that the feed remembers."""
FEED_PAGE: Final = 1000
CONNECT_S: Final = 3.0
ANSWER_S: Final = 5.0
"""How long a connection and an answer may take."""
JUMP: Final = 10_000_000
"""More Versions than redis can have given out and forgotten, should its clock have gone back."""
_POLL_S: Final = (0.005, 0.05)
"""The first and the longest pause between two looks at the feed."""
_CURSOR: Final = re.compile(r"([0-9a-f]{32})\.(0|[1-9][0-9]{0,15})", re.ASCII)
_REFUSALS: Final = re.compile(
    r"\b(?:CNRREPLICA|READONLY|LOADING|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|BUSY|MISCONF|NOAUTH|NOPERM|WRONGPASS)\b"
)
"""Words of errors with which redis does nothing. From a script: at its first write, so that it did nothing either."""


async def open_records(url: StoreUrl, given: Given) -> "RedisRecords":
    """As cnr.store.drivers says. Raises StoreRefused for an engine that cannot keep records."""
    store = RedisRecords(connector(url, connect_s=CONNECT_S), given.prefix, given.new_id)
    try:
        await check_engine(url, store.ask)
    except BaseException:
        await store.close()
        raise
    return store


class RedisRecords:
    """RecordStore in redis, under `prefix`. One per process and event loop; it connects when it is used.

    `orders_durability`: redis writes one log and sends its replicas one stream, so whatever remains after a loss is
    all that was written up to some moment. What is certain not to be lost is redis' setting: `appendfsync always`
    makes every acknowledged write durable, whether or not `durable` asks for it; otherwise none is at once.
    Large values have a connection of their own, so that small ones need not wait behind them.
    """

    orders_durability = True

    def __init__(
        self,
        connector: Connector,
        prefix: str,
        new_id: Callable[[], str],
        *,
        gone_kept: int = GONE_KEPT,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._connector = connector
        self._lane = Lane(connector.make, connect_s=connect_s, answer_s=answer_s)
        self._bulk = Lane(connector.make, connect_s=connect_s, answer_s=answer_s)
        self._new_id = new_id
        self._gone_kept = gone_kept
        self._record = f"{prefix}="
        names = ("state", "keys", "feed", "gone")
        self._state, self._keys, self._feed, self._gone = (f"{prefix}:{name}" for name in names)

    async def get(self, key: str) -> Record:
        """As RecordStore.get."""
        found = await self._read(self._lane_of(key).get(self._record + key)) if key.isascii() else None
        if found is None:
            raise RecordNotFound(key)
        return _record(key, found)

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        """As RecordStore.put."""
        check_write(key, value)
        version: int = await self._write(PUT, key, "" if expect is ABSENT else f"{expect:0{DIGITS}}", value)
        return Version(version)

    async def delete(self, key: str, *, expect: Version) -> None:
        """As RecordStore.delete."""
        check_write(key)
        await self._write(DELETE, key, f"{expect:0{DIGITS}}", self._gone_kept)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[Record]:
        """As RecordStore.scan."""
        if not (prefix.isascii() and after.isascii()):
            return []
        first = f"({after}" if after >= prefix and after else f"[{prefix}"
        last = f"({prefix[:-1]}{chr(ord(prefix[-1]) + 1)}" if prefix else "+"
        asked = self._run(self._bulk, SCAN, [self._keys], [first, last, limit, PAGE_BYTES, self._record])
        page = await self._read(asked)
        return [_record(key.decode(), found) for key, found in zip(page[::2], page[1::2], strict=True)]

    async def head(self) -> Cursor:
        """As RecordStore.head."""
        return await self._head(self._ask_head())

    async def get_and_head(self, key: str) -> tuple[Record | None, Cursor]:
        """As HeadBeside.get_and_head."""
        if not key.isascii():
            return None, await self.head()
        asked, newest = self._lane.get(self._record + key), self._ask_head()
        try:
            found = await self._read(asked)
        except BaseException:
            newest.cancel()  # nobody looks at it any more
            raise
        return None if found is None else _record(key, found), await self._head(newest)

    def _ask_head(self) -> "asyncio.Future[Any]":
        return self._lane.shared("head", lambda: ("EVALSHA", HEAD.sha, 1, self._state, *self._epoch()))

    async def _head(self, asked: "asyncio.Future[Any]") -> Cursor:
        async def answer() -> Any:
            try:
                return await asked
            except NoScriptError:
                return await self._lane.call("EVAL", HEAD.text, 1, self._state, *self._epoch())

        epoch, version = await self._read(answer())
        return _cursor(epoch, int(version))

    async def changes(self, since: Cursor, *, timeout_s: float = 0) -> tuple[Sequence[str], Cursor]:
        """As RecordStore.changes. Asks again and again while it waits."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause = _POLL_S[0]
        while True:
            found, since = await self._changes(since)
            left = deadline - loop.time()
            if found or left <= 0:
                return found, since
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_S[1])

    async def _changes(self, since: Cursor) -> tuple[Sequence[str], Cursor]:
        taken = _CURSOR.fullmatch(since)
        if taken is None:
            raise CursorLost(since)
        asked = self._run(
            self._lane, CHANGES, [self._state, self._feed, self._gone], [*self._epoch(), taken[2], FEED_PAGE]
        )
        epoch, last, floor, *found = await self._read(asked)
        if epoch.decode() != taken[1] or not int(floor) <= int(taken[2]) <= int(last):
            raise CursorLost(since)
        rows = sorted((int(float(at)), key) for page in found for key, at in zip(page[::2], page[1::2], strict=True))
        until = int(last)
        if len(rows) >= FEED_PAGE:  # only up to there both kinds are complete
            rows = rows[:FEED_PAGE]
            until = rows[-1][0]
        return tuple(key.decode() for _, key in rows), _cursor(epoch, until)

    async def now_us(self) -> int:
        """As Clocked.now_us."""
        seconds, micros = await self._read(self._lane.call("TIME"))
        return int(seconds) * 1_000_000 + int(micros)

    async def inspect(self) -> Sequence[Fact]:
        """As Inspected.inspect."""
        return await facts(self.ask)

    async def ask(self, *words: Argument) -> Any:
        """The answer to a command that changes nothing. Raises StoreUnavailable, and redis' ResponseError."""
        try:
            return await self._lane.call(*words)
        except (NotSent, NoAnswer) as exc:
            raise StoreUnavailable(f"redis cannot be reached: {exc}") from exc

    async def close(self) -> None:
        """As RecordStore.close."""
        await asyncio.gather(self._lane.close(), self._bulk.close())
        await self._connector.close()

    def _lane_of(self, key: str) -> Lane:
        return self._bulk if key.startswith("chunks/") else self._lane

    def _epoch(self) -> list[Argument]:
        """What a script begins a new epoch with, should it have to."""
        return [self._new_id(), JUMP + secrets.randbits(20)]

    async def _run(self, lane: Lane, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Have redis run a script; sent whole only where it says that it does not know it, so that it ran not."""
        try:
            return await lane.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await lane.call("EVAL", script.text, len(keys), *keys, *arguments)

    async def _write(self, script: Script, key: str, expect: str, last: Argument) -> int:
        keys = [self._state, self._keys, self._feed, self._gone, self._record + key]
        fed = "0" if key.startswith(UNFED) else "1"
        arguments = [*self._epoch(), key, expect, fed, last]
        try:
            version: int = await self._run(self._lane_of(key), script, keys, arguments)
        except NotSent as exc:
            raise StoreUnavailable(f"redis cannot be reached: {exc}") from exc
        except NoAnswer as exc:
            raise OutcomeUnknown(f"redis did not answer ({exc}); it is safe to repeat the request") from exc
        except RedisError as exc:
            raise _trouble(exc) or OutcomeUnknown(f"redis answered {exc}; it is safe to repeat the request") from exc
        if version == 0:
            raise VersionConflict(key)
        return version

    async def _read(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except (NotSent, NoAnswer) as exc:
            raise StoreUnavailable(f"redis cannot be reached: {exc}") from exc
        except RedisError as exc:
            raise _trouble(exc) or StoreUnavailable(f"redis answered {exc}") from exc


def _trouble(exc: RedisError) -> StoreTrouble | None:
    """What redis says in place of doing something; None where it may have done it."""
    text = f"{getattr(exc, 'status_code', None) or ''} {exc}".strip()  # redis-py takes the first word off
    if "OOM" in text or "No space left" in text:
        return StoreFull("redis has no memory or no disk left for a write; nothing was changed")
    if _REFUSALS.search(text):
        return StoreUnavailable(f"redis does not serve this now ({text}); nothing was changed")
    return None


def _record(key: str, found: bytes) -> Record:
    return Record(key, found[DIGITS:], Version(int(found[:DIGITS])))


def _cursor(epoch: bytes, version: int) -> Cursor:
    return Cursor(f"{epoch.decode()}.{version}")
