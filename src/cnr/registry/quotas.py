"""How much a namespace may have, asked before anything is written.

What there is comes from the views, exact at the question; pushes under way at the same time are not in it, so each of
them may pass by what the others bring. A delete gives tags back at once, and bytes when garbage collection took them.
"""

from cnr.domain.digest import Digest
from cnr.domain.errors import QuotaExceeded
from cnr.domain.names import Repository, Tag
from cnr.domain.policy import policy_path
from cnr.registry.core import Core
from cnr.registry.policies import Policies
from cnr.store import keys
from cnr.store.records import AnyTag, BlobRecord, DeletedTag, ManifestRecord


class Quotas:
    """Refuses what would pass a limit. Where none is set a question costs the reading of one record."""

    def __init__(self, core: Core, policies: Policies) -> None:
        self._core = core
        self._policies = policies

    async def require_room(
        self,
        repository: Repository,
        *,
        tag: Tag | None = None,
        size: int = 0,
        blob: Digest | None = None,
        manifest: Digest | None = None,
    ) -> None:
        """Raises QuotaExceeded where there is no room for `tag`, or for `size` bytes more.

        What is there already needs none: the tag, or the `blob` or `manifest` that has these bytes.
        """
        quotas = await self._policies.quotas(policy_path(repository))
        if not quotas:
            return
        tags = 0 if tag is None or await self._has_tag(repository, tag) else 1
        if size and await self._has_bytes(repository, blob, manifest):
            size = 0
        for path, quota in quotas.items():
            used = await self._core.catalog.use(path)
            _check(path, "tags", quota.max_tags, used.tags, tags)
            _check(path, "bytes", quota.max_bytes, used.bytes, size)

    async def _has_tag(self, repository: Repository, tag: Tag) -> bool:
        found = await self._core.read(keys.tag(repository, tag), AnyTag)
        return found is not None and not isinstance(found, DeletedTag)

    async def _has_bytes(self, repository: Repository, blob: Digest | None, manifest: Digest | None) -> bool:
        if manifest is not None:
            return await self._core.read(keys.manifest(repository, manifest), ManifestRecord) is not None
        return blob is not None and await self._core.read(keys.blob(repository, blob), BlobRecord) is not None


def _check(path: str, what: str, limit: int | None, used: int, more: int) -> None:
    if limit is None or not more or used + more <= limit:
        return
    raise QuotaExceeded(
        f"{path} may have {limit:,} {what} and has {used:,}: this push would add {more:,}; delete something, or ask for"
        " a larger quota",
        path=path,
        what=what,
        limit=limit,
        used=used,
    )
