"""Yanked releases: who names one exactly still gets it; nobody gets it by choice.

It leaves ranges, the newest, search, tag lists and index.yaml. Channels that point at it still do: that is somebody's
own word.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from cnr.domain.access import EVERYTHING, Grant
from cnr.domain.errors import InvalidUsage
from cnr.domain.names import PackageName
from cnr.domain.printable import printable
from cnr.domain.version import Release, tag_of
from cnr.registry.core import Core
from cnr.registry.policies import Policies
from cnr.registry.rights import require
from cnr.registry.tags import no_release
from cnr.store import keys
from cnr.store.records import AnyTag, ReleaseTag, TagRecord, Yanked
from cnr.store.update import KEEP, Keep

REASON_LIMIT: Final = 1000
"""Characters of a reason."""


class Yanks:
    """Yanks releases, and takes that back."""

    def __init__(self, core: Core, policies: Policies) -> None:
        self._core = core
        self._policies = policies

    async def yank(self, package: PackageName, release: Release, reason: str = "", *, by: Grant = EVERYTHING) -> Yanked:
        """Yank a release with all its formats. One that is yanked gets the new reason, and keeps its time.

        Raises PackageNotFound, InvalidUsage (a reason that is too long), Forbidden (a rule keeps it from `by`).
        """
        if len(reason) > REASON_LIMIT:
            raise InvalidUsage(f"a reason has at most {REASON_LIMIT} characters")
        text, now = printable(reason), self._core.clock()

        def mark(before: ReleaseTag) -> Yanked:
            return Yanked(at=before.yanked.at if before.yanked else now, reason=text)

        after = await self._change(package, release, mark, by)
        assert after is not None
        return after

    async def restore(self, package: PackageName, release: Release, *, by: Grant = EVERYTHING) -> None:
        """Make it a release like any other. Raises PackageNotFound, Forbidden as in `yank`."""
        await self._change(package, release, lambda before: None, by)

    async def _change(
        self, package: PackageName, release: Release, mark: Callable[[ReleaseTag], Yanked | None], by: Grant
    ) -> Yanked | None:
        repository = package.repository
        require("yank", await self._policies.of(repository), by, repository)

        def change(before: TagRecord | None) -> TagRecord | Keep:
            if not isinstance(before, ReleaseTag) or not before.formats:
                raise no_release(package, release)
            wanted = mark(before)
            return KEEP if wanted == before.yanked else replace(before, yanked=wanted)

        swap = await self._core.updater.update(keys.tag(repository, tag_of(release)), AnyTag, change)
        assert isinstance(swap.after, ReleaseTag)
        return swap.after.yanked
