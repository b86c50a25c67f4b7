"""Garbage collection: removes what nothing names, while everybody goes on.

Per record: mark; swap live -> condemned; mark again, by a scan begun after that swap; delete the record expecting its
condemned Version; only then its bytes by their id, which no record will ever name again. Parents go before children:
a manifest that is still there keeps what it names. Any number of collectors may run, stall and die at any step.
Source: design/architecture.md, rule 8.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from cnr.domain.digest import Digest
from cnr.domain.errors import DataCorrupt, InvalidUsage, OutcomeUnknown
from cnr.domain.names import Repository
from cnr.domain.policy import DEFAULT, Policy
from cnr.registry.core import Core
from cnr.registry.gc_bytes import UnnamedBytes
from cnr.registry.gc_report import Kind, Removed, Report
from cnr.registry.gc_roots import Named, Roots, each, repositories
from cnr.registry.manifests import Manifests
from cnr.registry.policies import Policies
from cnr.registry.tombstones import is_tombstone
from cnr.store import keys, records
from cnr.store.base import Record, Version, VersionConflict
from cnr.store.records import (
    AnyTag,
    BlobRecord,
    ContentsRecord,
    DeletedTag,
    ManifestRecord,
    ReferrerRecord,
    ReleaseTag,
    UploadRecord,
)

UPLOAD_IDLE_US = 24 * 3_600_000_000
"""Microseconds after which an upload to which nothing came has ended. Source: contracts/oci-helm.md 1.3."""
_NEVER = 1 << 62
_UNREADABLE = (DataCorrupt, InvalidUsage)
Condemnable = ManifestRecord | BlobRecord | ContentsRecord


@dataclass(frozen=True, slots=True)
class Condemned:
    """A condemned record: what must stand there for it to be deleted, and the bytes that go with it."""

    key: str
    version: Version
    born: str
    size: int
    blob_id: str | None

    @classmethod
    def of(cls, key: str, version: Version, record: Condemnable) -> "Condemned":
        """What is kept in memory of a record at this Version."""
        if isinstance(record, ContentsRecord):
            return cls(key, version, "", 0, None)
        born = record.born if isinstance(record, ManifestRecord) else ""
        return cls(key, version, born, record.size, record.blob_id)


class Collector:
    """Collects the garbage of a registry. Nothing that was touched within `grace` is removed by itself."""

    def __init__(self, core: Core, manifests: Manifests, grace: timedelta | None = None) -> None:
        self._core = core
        self._manifests = manifests
        self._policies = Policies(core)
        self._grace_us = int((core.grace if grace is None else grace).total_seconds() * 1_000_000)

    async def collect(self, *, dry_run: bool = False) -> Report:
        """Remove garbage, or with `dry_run` only say what would go.

        A repository with a record that cannot be read is left as it is, and reported. Raises StoreTrouble; what was
        not finished then, the next run finishes.
        """
        report = Report(dry_run=dry_run)
        began = await self._uploads_began()
        async for repository in repositories(self._core.records):
            removed = Removed()
            sweep = _Sweep(self._core, self._manifests, repository, self._grace_us, removed, dry_run)
            sweep.began = began.get(repository, sweep.began)
            try:
                sweep.policy = await self._policies.of(repository)
                await sweep.run()
            except _UNREADABLE as exc:
                report.failed[repository] = exc.message
            if removed.records:
                report.repositories[repository] = removed
        # a record that cannot be read may name any bytes; its repository is reported already
        with suppress(*_UNREADABLE):
            await self._uploads(report)
            report.unnamed, report.unnamed_size = await UnnamedBytes(self._core, self._grace_us).sweep(dry_run=dry_run)
        return report

    async def _uploads_began(self) -> dict[Repository, int]:
        """Where a blob arrives, or arrived slowly within the grace: when the first of these uploads began.

        Whoever pushes it will name it together with blobs that came before: their age counts from there. One to which
        nothing came within the grace is given up, as far as that goes.
        """
        began: dict[Repository, int] = {}
        idle_since = self._core.clock() - self._grace_us
        with suppress(*_UNREADABLE):
            async for found in each(self._core.records, keys.UPLOADS):
                upload: UploadRecord = records.decode(UploadRecord, found.value)
                if max(upload.touched_at, upload.ended_at) > idle_since and not self._is_over(upload):
                    began[upload.repository] = min(upload.started_at, began.get(upload.repository, upload.started_at))
        return began

    def _is_over(self, upload: UploadRecord) -> bool:
        if upload.ended_at:
            return upload.ended_at <= self._core.clock() - self._grace_us
        return upload.touched_at <= self._core.clock() - UPLOAD_IDLE_US

    async def _uploads(self, report: Report) -> None:
        """Give up uploads to which nothing came for a day; their bytes are then named by no record."""
        async for found in each(self._core.records, keys.UPLOADS):
            upload: UploadRecord = records.decode(UploadRecord, found.value)
            if not self._is_over(upload):
                continue
            if not report.dry_run:
                with suppress(VersionConflict, OutcomeUnknown):
                    await self._core.records.delete(found.key, expect=found.version)
            report.repositories.setdefault(upload.repository, Removed()).records["uploads"] += 1


@dataclass(slots=True)
class _Sweep:
    """One run over one repository. `gone` are the keys that a dry run has removed.

    `began` is when the oldest upload began, of those that go on: nothing becomes older while a push is under way.
    """

    core: Core
    manifests: Manifests
    repository: Repository
    grace_us: int
    removed: Removed
    dry_run: bool
    policy: Policy = DEFAULT
    gone: set[str] = field(default_factory=set)
    began: int = _NEVER

    async def run(self) -> None:
        await self._tags()
        while await self._manifests_and_contents():
            pass
        await self._referrers()
        await self._blobs()

    def _old(self, touched_at: int) -> bool:
        return touched_at <= min(self.core.clock(), self.began) - self.grace_us

    def _ago(self, age: timedelta) -> int:
        return self.core.clock() - int(age.total_seconds() * 1_000_000)

    async def _tags(self) -> None:
        """Delete what deleted releases left, and take back announcements of pushes that will not go on.

        Under `strict` a tombstone stays for ever.
        """
        async for found in each(self.core.records, keys.tags(self.repository)):
            record: Any = records.decode(AnyTag, found.value)
            if not isinstance(record, ReleaseTag | DeletedTag):
                continue
            announced = record.announced
            kept = self.policy.strict and is_tombstone(record)
            last_at = max(record.deleted_at, announced.at if announced else 0) if isinstance(record, DeletedTag) else 0
            if isinstance(record, DeletedTag) and not kept and self._old(last_at):
                await self._drop(found.key, found.version, "tags")
            elif announced is not None and self._old(announced.at) and not self.dry_run:
                await self._swap(found, msgspec.structs.replace(record, announced=None))

    async def _manifests_and_contents(self) -> bool:
        """One round over those that no tag and no parent names; whether any went, so that children may follow."""
        stays = self._stays if self.policy.untagged_after is not None else None
        roots = Roots(self.core.records, self.manifests, self.repository, stays)
        return await self._round(roots.of_manifests, (keys.manifests, keys.all_contents))

    async def _blobs(self) -> None:
        roots = Roots(self.core.records, self.manifests, self.repository)
        await self._round(roots.of_blobs, (keys.blobs,))

    async def _round(
        self,
        mark: Callable[[Collection[str]], Awaitable[Named]],
        prefixes: Iterable[Callable[[Repository], str]],
    ) -> bool:
        named = await mark(self.gone)
        condemned = [found for prefix in prefixes async for found in self._condemn(named, prefix(self.repository))]
        if not condemned:
            return False
        if not self.dry_run:
            named = await mark(())
        went = [found for found in condemned if not _in_use(named, found) and await self._remove(found)]
        return bool(went)

    async def _condemn(self, named: Named, prefix: str) -> AsyncIterator[Condemned]:
        """Swap what is old and not named to condemned; what somebody touched meanwhile is left out."""
        async for found in each(self.core.records, prefix):
            record: Condemnable = records.decode(_TYPES[prefix.partition("/")[0]], found.value)
            candidate = Condemned.of(found.key, found.version, record)
            if isinstance(record, ManifestRecord) and not self.dry_run:
                await self._note(found, record, named)
            if _in_use(named, candidate):
                await self._spare(found, record)
                continue
            if found.key in self.gone or not self._may_go(record):
                continue
            if record.state == "condemned" or self.dry_run:
                yield candidate
            elif (version := await self._swap(found, msgspec.structs.replace(record, state="condemned"))) is not None:
                yield Condemned.of(found.key, version, record)

    async def _spare(self, found: Record, record: Condemnable) -> None:
        """Take back what an earlier run condemned and then found in use, or did not live to look for."""
        if record.state == "condemned" and not self.dry_run:
            await self._swap(found, msgspec.structs.replace(record, state="live"))

    def _may_go(self, record: Condemnable) -> bool:
        """Whether it is old; of manifests that clients pushed, those that may go and were untagged for long enough."""
        if isinstance(record, ManifestRecord):
            return not self._stays(record)
        return self._old(record.touched_at)

    def _stays(self, record: ManifestRecord) -> bool:
        """Whether a manifest stays even if nothing names it."""
        if not self._old(record.pushed_at):
            return True
        after = self.policy.untagged_after
        if record.origin == "server":
            return False
        return after is None or not record.untagged_at or record.untagged_at > self._ago(after)

    async def _note(self, found: Record, record: ManifestRecord, named: Named) -> None:
        """Write down since when what a client pushed belongs to no tag, where that matters."""
        tagged = keys.split(found.key).rest in named.tagged
        if record.origin != "client" or self.policy.untagged_after is None or tagged != bool(record.untagged_at):
            return
        untagged_at = 0 if tagged else self.core.clock()
        await self._swap(found, msgspec.structs.replace(record, untagged_at=untagged_at))

    async def _remove(self, condemned: Condemned) -> bool:
        """Delete the record if it is as condemned, then its bytes. Whether it went."""
        kind: Any = keys.split(condemned.key).kind
        if not await self._drop(condemned.key, condemned.version, kind, condemned.size):
            return False
        if condemned.blob_id is not None and not self.dry_run:
            await self.core.blobs.delete(condemned.blob_id)
        return True

    async def _referrers(self) -> None:
        """Delete rows whose manifest is gone, or came again as another."""
        async for found in each(self.core.records, keys.all_referrers(self.repository)):
            row: ReferrerRecord = records.decode(ReferrerRecord, found.value)
            digest = Digest(keys.split(found.key).rest.partition("/")[2])
            key = keys.manifest(self.repository, digest)
            manifest = None if key in self.gone else await self.core.read(key, ManifestRecord)
            if manifest is None or manifest.born != row.born:
                await self._drop(found.key, found.version, "referrers")

    async def _swap(self, found: Record, wanted: Any) -> Version | None:
        """The Version of `wanted` where `found` stood; None if it is no more, or nobody knows."""
        value = records.encode(msgspec.structs.replace(wanted, write=self.core.new_id()))
        try:
            return await self.core.records.put(found.key, value, expect=found.version, durable=False)
        except (VersionConflict, OutcomeUnknown):
            return None

    async def _drop(self, key: str, version: Version, kind: Kind, size: int = 0) -> bool:
        """Delete a record as it was seen, and count it; False if it is no more, or nobody knows."""
        if self.dry_run:
            self.gone.add(key)
        else:
            try:
                await self.core.records.delete(key, expect=version)
            except (VersionConflict, OutcomeUnknown):
                return False
        self.removed.add(kind, size)
        return True


_TYPES: dict[str, Any] = {"manifests": ManifestRecord, "contents": ContentsRecord, "blobs": BlobRecord}


def _in_use(named: Named, found: Condemned) -> bool:
    key = keys.split(found.key)
    return named.names(key.kind, key.rest, found.born)
