"""Takes packages of an old server into the registry, through the same doors as a push.

Source: contracts/cnr.md section 8, "R importer".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import msgspec

from cnr.domain.archive import inspect
from cnr.domain.digest import TarDigest
from cnr.domain.errors import CnrError, InvalidName, StoreTrouble, TooLarge
from cnr.domain.names import Format, PackageName, parse_format
from cnr.domain.version import Release, highest, is_release, order_key, parse_channel, parse_release, tag_of
from cnr.legacy.old_package import BadManifest, OldChannel, OldManifest, OldPackage, OldSource, Unreadable
from cnr.legacy.report import Count, Finding, Report
from cnr.registry.registry import Registry
from cnr.store.records import FormatEntry


@dataclass(frozen=True, slots=True)
class _Target:
    """The package that an old one becomes. `releases`: those that it has, or would have but for the dry run."""

    old: OldPackage
    name: PackageName
    existed: bool
    releases: set[Release]


class Importer:
    """Imports an old server's packages one at a time; an entry that cannot be taken never stops the others.

    Repeating an import changes nothing: what is there counts as already there. `lower_case`: names that are refused
    only for their upper-case letters are taken in lower case. `dry_run`: nothing is written. `clock`: microseconds UTC.
    """

    def __init__(
        self, registry: Registry, clock: Callable[[], int], *, lower_case: bool = False, dry_run: bool = False
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._lower_case = lower_case
        self._dry_run = dry_run
        self._report = Report(dry_run=dry_run)

    async def run(self, source: OldSource, *, done: Callable[[OldPackage, Count], None]) -> Report:
        """Import everything in `source`; `done` hears of each package, with the counts of its manifests.

        Raises StoreTrouble: what was imported until then stays, and the import may be repeated.
        """
        for note in source.notes:
            self._note(reason=note)
        for old in source.packages():
            count = Count()
            await self._package(old, count)
            self._report.manifests.add(count)
            done(old, count)
        return self._report

    async def _package(self, old: OldPackage, count: Count) -> None:
        target = await self._target(old)
        if target is None:
            count.refused += max(1, len(old.manifests))
            return
        for manifest in sorted(old.manifests, key=_age):
            finding = Finding(
                kind="refused", package=old.name, release=manifest.release, media_type=manifest.media_type, reason=""
            )
            await self._counted(count, finding, self._manifest(target, manifest))
        if target.releases:
            self._report.packages += 1
            await self._date(target)
        for channel in old.channels:
            finding = Finding(kind="refused", package=old.name, channel=channel.name, reason="")
            await self._counted(self._report.channels, finding, self._channel(target, channel))

    async def _counted(self, count: Count, subject: Finding, step: Awaitable[bool | None]) -> None:
        """Count what `step` did: something new, nothing new, or (None) nothing worth a count."""
        try:
            new = await step
        except StoreTrouble:
            raise
        except (CnrError, Unreadable) as exc:
            count.refused += 1
            self._report.findings.append(subject.because(str(exc)))
            return
        count.imported += new is True
        count.already_there += new is False

    async def _target(self, old: OldPackage) -> _Target | None:
        try:
            if old.reason:
                raise Unreadable(old.reason)
            name = self._accepted(old.name)
        except (InvalidName, Unreadable) as exc:
            suggestion = "" if old.reason else _in_lower_case(old.name)
            refused = Finding(kind="refused", package=old.name, reason=str(exc), suggestion=suggestion)
            self._report.findings.append(refused)
            return None
        views = await self._registry.catalog.releases(name.repository)
        return _Target(old, name, bool(views), {view.release for view in views})

    def _accepted(self, text: str) -> PackageName:
        if self._lower_case and (other := _in_lower_case(text)):
            self._note(package=text, reason=f"is imported as {other}")
            return _package_name(other)
        return _package_name(text)

    async def _manifest(self, target: _Target, old: OldManifest | BadManifest) -> bool:
        """Whether the manifest is new here; it is there in any case."""
        if isinstance(old, BadManifest):
            raise Unreadable(old.reason)
        release, format = parse_release(old.release), parse_format(old.media_type)
        self._check_metadata(old)
        record = await self._registry.tags.release(target.name.repository, tag_of(release))
        found = record.formats.get(format) if record else None
        if found is not None and found.tar_digest == old.digest:
            digest, size = found.tar_digest, found.size
        elif found is not None or self._dry_run:
            digest, size = await self._look(old, format, found)
        else:
            digest, size = await self._publish(target, release, format, old)
        target.releases.add(release)
        self._compare(target, old, digest, size)
        return found is None

    def _check_metadata(self, old: OldManifest) -> None:
        limit = self._registry.limits.metadata_bytes
        if old.metadata_size > limit:
            raise TooLarge(f"its metadata has {old.metadata_size:,} bytes; the limit is {limit:,}", limit=limit)
        try:
            msgspec.msgpack.encode(old.metadata)  # as it will be stored
        except OverflowError:
            raise Unreadable("its metadata has an integer of more than 64 bits") from None

    async def _look(self, old: OldManifest, format: Format, found: FormatEntry | None) -> tuple[TarDigest, int]:
        """What the old file really is. Raises Unreadable where another is published in its place."""
        limits = self._registry.limits
        contents = await asyncio.to_thread(inspect, old.archive.chunks(), limits, format)
        if found is not None and found.tar_digest != contents.tar_digest:
            raise Unreadable(f"this release has another content here, sha256 {found.tar_digest}: delete one of them")
        return contents.tar_digest, contents.size

    async def _publish(
        self, target: _Target, release: Release, format: Format, old: OldManifest
    ) -> tuple[TarDigest, int]:
        made = await self._registry.publisher.publish(
            target.name, release, format, old.archive, metadata=old.metadata, created_at=self._time(old.created_at)
        )
        return made.entry.tar_digest, made.entry.size

    def _compare(self, target: _Target, old: OldManifest, digest: TarDigest, size: int) -> None:
        about = Finding(
            kind="differs", package=target.old.name, release=old.release, media_type=old.media_type, reason=""
        )
        if digest != old.digest:
            reason = f"its digest was recorded as {old.digest}, and is {digest}: clients that kept the old one miss it"
            self._report.findings.append(about.because(reason))
        elif old.recorded_size not in (None, size):
            reason = f"its size was recorded as {old.recorded_size} bytes, and is {size}: another gzip of the same tar"
            self._report.findings.append(about.because(reason, kind="note"))
        if self._time(old.created_at) is None:
            reason = "has no time, or one that is still to come: it counts as made by this import"
            self._report.findings.append(about.because(reason, kind="note"))

    def _time(self, recorded: int | None) -> int | None:
        """The recorded time, unless it is still to come: later pushes, dated after it, would carry the error on."""
        return recorded if recorded is not None and recorded <= self._clock() else None

    async def _date(self, target: _Target) -> None:
        """Keep when the package was made; one that was here before keeps an earlier time of its own."""
        times = [self._time(item.created_at) for item in target.old.manifests if isinstance(item, OldManifest)]
        wanted = self._time(target.old.created_at) or min(filter(None, times), default=None)
        if wanted is None or self._dry_run:
            return
        await self._registry.tags.redate(
            target.name.repository, lambda now: min(now, wanted) if target.existed else wanted
        )

    async def _channel(self, target: _Target, old: OldChannel) -> bool | None:
        """Whether this changes the channel here; None where nothing of it is left."""
        name = parse_channel(old.name)
        named = {*old.members, *([old.current] if old.current else [])}
        members = [release for release in target.releases if release in named]
        for gone in sorted(named.difference(members)):
            self._note(package=target.old.name, channel=old.name, reason=f"release {gone} is not here: left out of it")
        if not members:
            self._note(package=target.old.name, channel=old.name, reason="has no release any more: not imported")
            return None
        current = next((release for release in members if release == old.current), highest(members))
        assert current is not None
        before = await self._registry.catalog.channel(target.name.repository, name)
        missing = _missing(members, before.releases if before else ())
        if before is not None and not missing and before.current == current:
            return False
        if not self._dry_run:
            for release in [*(other for other in missing if other != current), current]:
                await self._registry.channels.add(target.name, name, release)
        return True

    def _note(self, *, reason: str, package: str = "", channel: str = "") -> None:
        self._report.findings.append(Finding(kind="note", package=package, channel=channel, reason=reason))


def _missing(members: Collection[Release], there: Collection[Release]) -> list[Release]:
    return sorted((release for release in members if release not in there), key=order_key)


def _package_name(text: str) -> PackageName:
    namespace, slash, name = text.partition("/")
    if not slash:
        raise InvalidName("a package is called namespace/name")
    return PackageName.parse(namespace, name).writable()


def _in_lower_case(text: str) -> str:
    """The lower-case form of a name that is refused only for its upper-case letters; else nothing."""
    lower = text.lower()
    try:
        return str(_package_name(lower)) if lower != text and text.isascii() else ""
    except InvalidName:
        return ""


def _age(item: OldManifest | BadManifest) -> tuple[bool, int, bytes, str]:
    """Oldest first: what is published first says when the package began."""
    created_at = None if isinstance(item, BadManifest) else item.created_at
    order = order_key(item.release) if is_release(item.release) else b""
    return created_at is None, created_at or 0, order, item.media_type
