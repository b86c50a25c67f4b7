"""Byte ranges of a GET. Source: RFC 9110 section 14; contracts/oci-helm.md 1.6.8 for what conformance expects."""

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*", re.ASCII | re.IGNORECASE)
_DIGITS_READ = 20
_BEYOND_ANY_SIZE = 10**20


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes `start` (inclusive) to `stop` (exclusive) of `size`; never empty."""

    start: int
    stop: int
    size: int

    @property
    def length(self) -> int:
        """Bytes in the range."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """The value of Content-Range for a 206."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


class RangeNotSatisfiable(Exception):
    """416. `content_range`: the value of that header."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the range has no byte in common with the {size} bytes there are")
        self.content_range = f"bytes */{size}"


def parse_range(header: str | None, size: int) -> Range | None:
    """The range asked for, cut at `size`; None where the whole is to be sent.

    None for no header, another unit, a malformed value, and several ranges (a server may ignore those, RFC 9110
    section 14.2). Raises RangeNotSatisfiable where no byte is left, and for an inverted range: RFC 9110 would
    ignore that one, the OCI conformance suite wants 416.
    """
    found = _SINGLE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    first, last = _number(found[1]), _number(found[2])
    if first is None:
        start, stop = max(size - (last or 0), 0), size
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return Range(start, stop, size)


def _number(digits: str) -> int | None:
    significant = digits.lstrip("0")
    if len(significant) > _DIGITS_READ:  # beyond any size, and int() refuses thousands of digits
        return _BEYOND_ANY_SIZE
    return int(significant or "0") if digits else None
