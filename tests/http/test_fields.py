import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.requests import Request

from cnr.domain.errors import InvalidUsage, TooLarge
from cnr.http.fields import FORM_FIELDS, BodyLimits, read_fields
from cnr.http.json_stream import Document
from cnr.http.spool import Spool

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


async def read(body: bytes, content_type: str, folder: Path, *, limits: BodyLimits | None = None) -> Document:
    pieces: Sequence[bytes] = [body[at : at + 50_000] for at in range(0, len(body), 50_000)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": at + 1 < len(pieces)} for at, piece in enumerate(pieces)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())] if content_type else []
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    return await read_fields(request, limits=limits or BodyLimits(), spool_folder=folder)


@pytest.mark.parametrize("content_type", ["application/json", URLENCODED, "text/plain", "", MULTIPART])
async def test_json_counts_whatever_the_content_type(content_type: str, tmp_path: Path) -> None:
    body = {"release": "1.0.0", "blob": "AB+/=="}
    assert (await read(json.dumps(body).encode(), content_type, tmp_path)).fields == body
    assert (await read(b" \r\n" + json.dumps(body).encode(), content_type, tmp_path)).fields == body


@pytest.mark.parametrize("content_type", ["application/json", URLENCODED, ""])
@pytest.mark.parametrize("body", [b"", b" ", b"{", b'{"a": NaN}', b'{"a":' * 100_000, b'{"a": "\xff"}'])
async def test_broken_json_is_no_json(body: bytes, content_type: str, tmp_path: Path) -> None:
    assert (await read(body, content_type, tmp_path)).fields == {}


@pytest.mark.parametrize("body", [b"[1]", b"not json", b"1", b"a=b"])
async def test_what_is_neither_json_nor_a_form_has_no_fields(body: bytes, tmp_path: Path) -> None:
    assert (await read(body, "application/json", tmp_path)).fields == {}


async def test_a_long_string_is_spooled(tmp_path: Path) -> None:
    document = await read(json.dumps({"blob": "A" * 3_000_000, "release": "1"}).encode(), URLENCODED, tmp_path)
    spool = document.fields["blob"]
    assert isinstance(spool, Spool)
    assert (spool.size, document.fields["release"]) == (3_000_000, "1")
    document.close()
    assert spool.size == 0


async def test_an_urlencoded_form(tmp_path: Path) -> None:
    fields = {"blob": "AB+/" * 50_000, "release": "1.0.0+ä", "empty": ""}
    assert (await read(urlencode(fields).encode(), f"{URLENCODED}; charset=utf-8", tmp_path)).fields == fields
    assert (await read(b"release=1&release=2", URLENCODED, tmp_path)).fields == {"release": "2"}


@pytest.mark.parametrize("body", [b"=", b"&&&", b"%", b"\xff=1", b"a=1&" * (FORM_FIELDS + 1)])
async def test_a_strange_form_does_not_fail(body: bytes, tmp_path: Path) -> None:
    await read(body, URLENCODED, tmp_path)


async def test_a_multipart_form(tmp_path: Path) -> None:
    fields = {"blob": "AB+/" * 500_000, "release": "1.0.0", "name": "ä"}
    request = httpx.Request("POST", "http://x", files={name: (None, value) for name, value in fields.items()})
    assert (await read(request.read(), request.headers["content-type"], tmp_path)).fields == fields


@pytest.mark.parametrize(
    "body",
    [
        b"junk",
        b"--b\r\n\r\nno name\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nfile\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n' * (FORM_FIELDS + 1),
    ],
)
async def test_a_multipart_form_that_cannot_be_read_is_the_callers_mistake(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="multipart"):
        await read(body, MULTIPART, tmp_path)


async def test_json_and_forms_have_their_own_limits(tmp_path: Path) -> None:
    limits = BodyLimits(json=200_000, form=100_000)
    assert (await read(json.dumps({"a": "x" * 150_000}).encode(), URLENCODED, tmp_path, limits=limits)).fields
    part = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + b"x" * 150_000
    for body, content_type in (
        (json.dumps({"a": "x" * 250_000}).encode(), URLENCODED),
        (b"a=" + b"x" * 150_000, URLENCODED),
        (part, MULTIPART),
    ):
        with pytest.raises(TooLarge):
            await read(body, content_type, tmp_path, limits=limits)
