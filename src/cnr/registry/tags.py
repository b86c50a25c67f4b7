"""Tags of a repository, and the package that they make: it exists while one of its releases is live."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from msgspec.structs import replace

from cnr.domain.errors import PackageNotFound, StoreTrouble
from cnr.domain.names import Format, PackageName, Repository, Tag
from cnr.domain.version import Release, release_of
from cnr.registry.core import Core
from cnr.store import keys, records
from cnr.store.base import Cursor, HeadBeside
from cnr.store.records import AnyTag, ReleaseTag, Repo, TagRecord
from cnr.store.update import KEEP, Keep

_log = logging.getLogger(__name__)

_PEEK = 8
_PAGE = 500


class Tags:
    """Reads tag records, and keeps `repos/` in step with them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._beside = core.records if isinstance(core.records, HeadBeside) else None

    async def get(self, repository: Repository, tag: Tag) -> TagRecord | None:
        """The tag's record of whatever kind; None where there is none."""
        record: TagRecord | None = await self._core.read(keys.tag(repository, tag), AnyTag)
        return record

    async def release(self, repository: Repository, tag: Tag) -> ReleaseTag | None:
        """The live release of this tag; None where the tag is absent, deleted or of another kind."""
        record = await self.get(repository, tag)
        return record if isinstance(record, ReleaseTag) else None

    async def release_and_head(self, repository: Repository, tag: Tag) -> tuple[ReleaseTag | None, Cursor | None]:
        """As `release`, and where the feed is meanwhile; None where asking for that later costs no more."""
        if self._beside is None:
            return await self.release(repository, tag), None
        found, head = await self._beside.get_and_head(keys.tag(repository, tag))
        record: TagRecord | None = None if found is None else records.decode(AnyTag, found.value)
        return record if isinstance(record, ReleaseTag) else None, head

    async def known(self, repository: Repository) -> bool:
        """Whether anything was ever pushed to the repository and is not swept yet."""
        if await self._core.read(keys.repo(repository), Repo) is not None:
            return True
        prefixes = (keys.tags(repository), keys.manifests(repository), keys.blobs(repository))
        for prefix in prefixes:
            if await self._core.records.scan(prefix, limit=1):
                return True
        return False

    async def require_package(self, package: PackageName) -> None:
        """Raises PackageNotFound unless the package has a live release."""
        if not await self._core.catalog.exists(package.repository):
            raise no_package(package)

    async def releases(
        self, repository: Repository, *, first_page: int = _PAGE, lenient: bool = False
    ) -> AsyncIterator[tuple[Tag, ReleaseTag]]:
        """Every live release with formats, from the records, in byte order of its tag; page by page.

        `lenient`: also those that only helm takes for releases, such as `v1.2`.
        """
        prefix = keys.tags(repository)
        after, limit = "", first_page
        while found := await self._core.records.scan(prefix, after=after, limit=limit):
            for entry in found:
                record: TagRecord = records.decode(AnyTag, entry.value)
                tag = Tag(entry.key[len(prefix) :])
                if isinstance(record, ReleaseTag) and record.formats and (lenient or release_of(tag)):
                    yield tag, record
            after, limit = found[-1].key, _PAGE
            await asyncio.sleep(0)

    async def arrived(self, repository: Repository, tag: Tag, created_at: int) -> None:
        """After release `tag` came alive: the package is live, and as old as this release if it is the only one.

        Never fails: the release is there, and what `repos/` misses now the next release settles.
        """
        with afterwards(f"the age of {repository} is not written yet"):
            await self._arrive(repository, tag, created_at)

    async def _arrive(self, repository: Repository, tag: Tag, created_at: int) -> None:
        key = keys.repo(repository)
        found: Repo | None = await self._core.read(key, Repo)
        others = await self._oldest_other(repository, tag)
        if found is not None and found.state == "live" and others is not None:
            return
        born_at = created_at if others is None else min(created_at, others)

        def change(before: Repo | None) -> Repo | Keep:
            if before is not None and before.state == "live" and (others is not None or before != found):
                return KEEP
            return Repo(state="live", created_at=born_at)

        await self._core.updater.update(key, Repo, change)
        await self._settle(repository)

    async def redate(self, repository: Repository, choose: Callable[[int], int]) -> None:
        """Change when the live package counts as created, from what it is to what `choose` gives: for an import."""

        def change(before: Repo | None) -> Repo | Keep:
            if before is None or before.state == "empty" or choose(before.created_at) == before.created_at:
                return KEEP
            return Repo(state="live", created_at=choose(before.created_at))

        await self._core.updater.update(keys.repo(repository), Repo, change)

    async def left(self, repository: Repository) -> None:
        """After a release was deleted: without another live one the package is empty. Never fails, as `arrived`."""
        with afterwards(f"the age of {repository} is not written yet"):
            await self._settle(repository)

    async def _settle(self, repository: Repository) -> None:
        """Make the package live or empty as its releases say.

        Looks again after each swap, as everybody does who changed a release: whoever is last makes it right.
        """
        key = keys.repo(repository)
        while True:
            found: Repo | None = await self._core.read(key, Repo)
            oldest = await self._oldest_other(repository, None)
            if found is None or (found.state == "live") == (oldest is not None):
                return
            wanted = Repo(state="live", created_at=oldest) if oldest else replace(found, state="empty")
            await self._core.updater.update(key, Repo, partial(_swap, found, wanted))

    async def _oldest_other(self, repository: Repository, tag: Tag | None) -> int | None:
        """The creation time of some live release other than `tag`: the first found; None if there is none."""
        async for name, record in self.releases(repository, first_page=_PEEK):
            if name != tag:
                return min(entry.created_at for entry in record.formats.values())
        return None


@contextmanager
def afterwards(left_undone: str) -> Iterator[None]:
    """What comes after the swap that made a change may not turn it into an error; the log says what is missing."""
    try:
        yield
    except StoreTrouble as exc:
        _log.warning("%s: %s", left_undone, exc.message)


def _swap(seen: Repo, wanted: Repo, now: Repo | None) -> Repo | Keep:
    return wanted if now == seen else KEEP


def no_package(package: PackageName) -> PackageNotFound:
    """There is no such package."""
    return PackageNotFound(f"there is no package {package}", package=str(package), release=None, media_type=None)


def no_release(package: PackageName, release: Release | str) -> PackageNotFound:
    """The package has no such exact release."""
    return PackageNotFound(
        f"{package} has no release {release}", package=str(package), release=str(release), media_type=None
    )


def no_format(package: PackageName, release: Release | str, format: Format | str) -> PackageNotFound:
    """The release does not have this format."""
    return PackageNotFound(
        f"{package} {release} has no format {format}",
        package=str(package),
        release=str(release),
        media_type=str(format),
    )
