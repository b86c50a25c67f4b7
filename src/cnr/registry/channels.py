"""Channels: movable names for releases. A channel is a tag record; what it points at is decided when it is read."""

from collections.abc import Sequence
from typing import Final

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.errors import (
    ChannelNotFound,
    NameTaken,
    OutcomeUnknown,
    RecordFull,
    ReleaseNotFound,
    StoreUnavailable,
)
from cnr.domain.names import Channel, PackageName, Tag
from cnr.domain.policy import Policy
from cnr.domain.version import Release, is_release, lenient_of, order_key, release_of, resolve, tag_of
from cnr.registry.core import Core
from cnr.registry.policies import Policies
from cnr.registry.quotas import Quotas
from cnr.registry.rights import require_channel
from cnr.registry.tags import Tags, no_release
from cnr.registry.tombstones import is_tombstone
from cnr.store import keys
from cnr.store.records import TAG_LIMIT, AnyTag, ChannelTag, DeletedTag, Member, TagRecord, encode
from cnr.store.update import DELETE, Delete
from cnr.store.views import ChannelView

_SUSPECTS: Final = 100
"""Members that one addition looks at to see whether they are dead."""


class Channels:
    """Lists, moves and deletes channels of a package."""

    def __init__(self, core: Core, policies: Policies, tags: Tags) -> None:
        self._core = core
        self._policies = policies
        self._tags = tags
        self._quotas = Quotas(core, policies)

    async def all(self, package: PackageName) -> Sequence[ChannelView]:
        """The package's channels by name. Raises PackageNotFound."""
        await self._tags.require_package(package)
        return await self._core.catalog.channels(package.repository)

    async def get(self, package: PackageName, name: str) -> ChannelView:
        """One channel. Raises PackageNotFound, ChannelNotFound."""
        await self._tags.require_package(package)
        found = await self._core.catalog.channel(package.repository, Channel(name))
        if found is None:
            raise _no_channel(package, name)
        return found

    async def add(self, package: PackageName, name: Channel, release: str, *, by: Grant = EVERYTHING) -> ChannelView:
        """Add `release` to the channel, made if needed, and point it there.

        Raises PackageNotFound, InvalidQuery (neither a version nor a range), ReleaseNotFound (also for a range:
        a member is exact), NameTaken (a tag of another kind has the name, such as a chart's `1.0`, or had it and is
        remembered), RecordFull, QuotaExceeded, Forbidden (a rule keeps the channel from `by`).
        """
        policy = await self._require(package, name, by)
        await self._tags.require_package(package)
        member = await self._member(package, release)
        await self._quotas.require_room(package.repository, tag=Tag(name))
        dead = await self._dead(package, name)
        remembering = lenient_of(name) is not None and policy.strict

        def change(before: TagRecord | None) -> TagRecord:
            gone = isinstance(before, DeletedTag) and not (remembering and is_tombstone(before))
            if before is None or gone or isinstance(before, ChannelTag):
                old = before.members if isinstance(before, ChannelTag) else ()
                kept = [m for m in old if m not in dead and m.tag != member.tag]
                return _fitting(ChannelTag(current=member.tag, members=(*kept, member)))
            raise NameTaken(f"{name!r} is a tag of another kind in {package}: choose another channel name")

        await self._core.updater.update(keys.tag(package.repository, name), AnyTag, change)
        try:
            return await self.get(package, name)
        except StoreUnavailable as exc:
            raise OutcomeUnknown("the channel was moved, but cannot be read now; it is safe to repeat this") from exc

    async def remove(self, package: PackageName, name: Channel, release: str, *, by: Grant = EVERYTHING) -> None:
        """Take `release` out of the channel: `current` becomes the highest left; without any the channel is gone.

        Raises PackageNotFound (also for a release that the package lacks), ChannelNotFound, ReleaseNotFound where
        it is no member; Forbidden as in `add`.
        """
        await self._require(package, name, by)
        view = await self.get(package, name)
        tag = tag_of(Release(release))
        if not is_release(release) or await self._tags.release(package.repository, tag) is None:
            raise no_release(package, release)
        if release not in view.releases:
            raise _no_member(package, name, release)

        def change(before: TagRecord | None) -> TagRecord | Delete:
            if not isinstance(before, ChannelTag):
                raise _no_channel(package, name)
            if all(m.tag != tag for m in before.members):
                raise _no_member(package, name, release)
            left = tuple(m for m in before.members if m.tag != tag)
            # where the highest is dead, readers take the highest that is not
            return ChannelTag(current=max((m.tag for m in left), key=_order), members=left) if left else DELETE

        await self._core.updater.update(keys.tag(package.repository, name), AnyTag, change)

    async def delete(self, package: PackageName, name: Channel, *, by: Grant = EVERYTHING) -> None:
        """Delete the channel; its releases stay. Raises PackageNotFound, ChannelNotFound, Forbidden as in `add`."""
        await self._require(package, name, by)
        await self.get(package, name)

        def change(before: TagRecord | None) -> TagRecord | Delete:
            if not isinstance(before, ChannelTag):
                raise _no_channel(package, name)
            return DELETE

        await self._core.updater.update(keys.tag(package.repository, name), AnyTag, change)

    async def _require(self, package: PackageName, name: Channel, by: Grant) -> Policy:
        """The rules of the package. Raises Forbidden."""
        policy = await self._policies.of(package.repository)
        require_channel(Tag(name), policy, by, package.repository)
        return policy

    async def _member(self, package: PackageName, release: str) -> Member:
        resolve(release, ())  # raises InvalidQuery
        tag = tag_of(Release(release))
        found = await self._tags.release(package.repository, tag) if is_release(release) else None
        if found is None or not found.formats:
            raise ReleaseNotFound(f"{package} has no release {release}", package=str(package), release=release)
        return Member(tag, found.born)

    async def _dead(self, package: PackageName, name: Channel) -> frozenset[Member]:
        """Members that may be dropped: their release is gone, or another `born`, which never comes back.

        Whom the view does not show is only suspected: taken out of the channel meanwhile, he may be back in it.
        """
        record = await self._core.read(keys.tag(package.repository, name), AnyTag)
        if not isinstance(record, ChannelTag):
            return frozenset()
        view = await self._core.catalog.channel(package.repository, name)
        shown = {tag_of(release) for release in view.releases} if view else set()
        suspects = [member for member in record.members if member.tag not in shown][:_SUSPECTS]
        return frozenset([member for member in suspects if not await self._alive(package, member)])

    async def _alive(self, package: PackageName, member: Member) -> bool:
        found = await self._tags.release(package.repository, member.tag)
        return found is not None and found.born == member.born


def _order(tag: Tag) -> bytes:
    release = release_of(tag)
    return order_key(release) if release else b""


def _fitting(record: ChannelTag) -> ChannelTag:
    if len(encode(record)) > TAG_LIMIT:
        raise RecordFull(f"the channel has {len(record.members) - 1:,} releases and no room for another: remove some")
    return record


def _no_channel(package: PackageName, name: str) -> ChannelNotFound:
    return ChannelNotFound(f"{package} has no channel {name}", channel=name, package=str(package), release=None)


def _no_member(package: PackageName, name: Channel, release: str) -> ReleaseNotFound:
    return ReleaseNotFound(f"{release} is not in channel {name}", package=str(package), release=release, channel=name)
