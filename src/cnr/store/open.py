"""From a setting to open stores. A driver is imported when it is used."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from cnr.domain.errors import StoreFull
from cnr.domain.store_url import FILE, StoreUrl, without_secrets
from cnr.store.base import BlobStore, NoRoom, RecordStore, StoreRefused
from cnr.store.drivers import Given, open_blobs, open_records
from cnr.store.file_draft import FOLDER_MODE, sync_folder
from cnr.store.place import RENEW_S, Claim, Host, check_file_system, check_owner, this_host
from cnr.store.probe import check_contract, check_format, check_whole
from cnr.store.store_clock import StoreClock

MEMORY: Final = ":memory:"
PREFIX: Final = "cnr/packages/"
CHUNKED_BYTES: Final = 64 * 1024 * 1024
_log = logging.getLogger(__name__)


def _new_id() -> str:
    return secrets.token_hex(16)


def _now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Stores:
    """An open pair of stores, for one process and one event loop. `clock` gives microseconds UTC, the store's own."""

    records: RecordStore
    blobs: BlobStore
    clock: Callable[[], int]
    _stack: AsyncExitStack = field(repr=False)

    async def close(self) -> None:
        """Finish what is under way and let go."""
        await self._stack.aclose()


async def open_store(
    place: Path | str | StoreUrl,
    *,
    pool: Executor,
    blobs: StoreUrl | None = None,
    local: Path | None = None,
    own_only: bool = False,
    prefix: str = PREFIX,
    chunked_bytes: int = CHUNKED_BYTES,
    new_id: Callable[[], str] = _new_id,
    clock: Callable[[], int] = _now,
    host: Host | None = None,
    renew_s: float = RENEW_S,
    unfinished: bool = False,
) -> Stores:
    """The store whose records are at `place`: a folder, made if it is not there, a URL, or ":memory:".

    Call it after the fork. Blobs are at `blobs`; without it beside the records: in files, or in records of an engine
    that has no files, each of at most `chunked_bytes`. `local` is the folder of what a server keeps for itself.
    Blocking work goes to `pool`. `own_only` refuses a folder of another user, for programs beside the server.
    `prefix` begins the keys in an engine that others use too. `clock` gives microseconds UTC; `host` is where this
    process runs, which folders are told every `renew_s`. What opens keeps the contract: it was tried. The target of
    an unfinished migration opens only if `unfinished`.
    Raises StoreRefused, StoreUnavailable and StoreFull, each with one sentence for whoever starts the program.
    """
    given = Given(prefix, new_id, clock, pool)
    folders = _Folders(pool, host or this_host(), clock, own_only)
    stack = AsyncExitStack()
    try:
        if str(place) == MEMORY:
            records, opened = _in_memory(new_id)
            stack.push_async_callback(records.close)
        else:
            url = _url_of(place)
            if local is not None:
                await folders.use(local)
            records = await _records(url, given, folders)
            stack.push_async_callback(records.close)
            opened = await _blobs(blobs, url, records, given, folders, chunked_bytes)
        stack.push_async_callback(opened.close)
        if not unfinished:
            await check_whole(records)
        return await _ready(records, opened, folders, given, renew_s, stack)
    except BaseException:
        await stack.aclose()
        raise


async def _ready(
    records: RecordStore, blobs: BlobStore, folders: "_Folders", given: Given, renew_s: float, stack: AsyncExitStack
) -> Stores:
    """Stores that were tried, and a task that keeps up what must be. `stack` closes them."""
    await check_format(records, given.new_id)
    await _try(records, given)
    clock = StoreClock(records, given.clock)
    await clock.compare(warn=True)
    stack.push_async_callback(_end, asyncio.create_task(_keep(folders, clock, renew_s)))
    return Stores(records, blobs, clock.now, stack)


async def _try(records: RecordStore, given: Given) -> None:
    """As probe.check_contract; but a store without room can be read, and its server starts for that."""
    try:
        await check_contract(records, given.new_id)
    except (StoreFull, NoRoom) as exc:
        _log.warning("the store could not be tried, and what is pushed will be refused: %s", exc.message)


def _in_memory(new_id: Callable[[], str]) -> tuple[RecordStore, BlobStore]:
    from cnr.store.memory_blobs import MemoryBlobs
    from cnr.store.sqlite import SqliteRecords

    return SqliteRecords.in_memory(new_id), MemoryBlobs()


async def _records(url: StoreUrl, given: Given, folders: "_Folders") -> RecordStore:
    if url.scheme != FILE:
        return await open_records(url, given)
    from cnr.store.sqlite import SqliteRecords

    folder = Path(url.path)
    await folders.claim(folder)
    return await asyncio.get_running_loop().run_in_executor(
        given.pool, partial(SqliteRecords.in_folder, folder, given.new_id)
    )


async def _blobs(
    url: StoreUrl | None, beside: StoreUrl, records: RecordStore, given: Given, folders: "_Folders", chunked_bytes: int
) -> BlobStore:
    if url is None and beside.scheme != FILE:
        from cnr.store.chunked import ChunkedBlobs

        return ChunkedBlobs(records, given.new_id, given.clock, limit_bytes=chunked_bytes)
    url = url or beside
    if url.scheme != FILE:
        return await open_blobs(url, given)
    from cnr.store.files import FileBlobs

    folder = Path(url.path)
    if url != beside:
        await folders.claim(folder)
    return await asyncio.get_running_loop().run_in_executor(given.pool, FileBlobs, folder, given.pool)


def _url_of(place: Path | str | StoreUrl) -> StoreUrl:
    """The URL of a path or of an address."""
    if isinstance(place, StoreUrl):
        return place
    if isinstance(place, str) and "://" in place:
        try:
            url = StoreUrl.parse(place)
        except ValueError as exc:
            raise StoreRefused(f"{without_secrets(place)} is no address of a store: {exc}") from None
        return StoreUrl.of_folder(Path(os.path.abspath(url.path))) if url.scheme == FILE else url
    return StoreUrl.of_folder(Path(os.path.abspath(place)))


class _Folders:
    """The folders that a process works in."""

    def __init__(self, pool: Executor, host: Host, clock: Callable[[], int], own_only: bool) -> None:
        self._pool = pool
        self._host = host
        self._clock = clock
        self._own_only = own_only
        self._claims: list[Claim] = []

    async def use(self, folder: Path) -> None:
        """Make sure that there is a folder of a local disk. Raises StoreRefused."""
        await self._work(partial(self._prepare, folder, None))

    async def claim(self, folder: Path) -> None:
        """As `use`, and that no other host uses it while this one does."""
        claim = Claim(folder, self._host, self._clock)
        await self._work(partial(self._prepare, folder, claim))
        self._claims.append(claim)

    async def renew(self) -> None:
        """Say again that this host uses what it claimed."""
        for claim in self._claims:
            try:
                await self._work(claim.renew)
            except (StoreRefused, OSError) as exc:
                _log.error("this host's claim on the store could not be renewed: %s", exc)

    async def _work(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _prepare(self, folder: Path, claim: Claim | None) -> None:
        check_file_system(folder)
        try:
            _make(folder)
            if self._own_only:
                check_owner(folder)
            if claim is not None:
                claim.renew()
        except OSError as exc:
            raise StoreRefused(f"{folder} cannot be used as a store: {exc.strerror}") from exc


def _make(folder: Path) -> None:
    """Make a folder and those above it, to be there after power loss."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    with suppress(PermissionError):  # somebody else's folder, in which we may make but not list
        sync_folder(folder.parent)


async def _keep(folders: _Folders, clock: StoreClock, renew_s: float) -> None:
    """Renew this host's claims and its idea of the store's time again and again."""
    while True:
        await asyncio.sleep(renew_s)
        await folders.renew()
        await clock.compare()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
