"""Before a release names what may have been condemned: say so in its tag's record, then look.

A tag is swapped by itself, so nothing ties that swap to what it names. What was touched lately is safe from garbage
collection by its age. For anything else the tag's record announces first what it will name; collectors mark from
that. Then all of it is looked at and made live again, and the release is swapped in only if the announcement still
stands. Source: design/architecture.md, rule 8.
"""

import msgspec

from cnr.domain.digest import TarDigest
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.registry.manifests import Manifests
from cnr.store import keys
from cnr.store.records import Announced, ContentsRecord, DeletedTag, Pointer, ReleaseTag, TagRecord
from cnr.store.update import KEEP, Keep


def names_of(record: ReleaseTag) -> list[Pointer]:
    """The manifests that a release names, each once."""
    named = [record.manifest, *(entry.manifest for entry in record.formats.values())]
    return list(dict.fromkeys([*named, *([record.index] if record.index else [])]))


def announcing(before: TagRecord | None, wanted: ReleaseTag, at: int) -> ReleaseTag | DeletedTag:
    """The record that stands for `before` and announces what `wanted` names beyond it; readers see no difference."""
    old = before if isinstance(before, ReleaseTag) else None
    known = set(names_of(old) if old else ())
    announced = Announced(
        at=at,
        manifests=tuple(pointer for pointer in names_of(wanted) if pointer not in known),
        contents=tuple(sorted(_tars(wanted) - (_tars(old) if old else set()))),
    )
    if isinstance(before, ReleaseTag | DeletedTag):
        return msgspec.structs.replace(before, announced=announced)
    return DeletedTag(announced=announced, deleted_at=at)


def _tars(record: ReleaseTag) -> set[TarDigest]:
    return {entry.tar_digest for entry in record.formats.values()}


class Confirmation:
    """Looks at all that an announced release names."""

    def __init__(self, core: Core, blobs: Blobs, manifests: Manifests) -> None:
        self._core = core
        self._blobs = blobs
        self._manifests = manifests

    async def missing(self, repository: Repository, wanted: ReleaseTag) -> list[Pointer | TarDigest]:
        """What `wanted` names and is not there with all its bytes. The rest is live now, and stays while announced."""
        gone: list[Pointer | TarDigest] = []
        for pointer in names_of(wanted):
            if not await self._manifests.complete(repository, pointer):
                gone.append(pointer)
        for entry in wanted.formats.values():
            if not await self._served(repository, entry.tar_digest, entry.size):
                gone.append(entry.tar_digest)
        return gone

    async def _served(self, repository: Repository, digest: TarDigest, size: int) -> bool:
        """Whether the package's gzip of this tar is there, and of the size that the release says."""

        def change(before: ContentsRecord | None) -> ContentsRecord | Keep:
            if before is None or before.state == "live":
                return KEEP
            return msgspec.structs.replace(before, state="live")

        key = keys.contents(repository, digest)
        swap = await self._core.updater.update(key, ContentsRecord, change, durable=self._core.facts_durable)
        found = swap.after
        return found is not None and found.size == size and await self._blobs.revive(repository, found.digest)
