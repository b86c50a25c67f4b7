"""Parameters of the CNR API: the query string, a form, and over both the JSON object of the body.

Source: contracts/cnr.md section 2, "Parameters": JSON wins, whatever the Content-Type; invalid JSON is no JSON.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request

from cnr.domain.base64_text import decode
from cnr.domain.errors import InvalidName, InvalidUsage, TooLarge
from cnr.domain.limits import Limits
from cnr.domain.names import Format, parse_format
from cnr.domain.version import Release, parse_release
from cnr.http.fields import BodyLimits, read_fields
from cnr.http.json_stream import LONG_STRING
from cnr.http.spool import Source, Spool, as_source

LIST_LIMIT = 1000
"""The most packages that one page of a list may have."""


class FieldReader:
    """Reads the parameters of requests; long strings go through `spool_folder`."""

    def __init__(self, limits: BodyLimits, spool_folder: Path) -> None:
        self._limits = limits
        self._spool_folder = spool_folder

    async def of(self, request: Request) -> Mapping[str, Any]:
        """The parameters of a request whose strings are short. Raises TooLarge, InvalidUsage."""
        if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
            return request.query_params
        async with self.spooled(request) as fields:
            if any(isinstance(value, Spool) for value in fields.values()):
                raise TooLarge(f"a field may have {LONG_STRING:,} bytes here", what="field", limit=LONG_STRING)
            return fields

    @asynccontextmanager
    async def spooled(self, request: Request) -> AsyncIterator[Mapping[str, Any]]:
        """The parameters; a long string is a Source that is open within the context. Raises TooLarge, InvalidUsage."""
        document = await read_fields(request, limits=self._limits, spool_folder=self._spool_folder)
        try:
            yield {**request.query_params, **document.fields}
        finally:
            document.close()


_SCORE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
"""Not all that float() takes: it would let nan and inf through."""

DEFAULT_FORMAT = "kpm"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The bytes that a base64 text stands for, decoded anew at each reading."""

    text: Source

    @property
    def size(self) -> int:
        return self.text.size // 4 * 3

    def chunks(self) -> Iterator[bytes]:
        return decode(self.text.chunks())


@dataclass(frozen=True, slots=True)
class Push:
    """A push whose fields have the right types. The archive is not looked into yet."""

    release: Release
    format: Format
    source: Decoded
    force: bool
    metadata: dict[str, Any] | None


def push(fields: Mapping[str, Any], limits: Limits) -> Push:
    """The push that these fields ask for. Raises InvalidUsage, InvalidName, TooLarge, InvalidRelease, in this order.

    Source: contracts/cnr.md 2.4, "R order of checks".
    """
    release = _text(fields, "release")
    blob = fields.get("blob")
    if blob is None:
        raise InvalidUsage("the field blob is missing: the base64 of a gzipped tar")
    text = as_source(blob)
    if text is None:
        raise InvalidUsage("the field blob must be a string: the base64 of a gzipped tar")
    format = parse_format(_text(fields, "media_type") if "media_type" in fields else DEFAULT_FORMAT)
    metadata = _metadata(fields.get("metadata"), limits)
    return Push(parse_release(release), format, Decoded(text), forced(fields.get("force")), metadata)


def optional_text(fields: Mapping[str, Any], name: str) -> str:
    """The text of a field, empty where it is missing. Raises InvalidUsage for any other type, null too."""
    return _text(fields, name) if name in fields else ""


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if name not in fields:
        raise InvalidUsage(f"the field {name} is missing (a body that is no JSON object counts as none)")
    if not isinstance(value, str):
        raise InvalidUsage(f"the field {name} must be a string")
    return value


def forced(value: object) -> bool:
    """Whether a `force` field says so: true, or the word in any letter case."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _metadata(value: object, limits: Limits) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidUsage("the field metadata must be an object")
    try:
        msgspec.msgpack.encode(value)  # as it will be stored: integers there have 64 bits
    except OverflowError:
        raise InvalidUsage("metadata has an integer of more than 64 bits: send it as a string") from None
    size = len(msgspec.json.encode(value))
    if size > limits.metadata_bytes:
        raise TooLarge(
            f"metadata has {size:,} bytes; the limit is {limits.metadata_bytes:,}",
            what="metadata",
            limit=limits.metadata_bytes,
        )
    return value


def format_filter(value: object) -> Format | None:
    """The format that a `media_type` filter names, a full media type reduced; None where there is no filter."""
    if value is None:
        return None
    try:
        return parse_format(str(value))
    except InvalidName:
        return Format("")  # no release has it


@dataclass(frozen=True, slots=True)
class Page:
    """What part of a list is asked for; `limit` None is all of it."""

    limit: int | None
    after: str

    def link(self, request: Request, last: str, count: int) -> dict[str, str]:
        """The header that leads to the next page, if this one is full. RFC 8288."""
        if self.limit is None or count < self.limit:
            return {}
        query = urlencode({**request.query_params, "limit": self.limit, "after": last})
        return {"Link": f'<{quote(request.scope["path"])}?{query}>; rel="next"'}


def page(fields: Mapping[str, Any], *, default: int | None = None) -> Page:
    """The page that `limit` (1 to LIST_LIMIT) and `after` ask for. Raises InvalidUsage."""
    wanted = fields.get("limit", default)
    if wanted is None:
        return Page(None, str(fields.get("after") or ""))
    text = str(wanted)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIST_LIMIT):
        raise InvalidUsage(f"limit is a number from 1 to {LIST_LIMIT}", limit=text[:20])
    return Page(int(text), str(fields.get("after") or ""))


def rank(after: str) -> tuple[float, str] | None:
    """The place in a ranked search that `after` names: `score,ns/name`. Raises InvalidUsage."""
    if not after:
        return None
    score, comma, name = after.partition(",")
    if not (comma and _SCORE.fullmatch(score)):
        raise InvalidUsage("after is what the Link header of the page before gave")
    return float(score), name
