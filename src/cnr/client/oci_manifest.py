"""Manifests and lists as OCI registries answer them, with nothing believed that can be checked."""

from dataclasses import dataclass

import msgspec

from cnr.client.errors import BadAnswer, Damaged
from cnr.domain.digest import Digest, digest_of, parse_digest
from cnr.domain.errors import BadInput
from cnr.domain.manifest import INDEX_TYPE, MANIFEST_TYPE, Descriptor, Manifest, MediaType, parse_manifest

DOCKER_MANIFEST = MediaType("application/vnd.docker.distribution.manifest.v2+json")
DOCKER_LIST = MediaType("application/vnd.docker.distribution.manifest.list.v2+json")
ACCEPTED = ", ".join((MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST, DOCKER_LIST, "*/*;q=0.5"))
"""What a manifest is asked for with."""

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest. Source: OCI distribution 1.1, "Pushing Manifests"."""

_UNTYPED = ("", "application/json", "text/plain", "application/octet-stream")
_INDEXES = (INDEX_TYPE, DOCKER_LIST)


class Platform(msgspec.Struct, frozen=True):
    """Where an image runs."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class _Entry(msgspec.Struct, frozen=True):
    digest: Digest
    platform: Platform | None = None


class _Entries(msgspec.Struct, frozen=True):
    manifests: tuple[_Entry, ...] = ()


class TagPage(msgspec.Struct, frozen=True):
    """One answer of `tags/list`."""

    tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest's bytes, which hash to `digest`, and what they say."""

    digest: Digest
    media_type: MediaType
    data: bytes
    manifest: Manifest

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return self.manifest.manifests is not None

    @property
    def subject(self) -> Digest | None:
        """The manifest that it refers to."""
        return self.manifest.subject.digest if self.manifest.subject is not None else None

    @property
    def descriptor(self) -> Descriptor:
        """As a list of referrers has it. Source: OCI distribution 1.1, "Listing Referrers"."""
        kind = self.manifest.artifact_type if self.is_index else self.manifest.kind
        return Descriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=len(self.data),
            artifact_type=kind,
            annotations=self.manifest.annotations,
        )

    def platforms(self) -> dict[Digest, Platform]:
        """The platforms of an index's manifests."""
        entries = msgspec.json.decode(self.data, type=_Entries).manifests
        return {entry.digest: entry.platform for entry in entries if entry.platform is not None}


def read_manifest(data: bytes, content_type: str, *, digest: Digest | None = None, whose: str) -> Fetched:
    """The manifest in `data`, which must hash to `digest` if one is given. `whose` is the word for it in errors.

    Raises Damaged for other bytes than the digest's, BadAnswer for what is no manifest or not what its type says.
    """
    found = digest_of(data, digest.partition(":")[0] if digest else "sha256")
    if digest not in (None, found):
        raise Damaged(f"{whose} has other bytes than promised: their digest is {found}, not {digest}")
    try:
        manifest = parse_manifest(data)
        for descriptor in _descriptors(manifest):
            parse_digest(descriptor.digest)
            if descriptor.size < 0:
                raise BadAnswer(f"{whose} names something with a size below zero")
    except BadInput as exc:
        raise BadAnswer(f"{whose} cannot be used: {exc.message}") from None
    return Fetched(found, _media_type(manifest, content_type, whose), data, manifest)


def _descriptors(manifest: Manifest) -> list[Descriptor]:
    single = [each for each in (manifest.config, manifest.subject) if each is not None]
    return [*single, *(manifest.layers or ()), *(manifest.manifests or ())]


def _media_type(manifest: Manifest, content_type: str, whose: str) -> MediaType:
    sent, own = content_type.partition(";")[0].strip().lower(), manifest.media_type
    if own and sent not in (*_UNTYPED, own.lower()):
        raise BadAnswer(f"{whose} says that it is {own[:200]!a}, and the registry that it is {sent[:200]!a}")
    kind = own or (MediaType(sent) if sent not in _UNTYPED else _guess(manifest))
    if (kind in _INDEXES) != (manifest.manifests is not None) and kind in (*_INDEXES, MANIFEST_TYPE, DOCKER_MANIFEST):
        raise BadAnswer(f"{whose} is not what its type {kind} says")
    return kind


def _guess(manifest: Manifest) -> MediaType:
    return INDEX_TYPE if manifest.manifests is not None else MANIFEST_TYPE


def is_foreign(descriptor: Descriptor) -> bool:
    """Whether a layer is kept elsewhere and not to be copied. Source: image-spec 1.1, "Non-distributable Layers"."""
    kind = descriptor.media_type
    return "nondistributable" in kind or ".foreign." in kind
