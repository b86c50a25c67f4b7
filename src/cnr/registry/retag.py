"""What a tag becomes when an OCI client points it at a manifest: a release, a channel or a plain tag.

Decided once, at that PUT, from records alone. A release's tag is a SemVer version, or one that helm takes for a
version and that the chart has. Source: contracts/oci-helm.md 6.3, 6.4 (3), (5), (9).
"""

from dataclasses import dataclass

import msgspec

from cnr.domain.access import Grant
from cnr.domain.archive import HELM
from cnr.domain.digest import Digest
from cnr.domain.errors import Immutable, RecordFull
from cnr.domain.manifest import RELEASE_ARTIFACT, Manifest
from cnr.domain.names import Format, Repository, Tag
from cnr.domain.policy import Policy
from cnr.domain.version import LenientVersion, Release, belongs_to_digest, lenient_of, order_key, release_of
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.pushed_formats import Found, PushedFormats, is_package
from cnr.registry.release import Composer, FactsGone, Moved
from cnr.registry.rights import require, require_channel, require_formats
from cnr.registry.tags import Tags
from cnr.registry.tombstones import left_behind, may_come, tombstone
from cnr.store import keys
from cnr.store.records import (
    TAG_LIMIT,
    AnyTag,
    ChannelTag,
    DeletedTag,
    FormatEntry,
    Member,
    PlainTag,
    Pointer,
    ReleaseTag,
    TagRecord,
    encode,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tag that may be pointed at a manifest, under the rules that held when this was asked for.

    `version` is what the tag names, if it is a version. `found`: the formats that the manifest gives to it; None where
    the tag pointed at it already, so that nothing was looked into. `by` is who asked.
    """

    tag: Tag
    manifest: Manifest
    version: Release | LenientVersion | None
    found: Found | None
    policy: Policy
    by: Grant


Standing = ReleaseTag | DeletedTag | None
"""A release as it stands, or what a deleted one left."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A release's tag about to move to `pointer`. `seen` is its record, `standing` what that means now."""

    wanted: Wanted
    pointer: Pointer
    found: Found
    seen: TagRecord | None
    standing: Standing
    since: int

    @property
    def old(self) -> dict[Format, FormatEntry]:
        """The formats that the release has."""
        return self.standing.formats if isinstance(self.standing, ReleaseTag) else {}


class Retagger:
    """Points tags at manifests that clients pushed."""

    def __init__(
        self, core: Core, tags: Tags, manifests: Manifests, formats: PushedFormats, composer: Composer
    ) -> None:
        self._core = core
        self._tags = tags
        self._manifests = manifests
        self._formats = formats
        self._composer = composer

    async def plan(
        self,
        repository: Repository,
        tag: Tag,
        manifest: Manifest,
        digest: Digest,
        known: Pointer | None,
        policy: Policy,
        by: Grant,
    ) -> Wanted:
        """What `tag` would become; `known` is the manifest if it is stored already. Writes nothing.

        Raises Immutable where the tag is a release of other content, or was one and is remembered; Forbidden and
        FormatRefused where the rules keep this from `by`.
        """
        version = release_of(tag) or lenient_of(tag)
        if version is None:
            require_channel(tag, policy, by, repository)
            return Wanted(tag, manifest, None, None, policy, by)
        before = await self._standing(repository, await self._tags.get(repository, tag))
        if isinstance(before, ReleaseTag) and before.manifest == known:
            return Wanted(tag, manifest, version, None, policy, by)
        found = await self._formats.find(repository, version, manifest)
        wanted = Wanted(tag, manifest, version, found, policy, by)
        _refuse(repository, wanted, before, found, digest)
        return wanted

    async def point(self, repository: Repository, wanted: Wanted, pointer: Pointer, since: int) -> None:
        """Swap the tag's record. `since` is a time before the manifest was stored.

        Raises Immutable, RecordFull, and FactsGone where garbage collection took the manifest or what it names.
        """
        while True:
            try:
                if wanted.version is None or not await self._point_release(repository, wanted, pointer, since):
                    await self._point_other(repository, wanted, pointer, since)
            except Moved:
                continue
            return

    async def _point_release(self, repository: Repository, wanted: Wanted, pointer: Pointer, since: int) -> bool:
        """Make the tag a release; False where what is pushed makes it none. Raises Moved."""
        assert wanted.version is not None
        seen = await self._tags.get(repository, wanted.tag)
        before = await self._standing(repository, seen)
        if isinstance(before, ReleaseTag) and before.manifest == pointer:
            return True
        found = wanted.found
        if found is None:
            found = await self._formats.find(repository, wanted.version, wanted.manifest)
        _refuse(repository, wanted, before, found, pointer.digest)
        if not _is_release(wanted.tag, found):
            return False
        await self._release(repository, _Move(wanted, pointer, found, seen, before, since))
        return True

    async def _release(self, repository: Repository, move: _Move) -> None:
        """Swap the release in. Raises Moved, FactsGone, RecordFull."""
        tag, old, standing = move.wanted.tag, move.old, move.standing
        created_at = max(self._core.clock(), await self._core.catalog.newest_seen(repository) + 1)
        entries = await self._formats.entries(repository, move.found, move.pointer, created_at=created_at)
        formats = _merged(old, entries)
        came_or_went = bool(formats) != bool(old)
        version = Release(move.wanted.version or "")
        record = ReleaseTag(
            # who loses all formats goes out of its channels too, and comes back as another
            born=self._core.new_id() if came_or_went or not isinstance(standing, ReleaseTag) else standing.born,
            manifest=move.pointer,
            index=await self._composer.index(repository, version, formats) if len(formats) > 1 else None,
            formats=formats,
            removed=left_behind(standing, formats, strict=move.wanted.policy.strict),
            yanked=standing.yanked if isinstance(standing, ReleaseTag) else None,
        )
        _fitting(record)
        await self._composer.commit(repository, tag, move.seen, record, move.since)
        if came_or_went and release_of(tag) is not None:
            await (self._tags.arrived(repository, tag, created_at) if formats else self._tags.left(repository))

    async def _point_other(self, repository: Repository, wanted: Wanted, pointer: Pointer, since: int) -> None:
        """Make the tag a channel or a plain one. Raises Moved where it is a release by now, and FactsGone."""
        allowed = None
        if wanted.version is not None:
            seen = await self._tags.get(repository, wanted.tag)
            _refuse(repository, wanted, await self._standing(repository, seen), {}, pointer.digest)
            allowed = seen and seen.write
        member = await self._member(repository, wanted, pointer)

        def change(before: TagRecord | None) -> TagRecord:
            if isinstance(before, ReleaseTag | DeletedTag) and before.write != allowed:
                raise Moved("the tag became a release meanwhile")
            if member is None:
                return PlainTag(manifest=pointer)
            kept = before.members if isinstance(before, ChannelTag) else ()
            members = (*(each for each in kept if each.tag != member.tag), member)
            return _fitting(ChannelTag(current=member.tag, members=members))

        slow = self._core.clock() - since >= self._core.trusted_us
        if slow and await self._manifests.revive(repository, pointer) is None:
            raise FactsGone("the manifest was swept; it is stored again")
        await self._core.updater.update(keys.tag(repository, wanted.tag), AnyTag, change)
        if slow and await self._manifests.revive(repository, pointer) is None:
            raise FactsGone("the manifest was swept; it is stored again")

    async def _standing(self, repository: Repository, record: TagRecord | None) -> Standing:
        """The release without formats whose manifest was deleted; those, or all of it, are only remembered."""
        if not isinstance(record, ReleaseTag):
            return record if isinstance(record, DeletedTag) else None
        formats = {
            format: entry
            for format, entry in record.formats.items()
            if await self._manifests.find(repository, entry.manifest) is not None
        }
        if not formats and await self._manifests.find(repository, record.manifest) is None:
            return tombstone(record, self._core.clock())
        return msgspec.structs.replace(record, formats=formats, removed=left_behind(record, formats, strict=True))

    async def _member(self, repository: Repository, wanted: Wanted, pointer: Pointer) -> Member | None:
        """The highest package release whose tag points at this manifest; None where the tag may be no channel."""
        manifest = wanted.manifest
        could = is_package(manifest) or manifest.kind == RELEASE_ARTIFACT or manifest.manifests is not None
        if not could or belongs_to_digest(wanted.tag):
            return None
        found: list[tuple[bytes, Member]] = []
        async for tag, record in self._tags.releases(repository):
            release = release_of(tag)
            if record.manifest == pointer and release is not None:
                found.append((order_key(release), Member(tag, record.born)))
        return max(found, key=lambda pair: pair[0])[1] if found else None


def _is_release(tag: Tag, found: Found) -> bool:
    """Whether a version's tag is a release's: always if CNR takes it for one, else if its chart has that version."""
    return release_of(tag) is not None or HELM in found


def _merged(old: dict[Format, FormatEntry], new: dict[Format, FormatEntry]) -> dict[Format, FormatEntry]:
    """The formats of a release whose tag moves. Of equal content only the manifest changes; no package has none."""
    if not new:
        return {}
    formats = {**old}
    for format, entry in new.items():
        kept = old.get(format)
        same = kept is not None and kept.tar_digest == entry.tar_digest
        formats[format] = msgspec.structs.replace(kept, manifest=entry.manifest) if kept and same else entry
    return formats


def _refuse(repository: Repository, wanted: Wanted, before: Standing, found: Found, digest: Digest) -> None:
    """A release's tag moves to equal content, and to a manifest that only adds formats.

    Raises Immutable, and Forbidden and FormatRefused for what is not the caller's right.
    """
    if _is_release(wanted.tag, found):
        require("push", wanted.policy, wanted.by, repository)
        require_formats(found, wanted.policy, repository)
    else:
        require_channel(wanted.tag, wanted.policy, wanted.by, repository)
    contents = {format: packed.contents.tar_digest for format, packed in found.items()}
    if wanted.policy.strict and not may_come(before, contents, digest):
        raise Immutable(
            f"the release {wanted.tag} was deleted, and may only come back with the content it had", tag=wanted.tag
        )
    if not isinstance(before, ReleaseTag):
        return
    same = all(before.formats[format].tar_digest == tar for format, tar in contents.items() if format in before.formats)
    if contents and before.formats and same:
        return
    if wanted.policy.tags_move:
        require("force", wanted.policy, wanted.by, repository)
    else:
        raise Immutable(f"the release {wanted.tag} exists with other content: releases are immutable", tag=wanted.tag)


def _fitting(record: ReleaseTag | ChannelTag) -> TagRecord:
    if len(encode(record)) > TAG_LIMIT:
        raise RecordFull("the tag's record has no room for another entry")
    return record
