"""Lists of a repository that OCI clients ask for: its tags, and what refers to a manifest. From records, by pages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cnr.domain.digest import Digest
from cnr.domain.errors import RepositoryNotFound
from cnr.domain.names import Repository, Tag
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.registry.tags import Tags
from cnr.store import keys, records
from cnr.store.base import Record
from cnr.store.records import AnyTag, ChannelTag, DeletedTag, Pointer, ReferrerRecord, ReleaseTag, TagRecord

REFERRERS_PAGE: Final = 200
"""Referrers that are looked at for one answer: each is read from its manifest, too."""
TAGS_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that refers to another."""

    digest: Digest
    row: ReferrerRecord


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Referrers by digest. `next_after` is where the next page begins, None after the last one."""

    referrers: Sequence[Referrer]
    next_after: str | None


class Listing:
    """Lists tags and referrers."""

    def __init__(self, core: Core, tags: Tags, manifests: Manifests) -> None:
        self._core = core
        self._tags = tags
        self._manifests = manifests

    async def tags(self, repository: Repository, *, after: str = "", limit: int | None = None) -> list[Tag]:
        """Tags above `after` in byte order, at most `limit`, without yanked releases. Raises RepositoryNotFound.

        helm chooses among them when it is asked for a range or the newest.
        """
        prefix = keys.tags(repository)
        found: list[Tag] = []
        at = prefix + after if after else ""
        while limit is None or len(found) < limit:
            size = TAGS_PAGE if limit is None else min(limit - len(found) + 1, TAGS_PAGE)
            page = await self._core.records.scan(prefix, after=at, limit=size)
            if not page:
                break
            found += [Tag(entry.key[len(prefix) :]) for entry in page if await self._is_shown(repository, entry)]
            at = page[-1].key
            await asyncio.sleep(0)
        if not found and not await self._tags.known(repository):
            raise RepositoryNotFound(f"there is no repository {repository}", name=repository)
        return found if limit is None else found[:limit]

    async def _is_shown(self, repository: Repository, entry: Record) -> bool:
        record: TagRecord = records.decode(AnyTag, entry.value)
        if isinstance(record, DeletedTag) or (isinstance(record, ReleaseTag) and record.yanked is not None):
            return False
        if not isinstance(record, ChannelTag):
            return True
        for member in sorted(record.members, key=lambda each: each.tag != record.current):
            release = await self._tags.release(repository, member.tag)
            if release is not None and release.born == member.born:
                return True
        return False

    async def referrers(
        self, repository: Repository, subject: Digest, *, artifact_type: Sequence[str] = (), after: str = ""
    ) -> ReferrersPage:
        """Manifests that name `subject`, which may be absent itself; only those of one of `artifact_type`, if given.

        A page with fewer than all of its kind may even be empty: go on until there is no next one.
        """
        prefix = keys.referrers(repository, subject)
        at = prefix + after if after else ""
        page = await self._core.records.scan(prefix, after=at, limit=REFERRERS_PAGE)
        shown = []
        for entry in page:
            digest = Digest(entry.key[len(prefix) :])
            row: ReferrerRecord = records.decode(ReferrerRecord, entry.value)
            wanted = not artifact_type or row.artifact_type in artifact_type
            if wanted and await self._is_live(repository, digest, row):
                shown.append(Referrer(digest, row))
        more = bool(page) and bool(await self._core.records.scan(prefix, after=page[-1].key, limit=1))
        return ReferrersPage(shown, page[-1].key[len(prefix) :] if more else None)

    async def _is_live(self, repository: Repository, digest: Digest, row: ReferrerRecord) -> bool:
        """Whether the row's manifest is there, and if the server made it, whether its release still names it."""
        pointer = Pointer(digest, row.born)
        if await self._manifests.find(repository, pointer) is None:
            return False
        if row.release is None:
            return True
        release = await self._tags.release(repository, row.release)
        return release is not None and release.index == pointer
