"""What a release consists of: its formats, what its tag points at, and the index over them.

A release is one tag record, so every change here is one swap. Source: contracts/oci-helm.md 6.3.
"""

from collections.abc import Callable
from typing import Final

from cnr.domain.archive import HELM
from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import Conflict, NameTaken, RecordFull, ReleaseRetired, StoreUnavailable
from cnr.domain.manifest import INDEX_TYPE, RELEASE_ARTIFACT, VERSION, Child, parse_manifest, release_index
from cnr.domain.names import Format, PackageName, Repository, Tag
from cnr.domain.policy import Policy
from cnr.domain.version import Release, tag_of
from cnr.registry.announce import Confirmation, announcing
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.references import INDEXES
from cnr.registry.tags import Tags
from cnr.registry.tombstones import left_behind, may_come, tombstone
from cnr.store import keys
from cnr.store.records import (
    TAG_LIMIT,
    AnyTag,
    DeletedTag,
    FormatEntry,
    Pointer,
    ReferrerRecord,
    ReleaseTag,
    TagRecord,
    encode,
)

PLACEHOLDER: Final = Pointer(Digest(f"sha256:{0:064}"), f"{0:032}")
"""As long as any pointer: what a record will have room for can be told before what it names is written."""

Formats = dict[Format, FormatEntry]
Recipe = Callable[[Formats], Formats]
"""From the formats as they are to those wanted; pure, raises what forbids the change."""


class FactsGone(StoreUnavailable):
    """What the release should name was swept: write it anew. Never leaves the registry after a push."""


class Moved(Conflict):
    """Another writer was first: look again. Never leaves the registry."""


class Composer:
    """Changes the formats of a release."""

    def __init__(self, core: Core, tags: Tags, blobs: Blobs, manifests: Manifests) -> None:
        self._core = core
        self._tags = tags
        self._manifests = manifests
        self._confirmation = Confirmation(core, blobs, manifests)

    async def check(self, package: PackageName, release: Release, recipe: Recipe, policy: Policy) -> None:
        """Raises what `recompose` would raise now, and writes nothing."""
        before = await self._tags.get(package.repository, tag_of(release))
        formats = _next(package, release, before, recipe, policy)
        _require_room(release, formats, left_behind(before, formats, strict=policy.strict))

    async def recompose(
        self,
        package: PackageName,
        release: Release,
        recipe: Recipe,
        policy: Policy,
        *,
        touched_at: int | None = None,
    ) -> tuple[TagRecord | None, TagRecord]:
        """Swap the release's record to the formats that `recipe` gives; none left: it is deleted.

        `touched_at` is a time before the first of the caller's facts was written. Returns what stood there and what
        stands there now. Raises what `recipe` raises, NameTaken, RecordFull, ReleaseRetired where `policy` remembers
        other content, and FactsGone where garbage collection took one of those facts.
        """
        repository, tag = package.repository, tag_of(release)
        since = touched_at if touched_at is not None else self._core.clock()
        while True:
            before = await self._tags.get(repository, tag)
            formats = _next(package, release, before, recipe, policy)
            wanted = await self._compose(repository, release, before, formats, strict=policy.strict)
            try:
                await self.commit(repository, tag, before, wanted, since)
            except Moved:
                continue
            return before, wanted

    async def commit(
        self, repository: Repository, tag: Tag, before: TagRecord | None, wanted: ReleaseTag | DeletedTag, since: int
    ) -> None:
        """Swap `wanted` in for `before`, announced and looked at first where it names what is not fresh.

        `since` is a time before the first of the caller's facts was written. Raises Moved, FactsGone.
        """
        key, expected = keys.tag(repository, tag), before
        if isinstance(wanted, ReleaseTag) and self._core.clock() - since >= self._core.trusted_us:
            announced = announcing(before, wanted, self._core.clock())
            swap = await self._core.updater.update(key, AnyTag, _swap(before, announced))
            expected = swap.after
            missing = await self._confirmation.missing(repository, wanted)
            if missing == [wanted.index]:
                raise Moved("the index was swept; it is made again")
            if missing:
                raise FactsGone("what was written for this push was swept; try again")
        await self._core.updater.update(key, AnyTag, _swap(expected, wanted))

    async def _compose(
        self, repository: Repository, release: Release, before: TagRecord | None, formats: Formats, *, strict: bool
    ) -> ReleaseTag | DeletedTag:
        if not formats:
            assert isinstance(before, ReleaseTag)
            return tombstone(before, self._core.clock())
        removed = left_behind(before, formats, strict=strict)
        _require_room(release, formats, removed)
        born = before.born if isinstance(before, ReleaseTag) else self._core.new_id()
        index = await self.index(repository, release, formats) if len(formats) > 1 else None
        kept = await self._pushed_target(repository, before, formats) if isinstance(before, ReleaseTag) else None
        own = formats[HELM].manifest if HELM in formats else index or next(iter(formats.values())).manifest
        yanked = before.yanked if isinstance(before, ReleaseTag) else None
        return ReleaseTag(born=born, manifest=kept or own, index=index, formats=formats, removed=removed, yanked=yanked)

    async def _pushed_target(self, repository: Repository, before: ReleaseTag, formats: Formats) -> Pointer | None:
        """What a client pointed the tag at, unless it is, or lists, the manifest of a format that goes or is replaced.

        Source: contracts/oci-helm.md 6.3, "Tag target".
        """
        record = await self._manifests.find(repository, before.manifest)
        if record is None or record.origin != "client":
            return None
        staying = {entry.manifest.digest for entry in formats.values()}
        going = {entry.manifest.digest for entry in before.formats.values()} - staying
        shown = {before.manifest.digest}
        if going and record.media_type in INDEXES:
            data = await self._manifests.data_if_there(record, before.manifest.digest)
            if data is None:
                return None
            shown.update(child.digest for child in parse_manifest(data).manifests or ())
        return None if going & shown else before.manifest

    async def index(self, repository: Repository, release: Release, formats: Formats) -> Pointer:
        """Write the index over `formats`, and its row among the referrers of the helm manifest."""
        children = await self._children(repository, formats)
        subject = next((child for child in children if child.format == HELM), None)
        data = release_index(children, release, subject=subject)
        digest = subject.digest if subject else None
        stored = await self._manifests.store(repository, data, INDEX_TYPE, origin="server", subject=digest)
        pointer = stored.pointer
        if digest is not None:
            row = ReferrerRecord(
                born=pointer.born,
                media_type=INDEX_TYPE,
                size=len(data),
                artifact_type=RELEASE_ARTIFACT,
                annotations={VERSION: release},
                release=tag_of(release),
            )
            await self._manifests.refer(repository, digest, pointer.digest, row)
        return pointer

    async def _children(self, repository: Repository, formats: Formats) -> list[Child]:
        children = []
        for token, entry in formats.items():
            record = await self._manifests.find(repository, entry.manifest)
            data = await self._manifests.data_if_there(record, entry.manifest.digest) if record is not None else None
            if record is not None and data is not None:
                children.append(Child(token, entry.manifest.digest, record.media_type, data))
        return children


def _next(package: PackageName, release: Release, before: TagRecord | None, recipe: Recipe, policy: Policy) -> Formats:
    """The formats that `recipe` gives. Raises what it raises, NameTaken, and ReleaseRetired."""
    old = _formats(package, release, before)
    formats = recipe(old)
    added = {token: entry.tar_digest for token, entry in formats.items() if token not in old}
    if added and policy.strict and not may_come(before, added):
        raise ReleaseRetired(
            f"{package} {release} was deleted, and may only come back with the content it had: publish a new release",
            package=str(package),
            release=release,
            media_type=next(iter(added)),
        )
    return formats


def _formats(package: PackageName, release: Release, record: TagRecord | None) -> Formats:
    if record is None or isinstance(record, DeletedTag):
        return {}
    if isinstance(record, ReleaseTag) and record.formats:
        return record.formats
    raise NameTaken(
        f"{package} {release} is a tag on something that is no package", package=str(package), release=release
    )


def _require_room(release: Release, formats: Formats, removed: dict[Format, TarDigest]) -> None:
    record = ReleaseTag(
        born=PLACEHOLDER.born, manifest=PLACEHOLDER, index=PLACEHOLDER, formats=formats, removed=removed
    )
    if len(encode(record)) > TAG_LIMIT:
        raise RecordFull(f"release {release} has no room for another format's metadata")


def _swap(seen: TagRecord | None, wanted: TagRecord) -> Callable[[TagRecord | None], TagRecord]:
    def change(now: TagRecord | None) -> TagRecord:
        if (now and now.write) != (seen and seen.write):
            raise Moved("the release was changed meanwhile")
        return wanted

    return change
