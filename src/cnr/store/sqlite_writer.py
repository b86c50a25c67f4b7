"""How records are written: all waiting writes of a process in one transaction, one process at a time.

Measured with 2 processes and 8 pushers: a transaction for each write 960 pushes/s, in groups 1,300 to 3,800. Under
SQLite's own busy waiting one writer starved for 3.3 s; flock is fair: 27 ms at most.
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cnr.domain.errors import OutcomeUnknown, StoreUnavailable
from cnr.store.base import Version
from cnr.store.sqlite_file import connect
from cnr.store.sqlite_transaction import Outcome, Transaction, Write

GROUP_WRITES: Final = 512
GROUP_BYTES: Final = 16 * 1024 * 1024
"""A group ends at the first write beyond either."""
WAIT_S: Final = 8.0
"""How long a write waits for its turn and its commit before its caller is told."""
LOG_BYTES: Final = 64 * 1024 * 1024
"""Size of the write-ahead log above which it is copied into the file and cut."""
_CHECKPOINT_PAUSE_S: Final = 1.0


class InlineWriter:
    """Writes where it is called, one by one: for a database in memory, on its only connection."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def write(self, write: Write) -> Version | None:
        """The new Version; None for a delete. Raises as RecordStore does."""
        await asyncio.sleep(0)  # so that tasks take turns here as they do with the file
        outcome = self._transaction.run([write])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """Let go of the connection."""
        self._transaction.db.close()


class FileLock:
    """An flock on its own file. Fair between processes, and gone with the process that holds it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Alone on this host while the block runs."""
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        os.close(self._handle)


class GroupWriter:
    """A thread that commits all waiting writes of this process in one transaction."""

    def __init__(self, path: Path, lock_path: Path, transaction: Transaction, *, wait_s: float, log_bytes: int) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._lock_path = lock_path
        self._lock = FileLock(lock_path)
        self._transaction = transaction
        self._wait_s = wait_s
        self._log_bytes = log_bytes
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._claims = threading.Lock()
        self._checkpoint: threading.Thread | None = None
        self._next_checkpoint = 0.0
        self._thread = threading.Thread(target=self._run, name="cnr-records", daemon=True)
        self._thread.start()

    async def write(self, write: Write) -> Version | None:
        """The new Version; None for a delete. Raises as RecordStore does."""
        loop = asyncio.get_running_loop()
        write.answer = loop.create_future()
        late = loop.call_later(self._wait_s, self._give_up, write)
        self._queue.put(write)
        try:
            return await write.answer
        except asyncio.CancelledError:
            self._abandon(write)
            raise
        finally:
            late.cancel()

    def close(self) -> None:
        """Commit what waits, then end the thread and let go of the file. Blocks."""
        self._queue.put(None)
        self._thread.join()
        if self._checkpoint is not None:
            self._checkpoint.join()
        self._transaction.db.close()
        self._lock.close()

    def _abandon(self, write: Write) -> bool:
        with self._claims:
            if write.state == "waiting":
                write.state = "abandoned"
            return write.state == "abandoned"

    def _give_up(self, write: Write) -> None:
        if write.answer is None or write.answer.done():
            return
        waited = f"no answer from the disk within {self._wait_s:.0f} s"
        if self._abandon(write):
            write.answer.set_exception(StoreUnavailable(f"{waited}; nothing was changed"))
        else:
            write.answer.set_exception(OutcomeUnknown(f"{waited}; it is safe to repeat the request"))

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            ended = False
            try:
                with self._lock.held():
                    ended = self._gather(group)
                    outcomes = self._transaction.run(group) if group else []
            except OSError as exc:
                outcomes = [
                    StoreUnavailable(f"the record store cannot be locked ({exc.strerror}); nothing was changed")
                ]
            _answer(group, outcomes)
            if ended:
                return
            self._cut_log()

    def _gather(self, group: list[Write]) -> bool:
        """Add every waiting write to `group` and claim it. Whether the end was among them."""
        size, ended = len(group[0].value or b""), False
        with suppress(queue.Empty):
            while len(group) < GROUP_WRITES and size < GROUP_BYTES:
                write = self._queue.get_nowait()
                if write is None:
                    ended = True
                    break
                group.append(write)
                size += len(write.value or b"")
        with self._claims:
            group[:] = [write for write in group if write.state != "abandoned"]
            for write in group:
                write.state = "begun"
        return ended

    def _cut_log(self) -> None:
        """Have the log copied into the file when it is long, beside the writers."""
        with suppress(OSError):
            if self._log.stat().st_size <= self._log_bytes or time.monotonic() < self._next_checkpoint:
                return
            if self._checkpoint is None or not self._checkpoint.is_alive():
                self._next_checkpoint = time.monotonic() + _CHECKPOINT_PAUSE_S
                self._checkpoint = threading.Thread(target=self._copy_log, name="cnr-checkpoint", daemon=True)
                self._checkpoint.start()

    def _copy_log(self) -> None:
        lock = FileLock(self._lock_path)
        db = connect(self._path)
        try:
            # the first does nearly all the work without stopping anybody; busy: another process is at it
            if db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()[0][0] == 0:
                with lock.held():
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            return  # a full disk, or a busy one: the log stays long and the next commit tries again
        finally:
            db.close()
            lock.close()


def _answer(group: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
    """Hand outcomes to the event loops that wait for them: one wake-up for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Write, Outcome]]] = {}
    for write, outcome in zip(group, outcomes, strict=True):
        if write.answer is not None:
            by_loop.setdefault(write.answer.get_loop(), []).append((write, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: Sequence[tuple[Write, Outcome]]) -> None:
    for write, outcome in answers:
        if write.answer is None or write.answer.done():
            continue
        if isinstance(outcome, Exception):
            write.answer.set_exception(outcome)
        else:
            write.answer.set_result(outcome)
