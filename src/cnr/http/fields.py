"""The fields of a request's body: a JSON object, or else a form.

Source: contracts/cnr.md section 2, "Parameters": JSON counts whatever the Content-Type says, because curl -d
sends JSON as `application/x-www-form-urlencoded` and the first users did just that.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cnr.domain.errors import InvalidUsage, TooLarge
from cnr.http.body import body_chunks
from cnr.http.json_stream import Document, InvalidJson, read_object

FORM_FIELDS: Final = 100
"""Fields that a form may have."""
_SPACE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes of a JSON body and of a form, and seconds without a byte. Source: contracts/cnr.md 2.4."""

    json: int = 64 * 1024 * 1024
    form: int = 8 * 1024 * 1024
    stall_s: float = 30.0


async def read_fields(request: Request, *, limits: BodyLimits, spool_folder: Path) -> Document:
    """The body's fields; none for an empty body, for broken JSON, and for any other type. Close it when done.

    A body whose first character is `{` is JSON and nothing else; a form cannot begin so, since browsers and curl
    encode that character. Where the body is of no use, the rest of it stays unread.

    Raises TooLarge, BodyStalled, ClientDisconnect, InvalidUsage (a multipart form that cannot be read),
    StoreFull and StoreUnavailable (spool folder). Then nothing stays open.
    """
    chunks = body_chunks(request, limit=limits.json, stall_s=limits.stall_s)
    first = await _first_text(chunks)
    if first.lstrip(_SPACE)[:1] == b"{":
        try:
            return await read_object(_joined(first, chunks), spool_folder=spool_folder)
        except InvalidJson:
            return Document()
    if not first:
        return Document()
    return Document(await _read_form(request.headers, _joined(first, chunks), limits.form))


async def _first_text(chunks: AsyncIterator[bytes]) -> bytes:
    async for chunk in chunks:
        if text := chunk.lstrip(_SPACE):
            return text
    return b""


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _read_form(headers: Headers, chunks: AsyncIterator[bytes], limit: int) -> dict[str, Any]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(b"".join([chunk async for chunk in _bounded(chunks, limit)]))
    if kind == "multipart/form-data":
        return await _multipart(headers, _bounded(chunks, limit), limit)
    return {}


async def _bounded(chunks: AsyncIterator[bytes], limit: int) -> AsyncGenerator[bytes, None]:
    seen = 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > limit:
            raise TooLarge(f"the form is longer than {limit} bytes", limit=limit, what="form")
        yield chunk


def _urlencoded(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        return {}
    return dict(pairs)


async def _multipart(headers: Headers, chunks: AsyncGenerator[bytes, None], limit: int) -> dict[str, Any]:
    parser = MultiPartParser(headers, chunks, max_files=0, max_fields=FORM_FIELDS, max_part_size=limit)
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise InvalidUsage(f"the multipart form cannot be read: {exc.message}") from None
    return dict(form.multi_items())
