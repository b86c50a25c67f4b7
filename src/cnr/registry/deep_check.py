"""Checks everything that a store holds, beside servers that go on: `cnr storage check --deep`.

One scan of all records looks at each, at what it names and at its bytes. What looks wrong then may have been caught in
the middle of a change, so that nothing is said yet: all of it is looked at again after the scan and a pause, and only
what is wrong in a record that stood unchanged around that second look is reported.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

from cnr.domain.errors import DataCorrupt, StoreTrouble, StoreUnavailable
from cnr.registry.check_bytes import StoredBytes
from cnr.registry.check_marks import Marks
from cnr.registry.check_records import Examiner
from cnr.registry.check_report import CheckReport, Finding
from cnr.store import keys, records
from cnr.store.base import BlobStore, Record, RecordNotFound, RecordStore, SelfExamining
from cnr.store.records import BlobRecord, ManifestRecord, UploadRecord

PAGE: Final = 200
PAUSE_S: Final = 2.0
"""Before the second look: a delete takes its record first and what belongs to it then."""
LOOKS: Final = 5
"""How often a record that changes at every look is looked at."""
CHUNKS: Final = "chunks/"
_LAST: Final = "~"
"""Above every name."""


def _no_one(size: int) -> None:
    """Who is told of progress when nobody wants to know."""


class DeepCheck:
    """Checks the records of `store` and the bytes of `blobs`; hashes in `pool`, `jobs` records at a time.

    `passed` is told bytes as they are read. Writes nothing. Needs memory for `jobs` records, not for all.
    """

    def __init__(
        self,
        store: RecordStore,
        blobs: BlobStore,
        *,
        pool: Executor,
        jobs: int = 4,
        pause_s: float = PAUSE_S,
        passed: Callable[[int], None] = _no_one,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._jobs = jobs
        self._pause_s = pause_s
        self._passed = passed
        self._report = CheckReport()
        self._marks = Marks()
        self._bytes = StoredBytes(blobs, pool, self._read)
        self._examiner = Examiner(store, self._bytes)
        self._first = True

    def _read(self, size: int) -> None:
        if self._first:
            self._report.size += size
            self._passed(size)

    async def run(self) -> CheckReport:
        """What was found. Raises StoreUnavailable where the store cannot be asked."""
        try:
            await self._engine()
            if not self._report.readable:
                self._report.skipped.append("everything else, because the engine's files are damaged")
                return self._report
            await self._all_bytes()
            await self._each(self._all_records(), self._look)
            await self._all_pieces()
            self._first = False
            await self._again()
        finally:
            self._marks.close()
        return self._report

    async def _engine(self) -> None:
        """Ask the engine about its files first: a scan by a damaged index may go round in circles."""
        if isinstance(self._store, SelfExamining):
            for problem in await self._store.examine():
                self._report.add(Finding(1, "the engine", f"it says of its files: {problem}"))
                self._report.readable = False

    async def _all_bytes(self) -> None:
        """What is there before any record is read: whoever put it writes its record while those are scanned."""
        async for blob_id in self._ids():
            self._marks.stored(blob_id)
            self._report.files += 1

    async def _ids(self) -> AsyncIterator[str]:
        try:
            async for blob_id in self._blobs.scan():
                yield blob_id
        except DataCorrupt as exc:
            # the record of a blob in pieces; the scan of all records finds it
            self._report.skipped.append(f"which bytes no record names: {exc.message}")

    async def _all_records(self) -> AsyncGenerator[Record, None]:
        after = ""
        while found := await self._store.scan("", after=after, limit=PAGE):
            for record in found:
                after = record.key
                if after.startswith(CHUNKS):
                    after = CHUNKS + _LAST  # their bytes are read by their blob's id
                    break
                yield record

    async def _look(self, record: Record) -> None:
        self._report.records[record.key.partition("/")[0]] += 1
        self._name(record)
        for finding in await self._examiner.examine(record):
            self._marks.suspect(record.key)
            self._marks.suspect(finding.where)

    def _name(self, record: Record) -> None:
        for blob_id in _ids_in(record):
            self._marks.name(blob_id, record.key)

    async def _all_pieces(self) -> None:
        """That every piece of a blob has its record. Reads one piece of each."""
        after = CHUNKS
        while found := await self._store.scan(CHUNKS, after=after, limit=1):
            blob_id = found[0].key.split("/")[1]
            if await self._get(keys.chunked(blob_id)) is None:
                self._marks.suspect(found[0].key)
            after = keys.chunks(blob_id) + _LAST

    async def _again(self) -> None:
        """Look at all that looked wrong once more, and report it."""
        await self._only_if_needed()
        self._examiner.forget()
        for key in self._marks.suspects():
            await self._report_on(key)
        for blob_id, one, other in self._marks.twins():
            if await self._names(one, blob_id) and await self._names(other, blob_id):
                self._report.add(Finding(10, one, f"{other} names the same bytes, {blob_id}"))
        await self._report_unnamed()

    async def _only_if_needed(self) -> None:
        """Wait before the second look, if there is anything to look at."""
        if any(True for _ in self._marks.suspects()) or any(True for _ in self._marks.unnamed()):
            await asyncio.sleep(self._pause_s)

    async def _report_on(self, key: str) -> None:
        """Report what is wrong at `key`, as it stood from before this look to after it."""
        for _ in range(LOOKS):
            record = await self._get(key)
            found = await self._second_look(key, record)
            now = await self._get(key)
            if (record and record.version) == (now and now.version):
                for finding in found:
                    if finding.where == key:
                        self._report.add(finding)
                return

    async def _second_look(self, key: str, record: Record | None) -> list[Finding]:
        if key.startswith(CHUNKS):
            alone = record is not None and await self._get(keys.chunked(key.split("/")[1])) is None
            return [Finding(16, key, "it is a piece of no blob")] if alone else []
        return await (self._examiner.absent(key) if record is None else self._examiner.examine(record))

    async def _report_unnamed(self) -> None:
        """Bytes that were there before all records, and are named by none of them, nor by any now."""
        if not any(True for _ in self._marks.unnamed()):
            return
        async for record in self._all_records():
            for blob_id in _ids_in(record):
                self._marks.found(blob_id)
        for blob_id in self._marks.unnamed():
            with suppress(StoreTrouble):
                if (size := await self._bytes.size(blob_id)) is not None:
                    self._report.add(Finding(16, blob_id, f"no record names these {size:,} bytes"))

    async def _names(self, key: str, blob_id: str) -> bool:
        record = await self._get(key)
        return record is not None and blob_id in _ids_in(record)

    async def _get(self, key: str) -> Record | None:
        try:
            return await self._store.get(key)
        except RecordNotFound:
            return None

    async def _each(self, found: AsyncGenerator[Record, None], work: Callable[[Record], Awaitable[None]]) -> None:
        """Work on all, as many at a time as there are jobs. The first error ends it, and what was begun."""
        turn = asyncio.Lock()

        async def some() -> None:
            while True:
                async with turn:
                    record = await anext(found, None)
                if record is None:
                    return
                await work(record)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._jobs):
                    group.create_task(some())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None


_WITH_IDS: Final[dict[str, Any]] = {
    keys.BLOBS[:-1]: BlobRecord,
    keys.MANIFESTS[:-1]: ManifestRecord,
    keys.UPLOADS[:-1]: UploadRecord,
}


def _ids_in(record: Record) -> list[str]:
    """The bytes that a record says are its own; none where it cannot be read."""
    if (kind := _WITH_IDS.get(record.key.partition("/")[0])) is None:
        return []
    try:
        found: Any = records.decode(kind, record.value)
    except (DataCorrupt, StoreUnavailable):
        return []
    if isinstance(found, UploadRecord):
        return [part.id for part in found.parts if part.id != found.adopted]
    return [found.blob_id] if found.blob_id else []
