"""The JSON body of a push, made while it is sent: the package is never in memory as a whole."""

import binascii
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

_SLICE_BYTES = 3 * 64 * 1024
"""A multiple of 3, so that the base64 of the slices joins without padding."""


class PushBody:
    """Iterates over the body's bytes; `size` is their number. `report` hears of every slice of the file, in bytes."""

    def __init__(
        self, fields: dict[str, Any], source: BinaryIO, source_size: int, report: Callable[[int], None]
    ) -> None:
        head = msgspec.json.encode(fields)
        self._head = head[:-1] + (b"," if fields else b"") + b'"blob":"'
        self._source = source
        self._report = report
        self.size = len(self._head) + 4 * -(-source_size // 3) + 2

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        while piece := self._source.read(_SLICE_BYTES):
            yield binascii.b2a_base64(piece, newline=False)
            self._report(len(piece))
        yield b'"}'
