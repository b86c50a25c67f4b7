"""From settings to open stores: the drivers are imported when they are used."""

import os
import secrets
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from cnr.store.base import BlobStore, RecordStore


class StoreRefused(Exception):
    """The store cannot be used. The message is one sentence for whoever starts the server."""


@dataclass(frozen=True, slots=True)
class Stores:
    """An open pair of stores."""

    records: RecordStore
    blobs: BlobStore

    async def close(self) -> None:
        """Finish what is under way and let go."""
        await self.records.close()
        await self.blobs.close()


async def open_store(folder: Path, *, pool: Executor) -> Stores:
    """The filesystem store in `folder`, made if it is not there. Raises StoreRefused."""
    from cnr.store.files import FileBlobs
    from cnr.store.sqlite import SqliteRecords

    try:
        os.makedirs(folder, mode=0o750, exist_ok=True)
        return Stores(SqliteRecords.in_folder(folder, lambda: secrets.token_hex(16)), FileBlobs(folder, pool))
    except OSError as exc:
        raise StoreRefused(f"{folder} cannot be used as store: {exc.strerror}") from exc
