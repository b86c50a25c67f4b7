"""Takes a large JSON document apart into the elements of its arrays, without ever holding more than one of them.

Only the outline is read here: `{"name": [element, …], …}`. What an element is, its own parser says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import msgspec

PIECE_BYTES: Final = 256 * 1024
KEY_LIMIT: Final = 1024

_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_CLOSES = {ord("}"): ord("{"), ord("]"): ord("[")}
_QUOTE, _BACKSLASH, _COMMA, _ARRAY = b'"\\,['


class NoOutline(Exception):
    """The document is no JSON object, or not a whole one. The text says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """An element of the array under `key`: its bytes, and where they begin in the file.

    `data` is None where it is longer than the limit; `size` in bytes.
    """

    key: str
    offset: int
    size: int
    data: bytes | None


def items(file: BinaryIO, *, limit: int) -> Iterator[Item]:
    """The elements of the arrays in the top-level object of `file`, in order; what is under other keys is passed over.

    Elements are only told apart, and may be no JSON themselves. Holds one element of at most `limit` bytes, whatever
    its depth. Raises NoOutline, at the latest at the end of the file.
    """
    outline = _Outline(limit)
    while piece := file.read(PIECE_BYTES):
        yield from outline.feed(piece)
    outline.close()


class _Outline:
    """The place in the document: how deep, in a string or not, and what has come of the element at hand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._read = 0
        self._depth = 0
        self._kinds = bytearray()  # of the two outermost brackets
        self._in_string = False
        self._escaped = False
        self._key = b""
        self._kept = bytearray()
        self._size = 0
        self._begun = False

    def feed(self, piece: bytes) -> Iterator[Item]:
        """The elements that end in `piece`."""
        at = 1 if self._escaped else 0
        self._escaped = False
        start = 0
        while (found := (_INSIDE if self._in_string else _OUTSIDE).search(piece, at)) is not None:
            at = found.end()
            mark = piece[found.start()]
            if self._in_string:
                at = self._string_mark(mark, at, len(piece))
                continue
            if self._ends_part(mark):
                self._keep(piece[start : found.start()])
                yield from self._part(mark, self._read + found.start())
                start = at
            self._bracket(mark, self._read + found.start())
        self._keep(piece[start:])
        self._read += len(piece)

    def close(self) -> None:
        """The document has ended. Raises NoOutline unless it is whole."""
        if not self._begun or self._depth or self._in_string:
            raise NoOutline(f"it ends in the middle, after {self._read:,} bytes" if self._begun else "it is empty")

    def _string_mark(self, mark: int, at: int, length: int) -> int:
        if mark == _QUOTE:
            self._in_string = False
            return at
        self._escaped = at == length
        return at + 1

    def _ends_part(self, mark: int) -> bool:
        """Whether `mark` separates elements, or keys of the outermost object."""
        return mark != _QUOTE and (self._depth < 2 or (self._depth == 2 and (mark == _COMMA or mark in _CLOSES)))

    def _part(self, mark: int, end: int) -> Iterator[Item]:
        """What stood before `mark`: an element, or a key with its colon."""
        part, size = bytes(self._kept), self._size
        self._kept.clear()
        self._size = 0
        if self._depth == 1:
            self._key = part
        elif self._depth == 2 and self._kinds[1] == _ARRAY and (size > self._limit or part.strip() or mark == _COMMA):
            lead = len(part) - len(part.lstrip())
            data = None if size > self._limit else part.strip()
            yield Item(self._name(), end - size + lead, size - lead if data is None else len(data), data)

    def _name(self) -> str:
        text, colon, _ = self._key.rpartition(b":")
        try:
            return msgspec.json.decode(text, type=str) if colon else ""
        except msgspec.DecodeError:
            return ""

    def _bracket(self, mark: int, offset: int) -> None:
        if mark == _QUOTE:
            self._in_string = True
        elif mark in _CLOSES:
            self._leave(mark, offset)
        elif mark != _COMMA:
            self._enter(mark)

    def _enter(self, mark: int) -> None:
        if self._depth == 0 and (self._begun or mark == _ARRAY):
            raise NoOutline("there is something behind its end" if self._begun else "it is no JSON object")
        self._begun = True
        self._depth += 1
        if self._depth <= 2:
            self._kinds.append(mark)

    def _leave(self, mark: int, offset: int) -> None:
        if not self._depth or (self._depth <= 2 and self._kinds.pop() != _CLOSES[mark]):
            raise NoOutline(f"its brackets do not match at byte {offset:,}")
        self._depth -= 1

    def _keep(self, data: bytes) -> None:
        """Remember `data` of the part at hand; only its size once that is beyond the limit."""
        if self._depth == 0 and data.strip():
            raise NoOutline("there is something behind its end" if self._begun else "it is no JSON object")
        self._size += len(data)
        if self._size <= (self._limit if self._depth >= 2 else KEY_LIMIT):
            self._kept += data
        else:
            self._kept.clear()
