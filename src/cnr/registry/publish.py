"""Publish a package by CNR: look into the archive, write the facts, then swap the release's record.

Everything that can refuse is checked before the first write, so a refused push leaves nothing; only the loser of
a race leaves facts that no release names, until garbage collection. Source: design/architecture.md, rule 2.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.archive import inspect
from cnr.domain.chart import summarize
from cnr.domain.errors import ReleaseExists, StoreUnavailable
from cnr.domain.manifest import MANIFEST_TYPE, Layer
from cnr.domain.names import Format, PackageName
from cnr.domain.policy import Policy
from cnr.domain.version import Release, tag_of
from cnr.registry.blobs import Blobs
from cnr.registry.contents import Contents
from cnr.registry.core import Core, Source, together
from cnr.registry.draft import Draft, Part, Push, draft, helm_shape
from cnr.registry.manifests import Manifests
from cnr.registry.packages import Published
from cnr.registry.policies import Policies
from cnr.registry.quotas import Quotas
from cnr.registry.release import PLACEHOLDER, Composer, FactsGone, Formats, Recipe
from cnr.registry.rights import require, require_formats
from cnr.registry.tags import Tags
from cnr.store.records import ContentsRecord, FormatEntry, Pointer, ReleaseTag, TagRecord

_ATTEMPTS = 5
"""How often facts that garbage collection took meanwhile are written anew."""
_SWEPT = "what was written for this push was swept several times over; try again"


class Publisher:
    """Makes releases out of pushed archives."""

    def __init__(
        self, core: Core, policies: Policies, tags: Tags, blobs: Blobs, manifests: Manifests, composer: Composer
    ) -> None:
        self._core = core
        self._policies = policies
        self._tags = tags
        self._blobs = blobs
        self._manifests = manifests
        self._composer = composer
        self._quotas = Quotas(core, policies)
        self._contents = Contents(core, blobs)

    async def publish(
        self,
        package: PackageName,
        release: Release,
        format: Format,
        source: Source,
        *,
        force: bool = False,
        metadata: dict[str, Any] | None = None,
        created_at: int | None = None,
        by: Grant = EVERYTHING,
    ) -> Published:
        """Publish the gzipped tar of `source` as `release` in `format`; everybody sees it when this returns.

        `created_at` is now unless given (an import keeps the old time). Raises InvalidArchive, TooLarge,
        ReleaseExists (this release has this format, and `force` is not given or not allowed), ReleaseRetired,
        NameTaken, RecordFull, QuotaExceeded; Forbidden and FormatRefused where the path has rules that keep this from
        `by`.
        """
        limits = self._core.limits
        contents = await self._core.work(source.size, lambda: inspect(source.chunks(), limits, format))
        moment = created_at if created_at is not None else await self.now(package)
        push = Push(package, release, format, source, contents, moment)
        return await self.publish_push(push, force=force, metadata=metadata, by=by)

    async def publish_push(
        self, push: Push, *, force: bool = False, metadata: dict[str, Any] | None = None, by: Grant = EVERYTHING
    ) -> Published:
        """As `publish`, of an archive that was looked into already."""
        package, release, format, moment = push.package, push.release, push.format, push.created_at
        likely = _entry(push, PLACEHOLDER, _own(push), metadata)
        policy = await self._policies.of(package.repository)
        require("push", policy, by, package.repository)
        require_formats((format,), policy, package.repository)
        rules = _Rules(policy, force, by)
        await self._composer.check(package, release, _with(push, likely, rules), policy)
        size, digest = push.contents.size, push.contents.digest
        await self._quotas.require_room(package.repository, tag=tag_of(release), size=size, blob=digest)
        before, entry = await self._commit(push, metadata, rules)
        if not isinstance(before, ReleaseTag):
            await self._tags.arrived(package.repository, tag_of(release), moment)
        return Published(package, release, format, entry)

    async def _commit(
        self, push: Push, metadata: dict[str, Any] | None, rules: "_Rules"
    ) -> tuple[TagRecord | None, FormatEntry]:
        """Write the facts and swap the release in; again where garbage collection took a fact in between."""
        for _ in range(_ATTEMPTS):
            begun_at = self._core.clock()
            entry = await self._facts(push, metadata)
            recipe = _with(push, entry, rules)
            with suppress(FactsGone):
                before, _ = await self._composer.recompose(
                    push.package, push.release, recipe, rules.policy, touched_at=begun_at
                )
                return before, entry
        raise StoreUnavailable(_SWEPT)

    async def now(self, package: PackageName) -> int:
        """The time of this push: after every one that this host's views show, also where the clock went back."""
        return max(self._core.clock(), await self._core.catalog.newest_seen(package.repository) + 1)

    async def _facts(self, push: Push, metadata: dict[str, Any] | None) -> FormatEntry:
        """Write what the release will name, and return how it names it. All of it is there when this returns."""
        core, chart = self._core, push.chart
        shaped = await core.work(
            push.source.size, lambda: helm_shape(push, chart, limits=core.limits, spool_folder=core.spool_folder)
        )
        try:
            for _ in range(_ATTEMPTS):
                held, swept = await self._contents.held(push.package.repository, push.contents.tar_digest, _own(push))
                named = _own(push) if push.exact else held
                plan = draft(push, chart, Layer(named.digest, named.size, push.contents.tar_digest), shaped)
                if (pointer := await self._write(push, plan, held, swept)) is not None:
                    return _entry(push, pointer, held, metadata)
        finally:
            if shaped is not None:
                shaped.close()
        raise StoreUnavailable(_SWEPT)

    async def _write(
        self, push: Push, plan: Draft, held: ContentsRecord, swept: ContentsRecord | None
    ) -> Pointer | None:
        """Write blobs and manifest side by side, then contents; None if another's contents came first or a blob went.

        In this order, because who finds contents without their blob takes them for swept, and puts his own there.
        """
        repository = push.package.repository
        parts = plan.parts
        if push.exact or held.digest == push.contents.digest:
            parts = (Part(push.contents.digest, push.contents.size, push.source), *parts)
        stored, *_ = await together(
            self._manifests.store(repository, plan.manifest.data, MANIFEST_TYPE, origin="server"),
            *(self._blobs.store(repository, part.digest, part.size, part.source) for part in parts),
        )
        claimed = await self._contents.claim(repository, push.contents.tar_digest, held, swept)
        digests = {held.digest, *(part.digest for part in parts)}
        if claimed.digest != held.digest or not await self._manifests.present(repository, digests):
            return None
        found: Pointer = stored.pointer
        return found


def _own(push: Push) -> ContentsRecord:
    return ContentsRecord(digest=push.contents.digest, size=push.contents.size)


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules that a push is under, and whether it wants to replace what is there."""

    policy: Policy
    force: bool
    by: Grant


def _with(push: Push, entry: FormatEntry, rules: _Rules) -> Recipe:
    """Adds the pushed format, or raises ReleaseExists, and Forbidden for a force that is not the caller's right."""

    def recipe(formats: Formats) -> Formats:
        if push.format in formats:
            if not (rules.force and rules.policy.may_force):
                raise _exists(push.package, push.release, push.format, rules.policy)
            require("force", rules.policy, rules.by, push.package.repository)
        return {**formats, push.format: entry}

    return recipe


def _entry(push: Push, pointer: Pointer, held: ContentsRecord, metadata: dict[str, Any] | None) -> FormatEntry:
    summary = summarize(push.contents)
    return FormatEntry(
        manifest=pointer,
        tar_digest=push.contents.tar_digest,
        size=held.size,
        created_at=push.created_at,
        metadata=metadata,
        description=summary.description,
        keywords=summary.keywords,
    )


def _exists(package: PackageName, release: Release, format: Format, policy: Policy) -> ReleaseExists:
    way_out = "publish a new one or use force" if policy.may_force else "publish a new one (force is not allowed here)"
    return ReleaseExists(
        f"{package} {release} already has the format {format}: releases are immutable, {way_out}",
        package=str(package),
        release=release,
        media_type=format,
    )
