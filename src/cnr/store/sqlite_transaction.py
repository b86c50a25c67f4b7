"""One transaction over a group of writes, each with an outcome of its own."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from cnr.domain.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from cnr.store.base import ABSENT, Absent, Version, VersionConflict
from cnr.store.keys import UNFED

Outcome = Version | None | Exception


@dataclass(slots=True, eq=False)
class Write:
    """One put, or delete (`value` None), on its way."""

    key: str
    value: bytes | None
    expect: Version | Literal[Absent.ABSENT]
    durable: bool
    answer: "asyncio.Future[Version | None] | None" = None
    state: Literal["waiting", "begun", "abandoned"] = "waiting"


@dataclass(slots=True)
class Transaction:
    """Writes groups on one connection. `gone_kept`: how many deletes the feed remembers."""

    db: sqlite3.Connection
    gone_kept: int
    syncs: bool
    _trim_every: int = field(init=False)

    def __post_init__(self) -> None:
        self._trim_every = max(1, self.gone_kept // 100)

    def run(self, group: Sequence[Write]) -> list[Outcome]:
        """What became of each write: all that are not refused are committed together, or none is."""
        outcomes, failure = self._attempt(group)
        if isinstance(failure, StoreFull) and len(group) > 1:
            # a large one must not take the small ones with it
            return [self.run([write])[0] for write in group]
        return [failure] * len(group) if failure else outcomes

    def _attempt(self, group: Sequence[Write]) -> tuple[list[Outcome], Exception | None]:
        outcomes: list[Outcome] = []
        committing = False
        try:
            if self.syncs:
                full = any(write.durable for write in group)
                self.db.execute("PRAGMA synchronous = FULL" if full else "PRAGMA synchronous = NORMAL")
            self.db.execute("BEGIN IMMEDIATE")
            self._apply(group, outcomes)
            committing = True
            self.db.execute("COMMIT")
        except Exception as exc:
            with suppress(sqlite3.Error):
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
            return [], _failure(exc, committing=committing)
        return outcomes, None

    def _apply(self, group: Sequence[Write], outcomes: list[Outcome]) -> None:
        first = version = self.db.execute("SELECT version FROM state").fetchall()[0][0]
        for write in group:
            if self._write(write, version + 1):
                version += 1
                outcomes.append(Version(version) if write.value is not None else None)
            else:
                outcomes.append(VersionConflict(write.key))
        if version != first:
            self.db.execute("UPDATE state SET version = ?", (version,))
        if version // self._trim_every != first // self._trim_every:
            self._trim()

    def _write(self, write: Write, version: int) -> bool:
        if write.value is None:
            return self._delete(write, version)
        if write.expect is ABSENT:
            done = self.db.execute(
                "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", (version, write.key, write.value)
            )
        else:
            done = self.db.execute(
                "UPDATE records SET version = ?, value = ? WHERE key = ? AND version = ?",
                (version, write.value, write.key, write.expect),
            )
        return done.rowcount == 1

    def _delete(self, write: Write, version: int) -> bool:
        done = self.db.execute("DELETE FROM records WHERE key = ? AND version = ?", (write.key, write.expect))
        if done.rowcount != 1:
            return False
        if not write.key.startswith(UNFED):
            self.db.execute("INSERT INTO gone VALUES (?, ?)", (version, write.key))
        return True

    def _trim(self) -> None:
        floor = "SELECT version FROM gone ORDER BY version DESC LIMIT 1 OFFSET ?"
        for (version,) in self.db.execute(floor, (self.gone_kept,)).fetchall():
            self.db.execute("DELETE FROM gone WHERE version <= ?", (version,))
            self.db.execute("UPDATE state SET floor = ?", (version,))


def _failure(exc: Exception, *, committing: bool) -> Exception:
    """What a write's caller is told. SQLite rolls back on its own; only a failed COMMIT leaves a doubt.

    The commit's last page is written after all others: a full disk means that it is not there, while a failed
    fsync leaves it to be found, or not, after a power loss.
    """
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("no space left for records; nothing was changed")
    if committing and code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OutcomeUnknown(f"the record store failed while it committed ({exc}); it is safe to repeat the request")
    return StoreUnavailable(f"the record store cannot be written ({exc}); nothing was changed")
