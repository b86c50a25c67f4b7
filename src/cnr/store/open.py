"""From a setting to open stores. A driver is imported when it is used."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from cnr.store.base import BlobStore, RecordStore, StoreRefused
from cnr.store.file_draft import FOLDER_MODE, sync_folder
from cnr.store.place import RENEW_S, Claim, Host, check_file_system, check_owner, this_host
from cnr.store.probe import check_contract, check_format

MEMORY: Final = ":memory:"
_log = logging.getLogger(__name__)


def _new_id() -> str:
    return secrets.token_hex(16)


def _now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Stores:
    """An open pair of stores, for one process and one event loop."""

    records: RecordStore
    blobs: BlobStore
    _heartbeat: "asyncio.Task[None] | None" = field(default=None, repr=False)

    async def close(self) -> None:
        """Finish what is under way and let go."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await self._heartbeat
        await self.records.close()
        await self.blobs.close()


async def open_store(
    place: Path | str,
    *,
    pool: Executor,
    own_only: bool = False,
    new_id: Callable[[], str] = _new_id,
    clock: Callable[[], int] = _now,
    host: Host | None = None,
    renew_s: float = RENEW_S,
) -> Stores:
    """The store at `place`: a folder, made if it is not there, or ":memory:". Call it after the fork.

    Blocking work goes to `pool`. `own_only` refuses a folder of another user, for programs beside the server.
    `clock` gives microseconds UTC; `host` is where this process runs, which the folder is told every `renew_s`.
    What opens keeps the contract: it was tried.
    Raises StoreRefused, StoreUnavailable and StoreFull, each with one sentence for whoever starts the program.
    """
    if str(place) == MEMORY:
        stores = _in_memory(new_id)
    else:
        folder = _folder_of(place)
        claim = Claim(folder, host or this_host(), clock)
        loop = asyncio.get_running_loop()
        records, blobs = await loop.run_in_executor(pool, partial(_in_folder, folder, pool, claim, own_only, new_id))
        stores = Stores(records, blobs, loop.create_task(_keep(claim, pool, renew_s)))
    try:
        await check_format(stores.records, new_id)
        await check_contract(stores.records, new_id)
    except BaseException:
        await stores.close()
        raise
    return stores


def _in_memory(new_id: Callable[[], str]) -> Stores:
    from cnr.store.memory_blobs import MemoryBlobs
    from cnr.store.sqlite import SqliteRecords

    return Stores(SqliteRecords.in_memory(new_id), MemoryBlobs())


def _in_folder(
    folder: Path, pool: Executor, claim: Claim, own_only: bool, new_id: Callable[[], str]
) -> tuple[RecordStore, BlobStore]:
    """The filesystem store. Blocks."""
    from cnr.store.files import FileBlobs
    from cnr.store.sqlite import SqliteRecords

    check_file_system(folder)
    try:
        _make(folder)
        if own_only:
            check_owner(folder)
        claim.renew()
    except OSError as exc:
        raise StoreRefused(f"{folder} cannot be used as a store: {exc.strerror}") from exc
    blobs = FileBlobs(folder, pool)
    return SqliteRecords.in_folder(folder, new_id), blobs


def _folder_of(place: Path | str) -> Path:
    """The folder that a path or a file:// address names."""
    text = str(place)
    if isinstance(place, str) and "://" in text:
        scheme, _, text = text.partition("://")  # never shown whole: it may hold a password
        if scheme != "file":
            raise StoreRefused(f"no store is known for {scheme}:// addresses; use a folder")
    return Path(os.path.abspath(text))


def _make(folder: Path) -> None:
    """Make a folder and those above it, to be there after power loss."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    with suppress(PermissionError):  # somebody else's folder, in which we may make but not list
        sync_folder(folder.parent)


async def _keep(claim: Claim, pool: Executor, renew_s: float) -> None:
    """Renew this host's claim on the folder again and again."""
    while True:
        await asyncio.sleep(renew_s)
        try:
            await asyncio.get_running_loop().run_in_executor(pool, claim.renew)
        except (StoreRefused, OSError) as exc:
            _log.error("this host's claim on the store could not be renewed: %s", exc)
