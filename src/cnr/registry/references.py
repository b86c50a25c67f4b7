"""What a pushed manifest is, what it names, and whether its repository has all of that.

Source: OCI distribution 1.1, "Pushing manifests"; OCI image-spec 1.1; contracts/oci-helm.md 1.4.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cnr.domain.digest import Digest, parse_digest
from cnr.domain.errors import InvalidManifest, InvalidUsage, ReferenceMissing
from cnr.domain.manifest import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    is_elsewhere,
    needed_blobs,
    parse_manifest,
)
from cnr.domain.names import Repository
from cnr.registry.blobs import Blobs
from cnr.registry.manifests import Manifests
from cnr.store.records import Pointer

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES: Final = (MANIFEST_TYPE, DOCKER_MANIFEST)
INDEXES: Final = (INDEX_TYPE, DOCKER_LIST)
CLOSURE_LIMIT: Final = 50_000
"""Manifests and blobs that one index may reach: 4 MiB name some 40,000."""
CLOSURE_BYTES: Final = 64 * 1024 * 1024
"""Bytes of manifests that are read for one index: reading them is work that others wait for."""

_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_STEPS: Final = 100
"""Records read at a stretch: most stores answer at once, so nobody else would have a turn."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest's bytes, their type and digest, and what they say; nothing is known of a type of others."""

    data: bytes
    media_type: str
    digest: Digest
    manifest: Manifest

    @property
    def subject(self) -> Digest | None:
        """What this manifest refers to, whether it is there or not."""
        return self.manifest.subject.digest if self.manifest.subject else None

    @property
    def artifact_type(self) -> str | None:
        """As the referrers API shows it: an index has only its own, an image also its config's."""
        if self.media_type in INDEXES:
            return self.manifest.artifact_type or None
        return self.manifest.kind


def read_manifest(data: bytes, media_type: str, digest: Digest) -> Pushed:
    """The manifest in `data`, sent as `media_type` (may be empty). Raises InvalidManifest."""
    try:
        manifest = parse_manifest(data)
        known = manifest.media_type or media_type
    except InvalidUsage as exc:
        if media_type in (*IMAGES, *INDEXES, ""):
            raise InvalidManifest(exc.message) from None
        manifest, known = Manifest(media_type=_own_type(data)), media_type
    _check_type(manifest, media_type, known)
    if known not in (*IMAGES, *INDEXES):
        return Pushed(data, known, digest, Manifest())
    _check_shape(manifest, known)
    return Pushed(data, known, digest, manifest)


class _Document(msgspec.Struct, rename="camel"):
    """A JSON object of any type: all else in it is skipped, not built."""

    media_type: str | None = None


def _own_type(data: bytes) -> Any:
    """The media type that a JSON object of any type gives itself."""
    try:
        return msgspec.json.decode(data, type=_Document).media_type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidManifest("a manifest is a JSON object, its mediaType a text") from None


def _check_type(manifest: Manifest, sent: str, known: str) -> None:
    if sent and manifest.media_type and manifest.media_type != sent:
        raise InvalidManifest(f"it is sent as {sent} and calls itself {str(manifest.media_type)[:200]}")
    if not _MEDIA_TYPE.fullmatch(known):
        raise InvalidManifest("a manifest needs a Content-Type")
    if known.startswith(_SCHEMA_1):
        raise InvalidManifest("docker's schema 1 is not taken: push schema 2 or an OCI manifest")


def _check_shape(manifest: Manifest, known: str) -> None:
    if manifest.schema_version not in (0, 2):
        raise InvalidManifest("the schemaVersion is not 2")
    if known in IMAGES and (manifest.manifests is not None or manifest.config is None):
        raise InvalidManifest("an image manifest has a config, and no manifests")
    if known in INDEXES and (manifest.layers is not None or manifest.config is not None):
        raise InvalidManifest("an index has manifests, and neither config nor layers")
    for descriptor in (*_blobs(manifest), *(manifest.manifests or ()), *([manifest.subject] * bool(manifest.subject))):
        assert descriptor is not None
        parse_digest(descriptor.digest)


def _blobs(manifest: Manifest) -> tuple[Descriptor, ...]:
    return (*([manifest.config] if manifest.config else []), *(manifest.layers or ()))


class References:
    """Looks for what manifests name."""

    def __init__(self, blobs: Blobs, manifests: Manifests) -> None:
        self._blobs = blobs
        self._manifests = manifests

    async def require(self, repository: Repository, manifest: Manifest) -> None:
        """Raises ReferenceMissing unless all is there that `manifest` names itself. Writes nothing."""
        blobs = needed_blobs(manifest)
        missing = [digest async for digest in _paced(blobs) if not await self._is_blob(repository, digest)]
        children = dict.fromkeys(child.digest for child in manifest.manifests or () if not is_elsewhere(child))
        missing += [digest async for digest in _paced(children) if not await self._is_any(repository, digest)]
        if missing:
            raise ReferenceMissing("the repository lacks what this manifest names", missing=missing[:100])

    async def hold(self, repository: Repository, manifest: Manifest) -> None:
        """As `require`, for all that can be reached, after the manifest was written; condemned blobs live again.

        Garbage collection marks after it condemns, so what is found now stays. Raises InvalidManifest, too, beyond
        CLOSURE_LIMIT or CLOSURE_BYTES. Source: design/architecture.md, rule 8.
        """
        seen: set[Digest] = set()
        waiting: list[Digest] = []
        left = CLOSURE_BYTES
        current: Manifest | None = manifest
        while True:
            if current is not None:
                await self._hold_blobs(repository, [each for each in needed_blobs(current) if _new(each, seen)])
                children = (child.digest for child in current.manifests or () if not is_elsewhere(child))
                waiting += [digest for digest in children if _new(digest, seen)]
            if not waiting:
                return
            await asyncio.sleep(0)
            current, size = await self._child(repository, waiting.pop())
            left -= size
            if left < 0:
                raise InvalidManifest(f"an index may reach {CLOSURE_BYTES:,} bytes of manifests, no more")

    async def _hold_blobs(self, repository: Repository, digests: Iterable[Digest]) -> None:
        async for digest in _paced(digests):
            if not await self._blobs.revive(repository, digest):
                raise ReferenceMissing("the repository lost a blob of this manifest", missing=[digest])

    async def _child(self, repository: Repository, digest: Digest) -> tuple[Manifest | None, int]:
        """The manifest of this digest, live now, and its size; None where it is a blob, or of a type of others."""
        record = await self._manifests.get(repository, digest)
        if record is not None and record.state != "live":
            await self._manifests.complete(repository, Pointer(digest, record.born))
            record = await self._manifests.get(repository, digest)
        if record is None and await self._blobs.revive(repository, digest):
            return None, 0
        if record is None:
            raise _lost(digest)
        if record.media_type not in (*IMAGES, *INDEXES):
            return None, 0
        data = await self._manifests.data_if_there(record, digest)
        if data is None:
            raise _lost(digest)
        return parse_manifest(data), record.size

    async def _is_blob(self, repository: Repository, digest: Digest) -> bool:
        return await self._blobs.find(repository, digest) is not None

    async def _is_any(self, repository: Repository, digest: Digest) -> bool:
        """An index may also name blobs. Source: OCI image-spec 1.1, "Image Index"."""
        return await self._manifests.get(repository, digest) is not None or await self._is_blob(repository, digest)


def _new(digest: Digest, seen: set[Digest]) -> bool:
    if len(seen) >= CLOSURE_LIMIT:
        raise InvalidManifest(f"an index may reach {CLOSURE_LIMIT:,} manifests and blobs, no more")
    before = len(seen)
    seen.add(digest)
    return len(seen) > before


async def _paced(digests: Iterable[Digest]) -> AsyncIterator[Digest]:
    """The same digests; other requests have their turn now and then."""
    for number, digest in enumerate(digests, 1):
        if number % _STEPS == 0:
            await asyncio.sleep(0)
        yield digest


def _lost(digest: Digest) -> ReferenceMissing:
    return ReferenceMissing("the repository lost a manifest that this index names", missing=[digest])
