"""What the CNR API sends, as types: the server encodes them and the OpenAPI document is made from them.

Source: contracts/cnr.md sections 1 and 2. Fields stand in the order in which they are sent.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cnr.domain.digest import TarDigest
from cnr.domain.moment import Moment, timestamp
from cnr.domain.policy import Visibility
from cnr.registry.packages import Published
from cnr.store.views import ChannelView, PackageView, SearchHit

Hex = Annotated[str, Meta(description="SHA-256 of the uncompressed tar.", pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, Meta(description="Bytes of the gzip.", ge=0)]
Base64 = Annotated[str, Meta(description="Base64 of the gzip.")]


class Descriptor(msgspec.Struct, frozen=True):
    """What a manifest describes: `digest` is of the uncompressed tar, `size` of the gzip file in bytes."""

    digest: Hex
    media_type: str = msgspec.field(name="mediaType")
    size: Bytes
    urls: list[str] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A release in one format. `metadata` is there only if it was pushed."""

    content: Descriptor
    created_at: Moment
    media_type: str = msgspec.field(name="mediaType")
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    package: str
    release: str


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest and the channels whose current it is."""

    channels: list[str]
    content: Descriptor
    created_at: Moment
    media_type: str = msgspec.field(name="mediaType")
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    package: str
    release: str


class PackageItem(msgspec.Struct, frozen=True, kw_only=True):
    """A package in a list: releases highest first, formats of the default release."""

    channels: None = None
    created_at: Moment
    default: str
    manifests: list[str]
    name: str
    namespace: str
    releases: list[str]
    updated_at: Moment
    visibility: Visibility = "public"


class Channel(msgspec.Struct, frozen=True):
    """A channel: `releases` highest first."""

    current: str
    name: str
    releases: list[str]


class SearchItem(msgspec.Struct, frozen=True, kw_only=True):
    """A ranked search result."""

    name: str
    default: str
    description: str
    formats: list[str]
    score: float


class Pushed(msgspec.Struct, frozen=True):
    """The answer to a push."""

    status: str = "ok"


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the deletion of a format."""

    package: str
    release: str
    status: str = "deleted"


class MemberRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to taking a release out of a channel."""

    name: str
    package: str
    release: str
    status: str = "deleted"


class ChannelDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the deletion of a channel."""

    action: str = "delete"
    channel: str
    package: str


class Yanked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the yank of a release, and to its end."""

    status: str
    package: str
    release: str
    reason: str = ""


class PackageFile(msgspec.Struct, frozen=True, kw_only=True):
    """A pulled package: `blob` is base64 of the gzip file."""

    blob: Base64
    filename: str
    media_type: str
    package: str
    release: str


class BlobFile(msgspec.Struct, frozen=True, kw_only=True):
    """A pulled blob: `release` really holds its digest."""

    blob: Base64
    filename: str
    package: str
    release: str


class Token(msgspec.Struct, frozen=True):
    """The answer to a login: this key first and alone, because scripts cut it out by position."""

    token: str


class Version(msgspec.Struct, frozen=True):
    """The server's version, under the names of both lines of old servers."""

    cnr_api: str = msgspec.field(name="cnr-api")
    appr_api: str = msgspec.field(name="appr-api")


class Health(msgspec.Struct, frozen=True):
    """The answer of a server that is well."""

    status: str = "ok"


class Routes(msgspec.Struct, frozen=True):
    """All routes of the API, one text each."""

    routes: list[str]


class ErrorBody(msgspec.Struct, frozen=True):
    """`details` is always an object."""

    code: str
    message: str
    details: dict[str, Any]


class Error(msgspec.Struct, frozen=True):
    """Every error of the API."""

    error: ErrorBody


def manifest(item: Published) -> Manifest:
    """A manifest for the wire."""
    return Manifest(**_fields(item))


def show(item: Published, channels: list[str]) -> Show:
    """A manifest with its channels for the wire."""
    return Show(channels=channels, **_fields(item))


def _fields(item: Published) -> dict[str, Any]:
    entry = item.entry
    return {
        "content": Descriptor(entry.tar_digest, f"application/vnd.cnr.package.{item.format}.v1.tar+gzip", entry.size),
        "created_at": timestamp(entry.created_at),
        "media_type": f"application/vnd.cnr.package-manifest.{item.format}.v1.json",
        "metadata": msgspec.UNSET if entry.metadata is None else entry.metadata,
        "package": str(item.package),
        "release": item.release,
    }


def package_item(view: PackageView, visibility: Visibility = "public") -> PackageItem:
    """A package in a list. Where there are no accounts all are public."""
    default = view.releases[0]
    return PackageItem(
        created_at=timestamp(view.created_at),
        default=default.release,
        manifests=[row.format for row in default.formats],
        name=str(view.name),
        namespace=view.name.namespace,
        releases=[item.release for item in view.releases],
        updated_at=timestamp(view.updated_at),
        visibility=visibility,
    )


def channel(view: ChannelView) -> Channel:
    """A channel for the wire."""
    return Channel(view.current, view.name, list(view.releases))


def search_item(hit: SearchHit) -> SearchItem:
    """A search result for the wire."""
    return SearchItem(
        name=str(hit.name),
        default=hit.default,
        description=hit.description,
        formats=list(hit.formats),
        score=hit.score,
    )


def file_name(package: object, what: str | TarDigest) -> str:
    """`<ns>_<name>_<what>.tar.gz`. Source: contracts/cnr.md 2.10, 2.11."""
    return f"{str(package).replace('/', '_')}_{what}.tar.gz"
