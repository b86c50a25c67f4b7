"""What registries answer, as far as the client reads it. Only what old and new servers all send is required.

Source: contracts/cnr.md sections 1 and 2; the shapes of old servers from section 0.
"""

from typing import Any

import msgspec

from cnr.domain.errors import InvalidName
from cnr.domain.names import parse_format


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """A package's content: `digest` of the uncompressed tar, `size` of the gzip file in bytes."""

    digest: str
    media_type: str = msgspec.field(name="mediaType", default="")
    size: int
    urls: list[str] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A release in one format. `channels` only comes with a single one (show)."""

    package: str
    release: str
    media_type: str = msgspec.field(name="mediaType")
    content: Descriptor
    created_at: str = ""
    channels: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def format(self) -> str:
        """The format's short token; the media type itself where it names none."""
        try:
            return parse_format(self.media_type)
        except InvalidName:
            return self.media_type


class PackageItem(msgspec.Struct, frozen=True, kw_only=True):
    """A package in a list: `releases` highest first, `manifests` the formats of `default`. Times as text."""

    name: str
    default: str
    manifests: list[str]
    releases: list[str] = []
    created_at: str = ""
    updated_at: str | msgspec.UnsetType = msgspec.UNSET
    namespace: str | msgspec.UnsetType = msgspec.UNSET
    visibility: str = "public"


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel: `releases` highest first."""

    name: str
    current: str | None
    releases: list[str] = []


class SearchItem(msgspec.Struct, frozen=True, kw_only=True):
    """A search result; old servers know nothing but the name."""

    name: str
    default: str = ""
    description: str = ""
    formats: list[str] = []
    score: float | None = None


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted."""

    package: str
    release: str
    status: str = "deleted"


class Yanked(msgspec.Struct, frozen=True, kw_only=True):
    """A release that was yanked, or is not any more."""

    package: str
    release: str
    status: str
    reason: str = ""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A registry's error, without the wrapping that some old servers left out."""

    message: str = ""
    code: str = ""
    details: Any = None


class WrappedError(msgspec.Struct, frozen=True, kw_only=True):
    """A registry's error as most servers send it."""

    error: ErrorBody
