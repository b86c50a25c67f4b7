"""Gunzip as a stream: checked to its last byte, and never more than one piece in memory."""

import zlib
from collections.abc import Iterable, Iterator

from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import too_large

PIECE_BYTES = 256 * 1024
"""The most that one piece holds, whatever the compression ratio."""

_SLICE_BYTES = 64 * 1024
"""Compressed bytes given to zlib at once. It copies what it leaves over at each call, so a slice must be small."""

_GZIP = 31
"""zlib's wbits for a gzip header and trailer; it checks CRC and length itself."""


def gunzip(chunks: Iterable[bytes], *, member_limit: int) -> Iterator[bytes]:
    """The unpacked bytes of a gzip stream, in pieces of at most PIECE_BYTES, none empty.

    Several gzip members follow one another, zero padding after any of them is skipped (as gzip and Python's own
    module do). Raises InvalidArchive for what is no gzip, is damaged, cut off, or has junk behind it; TooLarge above
    `member_limit` members, since each costs more than its 20 bytes. Source: RFC 1952; contracts/cnr.md 2.4.
    """
    inflater = None
    begun = 0
    for data in _slices(chunks):
        while data:
            if inflater is None:
                data = data.lstrip(b"\0") if begun else data
                if not data:
                    break
                inflater = zlib.decompressobj(_GZIP)
                begun += 1
                if begun > member_limit:
                    raise too_large("gzip members", member_limit, "members")
            yield from _inflate(inflater, data, first=begun == 1)
            data = inflater.unused_data
            inflater = None if inflater.eof else inflater
    if inflater is not None or not begun:
        raise InvalidArchive("the gzip is cut off" if begun else "the archive is empty: a gzipped tar is needed")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE_BYTES):
            yield chunk[start : start + _SLICE_BYTES]


def _inflate(inflater: "zlib._Decompress", data: bytes, *, first: bool) -> Iterator[bytes]:
    """What `data` gives. zlib may keep some of it for later: a gzip ends with its trailer, which brings it all out."""
    while True:
        try:
            piece = inflater.decompress(data, PIECE_BYTES)
        except zlib.error as exc:
            where = "the archive is no gzip" if first else "there is junk behind the gzip"
            raise InvalidArchive(f"{where}, or it is damaged ({_reason(exc)})") from None
        if piece:
            yield piece
        data = inflater.unconsumed_tail
        if inflater.eof or not data:
            return


def _reason(exc: zlib.error) -> str:
    return str(exc).rpartition(": ")[2]
