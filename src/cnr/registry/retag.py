"""What a tag becomes when an OCI client points it at a manifest: a release, a channel or a plain tag.

Decided once, at that PUT, from records alone. Source: contracts/oci-helm.md 6.3, 6.4 (3), (5), (9).
"""

from dataclasses import dataclass

import msgspec

from cnr.domain.errors import Immutable, RecordFull
from cnr.domain.manifest import RELEASE_ARTIFACT, Manifest
from cnr.domain.names import Repository, Tag
from cnr.domain.package import package_layer
from cnr.domain.version import Release, belongs_to_digest, order_key, release_of
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.pushed_formats import Found, PushedFormats
from cnr.registry.release import Composer, FactsGone, Moved
from cnr.registry.tags import Tags
from cnr.store import keys
from cnr.store.records import (
    TAG_LIMIT,
    AnyTag,
    ChannelTag,
    Member,
    PlainTag,
    Pointer,
    ReleaseTag,
    TagRecord,
    encode,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tag that may be pointed at a manifest. `release` where the tag is a version.

    `found`: the formats that the manifest gives to the release; None where the tag pointed at it already, so that
    nothing was looked into.
    """

    tag: Tag
    manifest: Manifest
    release: Release | None
    found: Found | None


_ATTEMPTS = 5
"""How often facts that garbage collection took meanwhile are written anew."""


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

    async def plan(self, repository: Repository, tag: Tag, manifest: Manifest, pointer: Pointer | None) -> Wanted:
        """What `tag` would become; `pointer` is the manifest if it is stored already. Writes nothing.

        Raises Immutable where the tag is a release of other content.
        """
        release = release_of(tag)
        if release is None:
            return Wanted(tag, manifest, None, None)
        before = await self._live(repository, await self._tags.get(repository, tag))
        if before is not None and before.manifest == pointer:
            return Wanted(tag, manifest, release, None)
        found = await self._formats.find(repository, release, manifest)
        _refuse_other(tag, before, found)
        return Wanted(tag, manifest, release, found)

    async def point(self, repository: Repository, wanted: Wanted, pointer: Pointer) -> None:
        """Swap the tag's record. Raises Immutable, RecordFull."""
        if wanted.release is not None:
            await self._point_release(repository, wanted, wanted.release, pointer)
            return
        member = None
        if not belongs_to_digest(wanted.tag):
            member = await self._member(repository, wanted.manifest, pointer)

        def change(before: TagRecord | None) -> TagRecord:
            if member is None:
                return PlainTag(manifest=pointer)
            kept = before.members if isinstance(before, ChannelTag) else ()
            members = (*(each for each in kept if each.tag != member.tag), member)
            return _fitting(ChannelTag(current=member.tag, members=members))

        await self._core.updater.update(keys.tag(repository, wanted.tag), AnyTag, change)

    async def _point_release(self, repository: Repository, wanted: Wanted, release: Release, pointer: Pointer) -> None:
        since = self._core.clock()
        created_at = max(since, await self._core.catalog.newest_seen(repository) + 1)
        found, entries, attempts = wanted.found, None, _ATTEMPTS
        while True:
            seen = await self._tags.get(repository, wanted.tag)
            before = await self._live(repository, seen)
            if before is not None and before.manifest == pointer:
                return
            if found is None:
                found = await self._formats.find(repository, release, wanted.manifest)
            _refuse_other(wanted.tag, before, found)
            if entries is None:
                entries = await self._formats.entries(repository, found, pointer, created_at=created_at)
            old = before.formats if before else {}
            formats = {**old}
            for format, entry in entries.items():
                kept = old.get(format)
                formats[format] = msgspec.structs.replace(kept, manifest=entry.manifest) if kept else entry
            index = await self._composer.index(repository, release, formats) if len(formats) > 1 else None
            born = before.born if before else self._core.new_id()
            record = ReleaseTag(born=born, manifest=pointer, index=index, formats=formats)
            _fitting(record)
            try:
                await self._composer.commit(repository, wanted.tag, seen, record, since)
            except Moved:
                continue
            except FactsGone:
                if (attempts := attempts - 1) == 0:
                    raise
                found, entries, since = None, None, self._core.clock()
                continue
            if formats and not old:
                await self._tags.arrived(repository, wanted.tag, created_at)
            return

    async def _live(self, repository: Repository, record: TagRecord | None) -> ReleaseTag | None:
        """The release as it stands, without formats whose manifest was deleted; None where nothing is left."""
        if not isinstance(record, ReleaseTag):
            return None
        formats = {
            format: entry
            for format, entry in record.formats.items()
            if await self._manifests.find(repository, entry.manifest) is not None
        }
        if not formats and await self._manifests.find(repository, record.manifest) is None:
            return None
        return msgspec.structs.replace(record, formats=formats)

    async def _member(self, repository: Repository, manifest: Manifest, pointer: Pointer) -> Member | None:
        """The highest package release whose tag points at this manifest."""
        if package_layer(manifest) is None and manifest.kind != RELEASE_ARTIFACT and manifest.manifests is None:
            return None
        found: list[tuple[bytes, Member]] = []
        async for tag, record in self._tags.releases(repository):
            release = release_of(tag)
            if record.manifest == pointer and release is not None:
                found.append((order_key(release), Member(tag, record.born)))
        return max(found, key=lambda pair: pair[0])[1] if found else None


def _refuse_other(tag: Tag, before: ReleaseTag | None, found: Found) -> None:
    """A release's tag moves to equal content, and to a manifest that only adds formats."""
    if before is None:
        return
    same = all(
        before.formats[format].tar_digest == packed.contents.tar_digest
        for format, packed in found.items()
        if format in before.formats
    )
    if not (found and before.formats and same):
        raise Immutable(f"the release {tag} exists with other content: releases are immutable", tag=tag)


def _fitting(record: ReleaseTag | ChannelTag) -> TagRecord:
    if len(encode(record)) > TAG_LIMIT:
        raise RecordFull("the tag's record has no room for another entry")
    return record
