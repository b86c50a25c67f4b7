"""Changes of bodies, each after its kind: JSON, the base64 in it, forms, archives, anything."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from tests.fuzz import archives, json_text, values
from tests.fuzz.message import Change, Message

_BLOB: Final = re.compile(rb'("blob": ?"|[&]blob=|name="blob"\r\n\r\n)([A-Za-z0-9+/=%]+)')
_PART: Final = re.compile(rb"\r\n\r\n(\x1f\x8b.*)\r\n--", re.DOTALL)


def any_bytes(random: Random, message: Message) -> Message:
    return replace(message, body=archives.scrambled(random, message.body))


def another(random: Random, message: Message) -> Message:
    """A body that has nothing to do with the request."""
    body = random.choice((b"", b"{}", b"[]", b"null", b"x" * 300_000, b"\x00", b"{", b'"', b"\xff", b"a=b&" * 300))
    return replace(message, body=body)


def by_kind(random: Random, message: Message) -> Message:
    """A change that leaves the body what it is, but for one thing in it."""
    body = message.body
    if (found := _BLOB.search(body)) and random.random() < 0.6:
        return replace(message, body=body[: found.start(2)] + _blob(random, found[2]) + body[found.end(2) :])
    if body[:2] == b"\x1f\x8b":
        return replace(message, body=archives.changed(random, body))
    if body[:2] == b"--":
        return replace(message, body=_form(random, body))
    changed = json_text.changed(random, body) if body[:1] == b"{" else None
    return replace(message, body=archives.scrambled(random, body) if changed is None else changed)


def _blob(random: Random, text: bytes) -> bytes:
    """Another archive in base64, or what is nearly base64."""
    if random.random() < 0.3:
        options = (
            text.replace(b"+", b"-").replace(b"/", b"_"),
            text.rstrip(b"="),
            text + b"=",
            b"\\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
            text[:-1],
            text + "é".encode(),
            b"",
            b"A" * 300_000,
            text[: len(text) // 2] + b" " + text[len(text) // 2 :],
            text.replace(b"A", b"\\u0041"),
        )
        return random.choice(options)
    try:
        data = base64.b64decode(text.replace(b"%2B", b"+"))
    except binascii.Error:
        return archives.scrambled(random, text)
    found = base64.b64encode(archives.changed(random, data))
    return found.replace(b"+", b"%2B") if b"%2B" in text else found


def _form(random: Random, body: bytes) -> bytes:
    boundary, _, _ = body.partition(b"\r\n")
    part = _PART.search(body)
    if part and random.random() < 0.5:
        return body[: part.start(1)] + archives.changed(random, part[1]) + body[part.end(1) :]
    name = values.text(random).encode("utf-8", "surrogateescape")
    options = (
        body.removesuffix(b"--\r\n"),
        body + body,
        body.replace(boundary, boundary + b"x", 1),
        body.replace(b'name="', b'name="' + name, 1),
        body.replace(b'filename="', b'filename="' + name, 1),
        body.replace(b"\r\n", b"\n"),
        body.replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n", 1),
        boundary + b"\r\n\r\n\r\n" + (boundary + b"\r\n\r\n\r\n") * 3000 + body,
        body.replace(b"Content-Disposition", b"Content-Type: multipart/mixed; boundary=x\r\nContent-Disposition", 1),
        b"preamble" * 1000 + b"\r\n" + body,
        boundary,
        body.replace(b"form-data", b"attachment", 1),
        archives.scrambled(random, body),
    )
    return random.choice(options)


CHANGES: Final[Sequence[Change]] = (by_kind, by_kind, by_kind, by_kind, by_kind, by_kind, any_bytes, another)
