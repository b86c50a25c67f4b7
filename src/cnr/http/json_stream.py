"""A JSON object taken apart while it arrives: long strings to a spool, the rest in memory.

A CNR push is one JSON object with one very long base64 string in it. Its memory must not depend on its length.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from cnr.domain.errors import InvalidUsage, TooLarge
from cnr.http.spool import Spool

LONG_STRING: Final = 64 * 1024
"""Bytes, as sent, above which a string field is spooled; a body that is complete within it is simply decoded."""
REST_LIMIT: Final = 1024 * 1024
"""Bytes of all that is not spooled, white space included."""
SPOOLED_LIMIT: Final = 16
"""Long strings in one object: each may hold 1 MiB of memory and an open file."""
DEPTH_LIMIT: Final = 100
"""Nested arrays and objects: what is read must also be written again without exhausting the stack."""

_SPACE: Final = b" \t\r\n"
_STRUCTURE_TOP: Final = re.compile(rb'["{}\[\],:]')
_STRUCTURE_DEEP: Final = re.compile(rb'["{}\[\]]')
# Whole characters only, so that a piece can be unescaped by itself: RFC 8259 section 7, RFC 3629 section 4; a
# surrogate escape counts only as a pair. What is left over is at most 11 bytes, or wrong, or the closing quote.
_PIECE: Final = re.compile(
    rb"(?:[\x20\x21\x23-\x5b\x5d-\x7f]++"
    rb'|\\["\\/bfnrt]'
    rb"|\\u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*+"
)
_LONGEST_CHARACTER: Final = 12
_QUOTE: Final = ord('"')


class InvalidJson(InvalidUsage):
    """Not one JSON object in UTF-8: broken, another type, nested too deep, or with a lone surrogate.

    As RFC 8259, so without what `json.loads` adds (NaN, Infinity, a byte order mark, UTF-16) and without numbers
    that a double cannot hold.
    """


@dataclass(frozen=True, slots=True)
class Document:
    """The object's fields; a string over LONG_STRING is a Spool. Close it when done."""

    fields: dict[str, Any] = field(default_factory=dict)

    def close(self) -> None:
        """Close every Spool."""
        for value in self.fields.values():
            if isinstance(value, Spool):
                value.close()


async def read_object(chunks: AsyncIterator[bytes], *, spool_folder: Path) -> Document:
    """The JSON object that `chunks` hold, wherever they are cut; of duplicate fields the last one.

    Raises InvalidJson, as soon as it is known, with the rest of `chunks` unread; TooLarge (beyond REST_LIMIT or
    SPOOLED_LIMIT); StoreFull, StoreUnavailable (spool folder); and what `chunks` raises. Then nothing stays open.
    """
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if len(head) > LONG_STRING:
            return await _read_long(bytes(head), chunks, spool_folder)
    return Document(_decode_short(bytes(head), spool_folder))


async def _read_long(head: bytes, chunks: AsyncIterator[bytes], spool_folder: Path) -> Document:
    splitter = _Splitter(spool_folder)
    try:
        await _feed(splitter, head)
        async for chunk in chunks:
            await _feed(splitter, chunk)
        return Document(splitter.finish())
    except BaseException:
        splitter.close()
        raise


async def _feed(splitter: "_Splitter", chunk: bytes) -> None:
    splitter.feed(chunk)
    for spool in splitter.spools():
        if spool.full:
            await asyncio.to_thread(spool.flush)


def _decode_short(body: bytes, spool_folder: Path) -> dict[str, Any]:
    if body.count(b"{") + body.count(b"[") > DEPTH_LIMIT:
        splitter = _Splitter(spool_folder)
        splitter.feed(body)
        return splitter.finish()
    return _decode_object(body)


def _decode_object(body: bytes | bytearray) -> dict[str, Any]:
    value = _decode(body)
    if not isinstance(value, dict):
        raise InvalidJson("the body is not a JSON object")
    return value


def _decode(text: bytes | bytearray) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidJson(f"the body is not valid JSON: {exc}") from None


def _unescape(piece: bytes) -> bytes:
    if b"\\" not in piece:
        return piece
    text: str = _decode(b'"' + piece + b'"')
    return text.encode()


class _Splitter:
    """Cuts the object's long strings out; `rest` is the same document with `null` in their place.

    Looks only at what it needs: strings, brackets, and at the top level commas and colons. All else is judged
    when `rest` is decoded: whatever stands wrongly beside a long string stands wrongly beside the `null`.
    """

    def __init__(self, spool_folder: Path) -> None:
        self._spool: Spool | None = None
        self._folder = spool_folder
        self._rest = bytearray()
        self._spooled: dict[str, Spool] = {}
        self._depth = 0
        self._ended = False
        self._in_string = False
        self._is_value = False
        self._key = b""
        self._raw = bytearray()
        self._left_over = b""

    def feed(self, chunk: bytes) -> None:
        data = self._left_over + chunk
        self._left_over = b""
        at = 0
        while at < len(data):
            if self._in_string:
                at = self._take_string(data, at)
            elif self._depth:
                at = self._take_structure(data, at)
            else:
                at = self._take_outside(data, at)

    def finish(self) -> dict[str, Any]:
        """The fields. Raises InvalidJson."""
        if not self._ended:
            raise InvalidJson("the body ends before its JSON object does")
        return _decode_object(self._rest) | self._spooled

    def close(self) -> None:
        for spool in self.spools():
            spool.close()

    def spools(self) -> list[Spool]:
        """Those that are open."""
        return [*self._spooled.values(), *([self._spool] if self._spool else [])]

    def _take_outside(self, data: bytes, at: int) -> int:
        begin = len(data) - len(data[at:].lstrip(_SPACE))
        if begin == len(data):
            return begin
        if self._ended or data[begin] != ord("{"):
            raise InvalidJson("the body is not one JSON object")
        self._depth = 1
        self._keep(b"{")
        return begin + 1

    def _take_structure(self, data: bytes, at: int) -> int:
        found = (_STRUCTURE_TOP if self._depth == 1 else _STRUCTURE_DEEP).search(data, at)
        if found is None:
            self._keep(data[at:])
            return len(data)
        mark = found[0]
        if mark == b'"' and self._depth == 1:
            self._keep(data[at : found.start()])
        else:
            self._keep(data[at : found.end()])
        self._note(mark)
        return found.end()

    def _note(self, mark: bytes) -> None:
        if mark == b'"':
            self._in_string = True
        elif mark in b"{[":
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                raise InvalidJson(f"the body is nested deeper than {DEPTH_LIMIT} levels")
        elif mark in b"}]":
            self._depth -= 1
            self._ended = self._depth == 0
        else:
            self._is_value = mark == b":"

    def _take_string(self, data: bytes, at: int) -> int:
        found = _PIECE.match(data, at)
        assert found is not None
        self._add(found[0])
        end = found.end()
        if end < len(data) and data[end] == _QUOTE:
            self._end_string()
            return end + 1
        if len(data) - end >= _LONGEST_CHARACTER:
            raise InvalidJson("the body has a string with an invalid character or escape in it")
        self._left_over = data[end:]
        return len(data)

    def _add(self, piece: bytes) -> None:
        if self._depth > 1:
            self._keep(piece)
        elif self._spool is not None:
            self._spool.write(_unescape(piece))
        else:
            self._raw += piece
            if self._is_value and len(self._raw) > LONG_STRING:
                self._begin_spool()
            self._check_rest(len(self._raw))

    def _begin_spool(self) -> None:
        if len(self._spooled) >= SPOOLED_LIMIT:
            raise TooLarge("too many long strings in one body", limit=SPOOLED_LIMIT, what="long strings")
        self._spool = Spool(self._folder)
        self._spool.write(_unescape(bytes(self._raw)))
        self._raw.clear()

    def _end_string(self) -> None:
        self._in_string = False
        if self._depth > 1:
            self._keep(b'"')
        elif self._spool is not None:
            self._keep(b"null")
            self._forget(self._key)
            self._spooled[_decode(b'"' + self._key + b'"')] = self._spool
            self._spool = None
        else:
            self._end_short(bytes(self._raw))

    def _end_short(self, raw: bytes) -> None:
        self._raw.clear()
        self._keep(b'"' + raw + b'"')
        if not self._is_value:
            self._key = raw
            self._forget(raw)

    def _forget(self, key: bytes) -> None:
        if self._spooled and (older := self._spooled.pop(_decode(b'"' + key + b'"'), None)):
            older.close()

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        self._check_rest(0)

    def _check_rest(self, more: int) -> None:
        if len(self._rest) + more > REST_LIMIT:
            raise TooLarge(
                "the body holds too much besides its long strings", limit=REST_LIMIT, what="body without long strings"
            )
