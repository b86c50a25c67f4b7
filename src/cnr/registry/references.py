"""What a pushed manifest is, what it names, and whether its repository has all of that.

Source: OCI distribution 1.1, "Pushing manifests"; OCI image-spec 1.1; contracts/oci-helm.md 1.4.
"""

import re
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

_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


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


def _own_type(data: bytes) -> Any:
    """The media type that a JSON object of any type gives itself."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidManifest("a manifest is a JSON object") from None
    if not isinstance(found, dict):
        raise InvalidManifest("a manifest is a JSON object")
    return found.get("mediaType")


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
        missing = [digest for digest in needed_blobs(manifest) if not await self._is_blob(repository, digest)]
        for child in manifest.manifests or ():
            if not is_elsewhere(child) and not await self._is_any(repository, child.digest):
                missing.append(child.digest)
        if missing:
            raise ReferenceMissing("the repository lacks what this manifest names", missing=missing[:100])

    async def hold(self, repository: Repository, manifest: Manifest) -> None:
        """As `require`, for all that can be reached, after the manifest was written; condemned blobs live again.

        Garbage collection marks after it condemns, so what is found now stays. Source: design/architecture.md, rule 8.
        """
        seen: set[Digest] = set()
        waiting = [manifest]
        while waiting:
            current = waiting.pop()
            for digest in needed_blobs(current):
                if _new(digest, seen) and not await self._blobs.revive(repository, digest):
                    raise ReferenceMissing("the repository lost a blob of this manifest", missing=[digest])
            for child in current.manifests or ():
                if not is_elsewhere(child) and _new(child.digest, seen):
                    waiting += await self._child(repository, child.digest)

    async def _child(self, repository: Repository, digest: Digest) -> list[Manifest]:
        record = await self._manifests.get(repository, digest)
        if record is not None and record.state != "live":
            await self._manifests.complete(repository, Pointer(digest, record.born))
            record = await self._manifests.get(repository, digest)
        if record is not None:
            known = record.media_type in (*IMAGES, *INDEXES)
            return [parse_manifest(await self._manifests.data(record))] if known else []
        if await self._blobs.revive(repository, digest):
            return []
        raise ReferenceMissing("the repository lost a manifest that this index names", missing=[digest])

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
