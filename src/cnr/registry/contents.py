"""Which gzip the CNR view serves for a tar: the first that was stored and is still there, whoever stored it.

Source: contracts/cnr.md section 1: show, pull and blob agree on one file.
"""

import msgspec

from cnr.domain.digest import TarDigest
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs
from cnr.registry.core import Core
from cnr.store import keys
from cnr.store.records import ContentsRecord
from cnr.store.update import KEEP, Keep


class Contents:
    """Finds and claims the `contents/` of a repository's tars."""

    def __init__(self, core: Core, blobs: Blobs) -> None:
        self._core = core
        self._blobs = blobs

    async def held(
        self, repository: Repository, tar: TarDigest, own: ContentsRecord
    ) -> tuple[ContentsRecord, ContentsRecord | None]:
        """The stored gzip of this tar if it is there, else `own`; with it the record of one that was swept."""
        found = await self._core.read(keys.contents(repository, tar), ContentsRecord)
        if not isinstance(found, ContentsRecord):
            return own, None
        if await self._blobs.revive(repository, found.digest):
            return msgspec.structs.replace(found, state="live"), None
        return own, found

    async def claim(
        self, repository: Repository, tar: TarDigest, held: ContentsRecord, swept: ContentsRecord | None
    ) -> ContentsRecord:
        """Make `held` the gzip of this tar, unless there is one that is not `swept`; returns which there is.

        Claim after the blob is stored: who finds contents without their blob takes them for swept.
        """
        now = self._core.clock()
        wanted = msgspec.structs.replace(held, touched_at=now)

        def change(before: ContentsRecord | None) -> ContentsRecord | Keep:
            if before is None or (swept is not None and before.write == swept.write):
                return wanted
            stale = before.state != "live" or before.touched_at <= now - self._core.trusted_us
            return wanted if stale and before.digest == held.digest else KEEP

        durable = self._core.facts_durable
        swap = await self._core.updater.update(keys.contents(repository, tar), ContentsRecord, change, durable=durable)
        assert swap.after is not None
        return swap.after
