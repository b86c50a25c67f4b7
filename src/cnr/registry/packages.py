"""Packages as the CNR view shows them: find a release, list manifests, open its one gzip file, delete a format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import AmbiguousFormat, PackageNotFound, ReleaseNotFound, StoreUnavailable
from cnr.domain.names import Channel, Format, PackageName
from cnr.domain.version import DEFAULT, RELEASE_LIMIT, Release, is_release, order_key, release_of, resolve, tag_of
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.registry.policies import Policies
from cnr.registry.release import Composer, Formats
from cnr.registry.rights import require
from cnr.registry.tags import Tags, no_format, no_package, no_release
from cnr.store import keys
from cnr.store.base import BlobReader
from cnr.store.records import BlobRecord, ContentsRecord, DeletedTag, FormatEntry, ReleaseTag

ANY_FORMAT = "-"
"""In place of a format: the only one that the release has."""
_LOOKS: Final = 10
"""How often a release may vanish between the view and its record before a query gives up."""


@dataclass(frozen=True, slots=True)
class Published:
    """One manifest of the CNR view: a release in a format."""

    package: PackageName
    release: Release
    format: Format
    entry: FormatEntry


@dataclass(frozen=True, slots=True)
class File:
    """A gzip file of a package: digest and bytes of the gzip itself."""

    digest: Digest
    size: int
    record: BlobRecord


class Packages:
    """Reads and deletes releases. Publishing is in registry/publish.py."""

    def __init__(self, core: Core, policies: Policies, tags: Tags, blobs: Blobs, composer: Composer) -> None:
        self._core = core
        self._policies = policies
        self._tags = tags
        self._blobs = blobs
        self._composer = composer

    async def find(self, package: PackageName, query: str, format: str) -> Published:
        """The release that `query` selects, in `format` (`-`: the only one it has).

        Raises PackageNotFound, InvalidQuery, ReleaseNotFound, AmbiguousFormat. Source: contracts/cnr.md section 3.
        """
        exact = query.replace(" ", "")
        if is_release(exact) and (record := await self._record(package, Release(exact))):
            return _published(package, Release(exact), record, format)
        return _published(package, *await self._search(package, query), format)

    async def shown(self, package: PackageName, query: str, format: str) -> tuple[Published, Sequence[Channel]]:
        """As `find`, and `channels_at` of what it found. Raises as `find` does.

        A store far away is asked for both at the same time.
        """
        exact, head = query.replace(" ", ""), None
        record: ReleaseTag | None = None
        if is_release(exact):
            record, head = await self._tags.release_and_head(package.repository, tag_of(Release(exact)))
        if record is not None and record.formats:
            found = _published(package, Release(exact), record, format)
        else:
            found, head = _published(package, *await self._search(package, query), format), None
        tag = tag_of(found.release)
        return found, await self._core.catalog.channels_at(package.repository, tag, head=head)

    async def _search(self, package: PackageName, query: str) -> tuple[Release, ReleaseTag]:
        for _ in range(_LOOKS):
            release = await self._select(package, query)
            if record := await self._record(package, release):
                return release, record
            # deleted since the view was read: the next look does not show it
        raise StoreUnavailable(f"the list of {package}'s releases names some that are not there; try again")

    async def _select(self, package: PackageName, query: str) -> Release:
        if query == DEFAULT:
            found = await self._core.catalog.default(package.repository)
            if found is None:
                raise no_package(package)
            return found
        releases = [view.release for view in await self._core.catalog.releases(package.repository)]
        if not releases:
            raise no_package(package)
        found = await self._core.work(len(releases) * (RELEASE_LIMIT + len(query)), lambda: resolve(query, releases))
        if found is None:
            raise ReleaseNotFound(
                f"no release of {package} matches {query!r}", package=str(package), release_query=query
            )
        return found

    async def _record(self, package: PackageName, release: Release) -> ReleaseTag | None:
        record = await self._tags.release(package.repository, tag_of(release))
        return record if record is not None and record.formats else None

    async def channels_at(self, package: PackageName, release: Release) -> Sequence[Channel]:
        """Names of the channels whose current is this release."""
        return await self._core.catalog.channels_at(package.repository, tag_of(release))

    async def manifests(self, package: PackageName, release: str) -> list[Published]:
        """The manifests of an exact release, by format. Raises PackageNotFound."""
        record = await self._record(package, Release(release)) if is_release(release) else None
        if record is None:
            raise no_release(package, release)
        return [Published(package, Release(release), token, record.formats[token]) for token in sorted(record.formats)]

    async def all(self, package: PackageName, format: str | None = None) -> list[Published]:
        """The manifests of all releases, oldest push first. Raises PackageNotFound."""
        found = [
            Published(package, release, token, entry)
            async for tag, record in self._tags.releases(package.repository)
            if (release := release_of(tag))
            for token, entry in record.formats.items()
        ]
        if not found:
            raise no_package(package)
        wanted = [item for item in found if format is None or item.format == format]
        return await self._core.work(len(wanted) * RELEASE_LIMIT, lambda: sorted(wanted, key=_age))

    async def require(self, package: PackageName, digest: TarDigest) -> None:
        """Raises PackageNotFound unless the package exists: a deleted one shows no file that is not swept yet."""
        if not await self._core.catalog.exists(package.repository):
            raise no_blob(package, digest)

    async def file(self, package: PackageName, digest: TarDigest) -> File:
        """The package's one gzip file of a tar. Raises PackageNotFound.

        Source: contracts/cnr.md section 1: show, pull and blob agree on one file.
        """
        contents = await self._core.read(keys.contents(package.repository, digest), ContentsRecord)
        if not isinstance(contents, ContentsRecord):
            raise no_blob(package, digest)
        record = await self._blobs.find(package.repository, contents.digest)
        if record is None:
            raise no_blob(package, digest)
        return File(contents.digest, record.size, record)

    async def read(self, package: PackageName, file: File) -> BlobReader:
        """The bytes of a file that was just found. Raises PackageNotFound if it was deleted meanwhile."""
        return await self._blobs.read(package.repository, file.digest, file.record)

    async def open(self, package: PackageName, digest: TarDigest) -> BlobReader:
        """`read` of `file`."""
        return await self.read(package, await self.file(package, digest))

    async def delete(self, package: PackageName, release: str, format: str, *, by: Grant = EVERYTHING) -> Published:
        """Delete one format of an exact release; the last one takes the release with it, also out of its channels.

        `-` is the only format there is. Raises PackageNotFound, AmbiguousFormat, Forbidden (a rule keeps it from `by`).
        """
        record = await self._record(package, Release(release)) if is_release(release) else None
        if record is None:
            raise no_release(package, release)
        token = _only_format(package, Release(release), record) if format == ANY_FORMAT else Format(format)
        return await self.remove(package, Release(release), token, by=by)

    async def remove(
        self, package: PackageName, release: Release, token: Format, *, by: Grant = EVERYTHING
    ) -> Published:
        """As `delete`, of a format by its token; `release` may be a version that is no strict SemVer."""

        def without(formats: Formats) -> Formats:
            if token not in formats:
                raise no_format(package, release, token)
            return {other: entry for other, entry in formats.items() if other != token}

        policy = await self._policies.of(package.repository)
        require("delete", policy, by, package.repository)
        before, after = await self._composer.recompose(package, release, without, policy)
        if isinstance(after, DeletedTag):
            await self._tags.left(package.repository)
        assert isinstance(before, ReleaseTag)
        return Published(package, release, token, before.formats[token])


def _published(package: PackageName, release: Release, record: ReleaseTag, format: str) -> Published:
    token = _only_format(package, release, record) if format == ANY_FORMAT else Format(format)
    if token not in record.formats:
        raise no_format(package, release, format)
    return Published(package, release, token, record.formats[token])


def _age(item: Published) -> tuple[int, bytes, Format]:
    return item.entry.created_at, order_key(item.release), item.format


def _only_format(package: PackageName, release: Release, record: ReleaseTag) -> Format:
    if len(record.formats) == 1:
        return next(iter(record.formats))
    formats = sorted(record.formats)
    raise AmbiguousFormat(
        f"{package} {release} has the formats {', '.join(formats)}: name one",
        package=str(package),
        release=release,
        media_types=formats,
    )


def no_blob(package: PackageName, digest: str) -> PackageNotFound:
    """The package has no blob of this digest."""
    return PackageNotFound(f"{package} has no blob {digest}", package=str(package), release=digest, media_type=None)
