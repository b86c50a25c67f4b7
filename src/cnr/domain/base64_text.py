"""Base64 as clients send it in JSON: decoded while it streams, and strictly."""

import binascii
from collections.abc import Iterable, Iterator

from cnr.domain.errors import InvalidArchive

_WHITESPACE = b" \t\n\r\v\f"


def decode(chunks: Iterable[bytes | str]) -> Iterator[bytes]:
    """The bytes that base64 text stands for, piece by piece. Chunks may be cut anywhere.

    Whitespace is ignored anywhere. Raises InvalidArchive for any other foreign character, for missing padding
    and for anything after the padding; what was yielded before that is not to be used.
    Source: contracts/cnr.md 2.4, "base64 details"; RFC 4648 section 4.
    """
    rest = b""
    padded = False
    for chunk in chunks:
        text = rest + _ascii(chunk).translate(None, _WHITESPACE)
        whole = len(text) - len(text) % 4
        rest = text[whole:]
        if padded and text:
            raise InvalidArchive("the base64 goes on after its padding")
        if whole:
            padded = text[whole - 1] == ord("=")
            yield _quads(text[:whole])
    if rest:
        raise InvalidArchive("the base64 ends in the middle: its padding is missing or it was cut off")


def _ascii(chunk: bytes | str) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    try:
        return chunk.encode("ascii")
    except UnicodeEncodeError:
        raise InvalidArchive("the base64 has a character that is not of its alphabet") from None


def _quads(text: bytes) -> bytes:
    if text.endswith(b"==="):  # which binascii lets pass after a whole quad
        raise InvalidArchive("the base64 has more padding than there can be")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise InvalidArchive("the base64 has a foreign character, or padding before its end") from None
