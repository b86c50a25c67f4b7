"""A walk over the members of a tar that comes as a stream. Nothing is extracted, nothing is believed.

Written for hostile input, which is why the standard library's reader is not used: that one reads a PAX or GNU
extension header of any size into memory, recurses once per such header, and ends silently at a broken one.
Here every member costs bounded memory and time, and the only errors are InvalidArchive and TooLarge.

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
Where readers disagree this one does as Go's archive/tar, which helm uses.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cnr.domain.errors import InvalidArchive
from cnr.domain.limits import MIB, too_large

BLOCK = 512
EXTENSION_LIMIT = MIB
"""Bytes of one extension header (a long name, PAX records). Go's archive/tar has the same limit."""
EXTENSIONS_LIMIT = 4 * MIB
"""Bytes of all of them together: 10,000 members with a PAX header of 400 bytes each."""
_CHAIN_LIMIT = 16
"""Extension headers before one member; real archives have one or two."""

_ZERO = bytes(BLOCK)
_HEADER_ONLY = frozenset(b"123456")
_OCTAL = re.compile(rb"[ \0]*([0-7]*)(?:[ \0].*)?", re.DOTALL)
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n\0]+)=")
_SIZE = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Member:
    """What a tar says of one member; `size` in bytes, `kind` the ustar type flag ("0" for old archives' NUL).

    `name` is as in the archive, bytes that are not UTF-8 as surrogate escapes. `mode` is None when unreadable.
    `sparse`: PAX records say that the data has holes (GNU's own kind "S" says it by its kind).
    """

    name: str
    kind: str
    size: int
    mode: int | None
    sparse: bool = False

    @property
    def is_directory(self) -> bool:
        return self.kind == "5"

    @property
    def is_file(self) -> bool:
        """A regular file whose data is there as it is: no link, no device, no sparse map."""
        return self.kind in "07" and not self.sparse


class _Stream:
    """Exact reads from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def upto(self, size: int) -> bytes:
        """Between 1 and `size` bytes; none at the end."""
        while self._at == len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece, self._at = piece, 0
        data = self._piece[self._at : self._at + size]
        self._at += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """`size` bytes; fewer only at the end."""
        data = self.upto(size)
        if len(data) == size or not data:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (data := self.upto(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)


class TarReader:
    """The members of a tar, in order, and the data of the one that was yielded last.

    Iterating raises InvalidArchive for a broken or cut-off header or member, TooLarge above `member_limit` members.
    The end is a zero block or the end of the stream; what comes behind the first zero block is not looked at, except
    for `lone_zero_block`: a second block that is not zero, where some readers stop and others fail.
    """

    def __init__(self, pieces: Iterable[bytes], *, member_limit: int) -> None:
        self._stream = _Stream(pieces)
        self._member_limit = member_limit
        self._left = 0
        self._padding = 0
        self._extensions = 0
        self.lone_zero_block = False

    def __iter__(self) -> Iterator[Member]:
        for _ in range(self._member_limit):
            member = self._next()
            if member is None:
                return
            yield member
            for _ in self.data():
                pass
        if self._next() is not None:
            raise too_large("members of the archive", self._member_limit, "members")

    def data(self) -> Iterator[bytes]:
        """What is left of the current member's data. Raises InvalidArchive where the stream ends within it."""
        while self._left:
            piece = self._stream.upto(self._left)
            if not piece:
                raise InvalidArchive("the tar is cut off within a member")
            self._left -= len(piece)
            yield piece
        self._stream.exactly(self._padding)
        self._padding = 0

    def drain(self) -> None:
        """Read the stream to its end, so that whoever hashes or checks it has seen all."""
        while self._stream.upto(MIB):
            pass

    def _next(self) -> Member | None:
        long_name = None
        records: dict[bytes, bytes] = {}
        for _ in range(_CHAIN_LIMIT):
            header = self._header()
            if header is None:
                if long_name is not None or records:
                    raise InvalidArchive("the tar ends behind an extension header")
                return None
            kind, size = chr(header[156]), _number(header[124:136])
            if kind not in "xgXLK":
                return self._member(header, records, long_name)
            extension = self._extension(size)
            if kind in "xX":
                records = _pax(extension)
            elif kind == "L":
                long_name = extension.partition(b"\0")[0]
        raise InvalidArchive("the tar has a chain of extension headers without a member")

    def _header(self) -> bytes | None:
        block = self._stream.exactly(BLOCK)
        if len(block) == BLOCK and block != _ZERO:
            _check_sum(block)
            return block
        if block and len(block) < BLOCK:
            raise InvalidArchive("this is no tar, or it is cut off within a header")
        if block:
            self.lone_zero_block = self._stream.exactly(BLOCK).strip(b"\0") != b""
        return None

    def _extension(self, size: int) -> bytes:
        self._extensions += size
        if size > EXTENSION_LIMIT:
            raise too_large("an extension header of the tar", EXTENSION_LIMIT)
        if self._extensions > EXTENSIONS_LIMIT:
            raise too_large("all extension headers of the tar", EXTENSIONS_LIMIT)
        self._start(size)
        return b"".join(self.data())

    def _member(self, header: bytes, records: dict[bytes, bytes], long_name: bytes | None) -> Member:
        kind = chr(header[156]).replace("\0", "0")
        name = long_name or records.get(b"path") or _ustar_name(header)
        if header[156] == 0 and name.endswith(b"/"):
            kind = "5"
        size = _pax_size(records[b"size"]) if b"size" in records else _number(header[124:136])
        self._start(0 if header[156] in _HEADER_ONLY else size)
        if kind == "S":
            self._skip_sparse_map(header)
        sparse = any(key.startswith(b"GNU.sparse.") for key in records)
        return Member(name.decode("utf-8", "surrogateescape"), kind, self._left, _mode(header), sparse)

    def _start(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _skip_sparse_map(self, header: bytes) -> None:
        """Old GNU sparse members have their map in blocks between header and data."""
        more = header[482]
        while more:
            block = self._stream.exactly(BLOCK)
            if len(block) < BLOCK:
                raise InvalidArchive("the tar is cut off within a sparse map")
            more = block[504]


def _check_sum(block: bytes) -> None:
    expected = _number(block[148:156])
    field = sum(block[148:156]) - 8 * ord(" ")
    total = sum(block) - field
    if total != expected and total - 256 * sum(byte > 127 for byte in block) != expected:
        raise InvalidArchive("this is no tar: a header has a wrong checksum")


def _number(field: bytes) -> int:
    """An octal field, or GNU's base-256 for large ones."""
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise InvalidArchive("the tar has a negative size")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:])
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise InvalidArchive("this is no tar: a number in a header is not octal")
    return int(match[1] or b"0", 8)


def _mode(header: bytes) -> int | None:
    try:
        return _number(header[100:108])
    except InvalidArchive:
        return None


def _ustar_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] != b"ustar\0":
        return name
    prefix = header[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _pax(data: bytes) -> dict[bytes, bytes]:
    """The records of a PAX extended header."""
    records = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or end > len(data) or data[end - 1 : end] != b"\n":
            raise InvalidArchive("the tar has a broken PAX header")
        records[match[2]] = data[match.end() : end - 1]
        at = end
    return records


def _pax_size(text: bytes) -> int:
    if not _SIZE.fullmatch(text):
        raise InvalidArchive("the tar has a PAX size that is no number")
    return int(text)
