"""What clients send, as types for the document. The server reads it field by field: cnr_fields.py."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from cnr.api.cnr_fields import DEFAULT_FORMAT

_NAME: Final = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_NUMBER: Final = "(0|[1-9][0-9]*)"
_PRE: Final = "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
SEMVER: Final = rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
"""A strict SemVer version. Source: contracts/cnr.md section 1."""

Blob = Annotated[str, Meta(description="Base64 of a gzipped tar. White space in it is ignored.")]
Release = Annotated[str, Meta(description="A full SemVer 2.0.0 version.", pattern=SEMVER, max_length=128)]
Format = Annotated[
    str,
    Meta(
        description="The format: helm, kpm, docker-compose, … A full media type is reduced to it.",
        pattern=rf"^({_NAME}|application/vnd\.(cnr|appr)\.package(-manifest)?\.{_NAME}\.v[0-9]+\.(json|tar\+gzip))$",
    ),
]


class Push(msgspec.Struct, kw_only=True):
    """A release to publish. Other fields are ignored."""

    blob: Blob
    release: Release
    media_type: Format = DEFAULT_FORMAT
    force: Annotated[Any, Meta(description="`true`, also as a word in any letter case: replace what is there.")] = False
    metadata: Annotated[dict[str, Any] | None, Meta(description="Kept, and shown with the manifest.")] = None


class PushForm(msgspec.Struct, kw_only=True):
    """The same as a form."""

    blob: Blob
    release: Release
    media_type: Format = DEFAULT_FORMAT
    force: str = ""


class Yank(msgspec.Struct):
    """Why a release should not be used any more."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class User(msgspec.Struct):
    """Who logs in."""

    username: Annotated[str, Meta(min_length=1, pattern="^[^:]+$")]
    password: Annotated[str, Meta(min_length=1)]


class Login(msgspec.Struct):
    """A login."""

    user: User
