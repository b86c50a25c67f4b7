"""Manifests as OCI clients push, read and delete them, and the tags that point at them.

Facts first, then the pointer: a push that is refused has written nothing. Source: design/architecture.md, rules 1
to 3; contracts/oci-helm.md 1.4, 6.3, 6.4.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.digest import Digest
from cnr.domain.errors import (
    Conflict,
    DataCorrupt,
    Denied,
    InvalidManifest,
    ManifestNotFound,
    RepositoryNotFound,
    StoreUnavailable,
)
from cnr.domain.names import Repository, Tag
from cnr.domain.policy import Policy
from cnr.domain.version import order_key, release_of
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.policies import Policies
from cnr.registry.pushed_formats import declared
from cnr.registry.quotas import Quotas
from cnr.registry.references import INDEXES, Pushed, References
from cnr.registry.release import FactsGone
from cnr.registry.retag import Retagger, Wanted
from cnr.registry.rights import require, require_channel, require_formats
from cnr.registry.tags import Tags, afterwards
from cnr.registry.tombstones import left_behind, tombstone
from cnr.store import keys, records
from cnr.store.base import BlobNotFound, BlobReader
from cnr.store.records import (
    AnyTag,
    ChannelTag,
    DeletedTag,
    ManifestRecord,
    PlainTag,
    Pointer,
    ReferrerRecord,
    ReleaseTag,
    TagRecord,
)
from cnr.store.update import DELETE, KEEP, Delete, Keep

ANNOTATIONS_LIMIT: Final = 8 * 1024
"""Bytes of annotations that a row of the referrers API repeats."""
_PAGE: Final = 500
_ATTEMPTS: Final = 5
"""How often a manifest that garbage collection took meanwhile is stored anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest that was asked for."""

    digest: Digest
    record: ManifestRecord


@dataclass(frozen=True, slots=True)
class _Stored:
    """A manifest that was stored, and a time before that."""

    pointer: Pointer
    since: int


class Images:
    """Pushes, finds and deletes manifests."""

    def __init__(
        self,
        core: Core,
        policies: Policies,
        tags: Tags,
        manifests: Manifests,
        references: References,
        retag: Retagger,
    ) -> None:
        self._core = core
        self._policies = policies
        self._tags = tags
        self._manifests = manifests
        self._references = references
        self._retag = retag
        self._quotas = Quotas(core, policies)

    async def put(self, repository: Repository, pushed: Pushed, tag: Tag, *, by: Grant = EVERYTHING) -> None:
        """Store a manifest and point `tag` at it.

        Raises ReferenceMissing, Immutable, Forbidden, FormatRefused and QuotaExceeded before anything is written, and
        RecordFull.
        """
        await self._references.require(repository, pushed.manifest)
        policy = await self._policies.of(repository)
        require_formats(declared(pushed.manifest), policy, repository)
        wanted = await self._plan(repository, pushed, tag, policy, by)
        await self._require_room(repository, pushed, tag)
        await self._point(repository, pushed, wanted, await self._store(repository, pushed, durable=False))

    async def put_by_digest(
        self, repository: Repository, pushed: Pushed, tags: Sequence[Tag], *, by: Grant = EVERYTHING
    ) -> list[Tag]:
        """Store a manifest and point all `tags` at it that may move: each is its own swap. Returns those.

        Raises ReferenceMissing, FormatRefused and QuotaExceeded before anything is written.
        """
        await self._references.require(repository, pushed.manifest)
        policy = await self._policies.of(repository)
        require_formats(declared(pushed.manifest), policy, repository)
        await self._require_room(repository, pushed)
        wanted: list[Wanted] = []
        for tag in dict.fromkeys(tags):
            with suppress(Denied):
                await self._quotas.require_room(repository, tag=tag)
                wanted.append(await self._plan(repository, pushed, tag, policy, by))
        stored = await self._store(repository, pushed, durable=True)
        moved = []
        for each in wanted:
            with suppress(Denied, Conflict):
                await self._point(repository, pushed, each, stored)
                moved.append(each.tag)
        return moved

    async def _require_room(self, repository: Repository, pushed: Pushed, tag: Tag | None = None) -> None:
        size, digest = len(pushed.data), pushed.digest
        await self._quotas.require_room(repository, tag=tag, size=size, manifest=digest)

    async def _plan(self, repository: Repository, pushed: Pushed, tag: Tag, policy: Policy, by: Grant) -> Wanted:
        record = await self._manifests.get(repository, pushed.digest)
        known = Pointer(pushed.digest, record.born) if record else None
        return await self._retag.plan(repository, tag, pushed.manifest, pushed.digest, known, policy, by)

    async def _point(self, repository: Repository, pushed: Pushed, wanted: Wanted, stored: _Stored) -> None:
        """Point the tag at what was stored; store it again where garbage collection took it in between."""
        for _ in range(_ATTEMPTS):
            try:
                await self._retag.point(repository, wanted, stored.pointer, stored.since)
            except FactsGone:
                stored, wanted = await self._store(repository, pushed, durable=False), replace(wanted, found=None)
            else:
                return
        raise StoreUnavailable("what was written for this push was swept several times over; try again")

    async def _store(self, repository: Repository, pushed: Pushed, *, durable: bool) -> _Stored:
        """The manifest and its row among the referrers; then look again whether what it names is there."""
        since = self._core.clock()
        stored = await self._manifests.store(
            repository,
            pushed.data,
            pushed.media_type,
            origin="client",
            subject=pushed.subject,
            digest=pushed.digest,
            durable=durable and pushed.subject is None,
        )
        pointer = stored.pointer
        try:
            await self._references.hold(repository, pushed.manifest)
        except InvalidManifest:
            if stored.new:
                await self._remove(repository, pointer, stored.write)
            raise
        if pushed.subject is not None:
            await self._manifests.refer(
                repository, pushed.subject, pushed.digest, _row(pushed, pointer), durable=durable
            )
        return _Stored(pointer, since)

    async def get(self, repository: Repository, digest: Digest) -> Found:
        """The manifest of this digest. Raises ManifestNotFound, RepositoryNotFound."""
        record = await self._manifests.get(repository, digest)
        if record is None:
            raise await self._missing(repository, digest)
        return Found(digest, record)

    async def resolve(self, repository: Repository, tag: Tag, *, index: bool = False) -> Found:
        """What `tag` points at; with `index` a release's index over its formats, if it has one.

        A channel is its current release. An index that a client pushed there is everybody's. Raises ManifestNotFound,
        RepositoryNotFound.
        """
        record = await self._tags.get(repository, tag)
        if isinstance(record, ChannelTag):
            record = await self._current(repository, record)
        if isinstance(record, ReleaseTag | PlainTag):
            target = await self._manifests.find(repository, record.manifest)
            made = record.index if index and isinstance(record, ReleaseTag) else None
            if made is not None and (target is None or target.media_type not in INDEXES):
                found = await self._manifests.find(repository, made)
                if found is not None:
                    return Found(made.digest, found)
            if target is not None:
                return Found(record.manifest.digest, target)
        raise await self._missing(repository, tag)

    async def _current(self, repository: Repository, channel: ChannelTag) -> ReleaseTag | None:
        """The release that a channel shows: its current one, else its highest live member."""
        for member in sorted(
            channel.members, key=lambda each: (each.tag == channel.current, _order(each.tag)), reverse=True
        ):
            release = await self._tags.release(repository, member.tag)
            if release is not None and release.born == member.born:
                return release
        return None

    async def open(self, repository: Repository, found: Found) -> BlobReader:
        """The manifest's bytes, exactly as they were pushed. Raises ManifestNotFound if it was deleted meanwhile.

        Raises DataCorrupt, too, where the store lost them.
        """
        try:
            return await self._manifests.open(found.record, found.digest)
        except BlobNotFound:
            if await self._manifests.get(repository, found.digest) == found.record:
                raise DataCorrupt("the bytes of a stored manifest are gone", digest=found.digest) from None
            raise await self._missing(repository, found.digest) from None

    async def delete_tag(self, repository: Repository, tag: Tag, *, by: Grant = EVERYTHING) -> None:
        """Delete the tag and nothing else: a release with all its formats, a channel, or a plain tag.

        Raises ManifestNotFound, RepositoryNotFound, and Forbidden where a rule keeps this from `by`.
        """
        await self.resolve(repository, tag)
        policy, at = await self._policies.of(repository), self._core.clock()

        def change(before: TagRecord | None) -> TagRecord | Delete | Keep:
            if isinstance(before, ReleaseTag):
                require("delete", policy, by, repository)
            else:
                require_channel(tag, policy, by, repository)
            return _deleted(at, policy.strict, before)

        swap = await self._core.updater.update(keys.tag(repository, tag), AnyTag, change)
        if isinstance(swap.before, ReleaseTag) and swap.before.formats:
            await self._tags.left(repository)

    async def delete(self, repository: Repository, digest: Digest, *, by: Grant = EVERYTHING) -> None:
        """Delete the manifest: one swap, after which all tags on it are absent; their records are swept then.

        Raises ManifestNotFound, RepositoryNotFound, and Forbidden where a rule keeps this from `by`.
        """
        record = await self._manifests.get(repository, digest)
        policy = await self._policies.of(repository)
        require("delete", policy, by, repository)
        removed = record is not None and await self._remove(repository, Pointer(digest, record.born))
        with afterwards(f"tags of {repository} that name a deleted manifest stay until they are swept"):
            await self._sweep(repository, digest, policy.strict)
        if not removed:
            raise await self._missing(repository, digest)

    async def _remove(self, repository: Repository, pointer: Pointer, write: str = "") -> bool:
        """Delete the manifest, or with `write` only as that left it: not where somebody pushed the same since."""

        def change(before: ManifestRecord | None) -> ManifestRecord | Delete | Keep:
            if before is None or before.born != pointer.born or before.write != (write or before.write):
                return KEEP
            return DELETE

        key = keys.manifest(repository, pointer.digest)
        swap = await self._core.updater.update(key, ManifestRecord, change)
        gone = swap.before
        if gone is None or swap.after is not None:
            return False
        with afterwards(f"what is left of {repository} {pointer.digest} stays until it is swept"):
            if gone.blob_id:
                await self._core.blobs.delete(gone.blob_id)
            if gone.subject:
                await self._unlist(repository, gone.subject, pointer)
        return True

    async def _unlist(self, repository: Repository, subject: Digest, pointer: Pointer) -> None:
        def change(before: ReferrerRecord | None) -> ReferrerRecord | Delete | Keep:
            return DELETE if before is not None and before.born == pointer.born else KEEP

        key = keys.referrer(repository, subject, pointer.digest)
        await self._core.updater.update(key, ReferrerRecord, change)

    async def _sweep(self, repository: Repository, digest: Digest, strict: bool) -> None:
        """Take the deleted manifest out of all tags. A release loses that format; the others stay in the CNR view.

        Also what an earlier delete, of a server that stopped, left behind.
        """
        prefix, after, was_package = keys.tags(repository), "", False
        while found := await self._core.records.scan(prefix, after=after, limit=_PAGE):
            for entry in found:
                record: TagRecord = records.decode(AnyTag, entry.value)
                for pointer in await self._dead(repository, record, digest):
                    change = partial(_without, pointer, self._core.clock(), strict)
                    await self._core.updater.update(entry.key, AnyTag, change)
                    was_package = was_package or isinstance(record, ReleaseTag)
            after = found[-1].key
        if was_package:
            await self._tags.left(repository)

    async def _dead(self, repository: Repository, record: TagRecord, digest: Digest) -> list[Pointer]:
        """What the tag names of this digest and is gone; for ever, since a `born` never comes again."""
        named = {pointer for pointer in _pointers(record) if pointer.digest == digest}
        return [pointer for pointer in named if await self._manifests.find(repository, pointer) is None]

    async def _missing(self, repository: Repository, reference: str) -> ManifestNotFound | RepositoryNotFound:
        if not await self._tags.known(repository):
            return RepositoryNotFound(f"there is no repository {repository}", name=repository)
        return ManifestNotFound(f"{repository} has no manifest {reference}", name=repository, reference=reference)


def _order(tag: Tag) -> bytes:
    release = release_of(tag)
    return order_key(release) if release else b""


def _deleted(at: int, strict: bool, before: TagRecord | None) -> TagRecord | Delete | Keep:
    if before is None or isinstance(before, DeletedTag):
        return KEEP
    if isinstance(before, ReleaseTag) and (strict or before.formats):
        return tombstone(before, at)
    return DELETE


def _pointers(record: TagRecord) -> list[Pointer]:
    if isinstance(record, ReleaseTag):
        indexes = [record.index] if record.index else []
        return [record.manifest, *indexes, *(entry.manifest for entry in record.formats.values())]
    return [record.manifest] if isinstance(record, PlainTag) else []


def _without(pointer: Pointer, at: int, strict: bool, before: TagRecord | None) -> TagRecord | Delete | Keep:
    if before is None or pointer not in _pointers(before):
        return KEEP
    if not isinstance(before, ReleaseTag):
        return DELETE
    formats = {token: entry for token, entry in before.formats.items() if entry.manifest != pointer}
    if not formats and (before.formats or before.manifest == pointer):
        return _deleted(at, strict, before)
    index = None if before.index == pointer else before.index
    return msgspec.structs.replace(
        before, index=index, formats=formats, removed=left_behind(before, formats, strict=strict), announced=None
    )


def _row(pushed: Pushed, pointer: Pointer) -> ReferrerRecord:
    return ReferrerRecord(
        born=pointer.born,
        media_type=pushed.media_type,
        size=len(pushed.data),
        artifact_type=pushed.artifact_type,
        annotations=_cut(pushed.manifest.annotations or {}),
    )


def _cut(annotations: dict[str, str]) -> dict[str, str]:
    """The annotations that fit into a row, by name."""
    kept, left = {}, ANNOTATIONS_LIMIT
    for name, value in sorted(annotations.items()):
        left -= len(name.encode()) + len(value.encode())
        if left >= 0:
            kept[name] = value
    return kept
