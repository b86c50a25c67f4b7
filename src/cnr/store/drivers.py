"""Which module drives the URLs of a scheme, what it is given and what it gives. A module is imported when it is used.

A driver of records has `async def open_records(url: StoreUrl, given: Given) -> RecordStore`, one of blobs
`async def open_blobs(url: StoreUrl, given: Given) -> BlobStore`. Both connect, so that what is wrong is told at the
start. They raise StoreRefused and StoreUnavailable with one sentence that shows `str(url)` at most, which has no
secrets, and leave nothing open behind an error. A driver may have more than the contract asks for, each as an
interface of base.py that is looked for at run time: Clocked, Inspected.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from cnr.domain.store_url import StoreUrl
from cnr.store.base import BlobStore, RecordStore, StoreRefused


@dataclass(frozen=True, slots=True)
class Given:
    """What every driver gets from its process.

    `prefix` begins every key in an engine that others use too, unless the URL says another. `new_id` gives 32 random
    hex digits, `clock` microseconds UTC, `pool` takes work that blocks.
    """

    prefix: str
    new_id: Callable[[], str]
    clock: Callable[[], int]
    pool: Executor


@dataclass(frozen=True, slots=True)
class Driver:
    """A module, and the extra of our package that brings the library which it needs."""

    module: str
    extra: str


_REDIS: Final = Driver("cnr.store.redis", "redis")
_ETCD: Final = Driver("cnr.store.etcd", "etcd")
_OBJECTS: Final = Driver("cnr.store.objects", "objects")

RECORDS: Final = {
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+sentinel": _REDIS,
    "rediss+sentinel": _REDIS,
    "etcd": _ETCD,
    "etcds": _ETCD,
}
"""Drivers of records by the scheme of a URL; `file` is open.py's own."""
BLOBS: Final = {"s3": _OBJECTS, "gs": _OBJECTS, "az": _OBJECTS}
"""Drivers of blobs by the scheme of a URL; `file` is open.py's own."""


async def open_records(url: StoreUrl, given: Given) -> RecordStore:
    """The record store at `url`. Raises StoreRefused, StoreUnavailable."""
    records: RecordStore = await _module(RECORDS, url).open_records(url, given)
    return records


async def open_blobs(url: StoreUrl, given: Given) -> BlobStore:
    """The store of blobs at `url`. Raises StoreRefused, StoreUnavailable."""
    blobs: BlobStore = await _module(BLOBS, url).open_blobs(url, given)
    return blobs


def _module(drivers: dict[str, Driver], url: StoreUrl) -> Any:
    driver = drivers.get(url.scheme)
    if driver is None:
        raise StoreRefused(f"no store is known for {url.scheme}:// addresses")
    try:
        return import_module(driver.module)
    except ImportError as exc:
        raise StoreRefused(
            f"{url.scheme}:// addresses need more than is installed ({exc.name}): "
            f"pip install cnr-server[{driver.extra}]"
        ) from exc
